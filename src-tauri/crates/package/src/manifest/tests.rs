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
        "name: My App!\ntitle: b\nauthor: c\nrequires: [x]\nlicense: MIT\nx-icon: y\n",
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
        require in prop::collection::vec("[a-z][a-z0-9.-]{0,10}", 0..4),
        binary in prop::collection::vec(("[a-z]{1,4}[0-9]", "[ -~]{1,8}"), 0..2),
    ) {
        let mut binary = binary;
        binary.dedup_by(|one, other| one.0 == other.0);
        let manifest = Manifest { name, author: title.clone(), title, version, require, binary, ..Manifest::default() };
        let text = manifest.to_yaml().unwrap();
        let parsed = Manifest::parse(&text, FILE).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(parsed.value, manifest);
    }
}
