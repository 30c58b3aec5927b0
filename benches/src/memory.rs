//! The most memory that a process has held, as the kernel counts it.

use sotto::processes::Running;

/// Peaks of processes that are looked at now and then.
#[derive(Default)]
pub struct Peaks(Vec<(&'static str, u64)>);

impl Peaks {
    /// Looks at a process: the most bytes that it has held until now. Nothing is noted where the kernel does not tell, or the
    /// process has ended.
    pub fn look(&mut self, name: &'static str, process: &Running) {
        let status = format!("/proc/{}/status", process.child().id());
        let Some(bytes) = std::fs::read_to_string(status).ok().as_deref().and_then(peak) else {
            return;
        };
        match self.0.iter_mut().find(|(of, _)| *of == name) {
            Some((_, most)) => *most = bytes.max(*most),
            None => self.0.push((name, bytes)),
        }
    }

    /// Name and bytes of each.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().copied()
    }
}

/// The highest resident size in a process's `status`.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::peak;

    #[test]
    fn the_highest_size_is_found() {
        let status = "Name:\tsotto\nVmPeak:\t  900000 kB\nVmHWM:\t   12345 kB\nVmRSS:\t  1 kB\n";
        assert_eq!(peak(status), Some(12_345 * 1024));
        assert_eq!(peak("Name:\tsotto\n"), None);
    }
}
