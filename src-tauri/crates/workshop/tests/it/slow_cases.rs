//! Larger cases by packages made by recipe, against the same runs without a guest: pitzDaily, a polar of an airfoil, and
//! several processes. What takes minutes runs where `WINDLASS_TEST_STUDIES` asks for it (`./dev test full`).
//!
//! The package files are where `WINDLASS_TEST_OPENFOAM_DEBS` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use windlass_workshop::Workshop;
use windlass_workshop::studies::{Record, Verdict};

use crate::place::Place;
use crate::slow_studies::{AGAIN, contents, libraries, natively_by, openfoam};

/// Some thousand cells under emulation, several at once.
const PATIENCE: Duration = Duration::from_mins(20);
const TUTORIALS: &str = "usr/share/doc/openfoam-examples/examples/incompressible";

fn debs() -> Option<PathBuf> {
    let debs = std::env::var_os("WINDLASS_TEST_OPENFOAM_DEBS").map(PathBuf::from);
    if debs.is_none() {
        println!("skipped: there are no package files of OpenFOAM");
    }
    debs
}

/// Whether what takes minutes is wanted.
fn is_full() -> bool {
    let is_full = std::env::var_os("WINDLASS_TEST_STUDIES").is_some();
    if !is_full {
        println!("skipped: `./dev test full` has it");
    }
    is_full
}

/// A study of a tutorial in a place that has a kernel.
struct Trial {
    root: PathBuf,
    place: Place,
    workshop: Arc<Workshop>,
    folder: PathBuf,
}

impl Trial {
    /// Takes a copy of a tutorial that was changed, with more lines in the study's file, makes its packages and its runs.
    async fn of(tutorial: &str, change: impl FnOnce(&Path), more: &str) -> Option<Self> {
        let (root, debs) = (openfoam()?, debs()?);
        let (place, workshop) = Place::with_linux().await;
        let case = place.path("tutorial");
        copy(&root.join(TUTORIALS).join(tutorial), &case);
        change(&case);
        let folder = place.path("study");
        workshop.study_new(&case, &folder).unwrap();
        let file = folder.join("study.yaml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}{more}")).unwrap();
        let trial = Self {
            root,
            place,
            workshop,
            folder,
        };
        let job = trial
            .workshop
            .start_study_prepare(&trial.folder, Some(&debs))
            .unwrap();
        trial.finish(&job.id).await;
        Some(trial)
    }

    async fn run(&self) -> Vec<Record> {
        let job = self.workshop.start_study(&self.folder, AGAIN).unwrap();
        self.finish(&job.id).await;
        self.workshop.study_runs(&self.folder).unwrap()
    }

    async fn finish(&self, job: &str) {
        let ended = tokio::time::timeout(PATIENCE, self.workshop.finish_job(job, |_| {}));
        ended.await.unwrap().unwrap();
    }

    fn case(&self, record: &Record) -> PathBuf {
        self.folder.join(format!("runs/{}/case", record.name()))
    }

    /// What a run began with, without what its first steps made.
    fn inputs(&self, record: &Record) -> PathBuf {
        let inputs = self.place.path(&format!("inputs-{}", record.name()));
        fs::create_dir(&inputs).unwrap();
        for entry in fs::read_dir(self.folder.join("case")).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&self.case(record).join(&name), &inputs.join(&name));
        }
        if inputs.join("system/blockMeshDict").exists() {
            fs::remove_dir_all(inputs.join("constant/polyMesh")).unwrap();
        }
        inputs
    }

    /// Holds the files of a run against those of the same run without a guest; says how many there are.
    fn compare(&self, record: &Record, native: &Path) -> usize {
        let (guest, native) = (contents(&self.case(record)), contents(native));
        let names = |files: &[(PathBuf, Vec<u8>)]| {
            let names = files.iter().map(|(path, _)| path.clone());
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&guest), names(&native));
        let differ = guest
            .iter()
            .zip(&native)
            .filter(|(guest, native)| guest != native);
        let differ: Vec<_> = differ.map(|((path, _), _)| path).collect();
        assert!(differ.is_empty(), "other bytes in {differ:?}");
        guest.len()
    }
}

fn copy(from: &Path, into: &Path) {
    let copied = Command::new("cp").arg("-r").args([from, into]).status();
    assert!(copied.unwrap().success());
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} in {}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

/// Runs steps without a guest, some of them as several processes.
fn natively_in_parallel(root: &Path, case: &Path, steps: &[&[&str]]) {
    for step in steps {
        let is_mpi = step.contains(&"-parallel");
        let mut command = if is_mpi {
            let mut command = Command::new("mpirun");
            command.args(["--allow-run-as-root", "--oversubscribe", "-np", "2"]);
            command.arg(root.join("usr/bin").join(step[0]));
            command
        } else {
            let mut command = Command::new(root.join("usr/bin").join(step[0]));
            command.env("LD_LIBRARY_PATH", libraries(root));
            command
        };
        let ran = command
            .args(&step[1..])
            .current_dir(case)
            .env("WM_PROJECT_DIR", root.join("usr/share/openfoam"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{step:?}: {said}");
    }
}

/// Whether this computer runs OpenFOAM as several processes without a guest.
fn has_mpi() -> bool {
    let has_mpi = Command::new("mpirun").arg("--version").output().is_ok();
    if !has_mpi {
        println!("without comparison: mpirun is not here");
    }
    has_mpi
}

async fn two_processes(tutorial: &str, solver: &str, more: &str) -> Option<(Trial, Record)> {
    let trial = Trial::of(
        tutorial,
        |_| {},
        &format!("parallel: {{cores: 2, method: simple}}\n{more}"),
    )
    .await?;
    let report = trial.workshop.study_check(&trial.folder).unwrap();
    let mpirun = format!("mpirun -np 2 --oversubscribe {solver} -parallel");
    assert_eq!(
        report.steps,
        [
            "blockMesh",
            "decomposePar -force",
            &mpirun,
            "reconstructPar"
        ]
    );
    let record = trial.run().await.remove(0);
    let said = fs::read_to_string(trial.folder.join("runs/001/console.log")).unwrap();
    let is_complete = record.verdict.is_some_and(Verdict::is_complete);
    assert!(is_complete, "{:?}\n{said}", record.message);
    // The case itself was not cut, and got no file.
    assert!(!trial.folder.join("case/system/decomposeParDict").exists());
    assert!(trial.case(&record).join("processor1").is_dir());
    if has_mpi() {
        let native = trial.inputs(&record);
        let steps: [&[&str]; 4] = [
            &["blockMesh"],
            &["decomposePar", "-force"],
            &[solver, "-parallel"],
            &["reconstructPar"],
        ];
        natively_in_parallel(&trial.root, &native, &steps);
        println!("{} files equal", trial.compare(&record, &native));
    }
    Some((trial, record))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_two_processes_in_a_guest_are_identical_to_two_without() {
    let ran = two_processes("icoFoam/cavity/cavity", "icoFoam", "").await;
    if let Some((_trial, record)) = ran {
        assert_eq!((record.steps, record.last_time), (100, Some(0.5)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_full_pitz_daily_by_two_processes() {
    if !is_full() {
        return;
    }
    let more = "variables:\n- {name: end, file: system/controlDict, entry: endTime, values: [50]}\n- {name: write, file: system/controlDict, entry: writeInterval, values: [50]}\n";
    let ran = two_processes("simpleFoam/pitzDaily", "simpleFoam", more).await;
    if let Some((trial, record)) = ran {
        assert_eq!(record.steps, 50);
        for field in ["U", "p", "k", "epsilon"] {
            assert!(trial.case(&record).join("50").join(field).is_file());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_full_pitz_daily_converges_as_without_a_guest() {
    if !is_full() {
        return;
    }
    let Some(trial) = Trial::of("simpleFoam/pitzDaily", |_| {}, "").await else {
        return;
    };
    let record = trial.run().await.remove(0);
    assert_eq!(
        record.verdict,
        Some(Verdict::Converged),
        "{:?}",
        record.message
    );
    assert_eq!(record.steps, 282);
    let native = trial.place.path("native");
    let case = trial.folder.join("case");
    natively_by(
        &trial.root,
        &case,
        &native,
        &["blockMesh", "simpleFoam"],
        |_| {},
    );
    let equal = trial.compare(&record, &native);
    println!("{equal} files equal");
    assert!(equal >= 54, "{equal}");
}

const FORCES: &str = "functions\n{\n    forces\n    {\n        type forceCoeffs;\n        libs (\"libforces.so\");\n        patches (walls);\n        rho rhoInf;\n        rhoInf 1;\n        CofR (0 0 0);\n        liftDir (0 1 0);\n        dragDir (1 0 0);\n        pitchAxis (0 0 1);\n        magUInf 26;\n        lRef 1;\n        Aref 1;\n    }\n}\n";
const POLAR: &str = "variables:
- {name: alpha, range: 0:12:4}
- {name: inflow, file: 0/U, entry: internalField, formula: (26*cos(alpha*degree) 26*sin(alpha*degree) 0)}
- {name: lift, file: system/controlDict, entry: functions/forces/liftDir, formula: (-sin(alpha*degree) cos(alpha*degree) 0)}
- {name: drag, file: system/controlDict, entry: functions/forces/dragDir, formula: (cos(alpha*degree) sin(alpha*degree) 0)}
results:
- {name: Cl, file: postProcessing/forces/*/coefficient.dat, column: Cl}
";

#[tokio::test(flavor = "multi_thread")]
async fn slow_full_a_polar_of_an_airfoil_says_which_angle_does_not_converge() {
    if !is_full() {
        return;
    }
    let with_forces = |case: &Path| {
        let end = "// *****";
        let control = case.join("system/controlDict");
        edit(
            &control,
            "runTimeModifiable true;\n",
            &format!("runTimeModifiable true;\n\n{FORCES}\n"),
        );
        assert!(fs::read_to_string(&control).unwrap().contains(end));
    };
    let Some(trial) = Trial::of("simpleFoam/airFoil2D", with_forces, POLAR).await else {
        return;
    };
    let packages = trial.workshop.study_check(&trial.folder).unwrap().packages;
    let has = |name: &str| packages.iter().any(|package| package.name == name);
    assert!(has("openfoam.functions-1912") && !has("openfoam.mesh-1912"));
    let runs = trial.run().await;
    let verdicts: Vec<_> = runs.iter().map(|run| run.verdict.unwrap()).collect();
    let converged = Verdict::Converged;
    assert_eq!(
        verdicts,
        [converged, converged, converged, Verdict::NotConverged]
    );
    let iterations: Vec<u64> = runs.iter().map(|run| run.steps).collect();
    println!("iterations {iterations:?}");
    assert_eq!(iterations[3], 500);
    let table = trial.workshop.study_results(&trial.folder).unwrap();
    println!("{table}");
    let mut lifts = Vec::new();
    for (record, line) in runs.iter().zip(table.lines().skip(1)) {
        let native = trial.inputs(record);
        let copy = trial.place.path(&format!("native-{}", record.name()));
        natively_by(&trial.root, &native, &copy, &["simpleFoam"], |_| {});
        let equal = trial.compare(record, &copy);
        assert!(equal >= 26, "{equal}");
        // The column of the last line of what the run without a guest wrote.
        let file = copy.join("postProcessing/forces/0/coefficient.dat");
        let text = fs::read_to_string(file).unwrap();
        let header = text
            .lines()
            .rfind(|line| line.starts_with("# Time"))
            .unwrap();
        let column = header
            .trim_start_matches('#')
            .split_whitespace()
            .position(|name| name == "Cl");
        let last = text.lines().last().unwrap();
        let lift = last.split_whitespace().nth(column.unwrap()).unwrap();
        assert!(line.ends_with(&format!(",{lift}")), "{line} and {lift}");
        lifts.push(lift.parse::<f64>().unwrap());
    }
    assert!(lifts.is_sorted(), "{lifts:?}");
    // All from one image, which is what it was.
    let images = trial.workshop.builds(None).unwrap();
    assert_eq!(images.len(), 1);
    let digest = blake3::hash(&fs::read(&images[0].path).unwrap()).to_hex();
    assert_eq!(digest.to_string(), images[0].digest);
}
