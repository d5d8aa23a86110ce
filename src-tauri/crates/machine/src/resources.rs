//! A machine's share of this computer: which processors its own run on, and how much its disks move.
//!
//! Done from outside, when QEMU runs: `-sandbox resourcecontrol=deny` keeps it from doing so itself. Its priority is given
//! to it at its start, see `confine`.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};

use crate::qmp::{Command, Qmp};
use crate::spec::{MachineSpec, Resources};

/// Which processors of this computer the `index`th of a machine's runs on: one of its own where there are enough of them.
fn processors(resources: &Resources, vcpus: u32, index: usize) -> Vec<u32> {
    let pinned = &resources.pinned;
    if pinned.len() < usize::try_from(vcpus).unwrap_or(usize::MAX) {
        return pinned.clone();
    }
    pinned.get(index).map(|one| vec![*one]).unwrap_or_default()
}

/// The threads of a machine's processors in the answer to `query-cpus-fast`, by number.
fn threads(answer: &Value) -> Vec<(usize, i32)> {
    let processors = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let threads = processors.iter().filter_map(|processor| {
        let index = processor["cpu-index"].as_u64()?;
        let thread = processor["thread-id"].as_i64()?;
        Some((usize::try_from(index).ok()?, i32::try_from(thread).ok()?))
    });
    threads.collect()
}

/// The name of a disk's device.
pub(crate) fn device(index: usize) -> String {
    format!("blk{index}")
}

/// Limits what a disk moves.
fn limit(index: usize, resources: &Resources) -> Command {
    let (bytes, requests) = (resources.disk_bytes, resources.disk_requests);
    let limits = json!({
        // The half of the device that has the disk.
        "id": format!("/machine/peripheral/{}/virtio-backend", device(index)),
        "bps": bytes, "bps_rd": 0, "bps_wr": 0,
        "iops": requests, "iops_rd": 0, "iops_wr": 0,
        // One budget for all disks of the machine.
        "group": "machine",
    });
    Command::with("block_set_io_throttle", limits)
}

/// Has a QEMU that was started keep to its machine's share; what could not be done, in words.
pub(crate) async fn apply(qmp: &Qmp, spec: &MachineSpec) -> Vec<String> {
    let resources = &spec.resources;
    let mut problems = Vec::new();
    if !resources.pinned.is_empty() {
        match qmp.execute(Command::new("query-cpus-fast")).await {
            Ok(answer) => {
                for (index, thread) in threads(&answer) {
                    let mut set = CpuSet::new();
                    for processor in processors(resources, spec.vcpus, index) {
                        set.set(usize::try_from(processor).unwrap_or_default());
                    }
                    if let Err(error) = sched_setaffinity(Pid::from_raw(thread), &set) {
                        problems.push(format!("processor {index} was not pinned: {error}"));
                    }
                }
            }
            Err(error) => problems.push(format!("the processors were not pinned: {error}")),
        }
    }
    if resources.disk_bytes > 0 || resources.disk_requests > 0 {
        for index in 0..spec.disks.len() {
            if let Err(error) = qmp.execute(limit(index, resources)).await {
                problems.push(format!("disk {index} was not limited: {error}"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_gets_one_of_its_own_where_there_are_enough() {
        let pinned = |pinned: &[u32]| Resources {
            pinned: pinned.to_vec(),
            ..Resources::default()
        };
        assert_eq!(processors(&pinned(&[4, 5]), 2, 1), [5]);
        assert_eq!(processors(&pinned(&[4, 5, 6]), 2, 0), [4]);
        assert_eq!(processors(&pinned(&[4, 5]), 4, 3), [4, 5], "shared");
    }

    #[test]
    fn threads_are_found_whatever_else_is_said() {
        let answer = json!([
            {"cpu-index": 0, "thread-id": 71, "qom-path": "/machine"},
            {"cpu-index": 1, "thread-id": 72},
            {"cpu-index": 2},
        ]);
        assert_eq!(threads(&answer), [(0, 71), (1, 72)]);
        assert_eq!(threads(&json!({})), []);
    }
}
