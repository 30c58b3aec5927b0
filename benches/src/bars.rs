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
            Form::Error => format!("{x:.2e}"),
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
    bar("  root mean square", "vit_cifar_rms_error", Form::Error, Some(1.5e-3), ""),
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
    bar("  most memory, server", "vit_tiny_server_peak_bytes", Form::Bytes, None, ""),
    bar("  most memory, client", "vit_tiny_client_peak_bytes", Form::Bytes, None, ""),
    bar("  most memory, dealer", "vit_tiny_dealer_peak_bytes", Form::Bytes, None, ""),
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

/// The table: after a run of the models all bars, otherwise what was measured.
pub fn text(records: &Records) -> String {
    let models = records.get("vit_cifar_images");
    let mut t = table(&["what", "measured", "bar", "met?", "peers, for comparison"], 5);
    for bar in BARS {
        if records.get(bar.record).is_some() || (bar.bar.is_some() && models.is_some()) {
            t.add_row(bar.row(records));
        }
    }
    let mut out = format!("Models: three processes on loopback over QUIC.\n{t}\n");
    let images = |name: &str| records.get(name).unwrap_or(0.0);
    if let Some(cifar) = models {
        out += &format!(
            "Seconds are medians of {cifar} (CIFAR) and {} (Tiny) images with random weights of the peers' scale, one an\n\
             evaluation, nothing made ahead of time; the first image, a warm-up, is apart. Logit errors: {} images of\n\
             standard normal pixels against float32, in process. The peers' figures are minima\n\
             from another machine of the same class unless rerun; their bytes are both parties'.\n",
            images("vit_tiny_images"),
            images("vit_cifar_error_images"),
        );
    }
    if records.get("agreement_top1").is_none() {
        out += "The trained model's agreement: --agreement 1000 --data cifar-10-binary.tar.gz (takes minutes).\n";
    }
    out
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
        let met = |record: &str| {
            let bar = BARS.iter().find(|b| b.record == record).expect("in the table");
            bar.row(&records)[3].clone()
        };
        assert_eq!(met("vit_cifar_total_s"), "yes");
        assert_eq!(met("vit_cifar_online_s"), "NO");
        assert_eq!(met("vit_cifar_flights"), "yes");
        assert_eq!(met("agreement_top1"), "NO");
        assert_eq!(met("vit_tiny_total_s"), "not measured", "which is not met");
        assert_eq!(met("vit_cifar_offline_s"), "", "there is no bar");
    }

    #[test]
    fn bars_that_were_not_measured_are_shown_after_a_run_of_the_models() {
        let mut records = Records::default();
        records.add("agreement_top1", 99.9, "%");
        assert!(!text(&records).contains("Tiny-ImageNet"));
        records.add("vit_cifar_images", 12.0, "images");
        let text = text(&records);
        assert!(text.contains("Tiny-ImageNet") && text.contains("medians of 12"), "{text}");
        assert!(!text.contains("fastest image"), "no bar, no measurement");
    }
}
