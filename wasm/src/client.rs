//! The client of one evaluation, of which nothing is borrowed.

use sotto_crypto::Seed;
use sotto_models::{Calibration, Model, Private, private::Options};
use sotto_protocols::{
    Role,
    batch::Batch,
    party::{self, Evaluation, Party},
    weights::read_setup,
};

use crate::parts::take;

/// What the client wants next.
pub enum Turn {
    /// Send the message, unless it is empty, and hand in the server's of so many bytes, unless there are none.
    Exchange(Vec<u8>, usize),
    /// The logits.
    Done(Vec<f64>),
}

/// The client of one evaluation. No `Debug`: it is secret.
pub struct Client {
    private: &'static Private,
    evaluation: Evaluation<'static>,
}

impl Client {
    /// Begins from these parts: the model's description and calibration as a card has them, the masked weights, the
    /// batch's seed, and the picture's numbers as they are before the first layer (f32, little end first).
    ///
    /// Plan and weights stay in memory for good: an instance of the module is one client's.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn begin(mut parts: &[u8]) -> Result<Self, String> {
        let mut part = |name: &str| take(&mut parts).ok_or(format!("the {name} is missing"));
        let mut text = |name: &str| {
            let text = String::from_utf8(part(name)?.to_vec());
            text.map_err(|_| format!("the {name} is no text"))
        };
        let model = Model::from_toml(&text("description")?).map_err(|e| e.to_string())?;
        let calibration =
            Calibration::from_toml(&text("calibration")?).map_err(|e| e.to_string())?;
        let private = Private::new(model, &calibration, 1, Options::default());
        let private: &Private = Box::leak(Box::new(private.map_err(|e| e.to_string())?));
        let plan = &*private.plan;
        let weights = read_setup(plan, part("masked weights")?.to_vec(), "server");
        let weights = &*Box::leak(Box::new(weights.map_err(|e| e.to_string())?));
        let seed = part("seed")?.try_into().map_err(|_| "the seed has not 32 bytes".to_owned())?;
        let batch = Batch { id: 0, seed: Seed::from_bytes(seed), corrections: None };
        let staged = batch.stage(plan, Role::Client, weights).map_err(|e| e.to_string())?;
        let (numbers, rest) = part("picture")?.as_chunks();
        let input: Vec<f32> = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
        if !rest.is_empty() {
            return Err("the picture has a piece of a number".into());
        }
        private.check_input(&input).map_err(|e| e.to_string())?;
        let party = Party { role: Role::Client, plan, weights };
        let evaluation = Evaluation::new(&party, staged, &private.encode(&[input]));
        Ok(Self { private, evaluation: evaluation.map_err(|e| e.to_string())? })
    }

    /// Works until there is something to send or to wait for.
    ///
    /// # Panics
    /// When the server's message of the last turn is still due.
    pub fn turn(&mut self) -> Turn {
        match self.evaluation.turn() {
            party::Turn::Exchange { send, expect, .. } => Turn::Exchange(send, expect),
            party::Turn::Done(done) => {
                let logits = done.outputs.first().map(|output| self.private.decode(output));
                Turn::Done(logits.into_iter().flatten().flatten().collect())
            }
        }
    }

    /// Takes the server's message in.
    ///
    /// # Errors
    /// When it is not the one that is due.
    pub fn receive(&mut self, message: &[u8]) -> Result<(), String> {
        self.evaluation.receive(message).map_err(|e| e.to_string())
    }
}
