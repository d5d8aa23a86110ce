use proptest::prelude::*;

use super::*;

/// What is told of a run file: its mistake, or what it says, with the notes.
fn told(text: &str) -> String {
    match RunFile::parse(text, "meta/run.yaml") {
        Ok(parsed) => {
            let notes: Vec<String> = parsed
                .notes
                .iter()
                .map(|note| format!("{note}\n"))
                .collect();
            let notes = notes.concat();
            format!("{}{notes}", parsed.value.to_yaml().unwrap())
        }
        Err(error) => {
            let hint = error
                .hint()
                .map(|hint| format!("hint: {hint}\n"))
                .unwrap_or_default();
            format!("{error}\n{hint}")
        }
    }
}

#[test]
fn what_capstan_reads_is_read() {
    let texts = [
        "runtime: native\nconfig_set:\n  ui:\n    bootcmd: /hello.so\nconfig_set_default: ui\n",
        "runtime: native\nconfig_set:\n  b: {bootcmd: /b, env: {PORT: 8000, ON: yes, EMPTY: }}\n  a: {base: \"openjdk8-zulu-full:java\"}\nconfig_set_default: b, a\n",
        "runtime: node\nconfig_set:\n  one:\n    main: /server.js\n    node_args: [--inspect, --stack-size=10]\n    args:\n      - localhost\n      - 8000\n    shell: false\n  two: {shell: true}\n",
        "runtime: java\nconfig_set:\n  one:\n    base: \"openjdk7:java\"\n    main: main.Hello\n    xms: 512m\n    xmx: 1g\n    classpath: [/, /lib]\n    jvm_args: [-Dx=1]\n    args: [a]\n  two:\n    main: /app.jar\n",
        "runtime: python\nconfig_set:\n  one:\n    main: /app.py\n    python_args: [-O]\n    args: [a b, \"1.10\"]\n    env: {HOME: /}\n",
        "# a comment\nruntime: native\nconfig_set:\n  x:\n    bootcmd: /x\n    x-bootcmd: {linux: /usr/bin/x, osv: /x.so}\n",
    ];
    let told = texts.map(told).join("---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn mistakes_are_shown_with_what_was_meant() {
    let texts = [
        "",
        "just text",
        "- a\n- list\n",
        "runtim: native\nconfig_set: {a: {bootcmd: /a}}\n",
        "runtime: nodejs\nconfig_set:\n  a:\n    main: /a.js\n",
        "runtime: natve\nconfig_set: {}\n",
        "runtime: cobol\nconfig_set: {}\n",
        "runtime: native\n",
        "runtime: native\nconfig_set:\n",
        "runtime: native\nconfig_set: {}\n",
        "runtime: native\nconfig-set:\n  a: {bootcmd: /a}\n",
        "runtime: native\nconfig_set:\n  default:\n    boot_cmd: /a\n",
        "runtime: native\nconfig_set:\n  default:\n    env: {A: b}\n",
        "runtime: native\nconfig_set:\n  default:\n",
        "runtime: native\nconfig_set:\n  default: /a\n",
        "runtime: native\nconfig_set:\n  a: {bootcmd: [/a, b]}\n",
        "runtime: native\nconfig_set:\n  a: {bootcmd: /a, env: [A=b]}\n",
        "runtime: native\nconfig_set:\n  a: {bootcmd: /a, env: {\"A B\": c}}\n",
        "runtime: native\nconfig_set:\n  a: {base: openjdk8}\n",
        "runtime: native\nconfig_set:\n  ../a: {bootcmd: /a}\n",
        "runtime: native\nconfig_set:\n  a$b: {bootcmd: /a}\n",
        "runtime: node\nconfig_set:\n  server:\n    shell: maybe\n",
        "runtime: node\nconfig_set:\n  server: {}\n",
        "runtime: java\nconfig_set:\n  server: {base: \"openjdk7:java\"}\n",
        "runtime: native\nconfig_set:\n  server: {bootcmd: /a}\nconfig_set_default: serve\n",
        "runtime: native\nconfig_set:\n  server: {bootcmd: /a}\nconfig_set_default: [server, db]\n",
        "runtime: native\nconfig_set:\n  a: {bootcmd: /a, x-bootcmd: {windows: b}}\n",
    ];
    let told = texts.map(told).join("---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn unknown_keys_are_noted_and_passed_over() {
    let told = told(
        "runtime: python\nauthor: me\nconfig_set:\n  a:\n    main: /a.py\n    node_args: [-x]\n    arg: [1]\n    x-mine: 1\nconfig_set_defaults: a\n",
    );
    insta::assert_snapshot!(told);
}

fn text() -> impl Strategy<Value = String> {
    // What YAML might take for something else comes often.
    prop_oneof![
        "[ -~]{1,12}",
        Just("yes".to_owned()),
        Just("1.10".to_owned()),
        Just("~".to_owned()),
        Just("null".to_owned()),
        Just("- a".to_owned()),
        Just("a: b".to_owned()),
        Just("# no comment".to_owned()),
        Just("äöü 🦀 \u{1F}".to_owned()),
        Just(" both ends ".to_owned()),
        Just("'\"\\".to_owned()),
    ]
}

fn settings(runtime: Runtime) -> BoxedStrategy<Settings> {
    let visible = || text().prop_filter("not blank", |text| !text.trim().is_empty());
    let list = || prop::collection::vec(text(), 0..3);
    match runtime {
        Runtime::Native => (visible(), prop::option::of(text()))
            .prop_map(|(command, linux)| Settings::Native {
                bootcmd: Some(command),
                by_guest: linux
                    .into_iter()
                    .map(|command| (GuestOs::Linux, command))
                    .collect(),
            })
            .boxed(),
        Runtime::Node => (visible(), list(), list(), any::<bool>())
            .prop_map(|(main, node_args, args, shell)| Settings::Node {
                main: Some(main),
                node_args,
                args,
                shell,
            })
            .boxed(),
        Runtime::Java => (visible(), prop::option::of(text()), list(), list(), list())
            .prop_map(|(main, xms, classpath, jvm_args, args)| Settings::Java {
                main: Some(main),
                xmx: xms.clone(),
                xms,
                classpath,
                jvm_args,
                args,
            })
            .boxed(),
        Runtime::Python => (visible(), list(), list(), any::<bool>())
            .prop_map(|(main, python_args, args, shell)| Settings::Python {
                main: Some(main),
                python_args,
                args,
                shell,
            })
            .boxed(),
    }
}

fn run_file() -> impl Strategy<Value = RunFile> {
    (0..4_usize).prop_flat_map(|at| {
        let runtime = Runtime::ALL[at];
        let env = prop::collection::btree_map("[A-Z_]{1,6}", text(), 0..4);
        let base = prop::option::of(("[a-z]{1,5}", "[a-z]{1,5}"));
        let configuration = (settings(runtime), env, base);
        prop::collection::btree_map("[a-z][a-z0-9_-]{0,8}", configuration, 1..4).prop_map(
            move |set| {
                let config_set: Vec<RunConfiguration> = set
                    .into_iter()
                    .rev()
                    .map(|(name, (settings, env, base))| RunConfiguration {
                        name,
                        settings,
                        env: env.into_iter().collect(),
                        base: base.map(|(package, configuration)| Base {
                            package,
                            configuration,
                        }),
                    })
                    .collect();
                let config_set_default = config_set
                    .iter()
                    .skip(1)
                    .map(|set| set.name.clone())
                    .collect();
                RunFile {
                    runtime,
                    config_set,
                    config_set_default,
                }
            },
        )
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(run in run_file()) {
        let text = run.to_yaml().unwrap();
        let parsed = RunFile::parse(&text, "run.yaml").map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(parsed.value, run, "{}", text);
        prop_assert_eq!(parsed.notes, vec![]);
    }

    #[test]
    fn no_text_panics(text in "(runtime|config_set|main|: |\n|  |native|node|[a-z{}\\[\\],&*])*") {
        let _ = RunFile::parse(&text, "run.yaml").map_err(|error| error.to_string());
    }
}
