//! Reading ones: what an image is, and what is in it.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use windlass_compose::base::LINUX_COMMAND_LINE;
use windlass_image::escape::escape;
use windlass_image::file_system::walk;
use windlass_image::{FileSystem, GuestPath, Image, Layout, Stat, StatKind};

use super::model::{
    ImageEntry, ImageEntryKind, ImageFound, ImageInfo, ImageLayout, ImageOsv, ImageSize,
    ImageVolume,
};
use super::open::{Named, OpenImage, guest_path};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// No command line is longer.
const COMMAND_LINE_BYTES_MAX: usize = 64 << 10;

/// No search shows more.
const FOUND_MAX: u32 = 10_000;

impl Workshop {
    /// What an image is.
    ///
    /// # Errors
    /// `NotFound`; `Input` for what is neither a disk nor a file system, or damaged.
    pub async fn image_info(self: &Arc<Self>, image: &str) -> Result<ImageInfo> {
        let workshop = Arc::clone(self);
        let name = image.to_owned();
        crate::blocking(move || {
            let named = workshop.named_image(&name)?;
            let open = workshop.open_images.open(&named.path)?;
            workshop.info(&named, &open)
        })
        .await?
    }

    pub(crate) fn info(&self, named: &Named, open: &OpenImage) -> Result<ImageInfo> {
        let image = &open.image;
        let path = &named.path;
        let file = std::fs::metadata(path).doing("read", path)?;
        let appliance_id = named.build.as_ref().map(|it| it.appliance_id.clone());
        let appliance = appliance_id
            .as_deref()
            .and_then(|id| self.appliance(id).ok())
            .map(|appliance| appliance.name);
        let volumes: Vec<_> = image.volumes().iter().map(volume).collect();
        Ok(ImageInfo {
            path: path.display().to_string(),
            build_id: named.build.as_ref().map(|build| build.id.clone()),
            appliance_id,
            appliance,
            format: format_of(image),
            size_bytes: image.size_bytes(),
            allocated_bytes: file.blocks().saturating_mul(512),
            layout: match image.layout() {
                Layout::Mbr => ImageLayout::Mbr,
                Layout::Gpt => ImageLayout::Gpt,
                _ => ImageLayout::Bare,
            },
            osv: image.osv().map(|osv| ImageOsv {
                has_loader: osv.has_loader,
                command_line: osv.command_line.clone(),
            }),
            guest_command_line: guest_command_line(open),
            root: image.root_volume().map(|volume| volume.number),
            boots_by_bios: image.boots().by_bios,
            boots_by_uefi: image.boots().by_uefi,
            volumes,
            has_file_list: windlass_compose::record_path(path).is_file(),
            in_use_by: self.image_user(path),
        })
    }

    /// What is directly in a directory of an image, sorted by name.
    ///
    /// # Errors
    /// `NotFound`; `Input` where the image is damaged.
    pub async fn image_list(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        path: &str,
    ) -> Result<Vec<ImageEntry>> {
        let path = guest_path(path)?;
        self.with_image(image, move |open| {
            let file_system = open.file_system(volume)?;
            let directory = directory(file_system.as_ref(), &path)?;
            let entries = file_system.list(&directory)?;
            Ok(entries.iter().map(entry).collect())
        })
        .await
    }

    /// What one path of an image is.
    ///
    /// # Errors
    /// `NotFound`; `Input` where the image is damaged.
    pub async fn image_stat(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        path: &str,
    ) -> Result<ImageEntry> {
        let path = guest_path(path)?;
        self.with_image(image, move |open| {
            Ok(entry(&open.file_system(volume)?.find(&path)?))
        })
        .await
    }

    /// The paths of an image whose name has `text` in it, whatever the case; with a `/` in the text, the whole path
    /// is looked at.
    ///
    /// # Errors
    /// `NotFound`; `Input` where the image is damaged.
    pub async fn image_search(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        text: &str,
        limit: u32,
    ) -> Result<ImageFound> {
        let wanted = text.to_lowercase();
        let limit = limit.min(FOUND_MAX) as usize;
        self.with_image(image, move |open| {
            let mut found = ImageFound {
                entries: Vec::new(),
                more: false,
            };
            if wanted.is_empty() {
                return Ok(found);
            }
            let file_system = open.file_system(volume)?;
            for stat in walk(file_system.as_ref()) {
                let stat = stat?;
                let hay = if wanted.contains('/') {
                    stat.path.to_string()
                } else {
                    String::from_utf8_lossy(stat.path.name()).into_owned()
                };
                if !hay.to_lowercase().contains(&wanted) {
                    continue;
                }
                if found.entries.len() == limit {
                    found.more = true;
                    break;
                }
                found.entries.push(entry(&stat));
            }
            Ok(found)
        })
        .await
    }

    /// All that is below a directory of an image, by path.
    ///
    /// # Errors
    /// `NotFound`; `Input` where the image is damaged.
    pub async fn image_tree(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        path: &str,
    ) -> Result<Vec<ImageEntry>> {
        let path = guest_path(path)?;
        self.with_image(image, move |open| {
            let file_system = open.file_system(volume)?;
            let top = directory(file_system.as_ref(), &path)?;
            let mut entered = HashSet::new();
            let mut pending = vec![top];
            let mut entries = Vec::new();
            while let Some(stat) = pending.pop() {
                if stat.path != path {
                    entries.push(entry(&stat));
                }
                if stat.kind == StatKind::Directory {
                    enter(&mut entered, &stat)?;
                    let children = file_system.list(&stat)?;
                    pending.extend(children.into_iter().rev());
                }
            }
            Ok(entries)
        })
        .await
    }

    /// Gives the bytes of a file of an image piece by piece, until `take` wants no more.
    ///
    /// # Errors
    /// `NotFound`; `Input` for what is no file, or where the image is damaged.
    pub async fn read_image_file(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        path: &str,
        take: &mut (dyn FnMut(&[u8]) -> bool + Send),
    ) -> Result<()> {
        const PIECE_BYTES: usize = 1 << 20;
        let path = guest_path(path)?;
        let mut offset = 0;
        loop {
            let at = path.clone();
            let piece = self
                .with_image(image, move |open| {
                    let file_system = open.file_system(volume)?;
                    let stat = file_system.find(&at)?;
                    file_size(&stat)?;
                    let mut piece = vec![0; PIECE_BYTES];
                    let length = file_system.read(&stat, offset, &mut piece)?;
                    piece.truncate(length);
                    Ok(piece)
                })
                .await?;
            if !take(&piece) || piece.len() < PIECE_BYTES {
                return Ok(());
            }
            offset += piece.len() as u64;
        }
    }

    /// How much each child of a directory holds, largest first.
    ///
    /// # Errors
    /// `NotFound`; `Input` where the image is damaged.
    pub async fn image_sizes(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        path: &str,
    ) -> Result<Vec<ImageSize>> {
        let path = guest_path(path)?;
        self.with_image(image, move |open| {
            let file_system = open.file_system(volume)?;
            let directory = directory(file_system.as_ref(), &path)?;
            let mut sizes = Vec::new();
            let mut entered = HashSet::from([directory.inode]);
            for child in file_system.list(&directory)? {
                let mut size = ImageSize {
                    name: String::from_utf8_lossy(child.path.name()).into_owned(),
                    path: child.path.escaped(),
                    kind: kind(&child.kind),
                    size_bytes: 0,
                    file_count: 0,
                };
                add_size(file_system.as_ref(), &child, &mut size, &mut entered)?;
                sizes.push(size);
            }
            sizes.sort_by_key(|size| std::cmp::Reverse(size.size_bytes));
            Ok(sizes)
        })
        .await
    }
}

/// Notes that a directory is entered, and refuses one that was.
fn enter(entered: &mut HashSet<u64>, stat: &Stat) -> Result<()> {
    if entered.insert(stat.inode) {
        return Ok(());
    }
    Err(AppError::new(
        ErrorKind::Input,
        format!("The image is damaged: {} is in two places", stat.path),
    ))
}

/// Adds up what is below a path. No directory comes twice, so that it ends where an image is damaged.
fn add_size(
    file_system: &dyn FileSystem,
    stat: &Stat,
    size: &mut ImageSize,
    entered: &mut HashSet<u64>,
) -> Result<()> {
    let mut pending = vec![stat.clone()];
    while let Some(stat) = pending.pop() {
        match &stat.kind {
            StatKind::Directory => {
                enter(entered, &stat)?;
                pending.extend(file_system.list(&stat)?);
            }
            StatKind::File { size_bytes } => {
                size.size_bytes += size_bytes;
                size.file_count += 1;
            }
            _ => size.file_count += 1,
        }
    }
    Ok(())
}

pub(super) fn format_of(image: &Image) -> String {
    // The variant's name is the format's.
    format!("{:?}", image.format()).to_lowercase()
}

fn volume(volume: &windlass_image::Volume) -> ImageVolume {
    ImageVolume {
        number: volume.number,
        name: volume.name.clone(),
        start_bytes: volume.start_bytes,
        size_bytes: volume.size_bytes,
        file_system: volume.file_system.map(|kind| kind.to_string()),
        unreadable: volume.foreign.map(|kind| kind.to_string()),
    }
}

/// The command line in the file by which a Linux image starts; none where it has no such file.
fn guest_command_line(open: &OpenImage) -> Option<String> {
    // A disk that boots by itself has it where its boot loader reads it.
    if let Some(linux) = open.image.linux() {
        return linux.command_line.clone();
    }
    let file_system = open.file_system(None).ok()?;
    let path = GuestPath::new(LINUX_COMMAND_LINE).ok()?;
    let stat = file_system.find(&path).ok()?;
    let bytes = read_up_to(file_system.as_ref(), &stat, COMMAND_LINE_BYTES_MAX as u64).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// The directory at a path.
pub(super) fn directory(file_system: &dyn FileSystem, path: &GuestPath) -> Result<Stat> {
    let stat = file_system.find(path)?;
    if stat.kind == StatKind::Directory {
        return Ok(stat);
    }
    Err(AppError::new(
        ErrorKind::Input,
        format!("{path} is no folder"),
    ))
}

/// The size of a file; an error for what is none.
pub(super) fn file_size(stat: &Stat) -> Result<u64> {
    match &stat.kind {
        StatKind::File { size_bytes } => Ok(*size_bytes),
        StatKind::Directory => Err(AppError::new(
            ErrorKind::Input,
            format!("{} is a folder", stat.path),
        )),
        StatKind::Symlink { target } => Err(AppError::new(
            ErrorKind::Input,
            format!(
                "{} is a link to {}",
                stat.path,
                String::from_utf8_lossy(target)
            ),
        )),
        StatKind::Special { what } => Err(AppError::new(
            ErrorKind::Input,
            format!("{} is a {what}", stat.path),
        )),
    }
}

/// The first bytes of a file. Only what is really there takes memory.
pub(super) fn read_up_to(file_system: &dyn FileSystem, stat: &Stat, limit: u64) -> Result<Vec<u8>> {
    const PIECE_BYTES: usize = 64 << 10;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    while bytes.len() < limit {
        let wanted = PIECE_BYTES.min(limit - bytes.len());
        let count = file_system.read(stat, bytes.len() as u64, &mut piece[..wanted])?;
        bytes.extend_from_slice(&piece[..count]);
        if count < wanted {
            break;
        }
    }
    Ok(bytes)
}

fn kind(kind: &StatKind) -> ImageEntryKind {
    match kind {
        StatKind::Directory => ImageEntryKind::Directory,
        StatKind::File { .. } => ImageEntryKind::File,
        StatKind::Symlink { .. } => ImageEntryKind::Symlink,
        StatKind::Special { .. } => ImageEntryKind::Special,
    }
}

pub(super) fn entry(stat: &Stat) -> ImageEntry {
    ImageEntry {
        name: String::from_utf8_lossy(stat.path.name()).into_owned(),
        path: stat.path.escaped(),
        kind: kind(&stat.kind),
        size_bytes: match stat.kind {
            StatKind::File { size_bytes } => Some(size_bytes),
            _ => None,
        },
        mode: stat.mode,
        modified: stat
            .modified_seconds
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .map(|time| time.to_string()),
        target: match &stat.kind {
            StatKind::Symlink { target } => Some(escape(target)),
            _ => None,
        },
    }
}

impl Workshop {
    /// The name of a machine that has a file as one of its disks.
    pub(crate) fn image_user(&self, path: &Path) -> Option<String> {
        self.machines.list().into_iter().find_map(|handle| {
            let spec = handle.spec();
            let uses = spec.disks.iter().any(|disk| disk.path == path);
            uses.then_some(spec.name)
        })
    }
}
