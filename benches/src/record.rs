//! What was measured, under stable names, and how it is written.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{error::Error, machine::Machine};

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its name, such as `vit_cifar_total_s`.
    pub name: String,
    /// The number.
    pub value: f64,
    /// What it counts.
    pub unit: &'static str,
}

/// All numbers of a run, in the order in which they were measured.
#[derive(Default)]
pub struct Records(Vec<Record>);

impl Records {
    /// Adds a number.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.0.push(Record { name: name.into(), value, unit });
    }

    /// Adds seconds: the median under `PREFIX_s`, and both ends.
    pub fn add_seconds(&mut self, prefix: &str, spread: Spread) {
        self.add(format!("{prefix}_s"), spread.median, "s");
        self.add(format!("{prefix}_min_s"), spread.min, "s");
        self.add(format!("{prefix}_max_s"), spread.max, "s");
    }

    /// The number of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|r| r.name == name).map(|r| r.value)
    }

    /// The list `{name, value, unit}`; its first entry says where, when and how it was measured.
    pub fn to_json(&self, machine: &Machine) -> Value {
        let first = json!({
            "name": "run",
            "value": machine.seconds,
            "unit": "s since 1970",
            "machine": machine.processor,
            "cores": machine.cores,
            "load": machine.load,
            "commit": machine.commit,
            "date": machine.date(),
            "command": machine.command,
        });
        let rest =
            self.0.iter().map(|r| json!({ "name": r.name, "value": r.value, "unit": r.unit }));
        Value::Array(std::iter::once(first).chain(rest).collect())
    }

    /// Writes [`Records::to_json`].
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn write(&self, machine: &Machine, path: &Path) -> Result<(), Error> {
        let text = format!("{:#}\n", self.to_json(machine));
        fs::write(path, text).map_err(Error::io(path))
    }
}

/// Smallest, middle and largest of several measurements.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The median; of an even number, the mean of the middle two.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of `values`; zeros when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let half = values.len() / 2;
        let median = (values[(values.len() - 1) / 2] + values[half]) / 2.0;
        Self { min, median, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        let spread = |v: &[f64]| Spread::of(v.iter().copied());
        assert_eq!(spread(&[]), Spread::default());
        assert_eq!(spread(&[2.0]), Spread { min: 2.0, median: 2.0, max: 2.0 });
        assert_eq!(spread(&[5.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 5.0 });
        assert_eq!(spread(&[5.0, 1.0, 2.0, 4.0]).median, 3.0);
    }

    #[test]
    fn the_list_starts_with_the_run_and_keeps_names_values_and_units() {
        let mut records = Records::default();
        records.add("vit_cifar_flights", 72.0, "flights");
        records.add_seconds("vit_cifar_total", Spread { min: 0.1, median: 0.2, max: 0.4 });
        assert_eq!(records.get("vit_cifar_total_s"), Some(0.2));
        assert_eq!(records.get("vit_cifar_total_max_s"), Some(0.4));
        assert_eq!(records.get("vit_tiny_total_s"), None);
        let list = records.to_json(&Machine::here("sotto-bench --only gemm".into()));
        let list = list.as_array().expect("a list");
        assert_eq!(list.len(), 5);
        assert_eq!(list[0]["command"], "sotto-bench --only gemm");
        assert!(list.iter().all(|r| r["value"].is_number() && r["unit"].is_string()));
        assert_eq!(
            list[1],
            json!({ "name": "vit_cifar_flights", "value": 72.0, "unit": "flights" })
        );
    }
}
