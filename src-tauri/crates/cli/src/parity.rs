//! What the window can do, the command line can do: its verbs are those of the common table.

use clap::Parser;
use windlass_workshop::verbs::{VERBS, Way};

use crate::cli::Cli;

#[test]
fn every_verb_of_the_table_is_understood() {
    for row in VERBS {
        let Way::Verb(words) = row.way else { continue };
        let words = words.split(' ');
        if let Err(error) = Cli::try_parse_from(std::iter::once("windlassctl").chain(words)) {
            panic!("{}: {error}", row.command);
        }
    }
}
