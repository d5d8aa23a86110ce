//! Names of packages.

/// The longest name a package may have; it is a file name on disk and in registries.
const NAME_MAX_BYTES: usize = 100;

/// Whether a package may have this name: ASCII letters, digits, `.`, `_`, `-` and `+`, beginning
/// with a letter or digit, at most 100 bytes.
pub fn is_valid_name(name: &str) -> bool {
    name.len() <= NAME_MAX_BYTES
        && name
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

/// The valid name that is nearest to this text, such as that of a folder; `package` when nothing
/// of it can be kept.
///
/// ```
/// assert_eq!(windlass_package::name_from("My Service (old)"), "my-service-old");
/// ```
pub fn name_from(text: &str) -> String {
    let mut name = String::new();
    for character in text.chars() {
        let character = character.to_ascii_lowercase();
        if character.is_ascii_alphanumeric() || (".+_".contains(character) && !name.is_empty()) {
            name.push(character);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == NAME_MAX_BYTES {
            break;
        }
    }
    let name = name.trim_end_matches(['-', '.', '_', '+']);
    if name.is_empty() {
        "package".to_owned()
    } else {
        name.to_owned()
    }
}
