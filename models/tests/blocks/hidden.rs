//! Texts of hidden lengths: right as if nothing were padded, and one plan for all of a bucket.

use std::panic::{self, AssertUnwindSafe};

use sotto_crypto::Seed;
use sotto_models::{
    Calibration, Model, Private, Weights,
    arch::Attention,
    float::{NoProbe, forward},
    format::Step,
    length::Length,
    model::{Output, Pool},
    private::{Lengths, MaxKind, Options, Reveal, Tables},
    text,
};
use sotto_protocols::{
    local::Local,
    testing::{Bench, Record},
};

use super::{bert, classes, text_models, texts};

const HIDDEN: Options = Options {
    max: MaxKind::Coarse,
    reveal: Reveal::Logits,
    tables: Tables::Pieces,
    lengths: Lengths::Hidden,
};

/// A model with weights, its calibration, and texts of these lengths.
struct Case {
    model: Model,
    weights: Weights,
    calibration: Calibration,
    inputs: Vec<Vec<f32>>,
}

impl Case {
    fn new(model: Model, seed: u64, lengths: &[usize]) -> Self {
        let weights = Weights::random(&model, seed);
        let bench = &mut Bench::new(seed);
        let mut rows = |lengths: &[usize]| -> Vec<Vec<f32>> {
            let texts = texts(&model, lengths, bench);
            texts.iter().map(|text| text::rows(&model, &weights, text).unwrap()).collect()
        };
        let inputs = rows(lengths);
        let mut all = rows(&[20; 6]);
        all.extend(inputs.iter().cloned());
        let calibration = Calibration::record(&model, &weights, &all, |_| ());
        Self { model, weights, calibration, inputs }
    }

    fn private(&self, length: Length, batch: usize, options: Options) -> Private {
        let length = (length, batch);
        Private::of_texts(&self.model, &self.calibration, length, options).expect("a format")
    }

    /// Results with a dealer, which are exactly the simulator's, and without, all in the plan's traffic.
    fn run(&self, private: &Private, inputs: &[Vec<f32>]) -> [Vec<Vec<f64>>; 2] {
        let (plan, given) = (&private.plan, private.encode(inputs));
        let results = Bench::new(23).run_sources(plan, private.matrices(&self.weights), &given);
        results[0].check_exact();
        let own: Vec<usize> = inputs.iter().map(|input| self.model.rows_of(input)).collect();
        results.map(|result| {
            assert_eq!(result.traffic, [plan.online(); 2]);
            private.decode_rows(&result.outputs[0], &own)
        })
    }

    /// Within `bound` of the float reference, which pads nothing.
    fn check(&self, private: &Private, inputs: &[Vec<f32>], bound: f64) {
        let decoded = self.run(private, inputs).into_iter().flatten();
        for (input, got) in inputs.iter().cycle().zip(decoded) {
            let truth = forward(&self.model, &self.weights, input, &mut NoProbe);
            assert_eq!(got.len(), truth.len(), "{}", self.model.name);
            let rows = self.model.rows_of(input);
            for (a, b) in truth.iter().zip(&got) {
                let error = (f64::from(*a) - b).abs();
                assert!(error <= bound, "{rows} rows, {:?}: {b} for {a}", self.model.output);
            }
        }
    }
}

/// Every output, and heads of both kinds that texts have.
fn models() -> Vec<Model> {
    let mut mixed = bert(Output::Embedding { pool: Pool::Mean, normalise: true });
    let kinds = [Attention::Relu, Attention::Softmax];
    mixed.stack.attention = vec![[kinds, kinds].concat(), vec![Attention::Relu; 4]];
    text_models().into_iter().chain([mixed]).collect()
}

#[test]
fn a_padded_text_is_as_right_as_one_that_is_not() {
    for (seed, model) in (1..).zip(models()) {
        let case = Case::new(model, seed, &[1, 2, 15, 16, 17, 20]);
        for (bucket, own) in [(16, 0..4), (20, 4..6)] {
            let inputs = &case.inputs[own];
            for input in inputs {
                let length = Lengths::Hidden.of(case.model.rows_of(input), 20).unwrap();
                assert_eq!(length.rows(), bucket);
            }
            let private = case.private(Length::Hidden(bucket as u32), inputs.len(), HIDDEN);
            case.check(&private, inputs, 1.5e-2);
        }
        let options = Options { max: MaxKind::Public, ..HIDDEN };
        let private = case.private(Length::Hidden(16), 1, options);
        case.check(&private, &case.inputs[2..3], 1.5e-2);
    }
}

/// What a server sees of a text is a function of plan, masks and result: bytes and messages are the same of all that a bucket
/// holds, and so is what is dealt before.
#[test]
fn all_texts_of_a_bucket_have_one_transcript() {
    let case =
        Case::new(bert(Output::Embedding { pool: Pool::Mean, normalise: true }), 3, &[1, 7, 16]);
    let private = case.private(Length::Hidden(16), 1, HIDDEN);
    let public = case.private(Length::Public(16), 1, HIDDEN);
    let messages = |input: &Vec<f32>| {
        let given = private.encode(std::slice::from_ref(input));
        let seed = Seed::from_bytes([5; 32]);
        let local = Local::new(&private.plan, private.matrices(&case.weights), &seed).unwrap();
        let mut seen = [(); 2].map(|()| Record::new(&private.plan));
        let [server, client] = &mut seen;
        local.evaluate_observed(local.deal(0), [&[], &given], [server, client]).unwrap();
        seen.map(|seen| seen.sent.iter().map(|(level, m)| (*level, m.len())).collect::<Vec<_>>())
    };
    let first = messages(&case.inputs[0]);
    assert!(first.iter().all(|sent| sent.len() > 20), "a few levels");
    for input in &case.inputs {
        assert_eq!(messages(input), first);
        // Traffic and corrections are the plan's.
        case.run(&private, std::slice::from_ref(input));
    }
    // The mask itself is free; the sum over the text's own rows is a flight.
    let [hidden, public] = [&private.plan, &public.plan];
    assert_eq!(hidden.online().flights, public.online().flights + 1);
    assert_eq!(hidden.weights, public.weights);
    assert_ne!(hidden.hash(), public.hash());
    let case = Case::new(bert(classes(3, Pool::First, None)), 3, &[7]);
    let [hidden, public] =
        [Length::Hidden(16), Length::Public(16)].map(|length| case.private(length, 1, HIDDEN).plan);
    assert_eq!(hidden.online(), public.online(), "a class token's text is masked for nothing");
    assert_eq!(hidden.correction_bytes(), public.correction_bytes());
}

/// Scores that fill their window: the format has a bit more for hidden ones, and the matrices follow.
#[test]
fn scores_that_fill_their_window_leave_room_for_hidden_ones() {
    let model = bert(Output::Embedding { pool: Pool::Mean, normalise: true });
    let plain = Weights::random(&model, 6);
    let mut case = Case::new(model, 6, &[1, 4, 9, 15, 16]);
    let recorded =
        |case: &Case| Calibration::record(&case.model, &case.weights, &case.inputs, |_| ());
    let lowest = |calibration: &Calibration| -calibration.named(0, "softmax.scores").unwrap().min;
    // 31 powers of two, of 32: with a margin of four, they fill a window of 128.
    let times = 21.5 / lowest(&recorded(&case));
    let named = plain.iter().map(|(name, values)| {
        let mut values = values.to_vec();
        if name.starts_with("blocks.0.attn.qkv") {
            let queries = values.len() / 3;
            values[..queries].iter_mut().for_each(|w| *w *= times);
        }
        (name.to_owned(), values)
    });
    case.weights = Weights::from_values(&case.model, named.collect()).expect("the model's own");
    case.calibration = recorded(&case);
    assert!((21.4..22.1).contains(&lowest(&case.calibration)), "{}", lowest(&case.calibration));
    let private = case.private(Length::Hidden(16), 5, HIDDEN);
    case.check(&private, &case.inputs, 2e-2);
    let width = |private: &Private| match &private.format.sublayers[0].step {
        Step::Attention(format) => format.softmax[0].1.scores.score.0,
        Step::Mlp(_) => unreachable!("attention is first"),
    };
    let public = case.private(Length::Public(16), 1, Options::default());
    assert_eq!(width(&private), width(&public) + 1);
}

#[test]
fn the_class_alone_of_a_hidden_length() {
    let case = Case::new(bert(classes(4, Pool::Mean, None)), 3, &[6, 4]);
    let private = case.private(Length::Hidden(16), 2, Options { reveal: Reveal::Class, ..HIDDEN });
    let decoded = case.run(&private, &case.inputs).into_iter().flatten();
    for (input, hot) in case.inputs.iter().cycle().zip(decoded) {
        let truth = forward(&case.model, &case.weights, input, &mut NoProbe);
        let best = truth.iter().copied().fold(f32::MIN, f32::max);
        let chosen = hot.iter().position(|&h| h == 1.0).expect("one class");
        assert!(truth[chosen] >= best - 2e-2, "{truth:?}: {chosen}");
    }
}

/// Eight bits of each number, and a short text's mean is as exact as a long one's: a unit is the calibrated range and its margin over
/// 256, or up to twice that where the rows do not fill a power of two.
#[test]
fn a_rounded_mean_is_as_exact_of_a_short_text_as_of_a_long_one() {
    let mean = Output::Embedding { pool: Pool::Mean, normalise: false };
    let case = Case::new(bert(mean), 3, &[1, 2, 3, 9, 15, 16]);
    let numbers = 32;
    let public = |lengths: &[usize]| {
        let options = Options { reveal: Reveal::Rounded, ..Options::default() };
        Private::of_lengths(&case.model, &case.calibration, lengths, options).expect("a format")
    };
    let hidden = Options { reveal: Reveal::Rounded, ..HIDDEN };
    let all = &case.inputs[..];
    let lengths: Vec<usize> = all.iter().map(|input| case.model.rows_of(input)).collect();
    let cases = [
        (public(&lengths), all),
        (public(&[1]), &all[..1]),
        (public(&[3, 3]), &[all[2].clone(), all[2].clone()]),
        (case.private(Length::Hidden(16), all.len(), hidden), all),
    ];
    // The longest text has 20 rows, whose sum is 5 bits wider than their mean.
    let unit = f64::from(cases[0].0.format.head.logit_width - 5).exp2() / 4096.0 / 256.0;
    for (private, inputs) in cases {
        assert_eq!(private.plan.revealed_bits() as usize, inputs.len() * numbers * 8);
        case.check(&private, inputs, 2.0 * unit + 1.5e-2);
    }
    let exact = case.private(Length::Hidden(16), 1, HIDDEN).plan.online().flights;
    assert_eq!(case.private(Length::Hidden(16), 1, hidden).plan.online().flights, exact);
}

/// A client does as many look-ups for each text of a bucket; those that are not the text's change nothing of its rows.
#[test]
fn rows_of_a_text_do_not_depend_on_what_follows() {
    for model in [bert(classes(2, Pool::First, None)), text_models().swap_remove(5)] {
        let tables = Weights::random(&model, 4);
        for text in texts(&model, &[1, 7, 16], &mut Bench::new(8)) {
            let rows = text::rows(&model, &tables, &text).unwrap();
            let longer = text::rows(&model, &tables, &text.repeated(16)).unwrap();
            assert_eq!((longer.len(), &longer[..rows.len()]), (16 * 32, &rows[..]));
        }
    }
}

#[test]
fn a_hidden_length_needs_room_and_a_bucket() {
    let case = Case::new(bert(classes(3, Pool::First, None)), 3, &[5]);
    let said = |length: Length, options: Options| {
        let refused = Private::of_texts(&case.model, &case.calibration, (length, 1), options);
        refused.err().expect("refused").to_string()
    };
    assert!(said(Length::Hidden(16), Options::default()).contains("length = \"hidden\""));
    assert!(said(Length::Hidden(8), HIDDEN).contains("a bucket of 8 rows; the model's are 16, 20"));
    assert!(said(Length::Public(21), HIDDEN).contains("1 to 20"));
    let picture = super::vit(classes(2, Pool::First, None));
    let weights = Weights::random(&picture, 3);
    let image = super::pictures(1, &mut Bench::new(1));
    let calibration = Calibration::record(&picture, &weights, &image, |_| ());
    let said = Private::new(&picture, &calibration, 1, HIDDEN).err().expect("refused").to_string();
    assert!(said.contains("no length to hide"), "{said}");
    let private = case.private(Length::Hidden(16), 1, HIDDEN);
    let mean = panic::catch_unwind(AssertUnwindSafe(|| private.decode(&[0; 3])));
    assert!(mean.is_err(), "results without the text's own length");
}
