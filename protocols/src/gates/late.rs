//! Tables of public values that a gate needs to run, but not to be traced, hashed, dealt or priced.
//!
//! They follow from the gate's own parameters, which the plan's hash covers. A party makes them in
//! [`Gate::prepare`](crate::gate::Gate::prepare), with its first batch and before any input is known; they stay with the
//! plan.

use std::{fmt, ops::RangeInclusive, sync::OnceLock};

use crate::encode::Encode;

/// Logarithms of the sizes that a table can have.
pub(super) const TABLE: RangeInclusive<u32> = 3..=20;

/// What is made when it is first asked for.
pub(super) struct Late<T>(OnceLock<T>);

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> fmt::Debug for Late<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Late")
    }
}

/// Nothing: it follows from the gate's other fields.
impl<T> Encode for Late<T> {
    fn encode(&self, _: &mut Vec<u8>) {}
}

impl<T> Late<T> {
    /// What `make` gives, which must follow from the gate alone.
    pub(super) fn get(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(|| {
            #[cfg(test)]
            tests::MADE.with(|made| made.set(made.get() + 1));
            make()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use sotto_crypto::Seed;

    use crate::{
        batch::Batch,
        compose::norm::NormFormat,
        functions::{Function, Window},
        gates::lookup::Precision,
        plan::{Plan, Trace},
        spec::Role,
        testing::Bench,
        weights::Weights,
    };

    thread_local! {
        /// How many this thread has made.
        pub(super) static MADE: Cell<usize> = const { Cell::new(0) };
    }

    /// One gate of each kind that has tables.
    fn plan() -> Plan {
        let mut t = Trace::new();
        let x = t.input(&[6, 16], 40, 10);
        let squares = Window::positive(18, 7);
        let norm = NormFormat { width: 18, squares, k: 13, slope_scale: 11, bands: None };
        let normed = t.layer_norm(x, &norm, 1e-5, 40);
        let open = t.open_window(x, Window::signed(16, 10));
        let precision = Precision { k: 9, value_scale: 10, slope_scale: 10 };
        let smooth = t.lookup(open, Function::Tanh, precision);
        let smooth = t.lift(smooth, 40);
        let open = t.open(x, 16, 62 << 10);
        let power = t.exp2(open);
        let power = t.lift(power, 50);
        let outputs = [normed, smooth, power].map(|y| t.reveal(y, 30));
        t.finish(&outputs)
    }

    #[test]
    fn tables_are_made_once_by_the_first_batch_and_not_by_trace_hash_or_costs() {
        let made = || MADE.with(Cell::get);
        let plan = plan();
        assert_eq!(plan.hash(), super::tests::plan().hash());
        let work: u64 = plan.nodes.iter().map(|n| n.gate.work().online[0]).sum();
        assert!(work > 0 && plan.online().flights > 0 && plan.correction_bytes() > 0);
        assert_eq!(made(), 0);
        let stage = || {
            let corrections = Some(vec![0; plan.correction_bytes()]);
            let batch = Batch { id: 0, seed: Seed::from_bytes([5; 32]), corrections };
            batch.stage(&plan, Role::Client, &Weights::Plain(Vec::new())).expect("a whole batch");
        };
        stage();
        assert_eq!(made(), 3);
        stage();
        // Dealing, the client's evaluation and the simulator in this thread.
        let mut bench = Bench::new(3);
        let input = bench.signed(96, 10);
        bench.run_shared(&plan, Vec::new(), &[input]).check_exact();
        assert_eq!(made(), 3);
    }
}
