use std::fmt::Write as _;

use proptest::prelude::*;

use super::meaning::Meaning;
use super::*;
use crate::yaml;

const MANIFEST: &str = "\
# My service.
name: my-service   # what others require it by
title: 'My service'

# In this order.
require:
# the runtime
- node-20  # at least
- osv.cli

x-versions: {node-20: \">=20.11\"}   # as tested
x-environment:
  - name: PORT
    # where it listens
    default: 8080   # http
  - {name: LOG, type: choice}
created: 2017-09-14T21:08:24Z
";

const RUN: &str = "\
runtime: native
config_set:
    # the service itself
    server:
        bootcmd: |
          /server
        env:
            PORT: 80      # http
            EMPTY:
    worker: {bootcmd: /worker, env: {A: b}}

config_set_default: server   # only one
# the end";

/// The lines that differ, as `diff` would print them.
fn difference(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.split('\n').collect(), after.split('\n').collect());
    let same_start = before
        .iter()
        .zip(&after)
        .take_while(|(one, other)| one == other)
        .count();
    let same_end = before[same_start..]
        .iter()
        .rev()
        .zip(after[same_start..].iter().rev())
        .take_while(|(one, other)| one == other)
        .count();
    let mut told = String::new();
    for line in &before[same_start..before.len() - same_end] {
        writeln!(told, "- {line}").unwrap();
    }
    for line in &after[same_start..after.len() - same_end] {
        writeln!(told, "+ {line}").unwrap();
    }
    told
}

fn told(what: &str, before: &str, result: Result<String, EditError>) -> String {
    let answer = match result {
        Ok(after) => difference(before, &after),
        Err(error) => format!(
            "error: {error}\nhint: {}\n",
            error.hint().unwrap_or_default()
        ),
    };
    format!("# {what}\n{answer}")
}

#[test]
fn values_are_set() {
    let map = |entries: &[(&str, &str)]| {
        Value::Map(
            entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
                .collect(),
        )
    };
    let list = |items: &[&str]| Value::List(items.iter().map(|item| Value::from(*item)).collect());
    let cases: Vec<(&str, &[&str], Value)> = vec![
        (MANIFEST, &["name"], "other".into()),
        (MANIFEST, &["title"], "Bob's: new".into()),
        (MANIFEST, &["author"], "Jane Doe".into()),
        (MANIFEST, &["version"], "1.10".into()),
        (MANIFEST, &["require"], list(&["one", "two"])),
        (MANIFEST, &["require", "0"], "node-22".into()),
        (MANIFEST, &["require", "2"], "new".into()),
        (MANIFEST, &["require", "7"], "new".into()),
        (MANIFEST, &["x-versions", "osv.cli"], "^1".into()),
        (MANIFEST, &["x-environment", "0", "default"], 9090.into()),
        (MANIFEST, &["x-environment", "0", "type"], "port".into()),
        (
            MANIFEST,
            &["x-environment", "1", "choices"],
            list(&["info", "debug"]),
        ),
        (
            MANIFEST,
            &["x-environment", "2"],
            map(&[("name", "NEW"), ("type", "text")]),
        ),
        (MANIFEST, &["created"], map(&[("by", "me")])),
        (MANIFEST, &["name", "below"], "x".into()),
        (
            RUN,
            &["config_set", "server", "bootcmd"],
            "/other --flag \"x\"".into(),
        ),
        (
            RUN,
            &["config_set", "server", "env", "EMPTY"],
            "full".into(),
        ),
        (RUN, &["config_set", "server", "env", "NEW"], "true".into()),
        (
            RUN,
            &["config_set", "server", "args"],
            list(&["a", "b c", ""]),
        ),
        (RUN, &["config_set", "worker", "env", "B"], "x, y".into()),
        (RUN, &["config_set", "third", "env", "A"], "b".into()),
        (RUN, &["config_set_default"], list(&["server", "worker"])),
        ("", &["a", "b"], "c".into()),
        ("# only a comment\n", &["a"], "c".into()),
        ("a:\n", &["a", "b"], "c".into()),
        ("a: ~  # nothing\n", &["a", "b"], "c".into()),
        ("{}\n", &["a"], list(&["b"])),
        ("a: &x 1\nb: *x\n", &["a"], 2.into()),
        ("a: &x 1\nb: *x\n", &["c"], 2.into()),
        ("- a\n- - b\n  - c\n", &["1", "2"], "d".into()),
        ("a: [", &["a"], "b".into()),
        ("a: 1\r\nb: 2\r\n", &["c"], "d".into()),
    ];
    let told: Vec<String> = cases
        .into_iter()
        .map(|(text, path, value)| {
            let what = format!("{} = {}", path.join("."), value.flow());
            told(&what, text, set(text, path, &value))
        })
        .collect();
    insta::assert_snapshot!(told.concat());
}

#[test]
fn values_are_removed_and_renamed() {
    let removals: Vec<(&str, &[&str])> = vec![
        (MANIFEST, &["title"]),
        (MANIFEST, &["require"]),
        (MANIFEST, &["require", "0"]),
        (MANIFEST, &["x-versions", "node-20"]),
        (MANIFEST, &["x-environment", "0", "name"]),
        (MANIFEST, &["x-environment", "0", "default"]),
        (MANIFEST, &["x-environment", "1", "type"]),
        (MANIFEST, &["created"]),
        (MANIFEST, &["nothing"]),
        (RUN, &["config_set", "server"]),
        (RUN, &["config_set", "server", "env", "EMPTY"]),
        (RUN, &["config_set", "worker", "bootcmd"]),
        (RUN, &["config_set", "worker", "env", "A"]),
        (RUN, &["config_set_default"]),
        ("a:\n  b:\n    c: 1\nd: 2\n", &["a", "b", "c"]),
    ];
    let mut all: Vec<String> = removals
        .into_iter()
        .map(|(text, path)| {
            told(
                &format!("remove {}", path.join(".")),
                text,
                remove(text, path),
            )
        })
        .collect();
    let renames: Vec<(&[&str], &str)> = vec![
        (&["config_set", "server"], "service"),
        (&["config_set", "worker", "env", "A"], "yes"),
        (&["config_set", "server"], "worker"),
        (&["config_set", "gone"], "worker"),
    ];
    for (path, name) in renames {
        let what = format!("rename {} to {name}", path.join("."));
        all.push(told(&what, RUN, rename(RUN, path, name)));
    }
    insta::assert_snapshot!(all.concat());
}

#[test]
fn lists_are_put_in_order() {
    let long = "require:\n  # first\n  - a\n\n  - \"b\"  # second\n  # third\n  - c";
    let cases: Vec<(&str, &[&str])> = vec![
        (MANIFEST, &["osv.cli", "node-20"]),
        (MANIFEST, &["new", "node-20", "osv.cli"]),
        (MANIFEST, &["osv.cli"]),
        (MANIFEST, &[]),
        (long, &["c", "b", "a"]),
        (long, &["a", "c", "d"]),
        ("require: [a, 'b', c] # x\n", &["c", "b"]),
        ("require: a # x\n", &["a", "b"]),
        ("name: x\n", &["a", "b"]),
        ("require: []\n", &["a"]),
        ("require:\n- a\n- a\n", &["a", "b", "a"]),
    ];
    let mut all: Vec<String> = cases
        .into_iter()
        .map(|(text, items)| {
            told(
                &format!("require = {items:?}"),
                text,
                set_texts(text, &["require"], items),
            )
        })
        .collect();
    for at in 0..4 {
        let what = format!("insert at {at}");
        all.push(told(
            &what,
            MANIFEST,
            insert_item(MANIFEST, &["require"], at, &"new".into()),
        ));
    }
    all.push(told(
        "insert in brackets",
        "a: [b, c]\n",
        insert_item("a: [b, c]\n", &["a"], 1, &"new".into()),
    ));
    all.push(told(
        "insert where nothing is",
        "b: 1\n",
        insert_item("b: 1\n", &["a"], 0, &"new".into()),
    ));
    insta::assert_snapshot!(all.concat());
}

/// Texts that YAML might take for something else come often.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "\\PC{0,10}",
        Just("yes".to_owned()),
        Just("1.10".to_owned()),
        Just("~".to_owned()),
        Just("- a".to_owned()),
        Just("a: b".to_owned()),
        Just("a # b".to_owned()),
        Just("two\nlines".to_owned()),
        Just("a, b] }".to_owned()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::Text),
        Just(Value::Plain("17".into()))
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3)
                .prop_map(|map| Value::Map(map.into_iter().collect())),
        ]
    })
}

/// A document as a person writes it: blocks and brackets, comments anywhere.
fn document() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(vec![
        "one",
        "'two'",
        "\"three # no\"",
        "",
        "~",
        "4 # four",
        "|\n    lines\n    more",
        ">-\n    folded",
        "[a, 'b', {c: d}]",
        "{e: f, g: [h]} # i",
    ]);
    let key = prop::sample::select(vec!["a", "b", "c", "'d'", "key", "x-y"]);
    let inner = prop::collection::vec((key.clone(), scalar.clone(), any::<bool>()), 1..4).prop_map(
        |entries| {
            let mut text = String::new();
            for (key, value, comment) in entries {
                if comment {
                    text.push_str("  # above\n");
                }
                writeln!(text, "  {key}: {value}").unwrap();
            }
            text
        },
    );
    let list = prop::collection::vec((scalar.clone(), any::<bool>(), any::<bool>()), 1..4)
        .prop_map(|items| {
            let mut text = String::new();
            for (value, comment, entry) in items {
                if comment {
                    text.push_str("  # item\n");
                }
                if entry && !value.contains('\n') {
                    writeln!(text, "  - k: {value}\n    l: m").unwrap();
                } else {
                    writeln!(text, "  - {value}").unwrap();
                }
            }
            text
        });
    let body = prop_oneof![
        scalar.prop_map(|value| format!(" {value}\n")),
        inner.prop_map(|text| format!("  # map\n{text}")),
        list.prop_map(|text| format!("\n{text}")),
    ];
    prop::collection::vec((key, body, 0..3_u8), 0..5).prop_map(|entries| {
        let mut text = String::new();
        for (key, body, gap) in entries {
            text.push_str(["", "\n", "# between\n"][usize::from(gap)]);
            write!(text, "{key}:{body}").unwrap();
        }
        text
    })
}

/// Every path that a document has.
fn paths(meaning: &Meaning, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    found.push(path.clone());
    let children: Vec<(String, &Meaning)> = match meaning {
        Meaning::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Meaning::List(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| (at.to_string(), item))
            .collect(),
        _ => Vec::new(),
    };
    for (step, child) in children {
        path.push(step);
        paths(child, path, found);
        path.pop();
    }
}

fn meaning_of(text: &str) -> Option<Meaning> {
    yaml::parse(text, "x").ok().map(|node| node.value.into())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// What comes out means what it should (the edit itself checks), nothing that a person wrote is
    /// too intricate, and only lines of the value change.
    #[test]
    fn any_value_is_set_anywhere(document in document(), pick in any::<prop::sample::Index>(), new_key in any::<bool>(), value in value()) {
        let Some(meaning) = meaning_of(&document) else { return Ok(()) };
        let mut found = Vec::new();
        paths(&meaning, &mut Vec::new(), &mut found);
        let mut path = pick.get(&found).clone();
        if new_key || path.is_empty() {
            path.push("new".into());
        }
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match set(&document, &path, &value) {
            Ok(after) => {
                prop_assert!(after.matches("# between").count() == document.matches("# between").count(), "{document}\n=>\n{after}");
                // Twice is once.
                prop_assert_eq!(set(&after, &path, &value).unwrap(), after);
            }
            Err(EditError::Unfit { .. }) => {}
            Err(error) => prop_assert!(false, "{error:?} {value:?}\n{document}"),
        }
    }

    #[test]
    fn anything_is_removed(document in document(), pick in any::<prop::sample::Index>()) {
        let Some(meaning) = meaning_of(&document) else { return Ok(()) };
        let mut found = Vec::new();
        paths(&meaning, &mut Vec::new(), &mut found);
        let path = pick.get(&found);
        prop_assume!(!path.is_empty());
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let after = remove(&document, &path).map_err(|error| TestCaseError::fail(format!("{error:?} {path:?}\n{document}")))?;
        prop_assert!(after.len() < document.len());
        prop_assert_eq!(after.matches("# between").count(), document.matches("# between").count());
    }

    /// A scalar for a scalar: all other bytes stay.
    #[test]
    fn a_new_scalar_touches_only_the_old_one(text in text(), at in 0..4_usize) {
        let path: &[&str] = [&["name"][..], &["require", "0"], &["x-environment", "0", "default"], &["x-versions", "node-20"]][at];
        let after = set(MANIFEST, path, &Value::Text(text)).unwrap();
        let old = ["my-service", "node-20", "8080", "\">=20.11\""][at];
        let (before, behind) = MANIFEST.split_once(old).unwrap();
        prop_assert!(after.starts_with(before) && after.ends_with(behind), "{}", after);
    }

    #[test]
    fn lists_become_what_is_asked_for(old in prop::collection::vec("[a-e]", 1..5), new in prop::collection::vec("[a-g]", 0..6), flow in any::<bool>(), flush in any::<bool>(), open in any::<bool>()) {
        let mut document = String::from("name: x\nrequire:");
        if flow {
            write!(document, " [{}]", old.join(" , ")).unwrap();
        } else {
            for item in &old {
                write!(document, "\n{}- {item}  # {item}", if flush { "" } else { "   " }).unwrap();
            }
        }
        if !open {
            document.push_str("\nlast: y\n");
        }
        let items: Vec<&str> = new.iter().map(String::as_str).collect();
        let after = set_texts(&document, &["require"], &items).unwrap();
        if !flow {
            for item in new.iter().filter(|item| old.contains(item)) {
                let line = format!("- {item}  # {item}");
                prop_assert!(after.contains(&line), "{}", after);
            }
        }
    }

    #[test]
    fn no_text_panics(document in "([a-c'\"{}\\[\\],:&*!|>#?~\\-]| |\n){0,40}", step in "[a-c0-1]", other in "[a-c0-1]") {
        let path = [step.as_str(), other.as_str()];
        let _ = set(&document, &path, &"x".into());
        let _ = set(&document, &path[..1], &Value::List(vec!["x".into()]));
        let _ = remove(&document, &path);
        let _ = rename(&document, &path[..1], "z");
        let _ = insert_item(&document, &path[..1], 1, &"x".into());
        let _ = set_texts(&document, &path[..1], &["x", "a"]);
    }
}
