//! No circle of imports: the files of a crate have an order in which each knows only those before it, so that every
//! line says on which floor it stands.
//!
//! What counts is every path that starts with `crate` or `super`, in product code. A file and the modules below it
//! count as one among themselves: a child may use what its parent declares.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{is_product, product_code, sources};

/// A module's path within its crate.
type Module = Vec<String>;

/// The crate's folder and the module that a file is, where it belongs to a library or a program.
fn place(path: &str) -> Option<(String, Module)> {
    let (folder, file) = path.split_once("src/")?;
    let mut module: Module = file.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&&last[..])) {
        module.pop();
    }
    Some((folder.to_owned(), module))
}

/// All paths in `code` that start with `crate` or `super`, without their braces.
fn paths(code: &str) -> Vec<Vec<String>> {
    let tokens = tokens(code);
    let starts = |i: &usize| {
        let first = ["crate", "super"].contains(&&tokens[*i][..]);
        first && tokens.get(i + 1).is_some_and(|t| t == "::") && (*i == 0 || tokens[i - 1] != "::")
    };
    let mut all = Vec::new();
    for start in (0..tokens.len()).filter(starts) {
        tree(&tokens, start, &[], &mut all);
    }
    all
}

fn tokens(code: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut all: Vec<String> = Vec::new();
    let mut joins = false;
    for c in code.chars() {
        match all.last_mut() {
            Some(last) if joins && is_word(c) => last.push(c),
            Some(last) if c == ':' && last == ":" => last.push(c),
            _ if c.is_whitespace() => {}
            _ => all.push(c.to_string()),
        }
        joins = is_word(c);
    }
    all
}

/// Reads one path, or a tree of them in braces, from token `at`; gives the token behind it.
fn tree(tokens: &[String], mut at: usize, before: &[String], all: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|t| t != "}") {
                    at = tree(tokens, at, &path, all);
                    // Another name, if it has one, and the comma.
                    let end = |t: &String| t == "," || t == "}";
                    at += tokens[at..].iter().position(end).unwrap_or(0);
                    at += usize::from(tokens.get(at).is_some_and(|t| t == ","));
                }
                return at + 1;
            }
            Some(word) if word != "}" => path.push(word.to_owned()),
            _ => {}
        }
        if tokens.get(at + 1).is_none_or(|t| t != "::") {
            all.push(path);
            return at + 1;
        }
        at += 2;
    }
}

/// The module that a path leads to, seen from `from`.
fn target(path: &[String], from: &Module, known: &BTreeSet<Module>) -> Module {
    let supers = path.iter().take_while(|p| *p == "super").count();
    let mut at: Module = match supers {
        0 => Vec::new(),
        n => from[..from.len().saturating_sub(n)].to_vec(),
    };
    for part in &path[supers.max(1)..] {
        at.push(part.clone());
        if !known.contains(&at) {
            at.pop();
            break;
        }
    }
    at
}

/// Who names whom, by crate.
type Arrows = BTreeMap<Module, BTreeSet<Module>>;

fn arrows() -> BTreeMap<String, Arrows> {
    let mut files: BTreeMap<String, Vec<(Module, String)>> = BTreeMap::new();
    for source in sources().iter().filter(|s| is_product(&s.path) || s.path.starts_with("benches/"))
    {
        if let Some((folder, module)) = place(&source.path) {
            files.entry(folder).or_default().push((module, product_code(&source.text)));
        }
    }
    let of = |files: Vec<(Module, String)>| {
        let known: BTreeSet<Module> = files.iter().map(|(module, _)| module.clone()).collect();
        let mut arrows = Arrows::new();
        for (from, code) in files {
            let to = paths(&code).into_iter().map(|path| target(&path, &from, &known));
            let to = to.filter(|to| !to.starts_with(&from) && !from.starts_with(to));
            arrows.entry(from.clone()).or_default().extend(to);
        }
        arrows
    };
    files.into_iter().map(|(folder, files)| (folder, of(files))).collect()
}

/// A circle among the arrows, if there is one.
fn circle(arrows: &Arrows) -> Option<Vec<String>> {
    let mut left = arrows.clone();
    // Whoever names nobody that is left is in no circle.
    while let Some(done) = left.iter().find(|(_, to)| to.is_empty()).map(|(from, _)| from.clone()) {
        left.remove(&done);
        left.values_mut().for_each(|to| {
            to.remove(&done);
        });
    }
    let mut seen: Vec<&Module> = Vec::new();
    let mut at = left.keys().next()?;
    while !seen.contains(&at) {
        seen.push(at);
        at = left[at].first()?;
    }
    let start = seen.iter().position(|module| *module == at)?;
    Some(seen[start..].iter().map(|module| module.join("::")).collect())
}

#[test]
fn no_imports_go_round_in_a_circle() {
    let crates = arrows();
    assert!(crates.len() >= 9 && crates["protocols/"].len() > 20, "the crates are found");
    assert!(crates["protocols/"][&vec!["plan".to_owned()]].contains(&vec!["gate".to_owned()]));
    let mut found = Vec::new();
    for (folder, arrows) in &crates {
        if let Some(circle) = circle(arrows) {
            found.push(format!("{folder}: {}", circle.join(" -> ")));
        }
    }
    assert!(found.is_empty(), "circles of imports:\n{}", found.join("\n"));
}

#[test]
fn paths_are_found_in_trees() {
    let code = "use crate::{a::{self, B as C}, d}; fn e() { super::f::g(); x::crate_y::z() }";
    let found: Vec<String> = paths(code).iter().map(|p| p.join("::")).collect();
    assert_eq!(found, ["crate::a::self", "crate::a::B", "crate::d", "super::f::g"]);
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let known = ["a", "a::b", "c"].map(module).into();
    let to = |path: &str| target(&module(path), &module("a::b"), &known).join("::");
    assert_eq!(
        ["crate::c::X", "super::b::Y", "super::super::c", "crate::Z"].map(to),
        ["c", "a::b", "c", ""]
    );
    let arrows: Arrows = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["a"]), ("d", vec!["a"])]
        .map(|(from, to)| (module(from), to.into_iter().map(module).collect()))
        .into();
    assert_eq!(circle(&arrows).map(|c| c.len()), Some(3));
}
