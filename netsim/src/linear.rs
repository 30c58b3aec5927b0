//! Systems of linear equations.

/// Solves a square system by elimination: each row holds an equation's coefficients, then its right side. `None` where
/// a pivot is not larger than `least`, that is where the equations depend on each other.
///
/// # Panics
/// When a row has not one entry more than there are rows.
pub fn solve(mut rows: Vec<Vec<f64>>, least: f64) -> Option<Vec<f64>> {
    let n = rows.len();
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| rows[a][i].abs().total_cmp(&rows[b][i].abs()))?;
        rows.swap(i, pivot);
        if rows[i][i].abs() <= least {
            return None;
        }
        let row = rows[i].clone();
        for (_, other) in rows.iter_mut().enumerate().filter(|(j, _)| *j != i) {
            let factor = other[i] / row[i];
            other.iter_mut().zip(&row).for_each(|(a, b)| *a -= factor * b);
        }
    }
    Some(rows.iter().enumerate().map(|(i, row)| row[n] / row[i]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let matrix = [[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]];
        let wanted = [1.0, -2.0, 3.0];
        let right = |row: &[f64; 3]| row.iter().zip(wanted).map(|(a, b)| a * b).sum();
        let rows = matrix.iter().map(|row| [&row[..], &[right(row)]].concat()).collect();
        let found = solve(rows, 0.0).unwrap();
        assert_eq!(found.len(), 3);
        for (got, wanted) in found.iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-12);
        }
    }

    #[test]
    fn equations_that_depend_on_each_other_have_no_solution() {
        assert_eq!(solve(vec![vec![1.0, 2.0, 3.0], vec![2.0, 4.0, 6.0]], 1e-9), None);
        // A zero on the diagonal alone is no reason.
        assert_eq!(
            solve(vec![vec![0.0, 1.0, 5.0], vec![1.0, 0.0, 7.0]], 0.0),
            Some(vec![7.0, 5.0])
        );
    }
}
