use super::*;
use crate::{EntryKind, Locator};
use proptest::prelude::*;

fn catalogue(registry: &str, entries: &[(&str, &str, &str)]) -> Arc<Catalogue> {
    let entry = |(name, version, title): &(&str, &str, &str)| Entry {
        version: Some((*version).to_owned()).filter(|version| !version.is_empty()),
        title: Some((*title).to_owned()),
        ..Entry::new(EntryKind::Package, *name, Locator::at(*name))
    };
    let mut entries: Vec<Entry> = entries.iter().map(entry).collect();
    Catalogue::sort(&mut entries);
    Arc::new(Catalogue {
        registry: registry.to_owned(),
        identity: registry.to_owned(),
        refreshed: jiff::Timestamp::UNIX_EPOCH,
        entries,
    })
}

fn two() -> Search {
    Search::over([
        catalogue(
            "first",
            &[
                ("node-20", "20.11", "Node.js runtime"),
                ("node-20", "20.9", "Node.js runtime"),
                ("app.node-demo", "1.0", "Demo"),
                ("anode", "1.0", "Chemistry"),
                ("openfoam.simplefoam", "2.4", "Solver"),
            ],
        ),
        catalogue(
            "second",
            &[
                ("node-20", "20.11", "Another's Node"),
                ("node", "4.4.5", "Old"),
                ("express", "", "A web server for Node"),
            ],
        ),
    ])
}

fn tell(search: &Search, text: &str) -> String {
    let found = search.page(text, 0, 100, |_, _| true);
    let lines = found.hits.iter().map(|hit| {
        let entry = search.entry(hit);
        format!(
            "{} {} of {}{}",
            entry.name,
            entry.version.as_deref().unwrap_or("-"),
            search.catalogue(hit).registry,
            if hit.shadowed { ", shadowed" } else { "" }
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_meant_comes_first() {
    let search = two();
    insta::assert_snapshot!(tell(&search, "node"), @r"
    node 4.4.5 of second
    node-20 20.11 of first
    node-20 20.9 of first
    node-20 20.11 of second, shadowed
    app.node-demo 1.0 of first
    anode 1.0 of first
    express - of second
    ");
    insta::assert_snapshot!(tell(&search, "  RUNTIME node 20"), @r"
    node-20 20.11 of first
    node-20 20.9 of first
    ");
    insta::assert_snapshot!(tell(&search, "simpelfoam"), @"openfoam.simplefoam 2.4 of first");
    insta::assert_snapshot!(tell(&search, "opnfoam"), @"openfoam.simplefoam 2.4 of first");
    assert_eq!(tell(&search, "quantum"), "");
    assert_eq!(search.page("", 0, 3, |_, _| true).total, 8);
    let of_second = search.page("node", 0, 1, |catalogue, _| catalogue == 1);
    assert_eq!((of_second.total, of_second.hits.len()), (3, 1));
}

proptest! {
    #[test]
    fn it_finds_what_a_plain_look_finds(
        names in proptest::collection::vec("[abé.-]{1,6}", 1..30),
        text in "[ab. é]{1,4}",
    ) {
        let rows: Vec<(&str, &str, &str)> = names.iter().map(|name| (name.as_str(), "", "")).collect();
        let one = catalogue("r", &rows);
        let search = Search::over([one.clone()]);
        let words: Vec<&str> = text.split_whitespace().collect();
        prop_assume!(!words.is_empty());
        let mut plain: Vec<usize> = (0..one.entries.len())
            .filter(|at| words.iter().all(|word| one.entries[*at].name.contains(word)))
            .collect();
        let mut found: Vec<usize> = search.find(&text, 1000).iter().map(|hit| hit.entry).collect();
        found.sort_unstable();
        plain.sort_unstable();
        if !plain.is_empty() {
            prop_assert_eq!(&found, &plain);
        }
        // Pages put together are the whole.
        let whole = search.find(&text, 1000);
        let mut pages = Vec::new();
        for offset in (0..whole.len()).step_by(3) {
            pages.extend(search.page(&text, offset, 3, |_, _| true).hits);
        }
        prop_assert_eq!(pages, whole);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _ = two().find(&text, 10);
    }
}
