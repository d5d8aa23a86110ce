//! Several machines of one image, groups, clones, and what a report of trouble takes along.

use std::io::Read as _;

use windlass_workshop::appliances::EnvValue;
use windlass_workshop::builds::RunOptions;
use windlass_workshop::error::ErrorKind;
use windlass_workshop::machines::{GroupPlace, MachineState};
use windlass_workshop::registries::{CredentialsForm, RegistryForm, RegistryKind};

use crate::place::{Place, console_until, finish, run};

#[tokio::test(flavor = "multi_thread")]
async fn slow_machines_of_one_image_live_as_a_group() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello --sleep 200").await;
    let options = RunOptions {
        count: 3,
        group: Some(GroupPlace {
            name: "trio".to_owned(),
            order: 0,
        }),
        ..RunOptions::default()
    };
    let job = workshop.start_run_with(&appliance.id, options).unwrap();
    finish(&workshop, &job).await.unwrap();
    let machines = workshop.machines().unwrap();
    let names: Vec<_> = machines
        .iter()
        .map(|machine| machine.name.as_str())
        .collect();
    assert_eq!(names, ["hello-1", "hello-2", "hello-3"]);
    let build = &machines[0].build_id;
    assert!(
        machines.iter().all(|machine| machine.build_id == *build),
        "of one image"
    );
    assert_eq!(workshop.builds(Some(&appliance.id)).unwrap().len(), 1);
    for machine in &machines {
        console_until(&workshop, &machine.id, "Hello from").await;
    }

    // The last one comes first from now on.
    for (index, machine) in machines.iter().enumerate() {
        let place = GroupPlace {
            name: "trio".to_owned(),
            order: 3 - u32::try_from(index).unwrap(),
        };
        workshop
            .set_machine_group(&machine.id, Some(place))
            .await
            .unwrap();
    }
    let groups = workshop.groups();
    assert_eq!((groups.len(), groups[0].running), (1, 3));
    let order: Vec<_> = machines
        .iter()
        .rev()
        .map(|machine| machine.id.clone())
        .collect();
    assert_eq!(groups[0].machines, order);
    workshop.stop_group("trio").await.unwrap();
    let stopped = workshop.machines().unwrap();
    assert!(
        stopped
            .iter()
            .all(|machine| machine.state == MachineState::Stopped)
    );
    assert!(
        stopped[0].ended_at < stopped[2].ended_at,
        "the last to start stops first"
    );
    assert_eq!(
        stopped[0].message.as_deref(),
        Some("It stopped when asked.")
    );
    workshop.start_group("trio").await.unwrap();
    let started = workshop.machines().unwrap();
    assert!(started[2].started_at < started[1].started_at);
    assert!(started[1].started_at < started[0].started_at);
    assert_eq!(workshop.groups()[0].running, 3);

    workshop.delete_group("trio").await.unwrap();
    assert_eq!(workshop.machines().unwrap(), []);
    assert_eq!(workshop.groups(), []);
    assert_eq!(place.list("machines"), [""; 0]);
    assert_eq!(
        workshop.stop_group("trio").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_clone_runs_beside_its_original_and_a_restart_begins_anew() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello --sleep 200").await;
    let id = run(&workshop, &appliance.id).await;
    console_until(&workshop, &id, "Hello from").await;
    let clone = workshop.clone_machine(&id, None, false).await.unwrap();
    assert_eq!(
        (clone.name.as_str(), clone.state),
        ("hello-2", MachineState::Created)
    );
    let refused = workshop.clone_machine(&id, None, true).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    workshop.start_machine(&clone.id).await.unwrap();
    console_until(&workshop, &clone.id, "Hello from").await;
    let first = workshop.machine(&id).unwrap().started_at;
    workshop.restart_machine(&id).await.unwrap();
    assert!(workshop.machine(&id).unwrap().started_at > first);
    console_until(&workshop, &id, "Hello from").await;
    workshop.stop_machine(&id).await.unwrap();
    workshop.ended_machine(&id).await.unwrap();
    let same = workshop
        .clone_machine(&id, Some("same"), true)
        .await
        .unwrap();
    workshop.start_machine(&same.id).await.unwrap();
    console_until(&workshop, &same.id, "Hello from").await;
    for machine in [clone.id, same.id] {
        workshop.kill_machine(&machine).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_debug_bundle_has_what_a_report_needs_and_no_secret() {
    const SECRETS: [&str; 4] = [
        "kept-by-its-kind-7261",
        "vault-one \"vault-two\" 7262",
        "kept-for-a-registry-7263",
        "in-an-address-7264",
    ];
    let (place, workshop) = Place::with_linux().await;
    workshop
        .unlock_secrets("a passphrase".to_owned())
        .await
        .unwrap();
    let form = RegistryForm {
        name: "private".to_owned(),
        kind: RegistryKind::Http,
        url: "http://127.0.0.1:9/packages".to_owned(),
        prefix: None,
        ca_file: None,
        proxy: Some("none".to_owned()),
        minisign_key: None,
        credentials: CredentialsForm::Basic {
            user: "jane".to_owned(),
            password: SECRETS[2].to_owned(),
        },
    };
    workshop.add_registry(form).await.unwrap();
    // It says what it was told: its console has all of them.
    let command = format!(
        "/hello {} {} http://jane:{}@host/ public-word --sleep 200",
        SECRETS[0], SECRETS[2], SECRETS[3]
    );
    let appliance = place.hello(&workshop, &command).await;
    let manifest =
        "name: hello\ntitle: hello\nauthor: nobody\nx-environment:\n- {name: CODE, type: secret}\n";
    place.write("hello/meta/package.yaml", manifest.as_bytes());
    let mut settings = workshop.run_form(&appliance.id).unwrap().settings;
    settings.env = [
        ("CODE", SECRETS[0]),
        ("DB_PASSWORD", SECRETS[1]),
        ("COLOUR", "blue-7265"),
    ]
    .map(|(name, value)| EnvValue {
        name: name.to_owned(),
        value: value.to_owned(),
    })
    .into();
    workshop.save_settings(&appliance.id, settings).unwrap();
    let id = run(&workshop, &appliance.id).await;
    let said = console_until(&workshop, &id, "public-word").await;
    assert!(
        said.contains(SECRETS[0]) && said.contains(SECRETS[3]),
        "{said}"
    );

    let path = place.path("bundle.zip");
    workshop.debug_bundle(&id, &path).await.unwrap();
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&path).unwrap()).unwrap();
    let mut all = String::new();
    let mut names = Vec::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).unwrap();
        names.push(file.name().unwrap().into_owned());
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        all.push_str(&text);
    }
    insta::assert_snapshot!(names.join(" "), @"about.json machine.json command.txt console.log qemu.log job.log windlass.log");
    for secret in SECRETS {
        for part in secret.split(' ') {
            assert!(part.len() < 4 || !all.contains(part), "{part}");
        }
    }
    // What is no secret is there.
    for needed in [
        "public-word",
        "blue-7265",
        "qemu-system",
        "\"doctor\"",
        "Starting the machine",
        "[hidden]",
    ] {
        assert!(all.contains(needed), "{needed}: {all}");
    }
    workshop.kill_machine(&id).await.unwrap();
}
