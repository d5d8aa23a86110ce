//! Node.js with its libraries.

use std::path::PathBuf;

use windlass_guest::GuestOs;

use super::{Description, Draft, Interpreter, Kind, PackOptions, Plan};
use crate::closure::{self, Layout};
use crate::run_file::Settings;
use crate::{Error, Manifest, RunConfiguration, Watch};

/// Opened by name when a thread ends, so that it is in no table.
pub(super) const OPENED_BY_NAME: [&str; 1] = ["libgcc_s.so.1"];

pub(super) fn plan(
    interpreter: &Interpreter,
    layout: Layout,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    plan_with(
        interpreter,
        layout,
        &PackOptions::new(GuestOs::Linux),
        watch,
    )
}

/// The package of Node.js; OSv's own linker cannot run it, so that it lies as on Linux everywhere.
pub(super) fn plan_with(
    interpreter: &Interpreter,
    layout: Layout,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    watch.step("Finding what Node.js needs");
    let mut roots = vec![interpreter.program.clone()];
    roots.extend(OPENED_BY_NAME.into_iter().filter_map(closure::find_library));
    let closure = closure::closure(&roots)?;
    let mut draft = Draft::default();
    draft.closure(&closure, layout)?;
    let program = closure
        .objects
        .first()
        .map_or(&interpreter.program, |object| &object.guest)
        .clone();
    super::link_names(&program, &[PathBuf::from("/usr/bin/node")], &mut draft)?;
    super::name_service(&mut draft)?;

    let command = format!("{} $NODE_ARGS $MAIN $ARGS", program.display());
    let bootcmd = match closure.interpreter() {
        Some(linker) => format!("{linker} {command}"),
        None => command.clone(),
    };
    let run = super::run_file(RunConfiguration {
        name: "node".into(),
        settings: Settings::Native {
            bootcmd: Some(bootcmd),
            by_guest: vec![(GuestOs::Linux, command)],
        },
        env: Vec::new(),
        base: None,
    });
    let manifest = Manifest {
        name: interpreter.package.clone(),
        title: format!("Node.js {}", interpreter.version),
        author: "Packed from this computer".into(),
        version: Some(interpreter.version.clone()),
        platform: super::platform(),
        ..Manifest::default()
    };
    let description = Description::new(manifest, Some(&run), options)?;
    draft.finish(Kind::Program, description, options, watch)
}
