//! The offline part: the dealer deals node by node and streams pieces to the corrected party, both
//! parties stage.
//!
//! It follows what the programs do: the client asks the dealer for its seed, then tells the server to
//! get ready, which asks the dealer; the server's corrections stream while the dealer is still
//! dealing; each party stages once its batch is whole.

use sotto_protocols::Role;

use crate::{
    machine::Messages,
    network::{Host, Network},
    price::{Machines, Prepared, Priced},
    wire::Wire,
};

/// Bytes of a piece in which corrections are sent.
const PIECE: u64 = 8 << 20;

/// Bytes of a request or an answer.
const NOTE: u64 = 64;

/// Times of the offline part, in seconds from the client's need of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Offline {
    /// The dealer begins and ends dealing.
    pub deal: [f64; 2],
    /// The corrections are all there.
    pub received: f64,
    /// Server and client begin to stage.
    pub stage: [f64; 2],
    /// They are ready.
    pub ready: [f64; 2],
    /// The client knows that both are.
    pub total: f64,
    /// Seconds from one batch to the next when they are made one after the other.
    pub period: f64,
}

/// Seconds until both parties are ready for an evaluation, nothing having been made ahead of time.
///
/// `corrected` is the party that receives the corrections.
pub fn offline(
    priced: &Priced,
    machines: &Machines,
    network: &Network,
    corrected: Role,
) -> Offline {
    walk(priced.offline.iter(), machines, network, corrected)
}

pub(crate) fn walk<'a>(
    nodes: impl Iterator<Item = &'a Prepared>,
    machines: &Machines,
    network: &Network,
    corrected: Role,
) -> Offline {
    use Host::{Client, Dealer, Server};
    let note = |from: Host, to: Host| note(network, &machines.dealer.messages, from, to);
    let mut o = Offline::default();
    let client_asks = note(Client, Dealer);
    let seed = client_asks + note(Dealer, Client);
    let server_asks = seed + note(Client, Server) + note(Server, Dealer);
    // Who gets no corrections gets its seed at once.
    let (start, target) = match corrected {
        Role::Server => (server_asks, Server),
        Role::Client => (client_asks, Client),
    };
    let mut wire = Wire::stream(
        network.direction(Dealer, target),
        network.direction(target, Dealer),
        &machines.dealer.messages,
    );
    let (mut now, mut waiting, mut bytes, mut stage) = (start, 0, 0, [0.0; 2]);
    let mut received = start + note(Dealer, target);
    for node in nodes {
        now += node.deal;
        waiting += node.bytes;
        bytes += node.bytes;
        stage[0] += node.stage[0];
        stage[1] += node.stage[1];
        while waiting >= PIECE {
            received = wire.carry(now, PIECE).0;
            waiting -= PIECE;
        }
    }
    if waiting > 0 {
        received = wire.carry(now, waiting).0;
    }
    let dealt = now - start;
    let machine = &machines.dealer;
    if machines.shared {
        // Dealing, both ends of the stream and the client's staging share the cores; the dealing is one thread's.
        let work = dealt + machine.messages.stream_work * bytes as f64 + stage[1];
        received = received.max(start + scheduled(work, dealt, machine.cores));
    }
    o.deal = [start, now];
    o.received = received;
    o.stage = match corrected {
        Role::Server => [received, seed],
        Role::Client => [server_asks + note(Dealer, Server), received],
    };
    o.ready = [o.stage[0] + stage[0], o.stage[1] + stage[1]];
    o.total = o.ready[1].max(o.ready[0] + note(Server, Client));
    // The next batch is fetched while this one is staged.
    let fetch = received - start + note(target, Dealer);
    o.period = fetch.max(stage[0]).max(stage[1]);
    if machines.shared {
        let work = dealt + machine.messages.stream_work * bytes as f64 + stage[0] + stage[1];
        o.period = o.period.max(scheduled(work, dealt, machine.cores));
    }
    o
}

/// Seconds of a request or an answer on an idle wire.
pub(crate) fn note(network: &Network, messages: &Messages, from: Host, to: Host) -> f64 {
    let (there, back) = (network.direction(from, to), network.direction(to, from));
    Wire::new(there, back, messages).carry(0.0, NOTE).0
}

/// Seconds of `work` on so many cores, of which `chain` is one after the other (Graham's bound for any schedule
/// that leaves no core idle while there is work).
pub(crate) fn scheduled(work: f64, chain: f64, cores: usize) -> f64 {
    let m = cores as f64;
    work / m + chain * (1.0 - 1.0 / m)
}

/// Seconds of the setup, once for each client: the connection, the model's card, the masked weights.
pub fn setup(priced: &Priced, machines: &Machines, network: &Network) -> f64 {
    use Host::{Client, Server};
    let messages = &machines.server.messages;
    let note = |from: Host, to: Host| note(network, messages, from, to);
    // The handshake's round trip, then greeting and answer.
    let greeting = 2.0 * note(Client, Server) + note(Server, Client);
    // The server announces the model to the dealer meanwhile: a handshake and a question.
    let dealer: f64 = [(Server, Host::Dealer), (Host::Dealer, Server)]
        .map(|(from, to)| network.direction(from, to).delay + messages.fixed)
        .iter()
        .sum();
    let bytes = priced.setup_bytes as f64;
    let masks =
        machines.dealer.setup.expand + machines.server.setup.expand + machines.server.setup.mask;
    let (there, back) = (network.direction(Server, Client), network.direction(Client, Server));
    let mut wire = Wire::stream(there, back, messages);
    let arrived = wire.carry(greeting + 2.0 * dealer + masks * bytes, priced.setup_bytes).0;
    arrived + machines.client.setup.read * bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Machine, Path};

    fn machines() -> Machines {
        let mut machine = Machine::reference();
        machine.messages = Messages::default();
        Machines::alike(&machine)
    }

    fn node(deal: f64, bytes: u64, stage: [f64; 2]) -> Prepared {
        Prepared { section: 0, deal, bytes, stage }
    }

    fn priced(offline: Vec<Prepared>) -> Priced {
        Priced { offline, ..Priced::default() }
    }

    #[test]
    fn dealing_and_sending_overlap_piece_by_piece() {
        let direction = Direction { mtu: 65_535, ..Direction::new(1e8, 0.0) };
        let network = Network::uniform("test", Path::symmetric(direction));
        // Four pieces, each a tenth of a second to deal and about 0.087 to send.
        let plan = priced(vec![node(0.1, PIECE, [0.0; 2]); 4]);
        let o = offline(&plan, &machines(), &network, Role::Server);
        assert!((o.received - 0.4 - 0.0875).abs() < 0.003, "{o:?}");
        // Four times as slow a wire is what it waits for.
        let direction = Direction::new(2.5e7, 0.0);
        let network = Network::uniform("test", Path::symmetric(direction));
        let o = offline(&plan, &machines(), &network, Role::Server);
        assert!((o.received - 0.1 - 4.0 * 0.35).abs() < 0.02, "{o:?}");
    }

    #[test]
    fn staging_of_the_client_overlaps_and_of_the_server_follows() {
        let network = Network::uniform("test", Path::symmetric(Direction::new(1e9, 0.01)));
        let plan = priced(vec![node(0.1, 1000, [0.2, 0.05])]);
        let o = offline(&plan, &machines(), &network, Role::Server);
        // Client asks (2 ways), tells the server, which asks; dealt, sent, staged, told.
        assert!((o.total - (0.04 + 0.1 + 0.01 + 0.2 + 0.01)).abs() < 1e-3, "{o:?}");
        let o = offline(&plan, &machines(), &network, Role::Client);
        assert!((o.ready[1] - (0.01 + 0.1 + 0.01 + 0.05)).abs() < 1e-3, "{o:?}");
    }

    #[test]
    fn one_machine_for_all_is_slower_when_its_cores_are_too_few() {
        let mut machine = machines().dealer;
        machine.cores = 1;
        let network = Network::uniform("test", Path::symmetric(Direction::FREE));
        let plan = priced(vec![node(0.1, 1000, [0.0, 0.3])]);
        let apart = offline(&plan, &Machines::alike(&machine), &network, Role::Server);
        let shared = offline(&plan, &Machines::one(&machine), &network, Role::Server);
        assert!(apart.received < 0.11 && shared.received > 0.39, "{apart:?} {shared:?}");
    }
}
