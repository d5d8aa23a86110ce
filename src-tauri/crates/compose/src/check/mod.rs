//! What will not work in a guest, before anything is built.

use windlass_guest::CommandLine;
use windlass_package::Finding;

use crate::plan::Plan;

/// What will be booted with the image, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// The boot command line.
    pub command_line: Option<CommandLine>,
    /// The root file systems that the kernel can mount; `None` where no kernel is chosen yet.
    pub kernel_root_file_systems: Option<Vec<windlass_guest::RootFs>>,
}

/// Looks for what will not work: programs of another architecture, missing libraries, libraries that OSv supplies itself,
/// a boot command whose program is not there, scripts without their interpreter, what the file system cannot hold.
/// Reads the beginnings of programs; what cannot be read is a finding. Errors first.
pub fn check(plan: &Plan, boot: &Boot) -> Vec<Finding> {
    let _ = (plan, boot);
    todo!()
}
