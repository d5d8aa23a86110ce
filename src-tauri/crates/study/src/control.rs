//! `system/controlDict`: when a solver ends, and how it is told to end otherwise while it runs.

use crate::dictionary::{Dictionary, DictionaryError, EntryPath};

/// The file within a case.
pub const CONTROL: &str = "system/controlDict";

/// When the solver ends, where it says so in numbers.
pub fn end_time(text: &[u8]) -> Option<f64> {
    let dictionary = Dictionary::parse(text).ok()?;
    let value = dictionary.get("endTime")?.trim().parse::<f64>().ok()?;
    value.is_finite().then_some(value)
}

/// Whether the solver reads the file again while it runs; it does where nothing is said.
pub fn is_read_again(text: &[u8]) -> bool {
    let Ok(dictionary) = Dictionary::parse(text) else {
        return false;
    };
    let said = dictionary
        .get("runTimeModifiable")
        .map(|value| value.trim().to_ascii_lowercase());
    !matches!(
        said.as_deref(),
        Some("no" | "off" | "false" | "n" | "f" | "none" | "0")
    )
}

/// The text with which a solver writes what it has and ends.
///
/// # Errors
///
/// The text is no dictionary.
pub fn saving(text: &[u8]) -> Result<Vec<u8>, DictionaryError> {
    with(text, &[("stopAt", "writeNow")])
}

/// The text with which a solver calculates up to another end.
///
/// # Errors
///
/// The text is no dictionary.
pub fn ending_at(text: &[u8], end: &str) -> Result<Vec<u8>, DictionaryError> {
    with(text, &[("stopAt", "endTime"), ("endTime", end)])
}

/// The text with which a solver goes on from the last time that was written, up to another end.
///
/// # Errors
///
/// The text is no dictionary.
pub fn going_on(text: &[u8], end: &str) -> Result<Vec<u8>, DictionaryError> {
    let entries = [
        ("startFrom", "latestTime"),
        ("stopAt", "endTime"),
        ("endTime", end),
    ];
    with(text, &entries)
}

/// The text with other values; an entry that is missing comes at its end.
fn with(text: &[u8], entries: &[(&str, &str)]) -> Result<Vec<u8>, DictionaryError> {
    let syntax = |source| DictionaryError::Syntax {
        path: CONTROL.into(),
        source,
    };
    let mut dictionary = Dictionary::parse(text).map_err(syntax)?;
    for (name, value) in entries {
        if dictionary.get(name).is_some() {
            dictionary.set(&name.parse::<EntryPath>()?, value)?;
        } else {
            dictionary.insert(&[], &format!("{name} {value};"))?;
        }
    }
    Ok(dictionary.text().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"// kept\nstartFrom       startTime;\nstopAt          endTime;\nendTime         0.5; // seconds\nrunTimeModifiable true;\n";

    #[test]
    fn a_solver_is_told_to_save_or_to_go_on_and_nothing_else_is_another() {
        let said = |text: Vec<u8>| String::from_utf8(text).unwrap();
        assert_eq!(
            said(saving(TEXT).unwrap()),
            said(TEXT.to_vec()).replace("stopAt          endTime", "stopAt          writeNow")
        );
        let on = going_on(TEXT, "0.8").unwrap();
        assert_eq!(end_time(&on), Some(0.8));
        assert_eq!(
            said(on),
            said(TEXT.to_vec())
                .replace("startTime", "latestTime")
                .replace("0.5;", "0.8;")
        );
        let bare = saving(b"application icoFoam;\n").unwrap();
        assert!(said(bare).contains("stopAt writeNow;"));
        assert!(saving(b"a {").is_err());
    }

    #[test]
    fn a_solver_that_reads_nothing_again_is_known() {
        assert!(is_read_again(TEXT));
        assert!(is_read_again(b"a b;"));
        assert!(!is_read_again(b"runTimeModifiable no;"));
        assert_eq!(end_time(b"endTime $other;"), None);
    }
}
