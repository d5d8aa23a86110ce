//! Finding a program, and why it cannot be started, before it is tried.
//!
//! The kernel's own answer is often only "no such file", for a missing interpreter too.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a shell gives for a program that is not there, and for one that cannot be run.
pub(super) const STATUS_NOT_FOUND: i32 = 127;
pub(super) const STATUS_NOT_EXECUTABLE: i32 = 126;

/// ELF's numbers: a shared object, the processor, the program header that names the dynamic linker.
const SHARED: u64 = 3;
const X86_64: u64 = 62;
const INTERPRETER: u32 = 3;

/// A program that cannot be started.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub status: i32,
    pub reason: String,
}

/// Finds the file that a command's first word names, as a shell does.
pub(super) fn find(word: &str, search_path: &str) -> Result<PathBuf, Fault> {
    if word.contains('/') {
        check(Path::new(word))?;
        return Ok(PathBuf::from(word));
    }
    let found = search_path
        .split(':')
        .map(|folder| Path::new(folder).join(word))
        .find(|path| path.is_file());
    let Some(path) = found else {
        // OSv looks beside the working directory only; its command lines name programs so.
        if Path::new(word).is_file() {
            check(Path::new(word))?;
            return Ok(Path::new(".").join(word));
        }
        return Err(not_found(format!(
            "there is no such program in {search_path}"
        )));
    };
    check(&path)?;
    Ok(path)
}

fn not_found(reason: String) -> Fault {
    Fault {
        status: STATUS_NOT_FOUND,
        reason,
    }
}

fn not_executable(reason: &str) -> Fault {
    Fault {
        status: STATUS_NOT_EXECUTABLE,
        reason: reason.to_owned(),
    }
}

/// Checks what can be checked of a program's file.
fn check(path: &Path) -> Result<(), Fault> {
    let facts = match fs::metadata(path) {
        Ok(facts) => facts,
        Err(_) if path.is_symlink() => {
            let target = fs::read_link(path).unwrap_or_default();
            return Err(not_found(format!(
                "it is a link to {}, which is not in the image",
                target.display()
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(not_found("there is no such file in the image".to_owned()));
        }
        Err(error) => return Err(not_found(error.to_string())),
    };
    if facts.is_dir() {
        return Err(not_executable("it is a folder"));
    }
    if facts.permissions().mode() & 0o111 == 0 {
        return Err(not_executable("it is not marked as executable"));
    }
    let file = File::open(path).map_err(|error| not_executable(&error.to_string()))?;
    let mut head = Vec::new();
    (&file)
        .take(256)
        .read_to_end(&mut head)
        .map_err(|error| not_executable(&error.to_string()))?;
    if let Some(interpreter) = script_interpreter(&head) {
        return if Path::new(&interpreter).exists() {
            Ok(())
        } else {
            Err(not_found(format!(
                "its interpreter {interpreter} is not in the image"
            )))
        };
    }
    if !head.starts_with(b"\x7fELF") {
        return Err(not_executable(
            "it is neither a program (ELF) nor a script (#!)",
        ));
    }
    check_elf(&head, &file)
}

/// The interpreter that `#!/path argument` names.
fn script_interpreter(head: &[u8]) -> Option<String> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    String::from_utf8_lossy(line)
        .split_ascii_whitespace()
        .next()
        .map(str::to_owned)
}

fn check_elf(head: &[u8], file: &File) -> Result<(), Fault> {
    let number = |offset: usize, size: usize| -> u64 {
        let bytes = head.get(offset..offset + size).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    if head.get(4) != Some(&2) || number(18, 2) != X86_64 {
        return Err(not_executable(
            "it is a program for another kind of processor, not for x86-64",
        ));
    }
    let (table, count) = (number(32, 8), number(56, 2).min(64));
    let mut interpreter = None;
    for index in 0..count {
        let mut entry = [0; 56];
        if file
            .read_exact_at(&mut entry, table.saturating_add(index * 56))
            .is_err()
        {
            return Err(not_executable("it is cut short"));
        }
        let field = |offset: usize| {
            entry[offset..]
                .first_chunk()
                .map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        if entry.first_chunk().map(|kind| u32::from_le_bytes(*kind)) == Some(INTERPRETER) {
            let length = usize::try_from(field(32)).unwrap_or(0).min(4096);
            let mut name = vec![0; length];
            if file.read_exact_at(&mut name, field(8)).is_ok() {
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                interpreter = Some(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    match interpreter {
        Some(path) if !Path::new(&path).exists() => Err(not_found(format!(
            "its dynamic linker {path} is not in the image"
        ))),
        None if number(16, 2) == SHARED && number(24, 8) == 0 => Err(not_executable(
            "it is a shared library, as OSv runs them; Linux needs a program",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(bytes: &[u8], mode: u32) -> Result<(), String> {
        let id = std::thread::current().id();
        let path = std::env::temp_dir().join(format!(
            "windlass-init-program-{}-{id:?}",
            std::process::id()
        ));
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let result = find(path.to_str().unwrap(), "");
        fs::remove_file(&path).unwrap();
        result
            .map(|_| ())
            .map_err(|fault| format!("{} {}", fault.status, fault.reason))
    }

    #[test]
    fn what_is_wrong_with_a_program_is_said() {
        let ourselves = fs::read(std::env::current_exe().unwrap()).unwrap();
        let mut arm = ourselves.clone();
        arm[18] = 183;
        let mut foreign = ourselves.clone();
        let needle = b"/lib64/ld-linux";
        if let Some(position) = foreign
            .windows(needle.len())
            .position(|bytes| bytes == needle)
        {
            foreign[position..position + 6].copy_from_slice(b"/gone6");
        }
        let mut library = ourselves[..64].to_vec();
        library[16] = 3;
        library[24..32].fill(0);
        library[56..58].fill(0);
        let rows = [
            with_file(b"#!/bin/gone -x\n", 0o755),
            with_file(b"hello", 0o755),
            with_file(&ourselves, 0o644),
            with_file(&arm, 0o755),
            with_file(&foreign, 0o755),
            with_file(&library, 0o755),
            with_file(&ourselves[..100], 0o755),
            find("/gone", "").map(|_| ()).map_err(|fault| fault.reason),
            find("gone", "/bin:/usr/bin")
                .map(|_| ())
                .map_err(|fault| fault.reason),
            find("/tmp", "").map(|_| ()).map_err(|fault| fault.reason),
        ];
        let rows: Vec<String> = rows.into_iter().map(|row| row.unwrap_err()).collect();
        insta::assert_snapshot!(rows.join("\n"));
        assert_eq!(with_file(&ourselves, 0o755), Ok(()));
    }
}
