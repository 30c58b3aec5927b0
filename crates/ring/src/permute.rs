//! Axes of a tensor in another order.

/// The words of a row-major tensor of `shape` in another order: axis `i` of the result is axis `axes[i]`.
///
/// # Panics
/// When `axes` is not a permutation of the axes, or `shape` does not hold `words.len()` words.
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
    use super::permuted;

    #[test]
    fn axes_move() {
        let words: Vec<u64> = (0..24).collect();
        let moved = permuted(&words, &[2, 3, 4], &[2, 0, 1]);
        for (i, j, k) in (0..24).map(|at| (at / 12, at / 4 % 3, at % 4)) {
            assert_eq!(moved[(k * 2 + i) * 3 + j], words[(i * 3 + j) * 4 + k]);
        }
        assert_eq!(permuted(&moved, &[4, 2, 3], &[1, 2, 0]), words);
        assert_eq!(permuted(&words, &[2, 3, 4], &[1, 0, 2])[4..8], [12, 13, 14, 15]);
        assert_eq!(permuted(&[5], &[], &[]), [5]);
        assert!(permuted(&[], &[2, 0, 3], &[1, 2, 0]).is_empty());
    }

    #[test]
    #[should_panic(expected = "permute: axes [0, 0] do not permute shape [2, 3]")]
    fn the_same_axis_twice_panics() {
        permuted(&[0; 6], &[2, 3], &[0, 0]);
    }

    #[test]
    #[should_panic(expected = "permute: shape [2, 3] does not hold 5 words")]
    fn another_number_of_words_panics() {
        permuted(&[0; 5], &[2, 3], &[1, 0]);
    }
}
