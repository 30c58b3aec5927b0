//! A party's view of one gate: its inputs, its draws, what it sends and what it got.

mod prepare;

use std::sync::Arc;

use sotto_ring::{lanes, mask, pack};

use crate::{
    draw::Draw,
    drawn::{Drawn, Draws, Map, Packed, Stored, View},
    exchange::{Exchange, To},
    matrices::Weights,
    spec::Role,
};
pub use prepare::Prepare;

/// What a party holds of a wire. No `Debug`: shares are secret.
#[derive(Clone)]
pub enum Value {
    /// Its additive part.
    Share(Vec<u64>),
    /// The opened words `c`, and this party's part of the mask, packed (empty for a derived opening).
    Opened(Vec<u64>, Vec<u8>),
    /// A form.
    Form {
        /// Its public factors; `None` is the constant 1.
        publics: Vec<Option<Factor>>,
        /// This party's shares of the dealer-known factor of the term that is shared, if one is.
        shared: Option<Arc<Vec<u64>>>,
    },
}

/// A public factor: words or bits that several factors of a form may share, and how it follows from them.
#[derive(Clone)]
pub struct Factor {
    held: Held,
    map: Map,
}

#[derive(Clone)]
enum Held {
    Words(Arc<Vec<u64>>),
    Bits(Arc<Bits>),
}

/// Packed bits.
#[derive(Default)]
pub(crate) struct Bits {
    pub bytes: Vec<u8>,
    pub count: usize,
}

impl Value {
    /// A form of which no term is shared.
    pub(crate) fn form(publics: Vec<Option<Factor>>) -> Self {
        Self::Form { publics, shared: None }
    }
}

impl Factor {
    pub(crate) fn new(words: &Arc<Vec<u64>>, map: Map) -> Self {
        Self { held: Held::Words(Arc::clone(words)), map }
    }

    pub(crate) fn of_bits(bits: &Arc<Bits>, map: Map) -> Self {
        Self { held: Held::Bits(Arc::clone(bits)), map }
    }

    pub(crate) fn view(&self) -> View<'_> {
        let from = match &self.held {
            Held::Words(words) => Stored::Words(words),
            Held::Bits(bits) => Stored::Bits(Packed::new(&bits.bytes, bits.count, 1)),
        };
        View { from, map: self.map }
    }

    /// The factor of every element.
    pub fn to_words(&self) -> Vec<u64> {
        self.view().to_words()
    }
}

/// What an exchange carries, as a party holds it.
pub(crate) enum Content {
    /// A word an element.
    Words(Vec<u64>),
    /// A bit an element.
    Bits(Bits),
}

/// A tensor of this party's that is exchanged in the level.
pub(crate) struct Outgoing {
    pub exchange: Exchange,
    pub content: Content,
}

/// What a gate wrote.
pub(crate) enum Output {
    New(Value),
    /// The words of an input, which stay as they are.
    Input(usize),
}

/// A party's view of one call of a gate.
pub struct Run<'a> {
    pub(crate) role: Role,
    pub(crate) inputs: Vec<&'a Value>,
    pub(crate) drawn: &'a mut [Drawn],
    pub(crate) corrections: &'a [u8],
    pub(crate) draws: &'a [Draw],
    pub(crate) opened: Vec<Content>,
    pub(crate) kept: Vec<Vec<u64>>,
    pub(crate) queue: Vec<Outgoing>,
    pub(crate) payload: &'a mut Vec<u8>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) weights: &'a Weights,
}

impl<'a> Run<'a> {
    /// Which party this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// True at the party that adds public constants to shares.
    pub fn is_server(&self) -> bool {
        self.role == Role::Server
    }

    /// This party's part of the shared input `i`.
    pub fn share(&self, i: usize) -> &'a [u64] {
        match self.inputs[i] {
            Value::Share(w) => w,
            _ => panic!("input {i} is not a share"),
        }
    }

    /// The opened words of input `i`.
    pub fn public(&self, i: usize) -> &'a [u64] {
        match self.inputs[i] {
            Value::Opened(w, _) => w,
            _ => panic!("input {i} is not opened"),
        }
    }

    /// This party's part of the mask of the opened input `i`, which has `width` bits.
    pub fn own_mask(&self, i: usize, width: u32) -> Packed<'a> {
        match self.inputs[i] {
            Value::Opened(c, r) => Packed::new(r, c.len(), width),
            _ => panic!("input {i} is not opened"),
        }
    }

    /// What this party holds of input `i`.
    pub fn value(&self, i: usize) -> &'a Value {
        self.inputs[i]
    }

    fn all_draws(&self) -> Draws<'_> {
        Draws { drawn: self.drawn, corrections: self.corrections, draws: self.draws }
    }

    /// This party's words of draw `draw`, still packed.
    pub fn packed(&self, draw: usize) -> Packed<'_> {
        self.all_draws().packed(draw)
    }

    /// This party's words of draw `draw`.
    pub fn words(&self, draw: usize) -> Vec<u64> {
        self.all_draws().words(draw)
    }

    /// This party's one-hot bits of draw `draw`.
    pub fn bits(&self, draw: usize) -> &[u8] {
        self.all_draws().bits(draw)
    }

    /// Takes this party's words of draw `draw`, which is not needed again.
    pub fn take_words(&mut self, draw: usize) -> Vec<u64> {
        let spent = !self.drawn.iter().any(Drawn::is_fresh);
        match &mut self.drawn[draw] {
            Drawn::Words(words) if spent => std::mem::take(words),
            _ => self.words(draw),
        }
    }

    /// Takes the packed words of a mask that was opened under.
    pub fn take_mask(&mut self, draw: usize) -> Vec<u8> {
        match std::mem::replace(&mut self.drawn[draw], Drawn::Absent) {
            Drawn::Seeded(bytes) => bytes,
            _ => panic!("draw {draw} is not a mask that was opened under"),
        }
    }

    /// The party's weights.
    pub fn weights(&self) -> &'a Weights {
        self.weights
    }

    /// Opens `words` to both under the mask `draw`, which it spends: adds this party's part of the mask and
    /// reduces to the opened width.
    ///
    /// # Panics
    /// On a second opening under the mask, as [`Run::open_bits`] and [`Run::open_to_server`] do.
    pub fn open(&mut self, mut words: Vec<u64>, draw: usize) {
        let Draw::Mask { count, width } = self.draws[draw] else {
            panic!("draw {draw} is not a mask of both parties")
        };
        assert_eq!(words.len(), count, "opening {} of {count}", words.len());
        if width == 1 {
            return self.open_bits(&words, 1, draw);
        }
        self.drawn[draw].spend();
        let m = mask(width);
        let all = Draws { drawn: self.drawn, corrections: self.corrections, draws: self.draws };
        all.packed(draw).zip(&mut words, |words, masks| {
            lanes::join(words, masks, m);
            pack::pack(words, width, self.payload);
        });
        self.enqueue(Exchange { count, width, to: To::Both }, Content::Words(words));
    }

    /// [`Run::open`] of single bits, of which each word holds the lowest `group`.
    pub fn open_bits(&mut self, words: &[u64], group: u32, draw: usize) {
        let Draw::Mask { count, width: 1 } = self.draws[draw] else {
            panic!("draw {draw} is not a mask of bits of both parties")
        };
        assert_eq!(words.len() * group as usize, count, "opening {group} bits of each word");
        self.drawn[draw].spend();
        let mut bits = Vec::with_capacity(count.div_ceil(8));
        pack::pack(words, group, &mut bits);
        // Mod 2, adding the mask is XOR.
        let masks = self.all_draws().packed(draw);
        bits.iter_mut().zip(masks.bytes()).for_each(|(b, r)| *b ^= r);
        if let (Some(last), tail @ 1..) = (bits.last_mut(), count % 8) {
            *last &= (1 << tail) - 1;
        }
        self.payload.extend_from_slice(&bits);
        let content = Content::Bits(Bits { bytes: bits, count });
        self.enqueue(Exchange { count, width: 1, to: To::Both }, content);
    }

    fn enqueue(&mut self, exchange: Exchange, content: Content) {
        self.queue.push(Outgoing { exchange, content });
    }

    /// Opens `words` to the server alone, under the client's mask `draw`: the server receives
    /// `x - A`.
    pub fn open_to_server(&mut self, mut words: Vec<u64>, draw: usize) {
        let Draw::ClientMask { count, width } = self.draws[draw] else {
            panic!("draw {draw} is not a mask of the client")
        };
        assert_eq!(words.len(), count, "opening {} of {count}", words.len());
        self.drawn[draw].spend();
        let m = mask(width);
        if self.role == Role::Client {
            let all = Draws { drawn: self.drawn, corrections: self.corrections, draws: self.draws };
            all.packed(draw).zip(&mut words, |words, masks| {
                lanes::part(words, masks, m);
                pack::pack(words, width, self.payload);
            });
        }
        self.enqueue(Exchange { count, width, to: To::Server }, Content::Words(words));
    }

    /// Reveals a shared value to the client: the promised result, nothing else.
    pub fn reveal_to_client(&mut self, words: Vec<u64>, width: u32) {
        if self.role == Role::Server {
            pack::pack(&words, width, self.payload);
        }
        let exchange = Exchange { count: words.len(), width, to: To::Client };
        self.enqueue(exchange, Content::Words(words));
    }

    /// What the previous round opened, in the order in which it was queued; empty at a party that
    /// does not learn it.
    pub fn opened(&mut self, i: usize) -> Vec<u64> {
        match std::mem::replace(&mut self.opened[i], Content::Words(Vec::new())) {
            Content::Words(words) => words,
            Content::Bits(bits) => pack::unpack_vec(&bits.bytes, 1, bits.count),
        }
    }

    /// [`Run::opened`] of [`Run::open_bits`]: `count` words of `group` bits.
    pub fn opened_bits(&mut self, i: usize, group: u32, count: usize) -> Vec<u64> {
        pack::unpack_vec(&self.packed_bits(i).bytes, group, count)
    }

    /// [`Run::opened`] of single bits, as they are.
    pub(crate) fn packed_bits(&mut self, i: usize) -> Bits {
        match std::mem::replace(&mut self.opened[i], Content::Bits(Bits::default())) {
            Content::Bits(bits) => bits,
            Content::Words(_) => panic!("exchange {i} opened words"),
        }
    }

    /// Keeps words for the gate's next call.
    pub fn keep(&mut self, words: Vec<u64>) {
        self.kept.push(words);
    }

    /// Words kept by the previous call.
    pub fn kept(&mut self, i: usize) -> Vec<u64> {
        std::mem::take(&mut self.kept[i])
    }

    /// Writes the next output.
    pub fn output(&mut self, value: Value) {
        self.outputs.push(Output::New(value));
    }

    /// Writes input `i`, as it is, as the next output: moved where nobody reads the input again.
    pub fn output_input(&mut self, i: usize) {
        self.outputs.push(Output::Input(i));
    }
}
