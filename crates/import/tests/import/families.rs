//! Every family: a tiny checkpoint under its hub names computes what the reference implementation does.

use safetensors::Dtype;
use sotto_import::{Choices, Filter, Framing, Imported, Scale};
use sotto_models::{
    Model, Weights,
    float::{self, NoProbe},
    model::{Input, Output, Pool},
    text::{self, Text},
};

use crate::hub::{Case, draw, import};

/// Every file of `families/`.
fn cases() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/families");
    let names = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name());
    let names = names.filter_map(|name| Some(name.to_str()?.strip_suffix(".json")?.to_owned()));
    let names: Vec<String> = names.collect();
    assert!(names.len() >= 15, "{names:?}");
    names
}

fn run(case: &Case, imported: &Imported) -> Vec<f32> {
    let (model, weights) = (&imported.model, &imported.weights);
    let input = match case.side {
        0 => {
            let text = Text { words: case.words.clone(), kinds: case.kinds.clone() };
            // The client has the public tables alone.
            text::rows(model, &weights.public(model), &text).unwrap()
        }
        side => draw("picture", 3 * side * side, 0.0, 1.0),
    };
    float::forward(model, weights, &input, &mut NoProbe)
}

/// The largest difference.
fn distance(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

fn imported(name: &str) -> (Case, Imported) {
    let case = Case::read(name);
    let hub = case.folder();
    let imported = import(&hub.path(), &Choices::default());
    (case, imported.unwrap_or_else(|e| panic!("{name}: {e}")))
}

#[test]
fn results_are_the_reference_s() {
    for name in cases() {
        let (case, imported) = imported(&name);
        let error = distance(&run(&case, &imported), &case.result);
        assert!(error < 1e-4, "{name}: {error}");
        assert!(imported.report.family.len() > 2 && imported.report.parameters > 1000, "{name}");
    }
}

#[test]
fn folders_read_back() {
    for name in ["bert_sentence", "deit_teacher"] {
        let (case, imported) = imported(name);
        let out = tempfile::tempdir().unwrap();
        let out = out.path().join("model");
        imported.save(&out).unwrap();
        let model =
            Model::from_toml(&std::fs::read_to_string(out.join("arch.toml")).unwrap()).unwrap();
        assert_eq!(model, imported.model);
        let weights = Weights::load(&out.join("weights.safetensors"), &model).unwrap();
        assert_eq!(weights.hash(), imported.weights.hash());
        assert_eq!(out.join("tokenizer.json").exists(), case.side == 0);
        assert_eq!(out.join("picture.toml").exists(), case.side > 0);
        let again = imported.save(&out).unwrap_err().to_string();
        assert!(again.contains("is there and not empty"), "{again}");
    }
}

#[test]
fn sentence_encoders_are_read_as_such() {
    let (_, imported) = imported("bert_sentence");
    let Input::Words(words) = &imported.model.input else { panic!("words") };
    assert_eq!((words.positions, words.kinds), (8, 2));
    assert_eq!(imported.model.output, Output::Embedding { pool: Pool::Mean, normalise: true });
    assert_eq!(imported.model.name, "tiny-model");
    let skipped: Vec<&str> = imported.report.skipped.iter().map(|(n, _)| &n[..]).collect();
    assert_eq!(skipped, ["pooler.dense.bias", "pooler.dense.weight"]);
    assert_eq!(imported.report.skipped[1].1, 256);
}

#[test]
fn names_of_classes_are_kept_and_framing_is_read() {
    assert_eq!(imported("bert_classes").1.model.labels, ["bad", "neutral", "good"]);
    let (_, deit) = imported("deit_teacher");
    assert_eq!(deit.model.labels, [""; 0]);
    let framing = Framing { scale: Scale::Both, size: 16, crop: 12, filter: Filter::Bicubic };
    assert_eq!(deit.framing, Some(framing));
    let (_, dino) = imported("dinov2_classes");
    assert_eq!(dino.framing.unwrap().scale, Scale::Shorter);
    assert!(dino.report.notes[0].contains("5 x 5 patches were resized to 3 x 3"));
    assert_eq!(imported("timm_vit").1.framing.unwrap().size, 13);
}

/// rxnfp's config names 2 labels where the checkpoint has 50 classes.
#[test]
fn the_checkpoint_says_how_many_classes_there_are() {
    let mut case = Case::read("bert_classes");
    case.config["id2label"] = serde_json::json!({"0": "a", "1": "b"});
    let imported = import(&case.folder().path(), &Choices::default()).unwrap();
    assert_eq!((imported.model.output.classes(), imported.model.labels.len()), (3, 0));
    assert!(imported.report.notes[0].contains("names 2 classes, the checkpoint has 3"));
}

#[test]
fn an_embedding_may_be_chosen() {
    let case = Case::read("bert_classes");
    let choices = Choices { name: Some("a b".into()), embedding: Some(Pool::First) };
    let imported = import(&case.folder().path(), &choices).unwrap();
    assert_eq!(imported.model.output, Output::Embedding { pool: Pool::First, normalise: false });
    assert_eq!(imported.model.name, "a-b");
    assert_eq!(imported.report.skipped.len(), 4);
    assert_eq!(run(&case, &imported).len(), 16);
}

#[test]
fn half_precisions_are_read() {
    let case = Case::read("vit_classes");
    for (dtype, most) in [(Dtype::F16, 0.01), (Dtype::BF16, 0.1)] {
        let hub = case.folder();
        hub.checkpoint("model.safetensors", &case.tensors(), dtype);
        let imported = import(&hub.path(), &Choices::default()).unwrap();
        let error = distance(&run(&case, &imported), &case.result);
        assert!(error > 1e-5 && error < most, "{dtype:?}: {error}");
        assert!(imported.report.half || dtype == Dtype::BF16);
        let out = tempfile::tempdir().unwrap();
        imported.save(&out.path().join("model")).unwrap();
        let file = out.path().join("model/weights.safetensors");
        let weights = Weights::load(&file, &imported.model).unwrap();
        assert_eq!(weights.hash(), imported.weights.hash());
    }
}
