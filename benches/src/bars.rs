//! The bars of the project: what must be shown, what was measured, and what the peers reach.

use sotto::report::{bytes, table};

use crate::record::Records;

/// How a number is printed.
#[derive(Clone, Copy)]
enum Form {
    Seconds,
    Bytes,
    Count,
    Error,
    Percent,
}

impl Form {
    fn text(self, x: f64) -> String {
        match self {
            Form::Seconds => format!("{x:.3} s"),
            Form::Bytes => bytes(x.round() as u64),
            Form::Count => format!("{x:.0}"),
            Form::Error => format!("{x:.1e}"),
            Form::Percent => format!("{x:.1} %"),
        }
    }
}

/// One line of the table.
struct Bar {
    what: &'static str,
    record: &'static str,
    form: Form,
    /// What must be reached; `None` where the number is shown alone.
    bar: Option<f64>,
    peers: &'static str,
}

const fn bar(
    what: &'static str,
    record: &'static str,
    form: Form,
    bar: Option<f64>,
    peers: &'static str,
) -> Bar {
    Bar { what, record, form, bar, peers }
}

const BARS: &[Bar] = &[
    bar(
        "CIFAR ViT, offline + online",
        "vit_cifar_total_s",
        Form::Seconds,
        Some(0.30),
        "SPU SEMI2K tuned 4.23 s, ABY3 6.18 s, CrypTen 7.56 s",
    ),
    bar("  fastest image", "vit_cifar_total_min_s", Form::Seconds, None, ""),
    bar("  slowest image", "vit_cifar_total_max_s", Form::Seconds, None, ""),
    bar("  offline", "vit_cifar_offline_s", Form::Seconds, None, ""),
    bar("  online", "vit_cifar_online_s", Form::Seconds, Some(0.12), ""),
    bar("  first image, offline", "vit_cifar_first_offline_s", Form::Seconds, None, ""),
    bar("  first image, online", "vit_cifar_first_online_s", Form::Seconds, None, ""),
    bar("  model setup, once", "vit_cifar_setup_s", Form::Seconds, None, ""),
    bar(
        "  online bytes, both ways",
        "vit_cifar_online_bytes",
        Form::Bytes,
        Some(15e6),
        "SPU SEMI2K 348 MB, CrypTen 452 MB",
    ),
    bar(
        "  flights",
        "vit_cifar_flights",
        Form::Count,
        Some(150.0),
        "SPU SEMI2K 1837, CrypTen 1331",
    ),
    bar(
        "  offline bytes",
        "vit_cifar_offline_bytes",
        Form::Bytes,
        Some(60e6),
        "not counted by the peers",
    ),
    bar("  model setup, once", "vit_cifar_setup_bytes", Form::Bytes, None, ""),
    bar(
        "  largest logit error",
        "vit_cifar_max_error",
        Form::Error,
        Some(5e-3),
        "SPU 9e-3, CrypTen 8e-3",
    ),
    bar("  mean logit error", "vit_cifar_mean_error", Form::Error, Some(1.5e-3), ""),
    bar(
        "Tiny-ImageNet ViT, offline + online",
        "vit_tiny_total_s",
        Form::Seconds,
        Some(2.5),
        "SPU SEMI2K tuned 34.2 s, CrypTen 49.1 s",
    ),
    bar("  offline", "vit_tiny_offline_s", Form::Seconds, None, ""),
    bar("  online", "vit_tiny_online_s", Form::Seconds, None, ""),
    bar(
        "  online bytes, both ways",
        "vit_tiny_online_bytes",
        Form::Bytes,
        None,
        "SPU SEMI2K 3.9 GB, CrypTen 11 GB",
    ),
    bar("  flights", "vit_tiny_flights", Form::Count, None, "SPU SEMI2K 2783, CrypTen 1804"),
    bar("  offline bytes", "vit_tiny_offline_bytes", Form::Bytes, None, "not counted by the peers"),
    bar("trained CIFAR ViT: private = plaintext", "agreement_top1", Form::Percent, Some(99.5), ""),
    bar("  private accuracy", "agreement_private_accuracy", Form::Percent, None, ""),
    bar("  plaintext accuracy", "agreement_plaintext_accuracy", Form::Percent, None, ""),
    bar("  largest logit error", "agreement_max_error", Form::Error, None, ""),
];

impl Bar {
    fn is_met(&self, measured: f64, bar: f64) -> bool {
        match self.form {
            Form::Percent => measured >= bar,
            _ => measured <= bar,
        }
    }

    fn row(&self, records: &Records) -> Vec<String> {
        let sign = if matches!(self.form, Form::Percent) { ">=" } else { "<=" };
        let measured = records.get(self.record);
        let met = match (measured, self.bar) {
            (Some(x), Some(bar)) => {
                if self.is_met(x, bar) {
                    "yes"
                } else {
                    "NO"
                }
            }
            (None, Some(_)) => "not measured",
            (_, None) => "",
        };
        vec![
            self.what.to_owned(),
            measured.map_or(String::new(), |x| self.form.text(x)),
            self.bar.map_or(String::new(), |b| format!("{sign} {}", self.form.text(b))),
            met.to_owned(),
            self.peers.to_owned(),
        ]
    }
}

/// The table; lines without a bar only where they were measured.
pub fn text(records: &Records) -> String {
    let mut t = table(&["what", "measured", "bar", "met?", "peers, for comparison"], 5);
    for bar in BARS {
        if bar.bar.is_some() || records.get(bar.record).is_some() {
            t.add_row(bar.row(records));
        }
    }
    let images = |name: &str| records.get(name).unwrap_or(0.0);
    format!(
        "Models: three processes on loopback over QUIC, one image an evaluation, nothing made ahead of time.\n\
         {t}\n\
         Seconds are medians of {} (CIFAR) and {} (Tiny) images with random weights of the peers' scale; the first \
         image, a\nwarm-up, is apart. Logit errors: {} images of standard normal pixels against float32, in process. \
         The peers' figures\n(shared/design/PEERS.md) are minima from another machine of the same class unless rerun; \
         their bytes are both parties'.\n",
        images("vit_cifar_images"),
        images("vit_tiny_images"),
        images("vit_cifar_error_images"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_met_from_below_and_agreement_from_above() {
        let mut records = Records::default();
        records.add("vit_cifar_total_s", 0.30, "s");
        records.add("vit_cifar_online_s", 0.1201, "s");
        records.add("vit_cifar_flights", 72.0, "flights");
        records.add("agreement_top1", 99.4, "%");
        let text = text(&records);
        let line = |what: &str| -> Vec<&str> {
            let line = text.lines().find(|l| l.contains(what)).expect("a line");
            line.split_whitespace().collect()
        };
        assert!(line("CIFAR ViT, offline + online").contains(&"yes"));
        assert!(line("  online ").contains(&"NO"), "{text}");
        assert!(line("flights").contains(&"yes"));
        assert!(line("private = plaintext").contains(&"NO"));
        assert!(line("Tiny-ImageNet").ends_with(&["49.1", "s"]), "{text}");
        assert!(line("Tiny-ImageNet").contains(&"measured"), "not measured is not met");
        assert!(!text.contains("fastest image"), "only where measured");
    }
}
