//! From an image to a machine: real guests in QEMU.

use windlass_workshop::appliances::Port;
use windlass_workshop::error::ErrorKind;
use windlass_workshop::guests::{GuestOs, Protocol};
use windlass_workshop::machines::MachineState;

use crate::place::{
    Place, console, console_until, ended, finish, get, has_node, is, run, states, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn slow_hello_runs_and_is_told_step_by_step() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let mut events = workshop.events().subscribe();
    let id = run(&workshop, &appliance.id).await;
    let machine = ended(&workshop, &id).await;
    insta::assert_snapshot!(place.story(&machine), @"Stopped, exit status Some(0)");
    assert_eq!(
        (machine.name.as_str(), machine.guest),
        ("hello", GuestOs::Linux)
    );
    assert_eq!(machine.appliance_id.as_deref(), Some(appliance.id.as_str()));
    assert!(
        machine.address.is_some() && machine.has_display,
        "{machine:?}"
    );
    assert!(machine.started_at < machine.ended_at, "{machine:?}");
    let mut told = Vec::new();
    until("the last event", async || {
        told.extend(states(&mut events, &id));
        (told.last() == Some(&MachineState::Stopped)).then_some(())
    })
    .await;
    told.dedup();
    let story = [
        MachineState::Created,
        MachineState::Starting,
        MachineState::Running,
        MachineState::Stopping,
        MachineState::Stopped,
    ];
    let mut rest = story.iter();
    assert!(
        told.iter().all(|state| rest.any(|next| next == state)),
        "in this order: {told:?}"
    );
    assert!(told.contains(&MachineState::Running), "{told:?}");

    let said = console(&workshop, &id).await;
    assert!(
        said.starts_with("[windlass] init "),
        "from its first byte: {said}"
    );
    assert!(said.contains("Hello from a virtual appliance!"), "{said}");
    let to = place.path("console.txt");
    workshop.save_console(&id, &to).await.unwrap();
    assert_eq!(std::fs::read_to_string(to).unwrap().replace('\r', ""), said);
    let details = workshop.machine_details(&id).unwrap();
    assert!(details.command[0].contains("qemu-system"), "{details:?}");
    assert_eq!(details.pid, None);
    assert!(!details.qemu_version.is_empty());
    assert!(details.folder.ends_with(&id));

    // Nothing can be asked of a machine that has ended, but to start it again and to delete it.
    for refused in [
        workshop.stop_machine(&id).await,
        workshop.pause_machine(&id).await,
        workshop.kill_machine(&id).await,
    ] {
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Conflict);
    }
    // Its image stays as long as it does, however many are built.
    let build = machine.build_id.unwrap();
    insta::assert_snapshot!(place.shown(&workshop.delete_build(&build).unwrap_err()), @"
    Conflict: The machine `hello` boots from this build
    hint: Delete the machine first
    ");
    for number in 0..6 {
        place.write("hello/number", format!("{number}").as_bytes());
        let job = workshop.start_build(&appliance.id).unwrap();
        finish(&workshop, &job).await.unwrap();
    }
    assert_eq!(workshop.builds(Some(&appliance.id)).unwrap().len(), 6);
    workshop.build(&build).unwrap();
    workshop.rename_machine(&id, "first").await.unwrap();
    workshop.start_machine("first").await.unwrap();
    assert_eq!(ended(&workshop, &id).await.exit_status, Some(0));
    workshop.delete_machine(&id).await.unwrap();
    workshop.delete_build(&build).unwrap();
    assert_eq!(place.list("machines"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_another_exit_status_is_a_failure_with_words() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello --exit 3").await;
    let first = run(&workshop, &appliance.id).await;
    let machine = ended(&workshop, &first).await;
    insta::assert_snapshot!(place.story(&machine), @"
    Failed, exit status Some(3)
    It ended with status 3.
    ");
    let notices = workshop.machine_details(&first).unwrap().notices;
    insta::assert_snapshot!(place.without_chance(&notices[1..].join("\n")), @"
    eth0 has the address 10.0.2.15
    command 1 of 1 started: /hello --exit 3
    command 1 of 1, /hello, exited with status 3
    all commands have ended, with status 3
    the guest powers off
    ");

    // Run again, it takes the place of the one that has ended.
    place.hello(&workshop, "/hello --exit 4").await;
    let second = run(&workshop, &appliance.id).await;
    let machine = ended(&workshop, &second).await;
    insta::assert_snapshot!(place.story(&machine), @"
    Failed, exit status Some(4)
    It ended with status 4.
    ");
    let machines = workshop.machines().unwrap();
    assert_eq!(machines.len(), 1);
    assert_eq!(
        (machines[0].id.as_str(), machines[0].name.as_str()),
        (second.as_str(), "hello")
    );
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_second_run_beside_the_first_gets_a_name_of_its_own() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello --sleep 250").await;
    let first = run(&workshop, &appliance.id).await;
    let second = run(&workshop, &appliance.id).await;
    assert_eq!(workshop.machine(&first).unwrap().name, "hello");
    assert_eq!(workshop.machine(&second).unwrap().name, "hello-2");
    assert_eq!(
        workshop.appliance(&appliance.id).unwrap().machines_running,
        2
    );
    // One image for both; neither sees what the other writes.
    assert_eq!(workshop.builds(None).unwrap().len(), 1);
    console_until(&workshop, &second, "Hello").await;
    workshop.kill_machine(&second).await.unwrap();
    let machine = ended(&workshop, &second).await;
    insta::assert_snapshot!(place.story(&machine), @"
    Stopped, exit status None
    It was switched off.
    ");
    assert_eq!(
        workshop.machine(&first).unwrap().state,
        MachineState::Running
    );
    let png = workshop.machine_screenshot(&first).await.unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    drop(workshop.display(&first).await.unwrap());
    workshop.delete_machine(&first).await.unwrap();
    assert_eq!(workshop.machines_running(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_service_answers_pauses_goes_on_and_is_stopped() {
    let (place, workshop) = Place::with_linux().await;
    if !has_node(&workshop) {
        eprintln!("skipped: no Node.js here");
        return;
    }
    let job = workshop.start_sample("node-microservice").unwrap();
    let appliance = finish(&workshop, &job).await.unwrap();
    let mut settings = workshop.run_form(&appliance).unwrap().settings;
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
        tokio::task::spawn_blocking(move || get(port))
            .await
            .unwrap()
    })
    .await;
    assert!(answer.starts_with("HTTP/1."), "{answer}");

    workshop.pause_machine(&id).await.unwrap();
    until("the pause", async || {
        is(&workshop, &id, MachineState::Paused)
    })
    .await;
    assert_eq!(get(port), None, "a paused guest does not answer");
    workshop.resume_machine(&id).await.unwrap();
    until("an answer again", async || {
        tokio::task::spawn_blocking(move || get(port))
            .await
            .unwrap()
    })
    .await;

    workshop.stop_machine(&id).await.unwrap();
    let machine = ended(&workshop, &id).await;
    insta::assert_snapshot!(place.story(&machine), @"Stopped, exit status Some(0)");
    assert_eq!(get(port), None);
    let said = console(&workshop, &id).await;
    assert!(
        said.contains("GET / 200") && said.contains("[windlass] powering off"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_what_a_machine_takes_is_measured_and_kept() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello --sleep 60").await;
    let id = run(&workshop, &appliance.id).await;
    console_until(&workshop, &id, "Hello").await;
    let points = until("some seconds of load", async || {
        let loads = workshop.loads(0);
        assert!(loads.processors > 0 && loads.memory_total_bytes > 1 << 28);
        let of_machine = loads.machines.into_iter().find(|load| load.id == id)?;
        (of_machine.points.len() >= 3 && loads.host.len() >= 3).then_some(of_machine.points)
    })
    .await;
    for pair in points.windows(2) {
        assert!(pair[0].at < pair[1].at, "{points:?}");
    }
    let last = points.last().unwrap();
    assert!(last.memory_bytes > 16 << 20, "{last:?}");
    assert!(last.receive_rate.is_some(), "its network is measured");
    assert!(workshop.loads(last.at).machines[0].points.len() < points.len());

    let measured = workshop.measure(std::slice::from_ref(&id)).await.unwrap();
    assert!(measured[0].load.is_some());
    workshop.kill_machine(&id).await.unwrap();
    ended(&workshop, &id).await;
    // Its last minute is kept with it, and goes with it.
    let kept = until("the last minute", async || {
        let _watching = workshop.loads(0);
        let kept = workshop.load_history(Some(&id), 10).unwrap();
        (!kept.is_empty()).then_some(kept)
    })
    .await;
    assert!(
        kept.iter().all(|minute| minute.memory_bytes > 16 << 20
            && minute.cpu_permille_most >= minute.cpu_permille)
    );
    let measured = workshop.measure(std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(measured[0].load, None);
    workshop.delete_machine(&id).await.unwrap();
    assert!(workshop.load_history(Some(&id), 10).is_err());
    until("its points to go", async || {
        workshop.loads(0).machines.is_empty().then_some(())
    })
    .await;
}
