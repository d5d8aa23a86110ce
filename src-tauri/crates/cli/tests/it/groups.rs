//! Several machines as one, by a file: real guests on a network of their own.

use crate::guest::{get, session, until};
use crate::session::Session;

/// The names of a group's machines with their ids and states, in the order in which they start.
fn machines(session: &Session, group: &str) -> Vec<(String, String, String)> {
    let shown = session.json(&["group", "ps", group]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let machines = shown.as_array().unwrap().iter();
    machines
        .map(|it| (text(&it["name"]), text(&it["id"]), text(&it["state"])))
        .collect()
}

/// The page of the shop.
fn page(session: &Session) -> String {
    let shown = session.json(&["group", "ps", "shop"]);
    let machines = shown.as_array().unwrap();
    let shop = machines
        .iter()
        .find(|it| it["name"] == "shop-shop")
        .unwrap();
    let port = shop["ports"][0]["host"].as_u64().unwrap();
    until("the page", || get(u16::try_from(port).unwrap()))
}

#[test]
fn slow_five_services_of_one_image_find_each_other() {
    let session = session();
    session.done(&["sample", "create", "node-microservices"]);
    let folder = session.home().join("appliances/node-microservices");
    let folder = folder.to_str().unwrap();

    session.done(&["group", "up", folder]);
    let first = machines(&session, "shop");
    let names: Vec<_> = first.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names[4], "shop-shop", "it starts last");
    assert!(
        names.contains(&"shop-prices") && names.len() == 5,
        "{names:?}"
    );
    assert!(
        first.iter().all(|(.., state)| state == "running"),
        "{first:?}"
    );
    let images = || session.json(&["images"]).as_array().unwrap().len();
    assert_eq!(images(), 1, "one image serves all of them");
    let said = page(&session);
    assert!(said.contains("Rope") && said.contains("14.50"), "{said}");
    assert!(
        said.contains("★★★★★") && said.contains("<td>12</td>"),
        "{said}"
    );
    let logs = session.done(&["group", "logs", "shop"]).stdout;
    assert!(
        logs.contains("shop-reviews  reviews listens on port 8080"),
        "{logs}"
    );
    assert!(logs.contains("shop-stock    GET / 200"), "{logs}");

    // What runs as the file says is left alone; what is told something else is made anew, of the same image.
    let file = format!("{folder}/meta/windlass-group.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace("{ROLE: reviews}", "{ROLE: reviews, STARS: none}");
    assert_ne!(text, changed);
    std::fs::write(&file, changed).unwrap();
    session.done(&["group", "up", &file]);
    let second = machines(&session, "shop");
    let anew: Vec<_> = second.iter().filter(|it| !first.contains(it)).collect();
    assert_eq!(anew.len(), 1);
    assert_eq!(anew[0].0, "shop-reviews");
    assert_eq!(images(), 1);
    assert!(page(&session).contains("★★★★★"));

    // One that is gone is missed, and nothing else.
    session.done(&["machine", "kill", "shop-reviews"]);
    let said = page(&session);
    assert!(
        said.contains("no reviews") && said.contains("14.50"),
        "{said}"
    );

    session.done(&["group", "down", folder]);
    assert_eq!(session.json(&["instances"]), serde_json::json!([]));
    assert_eq!(session.json(&["group", "ps"]), serde_json::json!([]));
}

#[test]
fn slow_a_service_that_ends_or_stays_ill_keeps_the_others_from_starting() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    let group = |health: &str, command: &str| {
        let text = format!(
            "name: ill\nservices:\n  first: {{appliance: hello, guest: linux, command: {command}, health: {health}}}\n  \
             second: {{appliance: hello, guest: linux, command: /hello --sleep 250, depends_on: [first]}}\n"
        );
        session.write("windlass-group.yaml", &text);
    };
    let refused = || {
        let said = session.run(&["group", "up", "-q"]);
        assert_ne!(said.status, 0, "{}", said.stdout);
        let left: Vec<_> = machines(&session, "ill")
            .into_iter()
            .map(|it| it.0)
            .collect();
        assert_eq!(left, ["ill-first"]);
        session.done(&["group", "down", "ill"]);
        said.stderr
    };
    group("{tcp: 80}", "/hello --exit 3");
    let ended = refused();
    group("{console: never said, within: 3}", "/hello --sleep 250");
    let silent = refused();
    let has = |said: &str, words: &[&str]| {
        for words in words {
            assert!(said.contains(words), "{said}");
        }
    };
    has(
        &ended,
        &[
            "error: ill-first ended before it was healthy: It ended with status 3.\n",
            "caused by: It said last:\n",
            "argument     3\n",
            "hint: `windlassctl machine logs ill-first` shows what it said\n",
        ],
    );
    has(
        &silent,
        &[
            "error: ill-first was not healthy within 3 s\n",
            "hint: Give it more time in the group's file: `within: 600`, in seconds\n",
            "hint: Still running: ill-first; `windlassctl group down ill` stops them\n",
        ],
    );

    // Heard on the console, and then the next.
    group("{console: Hello from}", "/hello --sleep 250");
    session.done(&["group", "up"]);
    assert_eq!(machines(&session, "ill").len(), 2);
    session.done(&["group", "down"]);
}

/// A group of *hello* that sleeps, with one more line for its second service.
fn hellos(session: &Session, second: &str) {
    let text = format!(
        "name: pair\nservices:\n  first: {{appliance: hello, guest: linux, command: /hello --sleep 250, volumes: [{{name: kept, path: /data}}], \
         health: {{console: Hello from}}}}\n  second: {{appliance: hello, guest: linux, command: /hello --sleep 250, depends_on: [first]{second}}}\n"
    );
    session.write("windlass-group.yaml", &text);
}

#[test]
fn what_cannot_be_is_found_before_anything_starts() {
    let session = Session::new();
    session.done(&["sample", "create", "hello"]);
    let refused = |text: &str| {
        session.write(
            "windlass-group.yaml",
            &format!("name: wrong\nservices:\n{text}"),
        );
        let said = session.run(&["group", "up", "-q"]);
        assert_ne!(said.status, 0, "{}", said.stdout);
        assert_eq!(session.json(&["group", "ps"]), serde_json::json!([]));
        said.stderr
            .replace(&session.folder().display().to_string(), "HERE")
    };
    let all = [
        "  a: {appliance: hello}\n  b: {appliance: nothing}\n",
        "  a: {appliance: hello, ports: [{guest: 80, host: 8080}]}\n  b: {appliance: hello, ports: [{guest: 81, host: 8080}]}\n",
        "  a: {appliance: hello, volumes: [{name: data, path: /x}]}\n  b: {appliance: hello, volumes: [{name: data, path: /y}]}\n",
        "  a: {appliance: hello, depends_on: [b]}\n  b: {appliance: hello, depends_on: [a]}\n",
    ];
    insta::assert_snapshot!(all.map(refused).join("---\n"));
}

#[test]
fn slow_a_killed_start_is_gone_on_with_and_volumes_go_on_request_alone() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    hellos(&session, ", health: {console: never said}");
    let mut up = session.process(&["group", "up", "-q"]).spawn().unwrap();
    until("the second machine", || {
        let all = session.json(&["instances"]);
        (all.as_array().unwrap().len() == 2).then_some(())
    });
    // SIGKILL: nothing is left to clear up after it.
    up.kill().unwrap();
    up.wait().unwrap();
    let first = machines(&session, "pair");

    hellos(&session, ", health: {console: Hello from}");
    session.done(&["group", "up"]);
    assert_eq!(machines(&session, "pair"), first, "what ran goes on");
    session.done(&["group", "up"]);
    assert_eq!(machines(&session, "pair"), first);
    let shown = session.done(&["group", "show", "pair"]).stdout;
    insta::assert_snapshot!(shown);

    let volumes = || session.json(&["volume", "list"]).as_array().unwrap().len();
    session.done(&["group", "down"]);
    assert_eq!(session.json(&["instances"]), serde_json::json!([]));
    assert_eq!(volumes(), 1);
    session.done(&["group", "down", "--volumes"]);
    assert_eq!(volumes(), 0);
}

/// Some minutes of emulation, and 210 MiB of the Python package index: where it is asked for.
#[test]
fn slow_hdfs_keeps_a_file_when_a_data_node_is_lost() {
    if std::env::var_os("WINDLASS_TEST_HDFS").is_none() {
        eprintln!("skipped: WINDLASS_TEST_HDFS is not set");
        return;
    }
    let session = session();
    session.done(&["sample", "create", "hdfs"]);
    let folder = session.home().join("appliances/hdfs");
    let folder = folder.to_str().unwrap();
    let figure = |label: &str| {
        let shown = session.json(&["group", "show", "hdfs"]);
        let figures = shown["figures"].as_array().unwrap().iter();
        let mut figures = figures.filter(|it| it["label"] == label);
        let value = figures
            .next()
            .and_then(|it| it["value"].as_str().map(str::to_owned));
        value.unwrap_or_default()
    };
    let shell = |machine: &str, words: &[&str]| {
        let mut all = vec![
            "machine",
            "exec",
            machine,
            "--",
            "/bin/bash",
            "/hadoop/hdfs",
            "fs",
        ];
        all.extend(words);
        session.process(&all)
    };
    let put = |machine: &str, path: &str, content: &[u8]| {
        let mut child = shell(machine, &["-put", "-", path])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), content).unwrap();
        assert!(child.wait().unwrap().success());
    };
    let read = |machine: &str| {
        let output = shell(machine, &["-cat", "/file"]).output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    let mut number = 1_u64;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        number.to_be_bytes()
    })
    .take((64 << 20) / 8)
    .flatten()
    .collect();

    session.done(&["group", "up", folder]);
    assert_eq!(figure("Live data nodes"), "2");
    put("hdfs-client", "/file", &content);
    assert!(
        read("hdfs-data-2") == content,
        "it is the same through another machine"
    );
    assert_eq!(figure("Blocks"), "4");

    session.done(&["machine", "kill", "hdfs-data-2"]);
    assert!(
        read("hdfs-client") == content,
        "the other one has all of it"
    );
    until("the name node to miss it", || {
        (figure("Dead data nodes") == "1").then_some(())
    });

    // Told something else, machines are made anew of the image that is there, and their volumes keep what they hold.
    let before = machines(&session, "hdfs");
    let images = session.json(&["images"]);
    let file = format!("{folder}/meta/windlass-group.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace(
        "{NAMENODE: namenode, REPLICATION: \"2\"}",
        "{NAMENODE: namenode, REPLICATION: \"1\"}",
    );
    assert_ne!(text, changed);
    std::fs::write(&file, changed).unwrap();
    session.done(&["group", "up", folder]);
    assert_eq!(session.json(&["images"]), images, "no image was built");
    let kept: Vec<_> = machines(&session, "hdfs")
        .into_iter()
        .filter(|it| before.contains(it))
        .map(|it| it.0)
        .collect();
    assert_eq!(kept, ["hdfs-data-1"], "it was told nothing else, and ran");
    put("hdfs-client", "/once", b"once");
    let said = shell("hdfs-client", &["-stat", "%r", "/once", "/file"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        "1\n2\n",
        "what is new lies on one data node"
    );
    session.done(&["group", "down", "hdfs", "--volumes"]);
    assert_eq!(session.json(&["volume", "list"]), serde_json::json!([]));
}
