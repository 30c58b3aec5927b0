//! Correlations that two parties make alone: the recipe's levels, walked as the online part's are.

use sotto_protocols::{
    Role,
    make::{Piece, Recipe},
    plan::Plan,
};

use crate::{
    Error,
    machine::{Machine, Phase},
    network::{Host, Network},
    offline::{Offline, note, scheduled},
    online::{LevelTimes, walk, wires},
    price::Machines,
};

/// Bytes of the request for a batch, and of its answer.
const NOTES: [[u64; 2]; 2] = [[0, 32], [32, 0]];

/// Bytes of a piece in which encrypted matrices are made and read.
const PIECE: u64 = 1 << 20;

/// What two parties compute and send to make a batch, on given machines; what any network then adds follows from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Making {
    /// Level by level, of server and client: seconds of work before the message, bytes of it. The last sends nothing.
    levels: Vec<([f64; 2], [u64; 2])>,
    /// Seconds to stage the batch.
    stage: [f64; 2],
    /// Bytes that both send once; seconds for transfers and keys, for encrypting the matrices, for reading them.
    setup: ([u64; 2], [[f64; 2]; 3]),
    /// What follows from the recipe alone.
    pub counts: Counts,
}

/// What follows from the recipe alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of a batch, both directions.
    pub bytes: u64,
    /// Message times of a batch.
    pub flights: u64,
    /// Correlated transfers of a batch, both directions.
    pub cots: u64,
    /// Bytes of the setup.
    pub setup_bytes: u64,
}

impl Making {
    /// Prices a plan's recipe.
    ///
    /// # Errors
    /// [`Error::Input`] when a profile does not know how long two parties take.
    pub fn new(plan: &Plan, recipe: &Recipe, machines: &Machines) -> Result<Self, Error> {
        let roles = [Role::Server, Role::Client];
        let seconds = |role: Role, pieces: &[Piece]| -> Result<f64, Error> {
            let efforts = pieces.iter().filter_map(|&piece| recipe.effort(role, piece));
            efforts.map(|effort| machines.of(role).making(effort)).sum()
        };
        let mut levels = Vec::with_capacity(recipe.depth() + 1);
        let mut before = [0.0; 2];
        for level in 0..recipe.depth() {
            let mut work = before;
            for (i, &role) in roles.iter().enumerate() {
                let [begin, end] = recipe.pieces(level, role);
                work[i] += seconds(role, &begin)?;
                before[i] = seconds(role, &end)?;
            }
            levels.push((work, roles.map(|from| recipe.message_bytes(level, from) as u64)));
        }
        levels.push((before, [0; 2]));
        let mut stage = [0.0; 2];
        for node in &plan.nodes {
            for (i, &role) in roles.iter().enumerate() {
                stage[i] += machines.of(role).seconds(plan, node, Phase::Stage(role))?;
            }
        }
        let (traffic, cost) = (recipe.traffic(), recipe.cost(plan));
        let counts = Counts {
            bytes: traffic.from_server + traffic.from_client,
            flights: traffic.flights,
            cots: roles.map(|role| recipe.cots(role) as u64).iter().sum(),
            setup_bytes: cost.setup_bytes,
        };
        let sends = roles.map(|from| recipe.setup_bytes(from));
        let matrices = sends[0].saturating_sub(sends[1]) as f64;
        let [server, client] = [&machines.server, &machines.client];
        let both = |machine: &Machine| machine.making((recipe.setup_kind(), [0.0; 3]));
        let each = [
            [both(server)?, both(client)?],
            [server.making(("encrypt", [0.0, 0.0, matrices]))?, 0.0],
            [0.0, client.making(("read", [0.0, 0.0, matrices]))?],
        ];
        Ok(Self { levels, stage, setup: (sends, each), counts })
    }

    /// Level by level, of server and client: seconds of work before the message, bytes of it.
    pub fn levels(&self) -> &[([f64; 2], [u64; 2])] {
        &self.levels
    }

    /// When each level begins, is ready and arrives, in seconds from the client's request.
    pub fn times(&self, machines: &Machines, network: &Network) -> Vec<LevelTimes> {
        let mut times = Vec::with_capacity(self.levels.len());
        walk(self.levels.iter().copied(), &mut wires(machines, network), |t| times.push(t));
        times
    }

    /// Seconds of the setup, once for each client: both connections, base transfers, keys, the encrypted matrices.
    pub fn setup(&self, machines: &Machines, network: &Network) -> f64 {
        let messages = &machines.server.messages;
        let note = |from: Host, to: Host| note(network, messages, from, to);
        let greeting = 2.0 * note(Host::Client, Host::Server) + note(Host::Server, Host::Client);
        let ([server, client], [both, encrypt, read]) = self.setup;
        // Base transfers cross in two flights, keys in one.
        let third = (both.map(|s| s / 3.0), [client / 3; 2]);
        let mut wires = wires(machines, network);
        let mut read_by = walk([third; 3].into_iter(), &mut wires, |_| {});
        // Then the server's matrices come, encrypted, sent and read piece by piece.
        let matrices = server.saturating_sub(client);
        let pieces = matrices.div_ceil(PIECE).max(1);
        let each = |seconds: f64| seconds / pieces as f64;
        let mut encrypted = read_by;
        for _ in 0..pieces {
            encrypted += each(encrypt[0]);
            let arrived = wires[1].carry(encrypted, matrices / pieces).0;
            read_by = read_by.max(arrived) + each(read[1]);
        }
        2.0 * greeting + read_by
    }

    /// Seconds until both parties are ready for an evaluation, nothing having been made ahead of time.
    pub fn offline(&self, machines: &Machines, network: &Network) -> Offline {
        let asked = NOTES.map(|bytes| ([0.0; 2], bytes));
        let levels = asked.into_iter().chain(self.levels.iter().copied());
        let mut ends = Vec::new();
        let received = walk(levels, &mut wires(machines, network), |t| ends.push(t));
        let start = ends.get(1).map_or(0.0, |t| t.ready[0]);
        let server = ends.last().map_or(0.0, |t| t.ready[0]);
        let note = |from, to| note(network, &machines.server.messages, from, to);
        let mut o = Offline { received, stage: [server, received], ..Offline::default() };
        o.ready = [server + self.stage[0], received + self.stage[1]];
        // The client tells the server which batch it takes, which says that it has it.
        let asked = o.ready[1] + note(Host::Client, Host::Server);
        o.total = asked.max(o.ready[0]) + note(Host::Server, Host::Client);
        o.period = o.ready[0].max(o.ready[1]) - start;
        if machines.shared {
            let work: f64 = self.levels.iter().map(|(s, _)| s[0] + s[1]).sum();
            o.period = o.period.max(scheduled(work, 0.0, machines.server.cores));
        }
        o
    }
}

#[cfg(test)]
mod tests {
    use sotto_protocols::make::{Extension, whole_recipe};

    use super::*;
    use crate::{Direction, Path, Priced, Source, predict, testing};

    fn network(rate: f64, delay: f64) -> Network {
        Network::uniform("test", Path::symmetric(Direction::new(rate, delay)))
    }

    #[test]
    fn counts_are_the_recipes_and_a_network_adds_its_delays_and_rates() {
        let private = testing::mixed();
        let (plan, machines) = (&*private.plan, Machines::alike(&Machine::reference()));
        let recipe = whole_recipe(plan, Extension::Ferret).unwrap();
        let cost = recipe.cost(plan);
        let making = Making::new(plan, &recipe, &machines).unwrap();
        let priced = Priced::new(plan, &machines).unwrap();
        let at = |network: &Network| {
            let p = predict(&priced, &machines, network, Source::Peer(&making), 1);
            assert_eq!(
                (p.setup_bytes, p.offline_bytes, p.offline_flights),
                (cost.setup_bytes, cost.offline_bytes, cost.offline_flights)
            );
            assert_eq!(p.cots, (recipe.cots(Role::Server) + recipe.cots(Role::Client)) as u64);
            assert!(p.offline.received <= p.offline_s && p.offline.period <= p.offline_s);
            (p.offline_s, p.setup_s)
        };
        let near = at(&network(f64::INFINITY, 0.0));
        // A flight is a delay, unless both wait for one at once; asking and telling add some.
        let far = at(&network(f64::INFINITY, 0.1));
        let delays = (far.0 - near.0) / 0.1;
        let flights = cost.offline_flights as f64;
        assert!((flights - 1.0..=flights + 5.0).contains(&delays), "{delays} of {flights}");
        // The slower direction carries more than half of the bytes, and no more than all.
        let slow = at(&network(1e6, 0.0));
        let share = (slow.0 - near.0) * 1e6 / cost.offline_bytes as f64;
        assert!((0.5..1.1).contains(&share), "{share}");
        let share = (slow.1 - near.1) * 1e6 / cost.setup_bytes as f64;
        assert!((0.5..1.1).contains(&share), "{share}");
    }

    #[test]
    fn encrypted_matrices_are_sent_and_read_while_others_are_encrypted() {
        let mut machine = Machine::reference();
        machine.messages = crate::Messages::default();
        let machines = Machines::alike(&machine);
        let pieces = 50.0;
        let encrypted = |encrypt: f64, read: f64| {
            let setup = ([pieces as u64 * PIECE, 0], [[0.0; 2], [encrypt, 0.0], [0.0, read]]);
            let making = Making { setup, ..Making::default() };
            making.setup(&machines, &network(f64::INFINITY, 0.0))
        };
        // The slower of the two, and one piece of the other.
        assert!((encrypted(2.0, 1.0) - (2.0 + 1.0 / pieces)).abs() < 1e-3);
        assert!((encrypted(1.0, 2.0) - (2.0 + 1.0 / pieces)).abs() < 1e-3);
    }

    #[test]
    fn a_profile_that_does_not_know_making_says_how_to_make_one() {
        let private = testing::mixed();
        for (extension, kind) in
            [(Extension::Ferret, "announce"), (Extension::SOFTSPOKEN, "extend")]
        {
            let mut machine = Machine::reference();
            machine.making.remove(kind);
            let recipe = whole_recipe(&private.plan, extension).unwrap();
            let refused = Making::new(&private.plan, &recipe, &Machines::alike(&machine));
            let message = refused.unwrap_err().to_string();
            let known = message.contains(&format!("`{kind}`"));
            assert!(known && message.contains("calibrate-machine"), "{message}");
        }
    }
}
