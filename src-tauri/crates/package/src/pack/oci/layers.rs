//! Layers of an image, one over the other.
//!
//! A layer is a tar. `.wh.NAME` takes NAME of the layers below away, `.wh..wh..opq` all that they
//! have in its folder. What a layer itself has stays, wherever in it the whiteout lies: whiteouts
//! are applied before its files.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry as TarEntry, EntryType};

use super::store::Store;
use crate::error::IoContext;
use crate::pack::Entry;
use crate::pack::draft::Draft;
use crate::pack::plan::Content;
use crate::watch::advance;
use crate::{Error, Finding, Watch};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
/// So much may come out of all layers.
const SIZE_MAX_BYTES: u64 = 64 << 30;
const ENTRIES_MAX: u64 = 2_000_000;
const COPY_BYTES: usize = 256 << 10;

/// Takes layers in, the lowest first.
pub(super) struct Unpacker<'a> {
    draft: &'a mut Draft,
    /// Where the files go, under numbers.
    folder: PathBuf,
    count: u64,
    size_bytes: u64,
    skipped: u64,
}

impl<'a> Unpacker<'a> {
    pub fn new(draft: &'a mut Draft, folder: PathBuf) -> Self {
        Self {
            draft,
            folder,
            count: 0,
            size_bytes: 0,
            skipped: 0,
        }
    }

    pub fn layer(
        &mut self,
        store: &Store,
        layer: &str,
        reason: &str,
        watch: &mut dyn Watch,
    ) -> Result<(), Error> {
        self.visit(store, layer, watch, |this, path, _, _| this.white_out(path))?;
        self.visit(store, layer, watch, |this, path, entry, watch| {
            this.entry(path, entry, reason, watch)
        })
    }

    /// Reads the layer from its beginning to its end.
    fn visit(
        &mut self,
        store: &Store,
        layer: &str,
        watch: &mut dyn Watch,
        mut visit: impl FnMut(
            &mut Self,
            &Path,
            &mut TarEntry<'_, Box<dyn Read>>,
            &mut dyn Watch,
        ) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let place = Path::new(layer);
        let mut archive = Archive::new(decompressed(store, layer)?);
        let mut seen = 0;
        for entry in archive.entries().context("unpack", place)? {
            advance(watch, 0)?;
            seen += 1;
            if seen > ENTRIES_MAX {
                return Err(too_much(place, "has more files than any image"));
            }
            let mut entry = entry.context("unpack", place)?;
            let path = entry.path().context("unpack", place)?;
            let is_inside = !path.components().any(|part| part == Component::ParentDir);
            let guest = Path::new("/").join(path.strip_prefix("/").unwrap_or(&path));
            let guest: PathBuf = guest.components().collect();
            if !is_inside {
                return Err(too_much(&guest, "would be outside of the image"));
            }
            if guest != Path::new("/") {
                visit(self, &guest, &mut entry, watch)?;
            }
        }
        Ok(())
    }

    /// Says what was left out.
    pub fn finish(self) {
        if self.skipped > 0 {
            self.draft.findings.push(Finding::note(format!(
                "{} devices and pipes of the image are left out: a guest makes its own",
                self.skipped
            )));
        }
    }

    fn white_out(&mut self, path: &Path) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let folder = path.parent().unwrap_or(Path::new("/"));
        if name == OPAQUE {
            // A name behind links, as the layers below would have it.
            let folder = self.draft.settle(&folder.join("x"))?;
            self.draft.empty(folder.parent().unwrap_or(Path::new("/")));
        } else if let Some(name) = name.strip_prefix(WHITEOUT)
            && !name.is_empty()
            && name != "."
            && name != ".."
        {
            let gone = self.draft.settle(&folder.join(name))?;
            self.draft.remove(&gone);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        guest: &Path,
        entry: &mut TarEntry<'_, Box<dyn Read>>,
        reason: &str,
        watch: &mut dyn Watch,
    ) -> Result<(), Error> {
        let name = guest.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(WHITEOUT) {
            return Ok(());
        }
        match entry.header().entry_type() {
            EntryType::Directory => self.draft.directory(guest, reason),
            EntryType::Symlink => match entry.link_name().context("unpack", guest)? {
                Some(target) => self.draft.link(guest, &target, reason),
                None => Ok(()),
            },
            EntryType::Link => self.second_name(guest, entry, reason),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(guest, entry, reason, watch)
            }
            // Devices: a guest makes its own.
            _ => {
                self.skipped += 1;
                Ok(())
            }
        }
    }

    fn file(
        &mut self,
        guest: &Path,
        entry: &mut TarEntry<'_, Box<dyn Read>>,
        reason: &str,
        watch: &mut dyn Watch,
    ) -> Result<(), Error> {
        self.count += 1;
        let host = self.folder.join(self.count.to_string());
        let mut output = File::create_new(&host).context("write", &host)?;
        let is_executable = entry.header().mode().unwrap_or(0) & 0o111 != 0;
        let mut buffer = vec![0; COPY_BYTES];
        let mut size_bytes = 0;
        loop {
            let length = match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(source).context("unpack", guest),
            };
            let bytes = buffer.get(..length).unwrap_or_default();
            io::Write::write_all(&mut output, bytes).context("write", &host)?;
            size_bytes += length as u64;
            self.size_bytes += length as u64;
            if self.size_bytes > SIZE_MAX_BYTES {
                return Err(too_much(guest, "is more than an image may come to"));
            }
            advance(watch, length as u64)?;
        }
        self.draft.put(Entry {
            guest: guest.to_path_buf(),
            content: Content::Unpacked(host),
            size_bytes,
            mode: if is_executable { 0o755 } else { 0o644 },
            reason: reason.to_owned(),
            left: false,
            required: false,
        })
    }

    /// A second name for a file becomes a file of its own.
    fn second_name(
        &mut self,
        guest: &Path,
        entry: &TarEntry<'_, Box<dyn Read>>,
        reason: &str,
    ) -> Result<(), Error> {
        let target = entry
            .link_name()
            .context("unpack", guest)?
            .unwrap_or_default();
        let target = Path::new("/").join(target.strip_prefix("/").unwrap_or(&target));
        match self.draft.follow(&target).cloned() {
            Some(first) => self.draft.put(Entry {
                guest: guest.to_path_buf(),
                reason: reason.to_owned(),
                ..first
            }),
            None => Err(too_much(
                guest,
                "is a second name for a file that is not there",
            )),
        }
    }
}

/// The tar of a layer, whatever it is compressed by.
fn decompressed(store: &Store, layer: &str) -> Result<Box<dyn Read>, Error> {
    let place = Path::new(layer);
    let mut start = Vec::new();
    store
        .part(layer)?
        .take(4)
        .read_to_end(&mut start)
        .context("read", place)?;
    let part = BufReader::with_capacity(COPY_BYTES, store.part(layer)?);
    Ok(match start.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(part)),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(part).context("unpack", place)?)
        }
        _ => Box::new(part),
    })
}

fn too_much(path: &Path, found: &str) -> Error {
    Error::Unsuitable {
        path: path.to_path_buf(),
        found: found.to_owned(),
        remedy: "Take an image whose maker you trust.".into(),
    }
}
