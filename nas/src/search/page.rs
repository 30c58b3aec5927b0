//! The report as one HTML page that asks nobody for anything: pictures are inline SVG. It is
//! well-formed XML too, so that a test can read it.

mod bars;
#[cfg(test)]
#[path = "page/tests/browser.rs"]
mod browser;
mod grid;
mod labels;
mod look;
mod plot;

use std::fmt::Write as _;

use self::bars::{bars, devices};
pub(crate) use self::grid::words;
use self::grid::{grid, legend};
use self::look::{POLICY, SCRIPT, STYLE};
use self::plot::plot;
use crate::curve::escape;
use crate::search::measure::Measured;
use crate::search::summary::{Section, Summary};

/// The page.
pub fn page(summary: &Summary<'_>) -> String {
    let manifest = summary.manifest;
    let (base, settings) = (&manifest.base, &manifest.settings);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n{POLICY}\n<title>{0}: \
         architecture search</title>\n<style>{STYLE}</style></head><body>\n<h1>Architecture search on {0}</h1>\n",
        escape(&base.name)
    );
    let e = &settings.epochs;
    let start = match settings.scratch {
        true => "fresh weights",
        false => "the shared weights of one supernet, the same for points and baselines",
    };
    put(
        &mut out,
        format!(
            "<p>{} layers of {} heads, width {}, {} tokens. One softmax teacher ({} epochs), shared weights \
         that meet every kind at random ({} epochs), one search a network (at most {} epochs), then {} \
         epochs with distillation for every architecture below, from {start}. Latency is the \
         <b>{}</b> time of one image.</p>",
            base.layers,
            base.heads,
            base.dim,
            base.tokens(),
            e.teacher,
            e.supernet,
            e.search,
            e.train,
            escape(&settings.objective)
        ),
    );
    if settings.margin > 0.0 {
        let told = format!(
            "<p>What is found stays {:.4} s below its budget by prediction.</p>",
            settings.margin
        );
        put(&mut out, told);
    }
    for section in &summary.networks {
        network(&mut out, section, settings.validate);
    }
    put(&mut out, "<h2>Architectures</h2>".into());
    put(&mut out, legend());
    put(&mut out, "<div class=\"grids\">".into());
    for (model, trained) in &manifest.models {
        let names: Vec<&str> = (manifest.candidates.iter())
            .filter(|c| c.model == *model)
            .map(|c| c.name.as_str())
            .collect();
        if !names.is_empty() {
            put(
                &mut out,
                format!(
                    "<figure id=\"grid-{}\">{}<figcaption>{}<br/>{:.2} %</figcaption></figure>",
                    escape(model),
                    grid(&trained.arch),
                    escape(&names.join("; ")).replace("; ", "<br/>"),
                    100.0 * trained.accuracy()
                ),
            );
        }
    }
    put(&mut out, "</div>\n<h2>Commands</h2>\n<pre>".into());
    manifest.commands.iter().for_each(|c| put(&mut out, escape(c)));
    put(
        &mut out,
        format!("</pre>\n<div id=\"tip\"></div>\n<script>{SCRIPT}</script>\n</body></html>"),
    );
    out
}

fn put(out: &mut String, line: String) {
    writeln!(out, "{line}").expect("writing to a string does not fail");
}

fn network(out: &mut String, section: &Section, validate: usize) {
    put(out, format!("<h2>Network: {}</h2>", escape(&section.network)));
    let how = match section.measured {
        true => "measured over the emulated network",
        false => "predicted by the simulator (not measured yet)",
    };
    put(
        out,
        format!(
            "<figure><div class=\"wide\">{}</div><figcaption>Accuracy on all test images against private latency, \
         {how}. Circles: found by a search. Squares: baselines. Filled blue: what the search chooses \
         in the end, of what it found and of the plain baselines, by {} training images that nothing was trained on; \
         the line is their front. \
         The fastest and the slowest architecture of the search space take {:.4} and {:.4} s; the relaxed latency that the search \
         saw is within a share of {:.1e} of the simulator's at the corners.</figcaption></figure>",
            plot(section, how),
            validate,
            section.range.0,
            section.range.1,
            section.differences[0]
        ),
    );
    if let Some(chart) = bars(section) {
        let devices = escape(&devices(section).join("; "));
        let clear = "One image in the clear, beside the private one";
        let told = format!(
            "<figure><div class=\"wide\">{chart}</div><figcaption>{clear}, {how}. {devices}.</figcaption></figure>"
        );
        put(out, told);
    }
    put(
        out,
        "<div class=\"wide\"><table><tr><th>architecture</th><th>budget, s</th><th>predicted, s</th><th>measured, s\
              </th><th>cross entropy, held</th><th>accuracy, plaintext</th><th>accuracy, private</th><th>flights</th><th>online, kB</th></tr>"
            .into(),
    );
    let number = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.4}"));
    for row in &section.rows {
        let private = row.private.as_ref().map_or("-".into(), |p| {
            format!("{:.1} % of {}", 100.0 * p.correct as f64 / p.images.max(1) as f64, p.images)
        });
        let runs = match row.runs.len() {
            0 | 1 => String::new(),
            _ => {
                let each = row.runs.iter().map(|accuracy| format!("{:.2}", 100.0 * accuracy));
                format!(" ({})", each.collect::<Vec<_>>().join(", "))
            }
        };
        let counts = row.details.as_ref().or(row.private.as_ref());
        let of = |f: &dyn Fn(&Measured) -> u64| counts.map_or("-".into(), |c| f(c).to_string());
        put(
            out,
            format!(
                "<tr{}><td>{}</td><td>{}</td><td>{:.4}</td><td>{}</td><td>{:.4}</td><td>{:.2} %{runs}</td><td>{private}</td>\
             <td>{}</td><td>{}</td></tr>",
                if row.point { " class=\"point\"" } else { "" },
                escape(&row.name),
                number(row.budget),
                row.predicted,
                number(row.measured),
                row.validation,
                100.0 * row.accuracy,
                of(&|c| c.flights),
                of(&|c| c.online_bytes / 1000)
            ),
        );
    }
    put(
        out,
        "</table></div>\n<div class=\"wide\"><table><tr><th>baseline</th><th>best point of the front that is no slower</th>\
              <th>its latency, measured</th><th>gain</th><th>gain by medians</th><th>noise (1 sd)</th><th>verdict</th></tr>"
            .into(),
    );
    let points =
        |gain: Option<f64>| gain.map_or("-".into(), |g| format!("{:+.2} points", 100.0 * g));
    for v in &section.verdicts {
        put(
            out,
            format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2} points</td><td>{}</td></tr>",
                escape(&v.baseline),
                escape(v.point.as_deref().unwrap_or("none")),
                v.ratio.map_or("-".into(), |r| format!("{:+.1} %", 100.0 * (r - 1.0))),
                points(v.gain),
                points(v.plotted),
                100.0 * v.noise,
                match v.gain {
                    _ if v.dominated => "dominated",
                    Some(gain) if -gain <= v.noise => "not dominated, within noise",
                    _ => "not dominated",
                }
            ),
        );
    }
    put(
        out,
        "</table></div>\n<p>No slower: by prediction, and in at least one round of the measurement, where all are measured in turn; the \
         table has the median of the rounds' ratios. By medians: of the line in the plot above or below the baseline. Noise is the standard deviation of the gain on other test images like these: it follows from the \
         images on which the two differ. Where an architecture was trained with several seeds, cross entropy and accuracy are means, \
         with each seed's accuracy in brackets; the first seed's model is what was measured privately.</p>"
            .into(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::summary::{summarise, tests::manifest};

    #[test]
    fn the_page_holds_everything_and_asks_nobody() {
        let manifest = manifest();
        let page = page(&summarise(&manifest));
        assert_eq!(page.matches("class=\"mark\"").count(), 4);
        assert_eq!(page.matches("<figure id=\"grid-").count(), 4);
        for part in [
            "all &lt;linear&gt;",
            "--net &lt;wan&gt;",
            "not dominated",
            "top-1 accuracy",
            "seconds",
        ] {
            assert!(page.contains(part), "{part}");
        }
        for part in ["http:", "https:", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(part), "{part}");
        }
    }

    #[test]
    fn the_page_is_well_formed_and_every_mark_tells_its_architecture() {
        let manifest = manifest();
        let summary = summarise(&manifest);
        let page = page(&summary);
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&page, options).unwrap();
        let elements: Vec<_> = document.descendants().filter(|n| n.is_element()).collect();
        let named = |name: &str| elements.iter().filter(|n| n.has_tag_name(name)).count();
        assert_eq!(named("table"), 2 * summary.networks.len());
        for attribute in elements.iter().flat_map(|n| n.attributes()) {
            let asks = ["src", "srcset", "href", "action", "poster", "data"];
            assert!(!asks.contains(&attribute.name()), "{attribute:?}");
            assert!(!attribute.value().contains("//"), "{attribute:?}");
        }
        for name in ["link", "img", "iframe", "object", "embed", "form", "image", "use"] {
            assert_eq!(named(name), 0, "{name}");
        }
        let rows = &summary.networks[0].rows;
        let marks: Vec<_> =
            elements.iter().filter(|n| n.attribute("class") == Some("mark")).collect();
        assert_eq!(marks.len(), rows.len());
        for (mark, row) in marks.iter().zip(rows) {
            let label = mark.attribute("data-label").unwrap();
            assert!(label.starts_with(&format!("{}: ", row.name)), "{label}");
            let title = mark.children().find(|n| n.has_tag_name("title")).unwrap();
            let lines: Vec<&str> = title.text().unwrap().lines().collect();
            assert_eq!((lines[0], lines.len()), (label, 1 + row.arch.layers));
            let grid = format!("grid-{}", mark.attribute("data-model").unwrap());
            let grid = elements.iter().find(|n| n.attribute("id") == Some(&grid)).unwrap();
            let squares = grid.descendants().filter(|n| n.has_tag_name("rect")).count();
            assert_eq!(squares, row.arch.layers * (row.arch.heads + 1));
        }
    }
}
