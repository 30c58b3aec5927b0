//! A party that is killed in each phase of a session: what the others say, and that they go on once it is back.

use std::time::Duration;

use crate::emulated::{Deployed, NEVER, distant};

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
}

fn deployed() -> Deployed {
    Deployed::new(distant(1.25e6), DEADLINE)
}

#[test]
fn a_killed_server_is_named_and_missed_until_it_is_back() {
    for phase in Phase::ALL {
        let mut deployed = deployed();
        let client = deployed.client_until(phase.middle(), 2);
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
        let client = deployed.client_until(phase.middle(), 1);
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
        let mut client = deployed.client_until(phase.middle(), 2);
        client.kill();
        deployed.cut(Duration::ZERO);
        deployed.works();
    }
}
