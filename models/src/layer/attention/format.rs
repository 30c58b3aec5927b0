//! The formats of the attention's kinds.

pub use sotto_protocols::compose::attention::SoftmaxFormat;
use sotto_protocols::{
    compose::{
        attention::{DivideFormat, Hidden, LinearFormat, ScoreFormat, Shift},
        row_max::MaxFormat,
    },
    functions::Window,
};

use crate::{
    Calibration, Error, Model,
    calibration::HeadGroup,
    fixed::{ACTIVATION, MARGIN, WEIGHT, at_most, bits},
    kind::{Attention, RELU_EPS},
    model::Place,
    options::{Lengths, MaxKind, Options},
    probe::{HeadPart, Tensor},
    range::Range,
};

/// Formats of one layer's attention.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionFormat {
    /// Softmax heads: of each group, in the order of the heads, how many and which.
    pub softmax: Vec<(usize, SoftmaxFormat)>,
    /// ReLU heads.
    pub relu: Option<(ScoreFormat, DivideFormat)>,
    /// Linear heads.
    pub linear: Option<LinearFormat>,
    /// Fractional bits of the matrix of queries, keys and values: [`WEIGHT`], or fewer where the norm before it needs the
    /// room.
    pub scale: u32,
}

/// The format of one layer's attention, whose result feeds a ring of `result_width` bits.
///
/// # Errors
/// [`Error::Calibration`] when ranges are missing or too wide.
pub fn format(
    model: &Model,
    cal: &Calibration,
    layer: usize,
    options: Options,
    result_width: u32,
) -> Result<AttentionFormat, Error> {
    Ok(AttentionFormat {
        softmax: softmax(model, cal, layer, options, result_width)?,
        relu: relu(model, cal, layer, options.lengths, result_width)?,
        linear: linear(model, cal, layer)?,
        scale: WEIGHT,
    })
}

impl AttentionFormat {
    /// Ring in which queries, keys and values of `model` are opened, as if all had [`ACTIVATION`] fractional bits.
    pub fn product_width(&self, model: &Model) -> u32 {
        let fewer = ACTIVATION - query_scale(model, Attention::Softmax);
        let needs = (self.softmax.iter())
            .flat_map(|(_, s)| [s.scores.product_width + fewer, s.divide.product_width])
            .chain(self.relu.iter().flat_map(|(s, d)| [s.product_width, d.product_width]))
            .chain(self.linear.iter().flat_map(|l| [l.first_width, l.operand_width]));
        needs.max().unwrap_or(0)
    }

    /// Every ring that the trace will use exists.
    ///
    /// # Errors
    /// [`Error::Calibration`] names the layer and the ring.
    pub fn check(&self, layer: usize, result_width: u32) -> Result<(), Error> {
        let name = |what: &str| format!("layer {layer}: {what}");
        let divides = (self.softmax.iter().map(|(_, s)| (s.divide, EXP_SCALE)))
            .chain(self.relu.iter().map(|r| (r.1, r.0.score.1)));
        for (d, lifted) in divides {
            let factor = d.slope_scale + d.sum.bits - d.k;
            at_most(&name("the quotient's ring"), result_width + factor, 64)?;
            let room = d.product_width + lifted - d.weight_scale;
            at_most(&name("the attention weights' ring"), room, 64)?;
        }
        match &self.relu {
            Some((s, _)) => at_most(&name("the compared scores' width"), s.score.0, 25),
            None => Ok(()),
        }
    }
}

fn range(cal: &Calibration, layer: usize, kind: Attention, part: HeadPart) -> Result<Range, Error> {
    cal.range(layer, Tensor::Head(kind, part))
}

/// Whether rows of scores may be long: what is rounded key by key averages out in them, and every threshold costs bits.
fn long(model: &Model) -> bool {
    model.tokens() > 127
}

/// Fractional bits of queries and keys, which their owner makes as large as each other. The root of a mean square of a score's error by
/// the rounding of both is `0.41 2^-scale sqrt(|q| |k|)`: 0.25 % of a power at 10 bits where `|q| |k|` is 40. Scores of ReLU are weights
/// themselves.
pub(super) fn query_scale(model: &Model, kind: Attention) -> u32 {
    match kind {
        Attention::Softmax if long(model) => ACTIVATION - 2,
        Attention::Softmax => ACTIVATION - 1,
        Attention::Relu | Attention::Linear => ACTIVATION,
    }
}

/// Fractional bits of scores.
const SCORE: u32 = 10;
/// Fractional bits of an exponential before it is truncated.
const EXP_SCALE: u32 = 26;

/// Powers of two between the calibrated row maxima for which a public one is taken. A row's powers have 14 fractional bits: at the
/// lowest row of so many, a weight of 1/2 is off by one part in 500.
const PUBLIC_SPREAD: f64 = 4.0;

/// Powers of two above the maximum that the exponent's window of MPCViT's models holds.
const LEAST_ROOM: u32 = 2;

/// Scores of `score_bits` integer bits at `scale`, of operands of `operands` fractional bits.
fn score_format(score_bits: u32, scale: u32, operands: u32) -> ScoreFormat {
    let width = (scale + score_bits + MARGIN + 1).max(SCORE + 6);
    ScoreFormat { product_width: width + 2 * operands - scale, score: (width, scale) }
}

/// Scores of softmax, in powers of two, with room for hidden keys' where lengths may be hidden: as far below the calibrated
/// ones as these are lowered, in the scores' window beside the margin, and in the exponent's beside a factor of three,
/// which is what scores that are not hidden have in it at least.
fn softmax_scores(scores: Range, largest_max: f64, operands: u32, lengths: Lengths) -> ScoreFormat {
    let log2e = std::f64::consts::LOG2_E;
    let mut format = score_format(bits(scores.size() * log2e), SCORE, operands);
    if lengths == Lengths::Public {
        return format;
    }
    let (lowest, below) = (-f64::from(scores.min) * log2e, f64::from(Hidden::BELOW));
    let margin = f64::from(1u32 << MARGIN);
    // A quarter of the exponent's window is above the maximum.
    let fits = |half: f64| {
        margin * lowest + below <= half && 3.0 * (lowest + largest_max) + below <= 1.5 * half
    };
    while format.score.0 < 64 && !fits(f64::from(format.score.0 - 1 - SCORE).exp2()) {
        format.score.0 += 1;
        format.product_width += 1;
    }
    format
}

fn divide_format(
    unnormalised: f64,
    (smallest_sum, largest_sum): (f64, f64),
    weight_scale: u32,
    result_width: u32,
) -> DivideFormat {
    let scale = weight_scale.min(ACTIVATION);
    let window = Window::positive(bits(largest_sum) + scale, scale);
    let k = 13.min(window.bits - 2);
    let lo = window.bits - k;
    // Slopes are small where sums are large: bits for these, as far as the quotient's ring leaves room.
    let room = 64u32.saturating_sub(result_width + lo);
    let slope_scale = (bits(largest_sum) + 6).min(room).max(12);
    // The row sum lives in the product's ring, which must hold its window.
    let output = ACTIVATION + bits(unnormalised) + MARGIN + 2;
    let piece = f64::from(1u32 << lo) / f64::from(1u32 << scale);
    DivideFormat {
        weight_scale,
        product_width: (output + weight_scale).max(window.bits + weight_scale - scale),
        sum: window,
        added: 0,
        k,
        slope_scale,
        floor: (smallest_sum / 2.0).max(2.0 * piece),
        output: (output, ACTIVATION),
    }
}

/// [`divide_format`] with as many fractional bits of the weights as `room` for the product's ring allows, but for four.
fn fitted(
    unnormalised: f64,
    sums: (f64, f64),
    (weight_scale, room): (u32, u32),
    result_width: u32,
) -> DivideFormat {
    let format = |scale| divide_format(unnormalised, sums, scale, result_width);
    let whole = format(weight_scale);
    match whole.product_width.saturating_sub(room).min(4) {
        0 => whole,
        less => format(weight_scale - less),
    }
}

/// Largest sum of a row's powers against its coarse maximum in units of `span` powers of two; 0 where it is exact.
///
/// A power exceeds 1 where its score lies a fraction `f` of a unit above the maximum, by `2^(span f) - 1`. A
/// score is rounded up a unit with probability `f`, over its own mask's low bits, and none of these was, or the maximum
/// would be higher. Masks of different scores are independent, so that the probability of that is the product `P` of all
/// `1 - f`. As `2^(span f) - 1 <= -c ln(1 - f)` with `c = 1.46` for a span of 2 and `0.7` for 1, the powers together
/// exceed 1 by `-c ln P` at most: by more than `32 span` only where `P < e^(-32 span / c) < 2^-60`.
fn largest_sum(model: &Model, span: f64) -> f64 {
    model.tokens() as f64 + 1.0 + 32.0 * span
}

/// Refuses scores whose exponentials would need more than 2^10 pieces, in units of `span` powers of two.
fn possible(
    layer: usize,
    scores: f64,
    (k, span): (u32, u32),
    lengths: Lengths,
) -> Result<(), Error> {
    if k <= 10 {
        return Ok(());
    }
    let hidden = if lengths == Lengths::Hidden { Hidden::BELOW >> MARGIN } else { 0 };
    Err(Error::Calibration(format!(
        "layer {layer}: scores up to {scores:.0} powers of two; up to {} are possible (centre the keys, or train with a z-loss)",
        (span << 7) - hidden
    )))
}

fn softmax(
    model: &Model,
    cal: &Calibration,
    layer: usize,
    options: Options,
    result_width: u32,
) -> Result<Vec<(usize, SoftmaxFormat)>, Error> {
    let kinds = model.stack.attention[layer].iter();
    let count = kinds.filter(|kind| **kind == Attention::Softmax).count();
    let groups = cal.head_groups(layer, count)?.into_iter();
    let of = |g: HeadGroup| Ok((g.heads, softmax_of(model, &g, layer, options, result_width)?));
    groups.map(of).collect()
}

/// Bits that a score of these heads costs, offline and online, about: what heads are grouped by. Two unit vectors, of the
/// exponential and of the thresholds; what is opened twice for each score: itself, its thresholds' bits and its power.
pub(crate) fn bits_a_score(model: &Model, layer: usize, heads: &HeadGroup) -> f64 {
    let rounded = heads.each(|range| range.rounded());
    // The ring of the result is as good as the same for all.
    match softmax_of(model, &rounded, layer, Options::default(), 40) {
        Ok(SoftmaxFormat { scores, shift: Shift::Coarse(max), divide, .. }) => {
            let opened = scores.score.0 + max.thresholds.len() as u32 + divide.product_width;
            f64::from((2 << max.k) + 2 * opened)
        }
        Ok(_) | Err(_) => f64::INFINITY,
    }
}

fn softmax_of(
    model: &Model,
    heads: &HeadGroup,
    layer: usize,
    options: Options,
    result_width: u32,
) -> Result<SoftmaxFormat, Error> {
    let log2e = std::f64::consts::LOG2_E;
    let HeadGroup { scores, row_max, row_sum: sums, unnormalised, .. } = *heads;
    let (low, high) = (f64::from(row_max.min) * log2e, f64::from(row_max.max) * log2e);
    let operands = query_scale(model, Attention::Softmax);
    let format = softmax_scores(scores, high.ceil(), operands, options.lengths);
    let scores = scores.size() * log2e;
    let public = options.max == MaxKind::Public && high - low <= PUBLIC_SPREAD;
    let (shift, scale_up) = if public {
        possible(layer, scores, (format.score.0 - SCORE, 1), options.lengths)?;
        // Powers lie in (2^-(high - low), 1].
        (Shift::Public((high.ceil() as i64) << SCORE), 1.0)
    } else {
        // With many tokens half as many thresholds do, in units of two powers.
        let span = if long(model) { 2 } else { 1 };
        // In units, as indices of the window [-2^(n-1), 2^(n-1)).
        let k = format.score.0 - SCORE - (span - 1);
        possible(layer, scores, (k, span), options.lengths)?;
        let half = f64::from(1u32 << (k - 1));
        let unit = f64::from(span);
        let index = |x: f64| ((x / unit).floor() + half).clamp(1.0, 2.0 * half - 1.0) as u32;
        let thresholds = MaxFormat::covering(k, index(low - 1.0), index(high + 4.0), 1);
        (Shift::Coarse(thresholds), unit.exp2())
    };
    let smallest = match public {
        true => f64::from(sums.min) * (low - high.ceil()).exp2(),
        // The largest power of a row is at least one unit below 1.
        false => 1.0 / scale_up,
    };
    let largest = (scale_up * f64::from(sums.max) * 4.0).min(largest_sum(model, scale_up.log2()));
    let sums = (smallest, largest);
    let unnormalised = unnormalised.size() * scale_up;
    // Powers are rounded without bias, key by key. The norm before the projection needs the rest of the ring.
    let weight_scale = if !public && long(model) { 11 } else { 14 };
    let divide = fitted(unnormalised, sums, (weight_scale, 64 - WEIGHT - 14), result_width);
    let room = match model.stack.place {
        Place::Mpcvit => LEAST_ROOM,
        // A quarter of the exponent's window is above the maximum, whose table saturates there: rows may exceed the
        // calibrated maximum as far as scores may exceed theirs.
        Place::Before | Place::After => 1 << (format.score.0 - SCORE - 2),
    };
    Ok(SoftmaxFormat { scores: format, shift, room, divide })
}

fn relu(
    model: &Model,
    cal: &Calibration,
    layer: usize,
    lengths: Lengths,
    result_width: u32,
) -> Result<Option<(ScoreFormat, DivideFormat)>, Error> {
    if !model.stack.attention[layer].contains(&Attention::Relu) {
        return Ok(None);
    }
    let scores = range(cal, layer, Attention::Relu, HeadPart::Scores)?.size();
    let sums = range(cal, layer, Attention::Relu, HeadPart::RowSum)?;
    let unnormalised = range(cal, layer, Attention::Relu, HeadPart::Unnormalised)?.size();
    // Scores are the weights here, and small row sums divide them: keep their bits.
    let mut format = score_format(bits(scores), ACTIVATION, query_scale(model, Attention::Relu));
    // The comparison's opening must also be liftable: one bit more; and one for hidden keys' scores, which are lowered below
    // zero whatever they were.
    let more = if lengths == Lengths::Hidden { 2 } else { 1 };
    format.score.0 += more;
    format.product_width += more;
    let epsilon = f64::from(RELU_EPS);
    let sums = (epsilon, f64::from(sums.max) * 4.0 + epsilon);
    // Weights are scores here, not powers: theirs are the last bits to go.
    let divide = fitted(unnormalised, sums, (ACTIVATION, 64 - WEIGHT - 10), result_width);
    let added = (epsilon * f64::from(divide.sum.scale).exp2()) as i64;
    Ok(Some((format, DivideFormat { added, ..divide })))
}

/// The power of two, and the remaining factor in `[1, 2)` for the query, of `1 / (N sqrt(d))`.
pub(super) fn linear_scale(model: &Model) -> (u32, f64) {
    let whole = model.tokens() as f64 * (model.stack.head_dim() as f64).sqrt();
    let shift = whole.log2().ceil() as u32;
    (shift, f64::from(shift).exp2() / whole)
}

fn linear(model: &Model, cal: &Calibration, layer: usize) -> Result<Option<LinearFormat>, Error> {
    if !model.stack.attention[layer].contains(&Attention::Linear) {
        return Ok(None);
    }
    let (shift, factor) = linear_scale(model);
    let root = (model.stack.head_dim() as f64).sqrt();
    // The first product as it is computed, with the query's factor where the query is in it.
    let (first, operand) = match model.stack.head_dim() < model.tokens() {
        true => (
            range(cal, layer, Attention::Linear, HeadPart::KeyValue)?.size(),
            cal.range(layer, Tensor::Query)?.size() * factor,
        ),
        false => (
            range(cal, layer, Attention::Linear, HeadPart::Scores)?.size() * root * factor,
            cal.range(layer, Tensor::Value)?.size(),
        ),
    };
    let middle = ACTIVATION + bits(first / f64::from(shift).exp2()) + MARGIN + 2;
    Ok(Some(LinearFormat {
        first_width: middle + ACTIVATION + shift,
        shift,
        middle: (middle, ACTIVATION),
        operand_width: ACTIVATION + bits(operand) + MARGIN + 2,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores of all sizes, in nats: hidden ones have the room in both windows, at a bit at most, or two where scores are
    /// smaller than what they are lowered by.
    #[test]
    fn hidden_scores_leave_no_window() {
        let log2e = std::f64::consts::LOG2_E;
        for i in 0..400 {
            let most = 0.05 * 1.02f32.powi(i);
            for (min, max, top) in
                [(-most, most, most), (-most, 0.1 * most, 0.0), (-0.2, most, most)]
            {
                let top = f64::from(top) * log2e;
                let of = |lengths| softmax_scores(Range { min, max }, top, ACTIVATION, lengths);
                let [public, hidden] = [Lengths::Public, Lengths::Hidden].map(of);
                let half = f64::from(hidden.score.0 - 1 - SCORE).exp2();
                let (lowest, below) = (-f64::from(min) * log2e, f64::from(Hidden::BELOW));
                assert!(4.0 * lowest + below <= half, "{min} {max}");
                assert!(3.0 * (lowest + top) + below <= 1.5 * half, "{min} {max}");
                let more = hidden.score.0 - public.score.0;
                assert!(more <= if most < 6.0 { 2 } else { 1 }, "{min} {max}: {more} bits");
                assert_eq!(hidden.product_width - public.product_width, more);
            }
        }
    }
}
