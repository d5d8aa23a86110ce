use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::*;

fn surroundings() -> Surroundings {
    Surroundings {
        author: Some("Jane Doe".into()),
        node: Some("node-20".into()),
        python: Some("python-3.11".into()),
    }
}

/// A folder `my-app` with these files; names that end in `*` are executable.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let outer = tempfile::tempdir().unwrap();
    fs::create_dir(outer.path().join("my-app")).unwrap();
    for (name, content) in files {
        let path = outer.path().join("my-app").join(name.trim_end_matches('*'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        if name.ends_with('*') {
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
    }
    outer
}

fn told_of(outer: &tempfile::TempDir) -> String {
    let proposal = propose_in(&outer.path().join("my-app"), &surroundings()).unwrap();
    let mut text = format!(
        "{} files, {} bytes; runs: {}\n",
        proposal.file_count, proposal.size_bytes, proposal.command
    );
    for reason in &proposal.reasons {
        writeln!(text, "  {reason}").unwrap();
    }
    for problem in &proposal.problems {
        writeln!(text, "{problem}").unwrap();
    }
    text += &proposal.package_yaml;
    text += &proposal.run_yaml.unwrap_or_default();
    text.replace(&outer.path().display().to_string(), "…")
}

fn told(files: &[(&str, &[u8])]) -> String {
    let outer = folder(files);
    let text = told_of(&outer);
    let proposal = propose_in(&outer.path().join("my-app"), &surroundings()).unwrap();
    // What is proposed is what would be read.
    Manifest::parse(&proposal.package_yaml, "package.yaml").unwrap();
    if let Some(run) = proposal.run_yaml {
        RunFile::parse(&run, "run.yaml").unwrap();
    }
    text
}

#[test]
fn node_projects() {
    let told = [
        told(&[
            ("package.json", br#"{"name": "greeter", "version": "2.1.0-rc.1", "author": "Ada <ada@example.org>", "scripts": {"start": "node --trace-warnings ./src/server.js --port 80"}, "dependencies": {"express": "4"}}"#),
            ("src/server.js", b""),
        ]),
        told(&[
            ("package.json", br#"{"main": "lib", "author": {"name": "Ada"}, "scripts": {"start": "NODE_ENV=production node x && echo"}}"#),
            ("lib/index.js", b""),
            ("node_modules/x/index.js", b""),
        ]),
        told(&[("server.js", b""), ("meta/README.md", b"not counted")]),
        told(&[("package.json", b"{ not JSON"), ("app.js", b""), ("main.py", b"")]),
    ]
    .join("---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn python_projects() {
    let told = [
        told(&[
            ("app.py", b""),
            ("requirements.txt", b"# tools\nflask==3\n"),
        ]),
        told(&[
            ("tool.py", b""),
            ("setup.py", b""),
            (".venv/pyvenv.cfg", b""),
        ]),
        told(&[("one.py", b""), ("two.py", b"")]),
    ]
    .join("---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn programs_and_scripts() {
    let this = fs::read("/bin/true").unwrap();
    let outer = folder(&[("bin/true*", &this), ("data.txt", b"x")]);
    let program = told_of(&outer);
    assert!(program.contains("bootcmd: /bin/true\n"), "{program}");
    assert!(
        program.contains("note: bin/true: it needs libc.so.6"),
        "{program}"
    );
    let told = [
        told(&[
            ("run.sh*", b"#!/usr/bin/env bash\necho\n"),
            ("other.sh*", b"#!/bin/sh\n"),
        ]),
        told(&[("broken*", b"\x7fELF\x01\x01")]),
        told(&[("page.html", b"<p>")]),
        told(&[]),
    ]
    .join("---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn what_stands_in_the_way_is_found_without_being_followed() {
    let outer = folder(&[
        ("server.js", b""),
        (".capstanignore", b"/ignored\n"),
        ("ignored/pipe", b""),
        ("real.txt", b""),
    ]);
    let root = outer.path().join("my-app");
    let _listener = UnixListener::bind(root.join("vnc-socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("/real.txt", root.join("within")).unwrap();
    symlink(root.join("real.txt"), root.join("of-this-computer")).unwrap();
    symlink("../../outside", root.join("climbing")).unwrap();
    symlink(".", root.join("loop")).unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")), "").unwrap();
    fs::write(root.join("new\nline"), "").unwrap();
    for at in 0..9 {
        UnixListener::bind(root.join(format!("socket-{at}"))).unwrap();
    }
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(20 << 30).unwrap();
    insta::assert_snapshot!(told_of(&outer));
}

#[test]
fn a_folder_that_is_not_there() {
    let error = propose_in(std::path::Path::new("/not/there"), &surroundings()).unwrap_err();
    assert_eq!(error.to_string(), "there is no folder /not/there");
    assert!(error.hint().is_some());
}

#[test]
fn start_scripts_that_are_plain_calls_of_node() {
    for (command, main) in [
        ("node server.js", Some("server.js")),
        ("node ./a/b.mjs x", Some("a/b.mjs")),
        ("node -r dotenv/config server.js", None),
        ("node ../up.js", None),
        ("node /abs.js", None),
        ("nodemon server.js", None),
        ("node server.js && x", None),
        ("node", None),
        ("", None),
    ] {
        assert_eq!(
            node::start_of(command).map(|start| start.main).as_deref(),
            main,
            "{command}"
        );
    }
}

#[test]
fn the_name_in_git_settings() {
    let text = "[core]\n\tname = no\n[user]\n\temail = a@b\n\tName = \"Jane Doe\"\n";
    assert_eq!(author::git_user(text).as_deref(), Some("Jane Doe"));
    assert_eq!(author::git_user("[user]\nname =\n"), None);
}

#[test]
fn this_computer_is_asked_only_where_it_matters() {
    let outer = folder(&[("notes.txt", b"")]);
    let proposal = propose(&outer.path().join("my-app")).unwrap();
    assert_eq!(proposal.runtime, None);
    assert!(proposal.require.is_empty());
}
