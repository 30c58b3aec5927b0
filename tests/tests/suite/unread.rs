//! A peer that reads nothing: what waits for it is bounded, and the evaluation ends.

use std::time::Duration;

use sotto_crypto::Seed;
use sotto_net::{AHEAD, Error as NetError, Link, Traffic};
use sotto_protocols::{
    Error, Role,
    plan::{Plan, Trace},
};

use crate::wiretap::dealt;

/// Sends zeros and reads nothing; whoever waits for room waits in vain.
#[derive(Default)]
struct Deaf {
    queued: u64,
    /// What is queued where there was something before.
    most: u64,
}

impl Link for Deaf {
    fn send(&mut self, _: u32, payload: Vec<u8>) -> Result<(), NetError> {
        let before = self.queued;
        self.queued += payload.len() as u64;
        if before > 0 {
            self.most = self.most.max(self.queued);
        }
        Ok(())
    }

    fn room(&mut self, at_most: u64) -> Result<(), NetError> {
        match self.queued <= at_most {
            true => Ok(()),
            false => {
                Err(NetError::Deadline { peer: "deaf".into(), step: 0, waited: Duration::ZERO })
            }
        }
    }

    fn recv(&mut self, _: u32, len: usize) -> Result<Vec<u8>, NetError> {
        Ok(vec![0; len])
    }

    fn recv_upto(&mut self, _: u32, limit: usize) -> Result<Vec<u8>, NetError> {
        Ok(vec![0; limit])
    }

    fn set_deadline(&mut self, _: Duration) {}

    fn set_longest(&mut self, _: Option<Duration>) {}

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn peer(&self) -> &str {
        "deaf"
    }

    fn finish(&mut self) -> Result<(), NetError> {
        Ok(())
    }
}

/// Some ReLUs one after the other, each of which opens `count` words.
fn plan(count: usize) -> Plan {
    let mut trace = Trace::new();
    let mut x = trace.input(&[count], 20, 4);
    for _ in 0..6 {
        let opened = trace.open_signed(x, 16);
        x = trace.relu(opened, 20);
    }
    let revealed = trace.reveal(x, 16);
    trace.finish(&[revealed])
}

/// How an evaluation against a deaf peer ends, and what was queued for it.
fn run(plan: &Plan, role: Role) -> (Result<(), Error>, u64) {
    let (local, [server, client]) = dealt(plan, &[], &Seed::from_bytes([3; 32]), Role::Server);
    let batch = if role == Role::Server { server } else { client };
    let staged = local.stage(role, batch).expect("the plan's own batch");
    let mut link = Deaf::default();
    let input = vec![5; plan.wires[plan.inputs[0].index()].count()];
    let done = local.party(role).evaluate(&mut link, staged, &[input]);
    (done.map(drop), link.most)
}

#[test]
fn what_waits_for_a_peer_that_reads_nothing_is_bounded() {
    for role in [Role::Server, Role::Client] {
        // A megabyte a message.
        let large = plan(500_000);
        let all: usize = (0..large.levels.len()).map(|level| large.level_bytes(level, role)).sum();
        assert!(all as u64 > AHEAD + (1 << 20), "{all} bytes in all");
        let (ended, most) = run(&large, role);
        let deadline = matches!(ended, Err(Error::Link(NetError::Deadline { .. })));
        assert!(deadline && most <= AHEAD && most > AHEAD / 2, "{most}");
        // What fits is sent.
        let (ended, most) = run(&plan(1000), role);
        assert!(ended.is_ok() && most > 0);
    }
}
