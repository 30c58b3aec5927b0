//! Both parties and the dealer in one process, with every message written down.

use std::thread;

use sotto_crypto::Seed;
use sotto_net::Link;
use sotto_protocols::{
    Error, Role,
    batch::{Batch, Staged},
    deal::{Seeds, deal},
    party::{Evaluated, Evaluation, Party, lockstep},
    plan::Plan,
    testing::Record,
    weights::{Matrix, SetupMasks, Weights, read_setup, setup_message},
};

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
) -> [Result<Evaluated, Error>; 2] {
    let Dealt { staged, weights, .. } = dealt;
    let [server_staged, client_staged] = staged;
    let [server_link, client_link] = links;
    let [server_weights, client_weights] = &weights;
    let run = |role, mut link: Box<dyn Link + 'a>, staged, weights, share: &[Vec<i64>]| {
        Party { role, plan, weights }.evaluate(link.as_mut(), staged, share)
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
    /// What each party sent and held: server, client.
    pub records: [Record; 2],
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
    let Dealt { staged, weights, corrections, setup } = dealt(plan, matrices, seed, corrected);
    let mut records = [(); 2].map(|()| Record::new(plan));
    let [server, client] = staged;
    let [at_server, at_client] = &mut records;
    let begin = |role: Role, staged, inputs| {
        let party = Party { role, plan, weights: &weights[role.index()] };
        Evaluation::new(&party, staged, inputs).expect("the plan's inputs")
    };
    let server = begin(Role::Server, server, &[]).observed(at_server);
    let client = begin(Role::Client, client, inputs).observed(at_client);
    lockstep([server, client]).expect("one plan");
    Transcript { records, corrections, setup }
}
