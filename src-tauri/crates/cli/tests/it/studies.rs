//! Studies from the command line: a program that is not OpenFOAM's, and a windlassctl that is killed in the middle.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::session::Session;

/// Guests under emulation on a busy computer are slow.
const PATIENCE: Duration = Duration::from_mins(3);

const STUDY: &str = "title: Greetings
appliance: hello
case: case
steps: ['/hello --sleep 6']
variables:
- {name: whom, environment: WHOM, values: [Ada, Bo]}
- {name: limit, file: settings.ini, pattern: '^limit = (.*)$', values: [7]}
results:
- {name: said, pattern: 'environment +WHOM=(.*)'}
- {name: settings, file: settings.ini, pattern: '^limit = (.*)$'}
limits: {at_once: 2}
";

fn study() -> Session {
    let session = Session::new().with_linux_kernel();
    session.done(&["sample", "create", "hello"]);
    session.write("study/study.yaml", STUDY);
    session.write("study/case/settings.ini", "[run]\nlimit = 1\n");
    session
}

fn runs(session: &Session) -> Vec<Value> {
    let runs = session.json(&["study", "watch", "study", "--once"]);
    runs.as_array().unwrap().clone()
}

#[test]
fn a_study_says_what_it_comes_to() {
    let session = Session::new();
    session.write("study/study.yaml", STUDY);
    session.write("study/case/settings.ini", "[run]\nlimit = 1\n");
    let told = session.done(&["study", "check", "study", "--diff"]).stdout;
    insta::assert_snapshot!(told, @r"
    Study:      Greetings
    Solver:     -
    Cells:      -
    Steps:      /hello --sleep 6
    Appliance:  hello
    Guest:      -

    2 runs
      001  whom=Ada  limit=7
           settings.ini:2
           - limit = 1
           + limit = 7
      002  whom=Bo  limit=7
           settings.ini:2
           - limit = 1
           + limit = 7
    ");
    let said = session.run(&["study", "run", "study"]);
    assert_eq!(said.status, 66, "{}", said.stderr);
    assert!(
        said.stderr.contains("There is no appliance `hello`"),
        "{}",
        said.stderr
    );
    session.write(
        "study/study.yaml",
        "variables:\n- {name: a, range: 0:1:-1}\n",
    );
    let said = session.run(&["study", "check", "study"]);
    assert_eq!(said.status, 65, "{}", said.stderr);
    assert!(said.stderr.contains("study.yaml:2:"), "{}", said.stderr);
}

#[test]
fn slow_runs_go_on_without_a_windlassctl_that_was_killed_and_are_found_again() {
    let session = study();
    let mut first = session
        .process(&["study", "run", "study", "-q"])
        .spawn()
        .unwrap();
    let began = Instant::now();
    let machines = loop {
        let runs = runs(&session);
        if runs.iter().all(|run| run["state"] == "running") {
            break runs
                .iter()
                .map(|run| run["machine"].clone())
                .collect::<Vec<_>>();
        }
        assert!(
            began.elapsed() < PATIENCE,
            "the runs did not begin: {runs:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    };
    // Two at once do not work on one study.
    let said = session.run(&["study", "run", "study"]);
    assert_eq!(said.status, 75, "{}", said.stderr);
    first.kill().unwrap();
    first.wait().unwrap();

    session.done(&["study", "run", "study"]);
    let runs = runs(&session);
    for (run, machine) in runs.iter().zip(&machines) {
        assert_eq!(run["verdict"], "completed", "{run}");
        // The machine that the first one made, or, where it was not there yet, another.
        assert!(run["machine"] == *machine || run["attempts"] == 2, "{run}");
    }
    assert_eq!(
        session.done(&["study", "results", "study"]).stdout,
        "run,whom,limit,outcome,iterations,time,said,settings\n001,Ada,7,completed,0,,Ada,7\n002,Bo,7,completed,0,,Bo,7\n"
    );
    assert_eq!(
        session.json(&["instances"]),
        serde_json::json!([]),
        "no machine is left"
    );
}
