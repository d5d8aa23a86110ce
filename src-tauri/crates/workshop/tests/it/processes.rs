//! Several processes at one home, and processes that are killed. The others are this test program, run again.
//!
//! ```text
//!   test ── spawns ──► a_process_of_its_own ── lines on stdout: "@working", "@done ID" or "@failed ERROR" ──► test
//!     └──── closes its stdin: it ends; or kills it
//! ```

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use windlass_workshop::Workshop;
use windlass_workshop::error::AppError;
use windlass_workshop::events::Event;
use windlass_workshop::home::Home;
use windlass_workshop::machines::MachineState;

use crate::place::{self, Place, console, console_until, ended, finish, is, until};

const PART: &str = "WINDLASS_TEST_PART";
const HOME: &str = "WINDLASS_TEST_HOME";

/// Another Windlass process.
#[derive(Debug)]
pub(crate) struct Other {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Other {
    /// Starts one that does its part: `run ID`, `build ID`, `sample ID` or `fetch`.
    pub(crate) fn start(home: &Path, part: &str) -> Self {
        Self::start_as(Command::new(std::env::current_exe().unwrap()), home, part)
    }

    /// As `start`, with another environment or by another program.
    pub(crate) fn start_as(mut command: Command, home: &Path, part: &str) -> Self {
        let mut child = command
            .args(["processes::a_process_of_its_own", "--exact", "--nocapture"])
            .env(PART, part)
            .env(HOME, home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Reads on until it says the word, and returns what it says after it.
    pub(crate) fn says(&mut self, word: &str) -> Option<String> {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).unwrap() > 0 {
            // The test harness writes its own words into the same line.
            if let Some((_, said)) = line.split_once('@') {
                if let Some(rest) = said.strip_prefix(word) {
                    return Some(rest.trim().to_owned());
                }
                // It would wait for us, and we for it.
                assert!(!said.starts_with("failed"), "{said}");
            }
            line.clear();
        }
        None
    }

    /// The error that its job ended with.
    pub(crate) fn fails(&mut self) -> AppError {
        serde_json::from_str(&self.says("failed").unwrap()).unwrap()
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it end by itself.
    pub(crate) fn end(mut self) {
        drop(self.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// What the other process does. In a run of all tests it has no part, and nothing happens.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_its_own() {
    let (Ok(part), Some(home)) = (std::env::var(PART), std::env::var_os(HOME)) else {
        return;
    };
    let workshop = match Workshop::open(Home::at(home.into())).await {
        Ok(workshop) => workshop,
        Err(error) => {
            println!("@failed {}", serde_json::to_string(&error).unwrap());
            return;
        }
    };
    let (verb, name) = part.split_once(' ').unwrap_or((&part, ""));
    let mut events = workshop.events().subscribe();
    let job = match verb {
        "run" => workshop.start_run(name),
        "build" => workshop.start_build(name),
        "sample" => workshop.start_sample(name),
        _ => workshop.start_kernel_fetch(),
    };
    let job = job.unwrap();
    tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            if matches!(event, Event::JobChanged(job) if job.done > 0) {
                println!("@working");
                return;
            }
        }
    });
    match finish(&workshop, &job).await {
        Ok(produced) => println!("@done {produced}"),
        Err(error) => println!("@failed {}", serde_json::to_string(&error).unwrap()),
    }
    // Stays until it is let go or killed.
    let waited = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    waited.await.unwrap().unwrap();
    workshop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_killed_windlass_is_ended_with_words_and_its_leavings_are_swept() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let data = std::fs::File::create(place.path("hello/data")).unwrap();
    data.set_len(1 << 30).unwrap();

    let mut other = Other::start(&place.home(), &format!("build {}", appliance.id));
    other.says("working").unwrap();
    // Seen from here, it runs.
    let job = workshop.jobs(1, None).unwrap().remove(0);
    assert_eq!(job.title, "Build hello");
    insta::assert_snapshot!(place.shown(&workshop.cancel_job(&job.id).unwrap_err()), @"
    Conflict: This job belongs to another Windlass that is running now
    hint: Cancel it there: in its window, or with Ctrl+C in its terminal
    ");
    other.kill();
    drop(workshop);

    let workshop = place.open().await;
    let job = workshop.job(&job.id).unwrap();
    insta::assert_snapshot!(place.shown(&job.error.clone().unwrap()), @"
    Internal: Windlass ended before this was done
    hint: Start it again; nothing half-written was left
    ");
    assert_eq!(place.list("images"), [""; 0]);
    assert!(job.retry);
    // It can be tried again, and does what it was to do.
    std::fs::write(place.path("hello/data"), "small").unwrap();
    let again = workshop.retry_job(&job.id).unwrap();
    let build = finish(&workshop, &again).await.unwrap();
    assert_eq!(workshop.builds(None).unwrap()[0].id, build);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_build_the_same_appliance_at_once() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let part = format!("build {}", appliance.id);
    let mut others: Vec<_> = (0..3).map(|_| Other::start(&place.home(), &part)).collect();
    let ours = workshop.start_build(&appliance.id).unwrap();
    let mut builds = vec![finish(&workshop, &ours).await.unwrap()];
    builds.extend(others.iter_mut().map(|other| other.says("done").unwrap()));
    let digests: std::collections::HashSet<String> = builds
        .iter()
        .map(|id| workshop.build(id).unwrap().digest)
        .collect();
    assert_eq!(digests.len(), 1, "the same bytes, whoever builds");
    others.into_iter().for_each(Other::end);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_make_the_same_sample_at_once() {
    let place = Place::new();
    let mut others: Vec<_> = (0..4)
        .map(|_| Other::start(&place.home(), "sample hello"))
        .collect();
    let made: std::collections::HashSet<String> = others
        .iter_mut()
        .map(|other| other.says("done").unwrap())
        .collect();
    assert_eq!(made.len(), 1, "one appliance: {made:?}");
    others.into_iter().for_each(Other::end);
    let workshop = place.open().await;
    assert_eq!(workshop.appliances().unwrap().len(), 1);
    let mut files = place.list("appliances");
    files.retain(|path| !path.starts_with("hello/"));
    assert_eq!(files, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_open_one_home_at_once() {
    let place = Place::new();
    let opened = (0..16).map(|_| {
        let home = Home::at(place.home());
        tokio::spawn(async move { Workshop::open(home).await.map(drop) })
    });
    for workshop in opened.collect::<Vec<_>>() {
        workshop.await.unwrap().unwrap();
    }
    assert_eq!(place.list("processes"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_machines_survive_the_windlass_that_started_them() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello --sleep 250").await;
    workshop.close().await;
    drop(workshop);

    let mut other = Other::start(&place.home(), &format!("run {}", appliance.id));
    let id = other.says("done").unwrap();
    other.kill();

    let workshop = place.open().await;
    let machine = workshop.machine(&id).unwrap();
    assert_eq!(
        (machine.state, machine.elsewhere),
        (MachineState::Running, false)
    );
    assert_eq!(workshop.machines_running(), 1);
    let said = console_until(&workshop, &id, "Hello from a virtual appliance!").await;
    assert!(
        said.starts_with("[windlass] init "),
        "from the very beginning: {said}"
    );
    workshop.stop_machine(&id).await.unwrap();
    let machine = ended(&workshop, &id).await;
    insta::assert_snapshot!(place.story(&machine), @"
    Stopped, exit status Some(143)
    It stopped when asked.
    ");
    assert!(console(&workshop, &id).await.starts_with(&said));
    assert!(machine.ended_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_two_processes_see_one_machine_and_either_may_stop_it() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello --sleep 250").await;
    let mut other = Other::start(&place.home(), &format!("run {}", appliance.id));
    let id = other.says("done").unwrap();

    // The other one drives it; here it is seen and obeys.
    let machine = until("the machine", async || {
        let machine = workshop.machine(&id).ok()?;
        (machine.state == MachineState::Running).then_some(machine)
    })
    .await;
    assert!(machine.elsewhere);
    assert_eq!(
        workshop.appliance(&appliance.id).unwrap().machines_running,
        1
    );
    console_until(&workshop, &id, "Hello").await;
    workshop.pause_machine(&id).await.unwrap();
    until("the pause", async || {
        is(&workshop, &id, MachineState::Paused)
    })
    .await;
    workshop.resume_machine(&id).await.unwrap();
    until("the resumption", async || {
        is(&workshop, &id, MachineState::Running)
    })
    .await;
    assert_eq!(
        workshop
            .delete_build(machine.build_id.as_deref().unwrap())
            .unwrap_err()
            .kind,
        windlass_workshop::error::ErrorKind::Conflict
    );
    workshop.stop_machine(&id).await.unwrap();
    let machine = ended(&workshop, &id).await;
    assert_eq!(machine.state, MachineState::Stopped);

    // What one deletes is gone for the other.
    workshop.delete_machine(&id).await.unwrap();
    assert_eq!(workshop.machines().unwrap(), []);
    other.end();
    assert_eq!(place.list("machines"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_the_same_run_from_two_processes_makes_two_machines() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello --sleep 250").await;
    let mut other = Other::start(&place.home(), &format!("run {}", appliance.id));
    let ours = place::run(&workshop, &appliance.id).await;
    let theirs = other.says("done").unwrap();
    assert_ne!(ours, theirs);
    until("both", async || {
        (workshop.machines_running() == 2).then_some(())
    })
    .await;
    for id in [&ours, &theirs] {
        workshop.kill_machine(id).await.unwrap();
        assert_eq!(ended(&workshop, id).await.state, MachineState::Stopped);
    }
    other.end();
}
