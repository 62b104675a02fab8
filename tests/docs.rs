//! The documents and the code agree.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Types are called `F32` and `F64`: no tag has so high a number.
const TAG_NUMBERS_END: u8 = 20;

/// The tags of a text: lists such as `(H4, F4)` in parentheses.
fn tags(text: &str) -> BTreeSet<String> {
    let is_tag = |word: &str| {
        let (letter, digits) = word.split_at_checked(1).unwrap_or(("", ""));
        ["H", "N", "S", "F"].contains(&letter)
            && digits.parse::<u8>().is_ok_and(|number| (1..TAG_NUMBERS_END).contains(&number))
    };
    let lists = text.split('(').skip(1).filter_map(|rest| rest.split_once(')')).map(|(list, _)| list);
    lists
        .filter(|list| list.split(", ").all(is_tag))
        .flat_map(|list| list.split(", ").map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_tag_in_the_code_is_defined() {
    let page = std::fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let defined: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"))
        .map(|(first, _)| first.to_owned())
        .collect();
    let mut used = 0;
    for path in ["src", "tests"].iter().flat_map(|folder| sources(&root().join(folder))) {
        for tag in tags(&std::fs::read_to_string(&path).unwrap()) {
            assert!(defined.contains(&tag), "{}: docs/protocol.md does not define {tag}", path.display());
            used += 1;
        }
    }
    assert!(used > 30, "only {used} tags were found: are they written in another way now?");
}

#[test]
fn tags_are_told_from_other_words_in_parentheses() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(tags(text).into_iter().collect::<Vec<_>>(), expected, "{text}");
    };
    check("/// Prevents a loss (N4).", &["N4"]);
    check("(H4, F4): raised after (all) rows", &["F4", "H4"]);
    check("call(F64) Some(S) (N) (H1x) ()", &[]);
}
