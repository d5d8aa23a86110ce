//! Rock Ridge: what Unix wants to know, in the system's part of a directory record (IEEE P1281 and P1282).
//!
//! ```text
//!   entry   two letters, u8 length, u8 version, content
//!   SP      there is such a thing here; bytes to pass over in front      CE  it goes on elsewhere
//!   ER      by which rules                                             PX  mode, links, owner
//!   NM      the name      SL  a symlink's target, by component           TF  times
//!   CL, RE  a directory that was moved because it lay too deep
//! ```

use super::records::{self, RECORD_BYTES_MAX, both};
use crate::disk::le_u32;

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const TYPE_MASK: u32 = 0o170_000;

const CONTINUES: u8 = 1;
const IS_CURRENT: u8 = 2;
const IS_PARENT: u8 = 4;
const IS_ROOT: u8 = 8;
const MODIFIED: u8 = 2;
const CE_BYTES: usize = 28;
/// An entry's length is one byte.
const CONTENT_BYTES_MAX: usize = 250;
const TARGET_BYTES_MAX: usize = 4095;
const NAME_BYTES_MAX: usize = 1024;

const RULES: [&[u8]; 3] = [
    b"RRIP_1991A",
    b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
    b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION.",
];

/// What kind of thing a record is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum What<'a> {
    Directory { mode: u32, links: u32 },
    File { mode: u32 },
    Symlink { target: &'a [u8] },
}

/// The system's part of a record, and what of it lies elsewhere.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    entries: Vec<Vec<u8>>,
}

fn entry(name: [u8; 2], content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len() + 4).unwrap_or(u8::MAX);
    [&name[..], &[length, 1], content].concat()
}

impl Parts {
    /// Those of a thing of this name; `.` and `..` have none.
    pub(super) fn new(what: What<'_>, name: &[u8]) -> Self {
        let (mode, links) = match what {
            What::Directory { mode, links } => (DIRECTORY | mode, links),
            What::File { mode } => (FILE | mode, 1),
            What::Symlink { .. } => (SYMLINK | 0o777, 1),
        };
        let mut entries = vec![
            entry(
                *b"PX",
                &[both(mode), both(links), both(0), both(0)].concat(),
            ),
            entry(*b"TF", &[&[MODIFIED][..], &records::short_time()].concat()),
        ];
        let mut pieces = name.chunks(CONTENT_BYTES_MAX).peekable();
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_some() {
                CONTINUES
            } else {
                0
            };
            entries.push(entry(*b"NM", &[&[flags][..], piece].concat()));
        }
        if let What::Symlink { target } = what {
            entries.extend(target_entries(target));
        }
        Self { entries }
    }

    /// Those of the root's own record, which says that there is Rock Ridge.
    pub(super) fn of_root(mode: u32, links: u32) -> Self {
        let mut parts = Self::new(What::Directory { mode, links }, b"");
        parts.entries.insert(0, entry(*b"SP", &[0xBE, 0xEF, 0]));
        let lengths = RULES.map(|rule| u8::try_from(rule.len()).unwrap_or(u8::MAX));
        let rules = [&lengths[..], &[1], &RULES.concat()].concat();
        parts.entries.push(entry(*b"ER", &rules));
        parts
    }

    /// How many entries fit into a record besides the name, and how long the rest is.
    fn split(&self, name: &[u8]) -> (usize, usize) {
        let room = RECORD_BYTES_MAX - records::length(name);
        let all: usize = self.entries.iter().map(Vec::len).sum();
        if all <= room {
            return (self.entries.len(), 0);
        }
        let mut used = CE_BYTES;
        let inside = self.entries.iter().take_while(|entry| {
            used += entry.len();
            used <= room
        });
        let inside = inside.count();
        (inside, self.entries[inside..].iter().map(Vec::len).sum())
    }

    /// How long the system's part of the record is, and how long what lies elsewhere.
    pub(super) fn lengths(&self, name: &[u8]) -> (usize, usize) {
        let (inside, rest) = self.split(name);
        let own: usize = self.entries[..inside].iter().map(Vec::len).sum();
        (own + if rest > 0 { CE_BYTES } else { 0 }, rest)
    }

    /// Both parts, given where the second one goes: sector, and byte in it.
    pub(super) fn to_bytes(&self, name: &[u8], (sector, at): (u32, u32)) -> (Vec<u8>, Vec<u8>) {
        let (inside, rest) = self.split(name);
        let mut own = self.entries[..inside].concat();
        if rest > 0 {
            let length = u32::try_from(rest).unwrap_or(u32::MAX);
            own.extend(entry(
                *b"CE",
                &[both(sector), both(at), both(length)].concat(),
            ));
        }
        (own, self.entries[inside..].concat())
    }
}

/// A symlink's target by components, cut into entries.
fn target_entries(target: &[u8]) -> Vec<Vec<u8>> {
    let mut components = Vec::new();
    let mut rest = target;
    if let Some(behind) = rest.strip_prefix(b"/") {
        components.push(vec![IS_ROOT, 0]);
        rest = behind;
    }
    // Two slashes mean one, and one at the end nothing.
    for name in rest
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
    {
        match name {
            b"." => components.push(vec![IS_CURRENT, 0]),
            b".." => components.push(vec![IS_PARENT, 0]),
            _ => {
                let mut pieces = name.chunks(CONTENT_BYTES_MAX - 4).peekable();
                while let Some(piece) = pieces.next() {
                    let flags = if pieces.peek().is_some() {
                        CONTINUES
                    } else {
                        0
                    };
                    let length = u8::try_from(piece.len()).unwrap_or(u8::MAX);
                    components.push([&[flags, length][..], piece].concat());
                }
            }
        }
    }
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for component in components {
        match entries.last_mut() {
            Some(last) if last.len() + component.len() <= CONTENT_BYTES_MAX => {
                last.extend(component);
            }
            _ => entries.push([&[0][..], &component].concat()),
        }
    }
    let count = entries.len();
    for content in entries.iter_mut().take(count.saturating_sub(1)) {
        content[0] = CONTINUES;
    }
    entries
        .iter()
        .map(|content| entry(*b"SL", content))
        .collect()
}

/// What Rock Ridge says of a record.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) mode: Option<u32>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    /// Seven bytes, as they are.
    pub(super) modified: Option<[u8; 7]>,
    /// Where a moved directory is.
    pub(super) moved_to: Option<u32>,
    /// This is where moved directories are.
    pub(super) is_moved: bool,
    pub(super) is_compressed: bool,
    /// Where it goes on: sector, byte, length.
    pub(super) goes_on: Option<(u32, u32, u32)>,
    /// How many bytes to pass over in every record.
    pub(super) passed_over: Option<u8>,
    component_goes_on: bool,
}

impl Said {
    /// Reads the entries of one area. What is cut off ends it; `Err` says what is too long.
    pub(super) fn read(&mut self, mut area: &[u8]) -> Result<(), &'static str> {
        self.goes_on = None;
        while area.len() >= 4 {
            let length = usize::from(area[2]);
            if length < 4 || length > area.len() {
                break;
            }
            let (entry, rest) = area.split_at(length);
            area = rest;
            let content = &entry[4..];
            match &entry[..2] {
                b"SP" if content.starts_with(&[0xBE, 0xEF]) => {
                    self.passed_over = content.get(2).copied();
                }
                b"CE" if content.len() >= 24 => {
                    let [a, b, c] = [0, 8, 16].map(|at| le_u32(content, at));
                    self.goes_on = Some((a, b, c));
                }
                b"PX" if content.len() >= 4 => self.mode = Some(le_u32(content, 0)),
                b"TF" => self.read_times(content),
                b"CL" if content.len() >= 4 => self.moved_to = Some(le_u32(content, 0)),
                b"RE" => self.is_moved = true,
                b"ZF" => self.is_compressed = true,
                // `.` and `..` need no name.
                b"NM"
                    if content
                        .first()
                        .is_some_and(|flags| flags & (IS_CURRENT | IS_PARENT) == 0) =>
                {
                    let name = self.name.get_or_insert_default();
                    name.extend(&content[1..]);
                    if name.len() > NAME_BYTES_MAX {
                        return Err("a name of at most 1024 bytes");
                    }
                }
                b"SL" if !content.is_empty() => self.read_target(&content[1..])?,
                b"ST" => break,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_times(&mut self, content: &[u8]) {
        let Some((&flags, times)) = content.split_first() else {
            return;
        };
        // The time of making comes before; long times are digits.
        let is_short = flags & 0x80 == 0;
        if flags & MODIFIED != 0 && is_short {
            let at = if flags & 1 != 0 { 7 } else { 0 };
            self.modified = times.get(at..at + 7).and_then(|time| time.try_into().ok());
        }
    }

    fn read_target(&mut self, mut components: &[u8]) -> Result<(), &'static str> {
        let target = self.target.get_or_insert_default();
        while let [flags, length, rest @ ..] = components {
            let length = usize::from(*length).min(rest.len());
            let (text, behind) = rest.split_at(length);
            components = behind;
            if !self.component_goes_on && !target.is_empty() && !target.ends_with(b"/") {
                target.push(b'/');
            }
            match flags & (IS_CURRENT | IS_PARENT | IS_ROOT) {
                IS_CURRENT => target.push(b'.'),
                IS_PARENT => target.extend(b".."),
                IS_ROOT => *target = b"/".to_vec(),
                _ => target.extend(text),
            }
            self.component_goes_on = flags & CONTINUES != 0;
            if target.len() > TARGET_BYTES_MAX {
                return Err("a target of at most 4095 bytes");
            }
        }
        Ok(())
    }

    pub(super) fn is_symlink(&self) -> bool {
        self.mode.is_some_and(|mode| mode & TYPE_MASK == SYMLINK)
    }

    /// What else it is than a file, directory or symlink.
    pub(super) fn special(&self) -> Option<&'static str> {
        Some(match self.mode? & TYPE_MASK {
            0o020_000 => "character device",
            0o060_000 => "block device",
            0o010_000 => "named pipe",
            0o140_000 => "socket",
            _ => return None,
        })
    }
}
