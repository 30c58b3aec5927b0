//! What a client asks, and what it learns.

use serde::{Deserialize, Serialize};
use sotto_models::{
    Model,
    images::{Picture, normalise},
    length::Length,
    model::{Input, Output},
    private::Reveal,
    text::Text,
};
use sotto_net::printable;

use sotto_session::{error::Error, lexicon::Lexicon};

/// What a picture or text has of its evaluation's measured costs. Bytes are parted among those that share it, so that the sum over all
/// results is what crossed; flights and seconds are the evaluation's, which all of them waited for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Images or texts that the evaluation gave results of.
    #[serde(default = "one")]
    pub shared_by: u64,
    /// Bytes of masked weights, or of encrypted ones and keys, that came since the evaluation before: of the first one after a setup
    /// alone.
    #[serde(default)]
    pub setup_bytes: u64,
    /// Bytes that server and client received from the dealer; without one, that crossed between them.
    pub offline_bytes: u64,
    /// Sequential message times between the two for it: none with a dealer.
    pub offline_flights: u64,
    /// Without a dealer: the batch was made before, and waited on both disks. Its bytes and flights were then.
    #[serde(default)]
    pub waited: bool,
    /// Seconds from the need of a batch to both parties' being ready; 0 from a filled pool.
    pub offline_s: f64,
    /// Payload bytes from server to client.
    pub from_server: u64,
    /// Payload bytes from client to server.
    pub from_client: u64,
    /// Sequential message times.
    pub flights: u64,
    /// Seconds from the first online byte to the result.
    pub online_s: f64,
}

fn one() -> u64 {
    1
}

impl Costs {
    /// What the result at this place, of those that share the evaluation, has of the whole.
    pub(crate) fn part(&self, place: usize) -> Self {
        let n = self.shared_by.max(1);
        let part = |bytes: u64| bytes / n + u64::from((place as u64) < bytes % n);
        Self {
            setup_bytes: part(self.setup_bytes),
            offline_bytes: part(self.offline_bytes),
            from_server: part(self.from_server),
            from_client: part(self.from_client),
            ..self.clone()
        }
    }
}

/// Longest name of a class (characters).
const LABEL: usize = 64;

/// The name of a class, as it may be printed: a server may have written it.
pub fn label(model: &Model, class: usize) -> String {
    printable(&model.label(class), LABEL)
}

/// The first place of a row's largest number.
pub fn top(row: &[f64]) -> usize {
    (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0)
}

/// A picture or a text. No `Debug`: it is the client's secret.
#[derive(Clone)]
pub enum Query {
    /// A picture of the model's size.
    Picture(Picture),
    /// A text as the model's tokenizer numbers it.
    Text {
        /// What it is called.
        name: String,
        /// Its words.
        text: Text,
        /// What the server learns of their number.
        length: Length,
    },
}

impl Query {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Query::Picture(picture) => &picture.name,
            Query::Text { name, .. } => name,
        }
    }

    /// A text's length as the server learns it; `None` for a picture.
    pub fn length(&self) -> Option<Length> {
        match self {
            Query::Picture(_) => None,
            Query::Text { length, .. } => Some(*length),
        }
    }

    /// Words of a text; `None` for a picture.
    pub fn words(&self) -> Option<u32> {
        match self {
            Query::Picture(_) => None,
            Query::Text { text, .. } => Some(text.words.len() as u32),
        }
    }

    /// What enters the model.
    ///
    /// # Errors
    /// [`Error::OtherInput`] for a picture where the model takes words, and the other way round; [`Error::Model`] for words that it
    /// does not have.
    pub fn input(&self, model: &Model, lexicon: Option<&Lexicon>) -> Result<Vec<f32>, Error> {
        match (self, &model.input, lexicon) {
            (Query::Picture(picture), Input::Pixels(pixels), _) => Ok(normalise(pixels, picture)),
            (Query::Text { text, length, .. }, Input::Words(_), Some(lexicon)) => {
                // As many look-ups for all texts of a bucket: the server sees when we are done.
                let mut rows = lexicon.rows(&text.repeated(length.rows()))?;
                rows.truncate(text.words.len() * model.stack.width);
                Ok(rows)
            }
            (_, Input::Pixels(_), _) => {
                Err(Error::OtherInput { model: model.name.clone(), takes: "pictures" })
            }
            _ => Err(Error::OtherInput { model: model.name.clone(), takes: "texts" }),
        }
    }
}

/// A word and its class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Labelled {
    /// The word as the tokenizer spells it.
    pub word: String,
    /// The private top-1 class.
    pub class: usize,
    /// Its name.
    pub class_name: String,
    /// The private logits; none where the class alone is revealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logits: Option<Vec<f64>>,
}

/// What the client learns of one picture or text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Found {
    /// A class.
    Class {
        /// The private top-1 class.
        class: usize,
        /// Its name.
        class_name: String,
        /// The private logits; none where the class alone is revealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        logits: Option<Vec<f64>>,
    },
    /// A class of each word.
    Words {
        /// In the text's order.
        words: Vec<Labelled>,
    },
    /// An embedding, of length 1 where the model says so.
    Embedding {
        /// Its numbers.
        embedding: Vec<f64>,
    },
}

impl Found {
    /// Reads a decoded result: logits, or of each row a one-hot where the class alone is revealed.
    pub(crate) fn new(
        (model, reveal): (&Model, Reveal),
        query: &Query,
        lexicon: Option<&Lexicon>,
        result: Vec<f64>,
    ) -> Self {
        let logits = |row: Vec<f64>| (reveal != Reveal::Class).then_some(row);
        match (&model.output, query, lexicon) {
            (Output::Embedding { .. }, ..) => Found::Embedding { embedding: result },
            (Output::Tokens { classes }, Query::Text { text, .. }, Some(lexicon)) => {
                let each = lexicon.words(text).into_iter().zip(result.chunks(*classes));
                let words = each.map(|(word, row)| {
                    let class = top(row);
                    let (class_name, logits) = (label(model, class), logits(row.to_vec()));
                    Labelled { word: printable(&word, LABEL), class, class_name, logits }
                });
                Found::Words { words: words.collect() }
            }
            _ => {
                let class = top(&result);
                Found::Class { class, class_name: label(model, class), logits: logits(result) }
            }
        }
    }

    /// The numbers that it was read from; none where the class alone is revealed.
    pub fn numbers(&self) -> Vec<f64> {
        match self {
            Found::Class { logits, .. } => logits.clone().unwrap_or_default(),
            Found::Words { words } => {
                words.iter().flat_map(|w| w.logits.clone().unwrap_or_default()).collect()
            }
            Found::Embedding { embedding } => embedding.clone(),
        }
    }

    /// The class, of a picture or a text as a whole.
    pub fn class(&self) -> Option<usize> {
        match self {
            Found::Class { class, .. } => Some(*class),
            _ => None,
        }
    }

    /// For a person, in one line: what it is, and the class's logit or a dash.
    pub fn told(&self) -> [String; 2] {
        let none = || "-".to_owned();
        match self {
            Found::Class { class, class_name, logits } => {
                let logit = logits.as_ref().and_then(|logits| logits.get(*class));
                [class_name.clone(), logit.map_or_else(none, |logit| format!("{logit:.3}"))]
            }
            Found::Words { words } => {
                let each = words.iter().map(|w| format!("{}/{}", w.word, w.class_name));
                [each.collect::<Vec<_>>().join(" "), none()]
            }
            Found::Embedding { embedding } => [format!("{} numbers", embedding.len()), none()],
        }
    }
}

/// The result of one picture or text, a line of the client process with `--json-lines`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// File and position, or the text's number and beginning.
    pub name: String,
    /// The true class where the file says it.
    pub label: Option<u8>,
    /// Words of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// Words of its bucket, where its own number is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u32>,
    /// What it is.
    #[serde(flatten)]
    pub found: Found,
    /// Its part of what the evaluation cost that it came of.
    pub costs: Costs,
    /// Pictures or texts that such an evaluation has room for.
    pub batch: usize,
    /// How much of the result the server reveals.
    #[serde(skip)]
    pub reveal: Reveal,
}

impl Answer {
    /// The logits of a picture or a text as a whole; `None` where the server reveals the class alone.
    pub fn logits(&self) -> Option<&[f64]> {
        match &self.found {
            Found::Class { logits, .. } => logits.as_deref(),
            _ => None,
        }
    }
}

impl Answer {
    /// Rows of each text in the plan.
    pub fn rows(&self) -> Option<u32> {
        self.bucket.or(self.tokens)
    }
}
