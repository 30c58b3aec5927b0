//! What flows between gates: wires, their kinds, ring widths and scales.

use crate::{encode, encode::Encode};

/// One of the two parties that evaluate the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Party 0: owns the weights.
    Server,
    /// Party 1: owns the input.
    Client,
}

impl Role {
    /// 0 for the server, 1 for the client.
    pub fn index(self) -> usize {
        match self {
            Role::Server => 0,
            Role::Client => 1,
        }
    }

    /// The other party.
    pub fn peer(self) -> Role {
        match self {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        }
    }

    /// The name that errors use.
    pub fn name(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
        }
    }
}

/// A value of the plan, written once by one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wire(pub(crate) u32);

impl Encode for Wire {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Wire {
    /// Position in the plan's list of wires.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// How the two parties hold a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `x = x0 + x1 mod 2^width`, each party one summand.
    Share {
        /// Ring width in bits.
        width: u32,
    },
    /// Both know `c = x + offset + r mod 2^width`; the dealer knows the mask `r`.
    Opened {
        /// Opened width in bits.
        width: u32,
        /// Public number that moves the range of `x` into `[0, 2^width)`.
        offset: u64,
    },
    /// `x = P_0 D_0 + P_1 D_1 + ...` mod 2^64 with public `P_j` and dealer-known `D_j`:
    /// what every value is right after an opening.
    Form {
        /// The terms of the sum.
        terms: Vec<Term>,
    },
}

impl Encode for Kind {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Kind::Share { width } => (0u8, width).encode(out),
            Kind::Opened { width, offset } => (1u8, (width, offset)).encode(out),
            Kind::Form { terms } => (2u8, terms).encode(out),
        }
    }
}

/// One summand of a form: a public factor times a dealer-known factor, either of which may be the
/// constant 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Has a public factor other than 1.
    pub public: bool,
    /// Has a dealer-known factor other than 1.
    pub known: bool,
    /// The dealer-known factor is a multiple of `2^shift`: its shares need as many bits less.
    pub shift: u32,
    /// Of the dealer-known factor, divided by `2^shift`, the parties have additive shares in every ring: lifting needs no others.
    pub shared: bool,
}

encode!(Term { public, known, shift, shared });

impl Term {
    /// A public value.
    pub const PUBLIC: Term = Term { public: true, known: false, shift: 0, shared: false };
    /// A dealer-known value.
    pub const KNOWN: Term = Term { public: false, ..Term::BOTH };
    /// Their product.
    pub const BOTH: Term = Term { public: true, known: true, shift: 0, shared: false };

    /// The same with a dealer-known factor that is a multiple of `2^shift`.
    pub const fn multiple_of(self, shift: u32) -> Term {
        Term { shift, ..self }
    }

    /// The same with shares of the dealer-known factor at the parties.
    pub const fn shared(self) -> Term {
        Term { shared: true, ..self }
    }
}

/// Shape, scale and kind of a wire; all public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Dimensions, row-major.
    pub shape: Vec<usize>,
    /// Fractional bits: the real value is the integer divided by `2^scale`.
    pub scale: u32,
    /// How it is held.
    pub kind: Kind,
}

encode!(Spec { shape, scale, kind });

impl Spec {
    /// A shared tensor.
    pub fn share(shape: &[usize], width: u32, scale: u32) -> Self {
        assert!((1..=64).contains(&width), "ring width {width} is not in 1..=64");
        Self { shape: shape.to_vec(), scale, kind: Kind::Share { width } }
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Ring width of a share.
    ///
    /// # Panics
    /// When the wire is not a share: the model's description is wrong.
    pub fn share_width(&self) -> u32 {
        match self.kind {
            Kind::Share { width } => width,
            _ => panic!("a share is needed here, the wire is {:?}", self.kind),
        }
    }

    /// Opened width and offset.
    ///
    /// # Panics
    /// When the wire is not an opening.
    pub fn opened(&self) -> (u32, u64) {
        match self.kind {
            Kind::Opened { width, offset } => (width, offset),
            _ => panic!("an opened value is needed here, the wire is {:?}", self.kind),
        }
    }

    /// The same wire with another shape of the same size.
    pub fn reshaped(&self, shape: &[usize]) -> Self {
        let new = Self { shape: shape.to_vec(), ..self.clone() };
        assert_eq!(new.count(), self.count(), "reshape {:?} to {:?}", self.shape, shape);
        new
    }
}
