//! Names: as people write them, and of eight and three letters.

use std::collections::{HashMap, HashSet};

use super::NAME_UNITS_MAX;
use crate::Limit;

/// Eight letters and three, filled up with spaces.
pub(super) type ShortName = [u8; 11];

/// What no name can have, besides control characters.
const FORBIDDEN: [char; 9] = ['"', '*', '/', ':', '<', '>', '?', '\\', '|'];

/// What a short name can have besides capitals and digits.
const SHORT_MARKS: &[u8] = b"!#$%&'()-@^_`{}~";

/// Whether a name can be had.
pub(super) fn check(name: &[u8]) -> Result<(), Limit> {
    let Ok(text) = str::from_utf8(name) else {
        return Err(Limit::NameNotUtf8);
    };
    let units = text.encode_utf16().count();
    if units > NAME_UNITS_MAX {
        return Err(Limit::NameTooLong {
            found_bytes: units,
            limit_bytes: NAME_UNITS_MAX,
        });
    }
    if text.contains(|letter: char| letter.is_control() || FORBIDDEN.contains(&letter)) {
        return Err(Limit::NameInvalid(
            "has a control character or one of \" * : < > ? \\ |",
        ));
    }
    if text.ends_with(['.', ' ']) {
        return Err(Limit::NameInvalid("ends with a dot or a space"));
    }
    Ok(())
}

/// A label as it is stored.
pub(super) fn label(text: &str) -> Option<ShortName> {
    let mut label = [b' '; 11];
    let bytes = text.as_bytes();
    if bytes.len() > label.len() || !bytes.iter().all(|&byte| is_short(byte) || byte == b' ') {
        return None;
    }
    label[..bytes.len()].copy_from_slice(bytes);
    Some(label)
}

fn is_short(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || SHORT_MARKS.contains(&byte)
}

/// The names that are taken in one directory.
#[derive(Debug, Default)]
pub(super) struct Taken {
    folded: HashSet<String>,
    short: HashSet<ShortName>,
    tails: HashMap<ShortName, u32>,
}

impl Taken {
    /// Takes a name that was checked. Gives its short name, and whether that is all of it; nothing where the name differs
    /// from another one by case alone.
    pub(super) fn take(&mut self, name: &str) -> Option<(ShortName, bool)> {
        if !self.folded.insert(name.to_uppercase()) {
            return None;
        }
        let (basis, is_lossy) = basis(name);
        let is_whole = !is_lossy && display(&basis, 0) == name;
        if !is_lossy && self.short.insert(basis) {
            return Some((basis, is_whole));
        }
        loop {
            let tail = self.tails.entry(basis).or_insert(0);
            *tail += 1;
            let short = with_tail(&basis, *tail);
            if self.short.insert(short) {
                return Some((short, false));
            }
        }
    }
}

/// The short name nearest to a name, and whether it lacks something.
fn basis(name: &str) -> (ShortName, bool) {
    let mut is_lossy = false;
    let (stem, ending) = match name.trim_start_matches('.').rsplit_once('.') {
        Some((stem, ending)) => (stem, ending),
        None => (name.trim_start_matches('.'), ""),
    };
    is_lossy |= name.starts_with('.');
    let mut basis = [b' '; 11];
    let mut put = |text: &str, places: std::ops::Range<usize>| {
        let mut at = places.start;
        for letter in text.chars() {
            if matches!(letter, ' ' | '.') {
                is_lossy = true;
                continue;
            }
            if at == places.end {
                is_lossy = true;
                break;
            }
            let byte = u8::try_from(letter.to_ascii_uppercase()).unwrap_or(b'_');
            basis[at] = if is_short(byte) { byte } else { b'_' };
            is_lossy |= !is_short(byte) || !letter.is_ascii();
            at += 1;
        }
    };
    put(stem, 0..8);
    put(ending, 8..11);
    if basis[0] == b' ' {
        basis[0] = b'_';
        is_lossy = true;
    }
    (basis, is_lossy)
}

/// The basis with `~N` at the end of its eight letters.
fn with_tail(basis: &ShortName, number: u32) -> ShortName {
    let tail = format!("~{number}");
    let length = basis[..8].iter().take_while(|&&byte| byte != b' ').count();
    let start = length.min(8 - tail.len().min(8));
    let mut short = *basis;
    short[start..8].fill(b' ');
    for (place, byte) in short[start..8].iter_mut().zip(tail.bytes()) {
        *place = byte;
    }
    short
}

/// The bits by which Windows says that a part of a short name is in small letters.
const SMALL_STEM: u8 = 0x08;
const SMALL_ENDING: u8 = 0x10;

/// A short name as people read it.
pub(super) fn display(short: &ShortName, case: u8) -> String {
    let part = |bytes: &[u8], is_small: bool| {
        let length = bytes
            .iter()
            .rposition(|&byte| byte != b' ')
            .map_or(0, |last| last + 1);
        let text: String = bytes[..length]
            .iter()
            .map(|&byte| match byte {
                byte if byte.is_ascii_graphic() || byte == b' ' => char::from(byte),
                // Of some code page, which nothing names.
                _ => '\u{FFFD}',
            })
            .collect();
        if is_small {
            text.to_ascii_lowercase()
        } else {
            text
        }
    };
    let stem = part(&short[..8], case & SMALL_STEM != 0);
    let ending = part(&short[8..], case & SMALL_ENDING != 0);
    if ending.is_empty() {
        stem
    } else {
        format!("{stem}.{ending}")
    }
}

/// The check sum by which a long name belongs to a short one.
pub(super) fn checksum(short: &ShortName) -> u8 {
    short
        .iter()
        .fold(0, |sum: u8, &byte| sum.rotate_right(1).wrapping_add(byte))
}
