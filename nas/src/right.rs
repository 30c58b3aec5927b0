//! Which test images a model gets right: what the noise of a comparison follows from.

use serde::{Deserialize, Serialize};

/// One mark an image; in JSON four to a hexadecimal digit, the first image in the highest bit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Right(pub Vec<bool>);

impl From<Right> for String {
    fn from(right: Right) -> Self {
        let bit = |four: &[bool], i: usize| u32::from(four.get(i) == Some(&true)) << (3 - i);
        let digit = |four: &[bool]| (0..4).map(|i| bit(four, i)).sum::<u32>();
        let digits = right.0.chunks(4).map(|four| char::from_digit(digit(four), 16));
        digits.map(|c| c.expect("four bits")).collect()
    }
}

impl From<String> for Right {
    fn from(text: String) -> Self {
        let four = |c: char| {
            let digit = c.to_digit(16).unwrap_or(0);
            (0..4).map(move |i| digit >> (3 - i) & 1 == 1)
        };
        Self(text.chars().flat_map(four).collect())
    }
}

impl Right {
    /// The share of right images.
    pub fn share(&self) -> f64 {
        self.0.iter().filter(|r| **r).count() as f64 / self.0.len().max(1) as f64
    }

    fn at(&self, image: usize) -> f64 {
        f64::from(u8::from(self.0.get(image) == Some(&true)))
    }
}

/// Standard deviation of the difference of two models' accuracies on other images like these, from the images on which
/// they differ, as in McNemar's test. A model is the mean of its runs.
pub fn noise(one: &[&Right], other: &[&Right]) -> f64 {
    let images = one.iter().chain(other).map(|run| run.0.len()).min().unwrap_or(0);
    let mean = |runs: &[&Right], i| runs.iter().map(|r| r.at(i)).sum::<f64>() / runs.len() as f64;
    let n = images.max(1) as f64;
    let moment = |power: i32| -> f64 {
        (0..images).map(|i| (mean(one, i) - mean(other, i)).powi(power)).sum::<f64>() / n
    };
    ((moment(2) - moment(1).powi(2)) / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_from_their_digits() {
        let right = Right([true, false, true, true, false, true, false, false].to_vec());
        assert_eq!(String::from(right.clone()), "b4");
        assert_eq!(Right::from(String::from("b4")), right);
        assert_eq!(right.share(), 0.5);
        assert_eq!(String::from(Right(vec![true])), "8");
    }

    #[test]
    fn noise_is_that_of_the_images_on_which_two_differ() {
        let first = Right((0..1000).map(|i| i % 5 != 0).collect());
        let noise = |one: &Right, other: &Right| super::noise(&[one], &[other]);
        assert_eq!(noise(&first, &first), 0.0);
        // Forty images won, ten lost.
        let second = Right(
            (0..1000).map(|i| (i % 5 != 0 && i % 100 != 1) || (i % 5 == 0 && i < 200)).collect(),
        );
        let (won, lost) = (0.010, 0.040);
        let expected = ((won + lost - f64::powi(won - lost, 2)) / 1000.0).sqrt();
        assert!((noise(&first, &second) - expected).abs() < 1e-12, "{}", noise(&first, &second));
        // Runs that are the same add nothing; a model between two others is half as far from each.
        let twice = [&second, &second];
        let first = [&first];
        assert!((super::noise(&first, &twice) - expected).abs() < 1e-12);
        let between = [first[0], &second];
        assert!((super::noise(&first, &between) - expected / 2.0).abs() < 1e-12);
    }
}
