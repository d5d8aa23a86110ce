//! `capstan_commands.md` has all of Capstan's commands, and says of each what there is here.

use std::collections::BTreeSet;

const TABLE: &str = include_str!("capstan_commands.md");

/// All that Capstan's help lists, commands with their flags.
const COMMANDS: [&str; 92] = [
    "-u",
    "--release-tag",
    "-r",
    "--s3",
    "config print",
    "info",
    "import",
    "import -v",
    "import -c",
    "import -d",
    "import -b",
    "pull",
    "pull -p",
    "rmi",
    "images",
    "i",
    "search",
    "run",
    "run -i",
    "run -p",
    "run -m",
    "run -c",
    "run -n",
    "run -v",
    "run -b",
    "run -f",
    "run --gce-upload-dir",
    "run --mac",
    "run --execute",
    "run --boot",
    "run --persist",
    "run --env",
    "run --volume",
    "build",
    "build -p",
    "build -m",
    "build -v",
    "compose",
    "compose -l",
    "compose -s",
    "compose -c",
    "compose -v",
    "compose --fs",
    "instances",
    "I",
    "stop",
    "delete",
    "package init",
    "package init -n",
    "package init -t",
    "package init -a",
    "package init -v",
    "package init --require",
    "package init --runtime",
    "package init -p",
    "package build",
    "package compose",
    "package compose -s",
    "package compose --update",
    "package compose -v",
    "package compose --run",
    "package compose --pull-missing",
    "package compose --boot",
    "package compose --env",
    "package compose --fs",
    "package compose --require",
    "package compose -l",
    "package compose-remote",
    "package collect",
    "package collect -p",
    "package collect -v",
    "package collect --remote",
    "package list",
    "package import",
    "package search",
    "package pull",
    "package describe",
    "package describe -c",
    "package update",
    "package update --created",
    "stack push",
    "stack run",
    "runtime list",
    "runtime preview",
    "runtime init",
    "runtime init -r",
    "runtime init --plain",
    "runtime init -f",
    "runtime preview -r",
    "runtime preview --plain",
    "volume create",
    "volume delete",
];

/// A row: what Capstan has, what there is here, and in which words.
fn rows() -> Vec<(&'static str, &'static str, &'static str)> {
    let rows = TABLE
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .skip(2);
    rows.map(|row| {
        let cells: Vec<&str> = row
            .trim_end_matches('|')
            .split(" | ")
            .map(str::trim)
            .collect();
        assert_eq!(cells.len(), 3, "{row}");
        (cells[0], cells[1], cells[2])
    })
    .collect()
}

/// `package init -n -t` is the command and its flags, each by itself with the command before it.
fn commands_of(cell: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut command = String::new();
    for part in cell.split('`').skip(1).step_by(2) {
        let words: Vec<&str> = part
            .split_whitespace()
            .filter(|word| !word.starts_with('[') && !is_placeholder(word))
            .collect();
        let (flags, names): (Vec<&str>, Vec<&str>) =
            words.into_iter().partition(|word| word.starts_with('-'));
        if !names.is_empty() {
            command = names.join(" ");
        }
        if flags.is_empty() {
            found.push(command.clone());
        }
        found.extend(
            flags
                .into_iter()
                .map(|flag| format!("{command} {flag}").trim().to_owned()),
        );
        if !names.is_empty() {
            found.push(command.clone());
        }
    }
    found
}

/// `NAME` and the like; `I` is a command.
fn is_placeholder(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|sign| sign.is_ascii_uppercase())
}

#[test]
fn every_command_of_capstan_has_its_row() {
    let told: BTreeSet<String> = rows()
        .iter()
        .flat_map(|(cell, ..)| commands_of(cell))
        .collect();
    let missing: Vec<&str> = COMMANDS
        .into_iter()
        .filter(|command| !told.contains(*command))
        .collect();
    assert!(missing.is_empty(), "{missing:?} of {told:?}");
}

#[test]
fn every_row_says_what_there_is() {
    for (capstan, here, words) in rows() {
        assert!(
            ["same", "more", "otherwise", "accepted", "not"].contains(&here),
            "{capstan}: {here}"
        );
        assert!(
            !words.is_empty() || here == "same" || here == "accepted",
            "{capstan} is not explained"
        );
    }
}
