//! Looking into the merged tree as a guest would: along symlinks, into files.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek};

use windlass_image::GuestPath;

use crate::plan::{Entry, EntryKind, Origin, Plan};

/// The first bytes of an ELF file.
pub(super) const ELF_MAGIC: &[u8] = b"\x7fELF";

/// After so many symlinks a guest gives up.
const SYMLINKS_MAX: usize = 40;

/// Something that can be read from anywhere.
pub(super) trait Readable: Read + Seek {}

impl<T: Read + Seek> Readable for T {}

/// What a guest finds at a path.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is, with all symlinks followed.
    pub(super) path: GuestPath,
    /// What is there; nothing is known of the root.
    pub(super) entry: Option<Entry>,
}

/// Follows a path as a guest would; `None` where it leads nowhere. `text` may be relative to `from`.
pub(super) fn follow(plan: &Plan, from: &GuestPath, text: &[u8]) -> Option<Found> {
    let mut at = if text.first() == Some(&b'/') {
        GuestPath::root()
    } else {
        from.clone()
    };
    let mut rest: Vec<Vec<u8>> = components(text);
    let mut symlinks = 0;
    while let Some(name) = rest.pop() {
        if name == b".." {
            at = at.parent().unwrap_or_default();
            continue;
        }
        let next = at.join(&name).ok()?;
        match plan.get(&next)?.kind {
            EntryKind::Symlink { target } => {
                symlinks += 1;
                if symlinks > SYMLINKS_MAX {
                    return None;
                }
                if target.first() == Some(&b'/') {
                    at = GuestPath::root();
                }
                rest.extend(components(&target));
            }
            _ => at = next,
        }
    }
    let entry = plan.get(&at);
    (at.is_root() || entry.is_some()).then_some(Found { path: at, entry })
}

/// The names of a path, last first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    path.rsplit(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(<[u8]>::to_vec)
        .collect()
}

/// Opens a file of the plan.
pub(super) fn open<'a>(path: &GuestPath, entry: &'a Entry) -> io::Result<Box<dyn Readable + 'a>> {
    match &entry.origin {
        Origin::Made(bytes) => Ok(Box::new(Cursor::new(bytes))),
        Origin::Host { folder, .. } => Ok(Box::new(File::open(path.below(folder))?)),
        Origin::None => Err(io::ErrorKind::IsADirectory.into()),
    }
}

/// The interpreter that a script names in its first line, `#!/bin/sh -e`.
pub(super) fn interpreter(start: &[u8]) -> Option<String> {
    let line = start
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let first = words.next()?.to_owned();
    // `env` looks for another one.
    if first.ends_with("/env")
        && let Some(program) = words.find(|word| !word.starts_with('-') && !word.contains('='))
    {
        return Some(format!("{first} {program}"));
    }
    Some(first)
}

/// Whether all that a script's first line names is there. Programs named to `env` are looked for in the usual folders.
pub(super) fn has_interpreter(plan: &Plan, interpreter: &str) -> bool {
    let is_file = |path: &str| is_file(plan, path);
    match interpreter.split_once(' ') {
        Some((env, program)) => is_file(env) && find_program(plan, program).is_some(),
        None => is_file(interpreter),
    }
}

fn is_file(plan: &Plan, path: &str) -> bool {
    follow(plan, &GuestPath::root(), path.as_bytes())
        .and_then(|found| found.entry)
        .is_some_and(|entry| entry.kind == EntryKind::File)
}

/// Finds a program by its bare name in the folders where a Linux guest looks.
pub(super) fn find_program(plan: &Plan, name: &str) -> Option<Found> {
    const FOLDERS: [&str; 6] = [
        "usr/local/sbin",
        "usr/local/bin",
        "usr/sbin",
        "usr/bin",
        "sbin",
        "bin",
    ];
    FOLDERS.iter().find_map(|folder| {
        follow(
            plan,
            &GuestPath::root(),
            format!("{folder}/{name}").as_bytes(),
        )
    })
}
