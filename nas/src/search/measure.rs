//! Private accuracy and latency of trained models, measured by the `sotto` program: three processes
//! and the real protocol, over an emulated network where the latency is wanted.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Error;

/// What `sotto demo` counted over all images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Images classified.
    pub images: usize,
    /// How many have the true class.
    pub correct: usize,
    /// How many agree with the float reference.
    pub agree_plaintext: usize,
    /// How many agree with the integer simulator.
    pub agree_simulator: usize,
    /// Median online seconds of the images after the first, which also connects.
    pub median_online_s: f64,
    /// Their median offline seconds.
    pub median_offline_s: f64,
    /// Bytes from the dealer, an image.
    pub offline_bytes: u64,
    /// Online bytes in both directions, an image.
    pub online_bytes: u64,
    /// Sequential message times.
    pub flights: u64,
    /// The same images in the clear, on each device of the machine.
    #[serde(default)]
    pub plaintext: Vec<Clear>,
}

/// One image in the clear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clear {
    /// `cpu`, `gpu` or `cuda`.
    pub device: String,
    /// Its maker's name.
    pub name: String,
    /// Median seconds of one image.
    pub one_s: f64,
}

impl Measured {
    /// The seconds that an objective counts.
    pub fn seconds(&self, objective: &str) -> f64 {
        let offline = if objective == "total" { self.median_offline_s } else { 0.0 };
        self.median_online_s + offline
    }
}

/// Runs the model in `folder` privately on the first `limit` test images of `data`, `batch` in each evaluation, over
/// `network`.
///
/// # Errors
/// [`Error::File`] when `sotto` cannot be started, [`Error::Private`] when it fails or says what
/// cannot be understood.
pub fn demo(
    sotto: &Path,
    folder: &Path,
    data: &Path,
    (limit, batch): (usize, usize),
    network: &str,
) -> Result<Measured, Error> {
    let mut command = Command::new(sotto);
    command.arg("demo").arg("--model").arg(folder).arg("--images").arg(data);
    command.args(["--limit", &limit.to_string(), "--batch", &batch.to_string()]);
    command.args(["--net", network, "--json"]);
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| Error::file(sotto, e))?;
    let failed = |why: String| {
        Error::Private(format!("{} demo --model {}: {why}", sotto.display(), folder.display()))
    };
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).map_err(|e| failed(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_programs_summary_is_read_and_its_failure_told() {
        use std::os::unix::fs::PermissionsExt;

        let folder = std::env::temp_dir().join(format!("sotto-nas-measure-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = |text: &str| {
            let path = folder.join("sotto");
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            demo(&path, Path::new("m"), Path::new("d"), (7, 2), "wan")
        };
        let told = r#"{"network":"wan","images":'$7',"correct":6,"agree_plaintext":7,"agree_simulator":7,"median_online_s":0.5,"median_offline_s":0.25,"offline_bytes":9,"online_bytes":8,"flights":40,"plaintext":[{"device":"cpu","name":"a CPU","one_s":0.01,"private_times":75.0}]}"#;
        let measured = program(&format!("echo '{told}'")).unwrap();
        assert_eq!((measured.images, measured.correct, measured.flights), (7, 6, 40));
        assert_eq!((measured.seconds("online"), measured.seconds("total")), (0.5, 0.75));
        let clear = Clear { device: "cpu".into(), name: "a CPU".into(), one_s: 0.01 };
        assert_eq!(measured.plaintext, [clear]);
        let error = program("exit 3").unwrap_err().to_string();
        assert!(error.contains("demo --model m") && error.contains('3'), "{error}");
        assert!(program("echo hello").is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
