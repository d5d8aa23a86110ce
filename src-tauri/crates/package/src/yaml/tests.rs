use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn told(text: &str) -> String {
    match parse(text, "meta/run.yaml") {
        Ok(node) => format!("{:?}", node.value),
        Err(mistake) => mistake.to_string(),
    }
}

#[test]
fn scalars_keep_their_text() {
    let node = parse(
        "{a: 1.10, b: \"1.10\", c: yes, d: 0x1F, e: ~, f: 007, g: 'it''s', h: 1e3}",
        "f",
    )
    .unwrap();
    let Value::Map(entries) = node.value else {
        panic!("no mapping")
    };
    let texts: Vec<String> = entries
        .into_iter()
        .map(|(_, value)| match value.value {
            Value::Text(text) => text,
            other => format!("<{}>", other.kind()),
        })
        .collect();
    assert_eq!(
        texts,
        [
            "1.10",
            "1.10",
            "yes",
            "0x1F",
            "<nothing>",
            "007",
            "it's",
            "1e3"
        ]
    );
}

#[test]
fn aliases_keep_the_text_too() {
    let node = parse("a: &v 1.50\nb: *v\n", "f").unwrap();
    let Value::Map(entries) = node.value else {
        panic!("no mapping")
    };
    assert_eq!(entries[1].1.value, Value::Text("1.50".into()));
    assert_eq!(entries[1].1.place.line, 2);
}

#[test]
fn mistakes_of_yaml_are_shown_at_their_place() {
    let deep = "[".repeat(100) + &"]".repeat(100);
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (from, to) in "abcdefgh".chars().zip("bcdefghi".chars()) {
        let item = format!("*{from}");
        let items = vec![item; 9].join(",");
        writeln!(bomb, "{to}: &{to} [{items}]").unwrap();
    }
    let told = [
        told("name: [1, 2"),
        told("name: a\n\tb: c\n"),
        told("a: b: c"),
        told("name: a\nname: b\n"),
        told("name: *nowhere\n"),
        told("a: 1\n---\nb: 2\n"),
        told("key: \"unfinished\n"),
        told(&deep),
        told(&bomb),
        told("ü: [é, }"),
    ]
    .join("\n---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn the_nearest_word_is_found() {
    assert_eq!(
        nearest("boot_cmd", ["bootcmd", "base", "env"]),
        Some("bootcmd")
    );
    assert_eq!(nearest("Title", ["title", "name"]), Some("title"));
    assert_eq!(nearest("requires", ["require", "name"]), Some("require"));
    assert_eq!(nearest("colour", ["require", "name"]), None);
}

proptest! {
    #[test]
    fn no_text_panics(text in "[ -~\n\t&*:\\[{}\\]|>'\"äß🦀-]{0,200}") {
        let _ = parse(&text, "f").map_err(|mistake| mistake.to_string());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&String::from_utf8_lossy(&bytes), "f").map_err(|mistake| mistake.to_string());
    }
}
