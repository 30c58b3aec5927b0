//! A party that is killed in each phase of a session: what the others say, and that they go on once it is back.

use crate::{
    emulated::{Deployed, distant},
    parties::wait_until,
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

    /// Waits until the phase has begun, by what is on the paths since `before`.
    fn await_it(self, deployed: &Deployed, before: [u64; 3]) {
        wait_until("the phase", || {
            let now = carried(deployed);
            let [to_server, to_client, dealt] = [0, 1, 2].map(|i| now[i] - before[i]);
            match self {
                Phase::Setup => to_client > 10_000,
                Phase::Offline => dealt > 20_000,
                Phase::Online => to_server > 40_000,
            }
        });
    }
}

/// Bytes from the client to the server, back, and from the dealer to the server.
fn carried(deployed: &Deployed) -> [u64; 3] {
    let [to_server, to_client] = deployed.bytes("client_server");
    [to_server, to_client, deployed.bytes("server_dealer")[1]]
}

/// Slow enough that a phase can be hit.
fn deployed() -> Deployed {
    Deployed::new(distant(1.25e6), DEADLINE)
}

#[test]
fn a_killed_server_is_named_and_missed_until_it_is_back() {
    for phase in Phase::ALL {
        let mut deployed = deployed();
        let client = deployed.client(2);
        phase.await_it(&deployed, [0; 3]);
        deployed.server.kill();
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
        let client = deployed.client(1);
        phase.await_it(&deployed, [0; 3]);
        deployed.dealer.kill();
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
        let before = carried(&deployed);
        let mut client = deployed.client(2);
        phase.await_it(&deployed, before);
        client.kill();
        deployed.works();
    }
}
