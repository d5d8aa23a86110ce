//! What has to be done in a guest that runs, so that it holds what the appliance has now.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use windlass_compose::{Change, DigestCache, Held, Push, push, record_path};
use windlass_guest::{CommandLine, GuestOs, RootFs};
use windlass_image::Source;

use crate::support::{Workshop, fill};

fn pushed(workshop: &Workshop, held: &Held, command: &str) -> Push {
    let plan = workshop.plan(GuestOs::Linux, RootFs::Ext4).unwrap();
    push(
        &plan,
        &CommandLine::parse(command).unwrap(),
        held,
        &DigestCache::default(),
        &CancellationToken::new(),
    )
    .unwrap()
}

fn told(push: &Push) -> String {
    let mut text = format!(
        "{} added, {} changed, {} removed, {} bytes\n",
        push.added, push.changed, push.removed, push.bytes
    );
    for change in &push.changes {
        let path = change.path();
        let line = match change {
            Change::Remove { is_replaced, .. } if *is_replaced => format!("make room {path}"),
            Change::Remove { .. } => format!("remove {path}"),
            Change::Directory { mode, .. } => format!("directory {path} {mode:o}"),
            Change::File {
                mode, size_bytes, ..
            } => format!("file {path} {mode:o}, {size_bytes} bytes"),
            Change::Symlink { target, .. } => format!("link {path} -> {}", target.escape_ascii()),
            Change::Mode { mode, .. } => format!("mode {path} {mode:o}"),
        };
        writeln!(text, "{line}").unwrap();
    }
    if let Some(line) = &push.command_line {
        writeln!(text, "command line {line}").unwrap();
    }
    text
}

#[test]
fn only_what_differs_is_sent_and_what_is_gone_goes() {
    let mut workshop = Workshop::new();
    let files = [
        "app/text = hello",
        "app/same = same",
        "app/tool = x",
        "app/old/deep/file = x",
        "app/kind/file = x",
        "app/other = x",
        "app/link -> text",
    ];
    let root = workshop.layer("service", &files);
    let build = workshop
        .build(GuestOs::Linux, RootFs::Ext4, "/app/tool")
        .unwrap();
    let image = Held::of_image(&build.path).unwrap();
    assert!(pushed(&workshop, &image, "/app/tool").is_empty());

    for gone in ["app/old", "app/kind"] {
        fs::remove_dir_all(root.join(gone)).unwrap();
    }
    for gone in ["app/other", "app/link"] {
        fs::remove_file(root.join(gone)).unwrap();
    }
    let new = [
        "app/text = hello again",
        "app/kind = a file",
        "app/other/file = a folder",
        "app/link -> same",
        "app/new/größe 100% = new",
    ];
    fill(&root, &new);
    fs::set_permissions(root.join("app/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    workshop.take("service");
    let changes = pushed(&workshop, &image, "/app/tool --more");
    insta::assert_snapshot!(told(&changes), @"
    2 added, 5 changed, 2 removed, 45 bytes
    make room /app/other
    remove /app/old/deep/file
    remove /app/old/deep
    remove /app/old
    remove /app/kind/file
    make room /app/kind
    file /app/kind 644, 6 bytes
    link /app/link -> same
    directory /app/new 755
    file /app/new/größe 100% 644, 3 bytes
    directory /app/other 755
    file /app/other/file 644, 8 bytes
    file /app/text 644, 11 bytes
    mode /app/tool 755
    file /etc/windlass/command-line 644, 17 bytes
    command line /app/tool --more
    ");

    // Kept, read back, and nothing is left to be done; interrupted, all of it is done again.
    let path = workshop.path("held.json");
    assert_eq!(Held::read(&path).unwrap(), None);
    changes.after.write(&path).unwrap();
    let after = Held::read(&path).unwrap().unwrap();
    assert_eq!(after, changes.after);
    assert!(pushed(&workshop, &after, "/app/tool --more").is_empty());
    changes.during(&image).write(&path).unwrap();
    let during = Held::read(&path).unwrap().unwrap();
    let again = pushed(&workshop, &during, "/app/tool --more");
    insta::assert_snapshot!(told(&again), @"
    0 added, 7 changed, 4 removed, 46 bytes
    make room /etc/windlass/command-line
    make room /app/tool
    make room /app/text
    make room /app/other/file
    remove /app/old/deep/file
    remove /app/old/deep
    remove /app/old
    make room /app/new/größe 100%
    make room /app/link
    remove /app/kind/file
    make room /app/kind
    file /app/kind 644, 6 bytes
    link /app/link -> same
    directory /app/new 755
    file /app/new/größe 100% 644, 3 bytes
    directory /app/other 755
    file /app/other/file 644, 8 bytes
    file /app/text 644, 11 bytes
    file /app/tool 755, 1 bytes
    file /etc/windlass/command-line 644, 17 bytes
    command line /app/tool --more
    ");

    fs::write(&path, "{").unwrap();
    let error = Held::read(&path).unwrap_err().to_string();
    assert!(error.contains("held.json"), "{error}");
    fs::remove_file(record_path(&build.path)).unwrap();
    Held::of_image(&build.path).unwrap_err();
}

/// A guest in memory: what is at each path, by its path.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Guest(BTreeMap<String, String>);

impl Guest {
    /// Does so many of the changes.
    fn take(&mut self, push: &Push, count: usize) {
        for change in push.changes.iter().take(count) {
            let path = change.path().to_string();
            match change {
                Change::Remove { .. } => {
                    let below = format!("{path}/");
                    let is_empty = !self.0.keys().any(|other| other.starts_with(&below));
                    assert!(is_empty, "{path} holds something");
                    self.0.remove(&path);
                }
                Change::Directory { mode, .. } => {
                    self.0.insert(path, format!("directory {mode:o}"));
                }
                Change::File { mode, source, .. } => {
                    let there = self.0.get(&path);
                    assert!(
                        !there.is_some_and(|it| it.starts_with("directory")),
                        "{path}"
                    );
                    let bytes = match source {
                        Source::Bytes(bytes) => bytes.to_vec(),
                        source => fs::read(source.file(change.path()).unwrap()).unwrap(),
                    };
                    self.0
                        .insert(path, format!("file {mode:o} {}", bytes.escape_ascii()));
                }
                Change::Symlink { target, .. } => {
                    self.0
                        .insert(path, format!("link {}", target.escape_ascii()));
                }
                Change::Mode { mode, .. } => {
                    let old = self.0.get(&path).unwrap();
                    let content = old.splitn(3, ' ').nth(2).unwrap();
                    self.0.insert(path, format!("file {mode:o} {content}"));
                }
            }
        }
    }
}

/// One of few paths as one of few things, so that kinds change often.
fn step() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec((0..6_usize, 0..5_usize), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn a_guest_that_takes_all_changes_is_a_new_one(steps in proptest::collection::vec((step(), any::<bool>(), 0..8_usize), 1..5)) {
        const PATHS: [&str; 6] = ["a", "a/b", "a/b/c", "d", "d/e", "f"];
        let mut workshop = Workshop::new();
        let root = workshop.layer("service", &["tool = x"]);
        let (mut guest, mut held) = (Guest::default(), Held::default());
        for (edits, is_interrupted, count) in steps {
            for (path, what) in edits {
                let at = root.join(PATHS[path]);
                if at.is_dir() && !at.is_symlink() {
                    fs::remove_dir_all(&at).unwrap();
                } else {
                    let _ = fs::remove_file(&at);
                }
                let parent_is_folder = at.parent().unwrap().symlink_metadata().is_ok_and(|it| it.is_dir());
                if !parent_is_folder || what == 0 {
                    continue;
                }
                match what {
                    1 => fs::create_dir(&at).unwrap(),
                    2 => std::os::unix::fs::symlink("tool", &at).unwrap(),
                    other => {
                        fs::write(&at, format!("content {other}")).unwrap();
                        fs::set_permissions(&at, fs::Permissions::from_mode(if other == 3 { 0o644 } else { 0o755 })).unwrap();
                    }
                }
            }
            workshop.take("service");
            let changes = pushed(&workshop, &held, "/tool");
            if is_interrupted && count < changes.changes.len() {
                guest.take(&changes, count);
                held = changes.during(&held);
                continue;
            }
            guest.take(&changes, usize::MAX);
            held = changes.after;
        }
        let last = pushed(&workshop, &held, "/tool");
        guest.take(&last, usize::MAX);
        let mut fresh = Guest::default();
        fresh.take(&pushed(&workshop, &Held::default(), "/tool"), usize::MAX);
        prop_assert_eq!(guest, fresh);
    }
}
