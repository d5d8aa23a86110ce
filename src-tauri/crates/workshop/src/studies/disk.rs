//! The disk of a run: the case as this run has it, out and back, without booting anything.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tempfile::NamedTempFile;
use windlass_image::ext4::{self, Ext4Options, WrittenBy};
use windlass_image::{GuestPath, Image, Node, Source, Tree};
use windlass_study::ChangedFile;

use crate::error::{AppError, ErrorKind, IoContext, Result};

/// Room for what a run writes beside the files of its case; a hole in the file until it is used.
const ROOM_BYTES: u64 = 4 << 30;

/// The name of the disk in a run's folder.
pub(super) const DISK: &str = "disk.img";
/// What came back.
pub(super) const BACK: &str = "case";

/// Writes the disk of a run, whole or not at all.
pub(super) fn write(case: Option<&Path>, changes: &[ChangedFile], run: &Path) -> Result<()> {
    fs::create_dir_all(run).doing("make the folder", run)?;
    let mut tree = Tree::default();
    if let Some(case) = case {
        add(&mut tree, case, case, changes)?;
        // Cases keep their first fields in 0.orig, from which each run makes its own.
        if !case.join("0").exists() && case.join("0.orig").is_dir() {
            add_as(
                &mut tree,
                &case.join("0.orig"),
                Path::new("0"),
                case,
                changes,
            )?;
        }
    }
    for change in changes.iter().filter(|change| change.is_new()) {
        let guest = GuestPath::new(change.file.to_string_lossy().as_bytes())?;
        tree.insert(guest, Node::bytes(change.bytes()?, 0o644))
            .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))?;
    }
    let draft = NamedTempFile::with_prefix_in(".disk-", run).doing("write into the folder", run)?;
    let options = Ext4Options {
        headroom_bytes: Some(ROOM_BYTES),
        label: "case".into(),
        written_by: WrittenBy::Osv,
        ..Ext4Options::default()
    };
    let mut out = draft.as_file();
    let size_bytes = ext4::write(&tree, &mut out, &options, &mut windlass_image::Unwatched)?;
    out.set_len(size_bytes).doing("write", draft.path())?;
    out.sync_all().doing("write", draft.path())?;
    let path = run.join(DISK);
    draft
        .persist(&path)
        .map_err(|error| error.error)
        .doing("write", &path)?;
    Ok(())
}

fn add(tree: &mut Tree, folder: &Path, case: &Path, changes: &[ChangedFile]) -> Result<()> {
    let inside = folder.strip_prefix(case).unwrap_or(folder).to_owned();
    add_as(tree, folder, &inside, case, changes)
}

/// Adds what is in a folder at a path of the disk.
fn add_as(
    tree: &mut Tree,
    folder: &Path,
    inside: &Path,
    case: &Path,
    changes: &[ChangedFile],
) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .doing("list the folder", folder)?
        .flatten()
        .collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let place = entry.path();
        let path = inside.join(entry.file_name());
        let metadata = fs::symlink_metadata(&place).doing("read", &place)?;
        let mode = metadata.mode() & 0o7777;
        let node = if metadata.is_dir() {
            Node::Directory { mode: mode | 0o700 }
        } else if metadata.is_file() {
            // A change of 0.orig is one of the folder 0 that is made of it.
            let relative = place.strip_prefix(case).unwrap_or(&place);
            let packed = |change: &&ChangedFile| change.file == relative;
            match changes.iter().find(packed) {
                Some(change) => Node::bytes(change.bytes()?, mode),
                None => Node::File {
                    source: Source::Path(place.clone()),
                    size_bytes: metadata.len(),
                    mode,
                },
            }
        } else {
            continue;
        };
        let is_folder = matches!(node, Node::Directory { .. });
        let guest = GuestPath::new(path.to_string_lossy().as_bytes())?;
        tree.insert(guest, node)
            .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))?;
        if is_folder {
            add_as(tree, &place, &path, case, changes)?;
        }
    }
    Ok(())
}

/// Reads the files of a run back, whole or not at all, in the place of what an earlier attempt left.
pub(super) fn read_back(run: &Path) -> Result<()> {
    let image = Image::open(&run.join(DISK))?;
    let file_system = image.root()?;
    let draft = tempfile::Builder::new()
        .prefix(".back-")
        .tempdir_in(run)
        .doing("write into the folder", run)?;
    let paths = [GuestPath::root()];
    let mut unwatched = windlass_image::Unwatched;
    windlass_image::extract::extract(
        file_system.as_ref(),
        &paths,
        draft.path(),
        false,
        &mut unwatched,
    )?;
    let _ = fs::remove_dir(draft.path().join("lost+found"));
    let back = run.join(BACK);
    if back.exists() {
        fs::remove_dir_all(&back).doing("remove", &back)?;
    }
    let whole = draft.keep();
    fs::rename(&whole, &back).doing("write", &back)
}
