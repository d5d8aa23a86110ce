//! The first program of a Linux guest.
//!
//! The kernel starts it from the initramfs as process 1. It does what OSv's kernel does for an appliance, with the same
//! command line and the same meaning, and tells the host in `[windlass] …` lines ([`windlass_guest::report`]) what
//! becomes of each command:
//!
//! ```text
//!   initramfs                             what is found there
//!   ├── init                              this program
//!   ├── modules/order, modules/*.ko       kernel modules, loaded in the listed order
//!   └── windlass/command-line             the boot command line, put there when the machine is started
//!
//!   mount proc, sys, dev ─> load modules ─> find the root disk (ext4) ─> mount it and make it the root
//!     ─> lo up, eth0 by DHCP or --ip ─> what the cloud tells ([`cloud`]) ─> run the commands ─> power off
//! ```
//!
//! # What the kernel's parameters can say
//! `windlass.network=required` (the default: no address is an error, the guest powers off), `optional` (go on without
//! one) or `off` (nothing but loopback); `windlass.dhcp-seconds=N` (12); `windlass.hostname=NAME`; `windlass.root=/dev/NAME`, or
//! `windlass.root=PARTLABEL=NAME` for a partition by its name, or `windlass.root=virtiofs:TAG` for a folder of the host's.
//!
//! `windlass.agent=on` lets the host change files and run programs while the commands run ([`agent`]).
//!
//! # Console
//! Each command has a terminal of its own (a pty) and its own session. What it prints goes to the serial port `ttyS0` and to
//! the VGA console `tty1`; what comes in by the serial port or the keyboard goes to the command started last. Lines of
//! ours always begin at the beginning of a line. The host can stop reading: programs wait then, but the guest can still be
//! stopped.
//!
//! # How the host stops the guest
//! Two ways, both end in the same: every program gets SIGTERM, five seconds later SIGKILL; file systems are written
//! and the machine powers itself off.
//! - **ACPI power button**: QMP `system_powerdown`, the same as for OSv. Needs the kernel modules `button` and `evdev`
//!   in the initramfs (they have no dependencies).
//! - **Ctrl+Alt+Del**: QMP `send-key` with `ctrl`, `alt`, `delete`. Needs nothing: keyboard driver and the key are
//!   built into the kernels of Debian and Ubuntu.
//!
//! A failure of this program, a panic too, is a `[windlass] failed: …` line and then power-off, never a hang.

mod agent;
mod cloud;
mod commands;
mod console;
mod machine;
mod modules;
mod mounts;
mod network;
mod root;
mod settings;

use std::path::Path;
use std::process::ExitCode;

use windlass_guest::CommandLine;
use windlass_guest::report::Report;

use commands::events::Events;
use commands::plan::{self, Plan};
use commands::spawn;
use commands::supervisor::{self, End};
use console::Console;
use settings::Settings;

/// The version that the first line names.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the command line is, in the initramfs and in the image.
const COMMAND_LINE_OF_MACHINE: &str = "/windlass/command-line";
const COMMAND_LINE_OF_IMAGE: &str = "/etc/windlass/command-line";

/// What ends the guest before its commands have begun.
#[derive(Debug)]
struct Failure(Report);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if name == spawn::HELPER_NAME {
        return spawn::helper(arguments);
    }
    if name == agent::programs::HELPER_NAME {
        return agent::programs::helper(arguments);
    }
    if std::process::id() != 1 {
        use std::io::Write;
        let text = "windlass-init is the first program of a virtual machine; it does nothing anywhere else\n";
        let _ = std::io::stderr().write_all(text.as_bytes());
        return ExitCode::FAILURE;
    }
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.to_string();
        console::emergency(&Report::Failed { message });
        machine::power_off();
    }));
    let mut console = Console::default();
    let status = match boot(&mut console) {
        Ok(status) => status,
        Err(Failure(report)) => {
            console.report(&report);
            1
        }
    };
    console.report(&Report::Ended { status });
    console.report(&Report::PoweringOff);
    console.finish();
    machine::power_off();
    ExitCode::FAILURE
}

/// Everything from the first mount to the end of the last command; gives the guest's exit status.
fn boot(console: &mut Console) -> Result<i32, Failure> {
    mounts::kernel_file_systems().map_err(failed)?;
    console.open();
    let init = VERSION.to_owned();
    console.report(&Report::Booted {
        init,
        kernel: machine::kernel_release(),
    });
    machine::catch_keys();
    let settings = Settings::parse(&read_text("/proc/cmdline").unwrap_or_default());
    modules::load_all(console);
    let machine_command_line = read_text(COMMAND_LINE_OF_MACHINE);

    let no_root = |reason| Failure(Report::NoRoot { reason });
    let shared = settings.root.as_deref();
    let is_writable = if let Some(tag) = shared.and_then(|root| root.strip_prefix(root::SHARED)) {
        root::mount_shared(tag).map_err(no_root)?;
        true
    } else {
        let root = root::find(settings.root.as_deref()).map_err(no_root)?;
        root::mount(&root).map_err(no_root)?
    };
    mounts::switch_root().map_err(failed)?;
    mounts::in_root(console);
    if is_writable {
        machine::write_missing_files(console);
    }
    machine::set_hostname(settings.hostname.as_deref(), is_writable);

    let Some(text) = machine_command_line.or_else(|| read_text(COMMAND_LINE_OF_IMAGE)) else {
        let reason =
            format!("there is none, neither from the machine nor in {COMMAND_LINE_OF_IMAGE}");
        return Err(Failure(Report::BadCommandLine { reason }));
    };
    let line = CommandLine::parse(text.trim_end_matches(['\n', '\r', '\0'])).map_err(|error| {
        Failure(Report::BadCommandLine {
            reason: error.to_string(),
        })
    })?;
    network::bring_up(&line, &settings, is_writable, console)?;
    let told = cloud::user_data(console);
    if is_writable {
        cloud::name_hosts(&told, console);
    }
    let by_cloud = told.command_line.is_some();
    let line = match told.command_line {
        Some(text) => CommandLine::parse(&text).map_err(|error| {
            let reason = format!("that of the cloud's user data: {error}");
            Failure(Report::BadCommandLine { reason })
        })?,
        None => line,
    };
    mounts::of_command_line(&line, by_cloud, console);

    let home = if Path::new("/root").is_dir() {
        "/root"
    } else {
        "/"
    };
    let planner = |line: &CommandLine| plan::make(line, plan::base_environment(home), &plan::Files);
    let plan = planner(&line).map_err(|reason| Failure(Report::BadCommandLine { reason }))?;
    let agent = settings.agent.then(|| {
        let launch = agent::programs::launch(plan.environment.clone());
        agent::start(is_writable, launch)
    });
    let agent = agent.transpose().unwrap_or_else(|reason| {
        let message = format!("the host cannot change files here: {reason}");
        console.report(&Report::Warning { message });
        None
    });
    let mut events = Events::listen(agent)
        .map_err(|error| failed(format!("cannot listen for signals: {error}")))?;
    Ok(run_commands(line, plan, &planner, &mut events, console))
}

/// Runs the commands, again and again where the agent wants it; gives the guest's exit status.
fn run_commands(
    mut line: CommandLine,
    mut plan: Plan,
    planner: supervisor::Planner<'_>,
    events: &mut Events,
    console: &mut Console,
) -> i32 {
    loop {
        enter_working_directory(&plan, console);
        match supervisor::run(&line, plan, planner, events, console) {
            End::Status(status) => return status,
            End::Restart(restart) => {
                console.report(&Report::Restarting);
                (line, plan) = (restart.line, restart.plan);
                restart.wish.grant(plan.commands.len());
            }
        }
    }
}

fn enter_working_directory(plan: &Plan, console: &mut Console) {
    let Some(directory) = &plan.working_directory else {
        return;
    };
    if let Err(error) = std::env::set_current_dir(directory) {
        let message = format!("cannot enter the working directory {directory}: {error}");
        console.report(&Report::Warning { message });
    }
}

fn read_text(path: &str) -> Option<String> {
    std::fs::read(path)
        .ok()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn failed(message: String) -> Failure {
    Failure(Report::Failed { message })
}
