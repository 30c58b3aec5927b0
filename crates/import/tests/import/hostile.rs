//! Folders that somebody wrote to harm whoever imports them: shapes and sizes that no model has.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink};

use safetensors::Dtype;
use serde_json::{Value, json};
use sotto_import::Choices;

use crate::hub::{Case, FAMILIES, Hub, Tensor, import};

/// Shapes that take no bytes or four, with their values.
fn shapes() -> [Tensor; 6] {
    let none = |shape: &[usize]| (shape.to_vec(), Vec::new());
    [
        (vec![], vec![0.0]),
        none(&[0]),
        none(&[1 << 40, 0]),
        none(&[1, 1 << 40, 0]),
        none(&[1, usize::MAX, 0]),
        none(&[0, 1 << 40, 1 << 40, 1 << 40]),
    ]
}

fn refusal(hub: &Hub) -> String {
    import(&hub.path(), &Choices::default()).map(|_| ()).unwrap_err().to_string()
}

/// Each tensor of each family in each shape: families read sizes off tensors before these are compared with the model.
#[test]
fn no_shape_of_a_tensor_makes_an_import_panic_or_grow() {
    let mut refused = 0;
    for (name, _) in FAMILIES {
        let case = Case::read(name);
        let (hub, tensors) = (case.folder(), case.tensors());
        for tensor in tensors.keys() {
            for shape in shapes() {
                let mut changed = tensors.clone();
                changed.insert(tensor.clone(), shape);
                hub.checkpoint("model.safetensors", &changed, Dtype::F32);
                // Some tensors are of no use and may have any shape.
                match import(&hub.path(), &Choices::default()) {
                    Ok(imported) => assert!(imported.model.validate().is_ok(), "{name}: {tensor}"),
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(refused > 2000, "{refused}");
}

/// Leading rows, whose numbers are summed.
#[test]
fn leading_rows_are_counted_before_they_are_listed() {
    let mut case = Case::read("timm_vit");
    let with = |rows: [usize; 2]| {
        let hub = case.folder();
        let names = ["cls_token", "dist_token"].into_iter().map(str::to_owned);
        let shapes = rows.map(|n| (vec![1, n, 0], Vec::new()));
        let mut tensors = case.tensors();
        tensors.extend(names.zip(shapes));
        hub.checkpoint("model.safetensors", &tensors, Dtype::F32);
        refusal(&hub)
    };
    for rows in [[1 << 40, 1], [usize::MAX, 5], [64, 1]] {
        let said = with(rows);
        assert!(said.contains("`input.pixels.lead` is") && said.contains("0 to 64"), "{said}");
    }
    case = Case::read("dinov2_registers");
    case.config["num_register_tokens"] = json!(1u64 << 40);
    let said = refusal(&case.folder());
    assert!(said.contains("`input.pixels.lead` is 1099511627777; accepted: 0 to 64"), "{said}");
}

/// Each number of each family's configuration, made the largest that is read, nothing, and of another kind.
#[test]
fn no_field_makes_an_import_panic_or_grow() {
    for (name, _) in FAMILIES {
        let case = Case::read(name);
        let hub = case.folder();
        for (file, fields) in
            [("config.json", &case.config), ("preprocessor_config.json", &case.preprocessor)]
        {
            for field in fields.as_object().into_iter().flat_map(|all| all.keys()) {
                for value in [json!(1u64 << 40), json!(u64::MAX), json!(0), json!(-1.5), json!([])]
                {
                    let mut changed = fields.clone();
                    changed[field] = value;
                    hub.json(file, &changed);
                    // Some fields are of no use and may hold anything.
                    if let Ok(imported) = import(&hub.path(), &Choices::default()) {
                        assert!(imported.model.validate().is_ok(), "{name}: {field}");
                    }
                }
            }
            if !fields.is_null() {
                hub.json(file, fields);
            }
        }
    }
}

#[test]
fn pictures_are_not_scaled_without_end() {
    let mut case = Case::read("vit_classes");
    case.preprocessor["size"] = json!({"height": 1u64 << 40, "width": 1u64 << 40});
    case.preprocessor["do_center_crop"] = json!(true);
    case.preprocessor["crop_size"] = json!(12);
    let said = refusal(&case.folder());
    assert!(said.contains("scales to 1099511627776 and cuts 12 out"), "{said}");
}

/// Headers of all shards share one limit.
#[test]
fn many_headers_are_no_way_around_the_limit_of_one() {
    let hub = Case::read("bert_classes").folder();
    fs::remove_file(hub.file("model.safetensors")).unwrap();
    let header = format!("{{}}{}", " ".repeat((9 << 20) - 2));
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let names = ["a.safetensors", "b.safetensors"];
    for name in names {
        fs::write(hub.file(name), &bytes).unwrap();
    }
    let places: BTreeMap<&str, &str> = [("x", names[0]), ("y", names[1])].into();
    hub.json("model.safetensors.index.json", &json!({ "weight_map": places }));
    let said = refusal(&hub);
    assert!(said.contains("b.safetensors: says that its header has 9437184 bytes"), "{said}");
}

/// What lies beside the folder that is written is neither written through nor taken into it.
#[test]
fn a_model_is_written_into_a_fresh_folder() {
    let case = Case::read("vit_classes");
    let imported = import(&case.folder().path(), &Choices::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (out, part) = (dir.path().join("model"), dir.path().join("model.part"));
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::create_dir(&part).unwrap();
    symlink(&victim, part.join("arch.toml")).unwrap();
    fs::write(part.join("stale.toml"), "old").unwrap();
    imported.save(&out).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|f| f.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["arch.toml", "picture.toml", "weights.safetensors"]);
    // Nothing else is left beside it.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    imported.save(&empty).unwrap();
    assert!(empty.join("arch.toml").is_file());
    // A file, a link to nothing, a link to an empty folder: all are there.
    let (nowhere, elsewhere) = (dir.path().join("nowhere"), dir.path().join("elsewhere"));
    symlink(dir.path().join("gone"), &nowhere).unwrap();
    fs::create_dir(dir.path().join("other")).unwrap();
    symlink(dir.path().join("other"), &elsewhere).unwrap();
    for out in [&victim, &nowhere, &elsewhere] {
        let said = imported.save(out).unwrap_err().to_string();
        assert!(
            said.contains("is there and not empty, or no folder; give another folder"),
            "{said}"
        );
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(!dir.path().join("gone").exists());
}

/// `Value::Null` is where a family has no such file.
#[test]
fn families_of_pictures_have_a_preprocessor_and_timm_has_none() {
    let with = |(name, _): &&(&str, &str)| Case::read(name).preprocessor != Value::Null;
    let names: Vec<&str> = FAMILIES.iter().filter(with).map(|(name, _)| *name).collect();
    assert_eq!(names, ["deit_teacher", "dinov2_classes", "dinov2_registers", "vit_classes"]);
}
