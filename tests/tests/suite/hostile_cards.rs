//! Hostile cards: whatever architecture, calibration, options and batch say, tracing gives a plan or an error, and a
//! small plan can be dealt and evaluated. Client and dealer get their card from the server.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use sotto_crypto::Seed;
use sotto_models::{
    Arch, Calibration, Private, Weights,
    arch::{Activation, Attention},
    calibration::Range,
    format::MaxKind,
    private::{Options, Reveal, Tables},
};
use sotto_protocols::Role;

use crate::{wiretap::transcript, zoo};

/// Sizes that are possible, at the edge, or beyond it.
fn size() -> impl Strategy<Value = usize> {
    let odd =
        select(&[0, 5, 7, 12, 63, 64, 65, 192, 256, 257, 1000, 4096, 65536, 65537, usize::MAX][..]);
    prop_oneof![6 => select(&[1, 2, 3, 4, 8, 16][..]), 1 => odd]
}

fn arch() -> impl Strategy<Value = Arch> {
    let sizes = (size(), size(), size(), size(), size(), size(), size());
    let kinds = (vec(0usize..3, 16), vec(0usize..3, 8), 0usize..40);
    (sizes, kinds).prop_map(|((layers, heads, dim, mlp, image, patch, classes), kinds)| {
        let (layers, heads) = (layers.min(70), heads.min(300));
        let (attention, activation, spoilt) = kinds;
        // Most of them divide as they must.
        let dim = if spoilt == 0 { dim } else { dim.saturating_mul(heads).min(5000) };
        let image = if spoilt == 1 { image } else { image.saturating_mul(patch).min(2000) };
        let mut arch = Arch::vit(layers, heads, dim, mlp, image, patch, classes);
        for (i, layer) in arch.attention.iter_mut().enumerate() {
            for (h, kind) in layer.iter_mut().enumerate() {
                *kind = Attention::ALL[attention[(3 * i + h) % 16]];
            }
        }
        for (i, kind) in arch.activation.iter_mut().enumerate() {
            *kind = [Activation::Gelu, Activation::Relu, Activation::None][activation[i % 8]];
        }
        if spoilt == 2 {
            arch.attention.pop();
        }
        arch
    })
}

fn bound() -> impl Strategy<Value = f32> {
    let odd = select(
        &[0.0, -0.0, 1e-30, -1e-30, 1e6, -1e6, 1e7, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN][..],
    );
    let size = (-20.0f32..20.0, any::<bool>());
    let any_size = size.prop_map(|(log, negative)| log.exp2() * if negative { -1.0 } else { 1.0 });
    prop_oneof![1 => odd, 8 => any_size, 8 => -99.0f32..99.0]
}

fn range() -> impl Strategy<Value = Range> {
    (bound(), bound(), 0usize..50).prop_map(|(a, b, as_it_is)| match as_it_is {
        0 => Range { min: a, max: b },
        _ => Range { min: a.min(b), max: a.max(b) },
    })
}

/// A range that some model has.
fn mild() -> impl Strategy<Value = Range> {
    (0.01f32..4.0, 0.01f32..4.0).prop_map(|(a, b)| Range { min: a.min(b), max: a.max(b) })
}

fn options() -> impl Strategy<Value = Options> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(public, class, rows)| Options {
        max: if public { MaxKind::Public } else { MaxKind::Coarse },
        reveal: if class { Reveal::Class } else { Reveal::Logits },
        tables: if rows { Tables::Rows } else { Tables::Pieces },
        ..Options::default()
    })
}

/// What `work` gives, or the text of its panic.
fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, TestCaseError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|why| {
        let text = why.downcast_ref::<String>().cloned();
        let text = text.or_else(|| why.downcast_ref::<&str>().map(|why| why.to_string()));
        TestCaseError::fail(format!("panics: {}", text.unwrap_or_default()))
    })
}

/// Evaluates a plan that is small enough for it, on random weights, wherever they lie.
fn evaluated(private: &Private, arch: &Arch) -> bool {
    let plan = &private.plan;
    let work: u64 = plan.nodes.iter().map(|n| n.gate.work()).map(|w| w.dealer + w.online[0]).sum();
    if plan.correction_bytes() + plan.setup_bytes() > 1 << 20 || work > 1 << 22 {
        return false;
    }
    let matrices = private.matrices(&Weights::random(arch, 1));
    let image = vec![0.5; 3 * arch.image * arch.image];
    let input = private.encode(&vec![image; private.batch]);
    transcript(plan, &matrices, &input, &Seed::from_bytes([1; 32]), Role::Server);
    true
}

#[test]
fn cards_are_plans_or_errors() {
    let names = zoo::names();
    let (plans, runs) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() };
    proptest!(config, |(
        arch in arch(), options in options(), ranges in vec(mild(), 64),
        batch in prop_oneof![4 => 1usize..5, 2 => 5usize..=64, 1 => select(&[0, 65, usize::MAX][..])],
        spoilt in vec((any::<Index>(), prop::option::weighted(0.95, range())), 0..4),
    )| {
        let mut all: Vec<_> = (0..(arch.layers + 1) * names.len())
            .map(|i| Some(ranges[7 * i % 64]))
            .collect();
        for (at, range) in spoilt {
            let at = at.index(all.len());
            all[at] = range;
        }
        let layers = all.chunks(names.len()).map(|layer| {
            let named = names.iter().zip(layer);
            named.filter_map(|(name, range)| Some((name.clone(), (*range)?))).collect()
        });
        let calibration = Calibration { images: 1, weights: String::new(), groups: Vec::new(), heads: Vec::new(), layers: layers.collect() };
        if let Ok(private) = quietly(|| Private::new(&arch, &calibration, batch, options))? {
            plans.set(plans.get() + 1);
            runs.set(runs.get() + usize::from(quietly(|| evaluated(&private, &arch))?));
        }
    });
    let (plans, runs) = (plans.get(), runs.get());
    println!("{plans} plans of 1000 cards, {runs} of them evaluated");
    assert!(plans > 100 && runs > 30, "{plans} plans, {runs} evaluations: the cards are too wild");
}

/// The largest model of each kind is priced without the memory or the time that it would need.
#[test]
fn the_largest_cards_are_traced_or_refused_at_once() {
    let names = zoo::names();
    let range = Range { min: 0.5, max: 0.75 };
    let layers = |count| vec![names.iter().map(|n| (n.clone(), range)).collect(); count];
    for kind in Attention::ALL {
        for classes in [65_536, 4_096] {
            let mut arch = Arch::vit(64, 256, 768, 1024, 1024, 32, classes).with_attention(kind);
            arch.labels.clear();
            let calibration = Calibration {
                images: 1,
                weights: String::new(),
                groups: Vec::new(),
                heads: Vec::new(),
                layers: layers(arch.layers + 1),
            };
            for tables in [Tables::Pieces, Tables::Rows] {
                let options = Options { reveal: Reveal::Class, tables, ..Options::default() };
                let private = Private::new(&arch, &calibration, 64, options);
                let private = private.expect("all ranges are mild");
                assert!(private.plan.correction_bytes() > 1 << 30);
            }
        }
    }
}

/// Sizes that a tensor's range can have around each power of two, tensor by tensor, beside mild others.
#[test]
fn every_size_of_every_tensor_is_a_plan_or_an_error() {
    let names = zoo::names();
    let mild = Range { min: -1.0, max: 1.5 };
    let steps = (-12..21).flat_map(|octave| {
        [0, 1, 8, 15].map(|step| (1.0 + step as f32 / 16.0) * (octave as f32).exp2())
    });
    let sizes: Vec<f32> = steps.collect();
    for kind in Attention::ALL {
        let arch = Arch::vit(1, 1, 16, 16, 8, 4, 3).with_attention(kind);
        for tensor in &names {
            for &size in &sizes {
                for (min, max) in [(-size, size), (size, size), (0.0, size)] {
                    let layer = names.iter().map(|name| {
                        let spoilt = Range { min, max };
                        (name.clone(), if name == tensor { spoilt } else { mild })
                    });
                    let layers = vec![layer.collect(); 2];
                    let calibration = Calibration {
                        images: 1,
                        weights: String::new(),
                        groups: Vec::new(),
                        heads: Vec::new(),
                        layers,
                    };
                    for tables in [Tables::Pieces, Tables::Rows] {
                        let options = Options { tables, ..Options::default() };
                        let panics = std::panic::catch_unwind(|| {
                            drop(Private::new(&arch, &calibration, 1, options));
                        });
                        assert!(
                            panics.is_ok(),
                            "{kind:?}, {tables:?}: {tensor} from {min} to {max}"
                        );
                    }
                }
            }
        }
    }
}
