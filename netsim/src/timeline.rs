//! The timeline as a picture: what client, wire and server do, layer by layer.

use std::fmt::Write;

use crate::{offline::Offline, predict::Prediction, price::Priced};

const WIDTH: f64 = 1600.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 20.0;
/// Tops of the lanes: the layers' names, the client, the server, and the axis.
const BANDS: f64 = 64.0;
const CLIENT: f64 = 130.0;
const SERVER: f64 = 300.0;
const LANE: f64 = 34.0;
const AXIS: f64 = 352.0;
const TABLE: f64 = 410.0;

const WORK: &str = "#2f6f9f";
const TO_SERVER: &str = "#c8553d";
const TO_CLIENT: &str = "#588157";

/// An SVG picture of the online part and, below, of where the time of each layer goes.
///
/// Lanes: boxes are work, gaps are waiting; lines are messages, from the end of the work before them to
/// their arrival, as wide as their share of transmission.
pub fn timeline(priced: &Priced, prediction: &Prediction, title: &str) -> String {
    let total = prediction.online_s.max(1e-9);
    let x = |t: f64| LEFT + (WIDTH - LEFT - RIGHT) * t / total;
    let layers = layers(priced, prediction);
    let below = TABLE + 24.0 * layers.len() as f64 + 60.0;
    let height = below + 24.0 * 4.0 + 30.0;
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let mut put = |text: std::fmt::Arguments<'_>| svg.write_fmt(text).expect("a string takes all");
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"17\" font-weight=\"bold\">{}</text>\n\
         <text x=\"{LEFT}\" y=\"44\">online {:.3} s: work {:.3}, transmission {:.3}, propagation {:.3} s on the \
         critical path; {} flights; offline {:.3} s, total {:.3} s</text>\n",
        escape(title),
        prediction.online_s,
        prediction.spent.compute[0] + prediction.spent.compute[1],
        prediction.spent.transmission,
        prediction.spent.propagation,
        prediction.flights,
        prediction.offline_s,
        prediction.total_s,
    ));
    for (i, layer) in layers.iter().enumerate() {
        let fill = ["#f1f3f5", "#e3e8ee"][i % 2];
        let (from, to) = (x(layer.from), x(layer.to));
        put(format_args!(
            "<rect x=\"{from:.1}\" y=\"{BANDS}\" width=\"{:.1}\" height=\"{}\" fill=\"{fill}\"/>\n",
            to - from,
            AXIS - BANDS
        ));
        if to - from > 34.0 {
            let (mid, y) = ((from + to) / 2.0, BANDS + 18.0);
            let name = escape(&layer.name);
            put(format_args!(
                "<text x=\"{mid:.1}\" y=\"{y}\" text-anchor=\"middle\">{name}</text>\n"
            ));
        }
    }
    for (name, y) in [("client", CLIENT), ("server", SERVER)] {
        put(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\n\
             <line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#999\"/>\n",
            LEFT - 10.0,
            y + 5.0,
            WIDTH - RIGHT
        ));
    }
    let mid = (CLIENT + SERVER) / 2.0;
    put(format_args!("<text x=\"{}\" y=\"{mid}\" text-anchor=\"end\">wire</text>\n", LEFT - 10.0));
    for level in &prediction.times {
        // The lanes of server and client, in the order of the roles.
        let lanes = [SERVER, CLIENT];
        for party in [0, 1] {
            let (from, to) = (x(level.start[party]), x(level.ready[party]));
            put(format_args!(
                "<rect x=\"{from:.2}\" y=\"{:.1}\" width=\"{:.2}\" height=\"{LANE}\" fill=\"{WORK}\"/>\n",
                lanes[party] - LANE / 2.0,
                (to - from).max(0.3)
            ));
            let Some(arrival) = level.arrival[party] else { continue };
            let edge = |lane: f64| lane + if lane == CLIENT { LANE / 2.0 } else { -LANE / 2.0 };
            let (sent, colour) = (level.ready[1 - party], [TO_SERVER, TO_CLIENT][party]);
            let width = (x(level.wire[party][0]) - x(0.0)).clamp(0.7, 5.0);
            put(format_args!(
                "<line x1=\"{:.2}\" y1=\"{:.1}\" x2=\"{:.2}\" y2=\"{:.1}\" stroke=\"{colour}\" \
                 stroke-width=\"{width:.1}\" stroke-opacity=\"0.75\"/>\n",
                x(sent),
                edge(lanes[1 - party]),
                x(arrival),
                edge(lanes[party]),
            ));
        }
    }
    let step = tick(total);
    let mut t = 0.0;
    while t <= total * 1.0001 {
        let at = x(t);
        put(format_args!(
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{AXIS}\" y2=\"{}\" stroke=\"#222\"/>\n\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            AXIS + 5.0,
            AXIS + 19.0,
            seconds(t)
        ));
        t += step;
    }
    put(format_args!(
        "<text x=\"{LEFT}\" y=\"{}\"><tspan fill=\"{WORK}\">■ work</tspan> &#160; <tspan fill=\"{TO_SERVER}\">― to the \
         server</tspan> &#160; <tspan fill=\"{TO_CLIENT}\">― to the client</tspan> &#160; gaps: waiting for the \
         other party</text>\n",
        AXIS + 40.0
    ));
    shares(&mut put, &layers);
    offline(&mut put, &prediction.offline, below);
    svg.push_str("</svg>\n");
    svg
}

/// The lower picture: a bar for each layer.
fn shares(put: &mut impl FnMut(std::fmt::Arguments<'_>), layers: &[Layer]) {
    let longest = layers.iter().map(|l| l.to - l.from).fold(1e-9, f64::max);
    let width = WIDTH - LEFT - RIGHT - 400.0;
    for (i, layer) in layers.iter().enumerate() {
        let y = TABLE + 24.0 * i as f64;
        put(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 10.0,
            y + 14.0,
            escape(&layer.name)
        ));
        let mut at = LEFT;
        for (part, colour) in layer.parts.iter().zip([WORK, "#e9c46a", "#b9c0c8"]) {
            let w = width * part / longest;
            put(format_args!(
                "<rect x=\"{at:.1}\" y=\"{y}\" width=\"{w:.1}\" height=\"18\" fill=\"{colour}\"/>\n"
            ));
            at += w;
        }
        let [work, sent, way] = layer.parts;
        put(format_args!(
            "<text x=\"{:.1}\" y=\"{}\">{} ({} + {} + {}), {:.0} flights</text>\n",
            at + 8.0,
            y + 14.0,
            seconds(layer.to - layer.from),
            seconds(work),
            seconds(sent),
            seconds(way),
            layer.flights
        ));
    }
    put(format_args!(
        "<text x=\"{LEFT}\" y=\"{}\"><tspan fill=\"{WORK}\">■ work</tspan> + <tspan fill=\"#d9a404\">■ transmission</tspan> \
         + <tspan fill=\"#8f979f\">■ propagation</tspan> on the critical path</text>\n",
        TABLE + 24.0 * layers.len() as f64 + 18.0
    ));
}

/// The offline part: who is busy from when to when.
fn offline(put: &mut impl FnMut(std::fmt::Arguments<'_>), o: &Offline, top: f64) {
    let x = |t: f64| LEFT + (WIDTH - LEFT - RIGHT - 400.0) * t / o.total.max(1e-9);
    put(format_args!(
        "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">offline, {} in all</text>\n",
        top - 8.0,
        seconds(o.total)
    ));
    // Without a dealer the two make the batch: nobody deals.
    let [first, second] = match o.deal[1] > 0.0 {
        true => {
            [("dealer deals", o.deal, WORK), ("corrections", [o.deal[0], o.received], TO_SERVER)]
        }
        false => {
            [("server makes", [0.0, o.stage[0]], WORK), ("client makes", [0.0, o.stage[1]], WORK)]
        }
    };
    let rows = [
        first,
        second,
        ("client stages", [o.stage[1], o.ready[1]], WORK),
        ("server stages", [o.stage[0], o.ready[0]], WORK),
    ];
    for (i, (name, [from, to], colour)) in rows.into_iter().enumerate() {
        let y = top + 24.0 * i as f64;
        put(format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\n\
             <rect x=\"{:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\"/>\n\
             <text x=\"{:.1}\" y=\"{}\">{} to {}</text>\n",
            LEFT - 10.0,
            y + 14.0,
            x(from),
            (x(to) - x(from)).max(0.5),
            x(to) + 8.0,
            y + 14.0,
            seconds(from),
            seconds(to)
        ));
    }
}

/// A layer of the model: its parts together.
struct Layer {
    name: String,
    from: f64,
    to: f64,
    /// Work, transmission, propagation.
    parts: [f64; 3],
    flights: f64,
}

/// Sections gathered by the layer that their name begins with, side by side.
fn layers(priced: &Priced, prediction: &Prediction) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for name in &priced.sections {
        let Some(part) = prediction.layers.iter().find(|part| part.name == *name) else { continue };
        let short = match name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()) {
            Some(number) => format!("layer {number}"),
            None => name.clone(),
        };
        if layers.last().is_none_or(|last| last.name != short) {
            let from = layers.last().map_or(prediction.online_s - sum(prediction), |last| last.to);
            layers.push(Layer { name: short, from, to: from, parts: [0.0; 3], flights: 0.0 });
        }
        let last = layers.last_mut().expect("one was just pushed");
        let s = &part.spent;
        let parts = [s.compute[0] + s.compute[1], s.transmission, s.propagation];
        last.parts.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        last.to += part.seconds;
        last.flights += part.flights;
    }
    layers
}

fn sum(prediction: &Prediction) -> f64 {
    prediction.layers.iter().map(|part| part.seconds).sum()
}

/// About ten ticks at round numbers.
fn tick(total: f64) -> f64 {
    let rough = total / 10.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= rough);
    step.unwrap_or(10.0) * power
}

fn seconds(t: f64) -> String {
    if t < 1.0 { format!("{:.1} ms", 1e3 * t) } else { format!("{t:.2} s") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Machine, Machines, Network, predict, testing};
    use sotto_protocols::Role;

    #[test]
    fn the_picture_shows_every_layer_and_message() {
        let private = testing::mixed();
        let machines = Machines::alike(&Machine::reference());
        let priced = Priced::new(&private.plan, &machines).unwrap();
        let network = Network::preset("wan").unwrap();
        let prediction =
            predict(&priced, &machines, &network, crate::predict::Source::Dealer(Role::Server), 0);
        let svg = timeline(&priced, &prediction, "a <small> model & wan");
        assert!(svg.contains("a &lt;small&gt; model &amp; wan"));
        for name in ["layer 0", "layer 1", "head"] {
            assert!(svg.contains(name), "{name}");
        }
        let messages = prediction.times.iter().flat_map(|t| t.arrival).flatten().count();
        assert_eq!(svg.matches("stroke-opacity").count(), messages);
        for name in ["dealer deals", "corrections", "client stages", "server stages"] {
            assert!(svg.contains(name), "{name}");
        }
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"));
    }
}
