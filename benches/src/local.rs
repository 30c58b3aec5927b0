//! One plan inside this process: the dealer on one thread, then both parties on two, joined by a local link.
//!
//! No QUIC and no encryption: what is timed is the protocols' work alone. The masked weights (once per model) are
//! made in [`Local::new`], outside of every time.

use std::{thread, time::Instant};

use sotto_crypto::Seed;
use sotto_net::local_pair;
use sotto_protocols::{
    Role,
    batch::Batch,
    local,
    plan::{Plan, Traffic},
    weights::Matrix,
};

use crate::error::Error;

/// A plan with its weights, ready to be evaluated.
pub struct Local<'a> {
    plan: &'a Plan,
    session: local::Local<'a>,
}

/// What an evaluation gave and cost.
pub struct Evaluated {
    /// The plan's outputs.
    pub outputs: Vec<Vec<i64>>,
    /// Seconds of the dealer, then of both parties' staging side by side.
    pub offline_s: f64,
    /// Seconds from both parties' start to the last one's end.
    pub online_s: f64,
    /// Measured online traffic.
    pub traffic: Traffic,
    /// Bytes of corrections.
    pub offline_bytes: u64,
}

impl<'a> Local<'a> {
    /// Masks the server's `matrices`.
    ///
    /// # Errors
    /// [`Error::Sotto`] when they do not fit the plan.
    pub fn new(plan: &'a Plan, matrices: Vec<Matrix>) -> Result<Self, Error> {
        let session = local::Local::new(plan, matrices, &Seed::from_bytes([4; 32]))?;
        Ok(Self { plan, session })
    }

    /// Evaluation `number` on the server's and the client's shares of the inputs.
    ///
    /// # Errors
    /// [`Error::Sotto`] when a party fails; [`Error::Check`] when the traffic is not the plan's.
    pub fn evaluate(&self, number: u64, shares: &[Vec<Vec<i64>>; 2]) -> Result<Evaluated, Error> {
        let Self { plan, session } = self;
        let start = Instant::now();
        let [server, client] = session.deal(number);
        let corrections = [&server, &client].map(|b| b.corrections.as_ref().map_or(0, Vec::len));
        let stage = |role: Role, batch: Batch| session.stage(role, batch);
        let (server, client) = both(|| stage(Role::Server, server), || stage(Role::Client, client));
        let (server, client) = (server?, client?);
        let offline_s = start.elapsed().as_secs_f64();

        let (mut to_client, mut to_server) = local_pair("client", "server");
        let start = Instant::now();
        let (server, client) = both(
            || session.party(Role::Server).evaluate(&mut to_client, server, &shares[0]),
            || session.party(Role::Client).evaluate(&mut to_server, client, &shares[1]),
        );
        let (server, client) = (server?, client?);
        let online_s = start.elapsed().as_secs_f64();
        let planned = plan.online();
        if server.traffic != planned || client.traffic != planned {
            return Err(Error::Check(format!(
                "measured {:?}, planned {planned:?}",
                client.traffic
            )));
        }
        let offline_bytes = corrections.iter().sum::<usize>() as u64;
        let (outputs, traffic) = (client.outputs, client.traffic);
        Ok(Evaluated { outputs, offline_s, online_s, traffic, offline_bytes })
    }
}

/// Both at once; the second on this thread.
fn both<A: Send, B>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        (first.join().expect("the other party's thread does not panic"), second)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_protocols::plan::{Trace, WeightSpec};

    #[test]
    fn a_linear_layer_is_right_and_costs_what_the_plan_says() {
        let mut t = Trace::new();
        let x = t.input(&[2, 3], 40, 4);
        let spec = WeightSpec { name: "w".into(), outputs: 2, inputs: 3, width: 40, scale: 2 };
        let weight = t.weight(spec);
        let y = t.linear(x, weight, 1);
        let y = t.reveal(y, 40);
        let plan = t.finish(&[y]);
        let matrix = Matrix::new([1, 2, 3, 4, 5, 6], vec![10, 20]);
        let local = Local::new(&plan, vec![matrix]).expect("they fit");
        let shares = [vec![vec![5, 5, 5, 5, 5, 5]], vec![vec![-4, -5, -6, -5, -3, -7]]];
        for number in 0..2 {
            let done = local.evaluate(number, &shares).expect("local");
            assert_eq!(done.outputs, [vec![8, 18, 8, 26 - 10 + 2]], "x is (1, 0, -1), (0, 2, -2)");
            assert_eq!(done.traffic, plan.online());
            assert_eq!(done.offline_bytes, plan.correction_bytes() as u64);
            assert!(done.offline_s > 0.0 && done.online_s > 0.0);
        }
    }
}
