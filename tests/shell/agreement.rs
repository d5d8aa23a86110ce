//! One list of commands: the bindings of the window, its permissions and the verbs of
//! `windlassctl` say the same.

use std::collections::BTreeSet;
use std::path::Path;

use specta_typescript::Typescript;
use windlass_workshop::verbs;

const BINDINGS: &str = "ui/src/bindings.ts";
const PERMISSIONS: &str = "src-tauri/permissions/main.toml";

/// What tauri-specta writes above the types.
const HEADER: &str = "// Generated from the Rust commands: `./dev generate` writes it anew.\n";

fn exported() -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bindings.ts");
    windlass::commands::list::<tauri::Wry>()
        .export(Typescript::default().header(HEADER), &path)
        .unwrap();
    std::fs::read_to_string(path).unwrap()
}

/// The commands that the window can give, by their names in Rust.
fn commands() -> BTreeSet<String> {
    let text = exported();
    let mut names: BTreeSet<String> = text
        .split("__TAURI_INVOKE(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    // Its raw body cannot be described to tauri-specta.
    names.insert("stream_write".to_owned());
    names
}

#[test]
fn bindings_are_current() {
    let text = exported();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(BINDINGS);
    if std::env::var_os("WINDLASS_GENERATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{BINDINGS} is not what the commands are: run `./dev generate`"
    );
}

#[test]
fn the_window_may_give_every_command_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PERMISSIONS);
    let permissions = std::fs::read_to_string(path).unwrap();
    let allowed: BTreeSet<String> = permissions
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('"'))
        .filter_map(|line| {
            line.trim_end_matches(',')
                .trim_matches('"')
                .split('"')
                .next()
        })
        .map(str::to_owned)
        .collect();
    assert_eq!(
        allowed,
        commands(),
        "{PERMISSIONS} and src-tauri/src/commands/mod.rs differ"
    );
}

#[test]
fn what_the_window_can_do_windlassctl_can_do() {
    let known: BTreeSet<String> = verbs::VERBS
        .iter()
        .map(|verb| verb.command.to_owned())
        .collect();
    assert_eq!(
        known,
        commands(),
        "verbs.rs and src-tauri/src/commands/mod.rs differ"
    );
}
