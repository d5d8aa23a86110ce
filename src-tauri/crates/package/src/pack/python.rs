//! Python with its standard library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use walkdir::WalkDir;

use super::interpreter::ask;
use super::{Interpreter, Packed, Staging};
use crate::closure::{self, Layout};
use crate::run_file::Settings;
use crate::watch::advance;
use crate::{Error, Manifest, RunConfiguration, Watch};

/// Opened by name when a thread ends, so that it is in no table.
const OPENED_BY_NAME: [&str; 1] = ["libgcc_s.so.1"];

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

/// Compiling the standard library takes a second or two.
const COMPILE_TIMEOUT: Duration = Duration::from_mins(2);

/// Where an interpreter has its library.
struct Home {
    /// `PYTHONHOME`, such as `/usr`.
    prefix: PathBuf,
    /// The standard library, such as `/usr/lib/python3.11`.
    library: PathBuf,
}

pub(super) fn pack(
    interpreter: &Interpreter,
    into: &Path,
    watch: &mut dyn Watch,
) -> Result<Packed, Error> {
    watch.step("Finding what Python needs");
    let home = home(interpreter)?;
    let files = library_files(&home.library)?;

    let mut roots = vec![interpreter.program.clone()];
    roots.extend(OPENED_BY_NAME.into_iter().filter_map(closure::find_library));
    roots.extend(files.iter().filter(|file| is_module(file)).cloned());
    let closure = closure::closure(&roots)?;
    let asked: Vec<&PathBuf> = closure.objects.iter().map(|object| &object.guest).collect();
    let others: Vec<&PathBuf> = files.iter().filter(|file| !asked.contains(file)).collect();

    let size = |file: &&PathBuf| fs::metadata(file).map_or(0, |metadata| metadata.len());
    let library_bytes: u64 = others.iter().map(size).sum();
    let closure_bytes: u64 = closure.objects.iter().map(|object| object.size_bytes).sum();
    watch.expect(library_bytes + closure_bytes);

    watch.step("Copying Python");
    let mut staging = Staging::begin(&into.join(&interpreter.package))?;
    super::copy_closure(&closure, Layout::Both, &mut staging, watch)?;
    watch.step("Copying its standard library");
    for file in others {
        staging.copy(file, file, watch)?;
    }
    compile(interpreter, &home.library, &mut staging, watch)?;
    let program = closure
        .objects
        .first()
        .map_or(&interpreter.program, |object| &object.guest)
        .clone();
    let names = [
        interpreter.program.clone(),
        PathBuf::from("/usr/bin/python3"),
    ];
    super::link_names(&program, &names, &mut staging)?;
    super::name_service(&mut staging)?;

    let configuration = RunConfiguration {
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
    };
    let manifest = Manifest {
        name: interpreter.package.clone(),
        title: format!("Python {}", interpreter.version),
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

/// Compiles the library once and for all: a guest that had to do it at each boot would take some
/// seconds longer. What is compiled holds whatever the time of its source, which an image drops.
///
/// It is no failure when that does not work: the guest then does it itself.
fn compile(
    interpreter: &Interpreter,
    library: &Path,
    staging: &mut Staging,
    watch: &mut dyn Watch,
) -> Result<(), Error> {
    watch.step("Compiling its standard library");
    let within = staging
        .root()
        .join(library.strip_prefix("/").unwrap_or(library));
    let child = Command::new(&interpreter.program)
        .args([
            "-I",
            "-S",
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
            "-s",
        ])
        .arg(staging.root())
        .args(["-p", "/"])
        .arg(&within)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return Ok(()) };
    let deadline = Instant::now() + COMPILE_TIMEOUT;
    loop {
        let cancelled = advance(watch, 0);
        let is_late = Instant::now() > deadline;
        if cancelled.is_err() || is_late {
            // It is our own child, and what it was making goes with the folder or is left out.
            let _ = child.kill();
            let _ = child.wait();
            cancelled?;
            break;
        }
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            _ => break,
        }
    }
    let compiled = WalkDir::new(&within).into_iter().filter_map(Result::ok);
    for entry in compiled.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "pyc"))
    {
        staging.file_count += 1;
        staging.size_bytes += entry.metadata().map_or(0, |metadata| metadata.len());
    }
    Ok(())
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
