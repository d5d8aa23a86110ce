//! What the distribution has for a program beside its libraries: configuration files and data of its
//! package, locales, time zones.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Draft;
use crate::closure::{Closure, Symbols};
use crate::helper;
use crate::{Error, Watch};

const TIMEOUT: Duration = Duration::from_secs(20);
const FILES_MAX: usize = 20_000;

/// Configuration that programs of a guest do not read.
const NOT_ITS_OWN: [&str; 10] = [
    "/etc/apparmor.d",
    "/etc/bash_completion.d",
    "/etc/cron.d",
    "/etc/cron.daily",
    "/etc/default",
    "/etc/init.d",
    "/etc/logrotate.d",
    "/etc/pam.d",
    "/etc/systemd",
    "/etc/ufw",
];

/// The only locale that says nothing about a country.
const LOCALE: &str = "/usr/lib/locale/C.utf8";
const ZONES: &str = "/usr/share/zoneinfo";
const LOCAL_ZONE: &str = "/etc/localtime";

/// Functions by which a program asks for its locale, and for local time.
const ASK_FOR_LOCALE: [&str; 2] = ["setlocale", "newlocale"];
const ASK_FOR_TIME: [&str; 4] = ["localtime", "localtime_r", "tzset", "mktime"];

pub(super) fn add(
    closure: &Closure,
    draft: &mut Draft,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    let Some(program) = closure.objects.first() else {
        return Ok(());
    };
    let name = &program.name;
    let symbols = Symbols::open(&program.host).unwrap_or_default();
    let imports = |names: &[&str]| {
        let mut imports = symbols.imports.iter();
        imports.any(|import| names.contains(&import.as_str()))
    };
    if imports(&ASK_FOR_LOCALE) && Path::new(LOCALE).is_dir() {
        let reason = format!("because {name} chooses a locale");
        let folder = Path::new(LOCALE);
        draft.tree(folder, folder, &reason, true, &|_| true, watch)?;
    }
    if imports(&ASK_FOR_TIME) {
        time_zone(name, draft)?;
    }
    watch.step("Finding its configuration");
    package_files(&program.host, name, draft, watch)
}

/// This computer's time zone, under its own name and as the local one.
fn time_zone(program: &str, draft: &mut Draft) -> Result<(), Error> {
    let reason = format!("because {program} asks for local time");
    let zones = Path::new(ZONES);
    let mut wanted: BTreeSet<PathBuf> = BTreeSet::from([zones.join("UTC")]);
    if let Ok(zone) = fs::read_link(LOCAL_ZONE)
        && zone.starts_with(zones)
        && !zone.components().any(|part| part.as_os_str() == "..")
    {
        draft.link(Path::new(LOCAL_ZONE), &zone, &reason)?;
        wanted.insert(zone);
    }
    for zone in wanted.iter().filter(|zone| zone.is_file()) {
        draft.file(zone, zone, &reason)?;
    }
    Ok(())
}

/// Configuration and data of the package that the program is of; nothing where no package has it, or
/// the distribution has no `dpkg`.
fn package_files(
    program: &Path,
    name: &str,
    draft: &mut Draft,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    let Some(package) = owner(program, watch)? else {
        return Ok(());
    };
    let format = "${Conffiles}\\n";
    let configured = ask(&["--show", "--showformat", format, &package], watch)?;
    for line in configured.lines() {
        // ` /etc/redis/redis.conf 0123abcd`
        let Some(path) = line.split_whitespace().next().map(Path::new) else {
            continue;
        };
        let is_its_own = !NOT_ITS_OWN.iter().any(|folder| path.starts_with(folder));
        if path.starts_with("/etc") && is_its_own && fs::File::open(path).is_ok() && path.is_file()
        {
            let reason = format!("because it is configuration of {package}");
            draft.file(path, path, &reason)?;
        }
    }
    let listed = ask(&["--listfiles", &package], watch)?;
    // A tool's package may have the data of many others: only folders of its own name count.
    let folders = ["/usr/share", "/usr/lib"]
        .map(|folder| [name, package.as_str()].map(|name| Path::new(folder).join(name)));
    let is_data = |path: &&Path| {
        let mut own = folders.iter().flatten();
        own.any(|folder| path.starts_with(folder)) && path.is_file()
    };
    for path in listed
        .lines()
        .map(Path::new)
        .filter(is_data)
        .take(FILES_MAX)
    {
        if draft.get(path).is_none() {
            draft.file(path, path, &format!("because it is data of {package}"))?;
        }
    }
    Ok(())
}

/// The package that a program is of. Where `/usr` is merged, it may be known without it.
fn owner(program: &Path, watch: &mut dyn Watch) -> Result<Option<String>, Error> {
    let whole = program.to_string_lossy().into_owned();
    let short = whole.strip_prefix("/usr").map(str::to_owned);
    for path in [Some(whole), short].into_iter().flatten() {
        // A star would stand for any name.
        if path.contains(['*', '?', '[', '\\']) {
            continue;
        }
        let said = ask(&["--search", &path], watch)?;
        if let Some((package, _)) = said.lines().find_map(|line| line.split_once(": ")) {
            let first = package.split(',').next().unwrap_or(package);
            let name = first.split(':').next().unwrap_or(first);
            return Ok(Some(name.trim().to_owned()));
        }
    }
    Ok(None)
}

/// What `dpkg-query` answers; nothing where it is not there.
fn ask(arguments: &[&str], watch: &mut dyn Watch) -> Result<String, Error> {
    match helper::run(
        Command::new("dpkg-query").args(arguments),
        Some(TIMEOUT),
        watch,
    ) {
        Ok(output) => Ok(output.stdout),
        Err(helper::Failure::Cancelled) => Err(Error::Cancelled),
        Err(_) => Ok(String::new()),
    }
}
