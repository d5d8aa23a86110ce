use proptest::prelude::*;

use super::*;
use crate::{Node, Source};

fn path(text: &str) -> GuestPath {
    GuestPath::new(text).unwrap()
}

/// A list of which all but the last few entries lie in a file, whatever the process keeps.
fn spilled(entries: &[(GuestPath, Node)], block_entries: usize) -> Sorted<Node> {
    let mut list = Sorted::default();
    for (path, node) in entries {
        list.push(path.clone(), node.clone());
        if list.tail.len() > block_entries {
            list.spill(block_entries);
        }
    }
    list
}

fn any_node() -> impl Strategy<Value = Node> {
    let folder: Arc<std::path::Path> = std::path::Path::new("/layer").into();
    prop_oneof![
        (0..0o10000_u32).prop_map(|mode| Node::Directory { mode }),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(|target| Node::Symlink { target }),
        (any::<u64>(), 0..0o10000_u32).prop_map(move |(size_bytes, mode)| Node::File {
            source: Source::Below(Arc::clone(&folder)),
            size_bytes,
            mode,
        }),
        ("/[a-z]{1,9}", any::<u64>()).prop_map(|(path, size_bytes)| Node::File {
            source: Source::Path(path.into()),
            size_bytes,
            mode: 0o644,
        }),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Node::bytes(bytes, 0o755)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_list_is_the_same_wherever_it_lies(
        entries in proptest::collection::btree_map("[a-c/]{1,12}", any_node(), 0..60),
        more in proptest::collection::vec(("[a-c]{1,3}", any_node()), 0..6),
        block_entries in 1..9_usize,
        from in any::<proptest::sample::Index>(),
    ) {
        let mut expected: std::collections::BTreeMap<GuestPath, Node> = entries
            .into_iter()
            .filter_map(|(at, node)| Some((GuestPath::new(at).ok()?, node)))
            .filter(|(path, _)| !path.is_root())
            .collect();
        let all: Vec<_> = expected.clone().into_iter().collect();
        let mut list = spilled(&all, block_entries);
        prop_assert_eq!(list.blocks.is_empty(), all.len() <= block_entries);
        for (at, node) in more {
            expected.insert(path(&at), node.clone());
            list.put(path(&at), node);
        }
        let all: Vec<_> = expected.into_iter().collect();
        prop_assert_eq!(list.len(), all.len());
        prop_assert_eq!(&list.iter().collect::<Vec<_>>(), &all);
        for (place, (path, node)) in all.iter().enumerate() {
            prop_assert_eq!(list.find(path), Ok(place));
            prop_assert_eq!(list.get(path), Some(node.clone()));
            prop_assert!(list.is_at(place, path));
        }
        if !all.is_empty() {
            let from = from.index(all.len());
            prop_assert_eq!(&list.iter_from(from).collect::<Vec<_>>(), &all[from..]);
        }
        prop_assert_eq!(list.at(all.len()), None);
        prop_assert_eq!(list.clone().into_iter().collect::<Vec<_>>(), all);
        prop_assert!(list.check().is_ok());
    }
}

#[test]
fn what_cannot_be_read_again_is_known() {
    let entries: Vec<_> = (0..40)
        .map(|number| (path(&format!("{number:02}")), Node::bytes(*b"x", 0o644)))
        .collect();
    let list = spilled(&entries, 4);
    let store = list.store.as_ref().unwrap();
    store.file.set_len(100).unwrap();
    assert!(list.iter().count() < 40);
    assert!(list.check().is_err());
    assert!(list.clone().into_iter().count() < 40);
}
