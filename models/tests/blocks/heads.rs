//! Heads of unlike range: sorted, with a format for each group.

use std::collections::BTreeMap;

use sotto_models::{
    Calibration, Model, Private, Weights,
    arch::Attention,
    calibration::HeadGroup,
    float::{NoProbe, forward},
    format::Step,
    model::{Output, Pool},
    owner,
    private::{Lengths, Options},
    text,
};
use sotto_protocols::testing::Bench;

use super::{bert, check, texts};

/// A model in which the second head's scores reach much further than the others'.
fn specimen(kinds: Vec<Vec<Attention>>) -> (Model, Weights, Vec<Vec<f32>>) {
    let mut model = bert(Output::Embedding { pool: Pool::Mean, normalise: true });
    model.stack.attention = kinds;
    let mut values: BTreeMap<String, Vec<f32>> = Weights::random(&model, 12)
        .iter()
        .map(|(name, values)| (name.to_owned(), values.to_vec()))
        .collect();
    for layer in 0..2 {
        let qkv = values.get_mut(&format!("blocks.{layer}.attn.qkv.weight")).unwrap();
        qkv[8 * 32..16 * 32].iter_mut().for_each(|w| *w *= 12.0);
    }
    let weights = Weights::from_values(&model, values).unwrap();
    let texts = texts(&model, &[9; 12], &mut Bench::new(4));
    let rows = texts.iter().map(|text| text::rows(&model, &weights, text).unwrap()).collect();
    (model, weights, rows)
}

fn traced(model: &Model, calibration: &Calibration) -> Private {
    Private::of_lengths(model, calibration, &[9, 9], Options::default()).unwrap()
}

#[test]
fn heads_of_unlike_range_have_formats_of_their_own() {
    let (model, weights, rows) = specimen(vec![vec![Attention::Softmax; 4]; 2]);
    let owner::Calibrated { weights: sorted, calibration, far, .. } =
        owner::calibrated(&model, &weights, &rows, |_| ()).unwrap();
    assert!(far.is_none());
    for groups in &calibration.heads {
        let counts: Vec<usize> = groups.iter().map(|group| group.heads).collect();
        assert!(counts.len() > 1 && *counts.last().unwrap() == 1, "{counts:?}");
        let last = groups.last().unwrap().scores.size();
        assert!(groups[..groups.len() - 1].iter().all(|g| 4.0 * g.scores.size() < last));
    }
    // The wide head comes last: its rows of queries, and its columns of the projection.
    let moved = |name: &str| [&weights, &sorted].map(|w| w.values(name).to_vec());
    let [before, after] = moved("blocks.0.attn.qkv.weight");
    assert_eq!(before[8 * 32..16 * 32], after[24 * 32..32 * 32]);
    let [before, after] = moved("blocks.0.attn.proj.weight");
    assert_eq!(before[8..16], after[24..32]);
    for row in &rows {
        let [a, b] = [&weights, &sorted].map(|w| forward(&model, w, row, &mut NoProbe));
        a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-4, "{a} and {b}"));
    }
    assert_eq!(Calibration::from_toml(&calibration.to_toml()).unwrap(), calibration);

    let plain = Calibration { heads: Vec::new(), ..calibration.clone() };
    let [before, after] = [&plain, &calibration].map(|c| traced(&model, c));
    check(&model, &sorted, &rows[..2], &after, 1.5e-2);
    let [a, b] = [&before.plan, &after.plan];
    assert_eq!(a.online().flights, b.online().flights);
    assert!(b.correction_bytes() * 10 < a.correction_bytes() * 9);
    assert!(b.online().from_client < a.online().from_client);
    // Peers learn the format alone, from ranges that are not the owner's.
    let told = calibration.told(&model, Options::default());
    assert_eq!(traced(&model, &told).plan.hash(), b.hash());
    assert_ne!(told.heads, calibration.heads);
    assert!(!told.layers[0].contains_key("softmax.scores"), "{told:?}");
    // Hidden lengths have room in each group.
    let options = Options { lengths: Lengths::Hidden, ..Options::default() };
    let widths = |options| {
        let private = Private::of_lengths(&model, &calibration, &[9], options).unwrap();
        let Step::Attention(format) = private.format.sublayers[0].step.clone() else {
            panic!("attention is first")
        };
        format.softmax.iter().map(|(_, f)| f.scores.score.0).collect::<Vec<u32>>()
    };
    let pairs = widths(Options::default()).into_iter().zip(widths(options));
    assert!(pairs.into_iter().all(|(public, hidden)| (public..=public + 2).contains(&hidden)));
}

/// What other inputs reach is told group by group, in the order of the weights.
#[test]
fn what_is_seen_is_seen_by_group() {
    let (model, weights, rows) = specimen(vec![vec![Attention::Softmax; 4]; 2]);
    let of = owner::calibrated(&model, &weights, &rows, |_| ()).unwrap();
    let seen = of.calibration.seen(&model, &of.weights, &rows);
    // Sums over channels in another order are rounded otherwise.
    let alike = |a: f64, b: f64| (a - b).abs() < 1e-3;
    for (was, is) in of.calibration.heads.concat().iter().zip(seen.heads.concat()) {
        let both = was.parts().into_iter().zip(is.parts());
        assert!(was.heads == is.heads && both.into_iter().all(|(a, b)| alike(a.size(), b.size())));
    }
    for (was, is) in of.calibration.groups.concat().iter().zip(seen.groups.concat()) {
        assert!(was.channels == is.channels && alike(was.range.size(), is.range.size()));
    }
    let few = of.calibration.seen(&model, &of.weights, &rows[..1]);
    for (all, few) in of.calibration.heads.concat().iter().zip(few.heads.concat()) {
        assert!(few.scores.size() <= all.scores.size() + 1e-3 && few.heads == all.heads);
    }
}

#[test]
fn heads_of_other_kinds_stay_where_they_are() {
    let (soft, relu) = (Attention::Softmax, Attention::Relu);
    let (model, weights, rows) = specimen(vec![vec![soft, soft, relu, soft], vec![relu; 4]]);
    let of = owner::calibrated(&model, &weights, &rows, |_| ()).unwrap();
    let groups = &of.calibration.heads;
    assert_eq!(groups[0].iter().map(|group| group.heads).sum::<usize>(), 3);
    assert!(groups[0].len() > 1 && groups[1].is_empty());
    let [before, after] = [&weights, &of.weights].map(|w| w.values("blocks.0.attn.qkv.weight"));
    assert_eq!(before[16 * 32..24 * 32], after[16 * 32..24 * 32], "the third head");
    assert_eq!(before[8 * 32..16 * 32], after[24 * 32..32 * 32], "the second is the last");
    check(&model, &of.weights, &rows[..2], &traced(&model, &of.calibration), 1.5e-2);
}

#[test]
fn groups_that_are_not_the_layer_s_are_refused() {
    let (model, weights, rows) = specimen(vec![vec![Attention::Softmax; 4]; 2]);
    let of = owner::calibrated(&model, &weights, &rows, |_| ()).unwrap();
    type Spoil = fn(&mut Vec<Vec<HeadGroup>>);
    let bad: [(Spoil, &str); 5] = [
        (|h| h[0][0].heads += 1, "do not make 4 softmax heads"),
        (|h| h[1][0].heads = usize::MAX, "do not make 4 softmax heads"),
        (|h| h[1].clear(), "are 0; accepted: 1 to 16"),
        (|h| drop(h.pop()), "layer 1: `heads` are 0"),
        (|h| h[0][0].row_sum.max = f32::NAN, "have a range that is none"),
    ];
    for (spoil, part) in bad {
        let mut calibration = of.calibration.clone();
        spoil(&mut calibration.heads);
        let said = Private::new(&model, &calibration, 1, Options::default()).err();
        let said = said.expect("refused").to_string();
        assert!(said.contains(part), "{said}");
    }
}
