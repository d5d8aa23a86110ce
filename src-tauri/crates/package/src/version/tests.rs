use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

#[test]
fn versions_have_an_order() {
    let ascending = [
        "0",
        "0.0.1",
        "0.9",
        "0.10-1",
        "0.10-alpha",
        "0.10-alpha.1",
        "0.10-rc1",
        "0.10",
        "0.10+1",
        "0.10.0.1",
        "1-rc",
        "1",
        "1.2.3",
        "20.04",
        "999.999.999",
        "2024.11.22.5",
    ];
    for pair in ascending.windows(2) {
        assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
    }
    assert_eq!(version("1.2"), version("v1.2.0.0"));
    assert_eq!(version(" 1.2 ").as_str(), "1.2");
    for text in [
        "",
        "v",
        "1.",
        ".1",
        "1..2",
        "-1",
        "+1",
        "1-",
        "8u292",
        "1:3.11",
        "99999999999999999999",
        "1.é",
    ] {
        assert!(Version::parse(text).is_err(), "{text}");
    }
}

#[test]
fn constraints_allow_what_the_table_says() {
    let versions = [
        "0.2.3", "0.2.9", "0.3", "1-rc1", "1", "1.2-rc1", "1.2", "1.2.3", "1.2.10", "1.3", "1.10",
        "2-rc1", "2", "2.0.1", "20.11.1",
    ];
    let constraints = [
        "*",
        "1",
        "1.2",
        "1.2.*",
        "=1.2.3",
        "==1.2.0",
        "!=1.2.3",
        ">1.2",
        ">=1.2",
        "<2",
        "<=2.0.1",
        "^1.2",
        "^0.2.3",
        "^0",
        "~1.2.3",
        "~1",
        ">=1, <2",
        ">= 18 , < 21",
        "<1 || >=20",
        "1.2-rc1",
        ">=2-rc1, <2",
        "<1, >2",
    ];
    let mut told = String::new();
    for text in constraints {
        let constraint = Constraint::parse(text).unwrap();
        let allowed: Vec<&str> = versions
            .into_iter()
            .filter(|text| constraint.allows(&version(text)))
            .collect();
        writeln!(told, "{text:>12}: {}", allowed.join(" ")).unwrap();
    }
    for text in ["1.x", ">", "=>1", "^*", "1,,2", "1 2", "||", "1-rc.*"] {
        let error = Constraint::parse(text).unwrap_err();
        writeln!(told, "{text:>12}: {error} ({})", error.hint().unwrap()).unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn requirements_are_a_name_and_versions() {
    let mut told = String::new();
    for text in [
        "node-20",
        " node  >=18, <21 ",
        "node>=18",
        "node@^18",
        "osv.cli",
        "node *",
        "../etc",
        "",
        ">=1",
        "node v",
        "a/b",
    ] {
        match Requirement::parse(text) {
            Ok(requirement) => writeln!(told, "{text:?}: {requirement}"),
            Err(error) => writeln!(told, "{text:?}: {error} ({})", error.hint().unwrap()),
        }
        .unwrap();
    }
    insta::assert_snapshot!(told);
}

proptest! {
    /// Where Capstan sees two versions, both orders are the same.
    #[test]
    fn the_order_is_capstans(one in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}", other in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}") {
        prop_assert_eq!(Some(version(&one).cmp(&version(&other))), compare(&one, &other));
    }

    #[test]
    fn what_was_written_is_read_as_the_same(text in "\\PC{0,20}") {
        if let Ok(version) = Version::parse(&text) {
            prop_assert_eq!(Version::parse(version.as_str()).unwrap(), version);
        }
        if let Ok(constraint) = Constraint::parse(&text) {
            prop_assert_eq!(Constraint::parse(constraint.as_str()).unwrap(), constraint);
        }
        if let Ok(requirement) = Requirement::parse(&text) {
            prop_assert_eq!(Requirement::parse(&requirement.to_string()).unwrap().name, requirement.name);
        }
    }

    #[test]
    fn operators_agree_with_the_order(one in "[0-3](\\.[0-3]){0,2}(-rc[0-9])?", other in "[0-3](\\.[0-3]){0,2}(-rc[0-9])?") {
        let (left, right) = (version(&one), version(&other));
        let allows = |operator: &str| Constraint::parse(&format!("{operator}{other}")).unwrap().allows(&left);
        prop_assert_eq!(allows("="), left == right);
        prop_assert_eq!(allows(">="), left >= right);
        prop_assert_eq!(allows(">"), left > right);
        prop_assert_eq!(allows("<="), left <= right);
        prop_assert_eq!(allows("!="), left != right);
        // Less strict only for what comes before the named release.
        prop_assert!(!allows("<") || left < right);
        for operator in ["^", "~"] {
            prop_assert!(!allows(operator) || left >= right);
        }
    }
}
