//! The learning curve as a self-contained SVG picture.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 50.0;

/// One line of metrics, as far as the picture needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Passes over the training set so far.
    pub epoch: f64,
    /// Share of training pictures that were right, as they were shown.
    pub train: f64,
    /// Share of test pictures that the average gets right.
    pub test: f64,
}

/// Draws accuracy over epochs; `title` stands above.
pub fn svg(title: &str, points: &[Point]) -> String {
    let last = points.iter().map(|p| p.epoch).fold(1.0, f64::max);
    let lowest = points.iter().flat_map(|p| [p.train, p.test]).fold(1.0, f64::min);
    let floor = (lowest * 10.0).floor() / 10.0;
    let x = |epoch: f64| LEFT + epoch / last * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| {
        HEIGHT - BOTTOM - (share - floor) / (1.0 - floor).max(0.1) * (HEIGHT - TOP - BOTTOM)
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
        escape(title)
    );
    let mut put =
        |line: String| writeln!(out, "{line}").expect("writing to a string does not fail");
    let mut share = floor;
    while share < 1.0 + 1e-9 {
        let at = y(share);
        put(format!(
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>",
            WIDTH - RIGHT
        ));
        put(format!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} %</text>",
            LEFT - 8.0,
            at + 4.0,
            100.0 * share
        ));
        share += 0.1;
    }
    let stride = (last / 8.0).ceil().max(1.0);
    let mut epoch = 0.0;
    while epoch <= last {
        put(format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{epoch:.0}</text>",
            x(epoch),
            HEIGHT - BOTTOM + 20.0
        ));
        epoch += stride;
    }
    put(format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">epochs</text>",
        WIDTH / 2.0,
        HEIGHT - 10.0
    ));
    type Value = fn(&Point) -> f64;
    let lines: [(&str, &str, Value); 2] = [
        ("training pictures, as shown", "#d95f02", |p| p.train),
        ("test pictures, averaged weights", "#1b6ca8", |p| p.test),
    ];
    for (i, (name, colour, value)) in lines.into_iter().enumerate() {
        let path: Vec<String> =
            points.iter().map(|p| format!("{:.1},{:.1}", x(p.epoch), y(value(p)))).collect();
        put(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        ));
        let at = LEFT + 260.0 * i as f64;
        put(format!(
            "<line x1=\"{at}\" x2=\"{}\" y1=\"36\" y2=\"36\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            at + 20.0
        ));
        let now = points.last().map_or(0.0, |p| 100.0 * value(p));
        put(format!("<text x=\"{}\" y=\"40\">{name}: {now:.2} %</text>", at + 26.0));
    }
    out + "</svg>\n"
}

/// Text as markup shows it, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_holds_every_point_inside_the_frame() {
        let points: Vec<Point> = (1..=20)
            .map(|i| Point {
                epoch: f64::from(i),
                train: 0.3 + 0.03 * f64::from(i),
                test: 0.5 + 0.02 * f64::from(i),
            })
            .collect();
        let picture = svg("a < b", &points);
        assert!(
            picture.contains("a &lt; b")
                && picture.contains("epochs")
                && picture.ends_with("</svg>\n")
        );
        assert!(picture.contains("test pictures, averaged weights: 90.00 %"), "{picture}");
        let lines: Vec<&str> = picture.split("<polyline points=\"").skip(1).collect();
        assert_eq!(lines.len(), 2);
        for line in lines {
            let places: Vec<(f64, f64)> = line[..line.find('"').unwrap()]
                .split(' ')
                .map(|p| p.split_once(',').unwrap())
                .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
                .collect();
            assert_eq!(places.len(), 20);
            assert!(places.iter().all(|&(x, y)| (LEFT..=WIDTH - RIGHT).contains(&x)
                && (TOP..=HEIGHT - BOTTOM).contains(&y)));
            assert!(
                places.windows(2).all(|p| p[0].0 < p[1].0 && p[0].1 > p[1].1),
                "accuracy grows to the right"
            );
        }
        assert!(svg("none yet", &[]).contains("none yet"));
    }
}
