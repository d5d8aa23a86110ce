//! What the programs that are started ask of others by name: versions that a library does not offer, and functions that
//! OSv has not.

use std::collections::{BTreeMap, BTreeSet};

use windlass_guest::GuestOs;
use windlass_image::GuestPath;
use windlass_package::closure::{Elf, Symbols};
use windlass_package::{Finding, Fix};

use super::look::open;
use super::programs::Linker;
use crate::plan::Plan;

/// Start another process. OSv has one, in which these are there and fail.
const PROCESSES: [&str; 15] = [
    "execl",
    "execle",
    "execlp",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "fork",
    "popen",
    "posix_spawn",
    "posix_spawnp",
    "system",
    "vfork",
    "wait4",
    "waitid",
];

/// Functions of glibc that OSv's kernel does not export: a program that calls one is aborted.
const NOT_IN_OSV: [&str; 13] = [
    "dlinfo",
    "getcontext",
    "getutxent",
    "makecontext",
    "malloc_trim",
    "process_vm_readv",
    "process_vm_writev",
    "recvmmsg",
    "sendmmsg",
    "setcontext",
    "shm_open",
    "shm_unlink",
    "swapcontext",
];

/// So many names are listed in a sentence.
const NAMES_SHOWN: usize = 5;

pub(super) fn check(
    linker: &Linker<'_>,
    elves: &BTreeMap<GuestPath, Elf>,
    reached: &BTreeSet<GuestPath>,
    started: &[GuestPath],
    findings: &mut Vec<Finding>,
) {
    let plan = linker.plan;
    let mut offers = Offers::default();
    for path in reached {
        let (Some(elf), Some(symbols)) = (elves.get(path), read(plan, path)) else {
            continue;
        };
        let is_started = started.contains(path);
        if plan.guest() == GuestOs::Osv {
            check_processes(path, &symbols, is_started, findings);
            if linker.is_of_osv {
                check_functions(path, &symbols, is_started, findings);
            }
        }
        // OSv's linker takes any version.
        if !linker.is_of_osv {
            check_versions(linker, path, elf, &symbols, &mut offers, findings);
        }
    }
}

/// The tables of an object; nothing where they cannot be read, which is said elsewhere.
fn read(plan: &Plan, path: &GuestPath) -> Option<Symbols> {
    Symbols::read(&mut open(path, &plan.get(path)?).ok()?).ok()
}

fn check_processes(
    path: &GuestPath,
    symbols: &Symbols,
    is_started: bool,
    findings: &mut Vec<Finding>,
) {
    // Libraries have them for those who want them.
    if !is_started {
        return;
    }
    let found = among(symbols, &PROCESSES);
    if found.is_empty() {
        return;
    }
    findings.push(
        Finding::warning(format!(
            "it can start other processes ({}), and in OSv there is one alone: these calls fail",
            list(&found)
        ))
        .at(path.to_string())
        .remedy("Configure it to run as one process, or choose Linux as the guest kernel")
        .fixed_by(Fix::Guest {
            guest: GuestOs::Linux,
        }),
    );
}

fn check_functions(
    path: &GuestPath,
    symbols: &Symbols,
    is_started: bool,
    findings: &mut Vec<Finding>,
) {
    let found = among(symbols, &NOT_IN_OSV);
    if found.is_empty() {
        return;
    }
    let message = format!(
        "it uses {}, which OSv has not: where it calls that, it is aborted",
        list(&found)
    );
    let finding = if is_started {
        Finding::warning(message)
    } else {
        Finding::note(message)
    };
    findings.push(
        finding
            .at(path.to_string())
            .remedy("Try it, or choose Linux as the guest kernel")
            .fixed_by(Fix::Guest {
                guest: GuestOs::Linux,
            }),
    );
}

/// What libraries offer, each read once.
#[derive(Default)]
struct Offers(BTreeMap<GuestPath, Vec<String>>);

impl Offers {
    fn of(&mut self, plan: &Plan, library: &GuestPath) -> &[String] {
        self.0.entry(library.clone()).or_insert_with(|| {
            read(plan, library).map_or_else(Vec::new, |symbols| symbols.offered_versions)
        })
    }
}

fn check_versions(
    linker: &Linker<'_>,
    path: &GuestPath,
    elf: &Elf,
    symbols: &Symbols,
    offers: &mut Offers,
    findings: &mut Vec<Finding>,
) {
    let mut lacking: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (library, version) in &symbols.needed_versions {
        // What is missing as a whole is said already.
        let Some(place) = linker.find(path, elf, library) else {
            continue;
        };
        let offered = offers.of(linker.plan, &place);
        // A library without versions is taken as it is.
        if !offered.is_empty() && !offered.contains(version) {
            lacking.entry(library).or_default().push(version);
        }
    }
    for (library, versions) in lacking {
        let remedy = if library == "libc.so.6" {
            "Build it on a distribution as old as the one of the packages, or take newer packages: libc has to be as new as what uses it"
        } else {
            "Take the library and what uses it from the same distribution"
        };
        findings.push(
            Finding::error(format!(
                "it needs {} of {library}, and the one in the image does not offer that",
                list(&versions)
            ))
            .at(path.to_string())
            .remedy(remedy),
        );
    }
}

/// Those of the functions that an object imports.
fn among<'a>(symbols: &Symbols, functions: &[&'a str]) -> Vec<&'a str> {
    let is_imported = |name: &&&str| symbols.imports.iter().any(|import| import == **name);
    functions.iter().filter(is_imported).copied().collect()
}

fn list(names: &[&str]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>();
    let more = if names.len() > NAMES_SHOWN {
        ", …"
    } else {
        ""
    };
    format!("{}{more}", shown.join(", "))
}
