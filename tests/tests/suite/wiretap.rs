//! Both parties and the dealer in one process, with every message written down.

use std::thread;
use std::time::Duration;

use sotto_crypto::Seed;
use sotto_net::{Error as NetError, Link, LocalLink, Traffic, local_pair};
use sotto_protocols::{
    Error, Role,
    batch::{Batch, Staged},
    deal::{Seeds, deal},
    party::{Evaluation, Party},
    plan::Plan,
    weights::{Matrix, SetupMasks, Weights, read_setup, setup_message},
};

/// A message: its step and its payload.
pub type Message = (u32, Vec<u8>);

/// What the dealer and the setup gave to both parties for one evaluation.
pub struct Dealt {
    pub staged: [Staged; 2],
    pub weights: [Weights; 2],
    /// What the corrected party received.
    pub corrections: Vec<u8>,
    /// What the client received once for the model.
    pub setup: Vec<u8>,
}

/// Deals one batch from `seed`, setup included, so that nothing repeats between two seeds.
pub fn dealt(plan: &Plan, matrices: &[Matrix], seed: &Seed, corrected: Role) -> Dealt {
    let seeds = Seeds { party: [seed.derive("server", 0), seed.derive("client", 0)], corrected };
    let masks = SetupMasks::expand(plan, &seed.derive("setup", 0));
    let mut corrections = Vec::new();
    let done: Result<(), std::convert::Infallible> = deal(plan, &seeds, &masks, |bytes| {
        corrections.extend(bytes);
        Ok(())
    });
    let Ok(()) = done;
    let setup = setup_message(plan, matrices, &masks);
    let weights = [
        Weights::Plain(matrices.to_vec()),
        read_setup(plan, &setup, "server").expect("the plan's own setup"),
    ];
    let staged = [Role::Server, Role::Client].map(|role| {
        let batch = Batch {
            id: 0,
            seed: seeds.party[role.index()].clone(),
            corrections: (role == corrected).then(|| corrections.clone()),
        };
        batch.stage(plan, role, &weights[role.index()]).expect("the plan's own batch")
    });
    Dealt { staged, weights, corrections, setup }
}

/// Runs both parties, server first, each on its link, which it drops as soon as it is done.
pub fn evaluate<'a>(
    plan: &Plan,
    dealt: Dealt,
    links: [Box<dyn Link + 'a>; 2],
    shares: [&[Vec<i64>]; 2],
    watch: bool,
) -> [Result<Evaluation, Error>; 2] {
    let Dealt { staged, weights, .. } = dealt;
    let [server_staged, client_staged] = staged;
    let [server_link, client_link] = links;
    let [server_weights, client_weights] = &weights;
    let run = |role, mut link: Box<dyn Link + 'a>, staged, weights, share: &[Vec<i64>]| {
        let party = Party { role, plan, weights, watch };
        party.evaluate_shared(link.as_mut(), staged, share)
    };
    thread::scope(|scope| {
        let (run, share) = (&run, shares[0]);
        let server = scope
            .spawn(move || run(Role::Server, server_link, server_staged, server_weights, share));
        let client = run(Role::Client, client_link, client_staged, client_weights, shares[1]);
        [server.join().expect("the server does not panic"), client]
    })
}

/// One evaluation as an eavesdropper on both parties' sockets and memories sees it.
pub struct Transcript {
    /// What each party sent: server, client.
    pub sent: [Vec<Message>; 2],
    pub evaluations: [Evaluation; 2],
    pub corrections: Vec<u8>,
    pub setup: Vec<u8>,
}

/// Evaluates as in production: the client's share is the input, the server's is zero. No randomness but
/// the protocol's own hides either.
pub fn transcript(
    plan: &Plan,
    matrices: &[Matrix],
    inputs: &[Vec<i64>],
    seed: &Seed,
    corrected: Role,
) -> Transcript {
    let mut dealt = dealt(plan, matrices, seed, corrected);
    let corrections = std::mem::take(&mut dealt.corrections);
    let setup = std::mem::take(&mut dealt.setup);
    let zeros: Vec<Vec<i64>> = inputs.iter().map(|v| vec![0; v.len()]).collect();
    let mut sent = [Vec::new(), Vec::new()];
    let [from_server, from_client] = &mut sent;
    let (server, client) = local_pair("client", "server");
    let links: [Box<dyn Link + '_>; 2] = [
        Box::new(Tap { inner: server, sent: from_server }),
        Box::new(Tap { inner: client, sent: from_client }),
    ];
    let results = evaluate(plan, dealt, links, [&zeros, inputs], true);
    let evaluations = results.map(|r| r.expect("local links do not fail"));
    Transcript { sent, evaluations, corrections, setup }
}

/// A link that writes down what is sent.
struct Tap<'a> {
    inner: LocalLink,
    sent: &'a mut Vec<Message>,
}

impl Link for Tap<'_> {
    fn send(&mut self, step: u32, payload: Vec<u8>) -> Result<(), NetError> {
        self.sent.push((step, payload.clone()));
        self.inner.send(step, payload)
    }

    fn room(&mut self, at_most: u64) -> Result<(), NetError> {
        self.inner.room(at_most)
    }

    fn recv(&mut self, step: u32, len: usize) -> Result<Vec<u8>, NetError> {
        self.inner.recv(step, len)
    }

    fn recv_upto(&mut self, step: u32, limit: usize) -> Result<Vec<u8>, NetError> {
        self.inner.recv_upto(step, limit)
    }

    fn set_deadline(&mut self, deadline: Duration) {
        self.inner.set_deadline(deadline);
    }

    fn traffic(&self) -> Traffic {
        self.inner.traffic()
    }

    fn peer(&self) -> &str {
        self.inner.peer()
    }

    fn finish(&mut self) -> Result<(), NetError> {
        self.inner.finish()
    }
}
