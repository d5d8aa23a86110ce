//! What the fuzz targets do with their bytes, and what each begins with.
//!
//! Not only that nothing panics: what was read is written and read as the same, an archive writes
//! nowhere but into its folder, an edit changes what it should.

#![allow(
    dead_code,
    reason = "each fuzz target is a program of its own, and calls one of these"
)]

use std::fs;
use std::io::Cursor;
use std::path::Path;

use windlass_package::archive::{Limits, unpack};
use windlass_package::closure::Elf;
use windlass_package::edit::{self, EditError, Value};
use windlass_package::index::ImageIndex;
use windlass_package::{BuildSettings, Ignore, Lock, Manifest, RunFile};

/// A target: its name, what it does, and what it begins with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const ALL: [Target; 8] = [
    ("archive", archive, archive_seeds),
    ("edit", edit, edit_seeds),
    ("elf", elf, elf_seeds),
    ("ignore", ignore, ignore_seeds),
    ("index", index, index_seeds),
    ("lock", lock, lock_seeds),
    ("manifest", manifest, manifest_seeds),
    ("run_file", run_file, run_file_seeds),
];

/// A manifest.
pub fn manifest(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Manifest::parse(&text, "package.yaml") {
        Ok(parsed) => {
            let written = parsed.value.to_yaml().unwrap();
            let again = Manifest::parse(&written, "package.yaml").unwrap().value;
            assert_eq!(again, parsed.value, "{written}");
            let _ = again.requirements();
        }
        Err(error) => drop((error.to_string(), error.hint())),
    }
}

fn manifest_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        "name: app\ntitle: App\nauthor: Jane\nversion: 1.2.0\nrequire: [node, osv.cli]\nx-versions: {node: \">=18, <21\"}\n",
        "name: a\ntitle: b\nauthor: c\nx-environment:\n- {name: PORT, type: port, default: 80, required: true}\n- {name: L, type: choice, choices: [a, b]}\n",
        "name: &x a\ntitle: *x\nauthor: |\n  c\nrequire:\n- \"node >=18 || ^16\"\nlicense: MIT\nicon: /meta/i.png\nbinary: {a: /b}\n",
    ])
}

/// A run file, and, of the same bytes, build settings.
pub fn run_file(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match RunFile::parse(&text, "run.yaml") {
        Ok(parsed) => {
            let written = parsed.value.to_yaml().unwrap();
            let again = RunFile::parse(&written, "run.yaml").unwrap().value;
            assert_eq!(again, parsed.value, "{written}");
        }
        Err(error) => drop((error.to_string(), error.hint())),
    }
    if let Ok(parsed) = BuildSettings::parse(&text, "windlass.yaml") {
        let written = parsed.value.to_yaml().unwrap();
        let again = BuildSettings::parse(&written, "windlass.yaml")
            .unwrap()
            .value;
        assert_eq!(again, parsed.value, "{written}");
    }
}

fn run_file_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        "runtime: native\nconfig_set:\n  a: {bootcmd: /a, env: {A: b c}}\n  b: {base: \"x:y\"}\nconfig_set_default: a,b\n",
        "runtime: java\nconfig_set:\n  a:\n    main: /a.jar\n    xms: 1g\n    classpath: [/, /b]\n    jvm_args: [-Dx=y]\n",
        "runtime: node\nconfig_set:\n  a:\n    main: /a.js\n    node_args: [--inspect]\n    args:\n    - x\n    shell: no\n",
        "guest: linux\nmemory_mib: 256\nports:\n- {host: 80, guest: 8080, protocol: udp}\nenv: {A: b}\n",
    ])
}

/// The rules of `.capstanignore` in front of a NUL byte, a path behind it.
pub fn ignore(bytes: &[u8]) {
    let (rules, path) = split(bytes);
    if let Ok(rules) = Ignore::parse(&String::from_utf8_lossy(rules)) {
        let _ = rules.is_ignored(path);
        assert!(rules.is_ignored(b"meta/package.yaml"));
    }
}

fn ignore_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        "# x\n/build/*.o\n/src/**/test.js\n\0src/a/b/test.js",
        "/cache/*\na*b*c\0cache/aabbcc",
        "/**/**/x\0a/b/c/x",
    ])
}

/// An `index.yaml`.
pub fn index(bytes: &[u8]) {
    if let Ok(parsed) = ImageIndex::parse(&String::from_utf8_lossy(bytes), "index.yaml") {
        let written = parsed.value.to_yaml().unwrap();
        let again = ImageIndex::parse(&written, "index.yaml").unwrap().value;
        assert_eq!(again, parsed.value, "{written}");
    }
}

fn index_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        "format_version: \"1\"\nversion: v0.57.0\ncreated: 2023-05-02 10:11\ndescription: >-\n  OSv\n  loader\nbuild: make\n",
        "{}",
    ])
}

/// A lock.
pub fn lock(bytes: &[u8]) {
    if let Ok(parsed) = Lock::parse(&String::from_utf8_lossy(bytes), "windlass.lock") {
        let written = parsed.value.to_yaml().unwrap();
        let again = Lock::parse(&written, "windlass.lock").unwrap().value;
        assert_eq!(again.to_yaml().unwrap(), written);
        assert_eq!(again, parsed.value);
    }
}

fn lock_seeds() -> Vec<Vec<u8>> {
    let digest = "0123456789abcdef".repeat(4);
    let text = format!(
        "version: 1\npackages:\n- name: b\n  digest: {digest}\n- name: a\n  version: 1.0\n  digest: {digest}\n  archive_sha256: {digest}\n  origin: x\n"
    );
    vec![text.into_bytes()]
}

/// A text in front of a NUL byte; a path, its steps with `/` between, and a value behind it.
pub fn edit(bytes: &[u8]) {
    let (text, rest) = split(bytes);
    let (path, value) = split(rest);
    let (text, path, value) = (
        String::from_utf8_lossy(text),
        String::from_utf8_lossy(path),
        String::from_utf8_lossy(value),
    );
    let path: Vec<&str> = path.split('/').collect();
    let scalar = Value::Text(value.clone().into_owned());
    let list = Value::List(vec![
        scalar.clone(),
        Value::Map(vec![("key".into(), scalar.clone())]),
    ]);
    for value in [&scalar, &list] {
        match edit::set(&text, &path, value) {
            Ok(changed) => assert_eq!(
                edit::set(&changed, &path, value).as_ref(),
                Ok(&changed),
                "{changed}"
            ),
            Err(error) => drop((error.to_string(), error.hint())),
        }
    }
    if let Ok(changed) = edit::remove(&text, &path) {
        assert!(matches!(
            edit::remove(&changed, &path),
            Err(EditError::NotThere { .. }) | Ok(_)
        ));
    }
    let _ = edit::rename(&text, &path, &value);
    let _ = edit::insert_item(&text, &path, 1, &scalar);
    let _ = edit::set_texts(&text, &path, &[&value, "other"]);
}

fn edit_seeds() -> Vec<Vec<u8>> {
    seeds(&[
        "# c\na: 1 # x\nb:\n  # y\n  - c\n  - d: e\n    f: 'g'\n\0b/1/f\0new",
        "a: {b: [c, d], e: {f: g}}\nh: |\n  lines\n\nk: >-\n  folded\n\0a/e/f\0x: y",
        "- a\n- - b\n  - c\n\0",
        "a: &x 1\nb: *x\n? c\n: d\n\0c\0e",
        "a:\r\n- b\r\n\0a\0b",
    ])
}

/// A program or library.
pub fn elf(bytes: &[u8]) {
    if let Ok(elf) = Elf::read(&mut Cursor::new(bytes)) {
        let _ = elf.is_static();
    }
}

fn elf_seeds() -> Vec<Vec<u8>> {
    // This very program, which is linked to some libraries: its beginning, and a small one's all.
    let mut found = Vec::new();
    for path in ["/proc/self/exe", "/bin/true", "/lib64/ld-linux-x86-64.so.2"] {
        if let Ok(mut bytes) = fs::read(path) {
            bytes.truncate(64 << 10);
            found.push(bytes);
        }
    }
    found.push(b"\x7fELF\x02\x01\x01".to_vec());
    found
}

/// An archive: the first byte says by what name it comes.
pub fn archive(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let name = ["x.tar", "x.mpm", "x.zip", "x.tgz"][usize::from(*first) % 4];
    // In memory where that is to be had: what is unpacked is synchronised with the disk.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let archive = inner.join(name);
    fs::write(&archive, bytes).unwrap();
    let limits = Limits {
        entries: 100,
        size_bytes: 1 << 20,
        ratio: 200,
    };
    let into = inner.join("out");
    let unpacked = unpack(&archive, &into, &limits, &mut ());
    if let Err(error) = &unpacked {
        drop((error.to_string(), error.hint()));
    }
    let count = |folder: &Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(count(folder.path()), 1, "something was written outside");
    assert_eq!(
        count(&inner),
        if unpacked.is_ok() { 2 } else { 1 },
        "something was left"
    );
}

fn archive_seeds() -> Vec<Vec<u8>> {
    // A tar of a folder, a file, a link and a long name, by hand.
    let block = |name: &str, kind: u8, link: &str, size: usize| {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000755\0");
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..265].copy_from_slice(b"ustar  \0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    };
    let mut content = b"content".to_vec();
    content.resize(512, 0);
    let tar = [
        block("d/", b'5', "", 0),
        block("d/file", b'0', "", 7),
        content.clone(),
        block("d/link", b'2', "file", 0),
        block("././@LongLink", b'L', "", 7),
        content,
        block("x", b'1', "d/file", 0),
        vec![0; 1024],
    ]
    .concat();
    // A zip of one stored file.
    let mut zip =
        b"PK\x03\x04\x0a\0\0\0\0\0\0\0\0\0\x0d\x4a\x11\x8c\x01\0\0\0\x01\0\0\0\x01\0\0\0ax"
            .to_vec();
    let list = zip.len();
    zip.extend_from_slice(b"PK\x01\x02\x1e\x03\x0a\0\0\0\0\0\0\0\0\0\x0d\x4a\x11\x8c\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\xa4\x81\0\0\0\0a");
    let end = zip.len();
    zip.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend_from_slice(&u32::try_from(end - list).unwrap().to_le_bytes());
    zip.extend_from_slice(&u32::try_from(list).unwrap().to_le_bytes());
    zip.extend_from_slice(b"\0\0");
    // The same tar in gzip, not compressed: one stored block.
    let length = u16::try_from(tar.len()).unwrap();
    let mut gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    gzip.extend_from_slice(&length.to_le_bytes());
    gzip.extend_from_slice(&(!length).to_le_bytes());
    gzip.extend_from_slice(&tar);
    gzip.extend_from_slice(&[0; 8]);
    // What xz made of such a tar.
    let xz = b"\xfd7zXZ\x00\x00\x01i\"\xde6\x02\x00!\x01\x08\x00\x00\x00\xd8\x0f#\x13\xe0\x0b\xff\x00v]\x002\
        \x0b\xbc\x1b\xa7\x8c4D\xe1\xc2\x07u\xe8\xfc\xe3\xc0\x92\x84\x94\xb8p\x97\x08\x87v\xbe\x1bK$\x15\
        \xaf\x7f\xb2\x81\xd4\xff\x7fY\xc6\x88\x1c\xc8\x05\x95\x8bt\x82\xc9I\x87\x1d\x90wo\x0c\xb7b\x96>\
        \x89$\x0e\xe4\x16\xd9\x11\x11\x86E\x9aY\xc6U\xe2\x94\xd4\xd7f\xa4\x05\x89\xe3H}n\xc13\xd8\\D?\
        \xdf#\xf3\x7f8\xe7\xb8\xe0\x83\xec6b\xc2\x04\xbf\xb1\x8e\xc0oc\xad\x09r\xdem]\x00\x00\x00\x00\
        \xdf\x93\x9fj\x00\x01\x8e\x01\x80\x18\x00\x006\xcc\xe3%>0\x0d\x8b\x02\x00\x00\x00\x00\x01YZ".to_vec();
    [(0, tar.clone()), (1, tar), (2, zip), (3, gzip), (3, xz)]
        .into_iter()
        .map(|(first, mut bytes)| {
            bytes.insert(0, first);
            bytes
        })
        .collect()
}

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// In front of the first NUL byte, and behind it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + 1..).unwrap_or_default())
}
