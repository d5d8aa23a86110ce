//! The interpreters of this computer: found, and asked who they are.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::helper;

/// An interpreter that does not say its version within this time is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// An interpreter of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The program.
    pub program: PathBuf,
    /// Its version, such as `20.20.2`.
    pub version: String,
    /// The name of the package made of it, such as `node-20`.
    pub package: String,
}

const NODE: [&str; 2] = ["node", "nodejs"];
const PYTHON: [&str; 1] = ["python3"];

/// Looks, without asking: an interpreter takes a tenth of a second to answer.
pub(super) fn has_node() -> bool {
    !candidates(&NODE).is_empty()
}

pub(super) fn has_python() -> bool {
    !candidates(&PYTHON).is_empty()
}

pub(super) fn find_node() -> Option<Interpreter> {
    candidates(&NODE).into_iter().find_map(|program| {
        let answer = ask(
            &program,
            &["-p", "process.versions.node + '\\n' + process.execPath"],
        )?;
        let mut lines = answer.lines();
        let version = version(lines.next()?)?;
        // A version manager's front is asked for the program that it runs.
        let program = Path::new(lines.next()?.trim());
        let major = version.split('.').next()?;
        Some(Interpreter {
            program: program.is_absolute().then(|| program.to_path_buf())?,
            package: format!("node-{major}"),
            version,
        })
    })
}

pub(super) fn find_python() -> Option<Interpreter> {
    candidates(&PYTHON).into_iter().find_map(|program| {
        let question =
            "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)";
        let answer = ask(&program, &["-I", "-S", "-c", question])?;
        let mut lines = answer.lines();
        let version = version(lines.next()?)?;
        let program = Path::new(lines.next()?.trim());
        let (minor, _) = version.rsplit_once('.')?;
        Some(Interpreter {
            program: program.is_absolute().then(|| program.to_path_buf())?,
            package: format!("python-{minor}"),
            version,
        })
    })
}

/// A Python that has pip.
pub(super) fn with_pip() -> Option<PathBuf> {
    candidates(&PYTHON)
        .into_iter()
        .find(|program| ask(program, &["-m", "pip", "--version"]).is_some())
}

/// Three numbers with dots, or nothing: it becomes part of a folder's name.
fn version(text: &str) -> Option<String> {
    let text = text.trim();
    let parts: Vec<&str> = text.split('.').collect();
    let is_number = |part: &&str| {
        !part.is_empty() && part.len() < 6 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    (parts.len() == 3 && parts.iter().all(is_number)).then(|| text.to_owned())
}

/// The programs of these names: the distribution's first, then along `PATH`.
fn candidates(names: &[&str]) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = [PathBuf::from("/usr/bin")]
        .into_iter()
        .chain(env::split_paths(&path));
    let mut found: Vec<PathBuf> = Vec::new();
    for directory in directories.filter(|directory| directory.is_absolute()) {
        for name in names {
            let program = directory.join(name);
            let is_program = fs::metadata(&program).is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            });
            if is_program && !found.contains(&program) {
                found.push(program);
            }
        }
    }
    found
}

/// What a program prints, unless it fails or takes too long.
pub(super) fn ask(program: &Path, arguments: &[&str]) -> Option<String> {
    ask_within(ANSWER_TIMEOUT, program, arguments)
}

fn ask_within(timeout: Duration, program: &Path, arguments: &[&str]) -> Option<String> {
    let output = helper::run(
        Command::new(program).args(arguments),
        Some(timeout),
        &mut (),
    )
    .ok()?;
    output.status.success().then_some(output.stdout)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_answer_that_does_not_end_is_not_waited_for() {
        let shell = Path::new("/bin/sh");
        let ask = |script| ask_within(Duration::from_secs(1), shell, &["-c", script]);
        let start = Instant::now();
        assert_eq!(ask("echo 1.2.3").as_deref(), Some("1.2.3\n"));
        assert_eq!(ask("echo 1.2.3; exit 1"), None);
        assert_eq!(ask("sleep 20"), None);
        assert_eq!(ask("sleep 20 & echo 1.2.3").as_deref(), Some("1.2.3\n"));
        assert!(start.elapsed() < Duration::from_secs(15));
    }
}
