//! What will not work in a guest, before anything is built.
//!
//! ```text
//!   plan ─┬─ fits        guest and file system, names and sizes          [fits]
//!         ├─ boot        the boot command's programs are there           [command]
//!         ├─ programs    architecture, libraries, interpreters           [programs]
//!         │                └ by their headers alone, as the closure of a program is found
//!         └─ symbols       versions of libraries; other processes, and what else OSv has not
//!                          └ of what is started and the libraries of that  [symbols]
//! ```

use windlass_guest::{CommandLine, RootFs};
use windlass_package::{Finding, Severity};

use crate::plan::Plan;

mod command;
mod fits;
mod look;
mod programs;
mod symbols;

/// What will be booted with the image, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// The boot command line.
    pub command_line: Option<CommandLine>,
    /// The root file systems that the kernel can mount; `None` where no kernel is chosen yet.
    pub kernel_root_file_systems: Option<Vec<RootFs>>,
}

/// Looks for what will not work: programs of another architecture, missing libraries, libraries that OSv supplies
/// itself, functions that OSv has not, versions that a library does not offer, a boot command whose program is not there, scripts without their interpreter, what the file system cannot
/// hold. Reads the beginnings of programs; what cannot be read is a finding. Errors first.
pub fn check(plan: &Plan, boot: &Boot) -> Vec<Finding> {
    let mut findings = plan.findings().to_vec();
    fits::check(plan, boot, &mut findings);
    let started = command::check(plan, boot, &mut findings);
    programs::check(plan, &started, &mut findings);
    findings.sort_by(|one, other| {
        (other.severity.cmp(&one.severity)).then_with(|| one.path.cmp(&other.path))
    });
    findings.dedup();
    findings
}

/// Whether nothing was found that is in the way of a build.
pub fn is_buildable(findings: &[Finding]) -> bool {
    findings
        .iter()
        .all(|finding| finding.severity < Severity::Error)
}
