//! The sample program *hello*: says where it runs, what it was given, and ends as it is told.
//!
//! ```text
//! windlass-hello [--exit STATUS] [--sleep SECONDS] [ARGUMENT ...]
//! ```
//!
//! It runs in both guests: one static program, one thread, no file that has to be there.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Variables that every guest has, and that tell nothing.
const USUAL_VARIABLES: [&str; 8] = [
    "HOME",
    "OSV_CPUS",
    "OSV_IP",
    "OSV_VERSION",
    "PATH",
    "PWD",
    "TERM",
    "USER",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let environment = std::env::vars_os()
        .map(|(key, value)| {
            (
                key.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .collect();
    let system = System {
        guest: std::env::var("OSV_VERSION").map_or_else(
            |_| {
                read("/proc/sys/kernel/osrelease")
                    .map_or("Linux".to_owned(), |text| format!("Linux {text}"))
            },
            |version| format!("OSv {version}"),
        ),
        processors: std::thread::available_parallelism().ok().map(usize::from),
        memory: read("/proc/meminfo").as_deref().and_then(memory_mib),
    };
    let text = greeting(&arguments, environment, &system);
    let mut output = std::io::stdout();
    let written = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
    if let Some(seconds) = number_after(&arguments, "--sleep") {
        std::thread::sleep(Duration::from_secs(seconds.into()));
    }
    match (written, number_after(&arguments, "--exit")) {
        (_, Some(status)) => ExitCode::from(status),
        (Err(_), None) => ExitCode::FAILURE,
        (Ok(()), None) => ExitCode::SUCCESS,
    }
}

struct System {
    guest: String,
    processors: Option<usize>,
    memory: Option<u64>,
}

fn greeting(
    arguments: &[String],
    mut environment: Vec<(String, String)>,
    system: &System,
) -> String {
    let mut text = String::from("Hello from a virtual appliance!\n");
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<12} {value}");
    };
    line("kernel", &system.guest);
    if let Some(processors) = system.processors {
        line("processors", &processors.to_string());
    }
    if let Some(memory) = system.memory {
        line("memory", &format!("{memory} MiB"));
    }
    for argument in arguments {
        line("argument", argument);
    }
    environment.sort();
    for (key, value) in environment {
        if !USUAL_VARIABLES.contains(&key.as_str()) {
            line("environment", &format!("{key}={value}"));
        }
    }
    text
}

fn number_after(arguments: &[String], option: &str) -> Option<u8> {
    let position = arguments.iter().position(|argument| argument == option)?;
    arguments.get(position + 1)?.parse().ok()
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// The first line of `/proc/meminfo`, in MiB.
fn memory_mib(text: &str) -> Option<u64> {
    let kib: u64 = text
        .lines()
        .next()?
        .strip_prefix("MemTotal:")?
        .trim()
        .strip_suffix(" kB")?
        .parse()
        .ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_shows_what_was_given() {
        let arguments = ["--exit", "3", "a b"].map(str::to_owned);
        let environment = [("PATH", "/bin"), ("NAME", "World of OSv"), ("A", "")];
        let environment = environment
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec();
        let memory = memory_mib("MemTotal:         498512 kB\nMemFree: 1 kB\n");
        let system = System {
            guest: "Linux 6.1.0".to_owned(),
            processors: Some(2),
            memory,
        };
        insta::assert_snapshot!(greeting(&arguments, environment, &system));
        assert_eq!(number_after(&arguments, "--exit"), Some(3));
        assert_eq!(number_after(&arguments, "--sleep"), None);
    }
}
