//! What a plan, and so the server, knows of a text's length.
//!
//! A hidden length is padded to a **bucket**: 16, 32, 64, .. words, or as many as the model takes. Which rows are the text's is an
//! input of the client, a secret share as the text itself ([`Hidden`](sotto_protocols::compose::attention::Hidden)).
//! What is padded has copies of the text's first row. Row by row a model computes the same of equal rows, so that the copies stay
//! equal to it but for rounding: no norm, activation or score of theirs leaves a range that the first row's is in.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Model, model::Input, options::Lengths};

/// Words of the smallest bucket.
const SMALLEST: u32 = 16;

/// Rows of a text in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Length {
    /// As many as the text has words.
    Public(u32),
    /// A bucket: as many as the text has words, or more.
    Hidden(u32),
}

impl Lengths {
    /// The length of a text of so many words in its plan.
    ///
    /// # Errors
    /// [`Error::Text`] where the model does not take it.
    pub fn of(self, words: usize, most: usize) -> Result<Length, Error> {
        if !(1..=most).contains(&words) {
            let why = format!("has {words} words; the model takes 1 to {most}: shorten it");
            return Err(Error::Text(why));
        }
        let bucket = || buckets(most).into_iter().find(|&bucket| words <= bucket as usize);
        Ok(match self {
            Lengths::Public => Length::Public(words as u32),
            Lengths::Hidden => Length::Hidden(bucket().expect("the last one is the longest text")),
        })
    }
}

impl Length {
    /// Rows of the plan.
    pub fn rows(self) -> usize {
        let (Length::Public(rows) | Length::Hidden(rows)) = self;
        rows as usize
    }

    /// Whether the text may have fewer words than the plan rows.
    pub fn is_hidden(self) -> bool {
        matches!(self, Length::Hidden(_))
    }

    /// Refuses lengths that are none of the model's.
    ///
    /// # Errors
    /// [`Error::Options`] says which are.
    pub fn check(self, model: &Model) -> Result<(), Error> {
        let most = match &model.input {
            Input::Words(words) => words.positions,
            Input::Pixels(_) => {
                let why = format!("`{}` takes pictures, which have no length", model.name);
                return Err(Error::Options(why));
            }
        };
        let rows = self.rows();
        match self {
            Length::Public(_) if (1..=most).contains(&rows) => Ok(()),
            Length::Public(_) => {
                Err(Error::Options(format!("an input of {rows} rows; the model takes 1 to {most}")))
            }
            Length::Hidden(bucket) => {
                let all = buckets(most);
                if all.contains(&bucket) {
                    return Ok(());
                }
                let all: Vec<String> = all.iter().map(u32::to_string).collect();
                let all = all.join(", ");
                Err(Error::Options(format!("a bucket of {bucket} rows; the model's are {all}")))
            }
        }
    }
}

/// The buckets of a model whose longest text has so many words, the smallest first: powers of two, and the longest text.
pub fn buckets(most: usize) -> Vec<u32> {
    let most = most as u32;
    let powers = (SMALLEST.ilog2()..u32::BITS).map(|power| 1 << power);
    powers.take_while(|&bucket| bucket < most).chain([most]).collect()
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::Public(rows) => write!(f, "{rows}"),
            Length::Hidden(rows) => write!(f, "up to {rows}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Table, Words};

    fn model(positions: usize) -> Model {
        let mut model = Model::from(&crate::Arch::vit(1, 2, 8, 8, 16, 4, 3));
        let (vocabulary, kinds, width, norm, table) = (9, 0, 8, true, Table::Public);
        model.input = Input::Words(Words { vocabulary, positions, kinds, width, norm, table });
        model
    }

    #[test]
    fn a_text_is_in_the_least_bucket_that_holds_it() {
        assert_eq!(buckets(512), [16, 32, 64, 128, 256, 512]);
        assert_eq!(buckets(100), [16, 32, 64, 100]);
        assert_eq!(buckets(9), [9]);
        for (words, bucket) in [(1, 16), (16, 16), (17, 32), (64, 64), (65, 100), (100, 100)] {
            assert_eq!(Lengths::Hidden.of(words, 100).unwrap(), Length::Hidden(bucket), "{words}");
        }
        assert_eq!(Lengths::Public.of(17, 100).unwrap(), Length::Public(17));
        for words in [0, 101] {
            let said = Lengths::Hidden.of(words, 100).unwrap_err().to_string();
            assert!(said.contains("1 to 100"), "{said}");
        }
    }

    #[test]
    fn other_lengths_are_refused_with_those_that_exist() {
        let said = |length: Length| length.check(&model(40)).map_err(|e| e.to_string());
        for length in
            [Length::Public(1), Length::Public(40), Length::Hidden(16), Length::Hidden(40)]
        {
            assert_eq!(said(length), Ok(()), "{length:?}");
        }
        for rows in [0, 41, u32::MAX] {
            assert!(said(Length::Public(rows)).unwrap_err().contains("1 to 40"), "{rows}");
            assert!(said(Length::Hidden(rows)).unwrap_err().contains("16, 32, 40"), "{rows}");
        }
        assert!(said(Length::Hidden(17)).unwrap_err().contains("16, 32, 40"));
    }
}
