//! Clouds in a terminal, on the OpenStack that `./dev test` starts.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::session::{Said, Session};

/// The lab's clouds.yaml, where the lab runs. `none` is how `./dev test quick` says that it does not.
fn lab() -> Option<PathBuf> {
    let said = std::env::var_os("WINDLASS_TEST_CLOUDS");
    let ci = std::env::var_os("CI").is_some_and(|it| it != "false");
    assert!(
        said.is_some() || !ci,
        "WINDLASS_TEST_CLOUDS is not set: ./dev test starts the OpenStack that this test needs"
    );
    let path = said.filter(|it| it != "none").map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: ./dev test starts the OpenStack that this test needs, as root");
    }
    path
}

fn give(session: &Session, words: &[&str]) -> Said {
    let output = session
        .process(words)
        .env("WINDLASS_SECRETS", "file")
        .env("WINDLASS_PASSPHRASE", "open sesame")
        .output()
        .unwrap();
    Said {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap_or(-1),
    }
}

fn json(session: &Session, words: &[&str]) -> Value {
    let said = give(session, words);
    assert_eq!(said.status, 0, "{words:?}\n{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

/// What the client of OpenStack's own says.
fn openstack(clouds: &Path, words: &[&str]) -> Value {
    let output = std::process::Command::new("openstack")
        .args(["--os-cloud", "lab-demo"])
        .args(words)
        .args(["-f", "json"])
        .env("OS_CLIENT_CONFIG_FILE", clouds)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names(list: &Value, key: &str) -> Vec<String> {
    let all = list.as_array().unwrap().iter();
    all.filter_map(|it| it[key].as_str().map(str::to_owned))
        .collect()
}

/// All files below a folder that have these bytes in them.
fn holding(folder: &Path, secret: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, secret));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes
                .windows(secret.len())
                .any(|it| it == secret.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn an_image_is_deployed_read_back_and_taken_away() {
    let Some(clouds) = lab() else { return };
    let session = Session::new();
    let file = clouds.display().to_string();
    let secret = std::fs::read_to_string(&clouds).unwrap();
    let of_demo = secret.split("lab-demo:").nth(1).unwrap();
    let secret = of_demo
        .split("password: \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();

    let said = give(&session, &["cloud", "import", &file, "lab-demo"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    let check = json(&session, &["cloud", "test", "lab-demo", "--json"]);
    assert_eq!(check["ok"], true, "{check:#}");

    // The lab's own image has these bytes already.
    let guest = clouds.with_file_name("guest").join("lab-guest.qcow2");
    let there = json(
        &session,
        &[
            "image",
            "push",
            &guest.display().to_string(),
            "-c",
            "lab-demo",
            "--json",
        ],
    );
    let known = names(
        &openstack(&clouds, &["image", "list", "--name", "lab-guest"]),
        "ID",
    );
    assert_eq!(known, [there.as_str().unwrap()]);

    let name = format!("cli-{}", std::process::id());
    let servers = json(
        &session,
        &[
            "deploy",
            "lab-guest",
            "--remote",
            "--cloud",
            "lab-demo",
            "--network",
            "lab-net",
            "-n",
            &name,
            "-c",
            "2",
            "-p",
            "8080",
            "--json",
        ],
    );
    let mut made = names(&servers, "name");
    made.sort();
    assert_eq!(made, [format!("{name}-1"), format!("{name}-2")]);
    let deployment = servers[0]["deployment"].as_str().unwrap().to_owned();
    let mut seen = names(&openstack(&clouds, &["server", "list"]), "Name");
    seen.retain(|it| it.starts_with(&name));
    seen.sort();
    assert_eq!(seen, made);
    let rules = openstack(&clouds, &["security", "group", "rule", "list", &name]);
    assert!(
        names(&rules, "Port Range").contains(&"8080:8080".to_owned()),
        "{rules:#}"
    );

    let said = give(
        &session,
        &["cleanup", "lab-demo", "--deployment", &deployment],
    );
    assert_eq!(said.status, 0, "{}", said.stderr);
    let left = names(&openstack(&clouds, &["server", "list"]), "Name");
    assert!(!left.iter().any(|it| it.starts_with(&name)), "{left:?}");
    let left = names(&openstack(&clouds, &["security", "group", "list"]), "Name");
    assert!(!left.contains(&name), "{left:?}");

    // The database, the jobs' logs and all else that is kept.
    assert_eq!(holding(&session.home(), &secret), [] as [PathBuf; 0]);
    for words in [["cloud", "list", "--json"], ["job", "list", "--json"]] {
        assert!(!give(&session, &words).stdout.contains(&secret));
    }
    let out = session.folder().join("clouds.yaml");
    let said = give(&session, &["cloud", "export", &out.display().to_string()]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert_eq!(holding(&session.folder(), &secret), [] as [PathBuf; 0]);
}
