//! The lines of a configuration that depend on models, clients and the source: what does not go with them is not offered.

use sotto_models::{calibration::hex, length::buckets};

use super::Served;
use crate::{lexicon::Lexicon, source::Source};

/// Options of texts alone, as the templates have them, commented out.
const OF_TEXTS: [&str; 3] = ["# lexicon = ", "# lexicon_hash = ", "# length = "];

/// The buckets of the longest texts that any model takes, as the templates have them.
const BUCKETS: &str = "16, 32, 64, ..";

/// Lines of the templates that need a dealer, each with what is there in its place without one.
const WITHOUT_A_DEALER: [(&str, &str); 4] = [
    ("# audit = ", ""),
    (
        "# weights_file = ",
        "# pool = 2                          # batches that are made ahead of the evaluation
# pool_folder = \"pool\"              # they wait on this disk, where the server has the same: `sotto infer --fill` makes them
",
    ),
    (
        "pool = ",
        "pool = 2                            # batches of each client that wait in `pool_folder`
",
    ),
    (
        "# pool_folder = ",
        "# pool_folder = \"pool\"              # batches wait on this disk, where the client has the same
",
    ),
];

impl Served<'_> {
    /// Its tokenizer and tables, where it is of texts.
    fn words(&self) -> Option<&Lexicon> {
        self.model.as_ref()?.lexicon.as_ref()
    }

    /// What it hides lengths of texts in.
    fn buckets(&self) -> Option<String> {
        let all: Vec<String> =
            buckets(self.words()?.model().tokens()).iter().map(u32::to_string).collect();
        Some(match &all[..] {
            [first, second, .., last] if all.len() > 3 => format!("{first}, {second}, .. {last}"),
            few => few.join(", "),
        })
    }
}

/// The lines of a text as `line` gives them; `None` takes one out.
fn each(text: &str, line: impl Fn(&str) -> Option<String>) -> String {
    text.lines().filter_map(|one| Some(line(one)? + "\n")).collect()
}

/// What an option that is commented out says of itself.
fn comment(line: &str) -> &str {
    line.rfind(" # ").map_or("", |at| &line[at + 1..])
}

/// The text of a server or client of these models. Of several each has a `[[models]]` table of its own with what its inputs allow, and
/// clients ask for the first.
pub fn models(text: &str, models: &[Served<'_>]) -> String {
    let (first, several) = (&models[0], models.len() > 1);
    let words = first.words();
    let line = |line: &str| {
        let is = |key: &str| line.starts_with(key);
        let name = format!("model = {:?}", first.name);
        match line.strip_prefix("# model = \"demo\"") {
            // A client's.
            Some(rest) if several => return Some(format!("{name}{rest}")),
            Some(rest) => return Some(format!("# {name}{rest}")),
            None => {}
        }
        match line.strip_prefix("model = \"demo\"") {
            Some(_) if several => return None,
            Some(rest) => return Some(format!("{name}{rest}")),
            None => {}
        }
        if let Some(rest) = line.strip_prefix("# models = [\"minilm\"]") {
            return Some(format!("# models = [{:?}]{rest}", first.name));
        }
        match words {
            None if OF_TEXTS.iter().any(|key| is(key)) => None,
            Some(_) if is("# lexicon = ") => {
                Some(format!("lexicon = {:?}   {}", first.lexicon, comment(line)))
            }
            Some(words) if is("# lexicon_hash = ") => {
                Some(format!("lexicon_hash = {:?}   {}", hex(&words.hash()), comment(line)))
            }
            // Of several each says it for itself.
            _ if several && is("# length = ") && line.contains("clients may") => None,
            _ => Some(line.to_owned()),
        }
    };
    let buckets = first.buckets().unwrap_or_default();
    let text = each(text, line).replace(BUCKETS, &buckets);
    if !several {
        return text;
    }
    let paragraph = |text: &str| match text.strip_prefix("# [[models]]") {
        Some(_) => models.iter().map(table).collect::<Vec<_>>().join("\n"),
        None => text.to_owned(),
    };
    let text = text.split("\n\n").map(paragraph).collect::<Vec<_>>().join("\n\n");
    // A client that asks for another model needs that one's words.
    let others: String = models[1..].iter().filter_map(other).collect();
    match text.split_once("\n[own]") {
        Some((before, rest)) if text.contains("[server]") => {
            format!("{before}{others}\n[own]{rest}")
        }
        _ => text,
    }
}

/// A server's table of a model.
fn table(model: &Served<'_>) -> String {
    let length = model.buckets().map(|buckets| {
        format!("# length = \"hidden\"                 # its clients may hide how many tokens theirs have: in {buckets}\n")
    });
    format!("[[models]]\nmodel = {:?}\n{}", model.name, length.unwrap_or_default())
}

/// What a client writes to ask for another model of texts.
fn other(model: &Served<'_>) -> Option<String> {
    let hash = hex(&model.words()?.hash());
    Some(format!(
        "# for `{}`: model = {:?}, lexicon = {:?}, lexicon_hash = {hash:?}\n",
        model.name, model.name, model.lexicon
    ))
}

/// The text with what the source of correlations allows.
pub fn source(text: &str, source: Source) -> String {
    if source.extension().is_none() {
        return text.to_owned();
    }
    let tables = text.split("\n\n").filter(|table| !table.starts_with("[dealer]"));
    let text = tables.collect::<Vec<_>>().join("\n\n");
    let line = |line: &str| {
        let other = WITHOUT_A_DEALER.iter().find(|(key, _)| line.starts_with(key));
        other.map_or_else(|| format!("{line}\n"), |(_, other)| (*other).to_owned())
    };
    format!("source = {:?}\n{}", source.name(), text.lines().map(line).collect::<String>())
}

/// The text with a `[[clients]]` table, its last, for each client.
pub fn clients(text: &str, clients: &[String]) -> String {
    let Some((before, table)) = text.split_once("[[clients]]\n") else { return text.to_owned() };
    let of = |name: &String| {
        let table = table.replace("\"client\"", &format!("\"{name}\""));
        "[[clients]]\n".to_owned() + &table.replace("client.cert", &format!("{name}.cert"))
    };
    before.to_owned() + &clients.iter().map(of).collect::<Vec<_>>().join("\n")
}
