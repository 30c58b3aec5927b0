//! Who watches dealing, making, staging and evaluating: a clock, an eavesdropper, a test.

use crate::{dealing::Known, making::Piece, plan::Step, run::Value, spec::Wire};

/// Is told how far the dealer and the parties are. It changes nothing; each method does nothing unless it is written.
///
/// Security: [`Observer::knows`] and [`Observer::wrote`] hand out secrets of the process that is observed. They are for
/// tests that hold all sides at once.
pub trait Observer {
    /// The dealer knows this of a wire.
    fn knows(&mut self, _wire: Wire, _known: &Known) {}
    /// A party has expanded the correlations of a node.
    fn staged(&mut self, _node: usize) {}
    /// A party has this of a wire.
    fn wrote(&mut self, _wire: Wire, _value: &Value) {}
    /// A party is through with a call of a gate.
    fn ran(&mut self, _step: Step) {}
    /// A party sends this message.
    fn sends(&mut self, _level: usize, _message: &[u8]) {}
    /// The peer's message of a level, if it has one, is here.
    fn received(&mut self, _level: usize) {}
    /// What the level opened is unpacked.
    fn opened(&mut self, _level: usize) {}
    /// A party that makes a batch begins with a level, or has the peer's message of it.
    fn goes_on(&mut self) {}
    /// It is through with a piece of its work.
    fn made(&mut self, _piece: Piece) {}
}

/// Nobody.
impl Observer for () {}
