//! A network's plot.

use super::grid::words;
use super::labels::{Area, FONT, Point, leader, place};
use super::{escape, put};
use crate::search::summary::{Row, Section};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 84.0;
/// Room for the name of the slowest architecture.
const RIGHT: f64 = 90.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 60.0;

/// Round tick positions that cover `low..high`, about `count` of them.
fn ticks(low: f64, high: f64, count: f64) -> (Vec<f64>, usize) {
    let raw = ((high - low) / count).max(1e-9);
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|s| s * power >= raw).unwrap_or(10.0) * power;
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    let digits = (-step.log10().floor()).max(0.0) as usize;
    ((first..=last).map(|i| i as f64 * step).collect(), digits)
}

/// Accuracy against latency: points, baselines, and the front of the points.
pub(super) fn plot(section: &Section, how: &str) -> String {
    let span = |f: &dyn Fn(&Row) -> f64| {
        let values = section.rows.iter().map(f);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
    };
    let (times, time_digits) = {
        let (l, h) = span(&Row::latency);
        ticks(l, h, 8.0)
    };
    let (shares, share_digits) = {
        let (l, h) = span(&|r| 100.0 * r.accuracy);
        ticks(l, h, 6.0)
    };
    let ends = |t: &[f64]| (t[0], t[t.len() - 1]);
    let ((t0, t1), (s0, s1)) = (ends(&times), ends(&shares));
    let x = |t: f64| LEFT + (t - t0) / (t1 - t0).max(1e-12) * (WIDTH - LEFT - RIGHT);
    let y = |s: f64| HEIGHT - BOTTOM - (s - s0) / (s1 - s0).max(1e-12) * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"accuracy against latency\" \
         font-size=\"13\" font-family=\"sans-serif\">\n"
    );
    for &t in &times {
        put(
            &mut out,
            format!(
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{1}\" class=\"rule\"/>\
             <text x=\"{0:.1}\" y=\"{2}\" text-anchor=\"middle\">{t:.3$}</text>",
                x(t),
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 20.0,
                time_digits
            ),
        );
    }
    for &s in &shares {
        put(
            &mut out,
            format!(
                "<line x1=\"{LEFT}\" x2=\"{0}\" y1=\"{1:.1}\" y2=\"{1:.1}\" class=\"rule\"/>\
             <text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{s:.4$} %</text>",
                WIDTH - RIGHT,
                y(s),
                LEFT - 8.0,
                y(s) + 4.0,
                share_digits
            ),
        );
    }
    put(
        &mut out,
        format!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">private latency of one image, seconds, {how}</text>\
         <text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">top-1 accuracy on test images</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 14.0,
            (TOP + HEIGHT - BOTTOM) / 2.0
        ),
    );
    let corners = front(section, x, y, WIDTH - RIGHT);
    put(
        &mut out,
        format!(
            "<path d=\"{}\" fill=\"none\" stroke=\"var(--found)\" stroke-width=\"2\"/>",
            path(&corners)
        ),
    );
    let marks: Vec<Point> =
        section.rows.iter().map(|r| (x(r.latency()), y(100.0 * r.accuracy))).collect();
    // The heading above the plot says which network it is.
    let own = format!("{} ", section.network);
    let names: Vec<&str> =
        section.rows.iter().map(|r| r.name.strip_prefix(&own).unwrap_or(&r.name)).collect();
    let frame = Area { left: LEFT, top: TOP, right: WIDTH, bottom: HEIGHT - BOTTOM };
    let labels = place(&frame, &marks, &names, &corners);
    for (mark, area) in marks.iter().zip(&labels) {
        if let Some([(x1, y1), (x2, y2)]) = leader(mark, area) {
            put(
                &mut out,
                format!(
                    "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"leader\"/>"
                ),
            );
        }
    }
    for (((row, name), &(cx, cy)), area) in section.rows.iter().zip(&names).zip(&marks).zip(&labels)
    {
        let label = format!("{}: {:.4} s, {:.2} %", row.name, row.latency(), 100.0 * row.accuracy);
        let common = format!(
            "class=\"mark\" data-model=\"{}\" data-label=\"{}\"><title>{}\n{}</title>",
            escape(&row.model),
            escape(&label),
            escape(&label),
            words(&row.arch)
        );
        put(
            &mut out,
            match (row.searched, colours(row)) {
                (true, colours) => format!(
                    "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"7\" {colours} {common}</circle>"
                ),
                (false, colours) => format!(
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" {colours} {common}</rect>",
                    cx - 6.0,
                    cy - 6.0
                ),
            },
        );
        // Letters are narrower than their areas: what stands to the left ends at its mark.
        let (edge, anchor) =
            if area.right <= cx { (area.right, "end") } else { (area.left, "start") };
        put(
            &mut out,
            format!(
                "<text x=\"{edge:.1}\" y=\"{:.1}\" font-size=\"{FONT}\" text-anchor=\"{anchor}\" class=\"name\">{}</text>",
                area.bottom - 3.0,
                escape(name)
            ),
        );
    }
    out + "</svg>"
}

/// A mark's colours: what is on the front stands out, what was found and is not is hollow.
fn colours(row: &Row) -> &'static str {
    match (row.point, row.searched) {
        (true, _) => "fill=\"var(--found)\"",
        (false, true) => "fill=\"var(--paper)\" stroke=\"var(--found)\" stroke-width=\"1.5\"",
        (false, false) => "fill=\"var(--baseline)\"",
    }
}

/// The corners of the staircase of the best accuracy that the points of the front reach by each latency.
fn front(
    section: &Section,
    x: impl Fn(f64) -> f64,
    y: impl Fn(f64) -> f64,
    end: f64,
) -> Vec<Point> {
    let (mut corners, mut best): (Vec<Point>, f64) = (Vec::new(), f64::NEG_INFINITY);
    for row in section.rows.iter().filter(|r| r.point) {
        if row.accuracy > best {
            best = row.accuracy;
            let (cx, cy) = (x(row.latency()), y(100.0 * best));
            if let Some(&(_, before)) = corners.last() {
                corners.push((cx, before));
            }
            corners.push((cx, cy));
        }
    }
    if let Some(&(_, last)) = corners.last() {
        corners.push((end, last));
    }
    corners
}

fn path(corners: &[Point]) -> String {
    let joint =
        |(i, (x, y)): (usize, &Point)| format!("{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
    corners.iter().enumerate().map(joint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::summary::{summarise, tests::manifest};

    #[test]
    fn the_front_climbs_from_point_to_point_and_goes_on_to_the_right() {
        let manifest = manifest();
        let summary = summarise(&manifest);
        let corners = front(&summary.networks[0], |t| t, |s| s, 2.0);
        let expected = [(0.5, 80.0), (0.9, 80.0), (0.9, 86.0), (2.0, 86.0)];
        assert_eq!(corners.len(), expected.len());
        for (got, expected) in corners.iter().zip(expected) {
            assert!((got.0 - expected.0).abs() + (got.1 - expected.1).abs() < 1e-9, "{corners:?}");
        }
        assert_eq!(path(&corners[..2]), "M0.5 80.0L0.9 80.0");
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let (t, digits) = ticks(0.0123, 0.0391, 8.0);
        assert!(t[0] <= 0.0123 && *t.last().unwrap() >= 0.0391 && digits == 3, "{t:?} {digits}");
        assert!(t.len() <= 11);
        let (t, _) = ticks(0.5, 0.5, 6.0);
        assert!(!t.is_empty());
    }
}
