//! The second half of a level: the peer's message meets what waits for it.

use super::{Maker, Value, Waiting, add};
use crate::{
    error::Error,
    make::{cot::receive, matrices, transfers::refused, triples::Triples},
    making::{Piece, recipe::Part},
    spec::Role,
};

impl Maker<'_> {
    /// Ends the level: joins the peer's message with what waits for it.
    pub(super) fn join(&mut self, message: &[u8]) -> Result<(), Error> {
        let (role, peer, level, recipe) = (self.role, self.role.peer(), self.level, self.recipe);
        self.goes_on();
        let (announced, message) = message.split_at(recipe.announced_bytes(level, role));
        if !announced.is_empty() {
            let receiver = &mut self.transfers.receiver;
            receiver.announced(announced).map_err(|e| refused(role, &e))?;
            self.tell(Piece::Announced(level));
        }
        let cots = recipe.level_cots(level, peer);
        let (extension, mut rest) = message.split_at(recipe.extension.bytes(cots));
        let mut sent = Vec::new();
        if cots > 0 {
            let chosen = self.queue.iter().filter_map(|(_, waiting)| match waiting {
                Waiting::Choice(count) => Some(*count),
                _ => None,
            });
            let lengths: Vec<usize> = chosen.chain([recipe.triples(level + 1)]).collect();
            let sender = &mut self.transfers.sender;
            sent = sender.extend(&lengths, extension).map_err(|e| refused(role, &e))?;
            self.tell(Piece::Extended(level));
        }
        let triples = sent.pop();
        let mut sent = sent.into_iter();
        for (i, waiting) in std::mem::take(&mut self.queue) {
            let bytes = recipe.step_bytes(i, peer);
            let (head, tail) = rest.split_at(bytes);
            rest = tail;
            let chosen = matches!(waiting, Waiting::Choice(_));
            match waiting {
                Waiting::Choice(_) => {
                    let sent = sent.next().expect("a part of the peer's extension");
                    self.values[i] = Some(Value::Sent(sent));
                }
                Waiting::Words { mut share, from, sum, width } => {
                    if let Some((slot, planes)) = from {
                        let mut received = self.received(slot);
                        let theirs = receive(sum, &mut received, share.len(), planes, width, head);
                        self.values[slot.0] = Some(Value::Received(received));
                        add(sum, &mut share, &theirs);
                    }
                    self.write(i, Part::Words(share));
                }
                Waiting::Upload(products) => {
                    products.check(head).map_err(|e| matrices::refused(role, &e))?;
                    self.write(i, Part::Message(head.to_vec()));
                }
                Waiting::Answer(products, own) => {
                    let inputs = &recipe.steps[i].inputs;
                    let operands = (self.words(inputs[1]), self.words(inputs[2]));
                    let share = products.finish(&self.matrices().key, head, &own, operands);
                    let share = share.map_err(|e| matrices::refused(role, &e))?;
                    self.write(i, Part::Words(share));
                }
                Waiting::Layer(number) => {
                    let share = recipe.layers[number].0.receive(&self.matrices().key, head);
                    let share = share.map_err(|e| matrices::refused(role, &e))?;
                    self.write(i, Part::Words(share));
                }
                Waiting::And(and) => {
                    let bits = and.close(role == Role::Server, head);
                    self.write(i, Part::Bits(bits));
                }
            }
            if !chosen {
                self.tell(Piece::End(i));
            }
        }
        if let (Some(sent), Some(received)) = (triples, self.triples.0.take()) {
            self.triples.1 = Triples::new(sent, received);
            if recipe.triples(level + 1) > 0 {
                self.tell(Piece::Triples(level));
            }
        }
        self.due = None;
        self.level += 1;
        Ok(())
    }
}
