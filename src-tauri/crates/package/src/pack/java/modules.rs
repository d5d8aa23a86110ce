//! Which modules of Java an application uses, and a runtime of just these.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::home::Home;
use super::jar::Jar;
use crate::helper::{self, Failure};
use crate::{Error, Watch};

/// Looking into the hundred libraries of a large application takes half a minute.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Found as services or by reflection, where jdeps does not look.
const ALWAYS: [&str; 2] = ["jdk.crypto.ec", "jdk.zipfs"];
const SPRING_BOOT: [&str; 10] = [
    "java.desktop",
    "java.instrument",
    "java.management",
    "java.naming",
    "java.net.http",
    "java.security.jgss",
    "java.sql",
    "jdk.jfr",
    "jdk.management",
    "jdk.unsupported",
];

/// The modules that an application uses, sorted; or why that cannot be told.
pub(super) fn of(
    jar: &Jar,
    home: &Home,
    scratch: &Path,
    watch: &mut dyn Watch,
) -> Result<Result<Vec<String>, String>, Error> {
    let mut parts = vec![jar.path.clone()];
    parts.extend(jar.class_path().into_iter().map(|(host, _)| host));
    if jar.is_spring_boot {
        parts = jar.unpack_boot(&scratch.join("unpacked"), watch)?;
    }
    let mut command = Command::new(home.folder.join("bin/jdeps"));
    command
        .args(["--print-module-deps", "--ignore-missing-deps"])
        .args(["--multi-release", &home.major.to_string()])
        .args(&parts);
    let said = match run(&mut command, watch)? {
        Ok(said) => said,
        Err(why) => return Ok(Err(format!("jdeps could not tell its modules: {why}"))),
    };
    let known = known(home, watch)?;
    let line = said.lines().last().unwrap_or_default();
    let more: &[&str] = if jar.is_spring_boot {
        &SPRING_BOOT
    } else {
        &[]
    };
    let mut modules: Vec<String> = (line.split(',').map(str::trim))
        .chain(ALWAYS)
        .chain(more.iter().copied())
        .filter(|name| known.iter().any(|other| other == name))
        .map(str::to_owned)
        .collect();
    modules.sort();
    modules.dedup();
    if modules.is_empty() {
        return Ok(Err("jdeps names no module".into()));
    }
    Ok(Ok(modules))
}

/// Links a runtime of these modules; or says why that does not work.
pub(super) fn link(
    modules: &[impl AsRef<str>],
    home: &Home,
    folder: &Path,
    watch: &mut dyn Watch,
) -> Result<Result<PathBuf, String>, Error> {
    let mut command = Command::new(home.folder.join("bin/jlink"));
    let switches = [
        "--strip-java-debug-attributes",
        "--no-man-pages",
        "--no-header-files",
    ];
    let names: Vec<&str> = modules.iter().map(AsRef::as_ref).collect();
    command
        .args(switches)
        .args(["--add-modules", &names.join(","), "--output"])
        .arg(folder);
    Ok(match run(&mut command, watch)? {
        Ok(_) => Ok(folder.to_path_buf()),
        Err(why) => Err(format!("jlink failed: {why}")),
    })
}

/// Has a linked runtime keep its own classes as it has them in memory, which starts it a quarter faster.
pub(super) fn share(runtime: &Path, watch: &mut dyn Watch) -> Result<Result<(), String>, Error> {
    let mut command = Command::new(runtime.join("bin/java"));
    Ok(run(command.arg("-Xshare:dump"), watch)?.map(drop))
}

/// The modules that a runtime has.
fn known(home: &Home, watch: &mut dyn Watch) -> Result<Vec<String>, Error> {
    let mut command = Command::new(home.folder.join("bin/java"));
    let said = run(command.arg("--list-modules"), watch)?.unwrap_or_default();
    let name = |line: &str| line.split('@').next().unwrap_or(line).trim().to_owned();
    Ok(said.lines().map(name).collect())
}

/// What a program of the JDK prints; or what it complains of.
fn run(command: &mut Command, watch: &mut dyn Watch) -> Result<Result<String, String>, Error> {
    match helper::run(command, Some(TIMEOUT), watch) {
        Ok(output) if output.status.success() => Ok(Ok(output.stdout)),
        Ok(output) => {
            let said = [output.stderr, output.stdout].concat();
            let line = said.lines().find(|line| !line.trim().is_empty());
            Ok(Err(line.unwrap_or("it does not say why").trim().to_owned()))
        }
        Err(Failure::Cancelled) => Err(Error::Cancelled),
        Err(Failure::Endless) => Ok(Err("it did not come to an end".into())),
        Err(Failure::NotFound) => Ok(Err("it is not there".into())),
        Err(Failure::Io(error)) => Ok(Err(error.to_string())),
    }
}
