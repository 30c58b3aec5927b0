//! Many results: packed by groups, answered, and put where they belong.

use sotto_crypto::Seed;

use crate::{
    cipher::Cipher,
    error::Error,
    key::{PublicKeys, SecretKey},
    respond::{self, Responder},
    switch, wire,
};

/// How the results of a family of products are answered: static, the same at both parties.
pub(crate) struct Answers<'a> {
    pub width: u32,
    /// Results in all.
    pub results: usize,
    /// A result is useful at multiples of this power of two.
    pub spacing: usize,
    /// `2^levels` results share an answer, at most `spacing`.
    pub levels: usize,
    /// Elements of the output.
    pub outputs: usize,
    /// What a result holds: for each used multiple of the spacing, which element of the output it is.
    pub holds: &'a dyn Fn(usize) -> Vec<(usize, usize)>,
}

/// The wanted coefficients of an answer.
struct Group {
    places: Vec<usize>,
    outputs: Vec<usize>,
}

/// A message to the peer and the sender's own share.
#[derive(Clone)]
pub struct Answer {
    /// What to send.
    pub message: Vec<u8>,
    /// The sender's share, row-major, mod `2^width`.
    pub share: Vec<u64>,
}

impl Answers<'_> {
    fn groups(&self) -> impl Iterator<Item = Group> {
        let size = 1 << self.levels;
        debug_assert!(size <= self.spacing, "more results than places between them");
        (0..self.results).step_by(size).map(move |first| {
            let (mut places, mut outputs) = (Vec::new(), Vec::new());
            for result in first..self.results.min(first + size) {
                for (multiple, output) in (self.holds)(result) {
                    places.push(multiple * self.spacing + result - first);
                    outputs.push(output);
                }
            }
            Group { places, outputs }
        })
    }

    /// Bytes of the message.
    pub fn len(&self) -> usize {
        self.groups().map(|group| respond::len(group.places.len(), self.width)).sum()
    }

    /// Answers all results, which `results` hands to its argument one after the other.
    pub fn answer(
        &self,
        keys: &PublicKeys,
        seed: &Seed,
        results: impl FnOnce(&mut dyn FnMut(Cipher)),
    ) -> Answer {
        let mut responder = Responder::new(keys, seed);
        let mut answer =
            Answer { message: Vec::with_capacity(self.len()), share: vec![0; self.outputs] };
        let (mut pending, mut seen) = (Vec::new(), 0);
        let mut groups = self.groups();
        results(&mut |cipher| {
            pending.push(cipher);
            seen += 1;
            if pending.len() < 1 << self.levels && seen < self.results {
                return;
            }
            let group = groups.next().expect("as many groups as are filled");
            let packed = switch::pack(std::mem::take(&mut pending), self.levels, keys);
            let shares = responder.respond(packed, &group.places, self.width, &mut answer.message);
            group.outputs.iter().zip(shares).for_each(|(&at, x)| answer.share[at] = x);
        });
        assert_eq!(seen, self.results, "results of a family");
        answer
    }

    /// The holder's share.
    ///
    /// # Errors
    /// [`Error::Length`] when the message is not [`Answers::len`] long.
    pub fn receive(&self, message: &[u8], key: &SecretKey) -> Result<Vec<u64>, Error> {
        wire::expect("the answer to encrypted matrices", message.len(), self.len())?;
        let mut share = vec![0; self.outputs];
        let mut rest = message;
        for group in self.groups() {
            let (head, tail) = rest.split_at(respond::len(group.places.len(), self.width));
            let shares = respond::receive(head, &group.places, self.width, key)?;
            group.outputs.iter().zip(shares).for_each(|(&at, x)| share[at] = x);
            rest = tail;
        }
        Ok(share)
    }
}
