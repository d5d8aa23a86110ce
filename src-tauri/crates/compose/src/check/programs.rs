//! Programs and libraries: their architecture, and what they need.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};

use windlass_guest::GuestOs;
use windlass_image::GuestPath;
use windlass_package::closure::{Elf, ElfError, SUPPLIED_BY_OSV_UNLESS_HIDDEN, is_supplied_by_osv};
use windlass_package::{Finding, Fix, closure};

use super::look::{ELF_MAGIC, follow, has_interpreter, interpreter, open};
use super::symbols;
use crate::plan::{Entry, EntryKind, Plan};

/// By this a program is started with its own libraries, in OSv as well.
pub(super) const DYNAMIC_LINKER: &str = "ld-linux-x86-64.so.2";

/// Where OSv's own linker looks, after what a program says itself.
const OSV_FOLDERS: [&str; 2] = ["", "usr/lib"];

/// Where the linkers of distributions look.
const LINUX_FOLDERS: [&str; 9] = [
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "lib64",
    "usr/lib64",
    "lib",
    "usr/lib",
    "usr/local/lib/x86_64-linux-gnu",
    "usr/local/lib64",
    "usr/local/lib",
];

const EXECUTABLE: u32 = 0o111;
const START_BYTES: u64 = 256;

/// What a file is, as far as it matters here.
enum Sort {
    Elf(Elf),
    Foreign(String),
    Script(String),
}

/// What a library is missing for, and for whom.
#[derive(Default)]
struct Missing {
    needed_by: Vec<GuestPath>,
    is_started: bool,
}

pub(super) fn check(plan: &Plan, started: &[GuestPath], findings: &mut Vec<Finding>) {
    let mut elves: BTreeMap<GuestPath, Elf> = BTreeMap::new();
    let mut scripts: BTreeMap<String, Vec<GuestPath>> = BTreeMap::new();
    for (path, entry) in plan
        .entries()
        .filter(|(path, entry)| is_candidate(path, entry))
    {
        match sort(&path, &entry) {
            Ok(Some(Sort::Elf(elf))) => {
                elves.insert(path.clone(), elf);
            }
            Ok(Some(Sort::Foreign(machine))) => findings.push(foreign(&path, &machine, started)),
            Ok(Some(Sort::Script(interpreter))) => {
                scripts.entry(interpreter).or_default().push(path.clone());
            }
            Ok(None) => {}
            Err(problem) => {
                findings.push(Finding::warning(format!("it {problem}")).at(path.to_string()));
            }
        }
    }
    if plan.guest() == GuestOs::Linux {
        check_interpreters(plan, &scripts, findings);
    }
    let own_linker = started
        .iter()
        .any(|path| path.name() == DYNAMIC_LINKER.as_bytes());
    let is_osv_linker = plan.guest() == GuestOs::Osv && !own_linker;
    if is_osv_linker {
        check_supplied(plan, findings);
    }
    let linker = Linker {
        plan,
        is_of_osv: is_osv_linker,
    };
    let reached = linker.reach(&elves, started);
    check_libraries(&linker, &elves, &reached, findings);
    symbols::check(&linker, &elves, &reached, started, findings);
}

/// Programs and libraries are told by their mode or name; opening every file of a large tree would take long.
fn is_candidate(path: &GuestPath, entry: &Entry) -> bool {
    let name = path.name();
    entry.kind == EntryKind::File
        && (entry.mode & EXECUTABLE != 0
            || name.ends_with(b".so")
            || name.ends_with(b".node")
            || name.windows(4).any(|part| part == b".so."))
}

/// Looks at the beginning of a file; fails with the rest of a sentence.
fn sort(path: &GuestPath, entry: &Entry) -> Result<Option<Sort>, String> {
    let cannot = |error: io::Error| format!("cannot be read: {error}");
    let mut file = open(path, entry).map_err(cannot)?;
    let mut start = Vec::new();
    let read = (&mut file).take(START_BYTES).read_to_end(&mut start);
    read.map_err(cannot)?;
    if !start.starts_with(ELF_MAGIC) {
        return Ok(interpreter(&start).map(Sort::Script));
    }
    match Elf::read(&mut file) {
        Ok(elf) => Ok(Some(Sort::Elf(elf))),
        Err(ElfError::OtherMachine { found }) => Ok(Some(Sort::Foreign(found))),
        // An object file or a kernel module: nothing loads it into a program.
        Err(ElfError::NotElf | ElfError::OtherType) => Ok(None),
        Err(ElfError::Io(error)) => Err(format!("cannot be read: {error}")),
        Err(error @ ElfError::Damaged { .. }) => Err(error.to_string()),
    }
}

fn foreign(path: &GuestPath, machine: &str, started: &[GuestPath]) -> Finding {
    let message = format!("it is for {machine}, and guests are x86-64");
    let finding = if started.contains(path) {
        Finding::error(message).remedy("Build it for x86-64")
    } else {
        Finding::warning(message)
            .remedy("Leave it out with a line in .capstanignore")
            .fixed_by(leave_out(path))
    };
    finding.at(path.to_string())
}

/// Scripts whose interpreter is not there: a note for each interpreter, since most are never run.
fn check_interpreters(
    plan: &Plan,
    scripts: &BTreeMap<String, Vec<GuestPath>>,
    findings: &mut Vec<Finding>,
) {
    for (interpreter, paths) in scripts {
        let Some(first) = paths.first() else { continue };
        if !has_interpreter(plan, interpreter) {
            findings.push(
                Finding::note(format!(
                    "{} {interpreter}, which is not there",
                    count(paths.len(), "script needs", "scripts need")
                ))
                .at(first.to_string())
                .remedy("Add a package that has it, if the application runs them"),
            );
        }
    }
}

/// What OSv's kernel supplies itself and the image has too.
fn check_supplied(plan: &Plan, findings: &mut Vec<Finding>) {
    for (path, entry) in plan.entries() {
        let is_supplied = str::from_utf8(path.name()).is_ok_and(is_supplied_by_osv);
        if is_supplied && entry.kind != EntryKind::Directory {
            findings.push(
                Finding::note("OSv supplies this library itself, and ignores the copy")
                    .at(path.to_string())
                    .remedy("Leave it out with a line in .capstanignore")
                    .fixed_by(leave_out(&path)),
            );
        }
    }
}

fn leave_out(path: &GuestPath) -> Fix {
    Fix::LeaveOut {
        path: path.to_string(),
    }
}

/// Whether some kernel of OSv's supplies a library.
fn may_be_supplied(library: &str) -> bool {
    is_supplied_by_osv(library) || library == SUPPLIED_BY_OSV_UNLESS_HIDDEN
}

fn check_libraries(
    linker: &Linker<'_>,
    elves: &BTreeMap<GuestPath, Elf>,
    reached: &BTreeSet<GuestPath>,
    findings: &mut Vec<Finding>,
) {
    let Linker { plan, is_of_osv } = *linker;
    let mut missing: BTreeMap<&str, Missing> = BTreeMap::new();
    for (path, elf) in elves {
        let is_started = reached.contains(path);
        if plan.guest() == GuestOs::Linux
            && let Some(interpreter) = &elf.interpreter
            && follow(plan, &GuestPath::root(), interpreter.as_bytes()).is_none()
        {
            let missing = missing.entry(interpreter).or_default();
            missing.needed_by.push(path.clone());
            missing.is_started |= is_started;
        }
        for library in &elf.needed {
            // Programs often name their linker a second time, as a library.
            let is_linker = elf
                .interpreter
                .as_ref()
                .is_some_and(|linker| linker.rsplit('/').next() == Some(library));
            if linker.find(path, elf, library).is_none()
                && !(is_of_osv && may_be_supplied(library))
                && !is_linker
                && (is_started || !is_beneath(plan, path, library))
            {
                let missing = missing.entry(library).or_default();
                missing.needed_by.push(path.clone());
                missing.is_started |= is_started;
            }
        }
    }
    for (library, missing) in missing {
        findings.push(missing_library(plan, library, &missing, is_of_osv));
    }
}

/// Whether a library lies beneath the folder of what needs it: parts of a whole, such as Java's, are loaded by another
/// part, which has loaded that before.
fn is_beneath(plan: &Plan, path: &GuestPath, library: &str) -> bool {
    let folder = format!("{}/", path.parent().unwrap_or_default());
    plan.entries().any(|(other, entry)| {
        other.name() == library.as_bytes()
            && entry.kind != EntryKind::Directory
            && !path.parent().unwrap_or_default().is_root()
            && other.to_string().starts_with(&folder)
    })
}

fn missing_library(plan: &Plan, library: &str, missing: &Missing, is_osv_linker: bool) -> Finding {
    let name = library.rsplit('/').next().unwrap_or(library);
    let place = plan
        .entries()
        .find(|(path, entry)| path.name() == name.as_bytes() && entry.kind != EntryKind::Directory)
        .map(|(path, _)| path);
    let is_dangling = place
        .as_ref()
        .is_some_and(|path| follow(plan, &GuestPath::root(), path.as_bytes()).is_none());
    let is_absent = place.is_none();
    let place = place.map(|path| path.to_string());
    let others = missing.needed_by.len().saturating_sub(1);
    let needed = match others {
        0 => String::new(),
        1 => " (and so does one other)".to_owned(),
        _ => format!(" (and so do {others} others)"),
    };
    let (message, remedy) = match place {
        Some(place) if is_dangling => (
            format!("it needs {library}, which is a symlink that leads nowhere at {place}{needed}"),
            "Add what the symlink points to".to_owned(),
        ),
        Some(place) if is_osv_linker => (
            format!("it needs {library}, which OSv does not find at {place}{needed}"),
            "Move the library to /usr/lib".to_owned(),
        ),
        Some(place) => (
            format!("it needs {library}, which is not where it looks, but at {place}{needed}"),
            "Move the library to /usr/lib".to_owned(),
        ),
        None => (
            format!("it needs {library}, which is not there{needed}"),
            format!("Add {name}, or a package that has it"),
        ),
    };
    let finding = if missing.is_started {
        Finding::error(message)
    } else {
        Finding::warning(message)
    };
    let first = missing
        .needed_by
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut finding = finding.at(first).remedy(remedy);
    finding.fix = add_file(plan, library, is_absent, is_osv_linker);
    finding
}

/// Takes the library of this computer along, where it has it.
fn add_file(plan: &Plan, library: &str, is_absent: bool, is_osv_linker: bool) -> Option<Fix> {
    let name = library.rsplit('/').next().unwrap_or(library);
    let host = closure::find_library(library).filter(|_| is_absent)?;
    // Where this computer has it a Linux guest finds it, unless a configuration says so here.
    let folder = host.parent()?.to_str()?.trim_start_matches('/');
    let guest =
        if !is_osv_linker && plan.guest() == GuestOs::Linux && LINUX_FOLDERS.contains(&folder) {
            host.to_str()?.to_owned()
        } else {
            format!("/usr/lib/{name}")
        };
    Some(Fix::AddFile { host, guest })
}

/// The linker of a guest, and where it looks.
#[derive(Clone, Copy)]
pub(super) struct Linker<'a> {
    pub(super) plan: &'a Plan,
    /// Whether it is OSv's own.
    pub(super) is_of_osv: bool,
}

impl Linker<'_> {
    /// The programs that are started, and all libraries that these bring in.
    fn reach(
        &self,
        elves: &BTreeMap<GuestPath, Elf>,
        started: &[GuestPath],
    ) -> BTreeSet<GuestPath> {
        let mut reached = BTreeSet::new();
        let mut waiting: VecDeque<GuestPath> = started.iter().cloned().collect();
        while let Some(path) = waiting.pop_front() {
            if !reached.insert(path.clone()) {
                continue;
            }
            let Some(elf) = elves.get(&path) else {
                continue;
            };
            for library in &elf.needed {
                waiting.extend(self.find(&path, elf, library));
            }
        }
        reached
    }

    /// Where it finds a library that an object needs.
    pub(super) fn find(&self, path: &GuestPath, elf: &Elf, library: &str) -> Option<GuestPath> {
        let root = GuestPath::root();
        let find = |folder: &[u8]| {
            let mut place = folder.to_vec();
            place.push(b'/');
            place.extend_from_slice(library.as_bytes());
            let found = follow(self.plan, &root, &place)?;
            (found.entry?.kind == EntryKind::File).then_some(found.path)
        };
        if library.contains('/') {
            return follow(self.plan, &root, library.as_bytes()).map(|found| found.path);
        }
        let origin = path.parent().unwrap_or_default().to_string();
        let own = elf.rpath.iter().chain(&elf.runpath).find_map(|folder| {
            let folder = folder
                .replace("${ORIGIN}", &origin)
                .replace("$ORIGIN", &origin);
            find(folder.as_bytes())
        });
        let folders: &[&str] = if self.is_of_osv {
            &OSV_FOLDERS
        } else {
            &LINUX_FOLDERS
        };
        own.or_else(|| folders.iter().find_map(|folder| find(folder.as_bytes())))
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
