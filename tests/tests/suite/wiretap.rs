//! Both parties and the dealer in one process, with every message written down.

use std::thread;

use sotto_crypto::Seed;
use sotto_net::Link;
use sotto_protocols::{
    Error, Role,
    batch::Batch,
    local::Local,
    party::Evaluated,
    plan::Plan,
    testing::Record,
    weights::{Matrix, setup_message},
};

/// Deals one batch from `seed`, setup included, so that nothing repeats between two seeds.
pub fn dealt<'a>(
    plan: &'a Plan,
    matrices: &[Matrix],
    seed: &Seed,
    corrected: Role,
) -> (Local<'a>, [Batch; 2]) {
    let local = Local::new(plan, matrices.to_vec(), seed).expect("the plan's own setup");
    let batches = local.deal_observed(0, &local.seeds(0, corrected), &mut ());
    (local, batches)
}

/// Runs both parties, server first, each on its link, which it drops as soon as it is done.
pub fn evaluate<'a>(
    local: &Local<'_>,
    batches: [Batch; 2],
    links: [Box<dyn Link + 'a>; 2],
    shares: [&[Vec<i64>]; 2],
) -> [Result<Evaluated, Error>; 2] {
    let [server, client] = batches;
    let [server_link, client_link] = links;
    let run = |role, batch, mut link: Box<dyn Link + 'a>, share: &[Vec<i64>]| {
        let staged = local.stage(role, batch)?;
        local.party(role).evaluate(link.as_mut(), staged, share)
    };
    thread::scope(|scope| {
        let (run, share) = (&run, shares[0]);
        let server = scope.spawn(move || run(Role::Server, server, server_link, share));
        let client = run(Role::Client, client, client_link, shares[1]);
        [server.join().expect("the server does not panic"), client]
    })
}

/// One evaluation as an eavesdropper on both parties' sockets and memories sees it.
pub struct Transcript {
    /// What each party sent and held: server, client.
    pub records: [Record; 2],
    /// What the corrected party received.
    pub corrections: Vec<u8>,
    /// What the client received once for the model.
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
    let (local, batches) = dealt(plan, matrices, seed, corrected);
    let corrections = batches[corrected.index()].corrections.clone().unwrap_or_default();
    let mut records = [(); 2].map(|()| Record::new(plan));
    let [server, client] = &mut records;
    let done = local.evaluate_observed(batches, [&[], inputs], [server, client]);
    done.expect("one plan");
    Transcript { records, corrections, setup: setup_message(plan, matrices, local.masks()) }
}
