//! A user's session: a home, a folder, and commands.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use tempfile::TempDir;

/// The longest that a command may take; a guest under emulation on a busy computer is slow.
const TIMEOUT: Duration = Duration::from_mins(4);

/// A home and a working folder that go away together, with the machines that were left running.
#[derive(Debug)]
pub(crate) struct Session {
    root: TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: i32,
}

impl Session {
    pub(crate) fn new() -> Self {
        let session = Self {
            root: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(session.folder()).unwrap();
        session
    }

    /// The folder that all state is in.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// The folder that commands are given in.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Writes a file below the working folder.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A command that is not started yet.
    pub(crate) fn process(&self, words: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_windlassctl"));
        command
            .args(words)
            .current_dir(self.folder())
            .env("WINDLASS_HOME", self.home())
            .env("TZ", "UTC")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("NO_COLOR", "1")
            .stdin(std::process::Stdio::null());
        command
    }

    /// Gives a command and waits for its end.
    pub(crate) fn run(&self, words: &[&str]) -> Said {
        let output = Command::from_std(self.process(words))
            .timeout(TIMEOUT)
            .output()
            .unwrap();
        Said {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            status: output.status.code().unwrap_or(-1),
        }
    }

    /// Gives a command that has to do what it is asked.
    pub(crate) fn done(&self, words: &[&str]) -> Said {
        let said = self.run(words);
        assert_eq!(
            said.status, 0,
            "windlassctl {words:?}\n{}{}",
            said.stdout, said.stderr
        );
        said
    }

    /// Gives a command and reads its JSON.
    pub(crate) fn json(&self, words: &[&str]) -> serde_json::Value {
        let said = self.done(&[&["--json"], words].concat());
        serde_json::from_str(&said.stdout).unwrap()
    }

    /// Gives commands, and shows them with what they said, as in a terminal.
    pub(crate) fn transcript(&self, commands: &[&[&str]]) -> String {
        commands
            .iter()
            .map(|words| self.shown(words))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn shown(&self, words: &[&str]) -> String {
        let said = self.run(words);
        let words: Vec<_> = words
            .iter()
            .map(|word| {
                if word.contains(' ') {
                    format!("'{word}'")
                } else {
                    (*word).to_owned()
                }
            })
            .collect();
        let mut text = format!("$ windlassctl {}\n{}", words.join(" "), said.stdout);
        if !said.stderr.is_empty() {
            text.push_str("-- stderr\n");
            text.push_str(&said.stderr);
        }
        if said.status != 0 {
            let _ = writeln!(text, "-- exit status {}", said.status);
        }
        self.without_chance(&text)
    }

    /// Puts words in the place of folders, ids and times, which differ from run to run.
    fn without_chance(&self, text: &str) -> String {
        let root = std::fs::canonicalize(self.root.path()).unwrap();
        let mut text = text.to_owned();
        for root in [root.as_path(), self.root.path()] {
            text = text.replace(&root.join("home").display().to_string(), "$WINDLASS_HOME");
            text = text.replace(&root.join("work").display().to_string(), "$PWD");
        }
        let lines = text.lines().map(|line| {
            let words = line.split(' ').map(|word| {
                let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
                if bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    word.replace(bare, "ID")
                } else if bare.len() == 10 && bare.starts_with("20") && bare.contains('-') {
                    word.replace(bare, "YYYY-MM-DD")
                } else if bare.len() == 5 && bare.as_bytes()[2] == b':' {
                    word.replace(bare, "HH:MM")
                } else {
                    word.to_owned()
                }
            });
            words.collect::<Vec<_>>().join(" ") + "\n"
        });
        lines.collect()
    }

    /// Lays the kernels of a home that lasts longer than a test into this one.
    pub(crate) fn with_linux_kernel(self) -> Self {
        let lasting = Path::new(env!("CARGO_TARGET_TMPDIR")).join("windlassctl-kernels");
        std::fs::create_dir_all(&lasting).unwrap();
        let lock = std::fs::File::create(lasting.join("lock")).unwrap();
        lock.lock().unwrap();
        let kernels = lasting.join("home/kernels");
        let fetched =
            || std::fs::read_dir(&kernels).is_ok_and(|mut folder| folder.next().is_some());
        if !fetched() {
            let mut fetch = self.process(&["kernel", "fetch"]);
            fetch.env("WINDLASS_HOME", lasting.join("home"));
            let output = fetch.output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        copy(&kernels, &self.home().join("kernels"));
        self
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let listed = self.run(&["instances", "--json"]);
        let machines: Vec<serde_json::Value> =
            serde_json::from_str(&listed.stdout).unwrap_or_default();
        for machine in machines {
            if let Some(id) = machine["id"].as_str() {
                self.run(&["machine", "kill", id]);
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
