//! Checkpoints in shards, and shards that are not where they should be.

use std::{collections::BTreeMap, fs};

use safetensors::Dtype;
use serde_json::json;
use sotto_import::Choices;

use crate::hub::{Case, Hub, import};

/// A checkpoint in two shards; the index says where each tensor is.
fn sharded() -> (Hub, BTreeMap<String, String>) {
    let case = Case::read("vit_classes");
    let hub = case.folder();
    fs::remove_file(hub.file("model.safetensors")).unwrap();
    let (mut shards, mut index) = ([BTreeMap::new(), BTreeMap::new()], BTreeMap::new());
    for (i, (name, tensor)) in case.tensors().into_iter().enumerate() {
        index.insert(name.clone(), format!("model-0000{}-of-00002.safetensors", i % 2 + 1));
        shards[i % 2].insert(name, tensor);
    }
    for (i, shard) in shards.iter().enumerate() {
        hub.checkpoint(&format!("model-0000{}-of-00002.safetensors", i + 1), shard, Dtype::F32);
    }
    put(&hub, &index);
    (hub, index)
}

fn put(hub: &Hub, index: &BTreeMap<String, String>) {
    hub.json("model.safetensors.index.json", &json!({"metadata": {}, "weight_map": index}));
}

fn refused(hub: &Hub, parts: &[&str]) {
    let said = import(&hub.path(), &Choices::default()).unwrap_err().to_string();
    assert!(parts.iter().all(|p| said.contains(p)), "{said}");
}

#[test]
fn shards_are_one_checkpoint() {
    let (hub, _) = sharded();
    let imported = import(&hub.path(), &Choices::default()).unwrap();
    assert_eq!(imported.report.files.len(), 2);
    let whole = import(&Case::read("vit_classes").folder().path(), &Choices::default()).unwrap();
    assert_eq!(imported.weights.hash(), whole.weights.hash());
}

#[test]
fn shards_lie_in_the_folder() {
    let (hub, index) = sharded();
    let shard = hub.file("model-00001-of-00002.safetensors");
    let outside = hub.path().parent().unwrap().join("outside.safetensors");
    fs::copy(&shard, &outside).unwrap();
    let absolute = outside.to_string_lossy().into_owned();
    for name in ["../outside.safetensors", &absolute[..], "x/../../outside.safetensors", ""] {
        let mut index = index.clone();
        *index.values_mut().next().unwrap() = name.to_owned();
        put(&hub, &index);
        refused(&hub, &["is outside of the folder"]);
    }
    put(&hub, &index);
    #[cfg(unix)]
    {
        fs::remove_file(&shard).unwrap();
        std::os::unix::fs::symlink(&outside, &shard).unwrap();
        refused(&hub, &["model-00001-of-00002.safetensors: is outside of the folder"]);
    }
}

/// The hub's cache keeps files by their hash, and links to them from the folder of each version.
#[cfg(unix)]
#[test]
fn the_hub_s_cache_may_link_to_its_own_files() {
    let (hub, _) = sharded();
    let cache = hub.path().parent().unwrap().join("models--someone--a-model");
    let (snapshot, blobs) = (cache.join("snapshots/0123abcd"), cache.join("blobs"));
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    for (i, file) in fs::read_dir(hub.path()).unwrap().enumerate() {
        let file = file.unwrap();
        fs::rename(file.path(), blobs.join(i.to_string())).unwrap();
        let link = format!("../../blobs/{i}");
        std::os::unix::fs::symlink(link, snapshot.join(file.file_name())).unwrap();
    }
    let imported = import(&snapshot, &Choices::default()).unwrap();
    assert_eq!(imported.model.name, "a-model");
}

#[test]
fn an_index_must_be_right() {
    let (hub, index) = sharded();
    let mut lost = index.clone();
    lost.insert("more".into(), "model-00003-of-00002.safetensors".into());
    put(&hub, &lost);
    refused(&hub, &["lists model-00003-of-00002.safetensors, which is not in the folder"]);
    let mut wrong = index.clone();
    wrong.insert("more".into(), "model-00001-of-00002.safetensors".into());
    put(&hub, &wrong);
    refused(&hub, &["places tensors in shards that lack them: more"]);
    let many = (0..300).map(|i| (format!("t{i}"), format!("s{i}"))).collect();
    put(&hub, &many);
    refused(&hub, &["lists 300 shards; at most 256"]);
    put(&hub, &index);
    let both = "model-00002-of-00002.safetensors";
    fs::copy(hub.file("model-00001-of-00002.safetensors"), hub.file(both)).unwrap();
    refused(&hub, &["both hold"]);
}

#[test]
fn headers_must_describe_their_file() {
    let case = Case::read("vit_classes");
    let hub = case.folder();
    let file = hub.file("model.safetensors");
    let good = fs::read(&file).unwrap();
    let length = u64::from_le_bytes(good[..8].try_into().unwrap());
    let header = |n: u64| [&n.to_le_bytes()[..], &good[8..]].concat();
    for (bytes, part) in [
        (good[..7].to_vec(), "7 bytes, which are no safetensors file"),
        (header(u64::MAX), "says that its header has 18446744073709551615 bytes"),
        (header(good.len() as u64), "says that its header has"),
        (header(length / 2), "has no safetensors header"),
        (good[..good.len() - 4].to_vec(), "bytes of tensors; its header asks for"),
        ([&good[..], &[0]].concat(), "bytes of tensors; its header asks for"),
    ] {
        fs::write(&file, bytes).unwrap();
        refused(&hub, &["model.safetensors: ", part]);
    }
    let huge = br#"{"a":{"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,18446744073709551615]}}"#;
    fs::write(&file, [&(huge.len() as u64).to_le_bytes()[..], huge].concat()).unwrap();
    refused(&hub, &["model.safetensors: has no safetensors header"]);
}
