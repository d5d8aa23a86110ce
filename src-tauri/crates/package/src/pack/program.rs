//! Any program with its libraries.

use std::path::Path;

use windlass_guest::command_line::quote_word;

use super::{Packed, Staging};
use crate::closure::{self, Layout};
use crate::run_file::Settings;
use crate::{Error, Manifest, RunConfiguration, Watch, name_from};

pub(super) fn pack(program: &Path, into: &Path, watch: &mut dyn Watch) -> Result<Packed, Error> {
    watch.step("Finding what it needs");
    let closure = closure::closure(&[program.to_path_buf()])?;
    let Some(object) = closure
        .objects
        .first()
        .filter(|object| object.elf.is_program || object.elf.is_static())
    else {
        return Err(Error::Unsuitable {
            path: program.to_path_buf(),
            found: "is a library and not a program".into(),
            remedy: "Choose the program that uses it.".into(),
        });
    };
    watch.expect(closure.objects.iter().map(|object| object.size_bytes).sum());

    let known_as = std::path::absolute(program).map_err(|source| Error::Io {
        doing: "find",
        path: program.into(),
        source,
    })?;
    let title = known_as
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = name_from(&title);

    watch.step("Copying the program and its libraries");
    let mut staging = Staging::begin(&into.join(&name))?;
    super::copy_closure(&closure, Layout::Both, &mut staging, watch)?;
    super::link_names(&object.guest, std::slice::from_ref(&known_as), &mut staging)?;

    let configuration = RunConfiguration {
        name: name.clone(),
        settings: Settings::Native {
            bootcmd: Some(quote_word(&known_as.to_string_lossy())),
            by_guest: Vec::new(),
        },
        env: Vec::new(),
        base: None,
    };
    let manifest = Manifest {
        name,
        title,
        author: "Packed from this computer".into(),
        platform: super::platform(),
        ..Manifest::default()
    };
    super::finish(
        staging,
        &manifest,
        configuration,
        closure.findings(),
        false,
        watch,
    )
}
