//! What the fuzz targets do with their bytes, and what each begins with.
//!
//! Not only that nothing panics: an edit of a dictionary is there afterwards and nothing else is, and a log cut
//! anywhere is read as it would be whole.

#![allow(
    dead_code,
    reason = "each fuzz target is a program of its own, and calls one of these"
)]

use windlass_study::dictionary::Dictionary;

/// A target: its name, what it does, and what it begins with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const ALL: [Target; 1] = [("dictionary", dictionary, dictionary_seeds)];

/// A dictionary.
pub fn dictionary(bytes: &[u8]) {
    let Ok(first) = Dictionary::parse(bytes) else {
        return;
    };
    assert_eq!(first.text(), bytes);
    let leaves = first.leaves();
    for leaf in leaves.iter().take(20) {
        let mut dictionary = first.clone();
        // Two entries of one name hide each other; a name may look like a path.
        let Ok(Ok(before)) = leaf
            .path
            .to_string()
            .parse()
            .map(|path| first.value(&path).map(std::borrow::Cow::into_owned))
        else {
            continue;
        };
        drop(first.followers(&leaf.path));
        if dictionary.set(&leaf.path, "17").is_ok() {
            assert_eq!(dictionary.value(&leaf.path).unwrap(), "17");
            let grown = dictionary.text().len() + before.len();
            assert!(
                grown == bytes.len() + 2 || grown == bytes.len() + 3 || before.contains('\u{fffd}')
            );
        }
    }
}

fn dictionary_seeds() -> Vec<Vec<u8>> {
    [
        "FoamFile\n{\n version 2.0;\n format ascii;\n}\n/* c */ internalField uniform (1 0 0); // x\nb { \"in.*\" { type fixedValue; value $internalField; } #includeEtc \"x\" }\n",
        "nu [0 2 -1 0 0 0 0] 0.01; div(phi,U) Gauss linear; a nonuniform List<scalar> 3(1 2 3);\n",
        "2\n(\ninlet { type patch; nFaces 3; }\nwall { type wall; inGroups 1(wall); }\n)\n",
        "x #calc \"2*$a\"; y #codeStream { code #{ os << 1; #}; }; ${z} 1; $d; t ((0 1) (1 2)); s 4{0.5};\n",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}
