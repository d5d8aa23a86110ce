use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::{Constraint, Locked};

/// Packages as a table: `name version: requirement; requirement`, newest first.
struct Table(Vec<Candidate>);

impl Table {
    fn new(lines: &str) -> Self {
        let candidates = lines
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (head, require) = line.split_once(':').unwrap_or((line, ""));
                let mut words = head.split_whitespace();
                let name = words.next().unwrap().to_owned();
                let version = words.next().map(|text| Version::parse(text).unwrap());
                let origin = words.next().unwrap_or("library").to_owned();
                Candidate {
                    digest: Some(digest(&format!("{head} {origin}"))),
                    name,
                    version,
                    require: requirements(require),
                    origin,
                }
            });
        Self(candidates.collect())
    }
}

impl Source for Table {
    fn candidates(&self, name: &str) -> Vec<Candidate> {
        self.0
            .iter()
            .filter(|candidate| candidate.name == name)
            .cloned()
            .collect()
    }
}

/// Something that looks like a digest, different for different texts.
fn digest(text: &str) -> String {
    let digits: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut digest = digits.concat();
    digest.truncate(64);
    format!("{digest:0<64}")
}

fn requirements(text: &str) -> Vec<Requirement> {
    text.split(';')
        .filter(|part| !part.trim().is_empty())
        .map(|part| part.parse().unwrap())
        .collect()
}

fn told_locked(root: &str, table: &str, lock: Option<&Lock>) -> String {
    let mut told = format!("# {root}\n");
    match solve(&requirements(root), &Table::new(table), lock) {
        Ok(solution) => {
            for candidate in &solution.order {
                let version = candidate.version.as_ref().map_or("-", Version::as_str);
                let why: Vec<String> = solution.why[&candidate.name]
                    .iter()
                    .map(|path| path.join(" > "))
                    .collect();
                writeln!(
                    told,
                    "{} {version} ({}): {}",
                    candidate.name,
                    candidate.origin,
                    why.join(", ")
                )
                .unwrap();
            }
        }
        Err(error) => writeln!(told, "{error}\nhint: {}", error.hint().unwrap()).unwrap(),
    }
    told + "\n"
}

fn told(root: &str, table: &str) -> String {
    told_locked(root, table, None)
}

const TOMCAT: &str = "
    web 2.1: tomcat >=9; log
    web 1.0: tomcat <9
    tomcat 10.1: openjdk >=17; log
    tomcat 8.5: openjdk >=7, <12
    openjdk 21.0.1
    openjdk 17.0.9
    openjdk 11.0.2
    openjdk 22-ea
    log
";

#[test]
fn the_newest_that_fits_is_taken_and_dependencies_come_first() {
    let told = [
        told("web", TOMCAT),
        told("web; openjdk <21", TOMCAT),
        told("web ^1", TOMCAT),
        told("openjdk", TOMCAT),
        told("openjdk >=22-ea", TOMCAT),
        told("log; web", TOMCAT),
        told("", TOMCAT),
        // A diamond: its bottom is there once, where it is first needed.
        told(
            "left; right",
            "left: bottom >=1\n right: bottom <3\n bottom 3\n bottom 2\n bottom 1",
        ),
        // The newest of one would do without the newest of another: back one step.
        told("a; b", "a 2: c 2\n a 1: c 1\n b 1: c 1\n c 2\n c 1"),
        // The same version twice: the first one is preferred.
        told("a", "a 1 here\n a 1.0 there"),
    ];
    insta::assert_snapshot!(told.concat());
}

#[test]
fn what_does_not_come_out_is_explained() {
    let told = [
        told("web; openjdk <10", TOMCAT),
        told("web >=2; openjdk <10", TOMCAT),
        told("web ^3", TOMCAT),
        told("log ^3", TOMCAT),
        told("web; gone", TOMCAT),
        told("app", "app 1: lib; gone >=2\n lib 1: gone"),
        told("node >=20; node <18", "node 22\n node 18\n node 16"),
        told(
            "a; b",
            "a 1: c ^1\n b 1: c ^2\n b 2: c ^3\n c 1.1\n c 2.5\n c 3.0",
        ),
        told(
            "a",
            "a 6: x\n a 5: x\n a 4: x\n a 3: x\n a 2: x\n a 1: x\n x 1: y >=2\n y 1",
        ),
        told("a", "a: b\n b: c; d\n c\n d: a"),
        told("a", "a: a"),
    ];
    insta::assert_snapshot!(told.concat());
}

#[test]
fn what_is_locked_stays_as_long_as_it_fits() {
    let lock = |name: &str, version: Option<&str>, digest: String| -> Lock {
        [Locked {
            name: name.into(),
            version: version.map(str::to_owned),
            digest,
            archive_sha256: None,
            origin: None,
        }]
        .into_iter()
        .collect()
    };
    let table = "a 3 library\n a 2 library\n a 2 registry\n a 1 library";
    let told = [
        // Its digest, of two packages of a version.
        told_locked(
            "a",
            table,
            Some(&lock("a", Some("2"), digest("a 2 registry registry"))),
        ),
        // Its version, where nobody has the digest any more.
        told_locked("a", table, Some(&lock("a", Some("2"), digest("other")))),
        // Neither: the newest.
        told_locked("a", table, Some(&lock("a", Some("0.5"), digest("other")))),
        // It does not fit any more.
        told_locked(
            "a >=3",
            table,
            Some(&lock("a", Some("2"), digest("a 2 registry registry"))),
        ),
    ];
    insta::assert_snapshot!(told.concat());
}

#[test]
fn long_chains_are_no_trouble_and_endless_ones_are_refused() {
    let chain = |name: &str| -> Vec<Candidate> {
        let number: usize = name.strip_prefix('p').unwrap().parse().unwrap();
        vec![Candidate {
            name: name.into(),
            version: None,
            require: if number == 0 {
                Vec::new()
            } else {
                vec![Requirement::any(format!("p{}", number - 1))]
            },
            origin: String::new(),
            digest: None,
        }]
    };
    let solution = solve(&[Requirement::any("p1500")], &chain, None).unwrap();
    assert_eq!(solution.order.len(), 1501);
    assert_eq!(solution.order[0].name, "p0");
    let error = solve(&[Requirement::any("p5000")], &chain, None).unwrap_err();
    assert!(
        error.to_string().contains("more than 2000 packages"),
        "{error}"
    );

    // The same depth, and no solution at its end.
    let broken = |name: &str| {
        let mut found = chain(name);
        found.retain(|_| name != "p0");
        found
    };
    let error = solve(&[Requirement::any("p1500")], &broken, None).unwrap_err();
    assert_eq!(error.missing, ["p0"]);
    assert!(error.to_string().contains("200 steps"), "{error}");
}

/// A registry: some packages with some versions, each requiring some others in some versions.
fn registry() -> impl Strategy<Value = Vec<Candidate>> {
    let require = prop::collection::vec(
        (
            0..6_u8,
            prop::sample::select(vec!["*", ">=2", "<3", "=1", "^2"]),
        ),
        0..3,
    );
    let package = (0..6_u8, 0..4_u8, require);
    prop::collection::vec(package, 1..18).prop_map(|packages| {
        packages
            .into_iter()
            .map(|(name, version, require)| Candidate {
                name: format!("p{name}"),
                version: (version > 0).then(|| Version::parse(&version.to_string()).unwrap()),
                require: require
                    .into_iter()
                    .map(|(name, versions)| Requirement {
                        name: format!("p{name}"),
                        versions: Constraint::parse(versions).unwrap(),
                    })
                    .collect(),
                origin: String::new(),
                digest: None,
            })
            .collect()
    })
}

/// Whether some choice of at most one candidate of each name fits: all of them tried.
fn some_choice_fits(
    root: &[Requirement],
    packages: &[Candidate],
    chosen: &mut Vec<Candidate>,
) -> bool {
    let open = root
        .iter()
        .chain(chosen.iter().flat_map(|candidate| &candidate.require))
        .find(|requirement| {
            !chosen.iter().any(|candidate| {
                candidate.name == requirement.name
                    && requirement
                        .versions
                        .allows_any_of(candidate.version.as_ref())
            })
        });
    let Some(open) = open.cloned() else {
        return true;
    };
    if chosen.iter().any(|candidate| candidate.name == open.name) {
        return false;
    }
    let mut seen = Vec::new();
    for candidate in packages
        .iter()
        .filter(|candidate| candidate.name == open.name)
    {
        // Of equal versions only the first one is ever taken, and none that requires itself.
        if seen.contains(&candidate.version) {
            continue;
        }
        seen.push(candidate.version.clone());
        if candidate
            .require
            .iter()
            .any(|requirement| requirement.name == candidate.name)
        {
            continue;
        }
        chosen.push(candidate.clone());
        if some_choice_fits(root, packages, chosen) {
            return true;
        }
        chosen.pop();
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_solution_is_found_where_there_is_one(packages in registry(), versions in prop::sample::select(vec!["*", ">=2", "<2"])) {
        let root = [Requirement { name: "p0".into(), versions: Constraint::parse(versions).unwrap() }, Requirement::any("p1")];
        let table = Table(packages.clone());
        let exists = some_choice_fits(&root, &packages, &mut Vec::new());
        match solve(&root, &table, None) {
            Ok(solution) => {
                let mut below: Vec<&Candidate> = Vec::new();
                for candidate in &solution.order {
                    for requirement in &candidate.require {
                        let found = below.iter().find(|other| other.name == requirement.name);
                        prop_assert!(found.is_some_and(|found| requirement.versions.allows_any_of(found.version.as_ref())));
                    }
                    prop_assert!(solution.why.contains_key(&candidate.name));
                    below.push(candidate);
                }
                for requirement in &root {
                    prop_assert!(solution.find(&requirement.name).is_some_and(|found| requirement.versions.allows_any_of(found.version.as_ref())));
                }
                prop_assert!(exists);
            }
            Err(error) if error.circle.is_empty() => prop_assert!(!exists, "{}", error),
            Err(error) => prop_assert_eq!(error.circle.first(), error.circle.last()),
        }
    }
}
