//! A party's view of a gate before the input is known.

use crate::{
    draw::Draw,
    drawn::{Drawn, Draws, Packed},
    matrices::Weights,
    source::{Place, Source},
    spec::Role,
};

/// A party's view of a gate before the input is known.
pub struct Prepare<'a> {
    /// Which party.
    pub role: Role,
    /// Its weights.
    pub weights: &'a Weights,
    pub(crate) source: &'a Source,
    pub(crate) place: Place<'a>,
    /// By draw; empty before the first is asked for. Each stream is opened once.
    pub(crate) drawn: Vec<Option<Drawn>>,
}

impl Prepare<'_> {
    /// This party's words of draw `draw`: a mask's, too, as there is nothing to open yet.
    pub fn words(&mut self, draw: usize) -> Vec<u64> {
        let Self { source, place, .. } = *self;
        let drawn = self.drawn(draw).get_or_insert_with(|| source.draw(&place, draw));
        match (&*drawn, place.draws[draw]) {
            (
                Drawn::Fresh(bytes),
                Draw::Mask { count, width } | Draw::ClientMask { count, width },
            ) => Packed::new(bytes, count, width).to_words(),
            _ => {
                let (drawn, draws) = (std::slice::from_ref(drawn), &place.draws[draw..=draw]);
                Draws { drawn, corrections: source.corrections(), draws }.words(0)
            }
        }
    }

    /// Puts `words` in the place of draw `draw`.
    pub fn replace(&mut self, draw: usize, words: Vec<u64>) {
        *self.drawn(draw) = Some(Drawn::Words(words));
    }

    fn drawn(&mut self, draw: usize) -> &mut Option<Drawn> {
        self.drawn.resize_with(self.place.draws.len(), || None);
        &mut self.drawn[draw]
    }

    /// All draws of the node, once one is expanded or prepared; none before.
    pub(crate) fn finish(self) -> Vec<Drawn> {
        let Self { source, place, drawn, .. } = self;
        let all = drawn.into_iter().enumerate();
        all.map(|(i, drawn)| drawn.unwrap_or_else(|| source.draw(&place, i))).collect()
    }
}
