//! Correlations that server and client make by themselves, over a link of their own.
//!
//! Once for each link they set up base transfers, exchange keys, and the client takes the server's matrices, encrypted. Then
//! batches are made one after the other, each with seeds of its own at both parties. Who learns what: nobody anything, as
//! [`sotto_protocols::make`] says; both must follow the protocol. A link that fails burns its transfers, its keys at the
//! client and what is being made: the next link sets up anew.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sotto_crypto::Seed;
use sotto_net::Link;
use sotto_protocols::{
    Role,
    batch::Batch,
    cost::Cost,
    make::{
        Extension, Keys, MakeTurn, Maker, Matrices, Recipe, Setup, Transfers, encrypt_weights,
        weights_len,
    },
    plan::Traffic,
    weights::Matrix,
};

use crate::{
    error::Error,
    longest::carried,
    messages::{self, Nonce, Tag, step},
};

fn random() -> Result<Seed, Error> {
    Ok(Seed::random().map_err(sotto_protocols::Error::from)?)
}

/// A fresh nonce.
///
/// # Errors
/// [`Error::Net`] without the system's randomness.
pub fn nonce() -> Result<Nonce, Error> {
    Ok(*random()?.expose())
}

/// Fewest COTs that a party makes and uses in a second.
const SLOWEST: u64 = 1_000_000;

/// How long a peer may be silent on a link for making: while it computes the heaviest level, too.
pub fn patience(recipe: &Recipe, deadline: Duration) -> Duration {
    let cots =
        |level| recipe.level_cots(level, Role::Server) + recipe.level_cots(level, Role::Client);
    let heaviest = (0..recipe.depth()).map(cots).max().unwrap_or(0) as u64;
    deadline + Duration::from_secs(heaviest / SLOWEST)
}

/// How long a batch may be in the making, whatever its flights do: one of slow answers holds up others.
pub fn longest(recipe: &Recipe, cost: &Cost, deadline: Duration) -> Duration {
    let cots = (recipe.cots(Role::Server) + recipe.cots(Role::Client)) as u64;
    carried(cost.offline_bytes, deadline) + Duration::from_secs(cots / SLOWEST)
}

/// How long a setup may take in all: the encrypted matrices cross in it.
pub fn longest_setup(cost: &Cost, deadline: Duration) -> Duration {
    carried(cost.setup_bytes, deadline)
}

/// The name of a setup: of both nonces, of client and server, and of what both agree on.
pub fn session(
    nonces: [Nonce; 2],
    plan: &[u8; 32],
    model: &[u8; 32],
    extension: Extension,
) -> Nonce {
    let mut hasher = blake3::Hasher::new_derive_key("sotto making session");
    hasher.update(&nonces.concat()).update(plan).update(model).update(&[extension.code()]);
    *hasher.finalize().as_bytes()
}

/// One link's transfers and keys. No `Debug`: it is secret.
pub struct Workshop {
    role: Role,
    recipe: Arc<Recipe>,
    transfers: Transfers,
    matrices: Matrices,
    session: Nonce,
    /// How often the plan has changed.
    turns: u64,
}

impl Workshop {
    /// Sets up over a link whose greeting has made a [`session`]; `matrices` are the server's, which it encrypts as they go, under
    /// a key that is this link's alone. All of it takes `longest` at most. `progress` is told of the encrypted ones at the client.
    ///
    /// # Errors
    /// The link's, and the protocol's for what is no setup.
    pub fn open(
        role: Role,
        recipe: Arc<Recipe>,
        link: &mut dyn Link,
        session: Nonce,
        matrices: Option<&[Matrix]>,
        (longest, progress): (Duration, &messages::Progress<'_>),
    ) -> Result<Self, Error> {
        link.set_longest(Some(longest));
        let [begins, answers] = recipe.extension.setup_bytes();
        let (setup, message) = Setup::new(role, session, recipe.extension, &random()?);
        let begin = swap(link, step::TRANSFERS, message, begins)?;
        let (answered, message) = setup.answer(&begin)?;
        let answer = swap(link, step::TRANSFERS, message, answers)?;
        let transfers = answered.finish(&answer)?;
        let (keys, message) = Keys::new(role, &random()?);
        let keys = keys.meet(&swap(link, step::KEYS, message, Keys::BYTES)?)?;
        let weights = match matrices {
            Some(matrices) => {
                let noise = random()?;
                let pieces = encrypt_weights(&recipe, keys.key(), &noise, matrices);
                messages::send_pieces(link, step::ENCRYPTED, pieces)?;
                Vec::new()
            }
            None => messages::recv_bytes(link, step::ENCRYPTED, weights_len(&recipe), progress)?,
        };
        let matrices = keys.finish(&recipe, weights)?;
        link.set_longest(None);
        Ok(Self { role, recipe, transfers, matrices, session, turns: 0 })
    }

    /// Goes on with another plan of the same matrices: texts of another length. Both parties do so between the same two batches.
    /// Transfers are counted on and serve once whatever they are made for; keys stay, as they do from batch to batch; seeds
    /// are each batch's own.
    ///
    /// Gives whether it does: not where the encrypted matrices or the transfers are others.
    pub fn turn(&mut self, recipe: &Arc<Recipe>) -> bool {
        let shares = self.recipe.shares_setup(recipe);
        if shares {
            self.recipe = Arc::clone(recipe);
            self.turns += 1;
        }
        shares
    }

    /// Makes a batch of this number, within `longest`; `moved` is told after each flight. After an error this workshop is of no
    /// more use.
    ///
    /// # Errors
    /// The link's, and the protocol's for a message that is none.
    pub fn make(
        &mut self,
        link: &mut dyn Link,
        id: u64,
        longest: Duration,
        moved: &dyn Fn(),
    ) -> Result<(Batch, Traffic), Error> {
        let start = Instant::now();
        link.set_longest(Some(longest));
        let seed = random()?;
        let maker = Maker::new(&self.recipe, self.role, &seed, &mut self.transfers);
        let mut maker = maker.with_matrices(&self.matrices);
        let made = loop {
            match maker.turn() {
                MakeTurn::Exchange { level, send, expect } => {
                    if let Some(message) = link.exchange(level, send, expect, &mut || ())? {
                        maker.receive(&message)?;
                    }
                    moved();
                    let waited = start.elapsed();
                    if waited > longest {
                        let peer = link.peer().to_owned();
                        return Err(Error::Net(sotto_net::Error::Deadline {
                            peer,
                            step: level,
                            waited,
                        }));
                    }
                }
                MakeTurn::Done(made) => break made,
            }
        };
        link.set_longest(None);
        let traffic = made.traffic;
        Ok((made.batch(id, seed, &self.recipe, &[])?, traffic))
    }

    /// The public name of the batch of this number of the present plan, the same at both parties of one setup alone.
    pub fn tag(&self, id: u64) -> Tag {
        let mut hasher = blake3::Hasher::new_derive_key("sotto made batch");
        let hash = hasher
            .update(&self.session)
            .update(&self.turns.to_le_bytes())
            .update(&id.to_le_bytes());
        let hash = hash.finalize();
        std::array::from_fn(|i| hash.as_bytes()[i])
    }
}

fn swap(link: &mut dyn Link, step: u32, message: Vec<u8>, expect: usize) -> Result<Vec<u8>, Error> {
    messages::send_bytes(link, step, &message)?;
    messages::recv_bytes(link, step, expect, &|_, _| Ok(()))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use sotto_net::local_pair;
    use sotto_protocols::{
        make::whole_recipe,
        plan::{Plan, Trace, WeightSpec},
    };

    use super::*;

    /// More than a test takes: what ends sooner was ended.
    const LIFE: Duration = Duration::from_secs(60);

    #[test]
    fn a_setup_and_a_batch_have_a_time_in_all() {
        let mut trace = Trace::new();
        let input = trace.input(&[1], 20, 4);
        let opened = trace.open_signed(input, 16);
        let positive = trace.relu(opened, 16);
        let revealed = trace.reveal(positive, 16);
        let recipe = Arc::new(whole_recipe(&trace.finish(&[revealed]), Extension::Ferret).unwrap());
        let open = |role, link: &mut dyn Link, longest| {
            let matrices = (role == Role::Server).then_some(&[][..]);
            let within: (_, &messages::Progress<'_>) = (longest, &|_, _| Ok(()));
            Workshop::open(role, Arc::clone(&recipe), link, [1; 32], matrices, within)
        };
        let ended = |e: Error| matches!(e, Error::Net(sotto_net::Error::Deadline { .. }));
        let (mut server, _silent) = local_pair("server", "client");
        server.set_deadline(LIFE);
        assert!(ended(open(Role::Server, &mut server, Duration::ZERO).err().unwrap()));

        let (mut server, mut client) = local_pair("server", "client");
        server.set_deadline(LIFE);
        let (mut ours, _theirs) = thread::scope(|scope| {
            let theirs = scope.spawn(|| open(Role::Client, &mut client, LIFE).unwrap());
            (open(Role::Server, &mut server, LIFE).unwrap(), theirs.join().unwrap())
        });
        let made = ours.make(&mut server, 0, Duration::ZERO, &|| ());
        assert!(ended(made.err().unwrap()));
    }
    #[test]
    fn nothing_is_encrypted_for_a_peer_whose_keys_are_none() {
        let recipe = Arc::new(whole_recipe(&linear(), Extension::Ferret).unwrap());
        let matrix = Matrix::new([1; 24 * 20], vec![0; 20]);
        let (mut server, mut client) = local_pair("server", "client");
        let seen = thread::scope(|scope| {
            let hostile = scope.spawn(move || {
                let [begins, answers] = Extension::Ferret.setup_bytes();
                let seed = Seed::from_bytes([1; 32]);
                let (setup, message) = Setup::new(Role::Client, [1; 32], Extension::Ferret, &seed);
                let begin = swap(&mut client, step::TRANSFERS, message, begins).unwrap();
                let (_, message) = setup.answer(&begin).unwrap();
                swap(&mut client, step::TRANSFERS, message, answers).unwrap();
                swap(&mut client, step::KEYS, vec![0xff; Keys::BYTES], Keys::BYTES).unwrap();
                client.recv_upto(step::ENCRYPTED, messages::CHUNK)
            });
            let within: (_, &messages::Progress<'_>) = (LIFE, &|_, _| Ok(()));
            let matrices = Some(std::slice::from_ref(&matrix));
            let opened =
                Workshop::open(Role::Server, recipe, &mut server, [1; 32], matrices, within);
            assert!(matches!(opened.err().unwrap(), Error::Protocol(_)));
            drop(server);
            hostile.join().unwrap()
        });
        assert!(matches!(seen, Err(sotto_net::Error::Link { .. })), "encrypted weights came");
    }

    fn linear() -> Plan {
        let mut trace = Trace::new();
        let x = trace.input(&[3, 9, 24], 50, 6);
        let spec = WeightSpec { name: "a".into(), outputs: 20, inputs: 24, width: 38, scale: 4 };
        let weight = trace.weight(spec);
        let y = trace.linear(x, weight, 1);
        let y = trace.reveal(y, 36);
        trace.finish(&[y])
    }
}
