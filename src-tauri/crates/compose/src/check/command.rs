//! Whether what is to be booted is there.

use std::io::Read;

use windlass_guest::GuestOs;
use windlass_guest::command_line::{Command, script};
use windlass_image::GuestPath;
use windlass_package::{Finding, Fix};

use super::Boot;
use super::look::{ELF_MAGIC, Found, find_program, follow, has_interpreter, interpreter, open};
use super::programs::DYNAMIC_LINKER;
use crate::plan::{EntryKind, Plan};

/// A script that a guest can read is not longer than this.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

/// The first line of a script is looked for in so many bytes.
const START_BYTES: u64 = 256;

const EXECUTABLE: u32 = 0o111;

/// Checks the boot command; gives the paths of the programs that it starts.
pub(super) fn check(plan: &Plan, boot: &Boot, findings: &mut Vec<Finding>) -> Vec<GuestPath> {
    let Some(line) = &boot.command_line else {
        return Vec::new();
    };
    let cwd = line.cwd().unwrap_or("/");
    let directory = follow(plan, &GuestPath::root(), cwd.as_bytes());
    let is_directory = directory.as_ref().is_some_and(|found| {
        found
            .entry
            .as_ref()
            .is_none_or(|entry| entry.kind == EntryKind::Directory)
    });
    if !is_directory {
        findings.push(
            Finding::error("the working directory of the boot command is not there")
                .at(cwd)
                .remedy("Make that folder, or change --cwd"),
        );
    }
    let from = directory.map_or_else(GuestPath::root, |found| found.path);
    if line.commands.is_empty() {
        findings.push(
            Finding::error("there is no boot command")
                .remedy("Choose a run configuration, or give a command"),
        );
    }
    let mut started = Vec::new();
    for command in &line.commands {
        check_command(plan, &from, command, &mut started, findings);
    }
    started
}

fn check_command(
    plan: &Plan,
    from: &GuestPath,
    command: &Command,
    started: &mut Vec<GuestPath>,
    findings: &mut Vec<Finding>,
) {
    let mut words = command.words.iter();
    let Some(program) = words.next() else { return };
    if program != script::RUNSCRIPT {
        return check_words(plan, from, &command.words, started, findings);
    }
    let Some(file) = words.next() else {
        findings.push(Finding::error("the boot command `runscript` names no file"));
        return;
    };
    if file.contains('$') {
        return;
    }
    let found = follow(plan, from, file.as_bytes());
    let Some((path, entry)) = found.and_then(|found| Some((found.path, found.entry?))) else {
        findings.push(
            Finding::error("the boot command runs a script that is not there")
                .at(file)
                .remedy("Choose a run configuration that is there"),
        );
        return;
    };
    let mut text = String::new();
    let read =
        open(&path, &entry).and_then(|file| file.take(SCRIPT_BYTES_MAX).read_to_string(&mut text));
    let commands = match read {
        Ok(_) => script::parse(&text).map_err(|error| error.to_string()),
        Err(error) => Err(format!("it cannot be read: {error}")),
    };
    match commands {
        Ok(commands) => {
            // Only one level: a script cannot run another in either guest.
            for command in commands.into_iter().filter_map(|command| command.command) {
                check_words(plan, from, &command.words, started, findings);
            }
        }
        Err(problem) => {
            findings.push(Finding::error(format!("the boot script is wrong: {problem}")).at(file));
        }
    }
}

/// The program of a command, and the one that it loads where it is the dynamic linker.
fn check_words(
    plan: &Plan,
    from: &GuestPath,
    words: &[String],
    started: &mut Vec<GuestPath>,
    findings: &mut Vec<Finding>,
) {
    let Some((program, arguments)) = words.split_first() else {
        return;
    };
    check_program(plan, from, program, started, findings);
    let is_linker = program.rsplit('/').next() == Some(DYNAMIC_LINKER);
    let loaded = arguments
        .first()
        .filter(|word| is_linker && !word.starts_with('-'));
    if let Some(loaded) = loaded {
        check_program(plan, from, loaded, started, findings);
    }
}

fn check_program(
    plan: &Plan,
    from: &GuestPath,
    program: &str,
    started: &mut Vec<GuestPath>,
    findings: &mut Vec<Finding>,
) {
    // What a variable stands for is known when it boots.
    if program.contains('$') {
        return;
    }
    let Some(found) = find(plan, from, program) else {
        let mut finding =
            Finding::error(format!("the boot command's program {program} is not there"))
                .at(program);
        finding.remedy = Some(match elsewhere(plan, program) {
            Some(path) => format!("Did you mean {path}?"),
            None => "Add it to the folder, or correct the command".to_owned(),
        });
        findings.push(finding);
        return;
    };
    let path = found.path.to_string();
    let Some(entry) = found.entry.filter(|entry| entry.kind == EntryKind::File) else {
        findings.push(Finding::error("the boot command's program is a folder").at(path));
        return;
    };
    let is_linux = plan.guest() == GuestOs::Linux;
    if is_linux && entry.mode & EXECUTABLE == 0 {
        findings.push(
            Finding::error("the boot command's program is not executable")
                .at(path.as_str())
                .remedy("Make it executable with `chmod +x`"),
        );
    }
    let mut start = Vec::new();
    let read =
        open(&found.path, &entry).and_then(|file| file.take(START_BYTES).read_to_end(&mut start));
    if let Err(error) = read {
        findings.push(Finding::error(format!("it cannot be read: {error}")).at(path));
    } else if start.starts_with(ELF_MAGIC) {
        started.push(found.path);
    } else if let Some(interpreter) = interpreter(&start) {
        check_script(plan, path, &interpreter, findings);
    } else {
        findings.push(
            Finding::error("the boot command's program is neither an ELF program nor a script")
                .at(path)
                .remedy("Name the program that reads it first, as in `/usr/bin/node /server.js`"),
        );
    }
}

fn check_script(plan: &Plan, path: String, interpreter: &str, findings: &mut Vec<Finding>) {
    if plan.guest() == GuestOs::Osv {
        findings.push(
            Finding::error("OSv cannot run a script by itself")
                .remedy(format!(
                    "Use `{interpreter} {path}` as the command, or a Linux guest"
                ))
                .fixed_by(Fix::Guest {
                    guest: GuestOs::Linux,
                })
                .at(path),
        );
    } else if !has_interpreter(plan, interpreter) {
        findings.push(
            Finding::error(format!(
                "the script needs {interpreter}, which is not there"
            ))
            .at(path)
            .remedy("Add a package that has it"),
        );
    }
}

/// Where a guest finds a program.
fn find(plan: &Plan, from: &GuestPath, program: &str) -> Option<Found> {
    let here = follow(plan, from, program.as_bytes());
    if here.is_some() || program.starts_with('/') {
        return here;
    }
    match plan.guest() {
        // It looks where it looks for libraries.
        GuestOs::Osv => ["/", "/usr/lib/"].iter().find_map(|folder| {
            follow(
                plan,
                &GuestPath::root(),
                format!("{folder}{program}").as_bytes(),
            )
        }),
        GuestOs::Linux if program.contains('/') => None,
        GuestOs::Linux => find_program(plan, program),
    }
}

/// A file of the same name in another folder.
fn elsewhere(plan: &Plan, program: &str) -> Option<String> {
    let name = program.rsplit('/').next().filter(|name| !name.is_empty())?;
    plan.entries()
        .find(|(path, entry)| path.name() == name.as_bytes() && entry.kind != EntryKind::Directory)
        .map(|(path, _)| path.to_string())
}
