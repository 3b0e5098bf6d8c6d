//! Symmetric matrices, as few as statistics needs: covariances and Fisher information.

/// A symmetric matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Symmetric {
    size: usize,
    entries: Vec<f64>,
}

impl Symmetric {
    /// All zeros.
    pub fn zero(size: usize) -> Self {
        Self { size, entries: vec![0.0; size * size] }
    }

    /// The covariance of values which vary each by itself.
    pub fn diagonal(variances: &[f64]) -> Self {
        let mut matrix = Self::zero(variances.len());
        for (i, variance) in variances.iter().enumerate() {
            matrix.add(i, i, *variance);
        }
        matrix
    }

    /// The number of rows.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The entry of two rows, both below [`size`](Self::size).
    pub fn of(&self, i: usize, j: usize) -> f64 {
        self.entries[i * self.size + j]
    }

    /// The variance of `Σ w_j x_j` if this is the covariance of x, at least 0.
    pub fn of_weighted_sum(&self, weights: &[f64]) -> f64 {
        self.of_weighted_sums(weights, weights).max(0.0)
    }

    /// The covariance of two weighted sums; weights beyond the rows count nothing.
    pub fn of_weighted_sums(&self, weights: &[f64], others: &[f64]) -> f64 {
        let dot = |row: &[f64]| row.iter().zip(others).map(|(c, w)| c * w).sum::<f64>();
        self.rows().zip(weights).map(|(row, weight)| weight * dot(row)).sum()
    }

    /// This matrix times a vector.
    pub fn times(&self, vector: &[f64]) -> Vec<f64> {
        self.rows().map(|row| row.iter().zip(vector).map(|(c, x)| c * x).sum()).collect()
    }

    /// Adds to one entry (and not to its mirror image).
    pub(super) fn add(&mut self, i: usize, j: usize, amount: f64) {
        self.entries[i * self.size + j] += amount;
    }

    /// Adds `factor · x xᵀ`.
    pub(super) fn add_outer(&mut self, x: &[f64], factor: f64) {
        for (i, one) in x.iter().enumerate() {
            for (j, other) in x.iter().enumerate() {
                self.add(i, j, factor * one * other);
            }
        }
    }

    /// The inverse, or nothing if the matrix is not positive definite (to 12 digits, after scaling
    /// its diagonal to 1): by Cholesky's decomposition.
    pub fn inverse(&self) -> Option<Self> {
        let size = self.size;
        let scale: Vec<f64> = (0..size).map(|i| self.of(i, i).sqrt().recip()).collect();
        if !scale.iter().all(|scale| scale.is_finite()) {
            return None;
        }
        let lower = self.cholesky(&scale)?;
        let mut inverse = Self::zero(size);
        for column in 0..size {
            let mut unit = vec![0.0; size];
            unit[column] = 1.0;
            for (row, x) in lower.solve(unit).into_iter().enumerate() {
                inverse.add(row, column, x * scale[row] * scale[column]);
            }
        }
        Some(inverse)
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.entries.chunks(self.size.max(1))
    }

    fn cholesky(&self, scale: &[f64]) -> Option<Lower> {
        let mut lower = Self::zero(self.size);
        for i in 0..self.size {
            for j in 0..=i {
                let known: f64 = (0..j).map(|k| lower.of(i, k) * lower.of(j, k)).sum();
                let rest = self.of(i, j) * scale[i] * scale[j] - known;
                if i != j {
                    lower.add(i, j, rest / lower.of(j, j));
                } else if rest > SINGULAR {
                    lower.add(i, i, rest.sqrt());
                } else {
                    return None;
                }
            }
        }
        Some(Lower(lower))
    }
}

/// A pivot that is 0 but for rounding.
const SINGULAR: f64 = 1e-12;

/// L of `L Lᵀ`.
struct Lower(Symmetric);

impl Lower {
    /// The x with `L Lᵀ x = b`.
    fn solve(&self, mut x: Vec<f64>) -> Vec<f64> {
        let Self(lower) = self;
        for i in 0..x.len() {
            let known: f64 = (0..i).map(|k| lower.of(i, k) * x[k]).sum();
            x[i] = (x[i] - known) / lower.of(i, i);
        }
        for i in (0..x.len()).rev() {
            let known: f64 = (i + 1..x.len()).map(|k| lower.of(k, i) * x[k]).sum();
            x[i] = (x[i] - known) / lower.of(i, i);
        }
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_singular_matrix_has_no_inverse() {
        let mut matrix = Symmetric::zero(3);
        assert!(matrix.inverse().is_none());
        matrix.add_outer(&[1.0, 2.0, 3.0], 1.0);
        matrix.add_outer(&[1.0, 0.0, 1.0], 1.0);
        assert!(matrix.inverse().is_none());
        matrix.add(0, 0, f64::NAN);
        assert!(matrix.inverse().is_none());
    }

    proptest! {
        #[test]
        fn an_inverse_undoes(rows in prop::collection::vec(prop::collection::vec(-1.0..1.0_f64, 4), 4)) {
            let mut matrix = Symmetric::diagonal(&[0.1, 10.0, 1000.0, 1e-3]);
            for row in &rows {
                matrix.add_outer(row, 1.0);
            }
            let inverse = matrix.inverse().unwrap();
            for i in 0..4 {
                let mut unit = vec![0.0; 4];
                unit[i] = 1.0;
                for (j, entry) in inverse.times(&matrix.times(&unit)).into_iter().enumerate() {
                    prop_assert!((entry - unit[j]).abs() < 1e-6, "{i} {j}: {entry}");
                }
            }
        }
    }
}
