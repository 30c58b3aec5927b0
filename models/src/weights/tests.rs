use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::*;
use crate::Arch;

fn small() -> Arch {
    Arch::vit(2, 2, 8, 12, 8, 4, 3)
}

struct Raw {
    name: String,
    kind: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

/// A file with its tensors passed through `edit`, which may change each or refuse it.
fn edited(edit: impl Fn(&mut Raw) -> bool) -> Vec<u8> {
    let bytes = Weights::random(&small(), 1).to_bytes(Precision::F32).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut kept = Vec::new();
    for (name, view) in file.tensors() {
        let (kind, shape) = (view.dtype(), view.shape().to_vec());
        let mut raw = Raw { name, kind, shape, data: view.data().to_vec() };
        if edit(&mut raw) {
            kept.push(raw);
        }
    }
    let views = kept
        .iter()
        .map(|raw| (&raw.name, TensorView::new(raw.kind, raw.shape.clone(), &raw.data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn shapes_agree_with_the_parameter_count() {
    for arch in [small(), Arch::vit_cifar(), Arch::vit_tiny()] {
        assert_eq!(Model::from(&arch).parameters(), arch.parameters());
    }
    assert_eq!(Weights::random(&small(), 1).parameters(), small().parameters());
}

#[test]
fn random_weights_have_the_benchmark_scale() {
    let weights = Weights::random(&Arch::vit_cifar(), 7);
    for (name, std) in [
        ("blocks.3.attn.qkv.weight", 1.0 / 16.0),
        ("blocks.3.mlp.fc2.weight", 1.0 / 512f64.sqrt()),
        ("patch_embed.weight", 1.0 / 48f64.sqrt()),
        ("pos_embed", 0.2),
    ] {
        let values = weights.values(name);
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| x as f64).sum::<f64>() / n;
        let var = values.iter().map(|&x| (x as f64).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 5.0 * std / n.sqrt(), "{name}: mean {mean}");
        assert!((var.sqrt() / std - 1.0).abs() < 5.0 / n.sqrt(), "{name}: {}", var.sqrt());
    }
    assert!(weights.values("norm.weight").iter().all(|&x| x == 1.0));
    let bias = weights.values("blocks.0.mlp.fc1.bias");
    assert!(bias.iter().all(|x| x.abs() < 0.12) && bias[0] != bias[1]);
}

#[test]
fn seeds_are_reproducible() {
    let w = Weights::random(&small(), 1);
    assert_eq!(w.hash(), Weights::random(&small(), 1).hash());
    assert_ne!(w.hash(), Weights::random(&small(), 2).hash());
    assert_ne!(w.values("blocks.0.attn.proj.weight"), w.values("blocks.1.attn.proj.weight"));
}

#[test]
fn files_round_trip() {
    let weights = Weights::random(&small(), 1);
    let exact = weights.to_bytes(Precision::F32).unwrap();
    assert_eq!(Weights::from_bytes(&small(), &exact).unwrap(), weights);
    let short = weights.to_bytes(Precision::F16).unwrap();
    assert!(short.len() * 3 < exact.len() * 2);
    let rounded = Weights::from_bytes(&small(), &short).unwrap();
    assert_ne!(rounded.hash(), weights.hash());
    for (name, tensor) in &weights.tensors {
        for (a, b) in tensor.values.iter().zip(rounded.values(name)) {
            assert!((a - b).abs() <= a.abs() / 2048.0 + 6e-8, "{name}: {a} {b}");
        }
    }
    assert_eq!(rounded.to_bytes(Precision::F16).unwrap(), short);
}

#[test]
fn values_by_name_are_the_file_s_or_refused() {
    let weights = Weights::random(&small(), 1);
    let all = || -> BTreeMap<String, Vec<f32>> {
        weights.tensors.iter().map(|(name, t)| (name.clone(), t.values.clone())).collect()
    };
    assert_eq!(Weights::from_values(&small(), all()).unwrap(), weights);
    type Spoil = fn(&mut BTreeMap<String, Vec<f32>>);
    let cases: [(Spoil, &str); 4] = [
        (|v| drop(v.remove("cls_token")), "missing \"cls_token\"; not expected none"),
        (|v| drop(v.insert("more".into(), vec![])), "missing none; not expected \"more\""),
        (|v| v.get_mut("head.bias").unwrap().push(0.0), "`head.bias` has 4 values; expected [3]"),
        (|v| v.get_mut("head.bias").unwrap()[1] = f32::NAN, "not finite, at element 1"),
    ];
    for (spoil, part) in cases {
        let mut values = all();
        spoil(&mut values);
        let said = Weights::from_values(&small(), values).unwrap_err().to_string();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn bf16_is_read() {
    let bytes = edited(|raw| {
        raw.kind = Dtype::BF16;
        raw.data = raw.data.chunks_exact(4).flat_map(|b| [b[2], b[3]]).collect();
        true
    });
    let read = Weights::from_bytes(&small(), &bytes).unwrap();
    let weights = Weights::random(&small(), 1);
    for (a, b) in weights.values("head.weight").iter().zip(read.values("head.weight")) {
        assert_eq!(f32::from_bits(a.to_bits() & 0xffff_0000), *b);
    }
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    let only = |name: &str, edit: fn(&mut Raw)| {
        edited(|raw| {
            if raw.name == name {
                edit(raw);
            }
            true
        })
    };
    let whole = edited(|_| true);
    let nan = |raw: &mut Raw| raw.data[8..12].copy_from_slice(&f32::NAN.to_le_bytes());
    let inf = |raw: &mut Raw| raw.data[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let cases: [(Vec<u8>, &str); 8] = [
        (edited(|raw| raw.name != "cls_token"), "missing \"cls_token\"; not expected none"),
        (edited(|raw| !raw.name.starts_with("blocks.1")), "and 5 more; not expected none"),
        (
            only("head.weight", |raw| raw.shape.reverse()),
            "`head.weight` has shape [8, 3]; expected [3, 8]",
        ),
        (
            only("norm.bias", |raw| raw.kind = Dtype::I32),
            "`norm.bias` has type I32; accepted: F32, F16, BF16",
        ),
        (only("head.bias", nan), "`head.bias` holds a value that is not finite, at element 2"),
        (only("cls_token", inf), "`cls_token` holds a value that is not finite, at element 1"),
        (whole[..900].to_vec(), "not a safetensors file"),
        (Vec::new(), "not a safetensors file"),
    ];
    for (bytes, part) in cases {
        let said = Weights::from_bytes(&small(), &bytes).unwrap_err().to_string();
        assert!(said.contains(part), "{said}");
    }
    let deeper = Arch::vit(3, 2, 8, 12, 8, 4, 3);
    let said = Weights::from_bytes(&deeper, &whole).unwrap_err().to_string();
    assert!(said.contains("missing \"blocks.2."), "{said}");
    let shallower = Arch::vit(1, 2, 8, 12, 8, 4, 3);
    let said = Weights::from_bytes(&shallower, &whole).unwrap_err().to_string();
    assert!(said.contains("missing none; not expected \"blocks.1."), "{said}");
}

#[test]
fn half_precision_refuses_what_overflows() {
    let mut weights = Weights::random(&small(), 1);
    weights.tensors.get_mut("head.bias").unwrap().values[1] = 70000.0;
    let said = weights.to_bytes(Precision::F16).unwrap_err().to_string();
    assert!(said.contains("`head.bias` does not fit f16, at element 1"), "{said}");
    assert!(!said.contains("70000"));
    weights.to_bytes(Precision::F32).unwrap();
}

#[test]
fn debug_shows_no_weight() {
    let shown = format!("{:?}", Weights::random(&small(), 1));
    let parameters = small().parameters();
    assert_eq!(shown, format!("Weights {{ 30 tensors, {parameters} parameters, .. }}"));
}
