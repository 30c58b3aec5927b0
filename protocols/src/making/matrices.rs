//! Correlations of matrices as steps of the recipe.

use std::sync::Arc;

use sotto_lattice::{Layer, Triple};

use super::{Making, Op};
use crate::draw::Draw;

impl Making<'_> {
    /// The second draw holds shares of the first, a mask of the client alone, times matrix `weight` of the server.
    pub(crate) fn layer(&mut self, draws: [usize; 2], layer: Layer, weight: usize) {
        let [mask, value] = draws;
        if !self.recipe.encrypts {
            return self.supplied(value);
        }
        let Draw::ClientMask { count, .. } = self.draws[mask] else {
            panic!("draw {mask} of node {} is not a mask of the client", self.node)
        };
        let stream = crate::dealing::stream_id(self.node, mask);
        let a = self.op(Op::Mask { stream, draw: self.draws[mask] }, Vec::new(), count);
        let step = Op::Layer { number: self.recipe.layers.len(), bytes: layer.answer_len() };
        self.recipe.layers.push((layer, weight));
        let count = self.elements(value);
        let shares = self.op(step, vec![a], count);
        self.give(value, shares);
    }

    /// The draw holds shares of the products of both inputs' masks.
    pub(crate) fn products(&mut self, draw: usize, triple: Triple) {
        if !self.recipe.encrypts {
            return self.supplied(draw);
        }
        let (triple, bytes) = (Arc::new(triple.clone()), triple.answer_len());
        let [(left, _), (right, _)] = [self.input_mask(0), self.input_mask(1)];
        let uploads = self.op(Op::Upload(Arc::clone(&triple)), vec![left], 0);
        let count = self.elements(draw);
        let shares = self.op(Op::Answer { triple, bytes }, vec![uploads, left, right], count);
        self.give(draw, shares);
    }

    fn elements(&self, draw: usize) -> usize {
        match self.draws[draw] {
            Draw::Value { count, .. } => count,
            _ => panic!("draw {draw} of node {} is no value", self.node),
        }
    }
}
