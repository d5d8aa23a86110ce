//! New volumes.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use tempfile::NamedTempFile;
use windlass_image::ext4::{self, Ext4Options, WrittenBy};
use windlass_image::{GuestPath, Node, Source, Tree};

use super::{NewVolume, VolumeContent, VolumeFormat};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Event;
use crate::images::counting;
use crate::jobs::{Job, JobKind, Reporter, Request};

/// The serial number of a virtio disk has no more.
const NAME_BYTES_MAX: usize = 20;

/// No disk is larger: what QEMU and ext4 with blocks of 4 KiB and 32-bit numbers hold.
const SIZE_BYTES_MAX: u64 = 16 << 40;

/// How the names of unfinished volumes begin.
const DRAFT: &str = ".making-";

pub(super) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && name.len() <= NAME_BYTES_MAX && name.chars().all(plain) {
        return Ok(());
    }
    Err(AppError::new(
        ErrorKind::Input,
        format!("`{name}` cannot be the name of a volume"),
    )
    .hinted("Use at most 20 letters of a to z, digits, `-`, `_` and `.`, a letter or digit first"))
}

impl Workshop {
    /// Makes a volume, as a job that ends with its name.
    ///
    /// # Errors
    /// `Input` when name or size make no sense; `Conflict` when the name is taken.
    pub fn start_volume_create(self: &Arc<Self>, mut new: NewVolume) -> Result<Job> {
        check_name(&new.name)?;
        check_size(&new)?;
        if let VolumeContent::Folder { path } = &mut new.content {
            *path = std::path::absolute(&*path).doing("find the folder", path)?;
            if !path.is_dir() {
                return Err(AppError::not_found("folder", &path.display().to_string()));
            }
        }
        self.refuse_taken(&new.name)?;
        self.start_blocking(
            JobKind::MakeVolume,
            format!("Make the volume {}", new.name),
            None,
            &Request::MakeVolume(new.clone()),
            move |workshop, reporter| {
                workshop.make_volume(&new, reporter)?;
                workshop.events.send(Event::VolumesChanged);
                Ok(Some(new.name))
            },
        )
    }

    /// Makes a volume that somebody names and that is not there.
    pub(crate) fn make_missing_volume(&self, new: &NewVolume, reporter: &Reporter) -> Result<()> {
        check_name(&new.name)?;
        self.make_volume(new, reporter)?;
        self.events.send(Event::VolumesChanged);
        Ok(())
    }

    fn refuse_taken(&self, name: &str) -> Result<()> {
        match self.volume_path(name) {
            Some(_) => Err(AppError::new(
                ErrorKind::Conflict,
                format!("There is a volume `{name}` already"),
            )
            .hinted("Choose another name, or delete that one")),
            None => Ok(()),
        }
    }

    fn make_volume(&self, new: &NewVolume, reporter: &Reporter) -> Result<()> {
        let folder = self.home.volumes();
        sweep(&folder);
        let draft = draft(&folder)?;
        match &new.content {
            VolumeContent::Empty => {
                let size_bytes = new.size_bytes.unwrap_or(0);
                draft
                    .as_file()
                    .set_len(size_bytes)
                    .doing("write", draft.path())?;
            }
            VolumeContent::Ext4 => write_ext4(&draft, &Tree::default(), new, reporter)?,
            VolumeContent::Folder { path } => {
                reporter.step("Reading the folder");
                let tree = tree_of(path, reporter)?;
                reporter.step("Writing");
                write_ext4(&draft, &tree, new, reporter)?;
            }
        }
        reporter.check()?;
        let path = folder.join(format!("{}.{}", new.name, new.format.extension()));
        match new.format {
            VolumeFormat::Raw => {
                draft.as_file().sync_all().doing("write", draft.path())?;
                self.refuse_taken(&new.name)?;
                draft
                    .persist_noclobber(&path)
                    .map_err(|error| error.error)
                    .doing("write", &path)?;
            }
            VolumeFormat::Qcow2 => {
                let converted = NamedTempFile::with_prefix_in(DRAFT, &folder)
                    .doing("write into the folder", &folder)?;
                converted.as_file().lock().doing("lock", converted.path())?;
                let total = draft.as_file().metadata().map_or(0, |file| file.len());
                write_qcow2(&draft, converted.as_file(), total, reporter)?;
                converted
                    .as_file()
                    .sync_all()
                    .doing("write", converted.path())?;
                self.refuse_taken(&new.name)?;
                converted
                    .persist_noclobber(&path)
                    .map_err(|error| error.error)
                    .doing("write", &path)?;
            }
        }
        File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .doing("write", &folder)
    }
}

fn check_size(new: &NewVolume) -> Result<()> {
    let refused = |message: &str| Err(AppError::new(ErrorKind::Input, message));
    match (new.size_bytes, &new.content) {
        (None, VolumeContent::Folder { .. }) => Ok(()),
        (None, _) => refused("A volume needs a size"),
        (Some(size), _) if size == 0 || size % 512 != 0 || size > SIZE_BYTES_MAX => {
            refused("The size of a volume is a multiple of 512 bytes, and at most 16 TiB")
        }
        (Some(size), VolumeContent::Ext4 | VolumeContent::Folder { .. })
            if size < ext4::SIZE_BYTES_MIN =>
        {
            refused("A volume with a file system needs 8 MiB at least")
        }
        _ => Ok(()),
    }
}

/// A file that others see to be in work as long as we live.
fn draft(folder: &Path) -> Result<NamedTempFile> {
    let draft =
        NamedTempFile::with_prefix_in(DRAFT, folder).doing("write into the folder", folder)?;
    draft.as_file().lock().doing("lock", draft.path())?;
    Ok(draft)
}

/// Removes what killed processes left.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_draft = entry.file_name().to_string_lossy().starts_with(DRAFT);
        if is_draft
            && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
            && let Err(error) = fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "could not sweep");
        }
    }
}

fn write_ext4(
    draft: &NamedTempFile,
    tree: &Tree,
    new: &NewVolume,
    reporter: &Reporter,
) -> Result<()> {
    let options = Ext4Options {
        size_bytes: new.size_bytes,
        label: new.name.chars().take(16).collect(),
        // Either guest may write to it.
        written_by: WrittenBy::Osv,
        ..Ext4Options::default()
    };
    let mut out = draft.as_file();
    let mut watch = counting(reporter, tree.total_bytes());
    let size_bytes = ext4::write(tree, &mut out, &options, &mut watch)?;
    let size_bytes = new.size_bytes.unwrap_or(size_bytes).max(size_bytes);
    out.set_len(size_bytes).doing("write", draft.path())
}

fn write_qcow2(draft: &NamedTempFile, out: &File, total: u64, reporter: &Reporter) -> Result<()> {
    let mut watch = counting(reporter, total);
    let (_, disk) = windlass_image::disk::open(draft.path())?;
    let mut writer = BufWriter::new(out);
    let options = windlass_image::export::Qcow2Options::default();
    windlass_image::export::write_qcow2(disk.as_ref(), &mut writer, options, &mut watch)?;
    writer.flush().doing("write", draft.path())
}

/// All that is in a folder.
fn tree_of(folder: &Path, reporter: &Reporter) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut pending = vec![(GuestPath::root(), folder.to_owned())];
    while let Some((inside, outside)) = pending.pop() {
        reporter.check()?;
        for entry in fs::read_dir(&outside).doing("list the folder", &outside)? {
            let entry = entry.doing("list the folder", &outside)?;
            let path = inside.join(entry.file_name().as_bytes())?;
            let place = entry.path();
            let node = node_of(&place)?;
            if matches!(node, Node::Directory { .. }) {
                pending.push((path.clone(), place));
            }
            tree.insert(path, node)
                .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))?;
        }
    }
    Ok(tree)
}

fn node_of(place: &Path) -> Result<Node> {
    let metadata = fs::symlink_metadata(place).doing("read", place)?;
    let mode = metadata.mode() & 0o7777;
    if metadata.is_dir() {
        Ok(Node::Directory { mode })
    } else if metadata.is_file() {
        Ok(Node::File {
            source: Source::Path(place.to_owned()),
            size_bytes: metadata.len(),
            mode,
        })
    } else if metadata.is_symlink() {
        let target = fs::read_link(place).doing("read", place)?;
        Ok(Node::Symlink {
            target: target.as_os_str().as_bytes().to_vec(),
        })
    } else {
        Err(AppError::new(
            ErrorKind::Input,
            format!("`{}` is a device, socket or pipe", place.display()),
        )
        .hinted("Take it out of the folder"))
    }
}
