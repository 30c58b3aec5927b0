//! What privacy costs: one image in the clear, on each device that was measured, beside a private one.

use super::{escape, put};
use crate::search::summary::{Row, Section};

const WIDTH: f64 = 900.0;
/// Room for the architectures' names.
const LEFT: f64 = 250.0;
/// Room for the last bar's seconds.
const RIGHT: f64 = 80.0;
const BAR: f64 = 13.0;
/// Between two architectures.
const GAP: f64 = 8.0;
const BOTTOM: f64 = 46.0;

/// The names and seconds of a row's bars; none where plaintext was not measured beside it.
fn times(row: &Row) -> Vec<(&str, f64)> {
    let Some(details) = row.details.as_ref().filter(|d| !d.plaintext.is_empty()) else {
        return Vec::new();
    };
    let clear = details.plaintext.iter().map(|one| (one.device.as_str(), one.one_s));
    let all = clear.chain([("private", row.latency())]);
    all.filter(|(_, seconds)| seconds.is_finite() && *seconds > 0.0).collect()
}

/// Seconds for a reader.
fn told(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} us", 1e6 * s),
        s if s < 1.0 => format!("{:.1} ms", 1e3 * s),
        s => format!("{s:.2} s"),
    }
}

/// The devices, as their makers call them.
pub(super) fn devices(section: &Section) -> Vec<String> {
    let rows = section.rows.iter().filter_map(|row| row.details.as_ref());
    let mut all: Vec<String> = rows
        .flat_map(|d| &d.plaintext)
        .map(|one| format!("{}: {}", one.device, one.name))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// A bar for each device and one for the private image, on a scale of powers of ten; nothing where no time in the clear is known.
pub(super) fn bars(section: &Section) -> Option<String> {
    let rows: Vec<(&Row, Vec<(&str, f64)>)> = (section.rows.iter().map(|row| (row, times(row))))
        .filter(|(_, times)| !times.is_empty())
        .collect();
    let powers = rows.iter().flat_map(|(_, times)| times).map(|(_, seconds)| seconds.log10());
    let ends = (f64::INFINITY, f64::NEG_INFINITY);
    let (low, high) = powers.fold(ends, |(l, h), p| (l.min(p), h.max(p)));
    if rows.is_empty() {
        return None;
    }
    let (low, high) = (low.floor() as i32, (high.ceil() as i32).max(low.floor() as i32 + 1));
    let span = WIDTH - LEFT - RIGHT;
    let length = |seconds: f64| {
        (seconds.log10() - f64::from(low)) / f64::from(high - low) * (span - 12.0) + 12.0
    };
    let count: usize = rows.iter().map(|(_, times)| times.len()).sum();
    let below = count as f64 * BAR + rows.len() as f64 * GAP;
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"seconds of one image, in the clear and private\" \
         font-size=\"12\" font-family=\"sans-serif\">\n",
        below + BOTTOM
    );
    for power in low..=high {
        let seconds = 10f64.powi(power);
        let x = LEFT + length(seconds);
        let line = format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{below:.1}\" class=\"rule\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            below + 18.0,
            told(seconds)
        );
        put(&mut out, line);
    }
    let mut y = GAP / 2.0;
    for (row, times) in &rows {
        let middle = y + times.len() as f64 * BAR / 2.0 + 4.0;
        let name = format!(
            "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            escape(&row.name)
        );
        put(&mut out, name);
        for (device, seconds) in times {
            let (device, width) = (escape(device), length(*seconds));
            let bar = format!(
                "<rect class=\"bar {device}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\">\
                 <title>{}, {device}: {}</title></rect><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                BAR - 2.0,
                escape(&row.name),
                told(*seconds),
                LEFT + width + 4.0,
                y + BAR - 3.0,
                told(*seconds)
            );
            put(&mut out, bar);
            y += BAR;
        }
        y += GAP;
    }
    let title = format!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">one image, powers of ten</text>",
        LEFT + span / 2.0,
        below + BOTTOM - 8.0
    );
    put(&mut out, title);
    out.push_str("</svg>");
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::measure::{Clear, Measured};
    use crate::search::summary::{summarise, tests::manifest};

    fn measured(private: f64, clear: &[(&str, f64)]) -> Measured {
        let one = |&(device, one_s): &(&str, f64)| Clear {
            device: device.into(),
            name: format!("a <{device}>"),
            one_s,
        };
        Measured {
            images: 1,
            correct: 1,
            agree_plaintext: 1,
            agree_simulator: 1,
            median_online_s: private,
            median_offline_s: 0.0,
            offline_bytes: 0,
            online_bytes: 0,
            flights: 1,
            plaintext: clear.iter().map(one).collect(),
        }
    }

    #[test]
    fn there_are_bars_for_what_is_known_and_they_grow_with_the_seconds() {
        let mut manifest = manifest();
        assert_eq!(bars(&summarise(&manifest).networks[0]), None);
        let all: [(f64, &[(&str, f64)]); 4] = [
            (0.5, &[("cpu", 0.02), ("gpu", 0.0004)]),
            (0.9, &[("cpu", 0.03)]),
            (1.0, &[]),
            (0.6, &[("cpu", f64::NAN), ("gpu", 0.0)]),
        ];
        for (trained, (private, clear)) in manifest.models.values_mut().zip(all) {
            trained.measured.insert("wan".into(), vec![measured(private, clear)]);
        }
        let summary = summarise(&manifest);
        let section = &summary.networks[0];
        assert_eq!(devices(section), ["cpu: a <cpu>", "gpu: a <gpu>"]);
        let text = bars(section).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let found: Vec<(&str, &str, f64)> = document
            .descendants()
            .filter(|node| node.has_tag_name("rect"))
            .map(|node| {
                let title = node.children().find(|n| n.has_tag_name("title")).unwrap();
                let width = node.attribute("width").unwrap().parse().unwrap();
                (node.attribute("class").unwrap(), title.text().unwrap(), width)
            })
            .collect();
        let told: Vec<(&str, &str)> = found.iter().map(|one| (one.0, one.1)).collect();
        assert_eq!(
            told,
            [
                ("bar cpu", "wan 0.5 s, cpu: 20.0 ms"),
                ("bar gpu", "wan 0.5 s, gpu: 400 us"),
                ("bar private", "wan 0.5 s, private: 500.0 ms"),
                ("bar private", "all <linear>, private: 600.0 ms"),
                ("bar cpu", "wan 0.9 s, cpu: 30.0 ms"),
                ("bar private", "wan 0.9 s, private: 900.0 ms"),
            ]
        );
        let widths: Vec<f64> = found.iter().map(|one| one.2).collect();
        let order = [1, 0, 4, 2, 3, 5].map(|i: usize| widths[i]);
        assert!(order.windows(2).all(|w| w[0] < w[1]) && order[0] > 0.0, "{order:?}");
        assert!(order[5] < WIDTH - LEFT - RIGHT + 1.0);
    }
}
