//! Images of builds, command by command, without a guest: the kernel is only the beginning of one.

use crate::session::Session;

/// The header of a Linux kernel, by which its version is known.
fn linux_header() -> Vec<u8> {
    let mut bytes = vec![0; 0x400 + 4096];
    let mut put = |at: usize, what: &[u8]| bytes[at..at + what.len()].copy_from_slice(what);
    put(0, b"MZ");
    put(0x1f1, &[1]);
    put(0x1f4, &256_u32.to_le_bytes());
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS\x0f\x02");
    put(0x20e, &0x100_u16.to_le_bytes());
    put(0x211, &[1]);
    put(0x236, &[0x3f]);
    put(0x300, b"6.1.0-test-amd64 (somebody) #1 SMP\0");
    bytes
}

/// A home with a kernel and a package in the working folder.
fn session() -> Session {
    let session = Session::new();
    std::fs::write(session.folder().join("vmlinuz"), linux_header()).unwrap();
    session.done(&["kernel", "add", "vmlinuz"]);
    session.write(
        "app/meta/package.yaml",
        "name: app\ntitle: App\nauthor: Jane Doe\n",
    );
    session.write("app/greeting.txt", "hello\n");
    session.write("app/lib/more.txt", "more\n");
    session.done(&["sample", "create", "hello"]);
    let hello = session.home().join("appliances/hello/hello");
    std::fs::copy(hello, session.folder().join("app/hello")).unwrap();
    session.done(&["appliance", "add", "app"]);
    session.done(&[
        "appliance",
        "settings",
        "app",
        "--guest",
        "linux",
        "-e",
        "/hello",
    ]);
    session
}

#[test]
fn the_size_of_a_disk_is_set_and_taken_back() {
    let session = session();
    let size = |words: &[&str]| {
        let form = session.json(&[&["appliance", "settings", "app"], words].concat());
        form["settings"]["sizeMib"].clone()
    };
    assert_eq!(size(&["--disk-size", "64M"]), 64);
    let build = session.json(&["package", "compose", "sized", "--path", "app"]);
    assert_eq!(build["sizeBytes"], 64 << 20);
    assert_eq!(size(&["--disk-size", "2G"]), 2048);
    assert_eq!(size(&["--disk-size", "auto"]), serde_json::Value::Null);
    let settings = std::fs::read_dir(session.folder().join("app/meta")).unwrap();
    for file in settings {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("size_mib"), "{text}");
    }
    insta::assert_snapshot!(session.transcript(&[
        &["appliance", "settings", "app", "--disk-size", "1"],
        &["appliance", "settings", "app", "--disk-size", "large"],
    ]), @r#"
    $ windlassctl appliance settings app --disk-size 1
    -- stderr
    error: invalid value '1' for '--disk-size <SIZE>': a size is a number and a unit, such as 512M or 1G

    For more information, try '--help'.
    -- exit status 64

    $ windlassctl appliance settings app --disk-size large
    -- stderr
    error: invalid value 'large' for '--disk-size <SIZE>': a size is a number and a unit, such as 512M or 1G

    For more information, try '--help'.
    -- exit status 64
    "#);
}

#[test]
fn an_image_is_taken_apart_changed_resized_and_built_again() {
    let session = session();
    let compose = |name: &str| session.json(&["package", "compose", name, "--path", "app"]);
    compose("one");
    insta::assert_snapshot!(session.transcript(&[
        &["image", "extract", "one", "out", "--quiet"],
        &["image", "extract", "one", "out", "--quiet"],
        &["image", "verify", "one", "--quiet"],
        &["image", "diff", "one", "./out", "--quiet"],
        &["image", "resize", "one", "1G", "--quiet"],
        &["image", "resize", "one", "8M", "--quiet"],
        &["image", "verify", "one", "--quiet"],
    ]), @r#"
    $ windlassctl image extract one out --quiet
    Copied to $PWD/out

    $ windlassctl image extract one out --quiet
    -- stderr
    error: $PWD/out/data is there already
      hint: choose another name, or remove that file
    -- exit status 75

    $ windlassctl image verify one --quiet
    9 files with 1.1 MiB read: all is as the list says

    $ windlassctl image diff one ./out --quiet
    added    /lost+found
    mode     /tmp
    mode     /var/tmp
    1 added, 2 changed, 0 removed, 21 the same
    -- exit status 1

    $ windlassctl image resize one 1G --quiet
    one has 1.0 GiB now

    $ windlassctl image resize one 8M --quiet
    -- stderr
    error: the disk cannot have 8388608 bytes: a file system fills it, and file systems are not made smaller
    -- exit status 65

    $ windlassctl image verify one --quiet
    9 files with 1.1 MiB read: all is as the list says
    "#);
    let text = std::fs::read_to_string(session.folder().join("out/greeting.txt")).unwrap();
    assert_eq!(text, "hello\n");

    // A build behind a resize goes on with the image as it is.
    let resized = compose("one");
    assert_eq!(resized["sizeBytes"], 1 << 30);
    session.write("app/greeting.txt", "hello again\n");
    let updated = compose("one");
    assert_eq!(updated["changes"]["manner"], "updated", "{updated}");
    assert_eq!(updated["sizeBytes"], 1 << 30);

    // One behind a change by hand says why it begins anew, and leaves that image alone.
    insta::assert_snapshot!(session.transcript(&[
        &["image", "set-cmdline", "one", "/lib/more.txt"],
        &["image", "cat", "one", "/etc/windlass/command-line"],
        &["image", "replace", "one", "/greeting.txt", "app/lib/more.txt"],
        &["image", "cat", "one", "/greeting.txt"],
        &["image", "verify", "one", "--quiet"],
    ]), @r#"
    $ windlassctl image set-cmdline one /lib/more.txt
    one starts with `/lib/more.txt`

    $ windlassctl image cat one /etc/windlass/command-line
    /lib/more.txt

    $ windlassctl image replace one /greeting.txt app/lib/more.txt
    Replaced /greeting.txt

    $ windlassctl image cat one /greeting.txt
    more

    $ windlassctl image verify one --quiet
    content    /etc/windlass/command-line
    content    /greeting.txt
    9 files with 1.1 MiB read: 2 paths are not as the list says
    -- exit status 1
    "#);
    let anew = compose("one");
    assert_eq!(anew["changes"]["manner"], "anew", "{anew}");
    let reason = anew["changes"]["reason"].as_str().unwrap();
    assert!(reason.contains("written to since it was built"), "{reason}");
    let cat = session.done(&["image", "cat", "one", "/greeting.txt"]);
    assert_eq!(cat.stdout, "hello again\n");
}

#[test]
fn an_old_build_is_run_by_its_id_and_by_nothing_else() {
    let session = session();
    let words = session.transcript(&[
        &["run", "--build", "0123456789abcdef0123456789abcdef"],
        &[
            "run",
            "--build",
            "0123456789abcdef0123456789abcdef",
            "--memory",
            "64M",
        ],
    ]);
    insta::assert_snapshot!(words, @r#"
    $ windlassctl run --build ID
    -- stderr
    error: There is no build `ID`
    -- exit status 66

    $ windlassctl run --build ID --memory 64M
    -- stderr
    error: an old build runs with its appliance's settings
      hint: Change them with `windlassctl appliance settings`, or leave these flags out
    -- exit status 64
    "#);
}
