//! What the families of text encoders share: the table of words, the head, the cut of positions.

use sotto_models::{
    Model,
    model::{Classes, Hidden, Input, Output, Pool, Stack, Table, Words},
};

use crate::{
    config::Config,
    error::Error,
    given::Given,
    labels::labels,
    recipe::{Names, Recipe, Source, sources},
};

/// Where a family's words are, and how many.
pub(crate) struct Tables {
    /// Kinds of words.
    pub kinds: usize,
    /// Width of the tables.
    pub width: usize,
    /// Row of the first word's position in the stored table.
    pub first: usize,
}

/// Refuses what changes the computation but no tensor's name.
pub(crate) fn refuse_variants(config: &Config) -> Result<(), Error> {
    let field = "position_embedding_type";
    if config.text(field)?.is_some_and(|kind| kind != "absolute") {
        return Err(config.other(field, "\"absolute\""));
    }
    config.must_be("is_decoder", false)?;
    config.must_be("add_cross_attention", false)?;
    plain(config)
}

/// Refuses quantised and pruned checkpoints.
pub(crate) fn plain(config: &Config) -> Result<(), Error> {
    if config.value("quantization_config").is_some() {
        let why = "is there; accepted: weights of f32, f16 or bf16 without quantisation";
        return Err(config.refuse("quantization_config", why));
    }
    let pruned = config.value("pruned_heads").and_then(|v| v.as_object());
    if pruned.is_some_and(|heads| !heads.is_empty()) {
        return Err(config.refuse("pruned_heads", "is not empty; accepted: no pruned heads"));
    }
    Ok(())
}

/// What follows the encoder, by the class that saved it (`architectures`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Embedding,
    Classes,
    Tokens,
    /// Start and end of an answer.
    Span,
}

fn head(given: &Given<'_>) -> Result<Head, Error> {
    let config = given.config;
    if given.sentence.is_some() || given.choices.embedding.is_some() {
        return Ok(Head::Embedding);
    }
    let field = "architectures";
    let class = match config.value(field).map(|v| v.as_array().map(Vec::as_slice)) {
        None => return Ok(Head::Embedding),
        Some(Some([class, ..])) => class.as_str(),
        Some(_) => None,
    };
    let task = class.map(|class| class.rsplit_once("For").map_or("Model", |(_, task)| task));
    Ok(match task {
        Some("Model" | "MaskedLM" | "PreTraining") => Head::Embedding,
        Some("SequenceClassification") => Head::Classes,
        Some("TokenClassification") => Head::Tokens,
        Some("QuestionAnswering") => Head::Span,
        _ => {
            let accepted = "a class of the family itself, or its ForSequenceClassification, ForTokenClassification, \
                ForQuestionAnswering or ForMaskedLM";
            return Err(config.other(field, accepted));
        }
    })
}

/// The model without its sources: words in, and what the head gives out.
///
/// `hidden` is the layer before the classes of a whole text, and `classifier` the name of the map to them.
pub(crate) fn model(
    given: &Given<'_>,
    stack: Stack,
    tables: &Tables,
    hidden: Hidden,
    classifier: &str,
) -> Result<Recipe, Error> {
    let config = given.config;
    let stored = config.size("max_position_embeddings")?;
    let Some(positions) = stored.checked_sub(tables.first).filter(|&n| n > 0) else {
        let why = format!("= {stored}; the first {} are none of a word's", tables.first);
        return Err(config.refuse("max_position_embeddings", why));
    };
    let limit = given.sentence.as_ref().and_then(|s| s.positions).unwrap_or(positions);
    let words = Words {
        vocabulary: config.size("vocab_size")?,
        positions: positions.min(limit),
        kinds: tables.kinds,
        width: tables.width,
        norm: true,
        table: Table::Public,
    };
    let mut notes = Vec::new();
    if limit < positions {
        notes.push(format!("texts have at most {limit} words, as sentence_bert_config.json says"));
    }
    let head = head(given)?;
    let mut names = Vec::new();
    let output = match head {
        Head::Embedding => embedding(given, &mut notes),
        Head::Span => {
            names = vec!["start".into(), "end".into()];
            Output::Tokens { classes: 2 }
        }
        Head::Classes | Head::Tokens => {
            let classes = match given.checkpoint.size(&format!("{classifier}.weight"), 0) {
                Some(n) => n,
                None => config.size_or("num_labels", 2)?,
            };
            names = labels(config, "id2label", classes, &mut notes)?;
            match head {
                Head::Tokens => Output::Tokens { classes },
                _ => Output::Classes(Classes { classes, pool: Pool::First, hidden: Some(hidden) }),
            }
        }
    };
    let mut skip: Vec<String> = ["*.position_ids", "*.token_type_ids"].map(str::to_owned).into();
    // A head is left out where somebody says so, not because nobody says what it is.
    if given.sentence.is_some() || given.choices.embedding.is_some() {
        skip.extend(["classifier.*", "pre_classifier.*", "qa_outputs.*"].map(str::to_owned));
    }
    let (name, input) = (given.name(), Input::Words(words));
    Recipe::new(Model { name, labels: names, input, stack, output }, skip, None, notes)
}

fn embedding(given: &Given<'_>, notes: &mut Vec<String>) -> Output {
    let (pool, normalise) = match (given.choices.embedding, &given.sentence) {
        (Some(pool), sentence) => (pool, sentence.as_ref().is_some_and(|s| s.normalise)),
        (None, Some(sentence)) => (sentence.pool, sentence.normalise),
        (None, None) => {
            let why = "the result is the mean of the words' rows: the folder does not say how to pool (modules.json)";
            notes.push(why.into());
            (Pool::Mean, false)
        }
    };
    Output::Embedding { pool, normalise }
}

/// The sources of the tables, the layers and the heads. `names` are under `prefix`, `heads` are not.
pub(crate) fn fill(
    recipe: &mut Recipe,
    (prefix, names): (&str, &Names),
    heads: &Names,
    (positions, first): (&str, usize),
    stored: usize,
) {
    recipe.skip.push(format!("{prefix}pooler.*"));
    recipe.sources.extend(sources(&recipe.model, names, prefix));
    recipe.sources.extend(sources(&recipe.model, heads, ""));
    if let Output::Tokens { classes: 2 } = recipe.model.output
        && recipe.model.labels == ["start", "end"]
    {
        recipe.sources.extend(sources(&recipe.model, &[("head", &["qa_outputs"])], ""));
    }
    if let Input::Words(words) = &recipe.model.input {
        let piece = (format!("{prefix}{positions}"), vec![stored, words.width]);
        recipe.sources.insert("embed.position.weight".into(), Source::Rows { piece, first });
    }
}
