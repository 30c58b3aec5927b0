//! What a machine can do: seconds of every gate and message, measured by [`calibrate`](crate::calibrate).

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{Deserialize, Serialize};
use sotto_protocols::{
    Role,
    gate::Draw,
    make::Effort,
    plan::{Node, Plan},
    spec::{Kind, Spec},
};

use crate::Error;

/// Version of the profile's file; it changes with the gates' internals.
const VERSION: u32 = 2;

/// When a step of a gate happens, and at whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// At the dealer.
    Deal,
    /// At a party, before the input is known.
    Stage(Role),
    /// At a party after: the gate's call of this number.
    Run(Role, usize),
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::Deal => write!(f, "deal"),
            Phase::Stage(role) => write!(f, "stage {}", role.name()),
            Phase::Run(role, round) => write!(f, "run {} {round}", role.name()),
        }
    }
}

/// Seconds of a step as a sum: for each call, each multiply-add, each element read or written, each
/// byte of correlations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Seconds a call.
    #[serde(default)]
    pub call: f64,
    /// Seconds a multiply-add.
    #[serde(default)]
    pub work: f64,
    /// Seconds an element.
    #[serde(default)]
    pub element: f64,
    /// Seconds a byte of masks, shares and one-hots.
    #[serde(default)]
    pub byte: f64,
}

impl Rate {
    /// Of a step of this work, elements and bytes.
    fn seconds(&self, [work, elements, bytes]: [f64; 3]) -> f64 {
        self.call + self.work * work + self.element * elements + self.byte * bytes
    }
}

/// Seconds of messages over QUIC on this machine, where the network adds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// Seconds from a party's `send` to the other's having a short message.
    pub fixed: f64,
    /// More seconds for each byte, both sending at once.
    pub byte: f64,
    /// Seconds a byte in a long one-way stream.
    pub stream_byte: f64,
    /// Seconds that cores are busy with its byte, at both ends together.
    pub stream_work: f64,
    /// Seconds for unpacking an element that a message opened.
    pub element: f64,
}

/// Seconds a byte of masked weights, once for each client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupRates {
    /// Drawing the masks, at dealer and server.
    pub expand: f64,
    /// Masking the weights, at the server.
    pub mask: f64,
    /// Reading them, at the client.
    pub read: f64,
}

/// A machine's profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Version of this format.
    pub version: u32,
    /// What the machine says it is.
    pub processor: String,
    /// Cores that a party can use.
    pub cores: usize,
    /// Messages.
    pub messages: Messages,
    /// Setup.
    pub setup: SetupRates,
    /// Gate, phase, seconds.
    pub gates: BTreeMap<String, BTreeMap<String, Rate>>,
    /// Seconds of what two parties do where there is no dealer, by kind; none in profiles of before that.
    #[serde(default)]
    pub making: BTreeMap<String, Rate>,
}

/// Multiply-adds, elements and bytes of correlations of a step.
pub(crate) fn size(plan: &Plan, node: &Node, phase: Phase) -> [f64; 3] {
    let work = node.gate.work();
    let work = match phase {
        Phase::Deal => work.dealer,
        Phase::Stage(role) => work.offline[role.index()],
        Phase::Run(role, _) => work.online[role.index()],
    };
    let elements = |spec: &Spec| {
        let each = match &spec.kind {
            Kind::Form { terms } => terms.len(),
            _ => 1,
        };
        spec.count() * each
    };
    let wires = node.inputs.iter().chain(&node.outputs);
    let elements: usize = wires.map(|w| elements(&plan.wires[w.index()])).sum();
    let bytes: usize = node.gate.draws().iter().map(Draw::packed_len).sum();
    [work as f64, elements as f64, bytes as f64]
}

impl Machine {
    /// A profile of this program's version.
    pub(crate) fn new(processor: String, messages: Messages, setup: SetupRates) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (gates, making) = (BTreeMap::new(), BTreeMap::new());
        Self { version: VERSION, processor, cores, messages, setup, gates, making }
    }

    /// The machine that the project's measurements were made on: 2 cores of an Intel Xeon (Sapphire Rapids); what two parties make
    /// was measured on 2 cores of an AMD EPYC (Zen 4).
    pub fn reference() -> Self {
        Self::from_json(include_str!("reference.json")).expect("a test reads the embedded profile")
    }

    /// A profile from JSON.
    ///
    /// # Errors
    /// [`Error::Input`] that says how to make one.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let refused = |why: String| {
            Error::Input(format!(
                "this is not a machine profile ({why}); make one with `sotto calibrate-machine --out machine.json`"
            ))
        };
        let machine: Self = serde_json::from_str(text).map_err(|e| refused(e.to_string()))?;
        if machine.version != VERSION {
            return Err(refused(format!("its version is {}, not {VERSION}", machine.version)));
        }
        let Messages { fixed, byte, stream_byte, stream_work, element } = machine.messages;
        let SetupRates { expand, mask, read } = machine.setup;
        let rates =
            machine.gates.values().flat_map(BTreeMap::values).chain(machine.making.values());
        let mut seconds = rates.flat_map(|r| [r.call, r.work, r.element, r.byte]).chain([
            fixed,
            byte,
            stream_byte,
            stream_work,
            element,
            expand,
            mask,
            read,
        ]);
        if machine.cores == 0 || !seconds.all(|s| (0.0..1e3).contains(&s)) {
            return Err(refused("a number in it is negative or absurd".into()));
        }
        Ok(machine)
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Input`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Io { what: format!("read {}", path.display()), error })?;
        Self::from_json(&text)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and names are plain data")
    }

    /// Seconds of a step of `node`.
    ///
    /// # Errors
    /// [`Error::Input`] when the profile does not know the gate.
    pub fn seconds(&self, plan: &Plan, node: &Node, phase: Phase) -> Result<f64, Error> {
        let name = node.gate.name();
        let rate = self.gates.get(name).and_then(|phases| phases.get(&phase.to_string()));
        let rate = rate.ok_or_else(|| {
            Error::Input(format!(
                "the machine profile ({}) does not know `{phase}` of gate `{name}`, which the plan uses; make it again \
                 with this version: `sotto calibrate-machine --out machine.json`",
                self.processor
            ))
        })?;
        Ok(rate.seconds(size(plan, node, phase)))
    }

    /// Seconds of a piece of making a batch.
    ///
    /// # Errors
    /// [`Error::Input`] when the profile does not know its kind.
    pub fn making(&self, (kind, size): Effort) -> Result<f64, Error> {
        let rate = self.making.get(kind).ok_or_else(|| {
            Error::Input(format!(
                "the machine profile ({}) does not know `{kind}` of making correlations; make it again with this version: \
                 `sotto calibrate-machine --out machine.json`",
                self.processor
            ))
        })?;
        Ok(rate.seconds(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_profile_is_one() {
        let machine = Machine::reference();
        assert!(machine.gates.len() > 10 && machine.cores >= 1);
        assert_eq!(Machine::from_json(&machine.to_json()).unwrap(), machine);
    }

    #[test]
    fn other_files_are_refused_with_the_command_that_makes_one() {
        let mut absurd = Machine::reference();
        absurd.messages.fixed = -1.0;
        let mut old = Machine::reference();
        old.version = 0;
        for text in ["", "{}", &absurd.to_json(), &old.to_json()] {
            let message = Machine::from_json(text).unwrap_err().to_string();
            assert!(message.contains("calibrate-machine"), "{message}");
        }
    }
}
