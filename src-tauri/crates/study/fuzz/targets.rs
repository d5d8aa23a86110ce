//! What the fuzz targets do with their bytes, and what each begins with.
//!
//! Not only that nothing panics: an edit of a dictionary is there afterwards and nothing else is, and a log cut
//! anywhere is read as it would be whole.

#![allow(
    dead_code,
    reason = "each fuzz target is a program of its own, and calls one of these"
)]

use windlass_study::dictionary::Dictionary;
use windlass_study::log::{Exit, LogReader, Table};

/// A target: its name, what it does, and what it begins with.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const ALL: [Target; 2] = [
    ("dictionary", dictionary, dictionary_seeds),
    ("log", log, log_seeds),
];

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

/// A log, whole and in two pieces; and, of the same bytes, a table.
pub fn log(bytes: &[u8]) {
    let mut whole = LogReader::new();
    whole.push(bytes);
    let whole = whole.finish();
    let middle = usize::from(bytes.first().copied().unwrap_or_default()).min(bytes.len());
    let mut pieces = LogReader::new();
    pieces.push(&bytes[..middle]);
    pieces.push(&bytes[middle..]);
    let pieces = pieces.finish();
    assert_eq!(whole.failure, pieces.failure);
    assert_eq!(whole.history.names(), pieces.history.names());
    assert_eq!(whole.history.times.len(), pieces.history.times.len());
    for name in whole.history.names() {
        assert_eq!(
            whole.history.column(name).unwrap().len(),
            whole.history.times.len()
        );
        let _ = whole.target(name);
    }
    for exit in [
        Exit::Running,
        Exit::Status(0),
        Exit::Status(1),
        Exit::Vanished,
    ] {
        let _ = format!("{:?}", whole.outcome(exit));
    }
    let _ = Table::parse(&String::from_utf8_lossy(bytes));
}

fn log_seeds() -> Vec<Vec<u8>> {
    [
        "Exec   : icoFoam\r\nCase   : /c\nnProcs : 1\nTime = 0.005\n\nCourant Number mean: 0 max: 0\nDICPCG:  Solving for p, Initial residual = 1, Final residual = nan, No Iterations 12\ntime step continuity errors : sum local = 1, global = -1, cumulative = 2\nExecutionTime = 0.01 s  ClockTime = 0 s\n\nEnd\n",
        "SIMPLE: convergence criteria\n    field p\t tolerance 1e-05\n\nTime = 1\nforceCoeffs f execute:\n    Coefficients\n        Cd       : 0.06\t(pressure: 1)\nSIMPLE solution converged in 1 iterations\nSolving for solid region x\nPBiCCCG:  Solving for D, Initial residual = (1 2 3), Final residual = (1 2 3), No Iterations (1 2 3)\n",
        "--> FOAM FATAL IO ERROR: \nUnknown x\n\n3(a b c)\nfile: /a from line 1\n    From function x\nFOAM exiting\n[0] --> FOAM Warning : \n    Could not load \"x.so\"\n#1  Foam::sigFpe::sigHandler(int)\nprogram exited with status 1\n",
        "# Time Cd Cl\n1 2 3\n2 (3 4)\n",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}
