//! Whether guest, kernel and file system can hold it.

use windlass_guest::RootFs;
use windlass_image::{ext4, rofs};
use windlass_package::Finding;

use super::Boot;
use crate::layer::LayerKind;
use crate::plan::Plan;
use crate::zfs;

/// So many paths that do not fit are named; the rest is counted.
const NAMED_MAX: usize = 20;

pub(super) fn check(plan: &Plan, boot: &Boot, findings: &mut Vec<Finding>) {
    let (guest, root_fs) = (plan.guest(), plan.root_fs());
    let is_empty = plan
        .layers()
        .iter()
        .all(|layer| layer.kind == LayerKind::Base || layer.file_count == 0);
    if is_empty {
        findings.push(
            Finding::error("there is nothing in it yet")
                .remedy("Add files to its folder, or a package that it needs"),
        );
    }
    if !root_fs.is_for(guest) {
        findings.push(
            Finding::error(format!("{} cannot boot from {root_fs}", guest.title()))
                .remedy("Choose ext4, or OSv as the guest kernel"),
        );
    } else if let Some(mounts) = &boot.kernel_root_file_systems
        && !mounts.contains(&root_fs)
    {
        let other: Vec<String> = mounts.iter().map(ToString::to_string).collect();
        let remedy = if other.is_empty() {
            "Choose another kernel".to_owned()
        } else {
            format!(
                "Choose {}, or a kernel that was built with {root_fs}",
                other.join(" or ")
            )
        };
        findings.push(
            Finding::error(format!(
                "the {} kernel cannot boot from {root_fs}",
                guest.title()
            ))
            .remedy(remedy),
        );
    }
    check_limits(plan, findings);
}

/// Asks the writer of the file system what it cannot hold.
fn check_limits(plan: &Plan, findings: &mut Vec<Finding>) {
    let Ok(tree) = plan.tree() else { return };
    let mut count = 0;
    for (path, node) in &tree {
        let checked = match plan.root_fs() {
            RootFs::Rofs => rofs::check_entry(&path, &node),
            RootFs::Ext4 => ext4::check_entry(&path, &node),
            RootFs::Zfs => zfs::check_entry(&path, &node),
        };
        if let Err(error) = checked {
            count += 1;
            if count <= NAMED_MAX {
                let mut finding = Finding::error(error.to_string()).at(path.to_string());
                finding.remedy = error.hint();
                findings.push(finding);
            }
        }
    }
    if count > NAMED_MAX {
        let more = count - NAMED_MAX;
        findings.push(Finding::error(format!(
            "{more} more {} not fit into {}",
            if more == 1 { "file does" } else { "files do" },
            plan.root_fs()
        )));
    }
}
