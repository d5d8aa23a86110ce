//! Packages of the distribution with what they depend on, without root and without installing.
//!
//! ```text
//!   apt-cache depends ──> names, each with its reason       [apt]
//!   apt-get download ───> package files, checked by apt
//!   dpkg-deb ───────────> their files, in a temporary folder [unpack]
//!   + what the installation of a service would make          [services]
//! ```
//!
//! Installation scripts do not run: what they would make is missing, but for the services that are
//! known here. Documentation, manual pages, translations, and what only `systemd` and a shell read
//! stay out.

pub(super) mod apt;
mod services;
pub(super) mod unpack;

use std::fs;
use std::path::{Path, PathBuf};

use windlass_guest::GuestOs;
use windlass_guest::command_line::quote_word;

use super::draft::{Description, Draft};
use super::plan::Entry;
use super::{Kind, PackOptions, Plan};
use crate::error::IoContext;
use crate::run_file::Settings;
use crate::{Error, Finding, Manifest, RunConfiguration, RunFile, Watch, name_from};
use apt::Origin;
use services::Service;
use unpack::Unpacker;

/// Where the libraries of packages lie, and OSv's own linker does not look.
const LIBRARIES: [&str; 4] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
];

const PROGRAMS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

pub(super) fn plan(
    names: &[String],
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    check_names(names)?;
    watch.step("Finding what the packages depend on");
    let wanted = apt::closure(names, watch)?;
    let mut draft = Draft::default();
    let scratch = draft.scratch(options)?;
    watch.step(&format!("Downloading {} packages", wanted.len()));
    let files = apt::download(&wanted, &scratch, watch)?;
    let mut unpacker = Unpacker::new(draft, scratch, options.keep_documents);
    let mut version = None;
    for package in &wanted {
        watch.step(&format!("Unpacking {}", package.name));
        match files.get(&package.name) {
            Some(Origin::File(file)) => {
                if names.first() == Some(&package.name) {
                    version = version_of(file);
                }
                unpacker.unpack(package, file, watch)?;
                // The disk is needed for what comes next.
                fs::remove_file(file).context("clear up", file)?;
            }
            Some(Origin::Installed(paths)) => unpacker.take_installed(package, paths)?,
            None => {}
        }
    }
    let mut draft = unpacker.finish();
    super::name_service(&mut draft)?;
    let service = services::find(names);
    let own_linker = draft.entries().any(|entry| {
        let name = entry
            .guest
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        name == "node" || name.starts_with("libnode.so.")
    });
    if options.guest == GuestOs::Osv && !own_linker {
        flatten(&mut draft)?;
    }
    let run = match service {
        Some(service) => Some(provide(service, options.guest, own_linker, &mut draft)?),
        None => first_program(names, &draft),
    };
    if run.is_none() {
        draft.findings.push(
            Finding::note(
                "none of the packages has a program of its own name, so that nothing is run",
            )
            .remedy("Name a command in the run settings of the appliance that uses it."),
        );
    }
    let manifest = Manifest {
        name: name_from(&names.join("-")),
        title: names.join(", "),
        author: "Packed from the distribution's packages".into(),
        version,
        platform: super::platform(),
        ..Manifest::default()
    };
    let description = Description::new(manifest, run.as_ref(), options)?;
    draft.finish(Kind::Debian, description, options, watch)
}

/// Names go into a command line.
fn check_names(names: &[String]) -> Result<(), Error> {
    let is_good = |name: &&String| {
        name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    };
    let found = match names.iter().find(|name| !is_good(name)) {
        Some(name) => (name.as_str(), "is no name of a package"),
        None if names.is_empty() => ("this", "names no package"),
        None => return Ok(()),
    };
    Err(Error::Unsuitable {
        path: found.0.into(),
        found: found.1.into(),
        remedy: "Write names as apt has them, separated by blanks: `nginx`.".into(),
    })
}

/// The version in `nginx_1.22.1-9+deb12u11_amd64.deb` as the programmers of the package count it.
fn version_of(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let version = name.split('_').nth(1)?;
    let version = version.split_once("%3a").map_or(version, |(_, rest)| rest);
    let end = version
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(version.len());
    let version = version.get(..end)?.trim_end_matches('.');
    (!version.is_empty()).then(|| version.to_owned())
}

/// Links in `/usr/lib` for OSv's own linker, and without what its kernel supplies.
pub(super) fn flatten(draft: &mut Draft) -> Result<(), Error> {
    draft.leave_supplied();
    let is_library = |entry: &&Entry| {
        let name = entry
            .guest
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let folder = entry.guest.parent().unwrap_or(Path::new("/"));
        !entry.left
            && name.contains(".so")
            && LIBRARIES.iter().any(|other| folder == Path::new(other))
    };
    let libraries: Vec<PathBuf> = draft
        .entries()
        .filter(is_library)
        .map(|entry| entry.guest.clone())
        .collect();
    for library in libraries {
        let flat = Path::new("/usr/lib").join(library.file_name().unwrap_or_default());
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

/// What a known service needs beside its files, and how it is run.
fn provide(
    service: &Service,
    guest: GuestOs,
    own_linker: bool,
    draft: &mut Draft,
) -> Result<RunFile, Error> {
    let reason = format!("because the installation of {} makes it", service.package);
    for folder in service.folders {
        draft.directory(Path::new(folder), &reason)?;
    }
    for (path, target) in service.links {
        draft.link(Path::new(path), Path::new(target), &reason)?;
    }
    if guest == GuestOs::Osv {
        for (path, text) in service.osv_files {
            let reason = "because OSv has one process and a root that is read-only";
            draft.write(Path::new(path), text.as_bytes(), reason)?;
        }
    }
    for (path, text) in service.files {
        draft.write(Path::new(path), text.as_bytes(), &reason)?;
    }
    if let Some(note) = service.note {
        draft.findings.push(
            Finding::note(note)
                .remedy("Change its command in the run settings, if that is not meant."),
        );
    }
    Ok(super::run_file(RunConfiguration {
        name: service.configuration.to_owned(),
        settings: Settings::Native {
            bootcmd: Some(service.command.to_owned()),
            by_guest: service.by_guest(own_linker),
        },
        env: Vec::new(),
        base: None,
    }))
}

/// The program that has the name of one of the packages.
fn first_program(names: &[String], draft: &Draft) -> Option<RunFile> {
    let is_program = |path: &PathBuf| {
        draft
            .follow(path)
            .is_some_and(|entry| entry.mode & 0o111 != 0)
    };
    let program = names
        .iter()
        .flat_map(|name| {
            PROGRAMS
                .iter()
                .map(move |folder| Path::new(folder).join(name))
        })
        .find(is_program)?;
    let name = program.file_name()?.to_string_lossy();
    Some(super::run_file(RunConfiguration {
        name: name_from(&name),
        settings: Settings::Native {
            bootcmd: Some(quote_word(&program.to_string_lossy())),
            by_guest: Vec::new(),
        },
        env: Vec::new(),
        base: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_their_makers_count_them() {
        let version = |name: &str| version_of(Path::new(name));
        assert_eq!(
            version("nginx_1.22.1-9+deb12u11_amd64.deb").as_deref(),
            Some("1.22.1")
        );
        assert_eq!(
            version("redis_5%3a7.0.15-1~deb12u10_amd64.deb").as_deref(),
            Some("7.0.15")
        );
        assert_eq!(version("x_git_all.deb"), None);
    }

    #[test]
    fn only_names_are_given_to_apt() {
        let told = [
            vec![],
            vec!["--option"],
            vec!["a b"],
            vec!["a", "../b"],
            vec!["libstdc++6"],
        ]
        .map(|names| {
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            check_names(&names).map_err(|error| error.to_string())
        });
        insta::assert_debug_snapshot!(told);
    }
}
