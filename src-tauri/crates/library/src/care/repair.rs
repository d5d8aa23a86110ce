//! Damaged packages become whole again.
//!
//! ```text
//!   a damaged file ─ an object or another tree with that content? ── copy it
//!                  └ an origin? ── fetch its archive ── unpack ── the same digest? ── take the file from it
//!                                                             └ say what to pull again
//! ```
//!
//! A file is good when its digest says so, not because of where it lies. It takes its place by a rename: whoever reads the
//! tree meanwhile reads the old content or the new.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use blake3::Hash;
use windlass_package::Watch;

use super::verify::{Damage, Depth, Holder, Problem, Seen, check_package, sound_list};
use crate::error::{Error, IoContext};
use crate::file::{remove_tree, sync_parent};
use crate::library::Library;
use crate::packages::add::unpack_in;
use crate::packages::record::Record;
use crate::packages::remove::read_list;
use crate::packages::{InstalledPackage, LIST_FILE, Origin, TREE_FOLDER};
use crate::parallel;
use crate::store::import::{Soil, digest, grow, open};
use crate::store::objects::settle;
use crate::store::tree::{self, Kind, Tree};
use crate::workplace::Workplace;

/// What a repair came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repair {
    /// What is right again.
    pub repaired: Vec<Damage>,
    /// What is not, each with what to do.
    pub left: Vec<(Damage, String)>,
}

/// Fetches the archive that a package came in, to a file in the folder that is given; the reason in words where it cannot.
pub type FetchArchive<'a> =
    dyn FnMut(&InstalledPackage, &Origin, &Path) -> Result<PathBuf, String> + 'a;

/// Files of the right content, by their digests.
type Sound = HashMap<Hash, PathBuf>;

impl Library {
    /// Repairs what [`verify`](Self::verify) found: from what else is in the library, else from the archive that the
    /// package came in, which `fetch` gets.
    ///
    /// # Errors
    /// I/O errors while writing; [`Error::Cancelled`]. What could not be repaired is no error, but in [`Repair::left`].
    pub fn repair(
        &self,
        damages: &[Damage],
        fetch: &mut FetchArchive<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Repair, Error> {
        let mut by_holder: BTreeMap<&Holder, Vec<&Damage>> = BTreeMap::new();
        for damage in damages {
            by_holder.entry(&damage.of).or_default().push(damage);
        }
        let mut repair = Repair::default();
        for (holder, damages) in by_holder {
            let left = match holder {
                Holder::Kernel { id } => Some(format!(
                    "Remove the guest kernel {id}, and add it again from a good file."
                )),
                Holder::Package { name, digits, .. } => {
                    watch.step(&format!("Repairing {holder}"));
                    let folder = self.package_folder(name)?.join(digits);
                    self.repair_package(&folder, &damages, fetch, watch)?
                }
            };
            let damages = damages.into_iter().cloned();
            match left {
                None => repair.repaired.extend(damages),
                Some(remedy) => repair
                    .left
                    .extend(damages.map(|damage| (damage, remedy.clone()))),
            }
        }
        Ok(repair)
    }

    /// Repairs one package; what to do where that cannot be.
    fn repair_package(
        &self,
        folder: &Path,
        damages: &[&Damage],
        fetch: &mut FetchArchive<'_>,
        watch: &mut dyn Watch,
    ) -> Result<Option<String>, Error> {
        let Some(package) = self.sound_record(folder)? else {
            return Ok(Some(
                "Remove this version, and pull or pack it again: its record is lost.".to_owned(),
            ));
        };
        let workplace = self.workplace()?;
        let mut fetched = None;
        let tree = match sound_list(folder, &package.digest) {
            Ok(tree) => tree,
            Err(_) => match self.list_again(&package, watch)? {
                Some(tree) => tree,
                None => match fetch_origin(&package, &workplace, fetch, watch)? {
                    Ok(tree) => {
                        self.write_list(&package, &tree)?;
                        fetched = Some(tree.clone());
                        tree
                    }
                    Err(remedy) => return Ok(Some(remedy)),
                },
            },
        };
        // Where the list was lost, it was not known what else is.
        let unknown = match &fetched {
            Some(_) => check_package(&package, Depth::Contents, &Seen::default(), watch)?,
            None => Vec::new(),
        };
        let damages: Vec<&Damage> = damages.iter().copied().chain(&unknown).collect();
        let wanted: HashSet<&Path> = damages.iter().map(|damage| damage.path.as_path()).collect();
        let broken: Vec<_> = tree
            .files()
            .filter(|(entry, ..)| wanted.contains(entry.path()))
            .collect();
        let needed: HashSet<Hash> = broken.iter().map(|(_, _, digest, _)| *digest).collect();
        let mut sound = self.sound_files(&needed, &workplace, watch)?;
        if sound.len() < needed.len() {
            if fetched.is_none() {
                match fetch_origin(&package, &workplace, fetch, watch)? {
                    Ok(tree) => fetched = Some(tree),
                    Err(remedy) => return Ok(Some(remedy)),
                }
            }
            let root = workplace.path().join("package").join(TREE_FOLDER);
            for (entry, _, digest, _) in fetched.iter().flat_map(Tree::files) {
                if needed.contains(&digest) {
                    sound
                        .entry(digest)
                        .or_insert_with(|| root.join(entry.path()));
                }
            }
        }
        self.put_right(
            &package,
            &tree,
            &damages,
            &broken_paths(&broken),
            &sound,
            &workplace,
        )?;
        Ok(None)
    }

    /// The package in a folder; where its record is damaged, made again of the manifest in its tree.
    fn sound_record(&self, folder: &Path) -> Result<Option<InstalledPackage>, Error> {
        if let Ok(record) = Record::read(folder) {
            return Ok(Some(record.into_package(folder)));
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let Ok(text) = fs::read(folder.join(LIST_FILE)) else {
            return Ok(None);
        };
        let digest = tree::digest(&text);
        let tree = Tree::parse(&text).ok();
        let is_of_folder = digest.to_hex().starts_with(&*name);
        let package = crate::packages::open(&folder.join(TREE_FOLDER)).ok();
        let (Some(tree), Some(package), true) = (tree, package, is_of_folder) else {
            return Ok(None);
        };
        let _lock = self.lock_until(&mut || false)?;
        let record = Record::new(&package, &tree, &digest, None);
        record.write(folder)?;
        Ok(Some(record.into_package(folder)))
    }

    /// Lists a tree of which the list was lost; `None` where it is not the tree any more.
    fn list_again(
        &self,
        package: &InstalledPackage,
        watch: &mut dyn Watch,
    ) -> Result<Option<Tree>, Error> {
        let tree = match grow(Soil::InPlace, &package.path, watch) {
            Ok(tree) => tree,
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(_) => return Ok(None),
        };
        if tree::digest(&tree.render()).to_hex().as_str() != package.digest {
            return Ok(None);
        }
        self.write_list(package, &tree)?;
        Ok(Some(tree))
    }

    fn write_list(&self, package: &InstalledPackage, tree: &Tree) -> Result<(), Error> {
        let _lock = self.lock_until(&mut || false)?;
        crate::file::write_whole(&package.folder().join(LIST_FILE), &tree.render())
    }

    /// Copies of those files that are somewhere in the library as they should be.
    fn sound_files(
        &self,
        needed: &HashSet<Hash>,
        workplace: &Workplace,
        watch: &mut dyn Watch,
    ) -> Result<Sound, Error> {
        if needed.is_empty() {
            return Ok(Sound::new());
        }
        let mut candidates: Vec<(Hash, PathBuf)> = Vec::new();
        self.objects()?.each(|object| {
            if needed.contains(&object.digest) {
                candidates.push((object.digest, object.path));
            }
            Ok(())
        })?;
        for package in self.packages()?.entries {
            let Ok(list) = read_list(package.folder()) else {
                continue;
            };
            for (entry, _, digest, _) in list.files() {
                if needed.contains(&digest) {
                    candidates.push((digest, package.path.join(entry.path())));
                }
            }
        }
        let good = parallel::for_all(
            &candidates,
            |(wanted, path), hand| {
                let found = open(path).and_then(|mut file| digest(&mut file, path, hand));
                match found {
                    Err(Error::Cancelled) => Err(Error::Cancelled),
                    found => Ok(found.is_ok_and(|(found, _)| found == *wanted)),
                }
            },
            watch,
        )?;
        let mut sound = Sound::new();
        for ((digest, path), _) in candidates.into_iter().zip(good).filter(|(_, good)| *good) {
            if sound.contains_key(&digest) {
                continue;
            }
            // A copy, for it may have another mode, or be about to be replaced itself.
            let copy = workplace.path().join(digest.to_hex().as_str());
            fs::copy(&path, &copy).context("copy", &path)?;
            sound.insert(digest, copy);
        }
        Ok(sound)
    }

    /// Puts files, links and folders right.
    fn put_right(
        &self,
        package: &InstalledPackage,
        tree: &Tree,
        damages: &[&Damage],
        broken: &HashSet<PathBuf>,
        sound: &Sound,
        workplace: &Workplace,
    ) -> Result<(), Error> {
        let _lock = self.lock_until(&mut || false)?;
        let objects = self.objects()?;
        let spare = workplace.path().join("spare");
        for damage in damages
            .iter()
            .filter(|damage| damage.problem == Problem::Extra)
        {
            let path = package.path.join(&damage.path);
            remove_tree(&path).context("remove", &path)?;
        }
        let wanted: HashSet<&Path> = damages.iter().map(|damage| damage.path.as_path()).collect();
        // Folders come before what is in them.
        for entry in tree.entries() {
            let path = package.path.join(entry.path());
            match &entry.kind {
                Kind::Folder { .. } => {
                    if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_dir()) {
                        fs::remove_file(&path).context("replace", &path)?;
                    }
                    fs::create_dir_all(&path).context("create", &path)?;
                }
                Kind::Link { target } if wanted.contains(entry.path()) => {
                    if fs::symlink_metadata(&path).is_ok() {
                        remove_tree(&path).context("replace", &path)?;
                    }
                    let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(target);
                    std::os::unix::fs::symlink(target, &path).context("create", &path)?;
                }
                Kind::File {
                    mode,
                    digest,
                    size_bytes,
                } if broken.contains(entry.path()) => {
                    let Some(source) = sound.get(digest) else {
                        continue;
                    };
                    let fresh = workplace.path().join("fresh");
                    fs::copy(source, &fresh).context("write", &fresh)?;
                    File::options()
                        .write(true)
                        .open(&fresh)
                        .and_then(|file| {
                            settle(&file, *mode)?;
                            file.sync_all()
                        })
                        .context("write", &fresh)?;
                    // The object may be damaged in a way that its time does not show.
                    let object = objects.path(digest, *mode);
                    if !is_digest_of(&object, digest) {
                        let _ = fs::remove_file(&object);
                    }
                    objects.share(&fresh, digest, *mode, *size_bytes, &spare)?;
                    if fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                        remove_tree(&path).context("replace", &path)?;
                    }
                    fs::rename(&fresh, &path).context("replace", &path)?;
                    // Where both are names of one file already, nothing was renamed.
                    let _ = fs::remove_file(&fresh);
                    sync_parent(&path)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Unpacks the archive that a package came in, into the workplace; where it cannot be had, what to do.
fn fetch_origin(
    package: &InstalledPackage,
    workplace: &Workplace,
    fetch: &mut FetchArchive<'_>,
    watch: &mut dyn Watch,
) -> Result<Result<Tree, String>, Error> {
    let again = format!("Remove {}, and pull or pack it again", package.label());
    let Some(origin) = &package.origin else {
        return Ok(Err(format!(
            "{again}: from where it came is not known, and nothing else has these files."
        )));
    };
    let archive = match fetch(package, origin, workplace.path()) {
        Ok(archive) => archive,
        Err(reason) => return Ok(Err(format!("{again} from {}: {reason}", origin.registry))),
    };
    let tree = match unpack_in(workplace, &archive, watch) {
        Ok(tree) => tree,
        Err(Error::Cancelled) => return Err(Error::Cancelled),
        Err(error) => return Ok(Err(format!("{again} from {}: {error}", origin.registry))),
    };
    if tree::digest(&tree.render()).to_hex().as_str() == package.digest {
        Ok(Ok(tree))
    } else {
        Ok(Err(format!(
            "{again}: {} has another package in its place now.",
            origin.registry
        )))
    }
}

fn broken_paths<T>(broken: &[(&tree::Entry, u32, Hash, T)]) -> HashSet<PathBuf> {
    let paths = broken.iter().map(|(entry, ..)| entry.path().to_path_buf());
    paths.collect()
}

fn is_digest_of(path: &Path, digest: &Hash) -> bool {
    let mut hasher = blake3::Hasher::new();
    let read = open(path).is_ok_and(|file| hasher.update_reader(file).is_ok());
    read && hasher.finalize() == *digest
}
