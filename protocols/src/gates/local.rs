//! Local operations on shares that move or add words and cost nothing: sum, slice, permutation,
//! concatenation, row sums, sums along columns, reduction to a smaller ring, doubling of the scale.

use sotto_ring::permute::permuted;

use crate::{
    deal::{Dealing, Known},
    encode,
    encode::Encode,
    gate::Gate,
    making::{Held, Making},
    party::{Run, Value},
    plan::Trace,
    simulate::Simulation,
    spec::{Spec, Wire},
};

#[derive(Debug)]
enum Kind {
    Add,
    Reshape,
    Permute(Vec<usize>),
    Pick(usize, Vec<usize>),
    Concat(usize),
    SumAxis(usize),
    Shift(u32),
    Negate,
    Constant(i64),
    Columns(i64),
}

impl Encode for Kind {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Kind::Add => 0u8.encode(out),
            Kind::Reshape => 1u8.encode(out),
            Kind::Permute(axes) => (2u8, axes).encode(out),
            Kind::Pick(axis, indices) => (3u8, (axis, indices)).encode(out),
            Kind::Concat(axis) => (4u8, axis).encode(out),
            Kind::SumAxis(axis) => (5u8, axis).encode(out),
            Kind::Shift(bits) => (6u8, bits).encode(out),
            Kind::Negate => 7u8.encode(out),
            Kind::Constant(c) => (8u8, c).encode(out),
            Kind::Columns(factor) => (9u8, factor).encode(out),
        }
    }
}

#[derive(Debug)]
struct Local {
    kind: Kind,
    inputs: Vec<Vec<usize>>,
    output: Spec,
}

encode!(Local { kind, inputs, output });

impl Trace {
    fn local(&mut self, kind: Kind, inputs: &[Wire], output: Spec) -> Wire {
        let shapes = inputs.iter().map(|&w| self.spec(w).shape.clone()).collect();
        self.add(Local { kind, inputs: shapes, output }, inputs)
    }

    /// `a + b` in the smaller of the two rings.
    pub fn sum(&mut self, a: Wire, b: Wire) -> Wire {
        let (sa, sb) = (self.spec(a).clone(), self.spec(b).clone());
        assert_eq!(sa.shape, sb.shape, "shapes of a sum");
        assert_eq!(sa.scale, sb.scale, "scales of a sum");
        let width = sa.share_width().min(sb.share_width());
        self.local(Kind::Add, &[a, b], Spec::share(&sa.shape, width, sa.scale))
    }

    /// `x + constant`, a public integer at the scale of `x`.
    pub fn add_constant(&mut self, x: Wire, constant: i64) -> Wire {
        let output = self.spec(x).clone();
        self.local(Kind::Constant(constant), &[x], output)
    }

    /// `x + factor columns` for `x` of shape `(batch, .., n)` and `columns` of `(batch, n)` integers, which all rows of an
    /// input share. The result has the scale of `x`.
    pub fn add_to_columns(&mut self, x: Wire, columns: Wire, factor: i64) -> Wire {
        let (spec, added) = (self.spec(x).clone(), self.spec(columns).clone());
        let (first, last) = (spec.shape.first().copied(), spec.shape.last().copied());
        assert_eq!(
            vec![first, last],
            added.shape.iter().map(|&n| Some(n)).collect::<Vec<_>>(),
            "columns of a sum"
        );
        assert!(added.share_width() >= spec.share_width(), "columns in a smaller ring");
        self.local(Kind::Columns(factor), &[x, columns], spec)
    }

    /// `x` in the ring `2^width`.
    pub fn reduce(&mut self, x: Wire, width: u32) -> Wire {
        let spec = self.spec(x).clone();
        assert!(spec.share_width() >= width, "reduce to a larger ring");
        if spec.share_width() == width {
            return x;
        }
        let output = Spec::share(&spec.shape, width, spec.scale);
        self.local(Kind::Reshape, &[x], output)
    }

    /// The same elements in another shape.
    pub fn reshape(&mut self, x: Wire, shape: &[usize]) -> Wire {
        let output = self.spec(x).reshaped(shape);
        self.local(Kind::Reshape, &[x], output)
    }

    /// Axes in another order.
    pub fn permute(&mut self, x: Wire, axes: &[usize]) -> Wire {
        let mut output = self.spec(x).clone();
        output.shape = axes.iter().map(|&a| output.shape[a]).collect();
        self.local(Kind::Permute(axes.to_vec()), &[x], output)
    }

    /// The entries `indices` along `axis`.
    pub fn pick(&mut self, x: Wire, axis: usize, indices: &[usize]) -> Wire {
        let mut output = self.spec(x).clone();
        if indices.iter().copied().eq(0..output.shape[axis]) {
            return x;
        }
        output.shape[axis] = indices.len();
        self.local(Kind::Pick(axis, indices.to_vec()), &[x], output)
    }

    /// Parts one after the other along `axis`.
    pub fn concat(&mut self, axis: usize, parts: &[Wire]) -> Wire {
        if let [one] = parts {
            return *one;
        }
        let mut output = self.spec(parts[0]).clone();
        for &p in parts {
            let spec = self.spec(p);
            assert_eq!(spec.kind, output.kind, "rings of a concatenation");
            assert_eq!(spec.scale, output.scale, "scales of a concatenation");
        }
        output.shape[axis] = parts.iter().map(|&p| self.spec(p).shape[axis]).sum();
        self.local(Kind::Concat(axis), parts, output)
    }

    /// Sums over the last axis.
    pub fn sum_last(&mut self, x: Wire) -> Wire {
        let axes = self.spec(x).shape.len();
        self.sum_axis(x, axes - 1)
    }

    /// Sums over `axis`, which disappears from the shape.
    pub fn sum_axis(&mut self, x: Wire, axis: usize) -> Wire {
        let mut output = self.spec(x).clone();
        output.shape.remove(axis);
        self.local(Kind::SumAxis(axis), &[x], output)
    }

    /// `x 2^bits`: an integer multiple, at the same scale, in a ring as many bits wider.
    pub fn shift_left(&mut self, x: Wire, bits: u32) -> Wire {
        let spec = self.spec(x).clone();
        if bits == 0 {
            return x;
        }
        let width = (spec.share_width() + bits).min(64);
        let output = Spec::share(&spec.shape, width, spec.scale);
        self.local(Kind::Shift(bits), &[x], output)
    }

    /// `-x`.
    pub fn negate(&mut self, x: Wire) -> Wire {
        let output = self.spec(x).clone();
        self.local(Kind::Negate, &[x], output)
    }

    /// The same integers read at another scale: a division by a power of two that costs nothing.
    pub fn rescale(&mut self, x: Wire, scale: u32) -> Wire {
        let mut output = self.spec(x).clone();
        output.scale = scale;
        self.local(Kind::Reshape, &[x], output)
    }
}

impl Local {
    fn apply(&self, inputs: &[&[u64]], constants: bool) -> Vec<u64> {
        match &self.kind {
            Kind::Add => {
                (inputs[0].iter().zip(inputs[1])).map(|(&a, &b)| a.wrapping_add(b)).collect()
            }
            Kind::Reshape => inputs[0].to_vec(),
            Kind::Permute(axes) => permuted(inputs[0], &self.inputs[0], axes),
            Kind::Pick(axis, indices) => {
                let shape = &self.inputs[0];
                let inner: usize = shape[axis + 1..].iter().product();
                let block = shape[*axis] * inner;
                let mut out = Vec::with_capacity(self.output.count());
                for outer in inputs[0].chunks_exact(block) {
                    for &i in indices {
                        out.extend_from_slice(&outer[i * inner..(i + 1) * inner]);
                    }
                }
                out
            }
            Kind::Concat(axis) => {
                let block = |shape: &[usize]| shape[*axis..].iter().product::<usize>();
                let blocks: Vec<usize> = self.inputs.iter().map(|s| block(s)).collect();
                let mut out = Vec::with_capacity(self.output.count());
                for outer in 0..self.output.shape[..*axis].iter().product() {
                    for (part, block) in inputs.iter().zip(&blocks) {
                        out.extend_from_slice(&part[outer * block..(outer + 1) * block]);
                    }
                }
                out
            }
            Kind::SumAxis(axis) => {
                let inner: usize = self.inputs[0][axis + 1..].iter().product();
                let blocks = inputs[0].chunks_exact(self.inputs[0][*axis] * inner);
                if inner == 1 {
                    return blocks.map(sum).collect();
                }
                let mut out = vec![0u64; self.output.count()];
                for (out, block) in out.chunks_exact_mut(inner).zip(blocks) {
                    for row in block.chunks_exact(inner) {
                        out.iter_mut().zip(row).for_each(|(o, x)| *o = o.wrapping_add(*x));
                    }
                }
                out
            }
            Kind::Shift(bits) => inputs[0].iter().map(|&x| x << bits).collect(),
            Kind::Negate => inputs[0].iter().map(|&x| x.wrapping_neg()).collect(),
            Kind::Constant(c) => {
                let c = if constants { *c as u64 } else { 0 };
                inputs[0].iter().map(|&x| x.wrapping_add(c)).collect()
            }
            Kind::Columns(factor) => {
                let [batch, n] = self.inputs[1][..] else {
                    panic!("columns of shape {:?}", self.inputs[1])
                };
                let each = inputs[0].chunks_exact(inputs[0].len() / batch);
                let each = each.zip(inputs[1].chunks_exact(n));
                let add = |(&x, &c): (&u64, &u64)| x.wrapping_add(c.wrapping_mul(*factor as u64));
                let rows = each.flat_map(|(x, c)| x.chunks_exact(n).map(move |row| (row, c)));
                rows.flat_map(|(row, c)| row.iter().zip(c).map(add)).collect()
            }
        }
    }
}

fn sum(words: &[u64]) -> u64 {
    words.iter().fold(0, |s, &x| s.wrapping_add(x))
}

impl Gate for Local {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Add | Kind::Columns(_) => "sum",
            Kind::Reshape => "reshape",
            Kind::Permute(_) => "permute",
            Kind::Pick(..) => "pick",
            Kind::Concat(_) => "concat",
            Kind::SumAxis(_) => "row sum",
            Kind::Shift(_) => "shift",
            Kind::Negate => "negate",
            Kind::Constant(_) => "constant",
        }
    }

    fn outputs(&self) -> Vec<Spec> {
        vec![self.output.clone()]
    }

    fn deal(&self, dealing: &mut Dealing<'_>) {
        dealing.output(Known::Nothing);
    }

    fn make(&self, making: &mut Making<'_>) {
        making.output(Held::Nothing);
    }

    fn run(&self, _: usize, run: &mut Run<'_>) {
        if let Kind::Reshape = self.kind {
            return run.output_input(0);
        }
        let inputs: Vec<&[u64]> = (0..self.inputs.len()).map(|i| run.share(i)).collect();
        let out = self.apply(&inputs, run.is_server());
        run.output(Value::Share(out));
    }

    fn simulate(&self, sim: &mut Simulation<'_>) {
        let words: Vec<Vec<u64>> =
            (sim.inputs.iter()).map(|v| v.iter().map(|&x| x as u64).collect()).collect();
        let words: Vec<&[u64]> = words.iter().map(|v| &v[..]).collect();
        let out = self.apply(&words, true);
        sim.output(out.into_iter().map(|x| x as i64).collect());
    }
}

#[cfg(test)]
mod tests {
    use crate::{plan::Trace, testing::Bench};

    #[test]
    fn every_local_operation_is_exact() {
        let mut bench = Bench::new(5);
        let mut t = Trace::new();
        let x = t.input(&[2, 3, 4], 30, 8);
        let p = t.permute(x, &[2, 0, 1]);
        let m = t.sum_axis(x, 1);
        let q = t.pick(p, 0, &[3, 1]);
        let q2 = t.pick(p, 0, &[0, 2]);
        let q = t.concat(0, &[q, q2]);
        let q = t.reduce(q, 26);
        let s = t.sum(p, q);
        let s = t.add_constant(s, -77);
        let s = t.negate(s);
        let s = t.shift_left(s, 3);
        let s = t.reshape(s, &[4, 6]);
        let s = t.sum_last(s);
        let y = t.reveal(s, 29);
        let m = t.reveal(m, 30);
        let plan = t.finish(&[y, m]);
        let input = bench.signed(24, 15);
        let result = bench.run_shared(&plan, Vec::new(), std::slice::from_ref(&input));
        result.check_exact();
        for (i, &sum) in result.outputs[1].iter().enumerate() {
            let column = (0..3).map(|j| input[i / 4 * 12 + j * 4 + i % 4]);
            assert_eq!(sum, column.sum::<i64>());
        }
        assert_eq!(plan.online().flights, 1);
    }

    #[test]
    fn columns_are_added_to_every_row_of_their_input() {
        let mut bench = Bench::new(6);
        let mut t = Trace::new();
        let x = t.input(&[2, 3, 2, 4], 30, 8);
        let columns = t.input(&[2, 4], 64, 0);
        let y = t.add_to_columns(x, columns, -5);
        let y = t.reveal(y, 30);
        let plan = t.finish(&[y]);
        let inputs = [bench.signed(48, 15), bench.signed(8, 15)];
        let result = bench.run_shared(&plan, Vec::new(), &inputs);
        result.check_exact();
        for (i, &y) in result.outputs[0].iter().enumerate() {
            assert_eq!(y, inputs[0][i] - 5 * inputs[1][i / 24 * 4 + i % 4]);
        }
        assert_eq!(plan.online().flights, 1, "the sum is local");
    }
}
