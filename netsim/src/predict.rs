//! The prediction: setup, offline, online and total of a plan on a network, and where the time goes.

use std::collections::BTreeMap;

use serde::Serialize;
use sotto_protocols::{Role, cost::SEED_BYTES};

use crate::{
    making::{Counts, Making},
    network::Network,
    offline::{Offline, offline, setup},
    online::{LevelTimes, Spent, critical, levels, walk, wires},
    price::{Machines, Priced},
};

/// Time and traffic of one layer or one kind of gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Part {
    /// The layer or the gate.
    pub name: String,
    /// Seconds on the critical path.
    pub spent: Spent,
    /// Their sum.
    pub seconds: f64,
    /// Flights that end in it; a shared flight counts in equal parts.
    pub flights: f64,
    /// Bytes, both directions.
    pub bytes: u64,
    /// Seconds of work of server and client, on the critical path or not.
    pub work_s: [f64; 2],
}

/// A stream of requests, one after the other, with a pool of correlations made ahead of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Throughput {
    /// Evaluations a second while the pool lasts.
    pub online: f64,
    /// Evaluations a second that dealer, its links and the staging can supply.
    pub supply: f64,
    /// What lasts: the smaller one.
    pub sustained: f64,
    /// Evaluations until a pool of the given size is empty; `None` when supply keeps up.
    pub pool_lasts: Option<f64>,
    /// Whether the supply of correlations is what a steady stream waits for.
    pub supply_is_bottleneck: bool,
}

/// What a plan costs on a network.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// The network's name.
    pub network: String,
    /// Seconds of the setup, once for each client.
    pub setup_s: f64,
    /// Bytes of the setup.
    pub setup_bytes: u64,
    /// Seconds until both parties are ready when nothing was made ahead of time.
    pub offline_s: f64,
    /// Bytes of seeds and corrections; without a dealer, of what crosses between the two.
    pub offline_bytes: u64,
    /// Message times between the two before the online part: none with a dealer.
    pub offline_flights: u64,
    /// Correlated transfers of a batch: none with a dealer.
    pub cots: u64,
    /// Seconds from the client's first byte to its result.
    pub online_s: f64,
    /// Bytes, both directions.
    pub online_bytes: u64,
    /// Levels in which anything is sent.
    pub flights: u64,
    /// Offline and online.
    pub total_s: f64,
    /// What the online time goes into, on its critical path.
    pub spent: Spent,
    /// The same layer by layer.
    pub layers: Vec<Part>,
    /// The same by kind of gate.
    pub gates: Vec<Part>,
    /// The offline part's times.
    pub offline: Offline,
    /// A stream of requests.
    pub throughput: Throughput,
    /// Online times, level by level.
    #[serde(skip)]
    pub times: Vec<LevelTimes>,
}

/// Where correlations come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A dealer gives the corrections to this party.
    Dealer(Role),
    /// The two make them.
    Peer(&'a Making),
}

/// Predicts a priced plan on a network; `pool` batches wait at the start of a stream of requests.
pub fn predict(
    priced: &Priced,
    machines: &Machines,
    network: &Network,
    source: Source<'_>,
    pool: usize,
) -> Prediction {
    let mut times = Vec::with_capacity(priced.levels.len());
    let online_s = walk(levels(priced), &mut wires(machines, network), |t| times.push(t));
    let (request, by_level) = critical(&times);
    let (setup_s, offline, counts) = match source {
        Source::Dealer(corrected) => {
            let bytes = priced.correction_bytes() + 2 * SEED_BYTES;
            let counts = Counts { bytes, setup_bytes: priced.setup_bytes, ..Counts::default() };
            let offline = offline(priced, machines, network, corrected);
            (setup(priced, machines, network), offline, counts)
        }
        Source::Peer(making) => {
            let setup = making.setup(machines, network);
            (setup, making.offline(machines, network), making.counts)
        }
    };
    let bytes: u64 = priced.levels.iter().flatten().map(|s| s.bytes[0] + s.bytes[1]).sum();
    let flights = times.iter().filter(|t| t.arrival.iter().any(Option::is_some)).count() as u64;
    let mut spent = request;
    by_level.iter().for_each(|s| spent.add(s));
    Prediction {
        network: network.name.clone(),
        setup_s,
        setup_bytes: counts.setup_bytes,
        offline_s: offline.total,
        offline_bytes: counts.bytes,
        offline_flights: counts.flights,
        cots: counts.cots,
        online_s,
        online_bytes: bytes,
        flights,
        total_s: offline.total + online_s,
        spent,
        layers: parts(priced, &by_level, |step| step.section)
            .into_iter()
            .map(|(section, part)| Part { name: priced.sections[section].clone(), ..part })
            .collect(),
        gates: parts(priced, &by_level, |step| step.gate)
            .into_iter()
            .map(|(gate, part)| Part { name: gate.to_owned(), ..part })
            .collect(),
        offline,
        throughput: throughput(online_s, offline.period, pool),
        times,
    }
}

/// Divides each level's time among its steps: work by their work, transmission by their bytes,
/// propagation equally among those that send.
fn parts<K: Ord>(
    priced: &Priced,
    by_level: &[Spent],
    key: impl Fn(&crate::price::Step) -> K,
) -> BTreeMap<K, Part> {
    let mut parts: BTreeMap<K, Part> = BTreeMap::new();
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    for (steps, spent) in priced.levels.iter().zip(by_level) {
        let work: [f64; 2] = [0, 1].map(|i| steps.iter().map(|s| s.seconds[i]).sum());
        let sent = |s: &crate::price::Step| (s.bytes[0] + s.bytes[1]) as f64;
        let bytes: f64 = steps.iter().map(sent).sum();
        let senders = steps.iter().filter(|s| sent(s) > 0.0).count() as f64;
        for step in steps {
            let of_flight = if sent(step) > 0.0 { 1.0 / senders } else { 0.0 };
            let mine = Spent {
                compute: [0, 1].map(|i| spent.compute[i] * share(step.seconds[i], work[i])),
                transmission: spent.transmission * share(sent(step), bytes),
                propagation: spent.propagation * of_flight,
            };
            let part = parts.entry(key(step)).or_default();
            part.spent.add(&mine);
            part.seconds += mine.total();
            part.flights += of_flight;
            part.bytes += sent(step) as u64;
            part.work_s[0] += step.seconds[0];
            part.work_s[1] += step.seconds[1];
        }
    }
    parts
}

fn throughput(online_s: f64, period: f64, pool: usize) -> Throughput {
    let rate = |seconds: f64| 1.0 / f64::max(seconds, 1e-9);
    let (online, supply) = (rate(online_s), rate(period));
    let bottleneck = supply < online;
    Throughput {
        online,
        supply,
        sustained: online.min(supply),
        // While one batch is used, supply / online of another is made.
        pool_lasts: bottleneck.then(|| pool as f64 / (1.0 - supply / online)),
        supply_is_bottleneck: bottleneck,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Machine, testing};

    #[test]
    fn parts_sum_up_to_the_whole() {
        let private = testing::mixed();
        let machines = Machines::alike(&Machine::reference());
        let priced = Priced::new(&private.plan, &machines).unwrap();
        for (name, _) in crate::PRESETS {
            let network = Network::preset(name).unwrap();
            let p = predict(&priced, &machines, &network, Source::Dealer(Role::Server), 2);
            let online = private.plan.online();
            assert_eq!(
                (p.flights, p.online_bytes),
                (online.flights, online.from_server + online.from_client)
            );
            assert_eq!(p.offline_bytes, private.plan.cost().offline_bytes);
            let close =
                |a: f64, b: f64| assert!((a - b).abs() < 1e-9 + 1e-6 * b, "{name}: {a} for {b}");
            close(p.spent.total(), p.online_s);
            for parts in [&p.layers, &p.gates] {
                let sum: f64 = parts.iter().map(|part| part.seconds).sum();
                // The request's way belongs to no layer.
                assert!(
                    sum <= p.online_s + 1e-9 && sum > 0.95 * p.online_s,
                    "{name}: {sum} of {}",
                    p.online_s
                );
                close(parts.iter().map(|part| part.flights).sum(), p.flights as f64);
                assert_eq!(parts.iter().map(|part| part.bytes).sum::<u64>(), p.online_bytes);
            }
            assert!(p.total_s > p.online_s && p.setup_s > 0.0);
        }
    }

    #[test]
    fn far_networks_cost_their_delays() {
        let private = testing::mixed();
        let machines = Machines::alike(&Machine::reference());
        let priced = Priced::new(&private.plan, &machines).unwrap();
        let at = |name| {
            predict(
                &priced,
                &machines,
                &Network::preset(name).unwrap(),
                Source::Dealer(Role::Server),
                0,
            )
        };
        let (near, far) = (at("loopback"), at("wan-cheetah"));
        // One-sided flights that nobody waits for are free: at most one delay a flight.
        let delays = far.flights as f64 * 0.02;
        assert!(
            far.online_s > 0.9 * delays && far.online_s < near.online_s + 1.2 * delays,
            "{}",
            far.online_s
        );
        assert!(far.spent.propagation > 0.8 * far.online_s);
    }

    #[test]
    fn a_pool_lasts_until_supply_falls_behind() {
        let t = throughput(0.1, 0.2, 4);
        assert!(t.supply_is_bottleneck && (t.sustained - 5.0).abs() < 1e-9);
        assert!((t.pool_lasts.unwrap() - 8.0).abs() < 1e-9);
        assert_eq!(throughput(0.3, 0.2, 4).pool_lasts, None);
    }
}
