//! Where, when and from which sources a run was measured.

use std::{
    fs,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

/// The circumstances of a run: a number without them cannot be compared with another.
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// Threads that run at once.
    pub cores: usize,
    /// Runnable processes in the last minute, before the run; much above 0 makes its times doubtful.
    pub load: Option<f64>,
    /// The checked-out commit, with `+` when files differ from it.
    pub commit: String,
    /// Seconds since 1970.
    pub seconds: u64,
    /// The command line.
    pub command: String,
}

impl Machine {
    /// This machine, now.
    pub fn here(command: String) -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            processor: processor(&info),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load: load(&fs::read_to_string("/proc/loadavg").unwrap_or_default()),
            commit: commit(),
            seconds: now.map_or(0, |d| d.as_secs()),
            command,
        }
    }

    /// The day and time in UTC.
    pub fn date(&self) -> String {
        date(self.seconds)
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "machine  {}, {} cores", self.processor, self.cores)?;
        if let Some(load) = self.load {
            writeln!(f, "load     {load} before the run")?;
        }
        writeln!(f, "commit   {}", self.commit)?;
        writeln!(f, "date     {}", self.date())?;
        write!(f, "command  {}", self.command)
    }
}

fn processor(info: &str) -> String {
    let mut lines = info.lines().filter_map(|l| l.split_once(':'));
    let model = lines.find(|(key, _)| key.trim() == "model name");
    model.map_or(std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}

fn load(line: &str) -> Option<f64> {
    line.split_whitespace().next()?.parse().ok()
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".into();
    };
    match git(&["status", "--porcelain"]) {
        Some(changes) if changes.is_empty() => hash,
        _ => format!("{hash}+"),
    }
}

/// `YYYY-MM-DD HH:MM UTC`. Days to a date as in H. Hinnant, "chrono-compatible low-level date algorithms":
/// years start in March, so that the leap day is the last.
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3_600, rest / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_460_340), "2026-11-23 18:59 UTC");
    }

    #[test]
    fn reads_what_linux_says() {
        let info = "processor\t: 0\nmodel\t\t: 167\nmodel name\t: A CPU @ 2 GHz\n";
        assert_eq!(processor(info), "A CPU @ 2 GHz");
        assert_eq!(processor(""), std::env::consts::ARCH);
        assert_eq!(load("0.52 0.58 0.59 1/467 12345\n"), Some(0.52));
        assert_eq!(load(""), None);
    }
}
