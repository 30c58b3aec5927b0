//! Dense row-major tensors of ring words.

use std::fmt;

mod arith;
mod wipe;

/// A dense row-major tensor of `u64` words.
///
/// The words carry no ring width of their own: arithmetic wraps mod 2^64, which is exact mod 2^w.
///
/// Security: `Debug` prints the shape only. `==` is not constant time: it is for tests and public
/// values. Words are not wiped on drop; call [`Tensor::zeroize`].
#[derive(Clone, PartialEq, Eq)]
pub struct Tensor {
    shape: Vec<usize>,
    words: Vec<u64>,
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tensor").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl Tensor {
    /// A tensor of the given shape over `words` in row-major order.
    ///
    /// # Panics
    /// When the shape does not hold `words.len()` words.
    pub fn new(shape: impl Into<Vec<usize>>, words: Vec<u64>) -> Self {
        let shape = shape.into();
        assert!(
            volume(&shape) == words.len(),
            "Tensor::new: shape {shape:?} does not hold {} words",
            words.len()
        );
        Self { shape, words }
    }

    /// All words zero.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let words = vec![0; volume(&shape)];
        Self { shape, words }
    }

    /// The lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether some axis has length zero.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words in row-major order.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words in row-major order, to be changed.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// The words in row-major order, without the shape.
    pub fn into_words(self) -> Vec<u64> {
        self.words
    }

    /// Overwrites the words with zeros in a way that the compiler keeps.
    pub fn zeroize(&mut self) {
        wipe::wipe(&mut self.words);
    }

    /// The same words under another shape.
    ///
    /// # Panics
    /// When the new shape holds another number of words.
    pub fn reshape(self, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        assert!(
            volume(&shape) == self.words.len(),
            "reshape: shape {:?} does not hold the words of {shape:?}",
            self.shape
        );
        Self { shape, words: self.words }
    }

    /// A copy whose axis `i` is the axis `axes[i]` of this tensor.
    ///
    /// # Panics
    /// When `axes` is not a permutation of the axes.
    pub fn permute(&self, axes: &[usize]) -> Self {
        let words = permuted(&self.words, &self.shape, axes);
        let shape: Vec<usize> = axes.iter().map(|&axis| self.shape[axis]).collect();
        Self { shape, words }
    }

    /// A copy of the part with `range` along `axis`.
    ///
    /// # Panics
    /// When there is no such axis or the range exceeds it.
    pub fn slice(&self, axis: usize, range: std::ops::Range<usize>) -> Self {
        assert!(
            axis < self.shape.len() && range.start <= range.end && range.end <= self.shape[axis],
            "slice: axis {axis} range {range:?} of shape {:?}",
            self.shape
        );
        let inner = volume(&self.shape[axis + 1..]);
        let block = self.shape[axis] * inner;
        let mut shape = self.shape.clone();
        shape[axis] = range.len();
        let mut words = Vec::with_capacity(volume(&shape));
        if block > 0 {
            for part in self.words.chunks_exact(block) {
                words.extend_from_slice(&part[range.start * inner..range.end * inner]);
            }
        }
        Self { shape, words }
    }

    /// The tensors one after the other along `axis`.
    ///
    /// # Panics
    /// When there is none, no such axis, or the other axes differ.
    pub fn concat(axis: usize, parts: &[&Tensor]) -> Self {
        let first = parts.first().expect("concat: at least one tensor");
        let mut shape = first.shape.clone();
        assert!(axis < shape.len(), "concat: axis {axis} of shape {shape:?}");
        shape[axis] = 0;
        for part in parts {
            let fits = part.shape.len() == shape.len()
                && (0..shape.len()).all(|i| i == axis || part.shape[i] == shape[i]);
            assert!(
                fits,
                "concat: along axis {axis} shape {:?} does not fit {:?}",
                part.shape, first.shape
            );
            shape[axis] += part.shape[axis];
        }
        let inner = volume(&shape[axis + 1..]);
        let mut words = Vec::with_capacity(volume(&shape));
        for block in 0..volume(&shape[..axis]) {
            for part in parts {
                let len = part.shape[axis] * inner;
                words.extend_from_slice(&part.words[block * len..(block + 1) * len]);
            }
        }
        Self { shape, words }
    }
}

/// The words of a row-major tensor of `shape` with the axes in the order `axes`: [`Tensor::permute`] of
/// words that lie elsewhere.
///
/// # Panics
/// As [`Tensor::permute`], and when `shape` does not hold `words.len()` words.
pub fn permuted(words: &[u64], shape: &[usize], axes: &[usize]) -> Vec<u64> {
    assert!(
        volume(shape) == words.len(),
        "permute: shape {shape:?} does not hold {} words",
        words.len()
    );
    let mut seen = vec![false; shape.len()];
    for &axis in axes {
        assert!(
            axis < seen.len() && !std::mem::replace(&mut seen[axis], true),
            "permute: axes {axes:?} do not permute shape {shape:?}"
        );
    }
    assert!(axes.len() == seen.len(), "permute: axes {axes:?} do not permute shape {shape:?}");
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    let lengths: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    let strides: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
    let mut out = Vec::with_capacity(words.len());
    if !words.is_empty() {
        gather(words, &lengths, &strides, &mut out);
    }
    out
}

fn volume(shape: &[usize]) -> usize {
    shape
        .iter()
        .try_fold(1usize, |volume, &len| volume.checked_mul(len))
        .expect("a shape that fits the address space")
}

/// Appends the elements of the strided view `shape`, `strides` over `words` in row-major order.
fn gather(words: &[u64], shape: &[usize], strides: &[usize], out: &mut Vec<u64>) {
    match (shape, strides) {
        ([], _) | (_, []) => out.push(words[0]),
        ([len], [1]) => out.extend_from_slice(&words[..*len]),
        ([len], [stride]) => out.extend(words.iter().step_by(*stride).take(*len)),
        ([len, shape @ ..], [stride, strides @ ..]) => {
            for i in 0..*len {
                gather(&words[i * stride..], shape, strides, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tensor;

    fn counting(shape: &[usize]) -> Tensor {
        Tensor::new(shape, (0..shape.iter().product::<usize>() as u64).collect())
    }

    #[test]
    fn debug_shows_no_word() {
        let shown = format!("{:?}", Tensor::new([1, 2], vec![987_654, 321_987]));
        assert_eq!(shown, "Tensor { shape: [1, 2], .. }");
    }

    #[test]
    fn permute_moves_axes() {
        let t = counting(&[2, 3, 4]);
        let p = t.permute(&[2, 0, 1]);
        assert_eq!(p.shape(), [4, 2, 3]);
        for (i, j, k) in (0..24).map(|at| (at / 12, at / 4 % 3, at % 4)) {
            assert_eq!(p.words()[(k * 2 + i) * 3 + j], t.words()[(i * 3 + j) * 4 + k]);
        }
        assert_eq!(p.permute(&[1, 2, 0]), t);
        assert_eq!(t.permute(&[1, 0, 2]).words()[4..8], [12, 13, 14, 15]);
        assert_eq!(Tensor::new([], vec![5]).permute(&[]).words(), [5]);
        assert_eq!(Tensor::zeros([2, 0, 3]).permute(&[1, 2, 0]).shape(), [0, 3, 2]);
    }

    #[test]
    fn slices_join_to_the_whole() {
        let t = counting(&[3, 4, 2]);
        for axis in 0..3 {
            let len = t.shape()[axis];
            let (low, high) = (t.slice(axis, 0..1), t.slice(axis, 1..len));
            assert_eq!(Tensor::concat(axis, &[&low, &high]), t);
        }
        assert_eq!(t.slice(1, 2..3).words(), [4, 5, 12, 13, 20, 21]);
        assert!(t.slice(1, 2..2).is_empty());
    }

    #[test]
    fn reshape_keeps_the_words() {
        let t = counting(&[3, 4]).reshape([2, 6]);
        assert_eq!((t.shape(), t.len()), (&[2, 6][..], 12));
        assert_eq!(t.into_words(), counting(&[12]).into_words());
    }

    #[test]
    fn zeroize_wipes() {
        let mut t = counting(&[7]);
        t.words_mut()[0] = 9;
        t.zeroize();
        assert_eq!(t, Tensor::zeros([7]));
    }

    #[test]
    #[should_panic(expected = "Tensor::new: shape [2, 3] does not hold 5 words")]
    fn new_with_another_length_panics() {
        Tensor::new([2, 3], vec![0; 5]);
    }

    #[test]
    #[should_panic(expected = "reshape: shape [2, 3] does not hold the words of [7]")]
    fn reshape_to_another_length_panics() {
        Tensor::zeros([2, 3]).reshape([7]);
    }

    #[test]
    #[should_panic(expected = "permute: axes [0, 0] do not permute shape [2, 3]")]
    fn permute_twice_the_same_axis_panics() {
        Tensor::zeros([2, 3]).permute(&[0, 0]);
    }

    #[test]
    #[should_panic(expected = "concat: along axis 0 shape [1, 2] does not fit [1, 3]")]
    fn concat_of_other_shapes_panics() {
        Tensor::concat(0, &[&Tensor::zeros([1, 3]), &Tensor::zeros([1, 2])]);
    }

    #[test]
    #[should_panic(expected = "slice: axis 1 range 2..4 of shape [2, 3]")]
    fn slice_beyond_the_axis_panics() {
        Tensor::zeros([2, 3]).slice(1, 2..4);
    }
}
