//! Bad input: each is refused with the file, the field or tensor, its value, what is accepted, and what to do.

use std::{collections::BTreeMap, fs, fs::File};

use safetensors::Dtype;
use serde_json::{Value, json};
use sotto_import::Choices;

use crate::hub::{Case, Hub, Tensor, import, modules, tokenizer};

fn refusal(hub: &Hub) -> String {
    import(&hub.path(), &Choices::default()).map(|_| ()).unwrap_err().to_string()
}

fn refused(hub: &Hub, parts: &[&str]) {
    let said = refusal(hub);
    assert!(parts.iter().all(|p| said.contains(p)), "{said}");
}

#[test]
fn fields_are_refused_by_name_and_value() {
    let accepted = "gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu, silu, tanh";
    let cases: [(&str, &str, Value, &str); 26] = [
        (
            "bert_classes",
            "model_type",
            json!("t5"),
            "= \"t5\"; accepted: bert, roberta, xlm-roberta",
        ),
        ("bert_classes", "model_type", Value::Null, "is missing; accepted: bert"),
        ("bert_classes", "hidden_act", json!("mish"), accepted),
        ("vit_classes", "hidden_act", json!(3), "= 3; accepted: a text"),
        ("distilbert_classes", "activation", json!("mish"), accepted),
        (
            "bert_classes",
            "position_embedding_type",
            json!("relative_key"),
            "= \"relative_key\"; accepted: \"absolute\"",
        ),
        ("bert_classes", "is_decoder", json!(true), "= true; accepted: false"),
        ("bert_classes", "add_cross_attention", json!(true), "= true; accepted: false"),
        ("bert_classes", "quantization_config", json!({"bits": 4}), "without quantisation"),
        ("bert_classes", "pruned_heads", json!({"0": [1]}), "accepted: no pruned heads"),
        ("bert_classes", "hidden_size", json!("16"), "= \"16\"; accepted: a whole number"),
        ("bert_classes", "hidden_size", json!(-16), "= -16; accepted: a whole number"),
        (
            "bert_classes",
            "num_hidden_layers",
            json!(1_000_000_000),
            "= 1000000000; accepted: 1 to 64",
        ),
        (
            "bert_classes",
            "num_attention_heads",
            json!(1_000_000_000),
            "= 1000000000; accepted: 1 to 256",
        ),
        (
            "bert_classes",
            "architectures",
            json!(["BertForMultipleChoice"]),
            "ForSequenceClassification",
        ),
        ("bert_classes", "architectures", json!("Bert"), "= \"Bert\""),
        ("bert_classes", "id2label", json!(5), "an object of names"),
        ("roberta_classes", "pad_token_id", json!(13), "= 14; the first 14 are none of a word's"),
        ("albert_classes", "num_hidden_groups", json!(2), "= 2; accepted: 1"),
        ("albert_classes", "inner_group_num", json!(3), "= 3; accepted: 1"),
        ("dinov2_classes", "use_swiglu_ffn", json!(true), "= true; accepted: false"),
        ("dinov2_classes", "mlp_ratio", json!(1e9), "accepted: 0 to 64"),
        ("vit_classes", "image_size", json!(24), "makes pictures of 12; accepted: the same size"),
        ("vit_classes", "image_size", json!([12, 24]), "the side of a square"),
        (
            "timm_vit",
            "architecture",
            json!("vit_base_patch16_clip_224"),
            "= \"vit_base_patch16_clip_224\"; accepted: vit",
        ),
        ("timm_vit", "global_pool", json!("map"), "= \"map\"; accepted: \"token\""),
    ];
    for (case, field, value, why) in cases {
        let mut case = Case::read(case);
        // `max_position_embeddings` is what a wrong padding word leaves nothing of.
        let named = if field == "pad_token_id" { "max_position_embeddings" } else { field };
        case.config[field] = value;
        refused(&case.folder(), &["config.json: `", named, why]);
    }
}

#[test]
fn fields_within_fields_are_refused() {
    for (outer, field, value, why) in [
        ("model_args", "qk_norm", json!(true), "accepted: the fields embed_dim"),
        ("pretrained_cfg", "input_size", json!([1, 12, 12]), "3 planes of a square"),
        ("pretrained_cfg", "crop_mode", json!("border"), "\"center\", \"squash\""),
        ("pretrained_cfg", "crop_pct", json!(0), "0.25 to 1"),
        ("pretrained_cfg", "interpolation", json!("random"), "\"bilinear\", \"bicubic\""),
        ("pretrained_cfg", "mean", json!([0.5]), "three numbers"),
    ] {
        let mut case = Case::read("timm_vit");
        case.config[outer][field] = value;
        refused(&case.folder(), &["config.json: ", outer, field, why]);
    }
    for (field, value, why) in [
        ("do_resize", json!(false), "= false; accepted: true"),
        ("resample", json!(5), "= 5; accepted: 0 (nearest)"),
        ("image_mean", json!([0.5, 0.5]), "three numbers"),
        ("rescale_factor", json!(0), "more than 0"),
        ("size", json!({"height": 12, "width": 14}), "equal height and width"),
        ("size", json!({"shortest_edge": 14}), "`do_center_crop` is false"),
        ("image_std", json!([0, 1, 1]), "input.pixels.std[0]"),
    ] {
        let mut case = Case::read("vit_classes");
        case.preprocessor[field] = value;
        refused(&case.folder(), &[why]);
    }
}

#[test]
fn sizes_are_checked_before_anything_is_allocated() {
    for (field, value) in [
        ("vocab_size", 1u64 << 39),
        ("hidden_size", 1 << 39),
        ("intermediate_size", 1 << 39),
        ("max_position_embeddings", 1 << 39),
        ("type_vocab_size", 1 << 39),
    ] {
        let mut case = Case::read("bert_classes");
        case.config[field] = json!(value);
        let said = refusal(&case.folder());
        assert!(said.contains("architecture: `") && said.contains(&value.to_string()), "{said}");
    }
}

fn with(case: &str, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> Hub {
    let case = Case::read(case);
    let hub = case.folder();
    let mut tensors = case.tensors();
    change(&mut tensors);
    hub.checkpoint("model.safetensors", &tensors, Dtype::F32);
    hub
}

#[test]
fn tensors_are_missing_extra_or_of_another_shape() {
    let key = "bert.encoder.layer.1.attention.self.key.weight";
    let missing = with("bert_classes", |t| drop(t.remove(key)));
    refused(&missing, &["1 tensors are missing: ", key]);
    let distance = "bert.encoder.layer.0.attention.self.distance_embedding.weight";
    let extra = with("bert_classes", |t| drop(t.insert(distance.into(), (vec![2], vec![0.0; 2]))));
    refused(&extra, &["1 tensors have no place: ", distance]);
    // Nobody says what becomes of its head.
    for case in ["bert_classes", "vit_classes"] {
        let mut unknown = Case::read(case);
        unknown.config["architectures"] = Value::Null;
        refused(
            &unknown.folder(),
            &["2 tensors have no place: classifier.bias, classifier.weight"],
        );
    }
    let mut fewer = Case::read("bert_classes");
    fewer.config["num_hidden_layers"] = json!(1);
    refused(&fewer.folder(), &["16 tensors have no place: ", "and 8 more"]);
    let shape = with("bert_classes", |t| t.get_mut(key).unwrap().0 = vec![8, 32]);
    refused(
        &shape,
        &["model.safetensors: tensor `", key, "has shape [8, 32]; config.json asks for [16, 16]"],
    );
}

#[test]
fn values_must_be_finite() {
    let name = "vit.encoder.layer.0.output.dense.weight";
    for (value, at) in [(f32::NAN, 0), (f32::INFINITY, 100), (f32::NEG_INFINITY, 383)] {
        let hub = with("vit_classes", |t| t.get_mut(name).unwrap().1[at] = value);
        let part = format!("holds a value that is not finite, at element {at}");
        refused(&hub, &["model.safetensors: tensor `", name, &part]);
    }
}

#[test]
fn numbers_are_of_few_types() {
    let case = Case::read("vit_classes");
    let hub = case.folder();
    hub.checkpoint("model.safetensors", &case.tensors(), Dtype::F64);
    refused(&hub, &["is of type F64; accepted: F32, F16, BF16"]);
}

#[test]
fn pickles_are_refused_with_the_line_that_converts_them() {
    let hub = Case::read("bert_classes").folder();
    fs::rename(hub.file("model.safetensors"), hub.file("pytorch_model.bin")).unwrap();
    refused(
        &hub,
        &["pytorch_model.bin: is a pickle", "python -c", "weights_only=True", "save_file"],
    );
    fs::remove_file(hub.file("pytorch_model.bin")).unwrap();
    refused(
        &hub,
        &["model.safetensors: is not in the folder, nor is model.safetensors.index.json"],
    );
}

#[test]
fn files_are_missing_or_malformed() {
    let hub = Case::read("bert_classes").folder();
    for (text, part) in [("{", "is not JSON"), ("[]", "no object"), ("", "is not JSON")] {
        fs::write(hub.file("config.json"), text).unwrap();
        refused(&hub, &["config.json: ", part]);
    }
    File::create(hub.file("config.json")).unwrap().set_len(1 << 30).unwrap();
    refused(&hub, &["config.json: has 1073741824 bytes; at most 4194304 are read"]);
    fs::remove_file(hub.file("config.json")).unwrap();
    refused(&hub, &["config.json: is not in the folder"]);
    let hub = Case::read("vit_classes").folder();
    fs::remove_file(hub.file("preprocessor_config.json")).unwrap();
    refused(&hub, &["preprocessor_config.json: is not in the folder"]);
    let file = import(&hub.file("config.json"), &Choices::default()).unwrap_err().to_string();
    assert!(file.contains("is a file; give the folder"), "{file}");
}

#[test]
fn a_tokenizer_is_there_and_the_model_s() {
    let hub = Case::read("bert_classes").folder();
    hub.json("tokenizer.json", &tokenizer(41));
    refused(&hub, &["tokenizer.json: numbers words up to 40; the model has 40"]);
    fs::remove_file(hub.file("tokenizer.json")).unwrap();
    refused(&hub, &["tokenizer.json: is not in the folder", "save_pretrained"]);
    File::create(hub.file("tokenizer.json")).unwrap().set_len(1 << 30).unwrap();
    refused(&hub, &["tokenizer.json: has 1073741824 bytes; at most 25165824 are read"]);
}

#[test]
fn modules_of_a_sentence_encoder_are_few() {
    let hub = Case::read("bert_sentence").folder();
    hub.json("modules.json", &modules(&["Transformer", "Pooling", "Dense", "Normalize"]));
    refused(&hub, &["modules.json: lists Transformer, Pooling, Dense, Normalize; accepted"]);
    hub.json("modules.json", &modules(&["Transformer", "Pooling"]));
    hub.json("1_Pooling/config.json", &json!({"pooling_mode_max_tokens": true}));
    refused(&hub, &["1_Pooling/config.json: asks for pooling_mode_max_tokens; accepted"]);
    let both = json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true});
    hub.json("1_Pooling/config.json", &both);
    refused(&hub, &["asks for pooling_mode_cls_token and pooling_mode_mean_tokens"]);
    let mut outside = modules(&["Transformer", "Pooling"]);
    outside[1]["path"] = json!("../1_Pooling");
    hub.json("modules.json", &outside);
    refused(&hub, &["../1_Pooling/config.json: is outside of the folder"]);
    hub.json("1_Pooling/config.json", &json!({"pooling_mode_mean_tokens": true}));
    outside = modules(&["Transformer", "Pooling"]);
    outside[0]["path"] = json!("..");
    hub.json("modules.json", &outside);
    refused(&hub, &["is outside of the folder"]);
    // The tokenizer keeps capitals, but the encoder was trained without.
    let hub = Case::read("bert_sentence").folder();
    hub.json("sentence_bert_config.json", &json!({"max_seq_length": 8, "do_lower_case": true}));
    assert!(import(&hub.path(), &Choices::default()).is_ok());
    let mut keeps = tokenizer(40);
    keeps["normalizer"] = Value::Null;
    hub.json("tokenizer.json", &keeps);
    refused(&hub, &["sentence_bert_config.json: `do_lower_case` = true"]);
}

/// Names out of a file are escaped and cut.
#[test]
fn messages_show_no_control_characters() {
    let name = format!("\u{1b}[2J{}", "x".repeat(1000));
    let hub = with("bert_classes", |t| drop(t.insert(name, (vec![1], vec![0.0]))));
    let said = refusal(&hub);
    assert!(
        said.contains("\\u{1b}[2Jxxx") && said.len() < 400 && !said.contains('\u{1b}'),
        "{said}"
    );
}
