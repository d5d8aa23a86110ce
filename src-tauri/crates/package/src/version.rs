//! Versions as Capstan compares them.
//!
//! Up to three numbers of up to three digits each, `a.b.c`, which it folds into one integer.
//! Anything else is invalid, and an invalid version always counts as in need of an update.

use std::cmp::Ordering;

/// The version as one number that orders as Capstan does; `None` when it is no version to it.
///
/// ```
/// # use windlass_package::version::rank;
/// assert!(rank("1.2") < rank("1.10"));
/// assert_eq!(rank("1.0-beta"), None);
/// ```
pub fn rank(version: &str) -> Option<u32> {
    let parts: Vec<&str> = version.split('.').collect();
    if parts.len() > 3 {
        return None;
    }
    let mut rank = 0;
    for at in 0..3 {
        let part = parts.get(at).copied().unwrap_or("0");
        if part.is_empty() || part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        rank = rank * 1000 + part.parse::<u32>().ok()?;
    }
    Some(rank)
}

/// Compares two versions; `None` when either is none, and the local one is to be updated.
pub fn compare(left: &str, right: &str) -> Option<Ordering> {
    Some(rank(left)?.cmp(&rank(right)?))
}
