//! Why an archive was refused.

use std::fmt;
use std::io;

/// Why an archive was refused. Refused is all of it: nothing of it is left anywhere.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is none of the formats that are read.
    #[error("it is neither a .zip nor a .tar archive, plain, gzip, xz or zstd")]
    UnknownFormat,

    /// It cannot be read to its end.
    #[error("it is damaged{}", at(entry.as_ref(), *offset))]
    Damaged {
        /// The last entry that was begun.
        entry: Option<String>,
        /// Where that entry begins, or where the next one should: in bytes of the archive (of a
        /// compressed tar: unpacked).
        offset: u64,
        /// What the reader said.
        #[source]
        source: io::Error,
    },

    /// An entry is not one that may be unpacked.
    #[error("its entry `{entry}` (at byte {offset}) {problem}")]
    Entry {
        /// The entry's name, lossy where it is not UTF-8.
        entry: String,
        /// Where the entry begins, in bytes of the archive (of a compressed tar: unpacked).
        offset: u64,
        /// What is wrong with it.
        problem: Problem,
    },

    /// It has more entries than it may have.
    #[error("it has more than {limit} entries{}", at(entry.as_ref(), *offset))]
    TooManyEntries {
        /// The most that it may have.
        limit: u64,
        /// The first entry beyond, where they are not counted before one is read.
        entry: Option<String>,
        /// Where that begins, or their list.
        offset: u64,
    },

    /// It unpacks to more than it may.
    #[error("it unpacks to more than {limit} bytes, at its entry `{entry}` (at byte {offset})")]
    TooLarge {
        /// The most that it may unpack to.
        limit: u64,
        /// The entry that went beyond.
        entry: String,
        /// Where that begins.
        offset: u64,
    },

    /// It unpacks to so much more than it is that it must be meant to fill the disk.
    #[error(
        "it unpacks to more than {limit} times its size, at its entry `{entry}` (at byte {offset})"
    )]
    Bomb {
        /// The most that it may unpack to, for each byte of it.
        limit: u64,
        /// The entry that went beyond.
        entry: String,
        /// Where that begins.
        offset: u64,
    },
}

fn at(entry: Option<&String>, offset: u64) -> String {
    match entry {
        Some(entry) => format!(", at its entry `{entry}` (at byte {offset})"),
        None => format!(" at byte {offset}"),
    }
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Its name has `..` in it.
    LeavesFolder,
    /// Its name begins at the root, or with a drive.
    Absolute,
    /// It has no name, or one with a NUL byte in it.
    NoName,
    /// A part of its name, or all of it, is longer than a file system takes.
    TooLong,
    /// It is a device or a pipe.
    Special,
    /// It is of a kind that is not known.
    UnknownKind(u8),
    /// It is a second name for a file that is not before it in the archive.
    HardLink {
        /// That file.
        target: String,
    },
    /// It is a link that leads out of the folder.
    LinkOut {
        /// Where to.
        target: String,
    },
    /// It would be written through a link that is in the archive too.
    ThroughLink {
        /// The link.
        link: String,
    },
    /// It is a link where the description of the package has to be.
    LinkInMeta,
    /// There is one of that name already.
    Duplicate,
    /// There is one whose name is the same where `A` is `a`, and it matters: one of the two is a link
    /// or part of the description, or the destination cannot hold both.
    SameButForCase {
        /// The other one.
        other: String,
    },
    /// All names together are more than is kept in memory.
    TooManyNames,
    /// It is encrypted.
    Encrypted,
    /// It is compressed by a method that is not known.
    UnknownMethod,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeavesFolder => f.write_str("would be written outside of the folder"),
            Self::Absolute => f.write_str("names an absolute path"),
            Self::NoName => f.write_str("has no name that a file can have"),
            Self::TooLong => f.write_str("has a name that is too long"),
            Self::Special => f.write_str("is a device or a pipe"),
            Self::UnknownKind(kind) => write!(f, "is of an unknown kind ({})", kind.escape_ascii()),
            Self::HardLink { target } => {
                write!(
                    f,
                    "is a second name for `{target}`, which is no file before it in the archive"
                )
            }
            Self::LinkOut { target } => write!(f, "links to `{target}`, outside of the folder"),
            Self::ThroughLink { link } => write!(f, "would be written through the link `{link}`"),
            Self::LinkInMeta => f.write_str("is a link where the package's description has to be"),
            Self::Duplicate => f.write_str("is there twice"),
            Self::SameButForCase { other } => {
                write!(f, "differs from `{other}` in capital letters alone")
            }
            Self::TooManyNames => f.write_str("is one name too many to remember"),
            Self::Encrypted => f.write_str("is encrypted"),
            Self::UnknownMethod => f.write_str("is compressed in a way that is not read here"),
        }
    }
}

impl ArchiveError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::UnknownFormat => "Take a .zip, .tar, .tar.gz, .tgz, .tar.xz, .tar.zst or .mpm file.",
                Self::Damaged { .. } => "Fetch or make it again: it is cut off or changed.",
                Self::Entry { problem: Problem::Encrypted, .. } => "Unpack it with its password, and take the folder.",
                Self::Entry { problem: Problem::UnknownMethod, .. } => "Unpack it with another program, and take the folder.",
                Self::Entry { .. } => "Look at where it comes from. If you trust it, unpack it yourself and take the folder.",
                Self::TooManyEntries { .. } | Self::TooLarge { .. } | Self::Bomb { .. } => {
                    "If you trust it, unpack it yourself and take the folder."
                }
            }
            .into(),
        )
    }
}
