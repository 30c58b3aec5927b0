//! Text that somebody else wrote, made fit for a terminal and a log.

/// At most `limit` characters of `text`; whatever is not a letter, a digit, a printable ASCII character or a space is
/// escaped (`\n`, `\u{1b}`, `\u{202e}`), so that it can neither steer a terminal nor fake a line, nor hide in one.
pub fn printable(text: &str, limit: usize) -> String {
    // What the standard library would show as it is: invisible and combining characters are not.
    let shown = |c: char| c.is_alphanumeric() && c.escape_debug().eq([c]);
    let plain = |c: char| c.is_ascii_graphic() || c == ' ' || shown(c);
    let escaped = |c: char| {
        let (itself, escape) =
            if plain(c) { (Some(c), None) } else { (None, Some(c.escape_default())) };
        itself.into_iter().chain(escape.into_iter().flatten())
    };
    text.chars().flat_map(escaped).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let hostile = "\u{1b}]0;title\u{7} red\u{1b}[31m\r\nfake line\u{202e}\u{9b}2J";
        assert_eq!(
            printable(hostile, 1000),
            "\\u{1b}]0;title\\u{7} red\\u{1b}[31m\\r\\nfake line\\u{202e}\\u{9b}2J"
        );
        assert_eq!(printable("it's \"plain\" \\ text", 100), "it's \"plain\" \\ text");
        assert_eq!(printable("abc", 2), "ab");
        assert_eq!(printable("Käfer 猫 é", 100), "Käfer 猫 é");
        assert_eq!(
            printable("\u{2066}a\u{200b}b\u{feff}\u{ad}\u{301}", 100),
            "\\u{2066}a\\u{200b}b\\u{feff}\\u{ad}\\u{301}"
        );
    }

    proptest! {
        #[test]
        fn any_text_becomes_short_and_plain(text in ".*", limit in 0usize..300) {
            let shown = printable(&text, limit);
            prop_assert!(shown.chars().count() <= limit);
            prop_assert!(shown.chars().all(|c| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric()));
        }
    }
}
