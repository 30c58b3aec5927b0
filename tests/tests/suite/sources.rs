//! Rules that hold in every source file: where `unsafe` may stand, no `unwrap` outside of tests, who may
//! touch sockets and clocks, how long a file may be, and that nothing names a machine or a registry.

use std::path::Path;
use std::process::Command;

use crate::layers::root;

/// Longest file that passes, and the length from which we say so.
const LONGEST: usize = 450;
const LONG: usize = 320;

/// A tracked (or not yet tracked, not ignored) text file.
pub struct Text {
    pub path: String,
    pub text: String,
}

pub fn texts() -> Vec<Text> {
    let out = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let names: Vec<String> = match out {
        Ok(out) if out.status.success() => {
            let list = String::from_utf8_lossy(&out.stdout).into_owned();
            list.split('\0').filter(|n| !n.is_empty()).map(str::to_owned).collect()
        }
        // A copy without its history.
        _ => walk(&root(), ""),
    };
    let read = |path: String| {
        let bytes = std::fs::read(root().join(&path)).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        Some(Text { path, text })
    };
    let all: Vec<Text> = names.into_iter().filter_map(read).collect();
    assert!(all.len() > 40, "the repository has more than {} texts", all.len());
    all
}

fn walk(dir: &Path, prefix: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder of the repository") {
        let entry = entry.expect("a file of the repository");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let is_dir = entry.file_type().expect("a file of the repository").is_dir();
        match is_dir {
            true if name == "target" || name.starts_with('.') => {}
            true => all.extend(walk(&entry.path(), &path)),
            false => all.push(path),
        }
    }
    all
}

pub fn sources() -> Vec<Text> {
    texts().into_iter().filter(|t| t.path.ends_with(".rs")).collect()
}

/// Code outside of test folders and modules, examples and benchmarks.
pub fn is_product(path: &str) -> bool {
    let apart = ["tests", "tests.rs", "examples", "benches"];
    !apart.iter().any(|d| path.split('/').any(|part| part == *d))
}

/// The source with comments, strings and character literals blanked out, line breaks kept.
fn code(source: &str) -> String {
    let s: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut i = 0;
    let blank = |out: &mut String, part: &[char]| {
        out.extend(part.iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
    };
    while i < s.len() {
        let rest = &s[i..];
        let word_before = i > 0 && (s[i - 1].is_alphanumeric() || s[i - 1] == '_');
        let len = match rest {
            ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['r', '"' | '#', ..] if !word_before => raw_string(rest, 1),
            ['b', 'r', '"' | '#', ..] if !word_before => raw_string(rest, 2),
            ['"', ..] => string(rest),
            // A character, not a lifetime.
            ['\'', '\\', ..] => 3 + rest[3..].iter().position(|&c| c == '\'').unwrap_or(0),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if len == 0 {
            out.push(s[i]);
            i += 1;
        } else {
            blank(&mut out, &rest[..len]);
            i += len;
        }
    }
    out
}

fn block_comment(s: &[char]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < s.len() {
        match s[i..] {
            ['/', '*', ..] => (depth, i) = (depth + 1, i + 2),
            ['*', '/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn string(s: &[char]) -> usize {
    let mut i = 1;
    while i < s.len() && s[i] != '"' {
        i += if s[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(s.len())
}

/// Length of a raw string whose quote or hashes start at `at`; 0 where it is a raw identifier.
fn raw_string(s: &[char], at: usize) -> usize {
    let hashes = s[at..].iter().take_while(|&&c| c == '#').count();
    if s.get(at + hashes) != Some(&'"') {
        return 0;
    }
    let body = at + hashes + 1;
    let closes = |i: &usize| {
        let end = s.get(i + 1..i + 1 + hashes);
        s[*i] == '"' && end.is_some_and(|e| e.iter().all(|&c| c == '#'))
    };
    (body..s.len()).find(closes).map_or(s.len(), |i| i + 1 + hashes)
}

/// Code without the items that only tests have.
pub fn product_code(source: &str) -> String {
    let mut text = code(source);
    const ONLY: &str = "#[cfg(test)]";
    while let Some(start) = text.find(ONLY) {
        let body = start + ONLY.len();
        let open = text[body..].find(['{', ';']).map_or(text.len(), |i| body + i);
        let mut depth = 0;
        let mut end = open;
        for (i, c) in text[open..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            end = open + i + c.len_utf8();
            if depth == 0 {
                break;
            }
        }
        let blank: String =
            text[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        text.replace_range(start..end, &blank);
    }
    text
}

/// Lines of `code` that hold `word` as a whole word.
fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let holds = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back().is_some_and(is_word);
            let after = line[at + word.len()..].chars().next().is_some_and(is_word);
            !before && !after
        })
    };
    (1..).zip(code.lines()).filter(|(_, line)| holds(line)).map(|(n, _)| n).collect()
}

fn refuse(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

/// Places in product code, among the files that `concerns` picks, that hold one of the words.
fn places(concerns: impl Fn(&str) -> bool, words: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for source in sources().iter().filter(|s| is_product(&s.path) && concerns(&s.path)) {
        let code = product_code(&source.text);
        for word in words {
            let lines = lines_with(&code, word);
            all.extend(lines.iter().map(|n| format!("{}:{n}: {word}", source.path)));
        }
    }
    all
}

#[test]
fn unsafe_stays_in_the_ring_s_kernels() {
    let mut found = Vec::new();
    for source in sources() {
        let mut places =
            ["crates/ring/src/", "crates/gpu/src/cuda/", "cli/src/allocator.rs"].iter();
        let kernels = places.any(|place| source.path.starts_with(place));
        let mut code = code(&source.text);
        if source.path == "wasm/src/exports.rs" {
            // Names of what a module exports: nothing that they mark is unsafe, and all else would be found.
            code =
                code.replace("#[unsafe(no_mangle)]", "").replacen("#![expect(unsafe_code", "", 1);
        }
        let is_here = !lines_with(&code, "unsafe").is_empty();
        if !kernels {
            for word in ["unsafe", "unsafe_code"] {
                let lines = lines_with(&code, word);
                found.extend(lines.iter().map(|n| format!("{}:{n}: {word}", source.path)));
            }
        } else if is_here && !source.text.contains("SAFETY:") {
            found.push(format!("{}: no SAFETY comment", source.path));
        }
    }
    refuse(
        found,
        "`unsafe` stands in the ring's kernels, the calls of CUDA and of the allocator alone, each with its reason; a module's exports are named",
    );
}

#[test]
fn modules_of_tests_are_compiled_for_tests_alone() {
    let sources = sources();
    let text = |path: &str| sources.iter().find(|s| s.path == path).map(|s| s.text.as_str());
    let modules = sources.iter().filter_map(|s| s.path.strip_suffix("/tests.rs"));
    let open = modules.filter(|owner| {
        let files = [".rs", "/mod.rs", "/lib.rs", "/main.rs"].map(|end| format!("{owner}{end}"));
        let owner = files.iter().find_map(|path| text(path));
        !owner.is_some_and(|text| text.contains("#[cfg(test)]\nmod tests;"))
    });
    refuse(open.map(str::to_owned).collect(), "`#[cfg(test)]` before `mod tests;`");
}

#[test]
fn nobody_unwraps_outside_of_tests() {
    let found = places(|_| true, &["unwrap", "unwrap_err", "todo", "unimplemented", "dbg"]);
    refuse(found, "`expect(\"why it holds\")` instead of `unwrap`, and nothing unfinished");
}

#[test]
fn sockets_and_clocks_stay_in_net() {
    let outside = |path: &str| {
        let inside = [
            "crates/net/",
            "crates/session/",
            "crates/gpu/",
            "netsim/",
            "client/",
            "cli/",
            "nas/",
            "attacks/",
        ];
        !inside.iter().any(|d| path.starts_with(d))
    };
    let words =
        ["UdpSocket", "TcpStream", "TcpListener", "SystemTime", "Instant", "tokio", "quinn"];
    refuse(
        places(outside, &words),
        "sockets and clocks are for net, session, netsim, client and cli; gpu times its devices",
    );
    let low = |path: &str| {
        ["crates/ring/", "crates/crypto/", "protocols/"].iter().any(|d| path.starts_with(d))
    };
    refuse(places(low, &["fs", "env", "File"]), "files and environment are for higher layers");
}

#[test]
fn layers_keep_their_ignorance() {
    let models = |path: &str| path.starts_with("models/");
    refuse(places(models, &["Role", "Link", "Party"]), "models know no parties");
    let protocols = |path: &str| path.starts_with("protocols/");
    let found = places(protocols, &["getrandom", "thread_rng", "OsRng"]);
    refuse(found, "protocols take their seeds as arguments");
    // `Run` alone puts words on the wire.
    let packs = |path: &str| {
        path.starts_with("protocols/src/gates/") || path.starts_with("protocols/src/compose/")
    };
    refuse(
        places(packs, &["pack", "Link", "sotto_link", "sotto_net"]),
        "gates send through `open` alone",
    );
}

#[test]
fn files_are_short_enough() {
    let mut found = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LONGEST {
            found.push(format!("{}: {lines} lines", source.path));
        } else if lines > LONG {
            println!("{} has {lines} lines: consider splitting it", source.path);
        }
    }
    refuse(found, "files have at most 450 lines, better 300");
}

#[test]
fn nothing_names_a_machine_or_a_registry() {
    // Spelt in parts, so that this file does not name them.
    let folders = ["root", "home", "work", "tmp", "Users", "mnt"].map(|d| format!("/{d}/"));
    let hosts =
        ["artifactory", "nexus", "devpi", "verdaccio", "crates-proxy"].map(|h| format!("{h}."));
    let mut found = Vec::new();
    for file in texts() {
        for (n, line) in (1..).zip(file.text.lines()) {
            let quoted = |part: &String| {
                // `a/work/b` is a relative path: only a leading slash names the machine's root.
                line.match_indices(&part[..]).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| !c.is_alphanumeric() && !"._-}~)/".contains(c))
                })
            };
            if folders.iter().any(quoted) {
                found.push(format!("{}:{n}: an absolute path", file.path));
            }
            if hosts.iter().any(|h| line.contains(h)) {
                found.push(format!("{}:{n}: a registry's host", file.path));
            }
            let is_lock = file.path == "Cargo.lock";
            let source = line.strip_prefix("source = ");
            let usual = "\"registry+https://github.com/rust-lang/crates.io-index\"";
            if is_lock && source.is_some_and(|s| s != usual) {
                found.push(format!("{}:{n}: another registry", file.path));
            }
            let is_manifest = file.path.ends_with("Cargo.toml") || file.path.contains(".cargo/");
            let keys = ["git = ", "registry = ", "replace-with", "index = "];
            if is_manifest && keys.iter().any(|k| line.contains(k)) {
                found.push(format!("{}:{n}: another source of packages", file.path));
            }
        }
    }
    refuse(found, "no machine and no registry is named");
}

mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let source = concat!(
            "// unsafe\n/* unsafe /* unsafe */ unsafe */ fn a<'x>(b: &'x str) {\n",
            "let c = \"unsafe \\\" unsafe\"; let d = r#\"unsafe \" unsafe\"#; let e = '\"'; let f = '\\'';\n",
            "r#unsafe_thing(); }\nunsafe fn g() {}\n"
        );
        let code = code(source);
        assert_eq!(code.lines().count(), source.lines().count());
        assert_eq!(lines_with(&code, "unsafe"), [5]);
        assert!(code.contains("fn a<'x>(b: &'x str)"));
    }

    #[test]
    fn test_items_are_not_product_code() {
        let source = "fn a() { b.c() }\n#[cfg(test)]\nmod tests { fn d() { e.unwrap() } }\nfn f() {}\n\
                      #[cfg(test)]\nmod other;\nfn g() { h.unwrap() }\n";
        assert_eq!(lines_with(&product_code(source), "unwrap"), [7]);
    }
}
