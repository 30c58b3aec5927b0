//! What a kernel is: its formula, what it reads and costs, and its code for each device.

use std::fmt::Debug;

use sotto_models::layer::Section;

use crate::precision::Precision;

/// What a kernel reads, of one input of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Its name in the kernel's code.
    pub name: &'static str,
    /// Numbers that it holds.
    pub numbers: usize,
    /// Numbers of it that the kernel has to read.
    pub read: usize,
    /// Whether all inputs of a batch read the same: weights. Else each has its own, one behind the other.
    pub shared: bool,
}

impl Operand {
    /// Each input's own, which is read whole.
    pub fn whole(name: &'static str, numbers: usize) -> Self {
        Self { name, numbers, read: numbers, shared: false }
    }

    /// All inputs' own, which is read whole.
    pub fn weights(name: &'static str, numbers: usize) -> Self {
        Self { shared: true, ..Self::whole(name, numbers) }
    }
}

/// What a kernel's code is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// WebGPU's.
    Wgsl,
    /// NVIDIA's C++, whose code may depend on what numbers are stored as: tensor cores multiply halves.
    Cuda(Precision),
}

impl Language {
    /// Whether tensor cores may multiply: halves on a card.
    pub(crate) fn multiplies_halves(self) -> bool {
        matches!(self, Language::Cuda(Precision::F16 | Precision::Bf16))
    }
}

/// A kernel's code for one batch: `bodies` behind `constants` and the functions that depend on the kernel's shape.
#[derive(Clone, Debug)]
pub struct Code {
    /// Named numbers.
    pub constants: Vec<(&'static str, usize)>,
    /// Functions, or macros, that the bodies use.
    pub functions: String,
    /// Files that follow, in their order; the last has the entry.
    pub bodies: Vec<&'static str>,
    /// Workgroups.
    pub groups: [usize; 3],
    /// Invocations of a workgroup.
    pub threads: usize,
    /// Bytes of memory that a workgroup shares, beyond what the bodies declare. In CUDA alone.
    pub shared: usize,
}

/// One kernel with its shape, which is of one input: a device runs it for a batch of them, which lie one behind the other.
///
/// Constants (weights) are the same for all inputs.
pub trait Kernel: Debug + Send + Sync {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// What it reads, in the order of a launch's inputs.
    fn operands(&self) -> Vec<Operand>;

    /// Numbers in the buffer that it writes to, of one input.
    fn output(&self) -> usize;

    /// Numbers that it writes, of one input.
    fn written(&self) -> usize {
        self.output()
    }

    /// Floating-point operations for one input: two for each multiply-add of a product, one for each other sum, product,
    /// quotient, root, exponential or activation.
    fn operations(&self) -> u64;

    /// The definition, in f64 and number by number. What is not the kernel's own of `out` stays.
    fn definition(&self, inputs: &[&[f64]], out: &mut [f64]);

    /// The same on this processor, in f32.
    fn host(&self, inputs: &[&[f32]], out: &mut [f32]);

    /// Its code for a GPU.
    fn code(&self, language: Language, batch: usize) -> Code;
}

/// A kernel at its place in a program.
#[derive(Debug)]
pub struct Launch {
    /// Part of the model that it computes.
    pub section: Section,
    /// What is computed.
    pub kernel: Box<dyn Kernel>,
    /// What it reads, for each of the kernel's operands.
    pub inputs: Vec<Source>,
    /// The buffer that it writes to, which is none that it reads.
    pub output: usize,
}

/// Where a launch reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Weights, by their place in the program's constants.
    Constant(usize),
    /// An activation, by its place in the program's buffers.
    Buffer(usize),
}

impl Launch {
    /// Fewest bytes that move for a batch, with numbers of `width` bytes: everything that is read or written, once.
    pub fn bytes(&self, batch: usize, width: usize) -> u64 {
        let read = self.kernel.operands().into_iter().zip(&self.inputs).map(|(operand, source)| {
            match source {
                Source::Constant(_) => operand.read,
                Source::Buffer(_) => operand.read * batch,
            }
        });
        (width * (read.sum::<usize>() + self.kernel.written() * batch)) as u64
    }

    /// Floating-point operations for a batch.
    pub fn operations(&self, batch: usize) -> u64 {
        self.kernel.operations() * batch as u64
    }
}
