use std::fmt::Write as _;
use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn this_program() -> PathBuf {
    std::env::current_exe().unwrap()
}

#[test]
fn the_closure_of_a_program_of_this_computer() {
    let closure = closure(&[this_program()]).unwrap();
    assert_eq!(closure.missing, []);
    let names: Vec<&str> = closure
        .objects
        .iter()
        .map(|object| object.name.as_str())
        .collect();
    assert!(names.contains(&"libc.so.6"), "{names:?}");
    assert!(
        names.iter().any(|name| name.starts_with("ld-")),
        "{names:?}"
    );
    for object in &closure.objects {
        assert!(
            object.guest.is_absolute() && object.host.is_file(),
            "{object:?}"
        );
        assert_eq!(
            names.iter().filter(|name| **name == object.name).count(),
            1,
            "{names:?}"
        );
    }
}

#[test]
fn what_a_program_asks_of_others() {
    let symbols = Symbols::open(&this_program()).unwrap();
    for name in ["memcpy", "open64", "posix_spawnp"] {
        assert!(
            symbols.imports.iter().any(|import| import == name),
            "{name}"
        );
    }
    let is_libc = |(library, version): &(String, String)| {
        library == "libc.so.6" && version.starts_with("GLIBC_2.")
    };
    assert!(symbols.needed_versions.iter().any(is_libc), "{symbols:?}");
    let libc = find_library("libc.so.6").unwrap();
    let offered = Symbols::open(&libc).unwrap().offered_versions;
    for (_, version) in symbols.needed_versions.iter().filter(|need| is_libc(need)) {
        assert!(offered.contains(version), "{version} of {offered:?}");
    }
}

#[test]
fn where_things_go() {
    let object = |guest: &str, name: &str, because: Because| Object {
        host: PathBuf::from(guest),
        guest: PathBuf::from(guest),
        name: name.into(),
        size_bytes: 10,
        because,
        elf: Elf::default(),
    };
    let needed = || Because::NeededBy("/usr/bin/node".into());
    let closure = Closure {
        objects: vec![
            object("/usr/bin/node", "node", Because::Asked),
            object(
                "/lib64/ld-linux-x86-64.so.2",
                "ld-linux-x86-64.so.2",
                Because::InterpreterOf("/usr/bin/node".into()),
            ),
            object("/lib/x86_64-linux-gnu/libc.so.6", "libc.so.6", needed()),
            object(
                "/lib/x86_64-linux-gnu/libstdc++.so.6",
                "libstdc++.so.6",
                needed(),
            ),
            object("/lib/x86_64-linux-gnu/libuv.so.1", "libuv.so.1", needed()),
            object("/usr/lib/libflat.so.1", "libflat.so.1", needed()),
        ],
        missing: Vec::new(),
    };
    let mut told = String::new();
    for layout in [Layout::HostPaths, Layout::OsvFlat, Layout::Both] {
        writeln!(told, "{layout:?}").unwrap();
        for place in closure.place(layout) {
            let content = match &place.content {
                Content::Copy(_) => String::new(),
                Content::Link(target) => format!(" -> {}", target.display()),
            };
            writeln!(
                told,
                "  {}{content}   {}",
                place.guest.display(),
                place.because
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn places_in_search_paths_are_filled_in() {
    let paths = [
        "$ORIGIN/../lib",
        "${ORIGIN}",
        "/opt/$LIB",
        "/opt/$PLATFORM",
        "relative",
        "/a//b/./c/..",
    ]
    .map(String::from);
    let expanded: Vec<String> = search::expand(&paths, Path::new("/app/bin/prog"))
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        expanded,
        [
            "/app/lib",
            "/app/bin",
            "/opt/lib/x86_64-linux-gnu",
            "/opt/lib64",
            "/opt/lib",
            "/a/b"
        ]
    );
}

#[test]
fn what_is_no_program_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut head = std::fs::read(this_program()).unwrap();
    head.truncate(4096);
    let patched = |at: usize, bytes: &[u8]| {
        let mut elf = head.clone();
        elf[at..at + bytes.len()].copy_from_slice(bytes);
        elf
    };
    let cases: [(&str, Vec<u8>); 8] = [
        ("empty", Vec::new()),
        ("text", b"#!/bin/sh\n".to_vec()),
        ("short", b"\x7fELF\x02\x01\x01".to_vec()),
        ("32-bit", patched(4, &[1])),
        ("big-endian", patched(5, &[2])),
        ("arm", patched(18, &[0x28, 0])),
        ("object-file", patched(16, &[1, 0])),
        ("segments", patched(0x38, &[0xff, 0xff])),
    ];
    let mut told = String::new();
    for (name, bytes) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = closure(&[path]).unwrap_err();
        writeln!(
            told,
            "{}",
            error
                .to_string()
                .replace(&folder.path().display().to_string(), "…")
        )
        .unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_needs_absurdly_much_is_refused_and_not_cut() {
    let folder = tempfile::tempdir().unwrap();
    let mut header = std::fs::read(this_program()).unwrap();
    header.truncate(64);
    // No segments at all.
    header[0x38..0x3a].fill(0);
    let objects: Vec<_> = (0..=OBJECTS_MAX)
        .map(|number| {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, &header).unwrap();
            path
        })
        .collect();
    assert!(closure(&objects[1..]).is_ok());
    let error = closure(&objects).unwrap_err().to_string();
    assert!(
        error.ends_with("needs more than 10000 libraries"),
        "{error}"
    );
}

proptest! {
    /// The beginning of a real program, with bytes changed anywhere in its tables.
    #[test]
    fn no_bytes_panic(changes in prop::collection::vec((0_usize..8192, any::<u8>()), 1..30)) {
        let mut bytes = std::fs::read("/bin/true").unwrap_or_default();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        let _ = Elf::read(&mut Cursor::new(&bytes));
        let _ = Symbols::read(&mut Cursor::new(bytes));
    }

    #[test]
    fn no_header_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
        elf.extend(bytes);
        let _ = Elf::read(&mut Cursor::new(elf));
    }
}
