//! Stacks: launched, looked at, changed with a preview, and taken away.

use std::collections::BTreeMap;

use windlass_blueprint::{Blueprint, Port, Service as Part, heat};
use windlass_cloud::leftovers::{self, Kind};
use windlass_cloud::{Error, Service, stacks};

use crate::lab;

fn shop(name: &str, web: u32) -> Blueprint {
    let part = |name: &str, order| Part {
        name: name.to_owned(),
        count: 1,
        order,
        image: "lab-guest".to_owned(),
        flavor: Some("lab.nano".to_owned()),
        memory_mib: 64,
        vcpus: 1,
        ports: Vec::new(),
        volumes: Vec::new(),
        command_line: Some("--env=A=b /hello".to_owned()),
    };
    let db = part("db", 0);
    let web = Part {
        count: web,
        ports: vec![Port {
            number: 80,
            udp: false,
        }],
        ..part("web", 1)
    };
    Blueprint {
        name: name.to_owned(),
        services: vec![db, web],
    }
}

#[tokio::test]
async fn a_group_is_launched_grows_with_a_preview_and_goes() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    if !session.has(Service::Orchestration) {
        eprintln!("skipped: this lab has no Heat (`./dev test full` starts one that has)");
        return;
    }
    let name = lab::unique("shop");
    let name = &name[..name.len().min(40)].trim_end_matches('-').to_owned();
    let parameters = BTreeMap::from([("external_network".to_owned(), "public".to_owned())]);
    let two = heat::template(&shop(name, 1));
    let stack = stacks::launch(&session, name, &two, &parameters)
        .await
        .unwrap();
    let mut told = Vec::new();
    let made = stacks::settled(&session, &stack, |it| told.push(it.resource_name.clone()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(made.stack_status, "CREATE_COMPLETE");
    assert!(
        told.contains(&"db".to_owned()) && told.contains(&"web".to_owned()),
        "{told:?}"
    );
    let outside = made
        .outputs
        .iter()
        .find(|it| it.output_key == "web_outside")
        .unwrap();
    assert!(
        outside
            .output_value
            .as_str()
            .is_some_and(|it| it.parse::<std::net::IpAddr>().is_ok()),
        "{outside:?}"
    );
    // The name is taken.
    let twice = stacks::launch(&session, name, &two, &parameters).await;
    assert!(
        matches!(twice, Err(Error::Refused { status: 409, .. })),
        "{twice:?}"
    );

    let three = heat::template(&shop(name, 2));
    let preview = stacks::preview(&session, &made, &three, &parameters)
        .await
        .unwrap();
    assert!(
        preview.added.contains(&"web_2".to_owned()) && preview.deleted.contains(&"web".to_owned()),
        "{preview:?}"
    );
    assert!(
        preview.unchanged.contains(&"network".to_owned()),
        "{preview:?}"
    );
    stacks::update(&session, &made, &three, &parameters)
        .await
        .unwrap();
    let changed = stacks::stack(&session, name).await.unwrap();
    let changed = stacks::settled(&session, &changed, |_| ())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(changed.stack_status, "UPDATE_COMPLETE");
    let servers = stacks::resources(&session, &changed).await.unwrap();
    let servers: Vec<_> = servers
        .iter()
        .filter(|it| it.resource_type == "OS::Nova::Server")
        .map(|it| it.resource_name.as_str())
        .collect();
    assert_eq!(servers.len(), 3, "{servers:?}");

    // What is of a stack is not listed beside it: it goes with it.
    let ours = leftovers::find(&session, None).await.unwrap();
    let stack = ours
        .iter()
        .find(|it| it.kind == Kind::Stack && &it.name == name)
        .unwrap();
    assert!(
        !ours
            .iter()
            .any(|it| it.kind == Kind::Server && it.name.starts_with(name.as_str()))
    );
    leftovers::take_away(&session, stack).await.unwrap();
    assert!(matches!(
        stacks::stack(&session, name).await,
        Err(Error::NotFound { .. })
    ));
}

#[tokio::test]
async fn what_heat_cannot_do_is_said_in_its_words() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    if !session.has(Service::Orchestration) {
        eprintln!("skipped: this lab has no Heat (`./dev test full` starts one that has)");
        return;
    }
    let mut without = shop("without", 1);
    without.services[0].image = "no-such-image".to_owned();
    let name = lab::unique("without");
    let refused = stacks::launch(&session, &name, &heat::template(&without), &BTreeMap::new())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("no-such-image"), "{refused}");
    assert!(matches!(
        stacks::stack(&session, &name).await,
        Err(Error::NotFound { .. })
    ));
}
