//! Who makes packages on this computer.

use std::env;
use std::path::{Path, PathBuf};

use crate::package::read_small_text;

/// The name in the user's own Git settings, else in the user database, else the login name.
pub(super) fn of_this_computer() -> Option<String> {
    let home = env::home_dir().filter(|home| home.is_absolute())?;
    let config = env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    [home.join(".gitconfig"), config.join("git/config")]
        .iter()
        .find_map(|file| git_user(&read_small_text(file).ok()??))
        .or_else(login)
}

/// `name` in the section `[user]`.
pub(super) fn git_user(text: &str) -> Option<String> {
    let mut in_user = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            in_user = section
                .split(']')
                .next()
                .is_some_and(|name| name.trim().eq_ignore_ascii_case("user"));
        } else if in_user
            && let Some((key, value)) = line.split_once('=')
            && key.trim().eq_ignore_ascii_case("name")
        {
            let value = value.trim().trim_matches('"').trim();
            return (!value.is_empty()).then(|| value.to_owned());
        }
    }
    None
}

fn login() -> Option<String> {
    let login = env::var("USER")
        .or_else(|_| env::var("LOGNAME"))
        .ok()
        .filter(|name| !name.is_empty())?;
    let users = read_small_text(Path::new("/etc/passwd"))
        .ok()
        .flatten()
        .unwrap_or_default();
    let full = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_user = fields.next() == Some(&login);
        let full = fields.nth(3)?.split(',').next()?.trim();
        (is_user && !full.is_empty()).then(|| full.to_owned())
    });
    full.or(Some(login))
}
