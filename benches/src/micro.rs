//! Gates one by one, beside what the peers need for the same function.

mod case;
mod ops;
mod peers;

use indicatif::ProgressBar;
use sotto::report::{bytes, table};

use crate::{
    error::Error,
    local::Local,
    record::{Records, Spread},
};

use case::Case;
use ops::{OPS, Op};
use peers::{Peer, best};

/// What was measured of one function.
pub struct Measured {
    op: &'static Op,
    offline: Spread,
    online: Spread,
    total: Spread,
    /// Online bytes of the party that sends more.
    sent: u64,
    flights: u64,
    offline_bytes: u64,
    error: f64,
}

/// Number of functions: the length of a progress bar.
pub fn count() -> usize {
    OPS.len()
}

/// Measures every function `repeats` times, after one run that is checked and not timed.
///
/// # Errors
/// [`Error::Sotto`] when a party fails; [`Error::Check`] when a result is garbage or a count is not the plan's.
pub fn measure(
    repeats: usize,
    bar: &ProgressBar,
    records: &mut Records,
) -> Result<Vec<Measured>, Error> {
    let mut all = Vec::new();
    for op in OPS {
        bar.set_message(op.name);
        let measured = one(op, &(op.case)(), repeats)?;
        measured.record(records);
        all.push(measured);
        bar.inc(1);
    }
    Ok(all)
}

fn one(op: &'static Op, case: &Case, repeats: usize) -> Result<Measured, Error> {
    let (plan, scale) = case.revealed();
    let checked = Local::new(&plan, case.matrices.clone())?.evaluate(0, &case.shares(&plan))?;
    let error = case.error(&checked.outputs[0], scale);
    if error > 0.1 {
        return Err(Error::Check(format!("{}: a result is off by {error}", op.name)));
    }
    let plan = case.plan();
    let local = Local::new(&plan, case.matrices.clone())?;
    let shares = case.shares(&plan);
    let runs: Vec<_> = (1..=repeats.max(1) as u64)
        .map(|number| local.evaluate(number, &shares))
        .collect::<Result<_, _>>()?;
    let first = runs.first().expect("at least one repetition");
    Ok(Measured {
        op,
        offline: Spread::of(runs.iter().map(|r| r.offline_s)),
        online: Spread::of(runs.iter().map(|r| r.online_s)),
        total: Spread::of(runs.iter().map(|r| r.offline_s + r.online_s)),
        sent: first.traffic.from_server.max(first.traffic.from_client),
        flights: first.traffic.flights,
        offline_bytes: first.offline_bytes,
        error,
    })
}

impl Measured {
    fn record(&self, records: &mut Records) {
        let name = |what: &str| format!("{}_{what}", self.op.name);
        records.add_seconds(&name("total"), self.total);
        records.add_seconds(&name("online"), self.online);
        records.add_seconds(&name("offline"), self.offline);
        records.add(name("sent_bytes"), self.sent as f64, "bytes");
        records.add(name("flights"), self.flights as f64, "flights");
        records.add(name("offline_bytes"), self.offline_bytes as f64, "bytes");
        records.add(name("max_error"), self.error, "absolute");
        if let Some(peer) = best(self.op.peer) {
            records.add(name("peer_ratio"), self.ratio(&peer), "times faster than the best peer");
        }
    }

    /// How many times faster than `peer`, smallest against smallest.
    fn ratio(&self, peer: &Peer) -> f64 {
        peer.seconds / self.total.min
    }

    fn row(&self) -> Vec<String> {
        let pair = |s: Spread| format!("{:.1} / {:.1}", s.min * 1e3, s.median * 1e3);
        let mut row = vec![
            self.op.name.to_owned(),
            pair(self.offline),
            pair(self.online),
            pair(self.total),
            bytes(self.offline_bytes),
            bytes(self.sent),
            self.flights.to_string(),
            format!("{:.0e}", self.error),
        ];
        row.extend(match best(self.op.peer) {
            Some(peer) => [
                peer.name.to_owned(),
                format!("{:.0}", peer.seconds * 1e3),
                bytes((peer.megabytes * 1e6).round() as u64),
                peer.sends.to_string(),
                peer.error.map_or("?".into(), |e| format!("{e:.0e}")),
                format!("{:.1}x", self.ratio(&peer)),
            ],
            None => [const { String::new() }; 6],
        });
        row
    }
}

/// The table and what to know about it.
pub fn text(all: &[Measured]) -> String {
    let header = [
        "function",
        "offline ms",
        "online ms",
        "total ms",
        "offline",
        "sent",
        "flights",
        "error",
        "best peer",
        "peer ms",
        "sent ",
        "sends",
        "error ",
        "faster",
    ];
    let mut t = table(&header, 1);
    for measured in all {
        t.add_row(measured.row());
    }
    let mut out = format!(
        "Gates, in one process: dealer on one thread, then two parties on two threads joined by a local link (no QUIC).\n\
         {t}\n\
         Milliseconds are min / median; offline is dealing and staging. `sent` is the busiest party's online bytes, `offline` \
         the dealer's.\nInputs and results are shared; results stay so. Errors are against float of the unrounded input (less_100k: of the rounded one).\n\
         Peers: the fastest of all measured, its min, on another machine of the same class unless rerun; \
         every\nparty its own process there; `faster` is its min over our min of offline and online together.\n"
    );
    for measured in all {
        out += &format!("  {:<20} {}\n", measured.op.name, measured.op.note);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All but the widest products, whose checks take long without optimisation.
    #[test]
    fn functions_are_right_within_their_bounds() {
        let bounds = [
            ("less_100k", 0.0),
            ("relu_100k", 3e-4),
            ("exp_100k", 8e-3),
            ("gelu_100k", 2e-3),
            ("recip_100k", 2e-3),
            ("rsqrt_100k", 3e-2),
            ("softmax_12x128x128", 4e-3),
            ("layernorm_128x768", 4e-3),
            ("matmul_64x256x256", 5e-4),
            ("linear_64x256x256", 5e-4),
        ];
        for (name, bound) in bounds {
            let op = OPS.iter().find(|o| o.name == name).expect("in the list");
            let measured = one(op, &(op.case)(), 1).expect("a result");
            assert!(measured.error <= bound, "{name}: error {}", measured.error);
            assert!(measured.total.min >= measured.online.min && measured.flights > 0);
            let row = measured.row();
            assert!(row[13].ends_with('x'), "{name} has a peer: {row:?}");
        }
    }

    #[test]
    fn names_are_unique_and_every_function_has_a_peer() {
        for (i, op) in OPS.iter().enumerate() {
            assert!(OPS[..i].iter().all(|o| o.name != op.name), "{}", op.name);
            assert!(best(op.peer).is_some(), "{}", op.peer);
        }
    }
}
