//! What a device is.

use crate::{error::Error, precision::Precision, program::Program};

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// What `--device` calls it.
    pub device: &'static str,
    /// Its maker's name for it.
    pub name: String,
    /// What stands between: the driver and its version, or the library.
    pub driver: String,
    /// The number formats that it computes in.
    pub precisions: Vec<Precision>,
    /// Whether a processor plays the device: its times say nothing of a GPU.
    pub software: bool,
}

impl Info {
    /// Whether the device computes in this format.
    ///
    /// # Errors
    /// [`Error::Precision`] where it does not.
    pub(crate) fn supports(&self, precision: Precision) -> Result<(), Error> {
        match self.precisions.contains(&precision) {
            true => Ok(()),
            false => {
                Err(Error::Precision { device: self.name.clone(), precision: precision.name() })
            }
        }
    }
}

/// What a device reaches at best, measured on it: the floor of a launch is what it takes at these rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Bytes that are read and written in a second, by a copy of 64 MiB.
    pub bytes: f64,
    /// Floating-point operations in a second, by chains of multiply-adds on a GPU, by a large product on a processor and
    /// in f32 on a card.
    pub operations: f64,
}

impl Ceilings {
    /// The least seconds of so many bytes and operations.
    pub fn floor(&self, bytes: u64, operations: u64) -> f64 {
        (bytes as f64 / self.bytes).max(operations as f64 / self.operations)
    }
}

/// Something that runs programs.
pub trait Device {
    /// What it is.
    fn info(&self) -> &Info;

    /// What it reaches in this format, measured now.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    fn ceilings(&self, precision: Precision) -> Result<Ceilings, Error>;

    /// A program on the device, for batches of `batch` inputs, with its weights there.
    ///
    /// # Errors
    /// [`Error::Precision`], [`Error::Memory`], [`Error::Compile`], [`Error::Stopped`].
    fn load<'a>(
        &'a self,
        program: &'a Program,
        batch: usize,
        precision: Precision,
    ) -> Result<Box<dyn Session + 'a>, Error>;
}

/// A program on a device.
pub trait Session {
    /// The results of a batch: `inputs` and what is returned lie one behind the other.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    ///
    /// # Panics
    /// Where `inputs` is not a batch.
    fn run(&mut self, inputs: &[f32]) -> Result<Vec<f32>, Error>;

    /// Seconds that the batch which ran last takes once more, with inputs and results where they are: without what a caller of
    /// [`run`](Session::run) waits for while numbers move. `None` where nothing moves.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    fn again(&mut self) -> Result<Option<f64>, Error>;

    /// Seconds of each launch, on the batch that ran last; `None` where the device has no clock. On a processor, what the
    /// threads took in all by their number.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    fn profile(&mut self) -> Result<Option<Vec<f64>>, Error>;
}
