//! What a user sees, command by command, without a guest.

use crate::session::Session;

/// A package that any guest can hold.
fn with_package(session: &Session) {
    session.write(
        "meta/package.yaml",
        "name: app\ntitle: An application\nauthor: Jane Doe\n",
    );
    session.write(
        "meta/run.yaml",
        "runtime: native\nconfig_set:\n  hi:\n    bootcmd: /bin/greet\n    env:\n      WHOM: a b\n  bye:\n    bootcmd: /bin/leave\nconfig_set_default: hi\n",
    );
    session.write("bin/greet.txt", "hello\n");
}

#[test]
fn samples_become_appliances() {
    let session = Session::new();
    insta::assert_snapshot!(session.transcript(&[
        &["sample", "create", "hello"],
        &["sample", "create", "hello", "--quiet"],
        &["sample", "create", "helo"],
        &["appliance", "list"],
        &[
            "appliance",
            "settings",
            "hello",
            "--memory",
            "64M",
            "--forward",
            "8080:80",
            "--env",
            "WHOM=a b"
        ],
        &["run", "hello", "--dry-run", "--quiet"],
        &["appliance", "contents", "hello", "/run"],
        &["job", "list"],
        &["appliance", "remove", "hello"],
        &["appliance", "list"],
    ]));
}

#[test]
fn a_folder_gets_a_manifest() {
    let session = Session::new();
    session.write("service/index.txt", "nothing that runs");
    session.write("mine/file", "");
    insta::assert_snapshot!(session.transcript(&[
        &[
            "package",
            "init",
            "mine",
            "-n",
            "mine",
            "-t",
            "My own",
            "-a",
            "Jane Doe",
            "-v",
            "1.2",
            "--require",
            "base",
            "--runtime",
            "native"
        ],
        &[
            "package", "init", "mine", "-n", "other", "-t", "Other", "-a", "Jane Doe"
        ],
        &[
            "package", "init", "mine", "-n", "other", "-t", "Other", "-a", "Jane Doe", "--force"
        ],
        &[
            "package",
            "init",
            "mine",
            "--runtime",
            "cobol",
            "-n",
            "a",
            "-t",
            "b",
            "-a",
            "c",
            "--force"
        ],
        &[
            "package",
            "init",
            "new/folder",
            "-n",
            "new",
            "-t",
            "New",
            "-a",
            "Jane Doe"
        ],
        &["package", "describe", "./new/folder"],
        &["package", "init", "vanished"],
        &["appliance", "add", "service"],
    ]));
    assert_eq!(
        std::fs::read_to_string(session.folder().join("mine/meta/package.yaml")).unwrap(),
        "name: other\ntitle: Other\nauthor: Jane Doe\n"
    );
}

#[test]
fn what_is_proposed_is_written_only_when_agreed_to() {
    let session = Session::new();
    session.write("web/server.py", "print('hi')\n");
    let proposed = session.done(&["package", "init", "web"]);
    assert!(
        proposed.stdout.contains("meta/package.yaml\n  name: web"),
        "{}",
        proposed.stdout
    );
    assert!(proposed.stderr.contains("Nothing was written"));
    assert!(!session.folder().join("web/meta").exists());

    session.done(&["package", "init", "web", "--yes"]);
    let manifest = session.folder().join("web/meta/package.yaml");
    assert!(
        std::fs::read_to_string(manifest)
            .unwrap()
            .starts_with("name: web\n")
    );
}

#[test]
fn a_package_is_collected_into_mpm_pkg() {
    let session = Session::new();
    with_package(&session);
    session.write(".capstanignore", "/secret\n");
    session.write("secret", "not in any image");
    insta::assert_snapshot!(
        session.transcript(&[&["package", "collect"], &["package", "describe", ".", "-c"],])
    );
    let collected = session.folder().join("mpm-pkg");
    assert_eq!(
        std::fs::read_to_string(collected.join("bin/greet.txt")).unwrap(),
        "hello\n"
    );
    assert!(collected.join("run/hi").is_file());
    assert!(!collected.join("secret").exists());

    // Again, over what is there; and it is no part of itself.
    let again = session.json(&["package", "collect", "--pull-missing"]);
    let paths: Vec<_> = again["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["path"])
        .collect();
    assert!(
        !paths
            .iter()
            .any(|path| path.as_str().unwrap().contains("mpm-pkg"))
    );
}

#[test]
fn mistakes_in_manifests_are_shown_where_they_are() {
    let session = Session::new();
    session.write(
        "title/meta/package.yaml",
        "name: app\ntitel: An application\nauthor: Jane\n",
    );
    session.write("tab/meta/package.yaml", "name: app\n\ttitle: x\n");
    session.write(
        "run/meta/package.yaml",
        "name: app\ntitle: x\nauthor: Jane\n",
    );
    session.write(
        "run/meta/run.yaml",
        "runtime: nativ\nconfig_set:\n  a:\n    bootcmd: /a\n",
    );
    session.write(
        "need/meta/package.yaml",
        "name: app\ntitle: x\nauthor: Jane\nrequire: [nowhere]\n",
    );
    session.write(
        "need/meta/run.yaml",
        "runtime: native\nconfig_set:\n  a:\n    bootcmd: /a\n",
    );
    insta::assert_snapshot!(session.transcript(&[
        &["package", "compose", "app", "--path", "title"],
        &["package", "compose", "app", "--path", "tab"],
        &["package", "compose", "app", "--path", "run"],
        &["package", "collect", "--path", "need"],
        &["package", "compose", "app", "--path", "nowhere"],
        &["package", "compose", "app"],
        &["run"],
    ]));
}

#[test]
fn boot_commands_are_previewed() {
    let session = Session::new();
    with_package(&session);
    insta::assert_snapshot!(session.transcript(&[
        &["run", "--dry-run"],
        &[
            "run",
            "--dry-run",
            "--boot",
            "hi",
            "--boot",
            "bye",
            "--env",
            "WHOM=the world"
        ],
        &[
            "run",
            "--dry-run",
            "--guest",
            "osv",
            "-e",
            "/bin/greet --all"
        ],
        &["run", "--dry-run", "--boot", "nothing"],
        &["run", "--dry-run", "--json", "--boot", "nothing"],
    ]));
}

#[test]
fn files_that_are_no_kernels_are_refused() {
    let session = Session::new();
    session.write("notes.txt", "no kernel\n");
    session.write("empty", "");
    insta::assert_snapshot!(session.transcript(&[
        &["kernel", "add", "notes.txt"],
        &["kernel", "add", "empty"],
        &["kernel", "add", "nowhere"],
        &["info", "notes.txt"],
        &["info", "."],
        &["kernel", "list"],
        &["kernel", "remove", "0123"],
        &["appliance", "add", "notes.txt"],
    ]));
}

#[test]
fn without_qemu_it_says_so() {
    let session = Session::new();
    insta::assert_snapshot!(session.transcript(&[
        &["settings", "set", "qemuPath", "/nowhere/qemu"],
        &["settings", "get"],
        &["--json", "settings", "get", "qemuPath"],
        &["settings", "set", "theme", "blue"],
        &["settings", "set", "colour", "blue"],
        &["settings", "set", "defaultMemoryMib", "7"],
    ]));
    let doctor = session.run(&["doctor"]);
    assert_eq!(doctor.status, 69);
    assert!(
        doctor.stdout.starts_with("missing  QEMU: "),
        "{}",
        doctor.stdout
    );
    assert!(doctor.stdout.contains("/nowhere/qemu"), "{}", doctor.stdout);
}

#[test]
fn names_that_stand_for_nothing_are_named() {
    let session = Session::new();
    insta::assert_snapshot!(session.transcript(&[
        &["run", "nowhere"],
        &["stop", "nowhere"],
        &["delete", "nowhere"],
        &["rmi", "nowhere"],
        &["machine", "logs", "nowhere"],
        &["job", "log", "nowhere"],
        &["package", "describe", "nowhere"],
        &["instances"],
        &["images"],
        &["I", "--json"],
        &["package", "list"],
        &["stop", "nowhere", "--json"],
    ]));
}

#[test]
fn words_that_are_not_understood_end_with_64() {
    let session = Session::new();
    insta::assert_snapshot!(session.transcript(&[
        &["machin", "list"],
        &["run", "--memory", "lots"],
        &["run", "-f", "http"],
        &["run", "--env", "A"],
        &["run", "-n", "bridge"],
        &["package", "compose", "--json"],
    ]));
}

#[test]
fn what_scripts_read_is_json() {
    let session = Session::new();
    session.done(&["sample", "create", "hello"]);
    let appliances = session.json(&["appliance", "list"]);
    assert_eq!(appliances[0]["name"], "hello");
    assert_eq!(appliances[0]["rootFs"], "ext4");
    let form = session.json(&["appliance", "settings", "hello"]);
    assert_eq!(form["settings"]["vcpus"], 1);
    assert_eq!(form["configurations"][0]["isDefault"], true);
    let config = session.json(&["config", "print"]);
    assert_eq!(config["home"], session.home().display().to_string());
    for list in [
        ["images"].as_slice(),
        &["instances"],
        &["kernel", "list"],
        &["package", "list"],
    ] {
        assert_eq!(session.json(list), serde_json::json!([]), "{list:?}");
    }
}

#[test]
fn shells_can_complete_words() {
    let session = Session::new();
    for (shell, word) in [
        ("bash", "_windlassctl()"),
        ("zsh", "#compdef windlassctl"),
        ("fish", "complete -c windlassctl"),
    ] {
        assert!(
            session.done(&["completion", shell]).stdout.contains(word),
            "{shell}"
        );
    }
    assert!(!session.home().exists(), "completion makes no state");
}

#[test]
fn help_names_every_verb() {
    let session = Session::new();
    insta::assert_snapshot!(session.transcript(&[
        &["--help"],
        &["run", "--help"],
        &["package", "compose", "-h"]
    ]));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::io::Read;
    let session = Session::new();
    let mut child = session
        .process(&["completion", "zsh"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // More is written than a pipe holds, and nobody reads it.
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    child.wait().unwrap();
    assert_eq!(stderr, "");
}

#[test]
fn volumes_and_images_are_looked_into() {
    let session = Session::new();
    session.write("files/a.txt", "A\n");
    session.write("files/sub/100%.txt", "B\n");
    session.run(&["volume", "create", "other", "--size", "16M"]);
    insta::assert_snapshot!(session.transcript(&[
        &[
            "volume", "create", "data", "--folder", "files", "--size", "16M", "--quiet"
        ],
        &["volume", "create", "data", "--size", "16M", "--quiet"],
        &["volume", "create", "a b", "--size", "16M"],
        &["image", "ls", "data"],
        &["image", "ls", "data", "/nowhere"],
        &["image", "tree", "data", "/sub"],
        &["image", "tree", "data", "/sub", "--json"],
        &["image", "cat", "data", "/a.txt"],
        &["image", "cat", "data", "/sub"],
        &["image", "search", "data", "TXT"],
        &["image", "sizes", "data"],
        &["image", "cp", "data", "/sub", "/a.txt", "out", "--quiet"],
        &["image", "cp", "data", "/a.txt", "out", "--quiet"],
        &["image", "diff", "data", "./files", "--quiet"],
        &["image", "diff", "data", "other", "--quiet"],
        &["image", "convert", "data", "copy.vdi", "--quiet"],
        &["image", "convert", "data", "copy.what", "--quiet"],
        &["image", "import", "copy.vdi", "--quiet"],
        &["image", "cat", "copy", "/a.txt"],
        &["image", "rm", "copy"],
        &["image", "imported"],
        &["image", "verify", "data"],
        &["image", "set-cmdline", "data", "/hello"],
        &["volume", "cp", "data", "/", "all", "--quiet"],
        &["volume", "resize", "data", "32M", "--quiet"],
        &["volume", "rm", "data"],
        &["volume", "rm", "data", "--force"],
        &["volume", "rm", "data", "--force"],
        &["image", "info", "nothing"],
    ]));
    let listed = session.run(&["volume", "ls"]);
    assert!(listed.stdout.contains("other"), "{}", listed.stdout);
    let info = session.run(&["image", "info", "other"]);
    assert!(info.stdout.contains("ext4"), "{}", info.stdout);
}

#[test]
fn a_package_is_sent_to_a_guest_elsewhere() {
    use std::io::Read;

    let session = Session::new();
    with_package(&session);
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let guest = std::thread::spawn(move || {
        let mut received = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    let to = format!("127.0.0.1:{port}");
    let sent = session.json(&["package", "compose-remote", &to]);
    let received = guest.join().unwrap();
    assert_eq!(
        sent,
        serde_json::json!({ "guest": to, "bytes": received.len() })
    );
    let text = String::from_utf8_lossy(&received);
    assert!(
        text.starts_with("070701") && text.contains("TRAILER!!!"),
        "{text}"
    );
    for part in ["/bin/greet.txt\0", "hello\n", "/run/hi\0"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(
        !text.contains("/etc/fstab"),
        "the guest has its own: {text}"
    );

    // Nobody listens there any more, and what is no address is none.
    let refused = session.run(&["package", "compose-remote", &to]);
    assert_eq!(refused.status, 69, "{}", refused.stderr);
    assert!(refused.stderr.contains("cpiod"), "{}", refused.stderr);
    let wrong = session.run(&["package", "compose-remote", "host:nothing"]);
    assert_eq!(wrong.status, 65, "{}", wrong.stderr);
}
