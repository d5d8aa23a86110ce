//! Real Linux guests in QEMU, from the first command to the last.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::session::Session;

/// How long a guest may take to answer; emulation on a busy computer is slow.
const PATIENCE: Duration = Duration::from_mins(3);

pub(crate) fn session() -> Session {
    Session::new().with_linux_kernel()
}

/// Sends a signal to a process that this test started.
fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(200));
    }
}

pub(crate) fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// The first line of the program's output, which has to contain `word`.
fn wait_for_line(child: &mut Child, word: &str) -> BufReader<std::process::ChildStdout> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.contains(word), "{line:?}");
    output
}

#[test]
fn slow_hello_runs_and_its_status_is_passed_on() {
    let session = session();
    session.done(&["sample", "create", "hello"]);

    let said = session.done(&["run", "hello", "--guest", "linux"]);
    assert!(
        said.stdout.starts_with("Hello from a virtual appliance!\n"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("environment  WHOM=world\n"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains("[windlass]"), "{}", said.stdout);
    assert!(
        said.stderr.contains("[windlass] all ended with status 0\n"),
        "{}",
        said.stderr
    );
    assert_eq!(session.json(&["instances"]), serde_json::json!([]));

    let said = session.run(&[
        "run",
        "hello",
        "--env",
        "WHOM=a b",
        "-e",
        "/hello --exit 7",
        "-q",
    ]);
    assert_eq!(said.status, 7, "{}", said.stderr);
    assert!(
        said.stdout.contains("environment  WHOM=a b\n"),
        "{}",
        said.stdout
    );
    assert_eq!(said.stderr, "");

    let said = session.run(&["run", "hello", "-e", "/nothing", "--persist"]);
    assert_eq!(said.status, 65, "{}", said.stderr);
    assert!(said.stderr.contains("/nothing"), "{}", said.stderr);
    assert_eq!(session.json(&["instances"]), serde_json::json!([]));

    let said = session.run(&[
        "run",
        "hello",
        "-e",
        "/hello --exit 4",
        "--persist",
        "--name",
        "kept",
    ]);
    assert_eq!(said.status, 4, "{}", said.stderr);
    let machine = session.json(&["instances"])[0].clone();
    assert_eq!(
        (&machine["state"], &machine["exitStatus"]),
        (&"failed".into(), &4.into())
    );
    // A machine that is there runs again, and stays.
    assert_eq!(session.run(&["run", "kept"]).status, 4);
    session.done(&["delete", "kept"]);
}

#[test]
fn slow_images_are_composed_named_run_and_removed() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    let folder = session
        .home()
        .join("appliances/hello")
        .display()
        .to_string();

    let build = session.json(&[
        "package",
        "compose",
        "greeting",
        "--path",
        &folder,
        "--run",
        "/hello --exit 3",
    ]);
    assert_eq!(build["rootFs"], "ext4");
    assert_eq!(session.run(&["run", "greeting", "-q"]).status, 3);
    // The folder's own settings are untouched by that.
    assert_eq!(session.run(&["run", "hello", "-q"]).status, 0);
    // The build is as it was; its command was in the settings of that once.
    let id = build["id"].as_str().unwrap();
    assert_eq!(session.run(&["run", "--build", id, "-q"]).status, 0);

    let first = session.json(&[
        "package", "compose", "greeting", "--path", &folder, "--update",
    ]);
    let again = session.json(&["package", "compose", "other", "--path", &folder]);
    assert_eq!(
        first["id"], again["id"],
        "nothing changed, nothing is built"
    );
    let sized = session.json(&[
        "package", "compose", "sized", "--path", &folder, "-s", "64M",
    ]);
    assert_eq!(sized["sizeBytes"], 64 << 20);

    session.done(&[
        "package", "compose", "x", "--path", &folder, "--out", "disk.img",
    ]);
    let info = session.done(&["info", "disk.img"]);
    assert!(info.stdout.contains("ext4"), "{}", info.stdout);

    let images = session.json(&["images", "hello"]);
    assert_eq!(images.as_array().unwrap().len(), 3, "{images}");
    session.done(&["rmi", "greeting", "sized"]);
    session.done(&["rmi", "other"]);
    assert_eq!(session.run(&["run", "greeting"]).status, 66);
}

#[test]
fn slow_a_service_answers_until_ctrl_c() {
    let session = session();
    session.done(&["sample", "create", "node-microservice"]);
    let mut child = session
        .process(&["run", "node-microservice", "-f", ":8080"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = wait_for_line(&mut child, "listening");
    let machine = session.json(&["instances"])[0].clone();
    let port = u16::try_from(machine["ports"][0]["host"].as_u64().unwrap()).unwrap();
    let answer = until("an answer", || get(port));
    assert!(answer.starts_with("HTTP/1."), "{answer}");

    // The port is taken, which is said before anything runs, and nothing is left of the attempt.
    session.done(&["sample", "create", "hello"]);
    let taken = session.run(&["run", "hello", "-d", "-f", &format!("{port}:80")]);
    assert_eq!(taken.status, 75, "{}", taken.stderr);
    assert!(taken.stderr.contains(&port.to_string()), "{}", taken.stderr);
    assert_eq!(session.json(&["instances"]).as_array().unwrap().len(), 1);

    signal(&child, "INT");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("GET / 200"), "{rest}");
    assert_eq!(session.json(&["instances"]), serde_json::json!([]));
}

#[test]
fn slow_a_detached_machine_obeys_other_processes() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    let started = session.json(&[
        "run",
        "hello",
        "-d",
        "--name",
        "sleeper",
        "-e",
        "/hello --sleep 200",
    ]);
    assert_eq!(started["name"], "sleeper");
    until("the greeting", || {
        session
            .done(&["machine", "logs", "sleeper"])
            .stdout
            .contains("Hello")
            .then_some(())
    });
    let state = || {
        session.json(&["machine", "list"])[0]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(state(), "running");
    session.done(&["machine", "pause", "sleeper"]);
    assert_eq!(state(), "paused");
    assert_eq!(session.run(&["machine", "pause", "sleeper"]).status, 75);
    session.done(&["machine", "resume", "sleeper"]);
    assert_eq!(state(), "running");

    let delete = session.run(&["delete", "sleeper"]);
    assert_eq!(delete.status, 75, "{}", delete.stderr);
    session.done(&["machine", "rename", "sleeper", "awake"]);
    session.done(&["machine", "screenshot", "awake", "--out", "screen.png"]);
    let picture = std::fs::read(session.folder().join("screen.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    let details = session.json(&["machine", "details", "awake"]);
    assert!(
        details["command"][0].as_str().unwrap().contains("qemu"),
        "{details}"
    );

    // Follows until the end, which another process brings about.
    let mut follower = session
        .process(&["machine", "logs", "-f", "awake"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut heard = wait_for_line(&mut follower, "");
    session.done(&["stop", "awake"]);
    assert!(follower.wait().unwrap().success());
    let mut rest = String::new();
    heard.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("[windlass] powering off"), "{rest}");
    assert_eq!(state(), "stopped");
    session.done(&["delete", "awake"]);
    assert_eq!(session.json(&["instances"]), serde_json::json!([]));
}

#[test]
fn slow_a_machine_goes_on_when_its_windlassctl_is_killed() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    let mut child = session
        .process(&["run", "hello", "-e", "/hello --sleep 200"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _output = wait_for_line(&mut child, "Hello");
    signal(&child, "KILL");
    child.wait().unwrap();

    let machine = session.json(&["instances"])[0].clone();
    assert_eq!(machine["state"], "running", "{machine}");
    session.done(&["machine", "kill", "hello"]);
    session.done(&["delete", "hello"]);
}

#[test]
fn slow_changes_are_pushed_to_a_guest_that_runs() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    let folder = session.home().join("appliances/hello");
    let script = |text: &str| {
        std::fs::write(
            folder.join("commands"),
            format!("/hello {text} --sleep 250\n"),
        )
        .unwrap();
    };
    script("one");
    // What the image needs and nobody asks for again.
    std::fs::write(folder.join("large"), vec![7; 3 << 20]).unwrap();
    std::fs::create_dir(folder.join("old")).unwrap();
    std::fs::write(folder.join("old/file"), "old").unwrap();
    let run = [
        "run",
        "hello",
        "--guest",
        "linux",
        "-e",
        "runscript /commands",
        "-d",
    ];
    session.done(&[&run[..], &["--name", "closed"]].concat());
    session.done(&[&run[..], &["--name", "open", "--allow-changes"]].concat());
    let logs = || session.done(&["machine", "logs", "open"]).stdout;
    until("the first words", || {
        logs().contains("one --sleep").then_some(())
    });

    // Off unless asked for, and said so.
    let said = session.run(&["machine", "push", "closed"]);
    assert_eq!(said.status, 75, "{}", said.stderr);
    assert!(
        said.stderr.contains("was not started so that"),
        "{}",
        said.stderr
    );
    session.done(&["machine", "kill", "closed"]);

    let nothing = session.json(&["machine", "push", "open"]);
    let sent = |added: u64, changed: u64, removed: u64, bytes: u64, restarted: bool| {
        serde_json::json!({
            "added": added, "changed": changed, "removed": removed, "bytes": bytes, "restarted": restarted
        })
    };
    assert_eq!(nothing, sent(0, 0, 0, 0, false));

    // A program beside the commands, with what it reads, writes and ends with.
    let exec = |words: &[&str]| session.run(&[&["machine", "exec", "open", "--"], words].concat());
    let said = exec(&["/hello", "from", "exec", "--exit", "7"]);
    assert_eq!(said.status, 7, "{}", said.stderr);
    assert!(said.stdout.contains("argument     exec"), "{}", said.stdout);
    let said = exec(&["/gone"]);
    assert_eq!(said.status, 127, "{}", said.stderr);
    assert!(said.stderr.contains("/gone"), "{}", said.stderr);

    crate::inside::look_inside(&session, "open");

    // Only the bytes of the one file are sent; the command that began again prints the new text.
    script("another");
    std::fs::remove_dir_all(folder.join("old")).unwrap();
    std::os::unix::fs::symlink("large", folder.join("link")).unwrap();
    let preview = session.json(&["machine", "push", "open", "--dry-run"]);
    let bytes = "/hello another --sleep 250\n".len() as u64;
    assert_eq!(preview, sent(1, 1, 1, bytes, true));
    let pushed = session.json(&["machine", "push", "open"]);
    assert_eq!(pushed, sent(1, 1, 1, bytes, true));
    let console = until("the new words", || {
        let said = logs();
        said.contains("another --sleep").then_some(said)
    });
    assert!(
        console.contains("[windlass] restarting the commands"),
        "{console}"
    );
    assert_eq!(
        session.json(&["machine", "push", "open"]),
        sent(0, 0, 0, 0, false)
    );

    // A command that cannot be followed is refused before anything ends.
    std::fs::write(folder.join("commands"), "/hello; ; /hello").unwrap();
    let said = session.run(&["machine", "push", "open"]);
    assert_ne!(said.status, 0);
    assert!(
        said.stderr.contains("cannot begin again"),
        "{}",
        said.stderr
    );
    assert_eq!(session.json(&["instances"])[1]["state"], "running");
    script("third");
    assert_eq!(
        session.json(&["machine", "push", "open"])["restarted"],
        true
    );
    until("the last words", || {
        logs().contains("third --sleep").then_some(())
    });

    // What was pushed is on the guest's disk: it is there after a power cut.
    session.done(&["machine", "kill", "open"]);
    session.done(&["machine", "start", "open"]);
    until("the last words again", || {
        let said = logs();
        (said.contains("third --sleep") && !said.contains("restarting")).then_some(())
    });
    session.done(&["machine", "kill", "open"]);
    session.done(&["delete", "open", "closed"]);
}

#[test]
fn slow_machines_of_a_private_network_find_each_other_by_name() {
    let session = session();
    session.done(&["sample", "create", "node-microservice"]);
    let client = "const ask = () => require('http').get('http://shop:8080/', (answer) => {
        console.log('answered', String(answer.statusCode));
        process.exit(0);
    }).on('error', (error) => {
        console.log(String(error));
        setTimeout(ask, 500);
    });
    ask();
    ";
    let folder = session.home().join("appliances/node-microservice");
    std::fs::write(folder.join("client.js"), client).unwrap();
    let run = |more: &[&str]| {
        let run = ["run", "node-microservice", "--guest", "linux"];
        session.done(&[&run[..], &["--join", "lab"], more].concat())
    };
    run(&["--name", "shop", "-d"]);
    session.done(&["machine", "capture", "start", "shop", "--network", "lab"]);
    let command = "/usr/bin/node /client.js";
    let said = run(&["--name", "customer", "-e", command]).stdout;
    assert!(said.ends_with("answered 200\n"), "{said}");
    let networks = session.json(&["network", "ls"]);
    let shop = &networks[0]["machines"][0];
    assert_eq!(
        (&networks[0]["name"], &shop["names"][0]),
        (&"lab".into(), &"shop".into())
    );
    assert!(shop["receivedBytes"].as_u64() > Some(0), "{networks}");
    let captured = session.json(&["machine", "capture", "stop", "shop"]);
    let file = captured["files"][0].as_str().unwrap();
    assert!(std::fs::read(file).unwrap().len() > 1000, "{captured}");
    session.done(&["machine", "kill", "shop"]);
    session.done(&["delete", "shop"]);
}

#[test]
fn slow_a_volume_comes_and_goes_while_the_guest_runs() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    let run = [
        "run",
        "hello",
        "--guest",
        "linux",
        "-e",
        "/hello --sleep 250",
    ];
    session.done(&[&run[..], &["-d", "--allow-changes"]].concat());
    session.done(&["volume", "create", "data", "--size", "16M"]);
    session.done(&["volume", "attach", "hello", "data:/data"]);
    let volumes = session.json(&["volume", "ls"]);
    assert_eq!(volumes[0]["inUseBy"], "hello", "{volumes}");
    let memory = ["machine", "snapshot", "take", "hello", "with the volume"];
    let refused = session.run(&[&memory[..], &["--memory"]].concat());
    assert!(
        refused.stderr.contains("in no snapshot"),
        "{}",
        refused.stderr
    );
    session.done(&["volume", "detach", "hello", "data"]);
    let volumes = session.json(&["volume", "ls"]);
    assert_eq!(volumes[0]["usedBy"], serde_json::json!([]), "{volumes}");
    // It goes on, and back.
    session.done(&[
        "machine", "snapshot", "take", "hello", "without", "--memory",
    ]);
    session.done(&["machine", "kill", "hello"]);
    session.done(&["machine", "snapshot", "revert", "hello", "without"]);
    let machines = session.json(&["instances"]);
    assert_eq!(machines[0]["state"], "running", "{machines}");
    session.done(&["machine", "kill", "hello"]);
    session.done(&["delete", "hello"]);
}

#[test]
fn slow_a_guest_sees_a_folder_and_runs_with_no_image_at_all() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    session.write("shared/note", "from outside\n");
    let folder = session.folder().join("shared");
    let share = format!("{}:/data", folder.display());
    let run = ["run", "hello", "--guest", "linux", "--live"];
    let said = session.done(&[&run[..], &["--share", &share]].concat());
    assert!(said.stdout.starts_with("Hello"), "{}", said.stdout);
    assert!(!said.stderr.contains("cannot mount"), "{}", said.stderr);

    // Edited, and run again: nothing was built.
    let script = session.home().join("appliances/hello/again");
    std::fs::write(script, "/hello edited\n").unwrap();
    let said = session.done(&[&run[..], &["-e", "runscript /again"]].concat());
    assert!(
        said.stdout.contains("argument     edited\n"),
        "{}",
        said.stdout
    );
    let images = session.json(&["images", "hello"]);
    assert_eq!(images, serde_json::json!([]));

    // What it may write to, and what it may only read.
    let into_folder = ["-e=--redirect=/data/said /hello"];
    session.done(&[&run[..], &["--share", &share], &into_folder].concat());
    let written = std::fs::read_to_string(folder.join("said")).unwrap();
    assert!(written.starts_with("Hello"), "{written}");
    let share = format!("{share}:ro");
    let said = session.run(&[&run[..], &["--share", &share], &into_folder].concat());
    assert!(
        said.stderr.contains("Read-only file system"),
        "{}",
        said.stderr
    );
    let after = std::fs::read_to_string(folder.join("said")).unwrap();
    assert_eq!(after, written);
}

#[test]
fn slow_a_machine_with_a_live_root_takes_a_volume_and_lets_it_go() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    session.done(&["volume", "create", "data", "--size", "16M"]);
    let run = ["run", "hello", "--guest", "linux", "--live", "-d"];
    let forever = ["--allow-changes", "-e", "/hello --sleep 200"];
    session.done(&[&run[..], &forever].concat());
    session.done(&["volume", "attach", "hello", "data:/data"]);
    let volumes = session.json(&["volume", "ls"]);
    assert_eq!(volumes[0]["inUseBy"], "hello", "{volumes}");
    session.done(&["volume", "detach", "hello", "data"]);
    let volumes = session.json(&["volume", "ls"]);
    assert_eq!(volumes[0]["usedBy"], serde_json::json!([]), "{volumes}");
    session.done(&["machine", "kill", "hello"]);
}
