//! Both parties of making in one process, with the correlations of matrices dealt: for tests alone.

use std::convert::Infallible;

use sotto_crypto::Seed;
use sotto_ot::softspoken::K;
use sotto_ring::mask;

use crate::{
    batch::Batch,
    deal::{MadePair, Seeds, check_made, deal},
    dealing::stream_id,
    error::Error,
    make::{
        Keys, Made, MakeTurn, Maker, Matrices, Recipe, Setup, Transfers, encrypt_weights, recipe,
        weights_len, whole_recipe,
    },
    matrices::{Matrix, SetupMasks},
    observer::Observer,
    plan::Plan,
    spec::Role,
};

/// Sets COTs up between two parties.
///
/// # Errors
/// None, as the messages are each other's.
pub fn transfers(seed: &Seed) -> Result<[Transfers; 2], Error> {
    let session = *seed.derive("session", 0).expose();
    let begin = |role: Role| Setup::new(role, session, K, &seed.derive(role.name(), 0));
    let [(server, to_client), (client, to_server)] = [Role::Server, Role::Client].map(begin);
    let ((server, to_client), (client, to_server)) =
        (server.answer(&to_server)?, client.answer(&to_client)?);
    Ok([server.finish(&to_server)?, client.finish(&to_client)?])
}

/// The messages of both parties, flight by flight.
pub type Flights = Vec<[Vec<u8>; 2]>;

/// Drives the server's and the client's maker turn by turn; gives what they made and all messages.
///
/// # Errors
/// [`Error::Desync`] when they are not of one recipe.
pub fn make_both(makers: [Maker<'_>; 2]) -> Result<([Made; 2], Flights), Error> {
    let [mut server, mut client] = makers;
    let mut messages = Vec::new();
    loop {
        match (server.turn(), client.turn()) {
            (MakeTurn::Done(server), MakeTurn::Done(client)) => {
                return Ok(([server, client], messages));
            }
            (
                MakeTurn::Exchange { send: to_client, expect: at_server, .. },
                MakeTurn::Exchange { send: to_server, expect: at_client, .. },
            ) => {
                if at_server + to_server.len() > 0 {
                    server.receive(&to_server)?;
                }
                if at_client + to_client.len() > 0 {
                    client.receive(&to_client)?;
                }
                messages.push([to_client, to_server]);
            }
            _ => panic!("the parties are in different levels"),
        }
    }
}

/// What a dealer with these seeds would give each party of the recipe's supplied draws.
fn supplied(plan: &Plan, recipe: &Recipe, seeds: &Seeds, setup: &SetupMasks) -> [Vec<Vec<u8>>; 2] {
    let mut corrections = Vec::with_capacity(plan.correction_bytes());
    let mut emit = |bytes: Vec<u8>| {
        corrections.extend(bytes);
        Ok::<(), Infallible>(())
    };
    let Ok(()) = deal(plan, seeds, setup, &mut emit);
    [Role::Server, Role::Client].map(|role| {
        let part = |s: &crate::make::Supplied| match role == seeds.corrected {
            true => corrections[s.at..s.at + s.bytes].to_vec(),
            false => seeds.party[role.index()].stream(stream_id(s.node, s.draw)).bytes(s.bytes),
        };
        recipe.supplied.iter().map(part).collect()
    })
}

/// Makes both batches, holds them against dealing's relations, and the traffic against the recipe's.
///
/// # Errors
/// [`Error::DealerOnly`].
///
/// # Panics
/// Where something differs.
pub fn made_batches(
    plan: &Plan,
    id: u64,
    seeds: &Seeds,
    setup: &SetupMasks,
    observer: &mut dyn Observer,
) -> Result<[Batch; 2], Error> {
    let recipe = recipe(plan)?;
    let parts = supplied(plan, &recipe, seeds, setup);
    checked(plan, id, (seeds, setup), (&recipe, None, parts), observer)
}

/// Sets up what two parties need for matrices: the server's, the client's.
///
/// # Errors
/// None, as the messages are each other's.
pub fn matrix_setup(
    recipe: &Recipe,
    matrices: &[Matrix],
    seed: &Seed,
) -> Result<[Matrices; 2], Error> {
    let new = |role: Role| Keys::new(role, &seed.derive(role.name(), 0));
    let [(server, to_client), (client, to_server)] = [Role::Server, Role::Client].map(new);
    let (server, client) = (server.meet(&to_server)?, client.meet(&to_client)?);
    let encrypted = seed.derive("weights", 0);
    let weights: Vec<u8> =
        encrypt_weights(recipe, server.key(), &encrypted, matrices).flatten().collect();
    assert_eq!(weights.len(), weights_len(recipe), "bytes of encrypted matrices");
    Ok([server.finish(recipe, Vec::new())?, client.finish(recipe, weights)?])
}

/// [`made_batches`] with the correlations of matrices made, too: for evaluations without masks of the weights.
///
/// # Errors
/// [`Error::DealerOnly`].
///
/// # Panics
/// Where something differs by more than encryption allows.
pub fn whole_batches(
    plan: &Plan,
    id: u64,
    seeds: &Seeds,
    matrices: &[Matrix],
    observer: &mut dyn Observer,
) -> Result<[Batch; 2], Error> {
    batches_of(&whole_recipe(plan)?, (plan, id), seeds, matrices, observer)
}

/// [`whole_batches`] by this recipe of the plan.
///
/// # Errors
/// None, as the messages are each other's.
///
/// # Panics
/// Where something differs by more than encryption allows.
pub fn batches_of(
    recipe: &Recipe,
    (plan, id): (&Plan, u64),
    seeds: &Seeds,
    matrices: &[Matrix],
    observer: &mut dyn Observer,
) -> Result<[Batch; 2], Error> {
    let setup = matrix_setup(recipe, matrices, &seeds.party[0].derive("matrices", 0))?;
    let masks = SetupMasks::themselves(matrices);
    let none = [Vec::new(), Vec::new()];
    checked(plan, id, (seeds, &masks), (recipe, Some(&setup), none), observer)
}

/// What is walked, what matrices need, and what is supplied in place of that.
type Walked<'a> = (&'a Recipe, Option<&'a [Matrices; 2]>, [Vec<Vec<u8>>; 2]);

fn checked(
    plan: &Plan,
    id: u64,
    (seeds, setup): (&Seeds, &SetupMasks),
    (recipe, matrices, supplied): Walked<'_>,
    observer: &mut dyn Observer,
) -> Result<[Batch; 2], Error> {
    let [mut server, mut client] = transfers(&seeds.party[0].derive("transfers", 0))?;
    let maker = |role: Role, transfers| {
        let maker = Maker::new(recipe, role, &seeds.party[role.index()], transfers);
        match matrices {
            Some(matrices) => maker.with_matrices(&matrices[role.index()]),
            None => maker,
        }
    };
    let (made, _) =
        make_both([maker(Role::Server, &mut server), maker(Role::Client, &mut client)])?;
    let planned = recipe.traffic(K);
    let rounded = made[0].rounded.iter().zip(&made[1].rounded).map(|((node, w, a), (_, _, b))| {
        (*node, a.iter().zip(b).map(|(a, b)| a.wrapping_add(*b) & mask(*w)).collect())
    });
    let rounded: Vec<(usize, Vec<u64>)> = rounded.collect();
    let [at_server, at_client] = supplied;
    let [server, client] = made;
    assert_eq!([server.traffic, client.traffic], [planned; 2], "measured and planned");
    let seed = |role: Role| seeds.party[role.index()].clone();
    let server = server.batch(id, seed(Role::Server), recipe, &at_server)?;
    let client = client.batch(id, seed(Role::Client), recipe, &at_client)?;
    let parts =
        [&server, &client].map(|b| b.corrections.as_deref().expect("both have their parts"));
    let tolerances = &recipe.tolerances[..];
    check_made(plan, seeds, setup, MadePair { parts, rounded: &rounded, tolerances }, observer);
    Ok([server, client])
}
