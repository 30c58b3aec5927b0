//! What two parties set up once for their correlations of matrices: keys, and the server's matrices encrypted.

use sotto_crypto::Seed;
use sotto_lattice::{Ciphers, PUBLIC_BYTES, PublicKeys, SecretKey};

use crate::{error::Error, making::recipe::Recipe, matrices::Matrix, spec::Role};

/// A party's own key, before the peer's public ones are here. No `Debug`: it is secret.
pub struct Keys {
    role: Role,
    key: SecretKey,
}

/// A party's own key, and the peer's public ones. No `Debug`: it is secret.
pub struct Met {
    role: Role,
    key: SecretKey,
    peer: PublicKeys,
}

/// Everything that a maker needs for matrices. No `Debug`: it is secret.
pub struct Matrices {
    role: Role,
    pub(super) key: SecretKey,
    pub(super) peer: PublicKeys,
    /// At the client: the encrypted matrices of [`Recipe::layers`], one after the other as they came, and where each begins.
    weights: Vec<u8>,
    starts: Vec<usize>,
}

impl Keys {
    /// Bytes of each party's message.
    pub const BYTES: usize = PUBLIC_BYTES;

    /// Begins: returns the message to the peer, too. `seed` is this party's own, for this alone; the server may keep its keys for
    /// as long as its model stays the same.
    pub fn new(role: Role, seed: &Seed) -> (Self, Vec<u8>) {
        let key = SecretKey::new(seed);
        let message = key.publish();
        (Self { role, key }, message)
    }

    /// Takes the peer's keys: nothing is encrypted for a peer that has none.
    ///
    /// # Errors
    /// [`Error::Desync`] when they are none.
    pub fn meet(self, keys: &[u8]) -> Result<Met, Error> {
        let Self { role, key } = self;
        let peer = PublicKeys::read(keys).map_err(|error| refused(role, &error))?;
        Ok(Met { role, key, peer })
    }
}

impl Met {
    /// The server's matrices under its key: see [`encrypt_weights`].
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Takes, at the client, the server's matrices, at the server nothing.
    ///
    /// # Errors
    /// [`Error::Desync`] when they are none, or not of this recipe.
    pub fn finish(self, recipe: &Recipe, weights: Vec<u8>) -> Result<Matrices, Error> {
        let Self { role, key, peer } = self;
        let refused = |error| refused(role, &error);
        let due = if role == Role::Client { weights_len(recipe) } else { 0 };
        if weights.len() != due {
            return Err(Error::Desync {
                peer: role.peer().name().to_owned(),
                what: format!("its encrypted matrices have {} bytes, {due} are due", weights.len()),
                remedy: "use the same model on both sides".into(),
            });
        }
        let mut starts = Vec::new();
        if role == Role::Client {
            let mut start = 0;
            for (layer, _) in &recipe.layers {
                starts.push(start);
                layer.read(&weights[start..start + layer.setup_len()]).map_err(refused)?;
                start += layer.setup_len();
            }
        }
        Ok(Matrices { role, key, peer, weights, starts })
    }
}

impl Matrices {
    /// The encrypted matrix of a layer, at the client.
    pub(super) fn weights(&self, recipe: &Recipe, number: usize) -> Ciphers<'_> {
        assert!(self.role == Role::Client, "the server's matrices are its own");
        let (layer, _) = &recipe.layers[number];
        let start = self.starts[number];
        layer
            .read(&self.weights[start..start + layer.setup_len()])
            .expect("they were checked when they came")
    }
}

/// Bytes of the server's encrypted matrices.
pub fn weights_len(recipe: &Recipe) -> usize {
    recipe.layers.iter().map(|(layer, _)| layer.setup_len()).sum()
}

/// The server's message to each client: its matrices encrypted, piece by piece, the same for all clients. `seed` must serve
/// nothing else, and no other matrices.
pub fn encrypt_weights<'a>(
    recipe: &'a Recipe,
    key: &'a SecretKey,
    seed: &'a Seed,
    matrices: &'a [Matrix],
) -> impl Iterator<Item = Vec<u8>> + 'a {
    (0..).zip(&recipe.layers).flat_map(move |(number, (layer, weight))| {
        let entries = matrices[*weight].entries();
        layer.encrypt(key, &seed.derive("layer", number), move |at, out: &mut [u64]| {
            entries.unpack(at, out);
        })
    })
}

/// What a peer's message was refused for.
pub(super) fn refused(role: Role, error: &sotto_lattice::Error) -> Error {
    Error::Desync {
        peer: role.peer().name().to_owned(),
        what: error.to_string(),
        remedy: "close the connection, and make correlations anew over another".into(),
    }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::Seed;

    use super::*;
    use crate::{
        local::Local,
        make::{Extension, MakeTurn, Maker, whole_recipe},
        plan::{Plan, Trace, WeightSpec},
        testing::{
            Bench,
            made::{matrix_setup, transfers, whole_batches},
        },
    };

    /// Two layers, of one and of two limbs, whose results are multiplied: what both kinds of correlations are for.
    fn plan() -> Plan {
        let mut t = Trace::new();
        let x = t.input(&[3, 9, 24], 50, 6);
        let weight = |t: &mut Trace, name: &str, outputs, width| {
            t.weight(WeightSpec { name: name.into(), outputs, inputs: 24, width, scale: 4 })
        };
        let (a, b) = (weight(&mut t, "a", 20, 38), weight(&mut t, "b", 20, 50));
        let (a, b) = (t.linear(x, a, 1), t.linear(x, b, 1));
        let (a, b) = (t.open(a, 36, 0), t.open(b, 36, 0));
        let y = t.matmul(a, b, true);
        let y = t.reveal(y, 36);
        t.finish(&[y])
    }

    fn matrices(bench: &mut Bench) -> Vec<Matrix> {
        let matrix = |bench: &mut Bench| {
            let entries: Vec<u64> = bench.signed(20 * 24, 4).iter().map(|&x| x as u64).collect();
            Matrix::new(entries, vec![0; 20])
        };
        vec![matrix(bench), matrix(bench)]
    }

    #[test]
    fn batches_made_by_two_parties_alone_give_the_product() {
        let (plan, mut bench) = (plan(), Bench::new(1));
        let (matrices, x) = (matrices(&mut bench), bench.signed(3 * 9 * 24, 5));
        let seed = Seed::from_bytes([1; 32]);
        let local = Local::without_masks(&plan, matrices.clone(), &seed).unwrap();
        let seeds = local.seeds(0, Role::Server);
        let batches = whole_batches(&plan, 0, &seeds, &matrices, &mut ()).unwrap();
        let inputs = [x.clone()];
        let [_, client] = local.evaluate(batches, [&[], &inputs]).unwrap();

        // With a dealer, and the same masks of nothing: the exact result.
        let dealt = local.evaluate(local.deal(1), [&[], &inputs]).unwrap();
        let exact: Vec<i64> = (0..3 * 9 * 9)
            .map(|at| {
                let (batch, i, j) = (at / 81, at / 9 % 9, at % 9);
                let side = |w: &Matrix, row: usize, o: usize| -> i64 {
                    let w = w.entries().to_words();
                    let x = &x[(batch * 9 + row) * 24..][..24];
                    x.iter().zip(&w[o * 24..]).map(|(x, &w)| x * w as i64).sum()
                };
                (0..20).map(|o| side(&matrices[0], i, o) * side(&matrices[1], j, o)).sum()
            })
            .collect();
        assert_eq!(dealt[1].outputs[0], exact);
        // Layers are some units off before they are multiplied: relative to operands of some hundreds.
        let off = client.outputs[0].iter().zip(&exact).map(|(a, b)| (a - b).abs());
        let worst = off.max().unwrap();
        let largest = exact.iter().map(|x| x.abs()).max().unwrap();
        assert!(largest > 1 << 16 && worst > 0 && worst < largest / 4, "{worst} of {largest}");
    }

    #[test]
    fn what_is_not_the_recipe_s_is_refused() {
        let (plan, mut bench) = (plan(), Bench::new(2));
        let matrices = matrices(&mut bench);
        let recipe = whole_recipe(&plan, Extension::SOFTSPOKEN).unwrap();
        assert!(recipe.supplied.is_empty() && recipe.layers.len() == 2);
        let seed = Seed::from_bytes([2; 32]);
        let desync = |result: Result<Matrices, Error>| matches!(result, Err(Error::Desync { .. }));
        let new = |role| Keys::new(role, &seed);
        let (message, weights) = (new(Role::Server).1, vec![0xff; weights_len(&recipe)]);
        for (role, keys, weights) in [
            (Role::Client, &message[1..], &weights[..]),
            (Role::Client, &message[..], &weights[1..]),
            (Role::Client, &message[..], &weights[..]),
            (Role::Server, &message[..], &weights[..1]),
        ] {
            let met = new(role).0.meet(keys);
            assert!(desync(met.and_then(|met| met.finish(&recipe, weights.to_vec()))));
        }
        let short = Local::without_masks(&plan, Vec::new(), &seed);
        assert!(matches!(short, Err(Error::Desync { .. })));

        // A hostile message where uploads are due.
        let [server, _] = matrix_setup(&recipe, &matrices, &seed).unwrap();
        let [mut cots, _] = transfers(&seed, Extension::SOFTSPOKEN).unwrap();
        let mut maker = Maker::new(&recipe, Role::Server, &seed, &mut cots).with_matrices(&server);
        let MakeTurn::Exchange { level: 0, expect, .. } = maker.turn() else {
            panic!("both send their left operands")
        };
        let hostile = maker.receive(&vec![0xff; expect]);
        assert!(matches!(hostile, Err(Error::Desync { .. })));
    }
}
