//! What is inside a guest, as `machine guest` tells it; `guest` boots it.

use crate::session::Session;

/// Everything of `machine guest`, in a guest that runs `/hello … --sleep` and may be changed.
pub(crate) fn look_inside(session: &Session, machine: &str) {
    let guest = |verb: &str, words: &[&str]| {
        session.run(&[&["machine", "guest", verb, machine], words].concat())
    };
    let done = |verb: &str, words: &[&str]| {
        let said = guest(verb, words);
        assert_eq!(said.status, 0, "{verb}: {}", said.stderr);
        said.stdout
    };

    let all = session.json(&["machine", "guest", "ps", machine]);
    let all = all.as_array().unwrap();
    let first = &all[0];
    assert_eq!((&first["id"], &first["parent"]), (&1.into(), &0.into()));
    let command = |it: &&serde_json::Value| it["command"] == "/hello one --sleep 250";
    let hello = all.iter().find(command).unwrap();
    assert_eq!(
        (&hello["name"], &hello["state"]),
        (&"hello".into(), &"sleeping".into())
    );
    assert!(hello["memoryBytes"].as_u64().unwrap() > 0, "{hello}");
    assert!(done("ps", &[]).starts_with("ID"), "a table");

    let memory = session.json(&["machine", "guest", "mem", machine]);
    let bytes = |name: &str| memory[name].as_u64().unwrap();
    assert!(bytes("availableBytes") > 0 && bytes("availableBytes") < bytes("totalBytes"));

    let environment = session.json(&["machine", "guest", "env", machine]);
    assert_eq!(environment["process"]["id"], hello["id"], "{environment}");
    let variables = done("env", &[&hello["id"].to_string()]);
    assert!(variables.contains("PATH=/"), "{variables}");
    let said = guest("env", &["99999"]);
    assert_ne!(said.status, 0);
    assert!(said.stderr.contains("no process 99999"), "{}", said.stderr);
    assert!(done("cmdline", &[]).contains("windlass.agent=on"));
    let log = done("dmesg", &[]);
    assert!(log.contains("] Linux version"), "{log}");

    let root = session.json(&["machine", "guest", "ls", machine]);
    let entries = root["entries"].as_array().unwrap();
    let large = entries.iter().find(|it| it["name"] == "large").unwrap();
    assert_eq!(
        (&large["kind"], &large["sizeBytes"]),
        (&"file".into(), &(3 << 20).into())
    );
    assert_eq!(entries[0]["kind"], "directory", "folders come first");

    // Out, in and out again: the same bytes; a folder is no file, and what is not there is said.
    let folder = session.home().join("copies");
    std::fs::create_dir(&folder).unwrap();
    let (out, back) = (folder.join("out"), folder.join("back"));
    let path = |path: &std::path::Path| path.display().to_string();
    done("get", &["/large", &path(&folder)]);
    assert_eq!(
        std::fs::read(folder.join("large")).unwrap(),
        vec![7; 3 << 20]
    );
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&out, &content).unwrap();
    done("put", &[&path(&out), "/old"]);
    done("get", &["/old/out", &path(&back)]);
    assert_eq!(std::fs::read(&back).unwrap(), content);
    for (words, expected) in [
        (["/gone", &path(&folder)], "/gone is not in the guest"),
        (["/old", &path(&folder)], "no regular file"),
        (["/a/../b", &path(&folder)], "no path of a guest"),
    ] {
        let said = guest("get", &words);
        assert_ne!(said.status, 0);
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
    let said = guest("put", &[&path(&out), "/proc"]);
    assert_ne!(said.status, 0, "{}", said.stdout);
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["back", "large", "out"], "nothing half is left");
    // The push that follows knows nothing of it.
    let said = session.run(&["machine", "exec", machine, "--", "/hello"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
}
