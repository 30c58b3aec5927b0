//! The online part: both parties walk the levels, each message takes its time on the wire.
//!
//! A party starts a level when it has unpacked the peer's message of the level before and done with
//! its own work there; `send` never waits, so a one-sided message delays its receiver alone. Which of
//! the two it was that a party waited for is kept, and the way back from the end is the critical path.

use sotto_protocols::Role;

use crate::{
    network::{Direction, Host, Network},
    price::{Machines, Priced},
    wire::Wire,
};

/// One level of the timeline, in seconds from the client's start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LevelTimes {
    /// When server and client begin their work.
    pub start: [f64; 2],
    /// When it is done and their messages are queued.
    pub ready: [f64; 2],
    /// When the message to server and client is there; `None` where none is sent.
    pub arrival: [Option<f64>; 2],
    /// What the message to server and client takes on the wire: transmission, everything else.
    pub wire: [[f64; 2]; 2],
}

/// What the time of the critical path went into, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Spent {
    /// Work of the server and of the client.
    pub compute: [f64; 2],
    /// Bytes leaving at the link's rate.
    pub transmission: f64,
    /// One-way delays, with what the system adds to a message.
    pub propagation: f64,
}

impl Spent {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.compute[0] + self.compute[1] + self.transmission + self.propagation
    }

    pub(crate) fn add(&mut self, other: &Spent) {
        self.compute[0] += other.compute[0];
        self.compute[1] += other.compute[1];
        self.transmission += other.transmission;
        self.propagation += other.propagation;
    }
}

/// The wires between the parties: to the server, to the client.
pub(crate) fn wires(machines: &Machines, network: &Network) -> [Wire; 2] {
    let wire = |from: Host, to: Host, role: Role| {
        let direction: &Direction = network.direction(from, to);
        let wire = if machines.shared { Wire::shared } else { Wire::new };
        wire(direction, network.direction(to, from), &machines.of(role).messages)
    };
    [wire(Host::Client, Host::Server, Role::Client), wire(Host::Server, Host::Client, Role::Server)]
}

/// Seconds until the client has its result, the server having been told to start by a message of
/// the client's; `watch` sees every level.
pub(crate) fn walk<'a>(
    levels: impl Iterator<Item = ([f64; 2], [u64; 2])> + 'a,
    wires: &mut [Wire; 2],
    mut watch: impl FnMut(LevelTimes),
) -> f64 {
    // The request that names the batch.
    let mut now = [wires[0].carry(0.0, 16).0, 0.0];
    for (seconds, bytes) in levels {
        let mut level = LevelTimes { start: now, ..LevelTimes::default() };
        level.ready = [now[0] + seconds[0], now[1] + seconds[1]];
        now = level.ready;
        for to in [0, 1] {
            let from = 1 - to;
            if bytes[from] > 0 {
                let (arrival, transmission) = wires[to].carry(level.ready[from], bytes[from]);
                level.arrival[to] = Some(arrival);
                let rest = arrival - level.ready[from] - transmission;
                level.wire[to] = [transmission, rest];
                now[to] = now[to].max(arrival);
            }
        }
        watch(level);
    }
    now[1]
}

/// The online seconds of a priced plan.
pub fn online(priced: &Priced, machines: &Machines, network: &Network) -> f64 {
    walk(levels(priced), &mut wires(machines, network), |_| {})
}

/// Seconds and bytes of each level.
pub(crate) fn levels(priced: &Priced) -> impl Iterator<Item = ([f64; 2], [u64; 2])> + '_ {
    priced.levels.iter().map(|steps| {
        let mut sum = ([0.0; 2], [0; 2]);
        for step in steps {
            for i in [0, 1] {
                sum.0[i] += step.seconds[i];
                sum.1[i] += step.bytes[i];
            }
        }
        sum
    })
}

/// What each level adds to the critical path, that of the client's result; their sum is the total,
/// but for the first entry, which is the request's way.
pub(crate) fn critical(times: &[LevelTimes]) -> (Spent, Vec<Spent>) {
    let mut spent = vec![Spent::default(); times.len()];
    let mut party = 1;
    for (level, s) in times.iter().zip(&mut spent).rev() {
        // Who was waited for after this level: its own work, or the peer's message.
        if let Some(arrival) = level.arrival[party]
            && arrival > level.ready[party]
        {
            [s.transmission, s.propagation] = level.wire[party];
            party = 1 - party;
        }
        s.compute[party] = level.ready[party] - level.start[party];
    }
    let request = times.first().map_or(0.0, |level| level.start[party]);
    (Spent { propagation: request, ..Spent::default() }, spent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Machine, Path};

    fn network(delay: f64, rate: f64) -> Network {
        Network::uniform("test", Path::symmetric(Direction::new(rate, delay)))
    }

    fn wired(delay: f64, rate: f64) -> [Wire; 2] {
        let mut machine = Machine::reference();
        machine.messages = crate::Messages::default();
        wires(&Machines::alike(&machine), &network(delay, rate))
    }

    #[test]
    fn a_two_sided_flight_waits_for_the_slower_party() {
        let levels = [([0.1, 0.3], [1, 1]), ([0.2, 0.1], [0, 0])];
        let mut times = Vec::new();
        let total = walk(levels.into_iter(), &mut wired(0.01, f64::INFINITY), |t| times.push(t));
        // The server starts at 0.01 and is ready at 0.11; the client at 0.3, the server's message is there.
        assert!((total - 0.4).abs() < 1e-9, "{total}");
        assert_eq!(times[0].arrival[1].map(|t| (t * 1e3).round()), Some(120.0));
        let (request, spent) = critical(&times);
        let sum = spent.iter().fold(request.total(), |sum, s| sum + s.total());
        assert!((sum - total).abs() < 1e-9, "the path explains {sum} of {total}");
    }

    #[test]
    fn a_one_sided_flight_delays_its_receiver_alone() {
        // Client to server, then server to client: a round trip.
        let levels = [([0.0, 0.1], [0, 1]), ([0.2, 0.0], [1, 0]), ([0.0, 0.05], [0, 0])];
        let mut times = Vec::new();
        let total = walk(levels.into_iter(), &mut wired(0.5, f64::INFINITY), |t| times.push(t));
        assert!((total - (0.1 + 0.5 + 0.2 + 0.5 + 0.05)).abs() < 1e-9, "{total}");
        let (request, spent) = critical(&times);
        assert_eq!(request.total(), 0.0, "the path begins at the client");
        assert!((spent[1].compute[0] - 0.2).abs() < 1e-9 && spent[1].compute[1] == 0.0);
    }

    #[test]
    fn messages_that_follow_each_other_queue_on_the_wire() {
        // The second may not leave before the first has: 1 MB each at 10 MB/s.
        let levels =
            [([0.0, 0.0], [0, 1_000_000]), ([0.0, 0.0], [0, 1_000_000]), ([0.0; 2], [1, 0])];
        let total = walk(levels.into_iter(), &mut wired(0.0, 1e7), |_| {});
        assert!((0.2..0.22).contains(&total), "{total}");
    }
}
