//! What was noticed of an appliance: what cannot work, what will probably not, and what to do about it.

use serde::Serialize;
use specta::Type;
use windlass_compose as compose;
use windlass_guest::RootFs as GuestRootFs;
use windlass_guest::kernel::KernelForm;

use super::{Composition, FindingFix};
use crate::Workshop;
use crate::error::AppError;
use crate::guests::{GuestOs, RootFs};

/// How much something that was noticed matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It will probably not do what was meant.
    Warning,
    /// It cannot work as it is.
    Error,
}

crate::guests::mirror!(Severity, windlass_package::Severity: Note, Warning, Error);

/// Something that was noticed, and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The file that it is about.
    pub path: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What does it in one click, where something can.
    pub fix: Option<FindingFix>,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", windlass_package::Severity::from(self.severity))?;
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl From<windlass_package::Finding> for Finding {
    fn from(finding: windlass_package::Finding) -> Self {
        Self {
            severity: finding.severity.into(),
            path: finding.path,
            message: finding.message,
            remedy: finding.remedy,
            fix: finding.fix.map(FindingFix::from),
        }
    }
}

impl From<AppError> for Finding {
    fn from(error: AppError) -> Self {
        let message = std::iter::once(error.message)
            .chain(error.chain)
            .collect::<Vec<_>>();
        Self {
            severity: Severity::Error,
            path: None,
            message: message.join(": "),
            remedy: error.hints.into_iter().next(),
            fix: None,
        }
    }
}

impl Workshop {
    /// What is wrong with a composition, worst first.
    pub(crate) fn findings(&self, composition: &Composition) -> Vec<Finding> {
        let mounted = self.mounted_by(composition.guest);
        let has_kernel = mounted.contains(&GuestRootFs::from(composition.root_fs));
        // Without any kernel, what is missing is a kernel, and the build says so.
        let mounted = Some(mounted).filter(|mounted| !mounted.is_empty());
        let mut findings = findings_of(composition, mounted);
        if composition.root_fs == RootFs::Zfs
            && has_kernel
            && let Some(error) = self.no_zfs_builder()
        {
            findings.push(Finding {
                severity: Severity::Warning,
                ..error.into()
            });
        }
        worst_first(findings)
    }

    /// The root file systems that some kernel of the library can boot a guest from.
    fn mounted_by(&self, guest: GuestOs) -> Vec<GuestRootFs> {
        let kernels = self.library.kernels().map(|listing| listing.entries);
        let mut mounted = Vec::new();
        for kernel in kernels.unwrap_or_default() {
            if GuestOs::from(kernel.guest) == guest && kernel.form != KernelForm::OsvZfsBuilder {
                mounted.extend(kernel.root_file_systems);
            }
        }
        mounted.sort_unstable();
        mounted.dedup();
        mounted
    }
}

/// What is wrong with a composition whatever kernels there are.
pub(crate) fn findings_without_kernel(composition: &Composition) -> Vec<Finding> {
    worst_first(findings_of(composition, None))
}

fn findings_of(composition: &Composition, mounted: Option<Vec<GuestRootFs>>) -> Vec<Finding> {
    let boot = compose::Boot {
        command_line: Some(composition.command_line.clone()),
        kernel_root_file_systems: mounted,
    };
    let noticed = composition.plan.findings().iter().cloned();
    let checked = compose::check(&composition.plan, &boot);
    let mut findings = composition.findings.clone();
    findings.extend(noticed.chain(checked).map(Finding::from));
    findings
}

fn worst_first(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}
