//! A model as a static list of launches.

use crate::kernel::{Kernel, Launch, Source};
use sotto_models::layer::Section;

/// A static list of launches that computes a model's result for each input of a batch.
///
/// Buffers are shared: an activation's place is given to a later one when its last reader has run.
#[derive(Default)]
pub struct Program {
    /// Weights. Security: they are the model owner's secret; a device holds them as long as the session.
    pub constants: Vec<Vec<f32>>,
    /// Numbers in each buffer, of one input.
    pub buffers: Vec<usize>,
    /// The launches, in their order.
    pub launches: Vec<Launch>,
    /// The buffer that the caller fills, and its numbers of one input.
    pub input: (usize, usize),
    /// The buffer of the result, and its numbers of one input.
    pub output: (usize, usize),
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (launches, buffers) = (self.launches.len(), self.buffers.len());
        write!(f, "Program {{ {launches} launches, {buffers} buffers, .. }}")
    }
}

impl Program {
    /// One kernel: its first operand is the input, the others are weights, whose numbers follow from their place.
    ///
    /// # Panics
    /// For a kernel with another operand that each input has of its own, as a residual is.
    pub fn alone(kernel: impl Kernel + 'static) -> Self {
        let operands = kernel.operands();
        let (mut writer, input) = Writer::new(operands[0].numbers);
        let number = |i: usize| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 1.7;
        let constants = (0..).zip(&operands[1..]).map(|(at, operand)| {
            let values: Vec<f32> = (0..operand.numbers).map(|i| number(i + 31 * at)).collect();
            writer.constant(&values)
        });
        let inputs: Vec<Tensor> = constants.collect();
        let made = writer.launch(kernel, &[&[input], &inputs[..]].concat());
        writer.finish(made)
    }

    /// Floating-point operations for a batch.
    pub fn operations(&self, batch: usize) -> u64 {
        self.launches.iter().map(|launch| launch.operations(batch)).sum()
    }

    /// Bytes that a device holds for a batch, with numbers of `width` bytes.
    pub fn memory(&self, batch: usize, width: usize) -> u64 {
        let constants: usize = self.constants.iter().map(Vec::len).sum();
        (width * (constants + batch * self.buffers.iter().sum::<usize>())) as u64
    }

    /// The result for each input, by the kernels' definitions in f64: slow.
    ///
    /// # Panics
    /// Where an input does not have the program's size.
    pub fn definition(&self, input: &[f32]) -> Vec<f64> {
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let constants: Vec<Vec<f64>> = self.constants.iter().map(|c| wide(c)).collect();
        // A number that nobody wrote must not go unseen.
        let mut buffers: Vec<Vec<f64>> = self.buffers.iter().map(|&n| vec![f64::NAN; n]).collect();
        assert_eq!(input.len(), self.input.1, "definition: an input of another size");
        buffers[self.input.0][..input.len()].copy_from_slice(&wide(input));
        for launch in &self.launches {
            let mut out = std::mem::take(&mut buffers[launch.output]);
            let operands = launch.kernel.operands();
            let inputs: Vec<&[f64]> = (launch.inputs.iter().zip(&operands))
                .map(|(source, operand)| match *source {
                    Source::Constant(at) => &constants[at][..],
                    Source::Buffer(at) => &buffers[at][..operand.numbers],
                })
                .collect();
            launch.kernel.definition(&inputs, &mut out[..launch.kernel.output()]);
            buffers[launch.output] = out;
        }
        buffers[self.output.0][..self.output.1].to_vec()
    }
}

/// A tensor of a program that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tensor {
    /// Weights.
    Constant(usize),
    /// The caller's, or a launch's result.
    Value(usize),
}

struct Step {
    section: Section,
    kernel: Box<dyn Kernel>,
    inputs: Vec<Tensor>,
    output: usize,
}

/// Writes a program: each launch makes a tensor; places follow from lifetimes in the end.
pub(crate) struct Writer {
    constants: Vec<Vec<f32>>,
    /// Numbers of each value.
    values: Vec<usize>,
    steps: Vec<Step>,
    section: Section,
}

impl Writer {
    /// With the caller's tensor, which is value 0.
    pub(crate) fn new(input: usize) -> (Self, Tensor) {
        let section = Section::Input;
        let writer =
            Self { constants: Vec::new(), values: vec![input], steps: Vec::new(), section };
        (writer, Tensor::Value(0))
    }

    /// What follows belongs to this part of the model.
    pub(crate) fn section(&mut self, section: Section) {
        self.section = section;
    }

    pub(crate) fn constant(&mut self, values: &[f32]) -> Tensor {
        self.constants.push(values.to_vec());
        Tensor::Constant(self.constants.len() - 1)
    }

    /// A launch with a result of its own.
    pub(crate) fn launch(&mut self, kernel: impl Kernel + 'static, inputs: &[Tensor]) -> Tensor {
        self.values.push(kernel.output());
        let made = Tensor::Value(self.values.len() - 1);
        self.launch_into(made, kernel, inputs);
        made
    }

    /// A launch that writes its part of what another has made.
    ///
    /// # Panics
    /// Where an operand has another size than the kernel says, or is weights where each input has its own, or the reverse: a
    /// device would read beyond it.
    pub(crate) fn launch_into(
        &mut self,
        made: Tensor,
        kernel: impl Kernel + 'static,
        inputs: &[Tensor],
    ) {
        let (kernel, inputs): (Box<dyn Kernel>, _) = (Box::new(kernel), inputs.to_vec());
        let Tensor::Value(output) = made else { panic!("{kernel:?} writes into weights") };
        let operands = kernel.operands();
        assert_eq!(operands.len(), inputs.len(), "{kernel:?}: number of operands");
        for (operand, input) in operands.iter().zip(&inputs) {
            let (got, shared) = match *input {
                Tensor::Constant(at) => (self.constants[at].len(), true),
                Tensor::Value(at) => (self.values[at], false),
            };
            let want = (operand.numbers, operand.shared);
            assert_eq!((got, shared), want, "{kernel:?}: numbers in `{}`, shared", operand.name);
        }
        assert_eq!(self.values[output], kernel.output(), "{kernel:?}: numbers in its result");
        self.steps.push(Step { section: self.section, kernel, inputs, output });
    }

    /// The program whose result is this tensor.
    pub(crate) fn finish(self, result: Tensor) -> Program {
        let Tensor::Value(result) = result else { panic!("weights are no result") };
        let mut last = vec![0; self.values.len()];
        for (at, step) in self.steps.iter().enumerate() {
            let read = step.inputs.iter().filter_map(|input| match *input {
                Tensor::Value(value) => Some(value),
                Tensor::Constant(_) => None,
            });
            read.chain([step.output]).for_each(|value| last[value] = at);
        }
        last[result] = self.steps.len();
        let mut buffers = vec![self.values[0]];
        let mut place = vec![None; self.values.len()];
        place[0] = Some(0);
        let mut free: Vec<usize> = Vec::new();
        let mut launches = Vec::with_capacity(self.steps.len());
        for (at, step) in self.steps.into_iter().enumerate() {
            let numbers = self.values[step.output];
            // Taken before the step's inputs are free: a launch never writes where it reads.
            let output = *place[step.output].get_or_insert_with(|| match free.pop() {
                Some(buffer) => {
                    buffers[buffer] = buffers[buffer].max(numbers);
                    buffer
                }
                None => {
                    buffers.push(numbers);
                    buffers.len() - 1
                }
            });
            let mut ended: Vec<usize> = Vec::new();
            let inputs = step.inputs.iter().map(|input| match *input {
                Tensor::Constant(at) => Source::Constant(at),
                Tensor::Value(value) => {
                    let buffer = place[value].expect("a tensor is made before it is read");
                    if last[value] == at && !ended.contains(&buffer) {
                        ended.push(buffer);
                    }
                    Source::Buffer(buffer)
                }
            });
            let inputs = inputs.collect();
            free.extend(ended);
            launches.push(Launch { section: step.section, kernel: step.kernel, inputs, output });
        }
        Program {
            constants: self.constants,
            buffers,
            launches,
            input: (0, self.values[0]),
            output: (place[result].expect("a launch makes the result"), self.values[result]),
        }
    }
}
