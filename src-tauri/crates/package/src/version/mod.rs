//! Versions of packages, and what of them a requirement allows.
//!
//! Capstan knows versions of up to three numbers of up to three digits each, `a.b.c`, and no
//! constraints. A [`Version`] is any number of numbers with, after a `-`, what comes before the
//! release, and orders those of Capstan as it does ([`compare`] is Capstan's own answer, which is
//! none where it sees no version). A [`Requirement`] is a name and a [`Constraint`]:
//!
//! | written | allows |
//! | --- | --- |
//! | `*` | everything, packages without a version among them |
//! | `1.2`, `1.2.*` | what begins so |
//! | `=1.2.3`, `!=1.2.3` | this one, all but this one |
//! | `>1.2`, `>=1.2`, `<2`, `<=2.0.1` | what is above or below; `1.2` is `1.2.0` |
//! | `^1.2` | `>=1.2, <2`: up to the next number that is no zero |
//! | `~1.2.3` | `>=1.2.3, <1.3` |
//! | `>=1, <2` | both; `A \|\| B` is either |
//!
//! What comes before a release, such as `2.0-rc1`, is not below `<2`.

mod constraint;
mod number;
mod requirement;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

pub use constraint::{Constraint, ConstraintError};
pub use number::{Version, VersionError};
pub use requirement::{Requirement, RequirementError};

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
