//! A party that is killed in each phase of a session: what the others say, and that they go on once it is back.

use std::time::Duration;

use crate::{
    emulated::{Deployed, distant},
    parties::wait_until,
    spawned::Process,
};

/// Seconds after which a party gives a silent peer up.
const DEADLINE: u64 = 3;

/// A phase of a session.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Masked weights on their way to the client.
    Setup,
    /// Corrections on their way to the server.
    Offline,
    /// Openings between client and server.
    Online,
}

impl Phase {
    const ALL: [Phase; 3] = [Phase::Setup, Phase::Offline, Phase::Online];

    /// The path that carries it, and the bytes from and to that path's first party after which it has begun and is
    /// not over.
    fn middle(self) -> (&'static str, [u64; 2]) {
        match self {
            Phase::Setup => ("client_server", [NEVER, 10_000]),
            Phase::Offline => ("server_dealer", [NEVER, 20_000]),
            Phase::Online => ("client_server", [40_000, NEVER]),
        }
    }

    /// Starts a client on so many pictures, whose session stands still in the middle of the phase until the paths are
    /// mended or somebody's deadline is over: no busy machine misses it.
    fn reached(self, deployed: &Deployed, pictures: usize) -> Process {
        let (pair, more) = self.middle();
        let before = deployed.bytes(pair);
        let at = [0, 1].map(|way| before[way].saturating_add(more[way]));
        deployed.paths.partition_at(pair, at).unwrap();
        let client = deployed.client(pictures);
        wait_until("the phase", || {
            deployed.bytes(pair).iter().zip(at).any(|(bytes, at)| *bytes >= at)
        });
        client
    }
}

/// More bytes than anybody sends.
const NEVER: u64 = u64::MAX;

fn deployed() -> Deployed {
    Deployed::new(distant(1.25e6), DEADLINE)
}

#[test]
fn a_killed_server_is_named_and_missed_until_it_is_back() {
    for phase in Phase::ALL {
        let mut deployed = deployed();
        let client = phase.reached(&deployed, 2);
        deployed.server.kill();
        deployed.cut(Duration::ZERO);
        client.finish().failed(4, &["server"]);
        let again = deployed.parties.server(
            "pool = 0\n",
            deployed.servers_dealer,
            Some(deployed.server_at),
        );
        deployed.works();
        drop(again);
    }
}

#[test]
fn a_killed_dealer_is_named_unless_it_has_dealt() {
    for phase in Phase::ALL {
        let mut deployed = deployed();
        let client = phase.reached(&deployed, 1);
        deployed.dealer.kill();
        deployed.cut(Duration::ZERO);
        let done = client.finish();
        match phase {
            Phase::Online => assert_eq!(done.code, 0, "{}", done.err),
            _ => done.failed(5, &["dealer"]),
        }
        let again = deployed.parties.dealer("", Some(deployed.dealer_at));
        deployed.works();
        drop(again);
    }
}

#[test]
fn a_killed_client_leaves_a_server_that_serves_the_next() {
    let deployed = deployed();
    for phase in Phase::ALL {
        let mut client = phase.reached(&deployed, 2);
        client.kill();
        deployed.cut(Duration::ZERO);
        deployed.works();
    }
}
