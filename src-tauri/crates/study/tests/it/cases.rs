//! Cases as they come: OpenFOAM's tutorials, whole, broken, and in hostile archives.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use walkdir::WalkDir;
use windlass_guest::GuestOs;
use windlass_package::Severity;
use windlass_study::Case;
use windlass_study::case::{CaseError, Step, locate, take};

use crate::tutorials;

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

const HEAD: &str = "FoamFile { version 2.0; format ascii; }\n";

/// A small case that can run.
fn cavity(folder: &Path) {
    let files = [
        (
            "system/controlDict",
            "application icoFoam;\nendTime 0.5;\nfunctions { }\n",
        ),
        (
            "system/blockMeshDict",
            "blocks ( hex (0 1 2 3 4 5 6 7) (20 20 1) simpleGrading (1 1 1) );\nboundary\n(\n lid { type wall; faces ((3 7 6 2)); }\n walls { type wall; inGroups 1(still); faces ((0 4 7 3)); }\n sides { type empty; faces ((0 3 2 1)); }\n);\n",
        ),
        ("system/fvSchemes", "ddtSchemes { default Euler; }\n"),
        ("system/fvSolution", "solvers { }\n"),
        ("constant/transportProperties", "nu 0.01;\n"),
        (
            "0/U",
            "internalField uniform (0 0 0);\nboundaryField { lid { type fixedValue; } still { type noSlip; } sides { type empty; } }\n",
        ),
        (
            "0/p",
            "internalField uniform 0;\nboundaryField { \"(lid|walls)\" { type zeroGradient; } sides { type empty; } }\n",
        ),
    ];
    for (path, text) in files {
        write(folder, path, &format!("{HEAD}{text}"));
    }
}

fn findings(case: &Case) -> Vec<String> {
    let told = case.findings.iter().map(|finding| {
        let path = finding.path.as_deref().unwrap_or("case");
        format!("{}: {path}: {}", finding.severity, finding.message)
    });
    told.collect()
}

#[test]
fn a_case_says_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    cavity(folder.path());
    let case = Case::inspect(folder.path()).unwrap();
    assert_eq!(findings(&case), [] as [&str; 0]);
    assert_eq!(case.application.as_deref(), Some("icoFoam"));
    assert_eq!(case.end_time.as_deref(), Some("0.5"));
    assert_eq!(case.mesh.cells, Some(400));
    assert_eq!(case.fields, ["U", "p"]);
    assert_eq!(
        case.steps.iter().map(Step::line).collect::<Vec<_>>(),
        ["blockMesh", "icoFoam"]
    );
    let packages: Vec<_> = case
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(
        packages,
        [
            "openfoam.core-1912",
            "openfoam.mesh-1912",
            "openfoam.icofoam-1912"
        ]
    );
    assert_eq!(case.guest, GuestOs::Linux);
    assert_eq!(
        case.guest_reason,
        "blockMesh, icoFoam run one after the other, and OSv ends with its first program"
    );
}

#[test]
fn what_keeps_a_case_from_running_is_said_in_words() {
    let told = |change: &dyn Fn(&Path)| {
        let folder = tempfile::tempdir().unwrap();
        cavity(folder.path());
        change(folder.path());
        let case = Case::inspect(folder.path()).unwrap();
        assert!(!case.can_run());
        findings(&case).join("\n")
    };
    let edit = |folder: &Path, file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(from));
        fs::write(folder.join(file), text.replace(from, to)).unwrap();
    };
    assert_eq!(
        told(&|folder| edit(folder, "0/p", "(lid|walls)", "lid")),
        "error: 0/p: the patch walls of the mesh is not in its boundaryField"
    );
    assert_eq!(
        told(&|folder| edit(
            folder,
            "0/U",
            "sides { type empty; }",
            "sides { type noSlip; }"
        )),
        "error: 0/U: the patch sides is empty in the mesh and noSlip here; both have to be the same"
    );
    assert_eq!(
        told(&|folder| fs::remove_file(folder.join("system/blockMeshDict")).unwrap()),
        "error: case: there is no mesh in constant/polyMesh, and nothing that makes one"
    );
    assert_eq!(
        told(&|folder| edit(folder, "system/controlDict", "icoFoam", "icofoam")),
        "error: system/controlDict: application is icofoam, which is no program of OpenFOAM"
    );
    assert_eq!(
        told(&|folder| edit(
            folder,
            "system/controlDict",
            "functions { }",
            "functions { f { libs (\"libmine.so\"); } }"
        )),
        "error: system/controlDict: it loads libmine.so, which is no library of OpenFOAM"
    );
    assert_eq!(
        told(&|folder| edit(folder, "0/U", "uniform (0 0 0);", "#calc \"1+1\";")),
        "error: 0/U: line 2: #calc has to be compiled, and there is no compiler in an appliance"
    );
    assert_eq!(
        told(&|folder| edit(
            folder,
            "0/U",
            "internalField",
            "#include \"conditions\"\ninternalField"
        )),
        "error: 0/U: it includes conditions, which is not in the case"
    );
    assert_eq!(
        told(&|folder| edit(folder, "0/U", "type noSlip; }", "type noSlip; ")),
        "error: 0/U: line 3 (byte 85): the '{' that is opened here is never closed"
    );
    assert_eq!(
        told(&|folder| fs::remove_dir_all(folder.join("0")).unwrap()),
        "error: case: there is neither a folder 0 nor 0.orig, with the fields to begin with"
    );
}

#[test]
fn tutorials_are_understood() {
    let Some(examples) = tutorials::folder() else {
        return;
    };
    let case = |path: &str| Case::inspect(&examples.join("incompressible").join(path)).unwrap();
    let airfoil = case("simpleFoam/airFoil2D");
    assert_eq!(findings(&airfoil), [] as [&str; 0]);
    assert!(airfoil.mesh.is_there);
    assert_eq!(
        airfoil.steps.iter().map(Step::line).collect::<Vec<_>>(),
        ["simpleFoam"]
    );
    assert_eq!(airfoil.guest, GuestOs::Osv);
    let motor_bike = case("simpleFoam/motorBike");
    assert!(
        findings(&motor_bike)[0]
            .starts_with("warning: Allrun: Allrun does more than calling programs")
    );
    let pitz = case("simpleFoam/pitzDaily");
    assert_eq!(pitz.mesh.cells, Some(12_225));
    assert!(
        pitz.packages
            .iter()
            .any(|package| package.name == "openfoam.functions-1912"),
        "{:?}",
        pitz.packages
    );
    let (mut cases, mut good, mut errors) = (0, 0, Vec::new());
    for entry in WalkDir::new(&examples).into_iter().flatten() {
        if !entry.path().join("system/controlDict").is_file() {
            continue;
        }
        let case = Case::inspect(entry.path()).unwrap();
        cases += 1;
        good += usize::from(case.can_run());
        let severe = case
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        errors.extend(severe.map(|finding| {
            let path = finding.path.as_deref().unwrap_or_default();
            let name = entry.path().strip_prefix(&examples).unwrap().display();
            format!("{name}: {path}: {}", finding.message)
        }));
    }
    println!(
        "{cases} cases, {good} of them can run\n{}",
        errors.join("\n")
    );
    assert!(cases > 300 && good * 10 > cases * 7);
}

fn zip(path: &Path, entries: &[(&str, &str)]) {
    let mut writer = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, text) in entries {
        writer
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn cases_come_from_folders_and_archives_and_hostile_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let control = format!("{HEAD}application icoFoam;\n");
    let good = folder.path().join("good.zip");
    // As Windows writes them, with one folder around it all.
    zip(
        &good,
        &[("case\\system\\controlDict", &control), ("case\\0\\p", "x")],
    );
    let into = folder.path().join("taken");
    take(&good, &into).unwrap();
    assert!(into.join("system/controlDict").is_file() && into.join("0/p").is_file());
    assert!(matches!(
        take(&good, &into),
        Err(CaseError::AlreadyThere { .. })
    ));
    let again = folder.path().join("again");
    take(&into, &again).unwrap();
    assert_eq!(
        fs::read_to_string(again.join("system/controlDict")).unwrap(),
        control
    );
    for name in [
        "../system/controlDict",
        "/system/controlDict",
        "a/../../system/controlDict",
    ] {
        let bad = folder.path().join("bad.zip");
        zip(&bad, &[(name, &control)]);
        let into = folder.path().join("bad");
        assert!(take(&bad, &into).is_err(), "{name}");
        assert!(!into.exists());
    }
    for target in ["/etc/passwd", "../../outside", "nowhere"] {
        let bad = folder.path().join("link.zip");
        let mut writer = zip::ZipWriter::new(fs::File::create(&bad).unwrap());
        let options = zip::write::SimpleFileOptions::default();
        writer
            .start_file("case/system/controlDict", options)
            .unwrap();
        writer.write_all(control.as_bytes()).unwrap();
        writer.add_symlink("case/0/q", target, options).unwrap();
        writer.finish().unwrap();
        let into = folder.path().join("linked");
        assert!(take(&bad, &into).is_err(), "{target}");
        assert!(!into.exists());
    }
    // A quarter of a gibibyte of nothing, in as many kibibytes: refused before much of it is on the disk.
    let bomb = folder.path().join("bomb.zip");
    let mut writer = zip::ZipWriter::new(fs::File::create(&bomb).unwrap());
    let options = zip::write::SimpleFileOptions::default().large_file(true);
    writer
        .start_file("case/system/controlDict", options)
        .unwrap();
    writer.write_all(control.as_bytes()).unwrap();
    writer.start_file("case/0/U", options).unwrap();
    let nothing = vec![0; 1 << 20];
    for _ in 0..256 {
        writer.write_all(&nothing).unwrap();
    }
    writer.finish().unwrap();
    let error = take(&bomb, &folder.path().join("bomb")).unwrap_err();
    assert!(matches!(error, CaseError::Archive(_)), "{error}");
    fs::remove_file(bomb).unwrap();
    let empty = folder.path().join("none.zip");
    zip(&empty, &[("readme", "x")]);
    assert!(matches!(
        take(&empty, &folder.path().join("none")),
        Err(CaseError::None { .. })
    ));
    let several = folder.path().join("several");
    write(&several, "a/system/controlDict", &control);
    write(&several, "b/system/controlDict", &control);
    let error = locate(&several).unwrap_err();
    assert!(error.to_string().ends_with("a, b"), "{error}");
    // A link out of the case is not followed.
    std::os::unix::fs::symlink("/etc/passwd", into.join("0/q")).unwrap();
    let third = folder.path().join("third");
    take(&into, &third).unwrap();
    assert!(!third.join("0/q").exists());
    let left = fs::read_dir(folder.path()).unwrap().flatten();
    assert!(
        left.into_iter()
            .all(|entry| !entry.file_name().to_string_lossy().starts_with(".windlass"))
    );
}
