//! Programs and libraries: their architecture, and what they need.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read, Seek, SeekFrom};

use windlass_guest::GuestOs;
use windlass_image::GuestPath;
use windlass_package::Finding;

use super::elf::{self, Elf, Needs};
use super::look::{follow, has_interpreter, interpreter, open};
use crate::plan::{Entry, EntryKind, Plan};

/// What OSv's kernel supplies itself (`core/elf.cc`); a copy in the image is ignored.
const OSV_SUPPLIES: [&str; 14] = [
    "ld-linux-x86-64.so.2",
    "ld-musl-x86_64.so.1",
    "libaio.so.1",
    "libc.musl-x86_64.so.1",
    "libc.so.6",
    "libcrypt.so.1",
    "libdl.so.2",
    "libm.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so",
    "libxenstore.so.3.0",
];

/// By this a program is started with its own libraries, in OSv as well.
const DYNAMIC_LINKER: &str = "ld-linux-x86-64.so.2";

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
    Elf(Needs),
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
    let mut elves: BTreeMap<GuestPath, Needs> = BTreeMap::new();
    let mut scripts: BTreeMap<String, Vec<GuestPath>> = BTreeMap::new();
    for (path, entry) in plan
        .entries()
        .filter(|(path, entry)| is_candidate(path, entry))
    {
        match sort(entry) {
            Ok(Some(Sort::Elf(needs))) => {
                elves.insert(path.clone(), needs);
            }
            Ok(Some(Sort::Foreign(machine))) => findings.push(foreign(path, &machine, started)),
            Ok(Some(Sort::Script(interpreter))) => {
                scripts.entry(interpreter).or_default().push(path.clone());
            }
            Ok(None) => {}
            Err(error) => findings.push(
                Finding::warning(format!("it cannot be understood: {error}")).at(path.to_string()),
            ),
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
    check_libraries(plan, &elves, started, is_osv_linker, findings);
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

fn sort(entry: &Entry) -> io::Result<Option<Sort>> {
    let mut file = open(entry)?;
    let mut start = Vec::new();
    (&mut file).take(START_BYTES).read_to_end(&mut start)?;
    if !start.starts_with(elf::MAGIC) {
        return Ok(interpreter(&start).map(Sort::Script));
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(elf::read(&mut file)?.map(|elf| match elf {
        Elf::Ours(needs) => Sort::Elf(needs),
        Elf::Foreign(machine) => Sort::Foreign(machine),
    }))
}

fn foreign(path: &GuestPath, machine: &str, started: &[GuestPath]) -> Finding {
    let message = format!("it is for {machine}, and guests are x86-64");
    let finding = if started.contains(path) {
        Finding::error(message).remedy("Build it for x86-64")
    } else {
        Finding::warning(message).remedy("Leave it out with a line in .capstanignore")
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
        let is_supplied = OSV_SUPPLIES
            .iter()
            .any(|name| path.name() == name.as_bytes());
        // Where a hidden-symbols kernel runs, it is needed.
        let may_be_needed = path.name() == b"libstdc++.so.6";
        if is_supplied && !may_be_needed && entry.kind != EntryKind::Directory {
            findings.push(
                Finding::note("OSv supplies this library itself, and ignores the copy")
                    .at(path.to_string())
                    .remedy("Leave it out with a line in .capstanignore"),
            );
        }
    }
}

fn check_libraries(
    plan: &Plan,
    elves: &BTreeMap<GuestPath, Needs>,
    started: &[GuestPath],
    is_osv_linker: bool,
    findings: &mut Vec<Finding>,
) {
    let reached = reach(plan, elves, started, is_osv_linker);
    let mut missing: BTreeMap<&str, Missing> = BTreeMap::new();
    for (path, needs) in elves {
        let is_started = reached.contains(path);
        if plan.guest() == GuestOs::Linux
            && let Some(linker) = &needs.interpreter
            && follow(plan, &GuestPath::root(), linker.as_bytes()).is_none()
        {
            let missing = missing.entry(linker).or_default();
            missing.needed_by.push(path.clone());
            missing.is_started |= is_started;
        }
        for library in &needs.libraries {
            // Programs often name their linker a second time, as a library.
            let is_linker = needs
                .interpreter
                .as_ref()
                .is_some_and(|linker| linker.rsplit('/').next() == Some(library));
            if find_library(plan, path, needs, library, is_osv_linker).is_none()
                && !(is_osv_linker && OSV_SUPPLIES.contains(&library.as_str()))
                && !is_linker
            {
                let missing = missing.entry(library).or_default();
                missing.needed_by.push(path.clone());
                missing.is_started |= is_started;
            }
        }
    }
    for (library, missing) in missing {
        findings.push(missing_library(plan, library, &missing, is_osv_linker));
    }
}

fn missing_library(plan: &Plan, library: &str, missing: &Missing, is_osv_linker: bool) -> Finding {
    let name = library.rsplit('/').next().unwrap_or(library);
    let place = plan
        .entries()
        .find(|(path, entry)| path.name() == name.as_bytes() && entry.kind != EntryKind::Directory);
    let is_dangling =
        place.is_some_and(|(path, _)| follow(plan, &GuestPath::root(), path.as_bytes()).is_none());
    let place = place.map(|(path, _)| path.to_string());
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
    finding.at(first).remedy(remedy)
}

/// The programs that are started, and all libraries that these bring in.
fn reach(
    plan: &Plan,
    elves: &BTreeMap<GuestPath, Needs>,
    started: &[GuestPath],
    is_osv_linker: bool,
) -> BTreeSet<GuestPath> {
    let mut reached = BTreeSet::new();
    let mut waiting: VecDeque<GuestPath> = started.iter().cloned().collect();
    while let Some(path) = waiting.pop_front() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let Some(needs) = elves.get(&path) else {
            continue;
        };
        for library in &needs.libraries {
            waiting.extend(find_library(plan, &path, needs, library, is_osv_linker));
        }
    }
    reached
}

/// Where a guest's linker finds a library.
fn find_library(
    plan: &Plan,
    path: &GuestPath,
    needs: &Needs,
    library: &str,
    is_osv_linker: bool,
) -> Option<GuestPath> {
    let root = GuestPath::root();
    let find = |folder: &[u8]| {
        let mut place = folder.to_vec();
        place.push(b'/');
        place.extend_from_slice(library.as_bytes());
        let found = follow(plan, &root, &place)?;
        (found.entry?.kind == EntryKind::File).then_some(found.path)
    };
    if library.contains('/') {
        return follow(plan, &root, library.as_bytes()).map(|found| found.path);
    }
    let origin = path.parent().unwrap_or_default().to_string();
    let own = needs.folders.iter().find_map(|folder| {
        let folder = folder
            .replace("${ORIGIN}", &origin)
            .replace("$ORIGIN", &origin);
        find(folder.as_bytes())
    });
    let folders: &[&str] = if is_osv_linker {
        &OSV_FOLDERS
    } else {
        &LINUX_FOLDERS
    };
    own.or_else(|| folders.iter().find_map(|folder| find(folder.as_bytes())))
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
