use proptest::prelude::*;

use super::{Exit, FailureKind, HISTORY_POINTS, Log, LogReader, Outcome, Table, TableError};

fn read(text: &str) -> Log {
    let mut reader = LogReader::new();
    reader.push(text.as_bytes());
    reader.finish()
}

const HEAD: &str = "Exec   : simpleFoam\nCase   : /case\nnProcs : 1\nSIMPLE: convergence criteria\n    field p\t tolerance 0.01\n    field \"(k|U)\"\t tolerance 0.001\n\nTime = 1\n\nGAMG:  Solving for p, Initial residual = 1, Final residual = 0.06, No Iterations 17\nsmoothSolver:  Solving for Ux, Initial residual = 0.5, Final residual = 0.01, No Iterations 2\nExecutionTime = 0.09 s  ClockTime = 1 s\n\n";

#[test]
fn ends_are_told_apart() {
    let outcome = |rest: &str, exit| read(&format!("{HEAD}{rest}")).outcome(exit);
    let done = Exit::Status(0);
    assert_eq!(outcome("", Exit::Running), Outcome::Running);
    assert_eq!(
        outcome("SIMPLE solution converged in 1 iterations\n\nEnd\n", done),
        Outcome::Converged { iterations: 1 }
    );
    assert_eq!(outcome("End\n", done), Outcome::NotConverged);
    assert_eq!(
        read("Exec   : icoFoam\nTime = 1\nEnd\n").outcome(done),
        Outcome::Completed
    );
    // A machine that vanished is lost, whatever its status was to be; only the solver's last word says otherwise.
    assert_eq!(outcome("", Exit::Vanished), Outcome::Lost);
    assert_eq!(outcome("End\n", Exit::Vanished), Outcome::NotConverged);
    let Outcome::Failed(silent) = outcome("", done) else {
        panic!()
    };
    assert_eq!(silent.kind, FailureKind::Silent);
    let Outcome::Failed(status) = outcome("", Exit::Status(3)) else {
        panic!()
    };
    assert_eq!(
        status.summary(),
        "simpleFoam ended with status 3, and said nothing"
    );
    assert_eq!(
        outcome(
            "Time = 2\nGAMG:  Solving for p, Initial residual = nan, Final residual = -nan, No Iterations 1000\nEnd\n",
            done
        ),
        Outcome::Diverged {
            time: Some(2.0),
            field: Some("p".into())
        }
    );
    assert!(matches!(
        outcome("", Exit::Status(136)),
        Outcome::Diverged { .. }
    ));
    let Outcome::Failed(memory) = outcome(
        "[   12.3] Out of memory: Killed process 12 (simpleFoam)\n",
        Exit::Status(137),
    ) else {
        panic!()
    };
    assert_eq!(memory.kind, FailureKind::OutOfMemory);
    let full =
        "[0] --> FOAM FATAL IO ERROR: \n[0] error writing\n[0] write: No space left on device\n";
    let Outcome::Failed(full) = outcome(full, Exit::Status(1)) else {
        panic!()
    };
    assert_eq!(full.summary(), "the disk for the results is full");
    // A mesher that fails before the solver has begun has not diverged.
    let early = read("Exec   : blockMesh\n#1  Foam::sigFpe::sigHandler(int) at ??:?\n");
    assert!(matches!(
        early.outcome(Exit::Status(136)),
        Outcome::Failed(_)
    ));
}

#[test]
fn targets_are_of_fields_and_patterns() {
    let log = read(HEAD);
    assert_eq!(log.target("p"), Some(0.01));
    assert_eq!(log.target("Ux"), Some(0.001));
    assert_eq!(log.target("k"), Some(0.001));
    assert_eq!(log.target("epsilon"), None);
}

#[test]
fn regions_and_coupled_vectors_are_fields_of_their_own() {
    let log = read(
        "Time = 1\n\nSolving for fluid region air\nGAMG:  Solving for h, Initial residual = 1, Final residual = 0.1, No Iterations 1\nSolving for solid region heater\nGAMG:  Solving for h, Initial residual = 0.5, Final residual = 0.1, No Iterations 1\nPBiCCCG:  Solving for D, Initial residual = (0.1 0.2 0.3), Final residual = (0.01 0.02 0.03), No Iterations (1 2 3)\n",
    );
    let names: Vec<_> = log.residuals.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["air.h", "heater.Dx", "heater.Dy", "heater.Dz", "heater.h"]
    );
    assert_eq!(
        log.residuals["heater.Dz"].initial.to_bits(),
        0.3_f64.to_bits()
    );
}

#[test]
fn a_log_without_end_needs_no_memory_without_end() {
    let mut reader = LogReader::new();
    let steps = HISTORY_POINTS * 3;
    for step in 0..steps {
        reader.push(format!("Time = {step}\nGAMG:  Solving for p, Initial residual = {step}, Final residual = 0, No Iterations 1\n").as_bytes());
    }
    reader.push(&vec![b'x'; 1 << 20]);
    assert!(reader.partial.len() <= 1 << 15);
    for field in 0..1000 {
        reader.push(format!("\nGAMG:  Solving for f{field}, Initial residual = 1, Final residual = 0, No Iterations 1\nExec   : a{field}\n    Could not load \"lib{field}\"\n").as_bytes());
    }
    let log = reader.finish();
    assert_eq!(log.steps, steps as u64);
    assert_eq!(log.history.stride(), 4);
    assert!(log.history.times.len() <= HISTORY_POINTS);
    // The points that stay are at their own times.
    let p = log.history.column("p").unwrap();
    assert!(
        log.history
            .times
            .iter()
            .zip(p)
            .all(|(time, value)| (time - value).abs() < 0.5)
    );
    assert!(
        log.residuals.len() <= 128
            && log.programs.len() <= 128
            && log.missing_libraries.len() <= 128
    );
    assert!(log.history.names().len() <= 128);
}

#[test]
fn tables_are_read() {
    let table =
        Table::parse("# Force coefficients\n# Time \tCd \tCl\n1\t0.5\t-2e-3\n2\t0.25\tnan\n3\t0.1")
            .unwrap();
    assert_eq!(table.names, ["Time", "Cd", "Cl"]);
    assert_eq!(
        table.column("Cd").unwrap(),
        [0.5, 0.25],
        "the last line is half written"
    );
    let probes = Table::parse("# x\n1 (1 2 3) (4 5 6)\n").unwrap();
    assert_eq!(probes.columns.len(), 7);
    assert_eq!(
        Table::parse("1 2\n1\n"),
        Err(TableError::Width {
            line: 2,
            found: 1,
            expected: 2
        })
    );
    assert!(matches!(
        Table::parse("1 x\n"),
        Err(TableError::Number { line: 1, .. })
    ));
}

proptest! {
    #[test]
    fn where_the_bytes_are_cut_does_not_matter(cuts in prop::collection::vec(0usize..700, 0..6)) {
        let text = format!("{HEAD}Time = 2\r\n--> FOAM FATAL IO ERROR: \r\nUnknown solver x\r\n\r\n3(a b c)\r\n\r\nfile: /case/a from line 1\r\nFOAM exiting\r\n");
        let whole = read(&text);
        let mut reader = LogReader::new();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            reader.push(&text.as_bytes()[from..cut]);
            from = cut;
        }
        reader.push(&text.as_bytes()[from..]);
        let cut = reader.finish();
        prop_assert_eq!(&cut.residuals, &whole.residuals);
        prop_assert_eq!(&cut.failure, &whole.failure);
        let failure = cut.failure.unwrap();
        prop_assert_eq!(failure.choices, ["a", "b", "c"]);
        prop_assert_eq!(failure.file.unwrap(), "/case/a from line 1");
        prop_assert_eq!(cut.steps, 2);
    }
}

#[test]
fn what_puts_parts_together_again_makes_no_steps_and_takes_no_outcome_away() {
    let solved = format!("{HEAD}SIMPLE solution converged in 1 iterations\n\nEnd\n");
    let log = read(&format!(
        "{solved}\nExec   : /usr/bin/reconstructPar\nTime = 0.1\n\nTime = 0.2\n\nEnd\n"
    ));
    assert_eq!((log.steps, log.last_time), (1, Some(1.0)));
    assert_eq!(log.converged, Some(1));
    // Another solver has to converge by itself.
    let log = read(&format!("{solved}{HEAD}End\n"));
    assert_eq!((log.steps, log.converged), (2, None));
}
