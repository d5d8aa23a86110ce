//! ZFS roots: a choice like the others, for which the library needs a builder; with a real one, to the running machine.

use crate::session::Session;

/// The builder and the loader image of a real OSv, where the environment names them.
fn real() -> Option<(String, String)> {
    let file = |variable: &str| {
        let file = std::env::var(variable).ok();
        if file.is_none() {
            eprintln!("skipped: {variable} does not name a file of OSv's");
        }
        file
    };
    Some((
        file("WINDLASS_OSV_ZFS_BUILDER")?,
        file("WINDLASS_OSV_ZFS_LOADER")?,
    ))
}

/// As much of an OSv ELF kernel as it is known by: the note that QEMU boots it by, its greeting, and words in it.
fn kernel(version: &str, words: &str) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    let mut put = |offset: usize, part: &[u8]| {
        bytes[offset..offset + part.len()].copy_from_slice(part);
    };
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &2_u16.to_le_bytes());
    put(18, &62_u16.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(56, &1_u16.to_le_bytes());
    put(64, &4_u32.to_le_bytes());
    put(72, &128_u64.to_le_bytes());
    put(96, &44_u64.to_le_bytes());
    for (kind, value) in [(6_u32, b"osv\0".as_slice()), (18, &[0; 8])] {
        for number in [4, u32::try_from(value.len()).unwrap(), kind] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(b"Xen\0");
        bytes.extend(value);
    }
    bytes.extend(format!("OSv {version}\n\0{words}").bytes());
    bytes
}

#[test]
fn what_is_missing_for_zfs_is_named_with_its_remedy() {
    let session = Session::new();
    session.done(&["sample", "create", "hello"]);
    let folder = session
        .home()
        .join("appliances/hello")
        .display()
        .to_string();
    let add = |name: &str, version: &str, words: &str| {
        let path = session.home().join(name);
        std::fs::write(&path, kernel(version, words)).unwrap();
        session.done(&["kernel", "add", &path.display().to_string()])
    };
    let refused = |words: &[&str]| {
        let said = session.run(words);
        assert_ne!(said.status, 0, "{}", said.stdout);
        let error = said.stderr.find("error:").unwrap();
        said.stderr[error..].trim_end().to_owned()
    };
    let settings = ["appliance", "settings", "hello"];
    let linux = [settings.as_slice(), &["--guest", "linux", "--fs", "zfs"]].concat();
    insta::assert_snapshot!(refused(&linux), @"
    error: Linux cannot boot from ZFS, which Windlass makes for OSv only
      hint: Choose ext4, or OSv as the guest
    ");
    session.done(&[settings.as_slice(), &["--guest", "osv", "--fs", "zfs"]].concat());
    let compose = ["package", "compose", "hello", "--path", &folder];
    insta::assert_snapshot!(refused(&compose), @"
    error: There is no OSv kernel in the library
      hint: Add the loader image of an OSv that was built with `scripts/build fs=zfs` in Settings, or with `windlassctl kernel add FILE`
      hint: Or choose Linux as the guest in the run settings
    ");
    add("plain.elf", "v0.57.0", "");
    insta::assert_snapshot!(refused(&compose), @"
    error: No OSv kernel of the library can boot from zfs
      hint: Add the loader image of an OSv that was built with `scripts/build fs=zfs` in Settings, or with `windlassctl kernel add FILE`
      hint: Or choose Linux as the guest in the run settings
    ");
    add("zfs.elf", "v0.57.0", "zpool_name_to_prop");
    insta::assert_snapshot!(refused(&compose), @"
    error: There is no ZFS builder in the library, and only that can make a ZFS disk
      hint: Add OSv's zfs_builder-stripped.elf in Settings, or with `windlassctl kernel add FILE`
      hint: OSv's own build makes it: `scripts/build fs=zfs` leaves zfs_builder-stripped.elf in build/release.x64
      hint: Or choose ext4 as the root file system, which needs none
    ");
    // What it makes is found elsewhere than where this kernel looks.
    let tools = "/tools/mkfs.so\0/tools/cpiod.so\0zpool_name_to_prop";
    add("builder.elf", "v0.57.0-398-g0e34e4dc", tools);
    insta::assert_snapshot!(refused(&compose), @"
    error: The ZFS builder of OSv v0.57.0-398-g0e34e4dc makes disks that no OSv kernel of the library can boot from
      hint: Add the loader image of the same OSv, built with `scripts/build fs=zfs`, in Settings, or with `windlassctl kernel add FILE`
    ");
    let listed = session.done(&["kernel", "list"]).stdout;
    assert!(listed.contains("ZFS builder"), "{listed}");
}

#[test]
fn slow_a_zfs_root_is_written_by_osvs_builder_and_boots() {
    let Some((builder, loader)) = real() else {
        return;
    };
    let session = Session::new();
    session.done(&["sample", "create", "hello"]);
    let folder = session.home().join("appliances/hello");
    std::fs::write(folder.join("large"), vec![7; 9 << 20]).unwrap();
    let folder = folder.display().to_string();
    let compose = |builder: &str, size: &str| {
        session.run(&[
            "package",
            "compose",
            "hello",
            "--path",
            &folder,
            "--out",
            "zfs.img",
            "-s",
            size,
            "--zfs-builder",
            builder,
            "--zfs-loader",
            &loader,
            "--run",
            "/hello from-zfs",
        ])
    };
    // What is no builder is refused, and leaves nothing.
    assert_ne!(compose(&folder, "256M").status, 0);
    let said = compose(&builder, "256M");
    assert_eq!(said.status, 0, "{}{}", said.stdout, said.stderr);
    let disk = session.folder().join("zfs.img");
    let beside = std::fs::read_dir(session.folder()).unwrap().count();
    assert_eq!(beside, 2, "the disk and its record");
    let output = std::process::Command::new("qemu-system-x86_64")
        .args(["-nodefaults", "-machine", "pc", "-accel", "tcg"])
        .args(["-cpu", "max", "-m", "512", "-display", "none"])
        .args(["-serial", "stdio", "-no-reboot", "-drive"])
        .arg(format!("if=virtio,format=raw,file={}", disk.display()))
        .output()
        .unwrap();
    let console = String::from_utf8_lossy(&output.stdout);
    assert!(
        console.contains("Hello from a virtual appliance!") && console.contains("from-zfs"),
        "{console}"
    );
}

#[test]
fn slow_zfs_is_a_setting_and_a_kernel_of_the_library() {
    let Some((builder, loader)) = real() else {
        return;
    };
    let session = Session::new();
    session.done(&["sample", "create", "hello"]);
    let folder = session
        .home()
        .join("appliances/hello")
        .display()
        .to_string();
    let settings = session.run(&[
        "appliance",
        "settings",
        "hello",
        "--guest",
        "osv",
        "--fs",
        "zfs",
    ]);
    assert_eq!(settings.status, 0, "{}", settings.stderr);
    session.done(&["appliance", "settings", "hello", "--disk-size", "300M"]);
    session.done(&["kernel", "add", &loader]);
    session.done(&["kernel", "add", &builder]);
    let kernels = session.json(&["kernel", "list"]).to_string();
    assert!(kernels.contains("osvZfsBuilder"), "{kernels}");
    let built = session.json(&["package", "compose", "hello", "--path", &folder]);
    assert_eq!(
        (&built["rootFs"], &built["changes"]["manner"]),
        (&"zfs".into(), &"anew".into())
    );
    // The same again needs no guest; what changes is made anew, and that is said.
    assert_eq!(
        session.json(&["package", "compose", "hello", "--path", &folder])["id"],
        built["id"]
    );
    std::fs::write(std::path::Path::new(&folder).join("more"), "more").unwrap();
    let again = session.json(&["package", "compose", "hello", "--path", &folder]);
    assert_eq!(again["changes"]["added"], 1);
    assert_eq!(
        again["changes"]["reason"],
        "only a guest writes its file system"
    );
    // Only a guest reads it, and that is said; what is in it is known all the same.
    let id = again["id"].as_str().unwrap();
    let info = session.done(&["image", "info", id]).stdout;
    assert!(info.contains("ZFS, which is not read here"), "{info}");
    let refused = session.run(&["image", "ls", id]).stderr;
    assert!(
        refused.contains("holds ZFS, which only a guest can read"),
        "{refused}"
    );
    session.done(&["image", "lists", id, "lists", "--kind", "files"]);
    let list = session.folder().join("lists/hello.files.json");
    assert!(std::fs::read_to_string(list).unwrap().contains("\"/more\""));
    let said = session.run(&["run", "hello", "--execute", "/hello from-settings"]);
    assert_eq!(said.status, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("from-settings"), "{}", said.stdout);
}
