//! The report as one HTML page that asks nobody for anything: pictures are inline SVG.

use std::fmt::Write as _;

use sotto_models::Arch;
use sotto_models::arch::{Activation, Attention};

use crate::search::summary::{Row, Section, Summary};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;margin:1em 0;font-size:13px}th,td{padding:.25em .7em;border-bottom:1px solid #ddd;\
text-align:right}th:first-child,td:first-child{text-align:left}tr.point{font-weight:600}pre{background:#f4f4f4;\
padding:1em;overflow-x:auto;font-size:12px}figure{margin:1em 0}figcaption{font-size:13px;color:#555}\
.grids{display:flex;flex-wrap:wrap;gap:1.2em}.grids figure{margin:0}.mark:hover{stroke:#000;stroke-width:2}\
#tip{position:fixed;display:none;background:#fff;border:1px solid #999;border-radius:4px;padding:.5em .7em;\
font-size:13px;pointer-events:none;box-shadow:0 2px 8px #0003}";

/// Shows a mark's architecture beside the pointer; without it the marks' titles say the same.
const SCRIPT: &str = "const tip=document.getElementById('tip');\
for(const m of document.querySelectorAll('.mark')){\
m.addEventListener('mousemove',e=>{const g=document.getElementById('grid-'+m.dataset.model);\
tip.replaceChildren(Object.assign(document.createElement('div'),{textContent:m.dataset.label}),\
...(g?[g.querySelector('svg').cloneNode(true)]:[]));tip.style.display='block';\
tip.style.left=Math.min(e.clientX+14,innerWidth-280)+'px';tip.style.top=(e.clientY+14)+'px'});\
m.addEventListener('mouseleave',()=>tip.style.display='none')}";

/// The page.
pub fn page(summary: &Summary<'_>) -> String {
    let manifest = summary.manifest;
    let (base, settings) = (&manifest.base, &manifest.settings);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>{0}: architecture \
         search</title>\n<style>{STYLE}</style></head><body>\n<h1>Architecture search on {0}</h1>\n",
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
    for section in &summary.networks {
        network(&mut out, section);
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
                    "<figure id=\"grid-{}\">{}<figcaption>{}<br>{:.2} %</figcaption></figure>",
                    escape(model),
                    grid(&trained.arch),
                    escape(&names.join("; ")).replace("; ", "<br>"),
                    100.0 * trained.accuracy
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

fn network(out: &mut String, section: &Section) {
    put(out, format!("<h2>Network: {}</h2>", escape(&section.network)));
    let how = match section.measured {
        true => "measured over the emulated network",
        false => "predicted by the simulator (not measured yet)",
    };
    put(
        out,
        format!(
            "<figure>{}<figcaption>Accuracy on all test images against private latency, {how}. The line is \
         the front of the searched points. The space's own range is {:.4} to {:.4} s; the relaxed \
         latency that the search saw is within {:.1e} of the simulator's at the corners.</figcaption>\
         </figure>",
            plot(section, how),
            section.range.0,
            section.range.1,
            section.differences[0]
        ),
    );
    put(
        out,
        "<table><tr><th>architecture</th><th>budget, s</th><th>predicted, s</th><th>measured, s\
              </th><th>plaintext</th><th>private</th><th>flights</th><th>online, kB</th></tr>"
            .into(),
    );
    let number = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.4}"));
    for row in &section.rows {
        let private = row.private.as_ref().map_or("-".into(), |p| {
            format!("{:.1} % of {}", 100.0 * p.correct as f64 / p.images.max(1) as f64, p.images)
        });
        let counts = row.details.as_ref().or(row.private.as_ref());
        let of = |f: &dyn Fn(&crate::search::measure::Measured) -> u64| {
            counts.map_or("-".into(), |c| f(c).to_string())
        };
        put(
            out,
            format!(
                "<tr{}><td>{}</td><td>{}</td><td>{:.4}</td><td>{}</td><td>{:.2} %</td><td>{private}</td>\
             <td>{}</td><td>{}</td></tr>",
                if row.searched { " class=\"point\"" } else { "" },
                escape(&row.name),
                number(row.budget),
                row.predicted,
                number(row.measured),
                100.0 * row.accuracy,
                of(&|c| c.flights),
                of(&|c| c.online_bytes / 1000)
            ),
        );
    }
    put(
        out,
        "</table>\n<table><tr><th>baseline</th><th>best point that is no slower</th><th>gain</th>\
              <th>noise (1 sd)</th><th></th></tr>"
            .into(),
    );
    for v in &section.verdicts {
        put(
            out,
            format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.2}</td><td>{}</td></tr>",
                escape(&v.baseline),
                escape(v.point.as_deref().unwrap_or("none")),
                v.gain.map_or("-".into(), |g| format!("{:+.2} points", 100.0 * g)),
                100.0 * v.noise,
                if v.dominated { "dominated" } else { "not dominated" }
            ),
        );
    }
    put(out, "</table>".into());
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 430.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
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

fn plot(section: &Section, how: &str) -> String {
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
                "<line x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{1}\" stroke=\"#eee\"/>\
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
                "<line x1=\"{LEFT}\" x2=\"{0}\" y1=\"{1:.1}\" y2=\"{1:.1}\" stroke=\"#eee\"/>\
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
         <text transform=\"translate(14 {}) rotate(-90)\" text-anchor=\"middle\">top-1 accuracy, test images</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 14.0,
            (TOP + HEIGHT - BOTTOM) / 2.0
        ),
    );
    put(
        &mut out,
        format!(
            "<path d=\"{}\" fill=\"none\" stroke=\"#1b6ca8\" stroke-width=\"2\"/>",
            front(section, x, y, WIDTH - RIGHT)
        ),
    );
    for row in &section.rows {
        let (cx, cy) = (x(row.latency()), y(100.0 * row.accuracy));
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
            match row.searched {
                true => format!(
                    "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"7\" fill=\"#1b6ca8\" {common}</circle>"
                ),
                false => format!(
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" fill=\"#d95f02\" {common}</rect>",
                    cx - 6.0,
                    cy - 6.0
                ),
            },
        );
        let left = cx > WIDTH - 200.0;
        put(
            &mut out,
            format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" fill=\"#444\" text-anchor=\"{}\">{}</text>",
                if left { cx - 11.0 } else { cx + 11.0 },
                cy + 4.0,
                if left { "end" } else { "start" },
                escape(&row.name)
            ),
        );
    }
    out + "</svg>"
}

/// The staircase of the best accuracy that the searched points reach by each latency.
fn front(section: &Section, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64, end: f64) -> String {
    let (mut path, mut best) = (String::new(), f64::NEG_INFINITY);
    for row in section.rows.iter().filter(|r| r.searched) {
        if row.accuracy > best {
            best = row.accuracy;
            let (cx, cy) = (x(row.latency()), y(100.0 * best));
            let step = if path.is_empty() { "M" } else { "H" };
            match step {
                "M" => write!(path, "M{cx:.1} {cy:.1}"),
                _ => write!(path, "H{cx:.1}V{cy:.1}"),
            }
            .expect("writing to a string does not fail");
        }
    }
    if path.is_empty() { "M0 0".into() } else { format!("{path}H{end}") }
}

fn kind_colour(kind: Attention) -> &'static str {
    match kind {
        Attention::Softmax => "#7b3294",
        Attention::Relu => "#e66101",
        Attention::Linear => "#5ab4ac",
        _ => "#999999",
    }
}

fn activation_colour(activation: Activation) -> &'static str {
    match activation {
        Activation::Gelu => "#c51b7d",
        Activation::Relu => "#fdb863",
        Activation::None => "#dfe8e6",
        _ => "#999999",
    }
}

fn legend() -> String {
    let box_of = |colour: &str, name: &str| {
        format!(
            "<svg width=\"14\" height=\"14\"><rect width=\"14\" height=\"14\" fill=\"{colour}\"/></svg> {name}"
        )
    };
    let kinds = Attention::ALL.map(|k| box_of(kind_colour(k), k.name()));
    let mlps = [Activation::Gelu, Activation::Relu, Activation::None]
        .map(|a| box_of(activation_colour(a), a.name()));
    format!(
        "<p>Rows are layers, the first on top; squares are heads: {}. The bar beside them is the MLP: {}.</p>",
        kinds.join(", "),
        mlps.join(", ")
    )
}

/// Layers by heads, coloured by kind, and each layer's MLP.
fn grid(arch: &Arch) -> String {
    let (size, gap) = (20, 6);
    let (width, height) = (size * arch.heads + gap + 2 * size, size * arch.layers);
    let mut out =
        format!("<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">");
    let mut square = |x: usize, y: usize, w: usize, colour: &str, title: String| {
        write!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"><title>{title}</title></rect>",
            w - 2, size - 2
        )
        .expect("writing to a string does not fail");
    };
    for (l, kinds) in arch.attention.iter().enumerate() {
        for (h, &kind) in kinds.iter().enumerate() {
            let title = format!("layer {l}, head {h}: {}", kind.name());
            square(h * size, l * size, size, kind_colour(kind), title);
        }
        let activation = arch.activation[l];
        let title = format!("layer {l}, MLP: {}", activation.name());
        square(arch.heads * size + gap, l * size, 2 * size, activation_colour(activation), title);
    }
    out + "</svg>"
}

/// The architecture as lines of text.
fn words(arch: &Arch) -> String {
    let line = |(kinds, activation): (&Vec<Attention>, &Activation)| {
        let kinds: Vec<&str> = kinds.iter().map(|k| k.name()).collect();
        format!("{} | {}", kinds.join(" "), activation.name())
    };
    arch.attention.iter().zip(&arch.activation).map(line).collect::<Vec<_>>().join("\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
        for part in ["http", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(part), "{part}");
        }
        for tag in ["svg", "table", "figure", "title", "rect", "circle", "tr", "td", "div"] {
            let (open, close) = (
                page.matches(&format!("<{tag}")).count(),
                page.matches(&format!("</{tag}>")).count(),
            );
            let alone = if tag == "rect" { page.matches("/></svg> ").count() } else { 0 };
            let own = if tag == "title" { 0 } else { alone };
            assert_eq!(open, close + own, "{tag}");
        }
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
