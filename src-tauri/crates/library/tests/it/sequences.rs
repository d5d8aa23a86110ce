//! Any sequence of what can be done to a library keeps what holds of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use windlass_library::{Keep, Library, Sharing};

use crate::support::{Place, package};

#[derive(Debug, Clone)]
enum Step {
    /// Adds one of a few packages: which of three names, which of three versions, which files.
    Add {
        name: u8,
        version: u8,
        files: Vec<(u8, u8)>,
    },
    Remove {
        name: u8,
    },
    RemoveVersion {
        name: u8,
        version: u8,
    },
    Pin {
        name: u8,
        version: u8,
        pinned: bool,
    },
    Prune {
        newest: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (name, version) = (0..3_u8, 0..3_u8);
    let files = prop::collection::vec((0..4_u8, 0..3_u8), 0..4);
    let step = prop_oneof![
        5 => (name.clone(), version.clone(), files)
            .prop_map(|(name, version, files)| Step::Add { name, version, files }),
        1 => name.clone().prop_map(|name| Step::Remove { name }),
        2 => (name.clone(), version.clone())
            .prop_map(|(name, version)| Step::RemoveVersion { name, version }),
        1 => (name, version, any::<bool>())
            .prop_map(|(name, version, pinned)| Step::Pin { name, version, pinned }),
        2 => any::<bool>().prop_map(|newest| Step::Prune { newest }),
    ];
    prop::collection::vec(step, 1..12)
}

/// Does a step; what was added, if anything.
fn take(library: &Library, place: &Place, at: usize, step: &Step) -> Option<(String, String)> {
    let name = |name: &u8| format!("package-{name}");
    match step {
        Step::Add {
            name: number,
            version,
            files,
        } => {
            let files: BTreeMap<u8, u8> = files.iter().copied().collect();
            let manifest = format!("name: {}\nversion: {version}.0\n", name(number));
            let folder = package(place, &format!("source-{at}"), &manifest, &[]);
            for (file, content) in &files {
                fs::write(folder.join(format!("file-{file}")), [*content; 100]).unwrap();
            }
            let package = library.add_package(&folder, None, &mut ()).unwrap();
            return Some((format!("{manifest}{files:?}"), package.digest));
        }
        Step::Remove { name: number } => drop(library.remove_package(&name(number))),
        Step::RemoveVersion {
            name: number,
            version,
        } => {
            drop(library.remove_package_version(&name(number), &format!("{version}.0")));
        }
        Step::Pin {
            name: number,
            version,
            pinned,
        } => {
            drop(library.pin_package(&name(number), &format!("{version}.0"), *pinned));
        }
        Step::Prune { newest } => {
            let keep = Keep {
                newest: *newest,
                ..Keep::default()
            };
            let plan = library.prune_plan(&keep).unwrap();
            let before = library.usage().unwrap().packages_bytes;
            let pruned = library.prune(&plan, &mut ()).unwrap();
            let after = library.usage().unwrap();
            // What was said to go has gone, to the byte.
            assert_eq!(pruned.size_bytes, plan.total_bytes);
            assert_eq!(before - after.packages_bytes, plan.total_bytes);
            assert_eq!(after.unused_objects_bytes, 0);
            for package in library.packages().unwrap().entries {
                assert!(*newest || package.pinned, "{package:?}");
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn trees_stay_whole_and_objects_are_those_that_trees_have(
        steps in steps(),
        copies in any::<bool>(),
    ) {
        let place = Place::new();
        let sharing = if copies { Sharing::Copies } else { Sharing::HardLinks };
        let library = Library::open_sharing(place.library.home(), sharing).unwrap();
        let mut digests = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            if let Some((content, digest)) = take(&library, &place, at, step) {
                // One content has one digest, and the other way round.
                prop_assert_eq!(digests.entry(content).or_insert_with(|| digest.clone()), &digest);
            }
            prop_assert_eq!(library.verify(&mut ()).unwrap(), []);
            let usage = library.usage().unwrap();
            prop_assert_eq!(usage.unused_objects_bytes, 0);
            let packages = library.packages().unwrap();
            prop_assert!(packages.broken.is_empty());
            let apparent: u64 = packages.entries.iter().map(|package| package.size_bytes).sum();
            prop_assert_eq!(usage.packages_bytes + usage.saved_bytes, apparent);
        }
        let different: BTreeSet<_> = digests.values().collect();
        prop_assert_eq!(different.len(), digests.len());
    }
}
