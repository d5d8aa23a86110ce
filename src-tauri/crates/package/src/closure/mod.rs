//! The closure of a program: every shared object that it needs on this computer, and why.
//!
//! Found as glibc's dynamic linker finds them: `DT_RPATH` of the object and of those that loaded
//! it, or `DT_RUNPATH`, with `$ORIGIN`; then `/etc/ld.so.conf`; then the usual directories.
//! `LD_LIBRARY_PATH` is passed over: a guest does not have it. What a program opens by name while
//! it runs (plugins) is not in its tables, and has to be named as well.
//!
//! Where things go in a guest:
//!
//! ```text
//!                  HostPaths                         OsvFlat                 Both
//!  program         /usr/bin/node                     /usr/bin/node           /usr/bin/node
//!  ld-linux        /lib64/ld-linux-x86-64.so.2       -                       as HostPaths
//!  libc, libm …    /lib/x86_64-linux-gnu/libc.so.6   - (the kernel's own)    as HostPaths
//!  libuv.so.1      /lib/x86_64-linux-gnu/libuv.so.1  /usr/lib/libuv.so.1     as HostPaths, and
//!                                                                            a link in /usr/lib
//! ```
//!
//! *Host paths* are those at which the linker opened a library, so that it does so in the guest.
//! One that it found only by `/etc/ld.so.conf` goes to the directory of `libc.so.6` instead.
//! OSv's own linker looks where the object itself says (`DT_RUNPATH`), else in `/` and `/usr/lib` alone.

mod elf;
mod osv;
mod search;
mod symbols;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Finding};
use search::Search;

pub use elf::{Elf, ElfError};
pub use osv::{
    SUPPLIED as SUPPLIED_BY_OSV, SUPPLIED_UNLESS_HIDDEN as SUPPLIED_BY_OSV_UNLESS_HIDDEN,
    bound_at_load, is_supplied as is_supplied_by_osv,
};
pub(crate) use search::expand;
pub use symbols::Symbols;

/// More objects than this are refused.
const OBJECTS_MAX: usize = 10_000;

/// How the objects of a closure are laid out in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Everything where it is on this computer: for Linux, and for OSv through `ld-linux`.
    HostPaths,
    /// Libraries flat in `/usr/lib`, without those that OSv's kernel supplies.
    OsvFlat,
    /// As on this computer, with links in `/usr/lib` where OSv's own linker looks.
    Both,
}

/// A program with every shared object that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// The objects: those asked for first, then in the order in which they were found to be needed.
    pub objects: Vec<Object>,
    /// Libraries that are nowhere on this computer.
    pub missing: Vec<Missing>,
}

/// One shared object or program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The file on this computer.
    pub host: PathBuf,
    /// Where it is in a guest, absolute (layout [`Layout::HostPaths`]).
    pub guest: PathBuf,
    /// By what name others need it.
    pub name: String,
    /// How large it is.
    pub size_bytes: u64,
    /// Why it is here.
    pub because: Because,
    /// What the dynamic linker reads of it.
    pub elf: Elf,
}

/// Why an object is in a closure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// It was asked for.
    Asked,
    /// It loads this program.
    InterpreterOf(PathBuf),
    /// This object needs it.
    NeededBy(PathBuf),
    /// The program of this name opened it by its own name while it ran.
    OpenedBy(String),
}

/// A library that is nowhere on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// The object that needs it.
    pub needed_by: PathBuf,
}

/// What is put at one path of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Where, absolute.
    pub guest: PathBuf,
    /// What.
    pub content: Content,
    /// How large it is; 0 for a link.
    pub size_bytes: u64,
    /// Why, as a sentence for a person.
    pub because: String,
}

/// The content of a [`Placement`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A copy of this file.
    Copy(PathBuf),
    /// A symbolic link to this.
    Link(PathBuf),
}

/// Finds everything that these programs and shared objects need on this computer.
///
/// A program counts by its real path, as the linker sees it; a shared object by the given one.
///
/// # Errors
///
/// When one of them cannot be read, or is no program or library for this processor.
pub fn closure(roots: &[PathBuf]) -> Result<Closure, Error> {
    let mut walk = Walk {
        search: Search::of_this_computer(),
        closure: Closure {
            objects: Vec::new(),
            missing: Vec::new(),
        },
        by_name: HashSet::new(),
        by_path: HashSet::new(),
        queue: VecDeque::new(),
    };
    for root in roots {
        walk.root(root)?;
    }
    walk.run();
    if walk.closure.objects.len() > OBJECTS_MAX {
        let root = roots.first().map_or(Path::new("/"), PathBuf::as_path);
        return Err(unsuitable(
            root,
            &format!("needs more than {OBJECTS_MAX} libraries"),
        ));
    }
    walk.gather_configured();
    Ok(walk.closure)
}

/// The path at which the dynamic linker of this computer finds a library, if it does.
pub fn find_library(name: &str) -> Option<PathBuf> {
    Search::of_this_computer()
        .find(name, &[])
        .map(|found| found.path)
}

struct Walk {
    search: Search,
    closure: Closure,
    by_name: HashSet<String>,
    by_path: HashSet<PathBuf>,
    /// Objects whose needs are still to be looked at, with the `DT_RPATH` of those that led to them.
    queue: VecDeque<(usize, Vec<PathBuf>)>,
}

impl Walk {
    fn root(&mut self, root: &Path) -> Result<(), Error> {
        let read = |path: &Path| {
            let metadata = fs::metadata(path).map_err(|source| Error::Io {
                doing: "read",
                path: path.into(),
                source,
            })?;
            if !metadata.is_file() {
                return Err(unsuitable(path, "is not a regular file"));
            }
            match Elf::open(path) {
                Ok(elf) => Ok((elf, metadata.len())),
                Err(ElfError::Io(source)) => Err(Error::Io {
                    doing: "read",
                    path: path.into(),
                    source,
                }),
                Err(error) => Err(unsuitable(path, &error.to_string())),
            }
        };
        let (elf, size_bytes) = read(root)?;
        let path = if elf.interpreter.is_some() || elf.is_static() {
            fs::canonicalize(root).map_err(|source| Error::Io {
                doing: "read",
                path: root.into(),
                source,
            })?
        } else {
            std::path::absolute(root)
                .map(|path| search::normal(&path))
                .map_err(|source| Error::Io {
                    doing: "read",
                    path: root.into(),
                    source,
                })?
        };
        let name = elf.soname.clone().unwrap_or_else(|| file_name(&path));
        let guest = path.clone();
        self.add(
            Object {
                host: path,
                guest,
                name,
                size_bytes,
                because: Because::Asked,
                elf,
            },
            &[],
        );
        Ok(())
    }

    /// Adds an object unless it is there already, and queues what it needs.
    fn add(&mut self, object: Object, rpath: &[PathBuf]) {
        // One more than may be, so that it shows.
        if self.closure.objects.len() > OBJECTS_MAX || !self.by_path.insert(object.host.clone()) {
            return;
        }
        self.by_name.insert(object.name.clone());
        let mut rpath = rpath.to_vec();
        for directory in search::expand(&object.elf.rpath, &object.host)
            .into_iter()
            .rev()
        {
            rpath.retain(|other| *other != directory);
            rpath.insert(0, directory);
        }
        self.queue.push_back((self.closure.objects.len(), rpath));
        self.closure.objects.push(object);
    }

    fn run(&mut self) {
        while let Some((at, rpath)) = self.queue.pop_front() {
            let Some(object) = self.closure.objects.get(at) else {
                continue;
            };
            let (path, elf) = (object.host.clone(), object.elf.clone());
            if let Some(interpreter) = &elf.interpreter {
                let because = Because::InterpreterOf(path.clone());
                self.need(interpreter, &[], because, &path);
            }
            let runpath = search::expand(&elf.runpath, &path);
            let own = if runpath.is_empty() { &rpath } else { &runpath };
            for name in &elf.needed {
                if !self.by_name.contains(name) {
                    self.need_with(name, own, Because::NeededBy(path.clone()), &path, &rpath);
                }
            }
        }
    }

    fn need(&mut self, name: &str, own: &[PathBuf], because: Because, by: &Path) {
        if !self.by_name.contains(&file_name(Path::new(name))) {
            self.need_with(name, own, because, by, &[]);
        }
    }

    fn need_with(
        &mut self,
        name: &str,
        own: &[PathBuf],
        because: Because,
        by: &Path,
        rpath: &[PathBuf],
    ) {
        let short = file_name(Path::new(name));
        self.by_name.insert(name.to_owned());
        self.by_name.insert(short.clone());
        let Some(found) = self.search.find(name, own) else {
            self.closure.missing.push(Missing {
                name: name.to_owned(),
                needed_by: by.to_path_buf(),
            });
            return;
        };
        if let Some(soname) = &found.elf.soname {
            self.by_name.insert(soname.clone());
        }
        // An unusual place is marked by an empty guest path until it is known where libc is.
        let guest = if found.is_usual {
            found.path.clone()
        } else {
            PathBuf::new()
        };
        let object = Object {
            host: found.path,
            guest,
            name: short,
            size_bytes: found.size_bytes,
            because,
            elf: found.elf,
        };
        self.add(object, rpath);
    }

    /// A guest has no `/etc/ld.so.conf`: what was found by it goes where libc is.
    fn gather_configured(&mut self) {
        let libc = self
            .closure
            .objects
            .iter()
            .find(|object| object.name == "libc.so.6");
        let directory = libc
            .and_then(|object| object.guest.parent())
            .filter(|directory| directory.is_absolute())
            .unwrap_or(Path::new("/usr/lib"))
            .to_path_buf();
        for object in &mut self.closure.objects {
            if object.guest.as_os_str().is_empty() {
                object.guest = directory.join(&object.name);
            }
        }
    }
}

impl Closure {
    /// Where everything goes in a guest, in the order of paths.
    pub fn place(&self, layout: Layout) -> Vec<Placement> {
        let mut places: BTreeMap<PathBuf, Placement> = BTreeMap::new();
        for object in &self.objects {
            let is_library = matches!(object.because, Because::NeededBy(_));
            let is_supplied = is_supplied_by_osv(&object.name);
            let flat = Path::new("/usr/lib").join(&object.name);
            let guest = match layout {
                Layout::OsvFlat if is_supplied || object.name == osv::SUPPLIED_UNLESS_HIDDEN => {
                    continue;
                }
                Layout::OsvFlat if matches!(object.because, Because::InterpreterOf(_)) => continue,
                Layout::OsvFlat if is_library => flat.clone(),
                _ => object.guest.clone(),
            };
            if layout == Layout::Both && is_library && !is_supplied && guest != flat {
                places.entry(flat.clone()).or_insert_with(|| Placement {
                    guest: flat,
                    content: Content::Link(guest.clone()),
                    size_bytes: 0,
                    because: "because OSv's linker looks in /usr/lib alone".into(),
                });
            }
            let because = match &object.because {
                Because::Asked => "because it was asked for".to_owned(),
                Because::InterpreterOf(program) => {
                    format!("because it loads {}", file_name(program))
                }
                Because::NeededBy(other) => {
                    format!("because {} needs {}", file_name(other), object.name)
                }
                Because::OpenedBy(program) => {
                    format!("because {program} opened it while it ran")
                }
            };
            // A real file wins over a link that was put there before.
            places.insert(
                guest.clone(),
                Placement {
                    guest,
                    content: Content::Copy(object.host.clone()),
                    size_bytes: object.size_bytes,
                    because,
                },
            );
        }
        places.into_values().collect()
    }

    /// Adds libraries that `program` opened by name while it ran, with all that they need.
    ///
    /// # Errors
    ///
    /// As [`closure`].
    pub fn extend(&mut self, libraries: &[PathBuf], program: &str) -> Result<(), Error> {
        // The kernel tells a file by its real path, and the linker by the one that it opened.
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let mut known: HashSet<PathBuf> = self
            .objects
            .iter()
            .map(|object| real(&object.host))
            .collect();
        let libraries: Vec<PathBuf> = libraries
            .iter()
            .filter(|path| known.insert(real(path)))
            .cloned()
            .collect();
        if libraries.is_empty() {
            return Ok(());
        }
        let more = closure(&libraries)?;
        for mut object in more.objects {
            let is_new = object.because == Because::Asked || known.insert(real(&object.host));
            if !is_new {
                continue;
            }
            if object.because == Because::Asked {
                object.because = Because::OpenedBy(program.to_owned());
            }
            self.objects.push(object);
        }
        self.missing.extend(more.missing);
        Ok(())
    }

    /// What is missing, as findings.
    pub fn findings(&self) -> Vec<Finding> {
        self.missing
            .iter()
            .map(|missing| {
                Finding::warning(format!(
                    "{} needs {}, which is not on this computer",
                    file_name(&missing.needed_by),
                    missing.name
                ))
                .at(missing.needed_by.to_string_lossy())
                .remedy("Install the package that has it, and pack again.")
            })
            .collect()
    }

    /// The program that loads the first program, such as `/lib64/ld-linux-x86-64.so.2`.
    pub fn interpreter(&self) -> Option<&str> {
        self.objects
            .iter()
            .find_map(|object| object.elf.interpreter.as_deref())
    }
}

/// Whether a program runs in OSv only through the distribution's own `ld-linux`: Node reads
/// `/proc/self/maps`, at which OSv's linker fails an assertion.
pub fn needs_own_linker(closure: &Closure) -> bool {
    closure
        .objects
        .iter()
        .any(|object| object.name == "node" || object.name.starts_with("libnode.so."))
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn unsuitable(path: &Path, found: &str) -> Error {
    Error::Unsuitable {
        path: path.to_path_buf(),
        found: found.to_owned(),
        remedy: "Choose a program or shared library for this computer's kind of processor.".into(),
    }
}
