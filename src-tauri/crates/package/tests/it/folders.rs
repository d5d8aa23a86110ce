//! Packages as folders: opened, with settings saved and read again, and what is wrong with them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use windlass_guest::{GuestOs, RootFs};
use windlass_package::settings::{DiskKind, PortForward, Protocol, VolumeSetting};
use windlass_package::{BuildSettings, Error, Package, samples};

fn told(error: &Error) -> String {
    format!("{error}\nhint: {}\n", error.hint().unwrap_or_default())
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn the_samples_are_packages_without_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let hello = samples::hello(&folder.path().join("hello"), b"\x7fELF").unwrap();
    let node = samples::node_microservice(&folder.path().join("node"), "node-20").unwrap();
    let python = samples::python(&folder.path().join("python"), "python-3.11").unwrap();
    for root in [&hello, &node, &python] {
        let package = Package::open(root).unwrap();
        assert_eq!(package.notes, []);
        assert!(package.readme.is_some() && package.has_manifest && package.run.is_some());
    }
    assert_eq!(Package::open(&node).unwrap().manifest.require, ["node-20"]);
    assert_eq!(Package::open(&node).unwrap().settings.ports[0].guest, 8080);

    let error = samples::hello(&hello, b"").unwrap_err();
    assert!(
        error.to_string().ends_with("hello is already there"),
        "{error}"
    );
    assert_eq!(
        fs::read(hello.join("hello")).unwrap(),
        b"\x7fELF",
        "what was there stays"
    );
}

#[test]
fn a_folder_without_a_manifest_is_an_app_of_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let package = Package::open(folder.path()).unwrap();
    assert!(!package.has_manifest);
    assert_eq!(package.manifest.name, "App");
    assert_eq!(package.manifest.author, "Anonymous");
    assert_eq!(package.run, None);
}

#[test]
fn broken_packages_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, prepare: &dyn Fn(&Path)| {
        let root = folder.path().join(name);
        fs::create_dir(&root).unwrap();
        prepare(&root);
        told(&Package::open(&root).unwrap_err()).replace(&folder.path().display().to_string(), "…")
    };
    let told = [
        told(&Package::open("/not/there").unwrap_err()),
        open("typo", &|root| {
            write(root, "meta/package.yaml", "name: a\ntitel: b\nauthor: c\n");
        }),
        open("settings", &|root| {
            write(root, "meta/windlass.yaml", "guest: linx\n");
        }),
        open("ports", &|root| {
            write(root, "meta/windlass.yaml", "ports:\n  - {guest: 70000}\n");
        }),
        open("memory", &|root| {
            write(root, "meta/windlass.yaml", "memory_mib: lots\n");
        }),
        open("rules", &|root| write(root, ".capstanignore", "/a\n!/b\n")),
        open("huge", &|root| {
            write(root, "meta/run.yaml", &"#".repeat(2 << 20));
        }),
        open("latin", &|root| {
            write(root, "meta/package.yaml", "");
            fs::write(root.join("meta/package.yaml"), b"name: caf\xe9\n").unwrap();
        }),
        open("device", &|root| {
            fs::create_dir(root.join("meta")).unwrap();
            symlink("/dev/zero", root.join("meta/package.yaml")).unwrap();
        }),
    ]
    .join("---\n");
    insta::assert_snapshot!(told);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        Just("yes".to_owned()),
        Just("1.0".to_owned()),
        Just("~".to_owned())
    ]
}

prop_compose! {
    fn settings()(
        guest in prop::option::of(prop::sample::select(GuestOs::ALL.to_vec())),
        root_fs in prop::option::of(prop::sample::select(RootFs::ALL.to_vec())),
        disk in prop::option::of(prop::sample::select(DiskKind::ALL.to_vec())),
        size_mib in prop::option::of(1_u32..100_000),
        memory_mib in prop::option::of(16_u32..100_000),
        vcpus in prop::option::of(1_u32..64),
        network in prop::option::of(any::<bool>()),
        ports in prop::collection::vec((prop::option::of(1_u16..), 1_u16.., any::<bool>()), 0..4),
        networks in prop::collection::vec("[a-z][a-z0-9-]{0,8}", 0..3),
        volumes in prop::collection::vec(("[a-z]{1,8}", prop::option::of("/[a-z/]{0,20}")), 0..3),
        configuration in prop::option::of("[a-z]{1,8}"),
        env in prop::collection::btree_map("[A-Z]{1,8}", text(), 0..4),
        command in prop::option::of("/[ -~]{0,20}[!-~]"),
        allow_changes in prop::option::of(any::<bool>()),
    ) -> BuildSettings {
        let ports = ports
            .into_iter()
            .map(|(host, guest, is_udp)| PortForward {
                host, guest, protocol: if is_udp { Protocol::Udp } else { Protocol::Tcp },
            })
            .collect();
        let volumes = volumes.into_iter().map(|(name, path)| VolumeSetting { name, path }).collect();
        let env = env.into_iter().rev().collect();
        BuildSettings {
            guest, root_fs, disk, size_mib, memory_mib, vcpus, network, ports, networks, volumes, configuration,
            env, command, allow_changes,
        }
    }
}

proptest! {
    #[test]
    fn settings_are_read_as_they_were_written(settings in settings()) {
        let text = settings.to_yaml().unwrap();
        let parsed = BuildSettings::parse(&text, "windlass.yaml")
            .map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(parsed.value, settings, "{}", text);
        prop_assert_eq!(parsed.notes, vec![]);
    }
}

#[test]
fn settings_are_saved_whole() {
    let folder = tempfile::tempdir().unwrap();
    let settings = BuildSettings {
        guest: Some(GuestOs::Linux),
        memory_mib: Some(256),
        env: vec![("GREETING".into(), "hello world".into())],
        ..BuildSettings::default()
    };
    settings.save(folder.path()).unwrap();
    settings.save(folder.path()).unwrap();
    assert_eq!(Package::open(folder.path()).unwrap().settings, settings);
    let names: Vec<_> = fs::read_dir(folder.path().join("meta"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["windlass.yaml"]);
}
