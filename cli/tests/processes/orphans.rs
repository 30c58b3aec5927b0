//! Batches that wait on a disk and that nobody will use: a client's folder is lost, a model is replaced, or is not.

use std::fs;

use crate::{
    disks::{CLIENT, SERVER, both, copy, files, fill, infer, waiting},
    hostile::endpoint,
    parties::{LOCAL, Parties, wait_until},
    spawned::Process,
    stored::{Hostile, Stores},
};

#[test]
fn a_client_that_lost_its_folder_says_so_and_is_served_again() {
    let parties = Parties::new();
    let config = parties.server_config(&format!("source = \"peer\"\n{SERVER}"), LOCAL, None);
    let text = fs::read_to_string(&config).unwrap();
    let line = "certificate = \"client.cert\"\n";
    parties.write("server.toml", text.replace(line, &format!("{line}quota = 2\n")).as_bytes());
    let (process, server) = parties.start_server(&config);
    let config = parties.peer_client("client", CLIENT, server);
    fill(&parties, &config);
    let lost = waiting(&parties, "server");
    assert_eq!(lost.len(), 2);
    for folder in ["client-pool", "client-pool.keys"] {
        copy(&parties, folder, &format!("saved-{folder}"));
        fs::remove_dir_all(parties.path(folder)).unwrap();
    }
    // Another client's word burns nothing of this one's.
    let second = parties.peer_client("second", &CLIENT.replace("client-", "second-"), server);
    let only = ["--fill", "--only-folder"];
    assert_eq!(parties.infer(&second, &only).code, 0);
    assert_eq!(waiting(&parties, "server").len(), 4);
    let done = parties.infer(&config, &only);
    assert_eq!(done.code, 0, "{}", done.err);
    process.log.wait_for("client no longer has 2 of the batches", 1);
    let now = waiting(&parties, "client");
    assert_eq!((now.len(), waiting(&parties, "server").len()), (2, 4));
    assert!(lost.iter().all(|name| !now.contains(name)));
    // The lost one comes back: the server has given its parts up, and no key leaves.
    for folder in ["client-pool", "client-pool.keys"] {
        copy(&parties, &format!("saved-{folder}"), folder);
    }
    let images = parties.text("images.bin");
    let done = parties.infer(&config, &["--only-folder", "--limit", "1", &images]);
    assert_eq!(done.results()[0]["costs"]["waited"], false);
    assert_eq!(waiting(&parties, "client"), [""; 0]);
    assert!(!process.log.text().contains("waited on the disk"));
}

#[test]
fn batches_of_a_folder_that_is_lost_lock_nobody_out() {
    let parties = Parties::new();
    let config = parties.server_config(&format!("source = \"peer\"\n{SERVER}"), LOCAL, None);
    let text = fs::read_to_string(&config).unwrap();
    let line = "certificate = \"client.cert\"\n";
    parties.write("server.toml", text.replace(line, &format!("{line}quota = 3\n")).as_bytes());
    let (process, server) = parties.start_server(&config);
    let config = parties.peer_client("client", CLIENT, server);
    fill(&parties, &config);
    assert_eq!(waiting(&parties, "server").len(), 2);
    for folder in ["client-pool", "client-pool.keys"] {
        fs::remove_dir_all(parties.path(folder)).unwrap();
    }
    // Of a client without a folder, who says nothing: as many give way as its quota lacks.
    let config = parties.peer_client("client", "", server);
    for (image, left) in [2, 1, 0].into_iter().enumerate() {
        assert_eq!(infer(&parties, &config, 1).1, [false]);
        assert_eq!(waiting(&parties, "server").len(), left, "image {image}");
    }
    assert_eq!(process.log.text().matches("of another folder, which is burnt").count(), 2);
    let images = parties.text("images.bin");
    parties.infer(&config, &["--limit", "1", &images]).failed(4, &["3 of 3 images"]);
}

/// Has a server read its file again.
fn reload(server: &Process, said: &str) {
    let before = server.log.text().matches(said).count();
    server.signal("USR1");
    server.log.wait_for(said, before + 1);
}

#[test]
fn batches_of_a_model_that_is_replaced_are_burnt_when_it_is_and_not_before() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (process, _, config) = both(&parties, None);
    let expected = infer(&parties, &config, 2).0;
    fill(&parties, &config);
    let names = waiting(&parties, "server");
    let files = ["arch.toml", "weights.safetensors", "calibration.toml"];
    let put = |from: &str| {
        for file in files {
            fs::copy(parties.path(from).join(file), parties.path("model").join(file)).unwrap();
        }
    };
    fs::create_dir(parties.path("first")).unwrap();
    files.iter().for_each(|file| {
        fs::copy(parties.path("model").join(file), parties.path("first").join(file)).unwrap();
    });
    // Another model, and a certificate that is none: nothing is taken.
    let text = fs::read_to_string(parties.path("server.toml")).unwrap();
    put("second");
    parties.write("server.toml", text.replace("second.cert", "nobody.cert").as_bytes());
    reload(&process, "the configuration stays as it was");
    assert_eq!(waiting(&parties, "server"), names, "it is served as before");
    assert_eq!(infer(&parties, &config, 1), (expected[..1].to_vec(), vec![true]));
    put("first");
    parties.write("server.toml", text.as_bytes());
    reload(&process, "was read again");
    assert_eq!(waiting(&parties, "server").len(), 1);
    put("second");
    reload(&process, "model model is replaced");
    assert_eq!(waiting(&parties, "server"), [""; 0]);
    assert_eq!(infer(&parties, &config, 1).1, [false]);
    assert_eq!(waiting(&parties, "client"), [""; 0]);
}

#[test]
fn what_is_stored_after_its_model_was_replaced_is_burnt_however_it_was_stored() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (process, at) = parties.peer_server(SERVER, None);
    let client =
        Hostile { endpoint: endpoint(&parties, "client"), server: &process, at, length: None };
    let text = fs::read_to_string(parties.path("server.toml")).unwrap();
    let replaced = text.replace("model = \"model\"", "model = \"second\"");
    for (how, text) in [(Stores::Leaves, &replaced), (Stores::All, &text)] {
        client.makes_and(how, 1, || {
            parties.write("server.toml", text.as_bytes());
            reload(&process, "was read again");
        });
        wait_until("the end of the old model's batch", || {
            files(&parties.path("server-pool"), ".batch").is_empty()
        });
    }
}

#[test]
fn what_could_not_be_burnt_when_its_model_was_replaced_is_when_its_client_comes() {
    let parties = Parties::new();
    parties.model("second", 2);
    let (process, _, config) = both(&parties, None);
    fill(&parties, &config);
    let names = waiting(&parties, "server");
    // Keys that cannot be taken off the disk: what comes after them stays, too.
    let key = parties.path("server-pool.keys").join(names[0].replace(".batch", ".key"));
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    let text = fs::read_to_string(parties.path("server.toml")).unwrap();
    let replaced = text.replace("model = \"model\"", "model = \"second\"");
    parties.write("server.toml", replaced.as_bytes());
    reload(&process, "was read again");
    assert_eq!(files(&parties.path("server-pool"), ".batch"), names);
    assert_eq!(infer(&parties, &config, 1).1, [false]);
    process.log.wait_for("1 batches of client are of another model", 1);
    assert_eq!(files(&parties.path("server-pool"), ".batch"), names[..1]);
    assert_eq!(waiting(&parties, "client"), [""; 0]);
}
