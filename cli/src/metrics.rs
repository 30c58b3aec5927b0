//! What a process counts of its work, in the text form that Prometheus reads. Peers' names and public counts alone.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// Whose count it is.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    peer: String,
}

/// And of which model.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfBoth {
    peer: String,
    model: String,
}

/// Of which model it is.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfModel {
    model: String,
}

/// A number that is read now, by model: name, meaning, values.
type Read<'a> = (&'a str, &'a str, Vec<(String, u64)>);

/// Counts of a server or dealer since its start.
pub struct Metrics {
    registry: Registry,
    links: Gauge,
    evaluations: Family<OfBoth, Counter>,
    inputs: Family<OfBoth, Counter>,
    revealed: Family<OfBoth, Counter>,
    online: Family<OfModel, Histogram>,
    refused: Family<Of, Counter>,
    failed: Family<Of, Counter>,
    batches: Family<Of, Counter>,
    corrections: Family<Of, Counter>,
}

/// A link that is counted until it is dropped.
pub struct Open<'a>(&'a Gauge);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What one evaluation was.
pub struct Evaluated {
    /// Images or texts, padding included.
    pub inputs: u64,
    /// Bits of the model that were revealed at most.
    pub bits: u64,
    /// Seconds online.
    pub seconds: f64,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sotto");
        let [evaluations, inputs, revealed] =
            std::array::from_fn(|_| Family::<OfBoth, Counter>::default());
        let [refused, failed, batches, corrections] =
            std::array::from_fn(|_| Family::<Of, Counter>::default());
        let links = Gauge::default();
        let online = Family::<OfModel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.01, 2.0, 14))
        });
        registry.register("links", "Links to peers that are open", links.clone());
        let families = [
            ("evaluations", "Evaluations that were finished", &evaluations),
            ("inputs", "Images or texts in finished evaluations", &inputs),
            ("revealed_bits", "Bits of the model that were revealed at most", &revealed),
        ];
        for (name, help, family) in families {
            registry.register(name, help, family.clone());
        }
        let families = [
            ("refusals", "Requests that were refused", &refused),
            ("failures", "Links that ended with an error", &failed),
            ("batches", "Batches of correlations that were dealt", &batches),
        ];
        for (name, help, family) in families {
            registry.register(name, help, family.clone());
        }
        registry.register_with_unit(
            "corrections",
            "Corrections that were sent",
            Unit::Bytes,
            corrections.clone(),
        );
        registry.register_with_unit(
            "online",
            "Time of an evaluation",
            Unit::Seconds,
            online.clone(),
        );
        Self {
            registry,
            links,
            evaluations,
            inputs,
            revealed,
            online,
            refused,
            failed,
            batches,
            corrections,
        }
    }
}

impl Metrics {
    /// A link of a peer is open until what this gives is dropped.
    pub fn link(&self) -> Open<'_> {
        self.links.inc();
        Open(&self.links)
    }

    /// An evaluation of a model with a peer is finished.
    pub fn evaluated(&self, peer: &str, model: &str, what: &Evaluated) {
        let of = OfBoth { peer: peer.to_owned(), model: model.to_owned() };
        self.evaluations.get_or_create(&of).inc();
        self.inputs.get_or_create(&of).inc_by(what.inputs);
        self.revealed.get_or_create(&of).inc_by(what.bits);
        self.online.get_or_create(&OfModel { model: of.model }).observe(what.seconds);
    }

    /// A peer's request was refused.
    pub fn refused(&self, peer: &str) {
        self.refused.get_or_create(&of(peer)).inc();
    }

    /// A peer's link ended with an error.
    pub fn failed(&self, peer: &str) {
        self.failed.get_or_create(&of(peer)).inc();
    }

    /// A part of a batch was dealt to a peer, with so many bytes of corrections.
    pub fn dealt(&self, peer: &str, corrections: u64) {
        self.batches.get_or_create(&of(peer)).inc();
        self.corrections.get_or_create(&of(peer)).inc_by(corrections);
    }

    /// All of it as text, with `gauges` that are read now.
    pub fn text(&self, gauges: &[Read<'_>]) -> String {
        let mut now = Registry::with_prefix("sotto");
        for (name, help, values) in gauges {
            let gauge = Family::<OfModel, Gauge<u64, AtomicU64>>::default();
            for (model, value) in values {
                gauge.get_or_create(&OfModel { model: model.clone() }).set(*value);
            }
            now.register(*name, *help, gauge);
        }
        let (mut text, mut rest) = (String::new(), String::new());
        let written = encode(&mut text, &self.registry).and_then(|()| encode(&mut rest, &now));
        written.expect("a string takes whatever is written");
        // Each ends with the mark of the end.
        text.truncate(text.len() - END.len());
        text + &rest
    }
}

/// The mark of the end.
const END: &str = "# EOF\n";

fn of(peer: &str) -> Of {
    Of { peer: peer.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_peer() {
        let metrics = Metrics::default();
        let open = metrics.link();
        metrics.evaluated("a", "m", &Evaluated { inputs: 4, bits: 1280, seconds: 0.2 });
        metrics.evaluated("a", "m", &Evaluated { inputs: 4, bits: 1280, seconds: 0.3 });
        metrics.refused("b");
        metrics.dealt("s", 1000);
        let text =
            metrics.text(&[("batches_ready", "Batches", vec![("m".into(), 3), ("n".into(), 0)])]);
        for line in [
            "sotto_links 1",
            "sotto_evaluations_total{peer=\"a\",model=\"m\"} 2",
            "sotto_inputs_total{peer=\"a\",model=\"m\"} 8",
            "sotto_revealed_bits_total{peer=\"a\",model=\"m\"} 2560",
            "sotto_refusals_total{peer=\"b\"} 1",
            "sotto_corrections_bytes_total{peer=\"s\"} 1000",
            "sotto_online_seconds_count{model=\"m\"} 2",
            "sotto_batches_ready{model=\"m\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing:\n{text}");
        }
        assert!(text.ends_with(END) && text.matches(END).count() == 1);
        drop(open);
        assert!(metrics.text(&[]).contains("sotto_links 0\n"));
    }
}
