//! What the package files would install, and what of it a package needs.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use super::files::PackageFile;
use super::{Part, Recipe};
use crate::closure::{Elf, expand, is_supplied_by_osv};
use crate::pack::debian::apt::{Origin, Wanted};
use crate::pack::debian::unpack::Unpacker;
use crate::pack::draft::Draft;
use crate::pack::plan::{self, Entry};
use crate::watch::advance;
use crate::{Error, Watch};

/// Where the dynamic linker looks last.
const USUAL: [&str; 5] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/lib",
    "/usr/lib",
];
/// Where OSv's own linker looks.
const FLAT: &str = "/usr/lib";

/// All files of the package files, unpacked.
#[derive(Debug)]
pub(super) struct Tree {
    draft: Draft,
}

/// What a package has at one path of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    /// What it is made of.
    pub content: plan::Content,
    size_bytes: u64,
    mode: u32,
    /// The package file that it is from.
    pub deb: String,
    because: Because,
}

/// Why it is there: which of several reasons does not make it another file.
#[derive(Debug, Clone)]
struct Because(String);

impl PartialEq for Because {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Because {}

impl Placed {
    pub fn entry(self, guest: PathBuf) -> Entry {
        Entry {
            guest,
            content: self.content,
            size_bytes: self.size_bytes,
            mode: self.mode,
            reason: self.because.0,
            left: false,
            required: false,
        }
    }
}

/// What a package has, by path.
pub(super) type Content = BTreeMap<PathBuf, Placed>;

impl Tree {
    pub fn unpack(
        draft: Draft,
        folder: PathBuf,
        files: &[PackageFile],
        watch: &mut dyn Watch,
    ) -> Result<Self, Error> {
        let mut unpacker = Unpacker::new(draft, folder, false);
        for file in files {
            watch.step(&format!("Unpacking {}", file.name));
            // Each entry's reason says which package file it is from.
            let wanted = Wanted {
                name: file.name.clone(),
                reason: file.name.clone(),
            };
            match &file.origin {
                Origin::File(path) => {
                    unpacker.unpack(&wanted, path, watch)?;
                    if file.is_ours {
                        // The disk is needed for what comes next.
                        let _ = std::fs::remove_file(path);
                    }
                }
                Origin::Installed(paths) => unpacker.take_installed(&wanted, paths)?,
            }
        }
        Ok(Self {
            draft: unpacker.finish(),
        })
    }

    /// All that a package needs, with what those have that it requires.
    pub fn content(
        &self,
        recipe: &Recipe,
        part: &Part,
        watch: &mut dyn Watch,
    ) -> Result<Content, Error> {
        let mut walk = Walk {
            tree: self,
            recipe,
            search: part.search.iter().chain(&recipe.search).cloned().collect(),
            content: Content::new(),
            known: HashSet::new(),
            queue: VecDeque::new(),
        };
        let asked = |what: &str| format!("because it is {what} of {}", part.name);
        for program in &part.programs {
            let guest = Path::new("/usr/bin").join(program);
            walk.add(&guest, &guest, asked("a program"))?;
        }
        for library in &part.libraries {
            walk.need(library, Path::new(&part.name), &[])?;
        }
        for plugin in &part.plugins {
            walk.add(plugin, plugin, asked("a plugin"))?;
        }
        walk.run(watch)?;
        for path in &part.files {
            walk.files(path, &asked("a file"))?;
        }
        let mut content = walk.content;
        for (link, target) in &part.links {
            content.insert(
                link.clone(),
                Placed {
                    content: plan::Content::Link(target.clone()),
                    size_bytes: 0,
                    mode: 0o755,
                    deb: String::new(),
                    because: Because("because it is known by this name".into()),
                },
            );
        }
        Ok(content)
    }

    /// Links in `/usr/lib` for OSv's own linker, to what its kernel does not supply.
    #[expect(clippy::unused_self, reason = "it goes with where libraries are found")]
    pub fn link_for_osv(&self, draft: &mut Draft) -> Result<(), Error> {
        let is_wanted = |entry: &&Entry| {
            let name = entry
                .guest
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            let folder = entry.guest.parent().unwrap_or(Path::new("/"));
            let is_deep = USUAL.iter().any(|usual| folder == Path::new(usual));
            is_deep
                && folder != Path::new(FLAT)
                && name.contains(".so")
                && !is_supplied_by_osv(&name)
        };
        let found: BTreeSet<PathBuf> = draft
            .entries()
            .filter(is_wanted)
            .map(|entry| entry.guest.clone())
            .collect();
        for library in found {
            let flat = Path::new(FLAT).join(library.file_name().unwrap_or_default());
            if draft.get(&flat).is_none() {
                draft.link(
                    &flat,
                    &library,
                    "because OSv's linker looks in /usr/lib alone",
                )?;
            }
        }
        Ok(())
    }
}

/// What is still to be looked at.
struct Walk<'a> {
    tree: &'a Tree,
    recipe: &'a Recipe,
    search: Vec<PathBuf>,
    content: Content,
    /// Names by which something was found already.
    known: HashSet<String>,
    queue: VecDeque<(PathBuf, Elf)>,
}

impl Walk<'_> {
    /// Takes an object in from where the package files have it.
    fn add(&mut self, from: &Path, guest: &Path, because: String) -> Result<(), Error> {
        let lacking = |found: &str| Error::Unsuitable {
            path: from.to_path_buf(),
            found: found.to_owned(),
            remedy: "The recipe does not fit these package files: use those that it names.".into(),
        };
        let Some(entry) = self.tree.draft.follow(from) else {
            return Err(lacking("is in none of the package files"));
        };
        let Some(host) = entry.content.file() else {
            return Err(lacking("is no file"));
        };
        let elf = Elf::open(host).map_err(|error| lacking(&error.to_string()))?;
        let placed = Placed {
            content: entry.content.clone(),
            size_bytes: entry.size_bytes,
            mode: entry.mode,
            deb: entry.reason.clone(),
            because: Because(because),
        };
        if self.content.insert(guest.to_path_buf(), placed).is_none() {
            self.queue.push_back((from.to_path_buf(), elf));
        }
        Ok(())
    }

    /// Takes the library of this name in, where it is not there yet.
    fn need(&mut self, name: &str, by: &Path, own: &[PathBuf]) -> Result<(), Error> {
        if !self.known.insert(name.to_owned()) {
            return Ok(());
        }
        let by_name = by.file_name().unwrap_or(by.as_os_str()).to_string_lossy();
        let places = own.iter().chain(&self.search).cloned();
        let places: Vec<PathBuf> = places.chain(USUAL.map(PathBuf::from)).collect();
        let found = places.iter().map(|folder| folder.join(name)).find(|path| {
            let entry = self.tree.draft.follow(path);
            entry.is_some_and(|entry| entry.content.file().is_some())
        });
        let Some(found) = found else {
            return Err(Error::Unsuitable {
                path: name.into(),
                found: format!("is needed by {by_name}, and in none of the package files"),
                remedy: "The recipe does not fit these package files: use those that it names."
                    .into(),
            });
        };
        let because = format!("because {by_name} needs {name}");
        self.add(&found.clone(), &self.moved(&found), because)
    }

    /// Where a library lies in a guest.
    fn moved(&self, path: &Path) -> PathBuf {
        let mut moves = self.recipe.moves.iter();
        let to = moves.find_map(|(from, to)| Some(to.join(path.strip_prefix(from).ok()?)));
        to.unwrap_or_else(|| path.to_path_buf())
    }

    fn run(&mut self, watch: &mut dyn Watch) -> Result<(), Error> {
        while let Some((path, elf)) = self.queue.pop_front() {
            advance(watch, 0)?;
            if let Some(interpreter) = &elf.interpreter
                && self.known.insert(interpreter.clone())
            {
                let interpreter = Path::new(interpreter);
                let program = path.file_name().unwrap_or_default().to_string_lossy();
                self.add(
                    interpreter,
                    interpreter,
                    format!("because it loads {program}"),
                )?;
            }
            let mut own = expand(&elf.runpath, &path);
            own.extend(expand(&elf.rpath, &path));
            for name in &elf.needed {
                self.need(name, &path, &own)?;
            }
        }
        Ok(())
    }

    /// A file, or all that is in a folder.
    fn files(&mut self, path: &Path, because: &str) -> Result<(), Error> {
        let beneath: Vec<&Entry> = self
            .tree
            .draft
            .entries()
            .filter(|entry| {
                entry.guest.starts_with(path) && entry.content != plan::Content::Directory
            })
            .collect();
        if beneath.is_empty() {
            return Err(Error::Unsuitable {
                path: path.to_path_buf(),
                found: "is in none of the package files".into(),
                remedy: "The recipe does not fit these package files: use those that it names."
                    .into(),
            });
        }
        for entry in beneath {
            self.content
                .entry(entry.guest.clone())
                .or_insert_with(|| Placed {
                    content: entry.content.clone(),
                    size_bytes: entry.size_bytes,
                    mode: entry.mode,
                    deb: entry.reason.clone(),
                    because: Because(because.to_owned()),
                });
        }
        Ok(())
    }
}
