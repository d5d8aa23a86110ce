//! What the window is shown of images.

use serde::{Deserialize, Serialize};
use specta::Type;

/// How a disk is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ImageLayout {
    /// Not at all: one file system.
    Bare,
    /// By a master boot record.
    Mbr,
    /// By a GUID partition table.
    Gpt,
}

/// An image, as far as its first sectors tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageInfo {
    /// Its file.
    pub path: String,
    /// The build that it is.
    pub build_id: Option<String>,
    /// The id of the appliance that it was built from.
    pub appliance_id: Option<String>,
    /// The name of that appliance.
    pub appliance: Option<String>,
    /// The format of its file: `raw`, `qcow2` and so on.
    pub format: String,
    /// The size of the disk.
    pub size_bytes: u64,
    /// What its file takes of this computer's disk.
    pub allocated_bytes: u64,
    /// How it is divided.
    pub layout: ImageLayout,
    /// What OSv finds there, where it is a disk of OSv.
    pub osv: Option<ImageOsv>,
    /// Whether a BIOS boots it without help, as far as can be seen.
    pub boots_by_bios: bool,
    /// Whether UEFI does.
    pub boots_by_uefi: bool,
    /// The command line by which a Linux guest starts: that of a disk that boots by itself, or in a file of the root.
    pub guest_command_line: Option<String>,
    /// Its partitions, or the one bare file system.
    pub volumes: Vec<ImageVolume>,
    /// The number of the volume that is the root: the first with a file system that can be read, and not for firmware alone.
    pub root: Option<u32>,
    /// Whether there is a list of its files with their digests.
    pub has_file_list: bool,
    /// The name of a machine that boots from it.
    pub in_use_by: Option<String>,
}

/// What OSv finds on a disk of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageOsv {
    /// Whether it boots by itself.
    pub has_loader: bool,
    /// The boot command line; none where it is damaged.
    pub command_line: Option<String>,
}

/// A part of a disk that can hold a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageVolume {
    /// Which partition, from 1; 0 for a file system without a disk around it.
    pub number: u32,
    /// Its name, where the disk gives it one.
    pub name: Option<String>,
    /// Where it starts on the disk.
    pub start_bytes: u64,
    /// How large it is.
    pub size_bytes: u64,
    /// The file system in it: `ROFS`, `ext4`; none where it cannot be read.
    pub file_system: Option<String>,
    /// What it is, where that is known and cannot be read: `ZFS`, `XFS`.
    pub unreadable: Option<String>,
}

/// What a path of an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ImageEntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or named pipe.
    Special,
}

/// One path of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageEntry {
    /// Its name, for people.
    pub name: String,
    /// Its path, to ask on with: with a leading `/`; `%` and bytes that are not UTF-8 are `%` and two digits.
    pub path: String,
    /// What it is.
    pub kind: ImageEntryKind,
    /// The size of a file.
    pub size_bytes: Option<u64>,
    /// Permission bits, where the file system has them.
    pub mode: Option<u32>,
    /// When it was changed last (RFC 3339), where the file system knows.
    pub modified: Option<String>,
    /// Where a symlink leads.
    pub target: Option<String>,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageFound {
    /// The first of it, by path.
    pub entries: Vec<ImageEntry>,
    /// Whether there is more.
    pub more: bool,
}

/// The text of a file in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageText {
    /// The text; empty where it is none.
    pub text: String,
    /// Whether it is something else than text.
    pub is_binary: bool,
    /// Whether the text ends before the file does.
    pub truncated: bool,
    /// The size of the file.
    pub size_bytes: u64,
}

/// How much one child of a directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageSize {
    /// Its name, for people.
    pub name: String,
    /// Its path, to ask on with.
    pub path: String,
    /// What it is.
    pub kind: ImageEntryKind,
    /// The bytes of all files in it.
    pub size_bytes: u64,
    /// How many files are in it; 1 for a file.
    pub file_count: u64,
}

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ImageChange {
    /// It is on the right side only.
    Added,
    /// It is on the left side only.
    Removed,
    /// It has other bytes, or leads elsewhere.
    Changed,
    /// It has other permissions.
    Mode,
    /// It is of another kind: a file here, a directory there.
    Kind,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageDifference {
    /// The path, escaped as an entry's.
    pub path: String,
    /// How it differs.
    pub what: ImageChange,
    /// The size of the file on the left side.
    pub left_bytes: Option<u64>,
    /// The size of the file on the right side.
    pub right_bytes: Option<u64>,
}

/// How much of one sort differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageDifferences {
    /// How many paths.
    pub count: u64,
    /// How many bytes they have on the right side; on the left where they are no more.
    pub bytes: u64,
}

/// Which rows of a comparison are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ComparisonFilter {
    /// Only of these sorts; of all where none is named.
    pub what: Vec<ImageChange>,
    /// Only paths with this text in them.
    pub text: String,
}

/// What differs between two images, or an image and a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageComparison {
    /// What was on the left.
    pub left: String,
    /// What was on the right.
    pub right: String,
    /// What the left side is asked for by: the id of an image, or a path.
    pub left_side: String,
    /// What the right side is asked for by.
    pub right_side: String,
    /// What is on the right side only.
    pub added: ImageDifferences,
    /// What is on the left side only.
    pub removed: ImageDifferences,
    /// What is on both and differs.
    pub changed: ImageDifferences,
    /// How many paths are the same on both sides.
    pub same: u64,
    /// How many rows pass the filter.
    pub total: u64,
    /// Those that were asked for, by path.
    pub rows: Vec<ImageDifference>,
}

/// What is not as the list of files says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ImageFault {
    /// The list names it, and it is not there.
    Missing,
    /// It is there, and the list does not name it.
    Unexpected,
    /// It has other bytes, or leads elsewhere.
    Content,
    /// It has other permissions.
    Mode,
    /// It is of another kind.
    Kind,
}

/// One path that is not as the list of files says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageFinding {
    /// The path, escaped as an entry's.
    pub path: String,
    /// What is wrong.
    pub what: ImageFault,
}

/// What the verification of an image found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImageVerification {
    /// What is not as the list says, by path; at most some ten thousand.
    pub differences: Vec<ImageFinding>,
    /// How many files were read.
    pub checked_files: u64,
    /// How many bytes they have.
    pub checked_bytes: u64,
}

/// What an image can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ImageFormat {
    /// The bytes of the disk, with holes.
    Raw,
    /// QEMU's own format.
    Qcow2,
    /// That of `VMware`.
    Vmdk,
    /// That of `VirtualBox`.
    Vdi,
    /// Hyper-V's.
    Vhdx,
    /// The files of its root file system, as an archive.
    Tar,
    /// A folder with the guest kernel and the disk, for a hypervisor that boots by kernel; of a build only.
    KernelAndDisk,
}

/// How an image is written in another format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase", default)]
pub struct ConvertOptions {
    /// Compressed: qcow2, and vmdk as it is in an OVA.
    pub compressed: bool,
    /// Whether a file of the destination's name is replaced.
    pub replace: bool,
}

/// An image that came from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct ImportedImage {
    /// Its name for programs: all commands take it where they take a build's id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Its file.
    pub path: String,
    /// The format of its file.
    pub format: String,
    /// The size of the disk.
    pub size_bytes: u64,
    /// What its file takes of this computer's disk.
    pub allocated_bytes: u64,
    /// Where it came from.
    pub source: String,
    /// When it came (RFC 3339).
    pub imported_at: String,
}

/// What is written beside an image on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum ListKind {
    /// The list of files with their digests.
    Files,
    /// A bill of materials as SPDX.
    Spdx,
    /// A bill of materials as `CycloneDX`.
    Cyclonedx,
}
