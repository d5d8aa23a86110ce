//! Real OSv, where `WINDLASS_OSV_LOADER` and `WINDLASS_OSV_KERNEL` name its files.

use std::path::PathBuf;
use std::sync::Arc;

use windlass_workshop::Workshop;
use windlass_workshop::appliances::Port;
use windlass_workshop::guests::{GuestOs, Protocol, RootFs};
use windlass_workshop::machines::MachineState;

use crate::place::{Place, console, console_until, ended, finish, get, has_node, run, until};

/// A place whose library has these kernels; nothing where one is not named.
pub(crate) async fn with_osv(variables: &[&str]) -> Option<(Place, Arc<Workshop>)> {
    let mut files = Vec::new();
    for variable in variables {
        let Some(file) = std::env::var_os(variable) else {
            println!("skipped: {variable} does not name a kernel");
            return None;
        };
        files.push(PathBuf::from(file));
    }
    let (place, workshop) = Place::with_linux().await;
    workshop.add_kernels(&files).await.unwrap();
    Some((place, workshop))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_hello_runs_on_osv_by_its_kernel() {
    let Some((place, workshop)) = with_osv(&["WINDLASS_OSV_KERNEL"]).await else {
        return;
    };
    let appliance = place.hello(&workshop, "/hello").await;
    assert_eq!(
        (appliance.guest, appliance.root_fs),
        (GuestOs::Osv, RootFs::Rofs),
        "OSv where there is one"
    );
    let id = run(&workshop, &appliance.id).await;
    let machine = ended(&workshop, &id).await;
    let said = console(&workshop, &id).await;
    assert!(said.contains("Hello from a virtual appliance!"), "{said}");
    assert!(machine.address.is_some(), "{machine:?}");
    insta::assert_snapshot!(place.story(&machine), @"Stopped, exit status Some(0)");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_an_exit_status_on_osv() {
    let Some((place, workshop)) = with_osv(&["WINDLASS_OSV_KERNEL"]).await else {
        return;
    };
    let appliance = place.hello(&workshop, "/hello --exit 3").await;
    let id = run(&workshop, &appliance.id).await;
    let machine = ended(&workshop, &id).await;
    println!("{}", console(&workshop, &id).await);
    insta::assert_snapshot!(place.story(&machine), @"
    Failed, exit status Some(3)
    It ended with status 3.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_hello_boots_from_an_osv_disk() {
    let Some((place, workshop)) = with_osv(&["WINDLASS_OSV_LOADER"]).await else {
        return;
    };
    let appliance = place.hello(&workshop, "/hello").await;
    let id = run(&workshop, &appliance.id).await;
    let machine = ended(&workshop, &id).await;
    let said = console(&workshop, &id).await;
    assert!(said.contains("Hello from a virtual appliance!"), "{said}");
    let command = workshop.machine_details(&id).unwrap().command;
    assert!(!command.iter().any(|word| word == "-kernel"), "{command:?}");
    insta::assert_snapshot!(place.story(&machine), @"Stopped, exit status None");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_service_answers_on_osv() {
    let both = ["WINDLASS_OSV_LOADER", "WINDLASS_OSV_KERNEL"];
    let Some((place, workshop)) = with_osv(&both).await else {
        return;
    };
    if !has_node(&workshop) {
        eprintln!("skipped: no Node.js here");
        return;
    }
    let job = workshop.start_sample("node-microservice").unwrap();
    let appliance = finish(&workshop, &job).await.unwrap();
    let mut settings = workshop.run_form(&appliance).unwrap().settings;
    assert_eq!(settings.guest, GuestOs::Osv);
    let guest = settings.ports.first().map_or(8080, |port| port.guest);
    settings.ports = vec![Port {
        host: None,
        guest,
        protocol: Protocol::Tcp,
    }];
    workshop.save_settings(&appliance, settings).unwrap();
    let id = run(&workshop, &appliance).await;
    let port = workshop.machine(&id).unwrap().ports[0].host;
    let answer = until("an answer", async || {
        let machine = workshop.machine(&id).unwrap();
        assert_eq!(
            machine.state,
            MachineState::Running,
            "{machine:?}\n{}",
            console(&workshop, &id).await
        );
        tokio::task::spawn_blocking(move || get(port))
            .await
            .unwrap()
    })
    .await;
    assert!(answer.starts_with("HTTP/1."), "{answer}");
    workshop.stop_machine(&id).await.unwrap();
    let machine = ended(&workshop, &id).await;
    insta::assert_snapshot!(place.story(&machine), @"
    Stopped, exit status None
    It stopped when asked.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_osv_is_changed_by_cpiod() {
    let ext4 = ["WINDLASS_OSV_EXT_LOADER", "WINDLASS_OSV_EXT_KERNEL"];
    let Some((place, workshop)) = with_osv(&ext4).await else {
        return;
    };
    let Some(cpiod) = std::env::var_os("WINDLASS_OSV_CPIOD") else {
        println!(
            "skipped: WINDLASS_OSV_CPIOD does not name a folder with OSv's cpiod.so and its libraries"
        );
        return;
    };
    let appliance = place.hello(&workshop, "/hello").await;
    for file in std::fs::read_dir(cpiod).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let folder = if name == "cpiod.so" {
            "tools"
        } else {
            "usr/lib"
        };
        let content = std::fs::read(file.path()).unwrap();
        place.write(&format!("hello/{folder}/{name}"), &content);
    }
    let script = |text: &str| {
        let line = format!("/hello {text}\n");
        place.write("hello/commands", line.as_bytes());
        line.len() as u64
    };
    script("one");
    let mut settings = workshop.run_form(&appliance.id).unwrap().settings;
    settings.root_fs = RootFs::Ext4;
    settings.allow_changes = true;
    settings.command = Some("/tools/cpiod.so --prefix /; runscript /commands".to_owned());
    workshop.save_settings(&appliance.id, settings).unwrap();
    let id = run(&workshop, &appliance.id).await;
    console_until(&workshop, &id, "Waiting for connection from host").await;
    console_until(&workshop, &id, "'/hello one'").await;
    assert!(workshop.machine(&id).unwrap().allows_changes);

    // Only what changed is sent; the machine starts again, and the new text is there.
    let bytes = script("another");
    place.write("hello/data/new", b"new");
    let job = workshop.start_push(&id).unwrap();
    finish(&workshop, &job).await.unwrap();
    let pushed = workshop.last_push(&id).unwrap().unwrap();
    assert_eq!(
        (pushed.added, pushed.changed, pushed.bytes, pushed.restarted),
        (1, 1, bytes + 3, true)
    );
    console_until(&workshop, &id, "'/hello another'").await;
    console_until(&workshop, &id, "Waiting for connection from host").await;

    // What cpiod cannot do is said before anything is sent.
    std::fs::remove_file(place.path("hello/data/new")).unwrap();
    let job = workshop.start_push(&id).unwrap();
    let refused = finish(&workshop, &job).await.unwrap_err();
    insta::assert_snapshot!(place.shown(&refused), @"
    Conflict: /data/new: cpiod cannot remove anything
    hint: Run the appliance again: a new machine has all of it
    ");

    // The same way, a whole appliance: what Capstan calls compose-remote.
    let ports = workshop.machine(&id).unwrap().ports;
    let port = ports.iter().find(|port| port.guest == 10_000).unwrap().host;
    let job = workshop
        .start_compose_remote(&appliance.id, "127.0.0.1", port)
        .unwrap();
    let sent: u64 = finish(&workshop, &job).await.unwrap().parse().unwrap();
    assert!(sent > bytes, "{sent}");
    let said = console_until(&workshop, &id, "cpiod finished").await;
    assert!(said.contains("Adding"), "{said}");
    ended(&workshop, &id).await;
}

/// The files of OSv's REST API as they lie in an image, with the libraries that they need, in the folder that
/// `WINDLASS_OSV_HTTPSERVER` names.
#[tokio::test(flavor = "multi_thread")]
async fn slow_osv_tells_what_is_inside_by_its_rest_api() {
    let Some((place, workshop)) = with_osv(&["WINDLASS_OSV_KERNEL"]).await else {
        return;
    };
    let Some(api) = std::env::var_os("WINDLASS_OSV_HTTPSERVER") else {
        println!("skipped: WINDLASS_OSV_HTTPSERVER names no folder");
        return;
    };
    let appliance = place.hello(&workshop, "/libhttpserver-api.so").await;
    let copied = std::process::Command::new("cp")
        .args(["-a", "-T"])
        .arg(&api)
        .arg(&appliance.path)
        .status();
    assert!(copied.unwrap().success());

    // Only where it is asked for.
    let closed = run(&workshop, &appliance.id).await;
    let error = workshop.guest_now(&closed).await.unwrap_err();
    assert!(error.message.contains("not started so"), "{error}");
    let ports = workshop.machine(&closed).unwrap().ports;
    assert!(ports.iter().all(|port| port.guest != 8000), "{ports:?}");
    workshop.stop_machine(&closed).await.unwrap();
    ended(&workshop, &closed).await;

    let mut settings = workshop.run_form(&appliance.id).unwrap().settings;
    settings.allow_changes = true;
    workshop.save_settings(&appliance.id, settings).unwrap();
    let id = run(&workshop, &appliance.id).await;
    let now = until("threads", async || {
        let machine = workshop.machine(&id).unwrap();
        assert_eq!(
            machine.state,
            MachineState::Running,
            "{machine:?}\n{}",
            console(&workshop, &id).await
        );
        let now = workshop.guest_now(&id).await;
        now.inspect_err(|error| println!("{error} {:?}", error.chain))
            .ok()
    })
    .await;
    assert!(
        now.processes
            .iter()
            .any(|thread| thread.name.contains("httpserver")),
        "{now:?}"
    );
    assert!(now.memory.free_bytes > 0 && now.memory.free_bytes < now.memory.total_bytes);
    let environment = workshop.guest_environment(&id, None).await.unwrap();
    assert!(
        environment.command_line.contains("--rootfs=rofs"),
        "{environment:?}"
    );
    assert!(
        environment
            .variables
            .iter()
            .any(|(name, _)| name == "OSV_VERSION")
    );
    let log = workshop.guest_kernel_log(&id).await.unwrap();
    assert!(log.contains("VFS: mounting"), "{log}");

    let root = workshop.guest_folder(&id, "/").await.unwrap();
    assert!(
        root.entries.iter().any(|entry| entry.name == "tmp"),
        "{root:?}"
    );
    std::fs::write(place.path("note"), "a note\n").unwrap();
    let put = workshop
        .guest_put(&id, &place.path("note"), "/tmp")
        .await
        .unwrap();
    assert_eq!(put.path, "/tmp/note");
    workshop
        .guest_get(&id, "/tmp/note", &place.path("back"))
        .await
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(place.path("back")).unwrap(),
        "a note\n"
    );
    let error = workshop
        .guest_put(&id, &place.path("note"), "/usr")
        .await
        .unwrap_err();
    assert!(error.message.contains("read-only"), "{error}");
    let error = workshop
        .guest_get(&id, "/gone", &place.path("back"))
        .await
        .unwrap_err();
    assert!(error.message.contains("no file /gone"), "{error}");

    workshop
        .guest_trace_count(&id, "sched_wake", true)
        .await
        .unwrap();
    until("wakes to be counted", async || {
        let points = workshop.guest_trace(&id).await.unwrap();
        let wakes = points.into_iter().find(|point| point.id == "sched_wake");
        wakes.unwrap().count.filter(|count| *count > 0)
    })
    .await;
    workshop.kill_machine(&id).await.unwrap();
    ended(&workshop, &id).await;
}
