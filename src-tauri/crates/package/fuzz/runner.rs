//! The fuzz targets of a crate for a second each, over changed seeds: what cargo-fuzz does for minutes by hand.

use std::time::{Duration, Instant};

/// A target: its name, what it does, and what it begins with.
type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// How long each target runs; `WINDLASS_FUZZ_SECONDS` says otherwise.
fn time() -> Duration {
    let seconds = std::env::var("WINDLASS_FUZZ_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(1))
}

/// Numbers that look random, and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (end.max(1) as u64)).unwrap()
    }
}

/// Changes some bytes, as a fuzzer does.
fn change(bytes: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    const TOKENS: [&[u8]; 16] = [
        b"\n",
        b": ",
        b"- ",
        b"  ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"#",
        b"\"",
        b"&x ",
        b"*x",
        b"|\n",
        b"../",
        b"\0",
        b"\xff\xff\xff\xff",
    ];
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(bytes.len() + 1);
        let to = (at + numbers.below(20)).min(bytes.len());
        match numbers.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            3 => drop(bytes.splice(at..at, TOKENS[numbers.below(TOKENS.len())].iter().copied())),
            4 => {
                let from = numbers.below(other.len() + 1);
                let to = (from + numbers.below(60)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
    }
}

/// Runs all of them; fails on the first that panics, with what it had.
pub fn run(targets: &[Target]) {
    for (name, target, seeds) in targets {
        let mut corpus = seeds();
        for seed in &corpus {
            target(seed);
        }
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let end = Instant::now() + time();
        let mut count = 0_u64;
        while Instant::now() < end {
            let other = corpus[numbers.below(corpus.len())].clone();
            let mut bytes = corpus[numbers.below(corpus.len())].clone();
            change(&mut bytes, &other, &mut numbers);
            bytes.truncate(128 << 10);
            let shown = bytes.clone();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name}: {}", shown.escape_ascii());
            // Some of what was made is changed further.
            if numbers.below(8) == 0 && corpus.len() < 500 {
                corpus.push(bytes);
            }
            count += 1;
        }
        println!("{name}: {count} times");
    }
}
