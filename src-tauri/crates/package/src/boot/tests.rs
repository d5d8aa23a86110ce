use std::fmt::Write as _;
use std::path::PathBuf;

use windlass_guest::CommandLine;
use windlass_guest::command_line::script;

use super::*;
use crate::{BuildSettings, Ignore, Manifest, RunFile};

fn package(name: &str, run: &str) -> Package {
    Package {
        root: PathBuf::from("/nowhere").join(name),
        manifest: Manifest {
            name: name.into(),
            ..Manifest::default()
        },
        has_manifest: true,
        run: (!run.is_empty()).then(|| RunFile::parse(run, "meta/run.yaml").unwrap().value),
        settings: BuildSettings::default(),
        ignore: Ignore::default(),
        readme: None,
        notes: Vec::new(),
    }
}

const NODE: &str = "
runtime: native
config_set:
  node:
    bootcmd: /lib64/ld-linux-x86-64.so.2 /usr/bin/node $NODE_ARGS $MAIN $ARGS
    x-bootcmd: {linux: /usr/bin/node $NODE_ARGS $MAIN $ARGS}
";

const JAVA: &str = "
runtime: native
config_set:
  java: {bootcmd: /java.so -Xms$XMS -Xmx$XMX -cp $CLASSPATH $JVM_ARGS $MAIN $ARGS}
";

/// What a guest is told, as a transcript: command line, scripts, findings; or why not.
fn told(layers: &[&Package], guest: GuestOs, settings: &BuildSettings) -> String {
    let plan = match plan(layers, guest, settings) {
        Ok(plan) => plan,
        Err(error) => {
            let hint = error.hint().unwrap_or_default();
            let Error::Boot(error) = error else {
                panic!("{error}")
            };
            let source = std::error::Error::source(&error)
                .map(|source| format!(": {source}"))
                .unwrap_or_default();
            return format!("error: {error}{source}\nhint: {hint}\n");
        }
    };
    CommandLine::parse(&plan.command_line).unwrap();
    let mut text = format!("{}\n", plan.command_line);
    for script in &plan.scripts {
        script::parse(&script.content).unwrap();
        write!(text, "/{}: {}", script.path, script.content).unwrap();
    }
    for finding in &plan.findings {
        writeln!(text, "{finding}").unwrap();
    }
    text
}

fn on_osv(layers: &[&Package]) -> String {
    told(layers, GuestOs::Osv, &BuildSettings::default())
}

#[test]
fn a_node_service_on_both_guests() {
    let node = package("node-20", NODE);
    let app = package(
        "app",
        "runtime: node\nconfig_set:\n  server:\n    main: /my server.js\n    args: [--greeting, hello world, \"a;b\"]\n    env: {GREETING: hello world, PORT: 80}\n",
    );
    let told: Vec<String> = GuestOs::ALL
        .iter()
        .map(|guest| told(&[&node, &app], *guest, &BuildSettings::default()))
        .collect();
    insta::assert_snapshot!(told.join("---\n"));
}

#[test]
fn what_a_runtime_says_becomes_words() {
    let java = package("openjdk8-zulu-compact1", JAVA);
    let node = package("node-20", NODE);
    let python = package(
        "python-3.11",
        "runtime: native\nconfig_set:\n  python: {bootcmd: /usr/bin/python3.11 $PYTHON_ARGS $MAIN $ARGS, env: {PYTHONHOME: /usr}}\n",
    );
    let texts = [
        "runtime: node\nconfig_set:\n  a: {shell: true}\n",
        "runtime: node\nconfig_set:\n  a: {main: /a.js, node_args: [--inspect], args: [one]}\n",
        "runtime: node\nconfig_set:\n  a: {main: /a.js, node_args: [--inspect, --trace-gc], args: [one, two]}\n",
        "runtime: java\nconfig_set:\n  a: {main: /a.jar}\n",
        "runtime: java\nconfig_set:\n  a: {main: Main, xms: 64m, xmx: 1g, classpath: [/, /lib], jvm_args: [-Da=b], args: [x, y]}\n",
        "runtime: python\nconfig_set:\n  a: {main: /a.py, python_args: [-O, -u], base: \"python-2.7:python\"}\n",
    ];
    let told: Vec<String> = texts
        .iter()
        .map(|text| on_osv(&[&java, &node, &python, &package("app", text)]))
        .collect();
    insta::assert_snapshot!(told.join("---\n"));
}

#[test]
fn what_runs_when() {
    let base = package(
        "base",
        "runtime: native\nconfig_set:\n  low: {bootcmd: /low}\n  high: {bootcmd: /high}\nconfig_set_default: low, high\n",
    );
    let plain = package("data", "");
    let two = package(
        "two",
        "runtime: native\nconfig_set:\n  a: {bootcmd: /a}\n  b: {bootcmd: /b &}\nconfig_set_default: b,a\n",
    );
    let undecided = package(
        "undecided",
        "runtime: native\nconfig_set:\n  a: {bootcmd: /a}\n  b: {bootcmd: /b}\n",
    );
    let usual = package(
        "usual",
        "runtime: native\nconfig_set:\n  a: {bootcmd: /a}\n  default: {bootcmd: /d}\n",
    );
    let settings = |configuration: Option<&str>, command: Option<&str>| BuildSettings {
        configuration: configuration.map(str::to_owned),
        command: command.map(str::to_owned),
        env: vec![
            ("GREETING".into(), "hello world".into()),
            ("EMPTY".into(), String::new()),
        ],
        ..BuildSettings::default()
    };
    let osv = GuestOs::Osv;
    let told = [
        on_osv(&[&base, &plain]),
        on_osv(&[&base, &two]),
        on_osv(&[&base, &undecided]),
        on_osv(&[&undecided]),
        on_osv(&[&usual]),
        on_osv(&[&plain]),
        told(&[&base, &undecided], osv, &settings(Some("b, low"), None)),
        told(&[&base, &undecided], osv, &settings(Some("hihg"), None)),
        told(
            &[&base, &undecided],
            osv,
            &settings(Some("b"), Some("--cwd=/x /prog \"a b\"; /other")),
        ),
        told(&[&plain], osv, &settings(None, Some("; /prog"))),
    ]
    .join("---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn what_cannot_be_booted_is_told() {
    let circle = package(
        "circle",
        "runtime: native\nconfig_set:\n  a: {base: \"circle:b\"}\n  b: {base: \"circle:c\"}\n  c: {base: \"circle:a\"}\nconfig_set_default: a\n",
    );
    let lonely = package("lonely", "runtime: node\nconfig_set:\n  a: {main: /a.js}\n");
    let wrong = package(
        "wrong",
        "runtime: native\nconfig_set:\n  a: {base: \"lonely:b\"}\nconfig_set_default: a\n",
    );
    let broken = package(
        "broken",
        "runtime: native\nconfig_set:\n  a: {bootcmd: \"; ; /x\"}\n",
    );
    let half = package(
        "half",
        "runtime: native\nconfig_set:\n  a: {bootcmd: /a}\n  b: {base: \"gone:b\"}\nconfig_set_default: a\n",
    );
    let settings = |name: &str, value: &str| BuildSettings {
        env: vec![(name.into(), value.into())],
        ..BuildSettings::default()
    };
    let told = [
        on_osv(&[&circle]),
        on_osv(&[&lonely]),
        on_osv(&[&lonely, &wrong]),
        on_osv(&[&broken]),
        on_osv(&[&half]),
        told(&[&half], GuestOs::Osv, &settings("A B", "c")),
        told(&[&half], GuestOs::Osv, &settings("A", "two\nlines")),
    ]
    .join("---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn names_and_variables_that_collide() {
    let node = package("node-20", NODE);
    let below = package(
        "below",
        "runtime: native\nconfig_set:\n  server: {bootcmd: /below}\n",
    );
    let app = package(
        "app",
        "runtime: node\nconfig_set:\n  server: {main: /a.js, env: {PORT: 1, SAME: x}}\n  worker: {main: /b.js, env: {PORT: 2, SAME: x}}\nconfig_set_default: server,worker\n",
    );
    insta::assert_snapshot!(on_osv(&[&node, &below, &app]));
}

#[test]
fn settings_override_what_a_runtime_says() {
    let node = package("node-20", NODE);
    let app = package(
        "app",
        "runtime: node\nconfig_set:\n  server: {main: /a.js, args: [one, two]}\n",
    );
    let settings = BuildSettings {
        env: vec![("MAIN".into(), "/other.js".into())],
        ..BuildSettings::default()
    };
    insta::assert_snapshot!(told(&[&node, &app], GuestOs::Linux, &settings));
}
