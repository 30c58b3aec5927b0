//! Folders under the hub's names: a case of `families/` with its weights, which follow from the tensors' names.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use safetensors::{Dtype, tensor::TensorView};
use serde::Deserialize;
use serde_json::{Value, json};
use sotto_import::{Choices, Error, Imported};
use tempfile::TempDir;

macro_rules! families {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../families/", $name, ".json")))),*]
    };
}

/// The files that `families/reference.py` wrote, by name.
pub const FAMILIES: [(&str, &str); 15] = families![
    "albert_classes",
    "bert_classes",
    "bert_sentence",
    "deit_teacher",
    "dinov2_classes",
    "dinov2_registers",
    "distilbert_classes",
    "roberta_classes",
    "timm_deit3",
    "timm_deit_distilled",
    "timm_gap",
    "timm_registers",
    "timm_vit",
    "vit_classes",
    "xlm_roberta_tokens"
];

/// One of them.
#[derive(Clone, Deserialize)]
pub struct Case {
    pub config: Value,
    tensors: Vec<(String, Vec<usize>, f64, f64)>,
    #[serde(default)]
    pub words: Vec<u32>,
    #[serde(default)]
    pub kinds: Vec<u32>,
    #[serde(default)]
    pub side: usize,
    #[serde(default)]
    sentence: bool,
    #[serde(default)]
    old_norms: bool,
    #[serde(default)]
    pub preprocessor: Value,
    pub result: Vec<f64>,
}

/// A tensor: shape and values.
pub type Tensor = (Vec<usize>, Vec<f32>);

/// Numbers of centre +- size, as the script draws them: FNV-1a of the name, then splitmix64.
pub fn draw(name: &str, count: usize, centre: f64, size: f64) -> Vec<f32> {
    let fnv = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    let number = |i: u64| {
        let x = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((x ^ (x >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0;
        (centre + size * unit) as f32
    };
    (1..=count as u64).map(number).collect()
}

impl Case {
    pub fn read(name: &str) -> Self {
        let (_, text) = FAMILIES.iter().find(|(family, _)| *family == name).unwrap();
        serde_json::from_str(text).unwrap()
    }

    /// The checkpoint, under the hub's names.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        let each = |(name, shape, centre, size): &(String, Vec<usize>, f64, f64)| {
            let values = draw(name, shape.iter().product(), *centre, *size);
            let mut name = name.clone();
            if self.old_norms && name.contains("LayerNorm") {
                name = name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta");
            }
            (name, (shape.clone(), values))
        };
        self.tensors.iter().map(each).collect()
    }

    /// The same of so many words, for texts of at most so many.
    pub fn resized(mut self, words: usize, positions: usize) -> Self {
        let (old, stored) = ("vocab_size", "max_position_embeddings");
        let of = |config: &Value, field: &str| config[field].as_u64().unwrap() as usize;
        // RoBERTa's first positions are no word's.
        let first = if self.config["model_type"] == "albert" { 0 } else { 2 };
        for (name, shape, ..) in &mut self.tensors {
            if name.ends_with("word_embeddings.weight") {
                assert_eq!(shape[0], of(&self.config, old));
                shape[0] = words;
            }
            if name.ends_with("position_embeddings.weight") {
                assert_eq!(shape[0], of(&self.config, stored));
                shape[0] = first + positions;
            }
        }
        self.config[old] = json!(words);
        self.config[stored] = json!(first + positions);
        self
    }

    /// A folder that holds everything.
    pub fn folder(&self) -> Hub {
        let hub = Hub::new();
        hub.json("config.json", &self.config);
        hub.checkpoint("model.safetensors", &self.tensors(), Dtype::F32);
        if self.side == 0 {
            hub.json("tokenizer.json", &tokenizer(40));
        }
        if !self.preprocessor.is_null() {
            hub.json("preprocessor_config.json", &self.preprocessor);
        }
        if self.sentence {
            hub.json("modules.json", &modules(&["Transformer", "Pooling", "Normalize"]));
            let pooling = json!({"word_embedding_dimension": 16, "pooling_mode_mean_tokens": true,
                "pooling_mode_cls_token": false});
            hub.json("1_Pooling/config.json", &pooling);
            let limits = json!({"max_seq_length": 8, "do_lower_case": false});
            hub.json("sentence_bert_config.json", &limits);
        }
        hub
    }
}

/// `modules.json` of these kinds.
pub fn modules(kinds: &[&str]) -> Value {
    let each = |(i, kind): (usize, &&str)| {
        let path = if i == 0 { String::new() } else { format!("{i}_{kind}") };
        json!({"idx": i, "name": i.to_string(), "path": path,
            "type": format!("sentence_transformers.models.{kind}")})
    };
    kinds.iter().enumerate().map(each).collect()
}

/// A tokenizer of the words `w0`, `w1`, .. that puts 2 in front and 3 behind, and asks for padding and truncation.
pub fn tokenizer(words: usize) -> Value {
    let vocabulary: BTreeMap<String, usize> = (0..words).map(|i| (format!("w{i}"), i)).collect();
    let special = |name: &str, id: u32| json!({"id": name, "ids": [id], "tokens": [name]});
    let token = |id: &str, kind: u32| json!({"SpecialToken": {"id": id, "type_id": kind}});
    let text = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "w0"},
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [token("w2", 0), text("A", 0), token("w3", 0)],
            "pair": [token("w2", 0), text("A", 0), token("w3", 0), text("B", 1), token("w3", 1)],
            "special_tokens": {"w2": special("w2", 2), "w3": special("w3", 3)}},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "w1"},
    })
}

/// A folder under test.
pub struct Hub(TempDir);

impl Hub {
    pub fn new() -> Self {
        Hub(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("tiny model")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub fn json(&self, name: &str, value: &Value) {
        fs::write(self.file(name), serde_json::to_vec(value).unwrap()).unwrap();
    }

    pub fn checkpoint(&self, name: &str, tensors: &BTreeMap<String, Tensor>, dtype: Dtype) {
        let bytes: BTreeMap<&String, Vec<u8>> =
            tensors.iter().map(|(name, (_, values))| (name, encode(values, dtype))).collect();
        let views = tensors.iter().map(|(name, (shape, _))| {
            (name, TensorView::new(dtype, shape.clone(), &bytes[name]).unwrap())
        });
        fs::write(self.file(name), safetensors::serialize(views, None).unwrap()).unwrap();
    }
}

fn encode(values: &[f32], dtype: Dtype) -> Vec<u8> {
    let each = |x: &f32| match dtype {
        Dtype::F16 => f16::from_f32(*x).to_le_bytes().to_vec(),
        Dtype::BF16 => bf16::from_f32(*x).to_le_bytes().to_vec(),
        Dtype::F64 => f64::from(*x).to_le_bytes().to_vec(),
        _ => x.to_le_bytes().to_vec(),
    };
    values.iter().flat_map(each).collect()
}

/// Imports a folder.
pub fn import(path: &Path, choices: &Choices) -> Result<Imported, Error> {
    sotto_import::import(path, choices, &mut |_, _| ())
}
