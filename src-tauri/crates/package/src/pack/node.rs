//! Node.js with its libraries.

use std::path::{Path, PathBuf};

use windlass_guest::GuestOs;

use super::{Interpreter, Packed, Staging};
use crate::closure::{self, Layout};
use crate::run_file::Settings;
use crate::{Error, Manifest, RunConfiguration, Watch};

/// Opened by name when a thread ends, so that it is in no table.
const OPENED_BY_NAME: [&str; 1] = ["libgcc_s.so.1"];

pub(super) fn pack(
    interpreter: &Interpreter,
    into: &Path,
    watch: &mut dyn Watch,
) -> Result<Packed, Error> {
    watch.step("Finding what Node.js needs");
    let mut roots = vec![interpreter.program.clone()];
    roots.extend(OPENED_BY_NAME.into_iter().filter_map(closure::find_library));
    let closure = closure::closure(&roots)?;
    watch.expect(closure.objects.iter().map(|object| object.size_bytes).sum());

    watch.step("Copying Node.js");
    let mut staging = Staging::begin(&into.join(&interpreter.package))?;
    super::copy_closure(&closure, Layout::Both, &mut staging, watch)?;
    let program = closure
        .objects
        .first()
        .map_or(&interpreter.program, |object| &object.guest)
        .clone();
    super::link_names(&program, &[PathBuf::from("/usr/bin/node")], &mut staging)?;
    super::name_service(&mut staging)?;

    let command = format!("{} $NODE_ARGS $MAIN $ARGS", program.display());
    let bootcmd = match closure.interpreter() {
        Some(linker) => format!("{linker} {command}"),
        None => command.clone(),
    };
    let configuration = RunConfiguration {
        name: "node".into(),
        settings: Settings::Native {
            bootcmd: Some(bootcmd),
            by_guest: vec![(GuestOs::Linux, command)],
        },
        env: Vec::new(),
        base: None,
    };
    let manifest = Manifest {
        name: interpreter.package.clone(),
        title: format!("Node.js {}", interpreter.version),
        author: "Packed from this computer".into(),
        version: Some(interpreter.version.clone()),
        platform: super::platform(),
        ..Manifest::default()
    };
    super::finish(
        staging,
        &manifest,
        configuration,
        closure.findings(),
        true,
        watch,
    )
}
