//! Studies on a real OpenFOAM in real guests: what comes out is held, byte for byte, against the same run without a guest.
//!
//! OpenFOAM is Debian's: installed, or unpacked where `WINDLASS_TEST_OPENFOAM` says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use windlass_package::closure::is_supplied_by_osv;
use windlass_workshop::Workshop;
use windlass_workshop::studies::{Record, RunState, StudyOptions, Verdict};

use crate::place::{Place, finish, kill, until};

pub(crate) const AGAIN: StudyOptions = StudyOptions {
    retry: false,
    runs: Vec::new(),
    repeat: None,
};

/// Where OpenFOAM's files are.
pub(crate) fn openfoam() -> Option<PathBuf> {
    let told = std::env::var_os("WINDLASS_TEST_OPENFOAM").map(PathBuf::from);
    let root = told.unwrap_or_else(|| "/".into());
    let cavity = "usr/share/doc/openfoam-examples/examples/incompressible/icoFoam/cavity/cavity";
    let is_there = root.join("usr/bin/icoFoam").is_file() && root.join(cavity).is_dir();
    if !is_there {
        println!("skipped: openfoam and openfoam-examples are not there");
    }
    is_there.then_some(root)
}

pub(crate) fn cavity(root: &Path) -> PathBuf {
    root.join("usr/share/doc/openfoam-examples/examples/incompressible/icoFoam/cavity/cavity")
}

/// The libraries without MPI come before the others.
pub(crate) fn libraries(root: &Path) -> String {
    let folder = |path: &str| root.join(path).display().to_string();
    format!("{}:{}", folder("usr/lib/dummy"), folder("usr/lib"))
}

/// Two programs and all that they need, as an appliance.
pub(crate) async fn appliance(place: &Place, workshop: &Arc<Workshop>, root: &Path) {
    let settings = "guest: linux\nroot_fs: ext4\nmemory_mib: 256\n";
    pack(place, root, settings, &["blockMesh", "icoFoam"]);
    let folder = place.path("openfoam");
    workshop.add_appliance(&folder, None).await.unwrap();
}

/// Programs of OpenFOAM and all that they need, as the folder of an appliance.
pub(crate) fn pack(place: &Place, root: &Path, settings: &str, programs: &[&str]) {
    let manifest = b"name: openfoam\ntitle: OpenFOAM\nauthor: Debian\n";
    place.write("openfoam/meta/package.yaml", manifest);
    place.write("openfoam/meta/windlass.yaml", settings.as_bytes());
    let folder = place.path("openfoam");
    let is_osv = settings.contains("osv");
    let mut files = BTreeSet::new();
    for program in programs.iter().map(|name| root.join("usr/bin").join(name)) {
        let listed = Command::new("ldd")
            .arg(&program)
            .env("LD_LIBRARY_PATH", libraries(root))
            .output()
            .unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(!text.contains("not found"), "{text}");
        let words = text.split_whitespace().filter(|word| word.starts_with('/'));
        files.extend(words.map(PathBuf::from));
        files.insert(program);
    }
    for file in files {
        let inside = file.strip_prefix(root).or(file.strip_prefix("/")).unwrap();
        let inside = match inside.strip_prefix("usr/lib/dummy") {
            Ok(name) => Path::new("usr/lib").join(name),
            Err(_) => inside.to_owned(),
        };
        let name = inside.file_name().unwrap().to_string_lossy();
        let is_library = name.contains(".so");
        if is_osv && is_supplied_by_osv(&name) {
            continue;
        }
        // OSv's linker looks nowhere else.
        let to = if is_osv && is_library {
            folder.join("usr/lib").join(&*name)
        } else {
            folder.join(&inside)
        };
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(&file, to).unwrap();
    }
    let etc = folder.join("usr/share/openfoam");
    fs::create_dir_all(&etc).unwrap();
    copy(&root.join("usr/share/openfoam/etc"), &etc.join("etc"));
}

fn study(place: &Place, workshop: &Workshop, root: &Path, name: &str, more: &str) -> PathBuf {
    study_of(place, workshop, &cavity(root), name, more)
}

/// A study of a case, with more lines in its file.
pub(crate) fn study_of(
    place: &Place,
    workshop: &Workshop,
    case: &Path,
    name: &str,
    more: &str,
) -> PathBuf {
    let folder = place.path(name);
    workshop.study_new(case, &folder).unwrap();
    let file = folder.join("study.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}appliance: openfoam\n{more}")).unwrap();
    folder
}

fn copy(from: &Path, into: &Path) {
    let copied = Command::new("cp")
        .arg("-r")
        .args([from, into])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// The same run without a guest, by the same files.
pub(crate) fn natively(root: &Path, case: &Path, into: &Path, nu: &str) {
    natively_by(root, case, into, &["blockMesh", "icoFoam"], |copy| {
        let properties = copy.join("constant/transportProperties");
        let text = fs::read_to_string(&properties).unwrap();
        let other = format!("nu              {nu};");
        fs::write(&properties, text.replace("nu              0.01;", &other)).unwrap();
    });
}

/// Programs in a copy of a case that was changed first.
pub(crate) fn natively_by(
    root: &Path,
    case: &Path,
    into: &Path,
    programs: &[&str],
    change: impl FnOnce(&Path),
) {
    copy(case, into);
    change(into);
    for program in programs {
        let ran = Command::new(root.join("usr/bin").join(program))
            .current_dir(into)
            .env("LD_LIBRARY_PATH", libraries(root))
            .env("WM_PROJECT_DIR", root.join("usr/share/openfoam"))
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}

/// All files below a folder, by their path in it.
pub(crate) fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(folder).unwrap().to_owned();
                files.push((path, fs::read(entry.path()).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// How a run stands, in a line.
pub(crate) fn said(record: &Record) -> String {
    let verdict = record.verdict.map_or("-", Verdict::title);
    format!(
        "{:?}, {verdict}: {}",
        record.state,
        record.message.as_deref().unwrap_or("-")
    )
}

fn machine_of(record: &Record) -> Option<i32> {
    let id = record.machine.as_deref()?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_string_lossy().parse::<i32>().ok()?;
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words);
        (words.contains("qemu-system") && words.contains(id)).then_some(pid)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_sweep_from_one_image_is_identical_to_running_without_a_guest() {
    let Some(root) = openfoam() else { return };
    let (place, workshop) = Place::with_linux().await;
    appliance(&place, &workshop, &root).await;
    let more = "variables:\n- {name: nu, file: constant/transportProperties, entry: nu, values: [0.01, 0.02, 0.005, 0.04]}\nlimits: {at_once: 2}\nresults:\n- {name: index, file: 0.5/uniform/time, pattern: 'index\\s+(\\d+)'}\n";
    let folder = study(&place, &workshop, &root, "sweep", more);
    let job = workshop.start_study(&folder, AGAIN).unwrap();
    finish(&workshop, &job).await.unwrap();
    assert_eq!(workshop.builds(None).unwrap().len(), 1, "one image for all");
    let image = workshop.builds(None).unwrap().remove(0);
    let runs = workshop.study_runs(&folder).unwrap();
    for (record, nu) in runs.iter().zip(["0.01", "0.02", "0.005", "0.04"]) {
        assert_eq!(said(record), "Done, completed: completed");
        assert_eq!(
            (record.steps, record.attempts, record.exit_status),
            (100, 1, Some(0))
        );
        let native = place.path(&format!("native-{nu}"));
        natively(&root, &folder.join("case"), &native, nu);
        let (guest, native) = (
            contents(&folder.join(format!("runs/{}/case", record.name()))),
            contents(&native),
        );
        let names = |files: &[(PathBuf, Vec<u8>)]| {
            files
                .iter()
                .map(|(path, _)| path.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&guest), names(&native));
        assert!(guest.len() > 40, "{}", guest.len());
        assert!(guest == native, "another byte in a run with nu {nu}");
    }
    let table = workshop.study_results(&folder).unwrap();
    assert_eq!(
        table,
        "run,nu,outcome,iterations,time,index\n001,0.01,completed,100,0.5,100\n002,0.02,completed,100,0.5,100\n003,0.005,completed,100,0.5,100\n004,0.04,completed,100,0.5,100\n"
    );
    // The image is what it was, no machine is left, and what is done is not done again.
    let digest = blake3::hash(&fs::read(&image.path).unwrap())
        .to_hex()
        .to_string();
    assert_eq!(digest, image.digest);
    assert!(workshop.machines().unwrap().is_empty());
    let job = workshop.start_study(&folder, AGAIN).unwrap();
    finish(&workshop, &job).await.unwrap();
    assert_eq!(workshop.study_runs(&folder).unwrap(), runs);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_diverged_and_failed_runs_and_vanished_machines_are_told_apart() {
    let Some(root) = openfoam() else { return };
    let (place, workshop) = Place::with_linux().await;
    appliance(&place, &workshop, &root).await;
    let more = "combine: zip\nvariables:\n- {name: deltaT, file: system/controlDict, entry: deltaT, values: [0.5, 0.005]}\n- {name: solver, file: system/fvSolution, entry: solvers/p/solver, values: [PCG, nonesuch]}\n- {name: end, file: system/controlDict, entry: endTime, values: [50, 0.5]}\n";
    let folder = study(&place, &workshop, &root, "failures", more);
    let job = workshop.start_study(&folder, AGAIN).unwrap();
    finish(&workshop, &job).await.unwrap();
    let runs = workshop.study_runs(&folder).unwrap();
    let told: Vec<String> = runs.iter().map(said).collect();
    assert_eq!(
        told,
        [
            "Done, diverged: diverged at 9, Ux first",
            "Done, failed: unknown symmetric matrix solver type nonesuch"
        ]
    );
    assert_eq!(
        runs[1].hint.as_deref(),
        Some("Choose one of GAMG, PBiCGStab, PCG, smoothSolver")
    );
    // Physics is not tried again.
    assert_eq!(runs[0].attempts, 1);

    let more =
        "variables:\n- {name: end, file: system/controlDict, entry: endTime, values: [5000]}\n";
    let folder = study(&place, &workshop, &root, "lost", more);
    let job = workshop.start_study(&folder, AGAIN).unwrap();
    for attempt in 1..=2 {
        let pid = until("a machine that calculates", async || {
            let record = workshop.study_runs(&folder).unwrap().remove(0);
            let runs =
                record.state == RunState::Running && record.attempts == attempt && record.steps > 0;
            runs.then(|| machine_of(&record)).flatten()
        })
        .await;
        kill(pid);
    }
    finish(&workshop, &job).await.unwrap();
    let record = workshop.study_runs(&folder).unwrap().remove(0);
    assert_eq!(record.verdict, Some(Verdict::Lost), "{}", said(&record));
    assert_eq!(record.attempts, 2, "once more, and not for ever");
    assert!(workshop.study_results(&folder).unwrap().contains(",lost,"));
}
