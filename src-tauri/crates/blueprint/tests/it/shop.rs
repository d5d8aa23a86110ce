//! A shop: a data base, and two machines that serve it.

use windlass_blueprint::{Blueprint, Error, Port, Service, Volume, commands, heat, kubevirt};

fn service(name: &str, order: u32) -> Service {
    Service {
        name: name.to_owned(),
        count: 1,
        order,
        image: "shop image's".to_owned(),
        flavor: Some("m1.tiny".to_owned()),
        memory_mib: 128,
        vcpus: 1,
        ports: Vec::new(),
        volumes: Vec::new(),
        command_line: None,
    }
}

fn shop() -> Blueprint {
    let data_base = Service {
        volumes: vec![Volume {
            name: "shop-data".to_owned(),
            size_gib: 1,
            image: Some("empty-volume".to_owned()),
        }],
        command_line: Some(
            "--mount-fs=ext,/dev/vblk1,/data /usr/bin/db --port 5432 '$HOME'".to_owned(),
        ),
        ..service("db", 0)
    };
    let web = Service {
        count: 2,
        flavor: None,
        ports: vec![Port {
            number: 8080,
            udp: false,
        }],
        command_line: Some("--env=DATABASE=db /app/server".to_owned()),
        ..service("web", 1)
    };
    Blueprint {
        name: "shop".to_owned(),
        services: vec![web, data_base],
    }
}

#[test]
fn heat_reads_a_template() {
    insta::assert_snapshot!(heat::template(&shop()));
}

#[test]
fn the_client_reads_commands_that_a_shell_accepts() {
    let script = commands::script(&shop());
    let checked = std::process::Command::new("bash")
        .args(["-n", "-c", &script])
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    insta::assert_snapshot!(script);
}

#[test]
fn a_cluster_reads_resources() {
    insta::assert_snapshot!(kubevirt::resources(&shop()));
}

#[test]
fn what_could_not_be_named_is_refused() {
    assert_eq!(shop().check(), Ok(()));
    let with = |change: &dyn Fn(&mut Blueprint)| {
        let mut changed = shop();
        change(&mut changed);
        changed.check()
    };
    assert!(matches!(
        with(&|it| it.name = "Shop".to_owned()),
        Err(Error::Name { .. })
    ));
    assert!(matches!(
        with(&|it| it.services[0].name = "-web".to_owned()),
        Err(Error::Name { .. })
    ));
    assert!(matches!(
        with(&|it| it.services[1].name = "web-2".to_owned()),
        Err(Error::Twice { .. })
    ));
    assert_eq!(
        with(&|it| it.services.clear()),
        Err(Error::Count { count: 0 })
    );
    assert_eq!(
        with(&|it| it.services[0].count = 4_000_000_000),
        Err(Error::Count {
            count: 4_000_000_001
        })
    );
}
