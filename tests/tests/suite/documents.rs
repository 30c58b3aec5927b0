//! What the documents cite exists: sections of the protocol study, files of the repository.

use std::{collections::BTreeSet, fs};

use crate::{layers::root, sources::texts};

/// Numbers of the headings of `docs/protocols.md`.
fn sections() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/protocols.md")).expect("the protocol study");
    let headings = text.lines().filter_map(|l| l.trim_start_matches('#').strip_prefix(' '));
    let numbers = headings.filter_map(|h| h.split_whitespace().next());
    numbers.map(|n| n.trim_end_matches('.').to_owned()).collect()
}

/// The numbers that follow `PROTOCOLS` in a text: `PROTOCOLS 1.6, 1.7` are two.
fn cited(text: &str) -> Vec<String> {
    let number = |word: &str| {
        let word = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.to_owned())
    };
    let words: Vec<&str> = text.split_whitespace().filter(|w| *w != "//!" && *w != "//").collect();
    let places = (0..words.len()).filter(|&i| words[i].trim_start_matches('(') == "PROTOCOLS");
    let after = places.flat_map(|i| words[i + 1..].iter().map_while(|w| number(w)));
    after.collect()
}

#[test]
fn cited_sections_of_the_study_exist() {
    let sections = sections();
    let mut count = 0;
    for text in texts().iter().filter(|t| t.path.ends_with(".rs")) {
        for number in cited(&text.text) {
            // A place in the list of section 7.
            let section = number.strip_prefix("7.").map_or(number.as_str(), |_| "7");
            assert!(sections.contains(section), "{}: PROTOCOLS {number} does not exist", text.path);
            count += 1;
        }
    }
    assert!(count >= 15, "{count} citations");
}

#[test]
fn the_files_that_documents_name_exist() {
    let mut count = 0;
    for text in texts().iter().filter(|t| t.path.ends_with(".md") && !t.path.contains("CHANGELOG"))
    {
        let folder = root().join(&text.path);
        let folder = folder.parent().expect("a document lies in a folder");
        for link in text.text.split("](").skip(1).filter_map(|l| l.split([')', '#']).next()) {
            if link.is_empty() || link.contains("://") {
                continue;
            }
            assert!(folder.join(link).exists(), "{} links to {link}", text.path);
            count += 1;
        }
    }
    assert!(count > 5, "{count} links");
}
