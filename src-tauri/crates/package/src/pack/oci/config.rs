//! How an image is started, as a run configuration.

use std::path::Path;

use serde::Deserialize;
use windlass_guest::GuestOs;
use windlass_guest::command_line::quote_word;

use crate::pack::draft::Draft;
use crate::run_file::Settings;
use crate::{Error, Finding, Fix, RunConfiguration, RunFile};

const SHELL: &str = "/bin/sh";

/// Where a program is looked for that is named without its folder.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The part of an image's configuration that says how it is started.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
pub(super) struct Config {
    pub author: Option<String>,
    pub os: Option<String>,
    #[serde(default, rename = "config")]
    start: Start,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Start {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
}

impl Config {
    pub fn parse(text: &str, image: &Path) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| Error::Unsuitable {
            path: image.to_path_buf(),
            found: format!("has a wrong configuration: {error}"),
            remedy: "Save or fetch the image again.".into(),
        })
    }

    /// How it is started; `None` where the image does not say.
    pub fn run_file(&self, draft: &mut Draft, guest: GuestOs) -> Option<RunFile> {
        let start = &self.start;
        let mut words: Vec<String> = Vec::new();
        words.extend(start.entrypoint.iter().flatten().cloned());
        words.extend(start.cmd.iter().flatten().cloned());
        if words.is_empty() {
            draft.findings.push(
                Finding::note("the image does not say what it runs")
                    .remedy("Name a command in the run settings."),
            );
            return None;
        }
        let mut env: Vec<(String, String)> = start
            .env
            .iter()
            .flatten()
            .filter_map(|entry| entry.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .filter(|(name, value)| is_environment(name, value))
            .collect();
        if env.iter().all(|(name, _)| name != "PATH") {
            env.push(("PATH".into(), PATH.into()));
        }
        if let Some(first) = words.first_mut() {
            find(first, &env, draft);
        }
        self.note(&words, draft, guest);
        let folder = start
            .working_dir
            .as_deref()
            .filter(|folder| !matches!(*folder, "" | "/"));
        let bootcmd = match folder {
            // Boot commands have no folder of their own; a shell can change to one.
            Some(folder) if guest == GuestOs::Linux && draft.follow(Path::new(SHELL)).is_some() => {
                let script = format!("cd {} && exec {}", shell_word(folder), shell(&words));
                [SHELL, "-c", &script].map(quote_word).join(" ")
            }
            Some(folder) => {
                draft.findings.push(
                    Finding::warning(format!(
                        "it is meant to be started in {folder}, and is started in /"
                    ))
                    .remedy(format!("Add `--cwd={folder}` to the boot command.")),
                );
                words
                    .iter()
                    .map(|word| quote_word(word))
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            None => words
                .iter()
                .map(|word| quote_word(word))
                .collect::<Vec<_>>()
                .join(" "),
        };
        Some(crate::pack::run_file(RunConfiguration {
            name: "default".into(),
            settings: Settings::Native {
                bootcmd: Some(bootcmd),
                by_guest: Vec::new(),
            },
            env,
            base: None,
        }))
    }

    fn note(&self, words: &[String], draft: &mut Draft, guest: GuestOs) {
        let user = self.start.user.as_deref().unwrap_or_default();
        if !matches!(user, "" | "root" | "0" | "0:0") {
            draft.findings.push(Finding::note(format!(
                "it is meant to run as the user {user}, and runs as root: the machine is its own"
            )));
        }
        let Some(program) = words.first() else { return };
        match draft.follow(Path::new(program)) {
            None => draft.findings.push(
                Finding::error(format!("its program {program} is not in the image"))
                    .remedy("Name another command in the run settings."),
            ),
            Some(entry) if guest == GuestOs::Osv && is_script(entry.content.file()) => {
                draft.findings.push(
                    Finding::error(format!(
                        "its program {program} is a script, which OSv cannot run"
                    ))
                    .remedy("Choose Linux as the guest kernel.")
                    .fixed_by(Fix::Guest {
                        guest: GuestOs::Linux,
                    }),
                );
            }
            Some(_) => {}
        }
    }
}

/// Puts the folder before a program that is named without one.
fn find(program: &mut String, env: &[(String, String)], draft: &Draft) {
    if program.contains('/') {
        return;
    }
    let path = env.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(PATH, |(_, path)| path);
    let found = path.split(':').map(|folder| format!("{folder}/{program}"));
    let is_there = |path: &String| draft.follow(Path::new(path)).is_some();
    if let Some(found) = found.into_iter().find(is_there) {
        *program = found;
    }
}

fn is_script(file: Option<&Path>) -> bool {
    use std::io::Read;
    let mut start = [0; 2];
    let read = file.and_then(|path| std::fs::File::open(path).ok()?.read_exact(&mut start).ok());
    read.is_some() && &start == b"#!"
}

/// What a run configuration can say.
fn is_environment(name: &str, value: &str) -> bool {
    !name.is_empty()
        && !name.ends_with('?')
        && !name.contains([' ', '\t'])
        && !value.contains(['\n', '\r', '\0'])
}

fn shell(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
    words.join(" ")
}

/// A word as a shell takes it, whatever is in it.
fn shell_word(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-=:,+@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
