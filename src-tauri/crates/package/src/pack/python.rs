//! Python with its standard library.

use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;
use windlass_guest::GuestOs;

use super::compile::Compile;
use super::interpreter::ask;
use super::node::OPENED_BY_NAME;
use super::{Description, Draft, Interpreter, Kind, PackOptions, Plan};
use crate::closure::{self, Layout};
use crate::run_file::Settings;
use crate::{Error, Manifest, RunConfiguration, Watch};

/// Folders of the standard library that no service needs, by their path in it.
const LEFT_OUT: [&str; 9] = [
    "config-",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "site-packages",
    "test",
    "tkinter",
    "turtledemo",
];

/// The standard library is some thousands of files; this many is something else.
const FILES_MAX: usize = 100_000;

/// Where an interpreter has its library.
struct Home {
    /// `PYTHONHOME`, such as `/usr`.
    prefix: PathBuf,
    /// The standard library, such as `/usr/lib/python3.11`.
    library: PathBuf,
}

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

pub(super) fn plan_with(
    interpreter: &Interpreter,
    layout: Layout,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    watch.step("Finding what Python needs");
    let home = home(interpreter)?;
    let files = library_files(&home.library)?;

    let mut roots = vec![interpreter.program.clone()];
    roots.extend(OPENED_BY_NAME.into_iter().filter_map(closure::find_library));
    roots.extend(files.iter().filter(|file| is_module(file)).cloned());
    let closure = closure::closure(&roots)?;

    let mut draft = Draft::default();
    for file in files.iter().filter(|file| !is_module(file)) {
        draft.file(file, file, "because it is in Python's standard library")?;
    }
    draft.closure(&closure, layout)?;
    draft.compile.push(Compile {
        interpreter: interpreter.program.clone(),
        folder: home.library.clone(),
    });
    let program = closure
        .objects
        .first()
        .map_or(&interpreter.program, |object| &object.guest)
        .clone();
    let names = [
        interpreter.program.clone(),
        PathBuf::from("/usr/bin/python3"),
    ];
    super::link_names(&program, &names, &mut draft)?;
    super::name_service(&mut draft)?;

    let run = super::run_file(RunConfiguration {
        name: "python".into(),
        settings: Settings::Native {
            bootcmd: Some(format!("{} $PYTHON_ARGS $MAIN $ARGS", program.display())),
            by_guest: Vec::new(),
        },
        env: [
            ("PYTHONHOME", home.prefix.to_string_lossy().as_ref()),
            // The root of a guest may be read-only.
            ("PYTHONDONTWRITEBYTECODE", "1"),
            // What is printed is on the console at once.
            ("PYTHONUNBUFFERED", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        base: None,
    });
    let manifest = Manifest {
        name: interpreter.package.clone(),
        title: format!("Python {}", interpreter.version),
        author: "Packed from this computer".into(),
        version: Some(interpreter.version.clone()),
        platform: super::platform(),
        ..Manifest::default()
    };
    let description = Description::new(manifest, Some(&run), options)?;
    draft.finish(Kind::Program, description, options, watch)
}

fn home(interpreter: &Interpreter) -> Result<Home, Error> {
    let unsuitable = || Error::Unsuitable {
        path: interpreter.program.clone(),
        found: "does not say where its standard library is".into(),
        remedy: "Install Python 3 with its standard library, and try again.".into(),
    };
    // Of a virtual environment, the Python that it was made from.
    let question =
        "import sys, sysconfig; print(sys.base_prefix); print(sysconfig.get_path('stdlib'))";
    let answer = ask(&interpreter.program, &["-I", "-S", "-c", question]).ok_or_else(unsuitable)?;
    let mut lines = answer.lines().map(|line| PathBuf::from(line.trim()));
    match (lines.next(), lines.next()) {
        (Some(prefix), Some(library))
            if prefix.is_absolute() && library.starts_with(&prefix) && library.is_dir() =>
        {
            Ok(Home { prefix, library })
        }
        _ => Err(unsuitable()),
    }
}

/// The files of the standard library that go into a package, sorted.
fn library_files(library: &Path) -> Result<Vec<PathBuf>, Error> {
    let is_wanted = |entry: &walkdir::DirEntry| {
        let within = entry
            .path()
            .strip_prefix(library)
            .unwrap_or(entry.path())
            .to_string_lossy();
        let name = entry.file_name().to_string_lossy();
        let left_out = LEFT_OUT.iter().any(|folder| {
            *within == **folder || (folder.ends_with('-') && within.starts_with(folder))
        });
        let is_tests = entry.file_type().is_dir() && (name == "tests" || name == "__pycache__");
        !left_out && !is_tests && !name.starts_with("_test") && !name.starts_with("_tkinter")
    };
    let mut files = Vec::new();
    for entry in WalkDir::new(library)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(is_wanted)
    {
        let entry = entry.map_err(|error| Error::Io {
            doing: "list",
            path: error.path().unwrap_or(library).to_path_buf(),
            source: error.into(),
        })?;
        // A link counts as the file that it names: `sitecustomize.py` leads to /etc on Debian.
        if fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file()) {
            files.push(entry.into_path());
        }
        if files.len() > FILES_MAX {
            return Err(Error::Unsuitable {
                path: library.to_path_buf(),
                found: format!("has more than {FILES_MAX} files, and is no standard library"),
                remedy: "Choose another Python.".into(),
            });
        }
    }
    Ok(files)
}

fn is_module(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "so")
}
