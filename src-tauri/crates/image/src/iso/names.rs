//! The names of a directory for those who do not know Rock Ridge, each of them once.

use std::collections::HashSet;

/// Joliet's longest name, without `;1`.
const JOLIET_UNITS_MAX: usize = 62;
const JOLIET_FORBIDDEN: &str = "*/:;?\\";

/// The plain name: eight capitals, digits or `_`, a dot and three more; a directory has no dot.
pub(super) fn plain(name: &[u8], is_directory: bool, taken: &mut HashSet<Vec<u8>>) -> Vec<u8> {
    let clean = |part: &[u8], most: usize| -> Vec<u8> {
        let letters = part.iter().map(|byte| match byte.to_ascii_uppercase() {
            byte if byte.is_ascii_uppercase() || byte.is_ascii_digit() => byte,
            _ => b'_',
        });
        letters.take(most).collect()
    };
    let dot = name
        .iter()
        .rposition(|byte| *byte == b'.')
        .filter(|at| *at > 0 && !is_directory);
    let (stem, extension) = dot.map_or((name, &b""[..]), |at| (&name[..at], &name[at + 1..]));
    let (stem, extension) = (clean(stem, 8), clean(extension, 3));
    unique(taken, |number| {
        let digits = number
            .map(|number: u32| number.to_string())
            .unwrap_or_default();
        let kept = stem.len().min(8_usize.saturating_sub(digits.len()));
        let mut plain = [&stem[..kept], digits.as_bytes()].concat();
        if !is_directory {
            plain.push(b'.');
            plain.extend(&extension);
            plain.extend(b";1");
        }
        plain
    })
}

/// Joliet's name, in UTF-16, big-endian.
pub(super) fn joliet(name: &[u8], is_directory: bool, taken: &mut HashSet<Vec<u8>>) -> Vec<u8> {
    let text: String = String::from_utf8_lossy(name)
        .chars()
        .map(|letter| {
            let is_bad = letter.is_control() || JOLIET_FORBIDDEN.contains(letter);
            if is_bad { '_' } else { letter }
        })
        .collect();
    let units: Vec<u16> = text.encode_utf16().collect();
    unique(taken, |number| {
        let digits = number
            .map(|number: u32| format!("~{number}"))
            .unwrap_or_default();
        let digits: Vec<u16> = digits.encode_utf16().collect();
        let mut kept = units.len().min(JOLIET_UNITS_MAX - digits.len());
        // A pair of units is not cut in half.
        if kept < units.len() && (0xD800..0xDC00).contains(&units[kept - 1]) {
            kept -= 1;
        }
        let version = if is_directory { &[][..] } else { &[0x3B, 0x31] };
        let units = [&units[..kept], &digits, version].concat();
        units.iter().flat_map(|unit| unit.to_be_bytes()).collect()
    })
}

/// The first of a row of names that is free.
fn unique(taken: &mut HashSet<Vec<u8>>, make: impl Fn(Option<u32>) -> Vec<u8>) -> Vec<u8> {
    let mut number = None;
    loop {
        let name = make(number);
        if taken.insert(name.clone()) {
            return name;
        }
        number = Some(number.unwrap_or(0) + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_and_stay_different() {
        let mut taken = HashSet::new();
        let mut plain = |name: &str, is_directory| {
            String::from_utf8(plain(name.as_bytes(), is_directory, &mut taken)).unwrap()
        };
        assert_eq!(plain("user-data", false), "USER_DAT.;1");
        assert_eq!(plain("user-data2", false), "USER_DA1.;1");
        assert_eq!(plain("user_data.tar.gz", false), "USER_DAT.GZ;1");
        assert_eq!(plain(".profile", false), "_PROFILE.;1");
        assert_eq!(plain("conf.d", true), "CONF_D");
        let mut taken = HashSet::new();
        let long = "ä".repeat(100);
        let first = joliet(long.as_bytes(), false, &mut taken);
        let second = joliet(long.as_bytes(), false, &mut taken);
        assert_eq!((first.len(), second.len()), (128, 128));
        assert_ne!(first, second);
    }
}
