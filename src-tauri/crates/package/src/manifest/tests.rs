use proptest::prelude::*;

use super::*;

fn told(text: &str) -> String {
    match Manifest::parse(text, FILE) {
        Ok(parsed) => {
            let notes: Vec<String> = parsed
                .notes
                .iter()
                .map(|note| format!("{note}\n"))
                .collect();
            let notes = notes.concat();
            format!("{}{notes}", parsed.value.to_yaml().unwrap())
        }
        Err(error) => format!("{error}\nhint: {}\n", error.hint().unwrap_or_default()),
    }
}

#[test]
fn manifests_and_their_mistakes() {
    let texts = [
        "name: app.node\ntitle: Node\nauthor: Jane\n",
        "name: a\ntitle: \"yes\"\nauthor: 1\nversion: 1.10\nrequire:\n- osv.cli\n- node-20\nbinary:\n  x: /x\ncreated: 2017-09-14T21:08:24Z\nplatform: Ubuntu-14.04\n",
        "name: a\ntitle: b\nauthor: c\nrequire: node-20\ncreated: 2017-09-14 21:08\n",
        "nmae: a\ntitle: b\nauthor: c\n",
        "name: a\ntitle:\nauthor: c\n",
        "name: \"\"\ntitle: b\nauthor: c\n",
        "name: a\nauthor: c\n",
        "name: [a]\ntitle: b\nauthor: c\n",
        "name: a\ntitle: b\nauthor: c\nrequire: {node: 20}\n",
        "name: a\ntitle: b\nauthor: c\nrequire: [../../etc]\n",
        "name: My App!\ntitle: b\nauthor: c\nrequires: [x]\nlicens: MIT\nx-icon: y\n",
        "name: a\ntitle: b\nauthor: c\nlicense: MIT OR Apache-2.0\nicon: meta/icon.png\nrequire: [node, db]\nx-versions: {node: \">=18, <21\", db: \"*\", gone: ^1}\n",
        "name: a\ntitle: b\nauthor: c\nrequire: [\"node >=18\", \"old name\"]\n",
        "name: a\ntitle: b\nauthor: c\nrequire: [\"node >=x\"]\n",
        "name: a\ntitle: b\nauthor: c\nrequire: [node]\nx-versions: {node: latest}\n",
        "name: a\ntitle: b\nauthor: c\nicon: ../../etc/passwd\n",
        "name: a\ntitle: b\nauthor: c\nx-environment:\n- name: PORT\n  type: port\n  default: 8080\n  description: Where it listens\n  required: yes\n- {name: LOG, type: choice, choices: [info, debug], default: info}\n- {name: KEY, type: secret}\n- name: FREE\n",
        "name: a\ntitle: b\nauthor: c\nx-environment: {PORT: 80}\n",
        "name: a\ntitle: b\nauthor: c\nx-environment:\n- {name: PORT, type: prot}\n",
        "name: a\ntitle: b\nauthor: c\nx-environment:\n- {name: PORT, type: port, default: 70000}\n",
        "name: a\ntitle: b\nauthor: c\nx-environment:\n- {name: LOG, type: choice}\n",
        "name: a\ntitle: b\nauthor: c\nx-environment:\n- {name: A B}\n",
        "name: a\ntitle: b\nauthor: c\nx-environment:\n- {name: A}\n- {name: A}\n",
    ];
    let told = texts.map(told).join("---\n");
    insta::assert_snapshot!(told);
}

#[test]
fn names_are_made_valid() {
    for (text, name) in [
        ("node-20", "node-20"),
        ("My Service (old)", "my-service-old"),
        ("Größe", "gr-e"),
        ("日本", "package"),
        ("..", "package"),
        (".hidden", "hidden"),
        ("a--b__c", "a-b__c"),
    ] {
        assert_eq!(crate::name_from(text), name);
    }
}

#[test]
fn values_are_objected_to() {
    let choice = VariableKind::Choice(vec!["a".into(), "b".into()]);
    for (kind, good, bad) in [
        (VariableKind::Text, "any thing", "two\nlines"),
        (VariableKind::Integer, "-17", "1.5"),
        (VariableKind::Number, "-1.5e3", "inf"),
        (VariableKind::Boolean, "true", "yes"),
        (choice, "b", "c"),
        (VariableKind::Path, "/data", "data"),
        (VariableKind::Port, "65535", "0"),
        (VariableKind::Secret, "s3cret", "\0"),
    ] {
        assert_eq!(kind.objection(good), None);
        assert!(kind.objection(bad).is_some(), "{kind:?}");
    }
    let needed = EnvironmentVariable {
        name: "KEY".into(),
        required: true,
        ..EnvironmentVariable::default()
    };
    assert_eq!(needed.objection(Some("")).unwrap(), "has to be set");
    assert_eq!(needed.objection(Some("x")), None);
}

fn variable() -> impl Strategy<Value = EnvironmentVariable> {
    let kind = prop_oneof![
        Just((VariableKind::Text, "two words")),
        Just((VariableKind::Integer, "17")),
        Just((VariableKind::Number, "1.50")),
        Just((VariableKind::Boolean, "false")),
        Just((
            VariableKind::Choice(vec!["yes".into(), "a: b".into()]),
            "yes"
        )),
        Just((VariableKind::Path, "/data")),
        Just((VariableKind::Port, "080")),
        Just((VariableKind::Secret, "~")),
    ];
    let description = prop::option::of("[ -~]{1,20}");
    (
        "[A-Z]{1,6}",
        kind,
        any::<bool>(),
        description,
        any::<bool>(),
    )
        .prop_map(
            |(name, (kind, default), has_default, description, required)| EnvironmentVariable {
                name,
                kind,
                default: has_default.then(|| default.to_owned()),
                description,
                required,
            },
        )
}

proptest! {
    #[test]
    fn any_text_gives_a_valid_name(text in "\\PC{0,150}") {
        let name = crate::name_from(&text);
        prop_assert!(crate::is_valid_name(&name), "{}", name);
    }

    #[test]
    fn what_is_written_is_read_as_the_same(
        name in "[a-z][a-z0-9.-]{0,10}",
        title in "[!-~][ -~äß\n]{0,30}",
        version in prop::option::of("[0-9]{1,3}(\\.[0-9]{1,3}){0,2}"),
        require in prop::collection::vec(("[a-z][a-z0-9.-]{0,10}", prop::sample::select(vec!["*", "1.2", ">=18, <21"])), 0..4),
        binary in prop::collection::vec(("[a-z]{1,4}[0-9]", "[ -~]{1,8}"), 0..2),
        license in prop::option::of("[ -~]{1,20}"),
        icon in prop::option::of("/?[a-z ]{1,8}/[a-z]{1,4}\\.png"),
        environment in prop::collection::vec(variable(), 0..4),
    ) {
        let (mut binary, mut environment, mut require) = (binary, environment, require);
        binary.dedup_by(|one, other| one.0 == other.0);
        environment.sort_by(|one, other| one.name.cmp(&other.name));
        environment.dedup_by(|one, other| one.name == other.name);
        require.sort();
        require.dedup_by(|one, other| one.0 == other.0);
        let requirements: Vec<Requirement> = require
            .into_iter()
            .map(|(name, versions)| Requirement { name, versions: Constraint::parse(versions).unwrap() })
            .collect();
        let mut manifest = Manifest { name, author: title.clone(), title, version, binary, license, icon, environment, ..Manifest::default() };
        manifest.set_requirements(requirements.clone());
        prop_assert_eq!(&manifest.requirements(), &requirements);
        let text = manifest.to_yaml().unwrap();
        let parsed = Manifest::parse(&text, FILE).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(parsed.value, manifest);
        prop_assert_eq!(parsed.notes, vec![]);
    }
}
