//! How the host changes a Linux guest while it runs: what it says to the agent in the guest's first program, and what that
//! answers.
//!
//! The two talk over a virtio-serial port of their own, named [`PORT_NAME`]. The port is there only where a machine was
//! started so that it may be changed; it is no network, and nobody but the machine's owner can open its other end.
//!
//! ```text
//!   host                                  guest
//!   zeros, Hello { version, nonce } ────>         whatever of an earlier connection was left is flushed
//!                                   <──── Hello { version, nonce, … }       answers before this one are not ours
//!   Look { paths }                  ────>
//!                                   <──── Looked { entries }
//!   WriteBegin, WriteData …, WriteEnd ──>         written beside, compared with the digest, renamed
//!                                   <──── Done, or Refused { reason, message }; to WriteEnd only
//!   MakeDirectory, MakeSymlink, SetMode, Remove, Mount, Unmount, Sync ──> <── Done or Refused
//!   Restart { command_line }        ────>         programs end, commands begin again
//!                                   <──── Restarted { commands }
//!   Run { words }                   ────>         a program starts beside the commands, one for each connection
//!                                   <──── Output …, then Exited { status }; or Refused
//!   Input { bytes }, InputEnd       ────>         what the program reads
//!                                   <──── Done to each Input, when the program's pipe has taken it
//!   List, Read, Processes, KernelLog ───>         a page each
//!                                   <──── Listed, Data, ProcessList, KernelLines; or Refused
//! ```
//!
//! # Frames
//! ```text
//!   0xa7 | u32 length | u32 number, u8 tag, fields          length counts from the number on, at most FRAME_MAX_BYTES
//! ```
//! All numbers are little-endian; bytes and text are a `u32` length and so many bytes. Between two frames there may be any
//! number of zero bytes. An answer bears its request's number, so that later requests may be answered before earlier ones,
//! and a request may have several answers. A tag that is not known is refused, not the connection: an older guest and a
//! newer host find out what they have in common.

mod inspect;
mod messages;
mod wire;

#[cfg(test)]
mod tests;

pub use inspect::{COMMAND_MAX_BYTES, LIST_MAX, ListedEntry, PROCESSES_MAX, ProcessSeen};
pub use wire::{Decoder, Frame, WireError};

/// The name of the virtio-serial port.
pub const PORT_NAME: &str = "windlass.agent";

/// The version of the protocol.
pub const VERSION: u16 = 1;

/// The most that a frame's number, tag and fields may be.
pub const FRAME_MAX_BYTES: usize = 64 << 10;

/// The most bytes of a file in one [`Request::WriteData`].
pub const DATA_MAX_BYTES: usize = 60 << 10;

/// The longest path, and the longest target of a symlink.
pub const PATH_MAX_BYTES: usize = 4095;

/// The most paths in one [`Request::Look`]; their bytes have to fit in a frame as well.
pub const LOOK_MAX_PATHS: usize = 512;

/// The most words of a program in [`Request::Run`]; together they may have [`DATA_MAX_BYTES`].
pub const RUN_MAX_WORDS: usize = 1024;

/// The longest name of a file.
pub const NAME_MAX_BYTES: usize = 255;

/// The longest message of a refusal.
const MESSAGE_MAX_BYTES: usize = 1000;

/// A BLAKE3 digest.
pub type Digest = [u8; 32];

/// What the host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The first of a connection.
    Hello {
        /// The newest version that the host speaks.
        version: u16,
        /// Any number; the answer repeats it.
        nonce: u64,
    },
    /// What is at these paths?
    Look {
        /// Absolute paths, at most [`LOOK_MAX_PATHS`].
        paths: Vec<Vec<u8>>,
        /// Whether files are read for their digests.
        with_digests: bool,
    },
    /// A file comes. It takes its place when all of it was there. No answer.
    WriteBegin {
        /// Its absolute path.
        path: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Its length.
        size_bytes: u64,
        /// The digest of its content.
        digest: Digest,
    },
    /// The next bytes of the file that comes, at most [`DATA_MAX_BYTES`]. No answer.
    WriteData {
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// All of the file was sent.
    WriteEnd,
    /// A directory is to be there.
    MakeDirectory {
        /// Its absolute path.
        path: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A symlink is to be there, whatever file or symlink was.
    MakeSymlink {
        /// Its absolute path.
        path: Vec<u8>,
        /// What it points to.
        target: Vec<u8>,
    },
    /// Permission bits are to be others.
    SetMode {
        /// The absolute path.
        path: Vec<u8>,
        /// Permission bits.
        mode: u32,
    },
    /// A file, a symlink or an empty directory is to go. What is not there is gone already.
    Remove {
        /// The absolute path.
        path: Vec<u8>,
    },
    /// A disk is to be mounted; the directory is made where it is missing.
    Mount {
        /// The disk's serial number.
        serial: String,
        /// The kernel's word for the file system on it.
        kind: String,
        /// Where: an absolute path.
        path: Vec<u8>,
    },
    /// What is mounted there is to go, with all that was written on its disk.
    Unmount {
        /// The absolute path.
        path: Vec<u8>,
    },
    /// All that was written is to be on the disk.
    Sync,
    /// The programs are to end, and the commands to begin again.
    Restart {
        /// The boot command line from now on, if it is another.
        command_line: Option<String>,
    },
    /// A program is to run. It ends with the connection at the latest.
    Run {
        /// The program, by its path or its name, and its arguments; at most [`RUN_MAX_WORDS`].
        words: Vec<String>,
    },
    /// The next bytes that the program reads, at most [`DATA_MAX_BYTES`].
    Input {
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// There is nothing more to read for the program. No answer.
    InputEnd,
    /// What is in a folder?
    List {
        /// Its absolute path.
        path: Vec<u8>,
        /// The name behind which the page begins, in the order of bytes; empty for the first.
        after: Vec<u8>,
    },
    /// What is in a regular file?
    Read {
        /// Its absolute path.
        path: Vec<u8>,
        /// Where to begin.
        offset: u64,
        /// The most bytes that are wanted, at most [`DATA_MAX_BYTES`].
        length: u32,
    },
    /// Which processes are there?
    Processes {
        /// The number behind which the page begins; 0 for the first.
        after: u32,
    },
    /// What has the kernel said?
    KernelLog {
        /// The number of the first record that is wanted.
        from: u64,
    },
}

/// What the guest answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Hello`].
    Hello {
        /// The version that both speak.
        version: u16,
        /// The number of the question.
        nonce: u64,
        /// The version of the first program.
        init: String,
        /// Whether the root file system can be written.
        is_writable: bool,
    },
    /// To [`Request::Look`]: for each path what is there, if anything.
    Looked {
        /// In the order of the paths.
        entries: Vec<Option<Seen>>,
    },
    /// It was done.
    Done,
    /// To [`Request::Restart`].
    Restarted {
        /// How many commands there are.
        commands: u32,
    },
    /// To [`Request::Run`], any number of times: what the program has written.
    Output {
        /// Whether it is from the standard error.
        is_error: bool,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// To [`Request::Run`], the last: the program has ended.
    Exited {
        /// Its exit status; 128 plus the signal's number where a signal ended it.
        status: i32,
    },
    /// To [`Request::List`]: in the order of the names' bytes, at most [`LIST_MAX`].
    Listed {
        /// What is there.
        entries: Vec<ListedEntry>,
        /// Whether there are more behind the last.
        is_more: bool,
    },
    /// To [`Request::Read`].
    Data {
        /// The bytes; none at the end of the file.
        bytes: Vec<u8>,
    },
    /// To [`Request::Processes`]: in the order of their numbers, at most [`PROCESSES_MAX`].
    ProcessList {
        /// What runs.
        processes: Vec<ProcessSeen>,
        /// Whether there are more behind the last.
        is_more: bool,
    },
    /// To [`Request::KernelLog`].
    KernelLines {
        /// Lines that end with a line feed each, `[seconds.micros] text`; at most [`DATA_MAX_BYTES`] of them.
        text: Vec<u8>,
        /// Where the next page begins, if there is more.
        next: Option<u64>,
    },
    /// It was not done.
    Refused {
        /// Why.
        reason: Refusal,
        /// Why, in words.
        message: String,
    },
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// This agent does not know how.
    Unsupported,
    /// The request makes no sense, whoever reads it.
    Invalid,
    /// The file system is read-only.
    ReadOnly,
    /// The file system is full.
    NoSpace,
    /// A directory that holds something cannot go.
    NotEmpty,
    /// What came is not what was announced.
    Damaged,
    /// The guest is about to end.
    Ending,
    /// Something else; the message tells.
    Other,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub kind: SeenKind,
    /// Permission bits.
    pub mode: u32,
    /// The length of a file or of a symlink's target.
    pub size_bytes: u64,
    /// The digest of a symlink's target, and of a file's content where it was asked for.
    pub digest: Option<Digest>,
}

/// What a path can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeenKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A device, a socket, a pipe.
    Special,
}
