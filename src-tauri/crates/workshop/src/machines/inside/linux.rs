//! What a Linux guest's agent tells, in the words of all guests.

use windlass_guest::agent::ProcessSeen;
use windlass_machine::Agent;

use super::{GuestEnvironment, GuestMemory, GuestNow, GuestProcess, GuestProcessState};
use crate::error::{AppError, ErrorKind, Result};

/// The process that begins all others.
const FIRST: u32 = 1;

/// How the first program calls itself where it waits for a command.
const HELPER: &str = "windlass-spawn ";

pub(super) async fn now(agent: &mut Agent) -> Result<GuestNow> {
    let shown = agent.processes().await?;
    let memory = text(agent, b"/proc/meminfo").await?;
    Ok(GuestNow {
        processes: shown.items.into_iter().map(GuestProcess::from).collect(),
        is_cut: shown.is_cut,
        memory: parse_memory(&memory),
    })
}

pub(super) async fn environment(
    agent: &mut Agent,
    process: Option<u32>,
) -> Result<GuestEnvironment> {
    let command_line = text(agent, b"/proc/cmdline").await?.trim().to_owned();
    let mut all = agent.processes().await?.items;
    let found = match process {
        Some(id) => all.iter().position(|it| it.pid == id),
        // The first of the commands; while there is none, the first program itself.
        None => all
            .iter()
            .position(|it| is_command(it, &all))
            .or_else(|| all.iter().position(|it| it.pid == FIRST)),
    };
    if let (Some(id), None) = (process, found) {
        let message = format!("The guest has no process {id}");
        return Err(AppError::new(ErrorKind::NotFound, message)
            .hinted("`windlassctl machine guest ps` lists them"));
    }
    let found = found.map(|index| all.swap_remove(index));
    let variables = match &found {
        Some(process) => {
            let path = format!("/proc/{}/environ", process.pid);
            parse_environment(&text(agent, path.as_bytes()).await?)
        }
        None => Vec::new(),
    };
    Ok(GuestEnvironment {
        command_line,
        process: found.map(GuestProcess::from),
        variables,
    })
}

/// Whether a process is a command: a child of a helper that the first program has made for it.
fn is_command(process: &ProcessSeen, all: &[ProcessSeen]) -> bool {
    let parent = all.iter().find(|it| it.pid == process.parent);
    parent.is_some_and(|it| it.parent == FIRST && it.command.starts_with(HELPER))
}

async fn text(agent: &mut Agent, path: &[u8]) -> Result<String> {
    let mut bytes = Vec::new();
    agent.read_file(path, &mut bytes).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads `/proc/meminfo`: `Name:   number kB` in each line. What is not told is 0.
fn parse_memory(text: &str) -> GuestMemory {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.strip_prefix(':')?.split_ascii_whitespace().next());
        let kib: u64 = number
            .and_then(|number| number.parse().ok())
            .unwrap_or_default();
        kib.saturating_mul(1024)
    };
    let cached = bytes("Cached").saturating_add(bytes("Buffers"));
    GuestMemory {
        total_bytes: bytes("MemTotal"),
        free_bytes: bytes("MemFree"),
        available_bytes: bytes("MemAvailable"),
        cache_bytes: cached.saturating_add(bytes("SReclaimable")),
    }
}

/// Reads `NAME=VALUE`, each ended by a NUL.
fn parse_environment(text: &str) -> Vec<(String, String)> {
    let mut variables: Vec<_> = text
        .split('\0')
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    variables.sort();
    variables
}

impl From<ProcessSeen> for GuestProcess {
    fn from(seen: ProcessSeen) -> Self {
        Self {
            id: seen.pid,
            parent: seen.parent,
            name: seen.name,
            state: match seen.state {
                b'R' => GuestProcessState::Running,
                b'D' => GuestProcessState::Waiting,
                b'T' | b't' => GuestProcessState::Halted,
                b'Z' | b'X' | b'x' => GuestProcessState::Ended,
                b'I' => GuestProcessState::Idle,
                _ => GuestProcessState::Sleeping,
            },
            threads: seen.threads,
            cpu_ms: seen.cpu_ms,
            memory_bytes: seen.memory_bytes,
            command: seen.command,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let memory = parse_memory(
            "MemTotal:         229004 kB\nMemFree:          196412 kB\nMemAvailable:     199672 kB\n\
             Buffers:             212 kB\nCached:            14064 kB\nSReclaimable:    nonsense\n",
        );
        assert_eq!(memory.total_bytes, 229_004 * 1024);
        assert_eq!(memory.cache_bytes, (212 + 14064) * 1024);
        assert_eq!(parse_memory("").total_bytes, 0);
        assert_eq!(
            parse_environment("WHOM=a=b\0nothing\0HOME=/\0"),
            [("HOME", "/"), ("WHOM", "a=b")].map(|(name, value)| (name.into(), value.into()))
        );
    }
}
