//! Logs of real runs, against what an independent reader found in them (`logs/expected.json`).
//!
//! They are OpenFOAM 1912's own tutorials, run natively, in a Linux guest and on OSv; `fail.*` are broken on purpose.

use std::path::{Path, PathBuf};

use serde_json::Value;
use windlass_study::dictionary::read_text;
use windlass_study::log::{Exit, FailureKind, Log, LogReader, Outcome, Table};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/logs")
        .join(name)
}

fn text(name: &str) -> Vec<u8> {
    read_text(&path(&format!("{name}.gz"))).unwrap().0
}

/// In pieces of odd sizes, as a console gives them.
fn read(name: &str) -> Log {
    let mut reader = LogReader::new();
    text(name).chunks(997).for_each(|part| reader.push(part));
    reader.finish()
}

fn assert_number(found: Option<f64>, expected: &Value, what: &str) {
    assert_eq!(found, expected.as_f64(), "{what}");
}

fn assert_fields(name: &str, log: &Log, expected: &Value) {
    let fields = expected["fields"].as_object().unwrap();
    assert_eq!(log.residuals.len(), fields.len(), "{name}");
    let mut lines = 0;
    for (field, expected) in fields {
        let found = &log.residuals[field];
        assert_eq!(
            Some(found.count),
            expected["count"].as_u64(),
            "{name} {field}"
        );
        assert_eq!(
            Some(found.solver.as_str()),
            expected["solver"].as_str(),
            "{name} {field}"
        );
        assert_number(Some(found.initial), &expected["last_initial"], name);
        assert_number(Some(found.last), &expected["last_final"], name);
        assert_eq!(
            Some(found.iterations),
            expected["last_iters"].as_u64(),
            "{name} {field}"
        );
        lines += found.count;
    }
    assert_eq!(Some(lines), expected["solve_lines"].as_u64(), "{name}");
}

fn assert_end(name: &str, log: &Log, expected: &Value) {
    let missing: Vec<_> = expected["missing_libs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!(log.missing_libraries, missing, "{name}");
    let fatal = log
        .failure
        .as_ref()
        .filter(|failure| matches!(failure.kind, FailureKind::Fatal { .. }));
    assert_eq!(
        fatal.map(|failure| failure.message.as_str()),
        expected["fatal"]["message"].as_str(),
        "{name}"
    );
    assert_eq!(
        fatal.and_then(|failure| failure.file.as_deref()),
        expected["fatal"]["file"].as_str(),
        "{name}"
    );
    if let Some(failure) = fatal {
        assert_eq!(
            failure.kind,
            FailureKind::Fatal {
                io: expected["fatal"]["io"].as_bool().unwrap()
            },
            "{name}"
        );
    }
}

#[test]
fn real_logs_are_read_as_an_independent_reader_reads_them() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(path("expected.json")).unwrap()).unwrap();
    let expected = expected.as_object().unwrap();
    assert_eq!(expected.len(), 8);
    for (name, expected) in expected {
        let log = read(name);
        assert_fields(name, &log, expected);
        assert_end(name, &log, expected);
        assert_eq!(Some(log.steps), expected["steps"].as_u64(), "{name}");
        assert_number(log.first_time, &expected["first_time"], name);
        assert_number(log.last_time, &expected["last_time"], name);
        assert_eq!(
            log.converged,
            expected["converged_iterations"].as_u64(),
            "{name}"
        );
        assert_eq!(log.programs.len(), 1);
        assert_eq!(
            Some(log.programs[0].ended),
            expected["ended"].as_bool(),
            "{name}"
        );
        assert_eq!(
            log.programs[0].case.as_deref(),
            expected["case"].as_str(),
            "{name}"
        );
        assert_eq!(
            log.programs[0].processes.map(u64::from),
            expected["nprocs"].as_u64(),
            "{name}"
        );
        assert_eq!(
            Some(log.programs[0].name.as_str()),
            expected["exec"].as_str(),
            "{name}"
        );
        let overflow = log
            .failure
            .as_ref()
            .is_some_and(|failure| failure.kind == FailureKind::FloatingPoint);
        assert_eq!(Some(overflow), expected["fpe"].as_bool(), "{name}");
        assert_number(
            log.courant.map(|courant| courant.max),
            &expected["courant_max_last"],
            name,
        );
        let cumulative = log.continuity.map(|continuity| continuity.cumulative);
        assert_number(cumulative, &expected["continuity_cumulative_last"], name);
        assert_number(
            log.execution_seconds,
            &expected["execution_time_last"],
            name,
        );
        assert_number(log.clock_seconds, &expected["clock_time_last"], name);
    }
}

#[test]
fn the_ends_of_real_runs_are_told_apart() {
    let outcome = |name: &str, status| read(name).outcome(Exit::Status(status));
    assert_eq!(
        outcome("airFoil2D.converged.log", 0),
        Outcome::Converged { iterations: 223 }
    );
    assert_eq!(
        outcome("pitzDaily.simpleFoam.log", 0),
        Outcome::Converged { iterations: 282 }
    );
    assert_eq!(outcome("cavity.icoFoam.log", 0), Outcome::Completed);
    let diverged = Outcome::Diverged {
        time: Some(9.0),
        field: Some("Ux".into()),
    };
    assert_eq!(outcome("fail.fpe.log", 136), diverged);
    let failed = |name: &str| match outcome(name, 1) {
        Outcome::Failed(failure) => (failure.summary(), failure.hint().unwrap_or_default()),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(
        failed("fail.nomesh.log").0,
        "there is no mesh in constant/polyMesh"
    );
    assert_eq!(
        failed("fail.missingfile.log").0,
        "the file /home/user/foam/fixtures/t/0/p is missing"
    );
    let solver = failed("fail.solver.log");
    assert_eq!(solver.0, "unknown symmetric matrix solver type nonesuch");
    assert_eq!(solver.1, "Choose one of GAMG, PBiCGStab, PCG, smoothSolver");
    // It ends with status 0; that a library is missing is seen all the same.
    assert_eq!(outcome("fail.lib.log", 0), Outcome::Completed);
    assert_eq!(read("fail.lib.log").missing_libraries, ["libnonesuch.so"]);
}

#[test]
fn consoles_of_guests_say_the_same_as_the_solver_alone() {
    let native = read("pitzDaily.simpleFoam.log");
    for name in [
        "linuxvm.pitzDaily.console.log",
        "osv.pitzDaily.simpleFoam.log",
    ] {
        let guest = read(name);
        assert_eq!(guest.steps, 282, "{name}");
        assert_eq!(guest.programs.last().unwrap().name, "simpleFoam", "{name}");
        assert_eq!(
            guest.outcome(Exit::Status(0)),
            Outcome::Converged { iterations: 282 },
            "{name}"
        );
        assert_eq!(guest.residuals.len(), native.residuals.len(), "{name}");
        assert_eq!(guest.target("epsilon"), Some(0.001));
        let points = guest.history.column("p").unwrap();
        assert_eq!(points.len(), 282);
    }
    // Of the same libraries in a Linux guest, the same digits.
    assert_eq!(
        read("linuxvm.pitzDaily.console.log").residuals,
        native.residuals
    );
    assert_eq!(read("osv.pitzDaily.simpleFoam.log").exit_status, Some(0));
}

#[test]
fn coefficients_are_in_the_log_as_in_their_table() {
    let log = read("airFoil2D.converged.log");
    assert_eq!(log.coefficients.get("forceCoeffs1.Cl"), Some(&0.007_047_58));
    assert_eq!(log.history.column("forceCoeffs1.Cd").unwrap().len(), 223);
    let table = String::from_utf8(text("forceCoeffs.a+4.dat")).unwrap();
    let table = Table::parse(&table).unwrap();
    assert_eq!(table.names[..4], ["Time", "Cd", "Cs", "Cl"]);
    assert_eq!(table.column("Cl").unwrap().len(), 274);
    assert!((table.last("Cl").unwrap() - 0.0282).abs() < 1e-4);
}
