//! A study from its file to the changed copies of its case, on files as they are found.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use windlass_study::study::{Combine, Limits, ResultPart, ResultSource, Target, Values, Variable};
use windlass_study::{Run, Study, StudyError};

const POLAR: &str = r"title: Polar
case: case
steps: [blockMesh, simpleFoam]
variables:
- {name: alpha, range: 0:12:4}
- name: inflow
  file: 0/U
  entry: internalField
  formula: (26*cos(alpha*degree) 26*sin(alpha*degree) 0)
- {name: nu, file: constant/transportProperties, entry: nu, values: [1e-5, 2e-5]}
- {name: mode, environment: MODE, values: [fast]}
parallel: {cores: 6, method: simple, parts: [3, 2, 1]}
limits: {at_once: 4, minutes: 120, stop_when_diverged: true}
results:
- {name: Cl, file: postProcessing/forces/*/coefficient.dat, column: Cl}
- {name: answer, file: out.txt, pattern: 'answer = (\S+)'}
";

const U: &str = "dimensions [0 1 -1 0 0 0 0];\n\ninternalField uniform (25.75 3.62 0);\nboundaryField { inlet { type freestream; freestreamValue $internalField; } }\n";
const TRANSPORT: &str =
    "transportModel Newtonian;\n\nnu              [0 2 -1 0 0 0 0] 1e-05; // air\n";

fn case() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("case/0/U", U),
        ("case/constant/transportProperties", TRANSPORT),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(folder.path().join("study.yaml"), POLAR).unwrap();
    folder
}

fn parse(text: &str) -> Study {
    Study::parse(text, "study.yaml").unwrap().value
}

fn table(study: &Study) -> Vec<String> {
    let runs = study.runs(Path::new(".")).unwrap();
    runs.iter().map(shown).collect()
}

fn shown(run: &Run) -> String {
    let values: Vec<_> = run
        .values
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{}: {}", run.name(), values.join(" "))
}

#[test]
fn a_grid_has_every_value_with_every_other() {
    let folder = case();
    let study = Study::load(folder.path()).unwrap();
    assert_eq!(study.notes, []);
    let runs = study.value.runs(folder.path()).unwrap();
    assert_eq!(runs.len(), 8);
    assert_eq!(
        shown(&runs[0]),
        "001: alpha=0 inflow=(26 0 0) nu=1e-5 mode=fast"
    );
    assert_eq!(
        shown(&runs[7]),
        "008: alpha=12 inflow=(25.4318376191 5.40570396126 0) nu=2e-5 mode=fast"
    );
    let environment: Vec<_> = runs[7].environment(&study.value).collect();
    assert_eq!(environment, [("MODE", "fast")]);
}

#[test]
fn what_a_run_changes_is_shown_before_it_is_written() {
    let folder = case();
    let study = Study::load(folder.path()).unwrap().value;
    let run = &study.runs(folder.path()).unwrap()[7];
    let case = folder.path().join("case");
    let changes = study.changes(&case, run).unwrap();
    let lines: Vec<_> = changes
        .iter()
        .flat_map(windlass_study::ChangedFile::differences)
        .collect();
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            format!(
                "{}:{}: {} -> {}",
                line.file, line.line, line.before, line.after
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            "0/U:3: internalField uniform (25.75 3.62 0); -> internalField uniform (25.4318376191 5.40570396126 0);",
            "constant/transportProperties:3: nu              [0 2 -1 0 0 0 0] 1e-05; // air -> nu              [0 2 -1 0 0 0 0] 2e-5; // air",
            "system/decomposeParDict:1:  -> FoamFile",
        ]
    );
    assert_eq!(
        fs::read_to_string(case.join("0/U")).unwrap(),
        U,
        "the case itself stays"
    );
    let copy = folder.path().join("copy");
    fs::create_dir_all(copy.join("0")).unwrap();
    changes[0].write(&copy).unwrap();
    let written = fs::read_to_string(copy.join("0/U")).unwrap();
    assert_eq!(
        written,
        U.replace("(25.75 3.62 0)", "(25.4318376191 5.40570396126 0)")
    );
}

#[test]
fn packed_dictionaries_are_changed_and_stay_packed() {
    let folder = case();
    let case = folder.path().join("case");
    let packed = case.join("0/U.gz");
    windlass_study::dictionary::write_text(&packed, U.as_bytes(), true).unwrap();
    fs::remove_file(case.join("0/U")).unwrap();
    let study = Study::load(folder.path()).unwrap().value;
    let run = &study.runs(folder.path()).unwrap()[0];
    let changes = study.changes(&case, run).unwrap();
    assert_eq!(changes[0].file, Path::new("0/U.gz"));
    changes[0].write(&case).unwrap();
    let (text, compressed) = windlass_study::dictionary::read_text(&packed).unwrap();
    assert!(compressed);
    assert!(
        String::from_utf8(text)
            .unwrap()
            .contains("uniform (26 0 0)")
    );
}

#[test]
fn lists_go_side_by_side_and_tables_line_by_line() {
    let study = parse(
        "variables:\n- {name: a, values: [1, 2]}\n- {name: b, values: [x, y]}\ncombine: zip\n",
    );
    assert_eq!(table(&study), ["001: a=1 b=x", "002: a=2 b=y"]);
    let uneven =
        parse("variables:\n- {name: a, values: [1, 2]}\n- {name: b, values: [x]}\ncombine: zip\n");
    assert_eq!(
        uneven.runs(Path::new(".")).unwrap_err().to_string(),
        "a has 2 values and b 1; side by side they have to be as many"
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("runs.csv"),
        "speed, angle\n# of the tunnel\n10, 2\n20, 4\n",
    )
    .unwrap();
    let study = parse(
        "table: runs.csv\nvariables:\n- {name: speed, environment: S}\n- {name: x, formula: speed*angle}\n",
    );
    let runs = study.runs(folder.path()).unwrap();
    assert_eq!(
        runs.iter().map(shown).collect::<Vec<_>>(),
        ["001: speed=10 x=20 angle=2", "002: speed=20 x=80 angle=4"]
    );
    fs::write(folder.path().join("runs.csv"), "speed,angle\n1\n").unwrap();
    assert!(matches!(
        study.runs(folder.path()),
        Err(StudyError::Csv { .. })
    ));
    fs::write(folder.path().join("runs.csv"), "angle\n1\n").unwrap();
    assert!(study.runs(folder.path()).is_err());
}

#[test]
fn any_text_is_changed_by_a_pattern() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[run]\nlimit = 1\nother limit = 1\n";
    fs::write(folder.path().join("settings.ini"), text).unwrap();
    let study = parse(
        "variables:\n- {name: l, file: settings.ini, pattern: '^limit = (.*)$', values: [7]}\n",
    );
    let run = &study.runs(folder.path()).unwrap()[0];
    let changes = study.changes(folder.path(), run).unwrap();
    assert_eq!(changes[0].text(), b"[run]\nlimit = 7\nother limit = 1\n");
    fs::write(folder.path().join("settings.ini"), "nothing\n").unwrap();
    assert_eq!(
        study.changes(folder.path(), run).unwrap_err().to_string(),
        "^limit = (.*)$ does not fit anything in settings.ini"
    );
}

#[test]
fn a_case_is_not_left() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "x 1;\n").unwrap();
    let case = folder.path().join("case");
    fs::create_dir(&case).unwrap();
    std::os::unix::fs::symlink(folder.path(), case.join("link")).unwrap();
    for file in [
        "../secret",
        "/etc/passwd",
        "link/secret",
        ".",
        "a/../../secret",
    ] {
        let text = format!("variables:\n- {{name: a, file: '{file}', entry: x, values: [2]}}\n");
        let study = parse(&text);
        let run = &study.runs(folder.path()).unwrap()[0];
        let refused = study.changes(&case, run);
        assert!(matches!(refused, Err(StudyError::Outside { .. })), "{file}");
        let source = ResultSource {
            name: "r".into(),
            file: Some(file.into()),
            of: ResultPart::Whole,
        };
        assert!(source.read(&case, &case).is_err(), "{file}");
    }
}

#[test]
fn results_are_the_last_of_a_column_and_what_a_pattern_finds() {
    let folder = tempfile::tempdir().unwrap();
    for (time, value) in [("0", 1), ("9", 2), ("10", 3)] {
        let path = folder.path().join("postProcessing/forces").join(time);
        fs::create_dir_all(&path).unwrap();
        fs::write(
            path.join("coefficient.dat"),
            format!("# Time Cl\n1 0.5\n2 0.{value}\n"),
        )
        .unwrap();
    }
    fs::write(folder.path().join("out.txt"), "answer = 41\nanswer = 42\n").unwrap();
    let read: Vec<_> = parse(POLAR)
        .results
        .iter()
        .map(|result| result.read(folder.path(), folder.path()).unwrap())
        .collect();
    assert_eq!(read, [Some("0.3".into()), Some("42".into())]);
    let empty = tempfile::tempdir().unwrap();
    let none: Vec<_> = parse(POLAR)
        .results
        .iter()
        .map(|result| result.read(empty.path(), empty.path()).unwrap())
        .collect();
    assert_eq!(none, [None, None]);
}

#[test]
fn mistakes_in_a_study_are_shown_where_they_are() {
    let told = |text: &str| Study::parse(text, "study.yaml").unwrap_err().to_string();
    assert!(
        told("variables:\n- {name: a, range: 0:1:-1}\n")
            .contains("0:1:-1 is not a range of values: its step never reaches its end")
    );
    assert!(told("variables:\n- {name: a, formula: '2*'}\n").contains("cannot be calculated"));
    assert!(
        told("variables:\n- {name: a, values: [1], range: 0:1}\n").contains("only one of them")
    );
    assert!(
        told("variables:\n- {name: 1a, values: [1]}\n")
            .contains("`1a` cannot be the name of a variable")
    );
    assert!(
        told("variables:\n- {name: a, values: [1]}\n- {name: a, values: [1]}\n")
            .contains("two variables called `a`")
    );
    assert!(
        told("variables:\n- {name: a, file: x, pattern: '(', values: [1]}\n")
            .contains("no regular expression")
    );
    assert!(told("combine: both\n").contains("grid or zip"));
    let circle = parse("variables:\n- {name: a, formula: b+1}\n- {name: b, formula: a+1}\n");
    assert_eq!(
        circle.runs(Path::new(".")).unwrap_err().to_string(),
        "the formulas of a and b need each other"
    );
    let unknown = parse("variables:\n- {name: a, formula: c+1}\n");
    assert!(
        unknown
            .runs(Path::new("."))
            .unwrap_err()
            .to_string()
            .contains("c is no variable that is a number")
    );
    let many = parse("variables:\n- {name: a, range: 1:1000}\n- {name: b, range: 1:1000}\n");
    assert!(matches!(
        many.runs(Path::new(".")),
        Err(StudyError::TooMany {
            count: 1_000_000,
            ..
        })
    ));
    let notes = Study::parse("varibles: []\n", "study.yaml").unwrap().notes;
    assert_eq!(notes.len(), 1);
}

#[test]
fn ranges_end_where_they_say_in_round_numbers() {
    let range = |text| windlass_study::runs::range(text).unwrap().join(" ");
    assert_eq!(range("0:0.5:0.1"), "0 0.1 0.2 0.3 0.4 0.5");
    assert_eq!(range("-20:20:20"), "-20 0 20");
    assert_eq!(range("3:1"), "3 2 1");
    assert_eq!(range("1e-7:3e-7:1e-7"), "1e-7 2e-7 3e-7");
    for text in ["", "1", "1:2:0", "1:inf", "0:1e9", "a:b"] {
        assert!(windlass_study::runs::range(text).is_err(), "{text}");
    }
}

#[test]
fn a_study_that_is_written_is_read_as_the_same() {
    let study = parse(POLAR);
    assert_eq!(parse(&study.to_yaml().unwrap()), study);
    let odd = Study {
        title: Some("a: b # c".into()),
        steps: vec!["python3 run.py \"x y\"".into()],
        combine: Combine::Zip,
        table: Some("t.csv".into()),
        variables: vec![Variable {
            name: "v".into(),
            target: Some(Target::Pattern {
                file: "f".into(),
                pattern: "^a: '(.*)'$".into(),
            }),
            values: Values::List(vec![
                "1.10".into(),
                "yes".into(),
                "(1 2 3)".into(),
                "007".into(),
            ]),
        }],
        limits: Limits {
            vcpus: Some(2),
            ..Limits::default()
        },
        ..Study::default()
    };
    assert_eq!(parse(&odd.to_yaml().unwrap()), odd);
}
