//! Requests and answers as frames.

use super::inspect::{length, read_entries, read_processes, write_entries, write_processes};
use super::wire::{Reader, WireError, Writer};
use super::{
    Answer, DATA_MAX_BYTES, FRAME_MAX_BYTES, LOOK_MAX_PATHS, MESSAGE_MAX_BYTES, NAME_MAX_BYTES,
    PATH_MAX_BYTES, RUN_MAX_WORDS, Refusal, Request, Seen, SeenKind,
};

const HELLO: u8 = 1;
const LOOK: u8 = 2;
const WRITE_BEGIN: u8 = 3;
const WRITE_DATA: u8 = 4;
const WRITE_END: u8 = 5;
const MAKE_DIRECTORY: u8 = 6;
const MAKE_SYMLINK: u8 = 7;
const SET_MODE: u8 = 8;
const REMOVE: u8 = 9;
const SYNC: u8 = 10;
const RESTART: u8 = 11;
/// Tags from 40 on: what concerns disks.
const MOUNT: u8 = 40;
const UNMOUNT: u8 = 41;
/// Tags from 60 on: what concerns programs that run beside the commands.
const RUN: u8 = 60;
const INPUT: u8 = 61;
const INPUT_END: u8 = 62;
/// Tags from 80 on: what is shown of the guest.
const LIST: u8 = 80;
const READ: u8 = 81;
const PROCESSES: u8 = 82;
const KERNEL_LOG: u8 = 83;

// Answers have the highest bit set.
const HELLO_TOO: u8 = 0x81;
const LOOKED: u8 = 0x82;
const DONE: u8 = 0x83;
const RESTARTED: u8 = 0x84;
const REFUSED: u8 = 0x85;
const OUTPUT: u8 = 0xc0;
const EXITED: u8 = 0xc1;
const LISTED: u8 = 0xd0;
const DATA: u8 = 0xd1;
const PROCESS_LIST: u8 = 0xd2;
const KERNEL_LINES: u8 = 0xd3;

/// No serial number and no file system has a longer name.
const WORD_MAX_BYTES: usize = 64;
/// More than this no mode has.
const MODE_MAX: u32 = 0o7777;

impl Request {
    /// The frame that says this.
    pub fn to_frame(&self, number: u32) -> Vec<u8> {
        let frame = |tag| Writer::new(number, tag);
        match self {
            Self::Hello { version, nonce } => frame(HELLO)
                .number(version.to_le_bytes())
                .number(nonce.to_le_bytes()),
            Self::Look {
                paths,
                with_digests,
            } => {
                let count = u16::try_from(paths.len()).unwrap_or(u16::MAX);
                let frame = frame(LOOK)
                    .number([u8::from(*with_digests)])
                    .number(count.to_le_bytes());
                paths.iter().fold(frame, |frame, path| frame.bytes(path))
            }
            Self::WriteBegin {
                path,
                mode,
                size_bytes,
                digest,
            } => frame(WRITE_BEGIN)
                .bytes(path)
                .number(mode.to_le_bytes())
                .number(size_bytes.to_le_bytes())
                .number(*digest),
            Self::WriteData { bytes } => frame(WRITE_DATA).bytes(bytes),
            Self::WriteEnd => frame(WRITE_END),
            Self::MakeDirectory { path, mode } => {
                frame(MAKE_DIRECTORY).bytes(path).number(mode.to_le_bytes())
            }
            Self::MakeSymlink { path, target } => frame(MAKE_SYMLINK).bytes(path).bytes(target),
            Self::SetMode { path, mode } => frame(SET_MODE).bytes(path).number(mode.to_le_bytes()),
            Self::Remove { path } => frame(REMOVE).bytes(path),
            Self::Mount { serial, kind, path } => frame(MOUNT)
                .bytes(serial.as_bytes())
                .bytes(kind.as_bytes())
                .bytes(path),
            Self::Unmount { path } => frame(UNMOUNT).bytes(path),
            Self::Sync => frame(SYNC),
            Self::Restart { command_line } => match command_line {
                Some(line) => frame(RESTART).number([1]).bytes(line.as_bytes()),
                None => frame(RESTART).number([0]),
            },
            Self::Run { words } => {
                let count = u16::try_from(words.len()).unwrap_or(u16::MAX);
                let frame = frame(RUN).number(count.to_le_bytes());
                let add = |frame: Writer, word: &String| frame.bytes(word.as_bytes());
                words.iter().fold(frame, add)
            }
            Self::Input { bytes } => frame(INPUT).bytes(bytes),
            Self::InputEnd => frame(INPUT_END),
            Self::List { path, after } => frame(LIST).bytes(path).bytes(after),
            Self::Read {
                path,
                offset,
                length,
            } => frame(READ)
                .bytes(path)
                .number(offset.to_le_bytes())
                .number(length.to_le_bytes()),
            Self::Processes { after } => frame(PROCESSES).number(after.to_le_bytes()),
            Self::KernelLog { from } => frame(KERNEL_LOG).number(from.to_le_bytes()),
        }
        .finish()
    }

    /// Reads a frame's body.
    ///
    /// # Errors
    /// [`WireError::Tag`], [`WireError::Field`].
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut fields = Reader::new(body);
        let request = match fields.u8("the tag")? {
            HELLO => Self::Hello {
                version: fields.u16("the version")?,
                nonce: fields.u64("the nonce")?,
            },
            LOOK => {
                let with_digests = fields.flag("whether digests are wanted")?;
                let count = usize::from(fields.u16("the number of paths")?);
                if count > LOOK_MAX_PATHS {
                    return Err(fields.problem("the number of paths", "is too high"));
                }
                let paths: Result<_, _> = (0..count).map(|_| path(&mut fields)).collect();
                Self::Look {
                    paths: paths?,
                    with_digests,
                }
            }
            WRITE_BEGIN => Self::WriteBegin {
                path: path(&mut fields)?,
                mode: mode(&mut fields)?,
                size_bytes: fields.u64("the size")?,
                digest: fields.array("the digest")?,
            },
            WRITE_DATA => Self::WriteData {
                bytes: fields.bytes("the data", DATA_MAX_BYTES)?.to_vec(),
            },
            WRITE_END => Self::WriteEnd,
            MAKE_DIRECTORY => Self::MakeDirectory {
                path: path(&mut fields)?,
                mode: mode(&mut fields)?,
            },
            MAKE_SYMLINK => Self::MakeSymlink {
                path: path(&mut fields)?,
                target: fields.bytes("the target", PATH_MAX_BYTES)?.to_vec(),
            },
            SET_MODE => Self::SetMode {
                path: path(&mut fields)?,
                mode: mode(&mut fields)?,
            },
            REMOVE => Self::Remove {
                path: path(&mut fields)?,
            },
            MOUNT => Self::Mount {
                serial: fields.text("the serial number", WORD_MAX_BYTES)?,
                kind: fields.text("the file system", WORD_MAX_BYTES)?,
                path: path(&mut fields)?,
            },
            UNMOUNT => Self::Unmount {
                path: path(&mut fields)?,
            },
            SYNC => Self::Sync,
            RESTART => Self::Restart {
                command_line: if fields.flag("whether there is a command line")? {
                    Some(fields.text("the command line", FRAME_MAX_BYTES)?)
                } else {
                    None
                },
            },
            RUN => {
                let count = usize::from(fields.u16("the number of words")?);
                if !(1..=RUN_MAX_WORDS).contains(&count) {
                    return Err(fields.problem("the number of words", "is zero or too high"));
                }
                let words: Result<_, _> = (0..count).map(|_| word(&mut fields)).collect();
                Self::Run { words: words? }
            }
            INPUT => Self::Input {
                bytes: fields.bytes("the input", DATA_MAX_BYTES)?.to_vec(),
            },
            INPUT_END => Self::InputEnd,
            LIST => Self::List {
                path: path(&mut fields)?,
                after: fields.bytes("the name", NAME_MAX_BYTES)?.to_vec(),
            },
            READ => Self::Read {
                path: path(&mut fields)?,
                offset: fields.u64("the offset")?,
                length: length(&mut fields)?,
            },
            PROCESSES => Self::Processes {
                after: fields.u32("the process number")?,
            },
            KERNEL_LOG => Self::KernelLog {
                from: fields.u64("the record's number")?,
            },
            tag => return Err(WireError::Tag { tag }),
        };
        fields.end()?;
        Ok(request)
    }
}

impl Answer {
    /// The frame that says this. A long message is cut.
    pub fn to_frame(&self, number: u32) -> Vec<u8> {
        let frame = |tag| Writer::new(number, tag);
        match self {
            Self::Hello {
                version,
                nonce,
                init,
                is_writable,
            } => frame(HELLO_TOO)
                .number(version.to_le_bytes())
                .number(nonce.to_le_bytes())
                .bytes(cut(init).as_bytes())
                .number([u8::from(*is_writable)]),
            Self::Looked { entries } => {
                let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
                let frame = frame(LOOKED).number(count.to_le_bytes());
                entries.iter().fold(frame, |frame, entry| match entry {
                    None => frame.number([0]),
                    Some(seen) => write_seen(frame, seen),
                })
            }
            Self::Done => frame(DONE),
            Self::Restarted { commands } => frame(RESTARTED).number(commands.to_le_bytes()),
            Self::Output { is_error, bytes } => {
                frame(OUTPUT).number([u8::from(*is_error)]).bytes(bytes)
            }
            Self::Exited { status } => frame(EXITED).number(status.to_le_bytes()),
            Self::Listed { entries, is_more } => write_entries(frame(LISTED), entries, *is_more),
            Self::Data { bytes } => frame(DATA).bytes(bytes),
            Self::ProcessList { processes, is_more } => {
                write_processes(frame(PROCESS_LIST), processes, *is_more)
            }
            Self::KernelLines { text, next } => {
                let frame = frame(KERNEL_LINES).bytes(text);
                match next {
                    Some(next) => frame.number([1]).number(next.to_le_bytes()),
                    None => frame.number([0]),
                }
            }
            Self::Refused { reason, message } => frame(REFUSED)
                .number([reason_code(*reason)])
                .bytes(cut(message).as_bytes()),
        }
        .finish()
    }

    /// Reads a frame's body.
    ///
    /// # Errors
    /// [`WireError::Tag`], [`WireError::Field`].
    pub fn parse(body: &[u8]) -> Result<Self, WireError> {
        let mut fields = Reader::new(body);
        let answer = match fields.u8("the tag")? {
            HELLO_TOO => Self::Hello {
                version: fields.u16("the version")?,
                nonce: fields.u64("the nonce")?,
                init: fields.text("the first program's version", MESSAGE_MAX_BYTES)?,
                is_writable: fields.flag("whether the root can be written")?,
            },
            LOOKED => {
                let count = usize::from(fields.u16("the number of entries")?);
                if count > LOOK_MAX_PATHS {
                    return Err(fields.problem("the number of entries", "is too high"));
                }
                let entries: Result<_, _> = (0..count).map(|_| read_seen(&mut fields)).collect();
                Self::Looked { entries: entries? }
            }
            DONE => Self::Done,
            RESTARTED => Self::Restarted {
                commands: fields.u32("the number of commands")?,
            },
            OUTPUT => Self::Output {
                is_error: fields.flag("whether it is from the standard error")?,
                bytes: fields.bytes("the output", DATA_MAX_BYTES)?.to_vec(),
            },
            EXITED => Self::Exited {
                status: i32::from_le_bytes(fields.array("the status")?),
            },
            LISTED => {
                let (entries, is_more) = read_entries(&mut fields)?;
                Self::Listed { entries, is_more }
            }
            DATA => Self::Data {
                bytes: fields.bytes("the data", DATA_MAX_BYTES)?.to_vec(),
            },
            PROCESS_LIST => {
                let (processes, is_more) = read_processes(&mut fields)?;
                Self::ProcessList { processes, is_more }
            }
            KERNEL_LINES => Self::KernelLines {
                text: fields.bytes("the lines", DATA_MAX_BYTES)?.to_vec(),
                next: if fields.flag("whether there is more")? {
                    Some(fields.u64("the next record's number")?)
                } else {
                    None
                },
            },
            REFUSED => Self::Refused {
                reason: reason(fields.u8("the reason")?),
                message: fields.text("the message", MESSAGE_MAX_BYTES)?,
            },
            tag => return Err(WireError::Tag { tag }),
        };
        fields.end()?;
        Ok(answer)
    }
}

/// An absolute path that names nothing above the root.
fn path(fields: &mut Reader<'_>) -> Result<Vec<u8>, WireError> {
    const FIELD: &str = "the path";
    let path = fields.bytes(FIELD, PATH_MAX_BYTES)?;
    let Some(rest) = path.strip_prefix(b"/") else {
        return Err(fields.problem(FIELD, "does not begin with a slash"));
    };
    if rest.contains(&0) {
        return Err(fields.problem(FIELD, "contains a NUL byte"));
    }
    let mut names = rest.split(|byte| *byte == b'/');
    if !rest.is_empty() && names.any(|name| matches!(name, b"" | b"." | b"..")) {
        return Err(fields.problem(FIELD, "has an empty name, `.` or `..` in it"));
    }
    Ok(path.to_vec())
}

/// A word of a program's arguments.
fn word(fields: &mut Reader<'_>) -> Result<String, WireError> {
    const FIELD: &str = "the word";
    let word = fields.text(FIELD, DATA_MAX_BYTES)?;
    if word.contains('\0') {
        return Err(fields.problem(FIELD, "contains a NUL byte"));
    }
    Ok(word)
}

pub(super) fn mode(fields: &mut Reader<'_>) -> Result<u32, WireError> {
    let mode = fields.u32("the mode")?;
    if mode > MODE_MAX {
        return Err(fields.problem("the mode", "has more than permission bits"));
    }
    Ok(mode)
}

fn write_seen(frame: Writer, seen: &Seen) -> Writer {
    let kind = write_kind(seen.kind);
    let frame = frame
        .number([kind])
        .number(seen.mode.to_le_bytes())
        .number(seen.size_bytes.to_le_bytes());
    match seen.digest {
        Some(digest) => frame.number([1]).number(digest),
        None => frame.number([0]),
    }
}

pub(super) fn write_kind(kind: SeenKind) -> u8 {
    match kind {
        SeenKind::Directory => 1,
        SeenKind::File => 2,
        SeenKind::Symlink => 3,
        SeenKind::Special => 4,
    }
}

pub(super) fn read_kind(fields: &mut Reader<'_>) -> Result<Option<SeenKind>, WireError> {
    Ok(Some(match fields.u8("the kind")? {
        0 => return Ok(None),
        1 => SeenKind::Directory,
        2 => SeenKind::File,
        3 => SeenKind::Symlink,
        4 => SeenKind::Special,
        _ => return Err(fields.problem("the kind", "is none that is known")),
    }))
}

fn read_seen(fields: &mut Reader<'_>) -> Result<Option<Seen>, WireError> {
    let Some(kind) = read_kind(fields)? else {
        return Ok(None);
    };
    Ok(Some(Seen {
        kind,
        mode: mode(fields)?,
        size_bytes: fields.u64("the size")?,
        digest: if fields.flag("whether there is a digest")? {
            Some(fields.array("the digest")?)
        } else {
            None
        },
    }))
}

fn reason_code(reason: Refusal) -> u8 {
    match reason {
        Refusal::Other => 0,
        Refusal::Unsupported => 1,
        Refusal::Invalid => 2,
        Refusal::ReadOnly => 3,
        Refusal::NoSpace => 4,
        Refusal::NotEmpty => 5,
        Refusal::Damaged => 6,
        Refusal::Ending => 7,
    }
}

/// Reasons that are added later have a message, too.
fn reason(code: u8) -> Refusal {
    match code {
        1 => Refusal::Unsupported,
        2 => Refusal::Invalid,
        3 => Refusal::ReadOnly,
        4 => Refusal::NoSpace,
        5 => Refusal::NotEmpty,
        6 => Refusal::Damaged,
        7 => Refusal::Ending,
        _ => Refusal::Other,
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MESSAGE_MAX_BYTES)]
}
