//! How much of this computer machines take: what each may, and what all of them need together.

use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_machine::{HostUsage, MachineSpec, Patience};

use super::is_live;
use crate::Workshop;
use crate::error::Result;

const MIB: u64 = 1 << 20;

/// How much of this computer a machine may take, from its next start on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct MachineResources {
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// How much it gives way to other programs: 0 not at all, 19 always.
    pub nice: u8,
    /// The processors of this computer that it runs on; all, where there are none.
    pub pinned: Vec<u32>,
    /// The most that its disks read and write in a second, in MiB; 0 is no limit.
    pub disk_mib: u32,
    /// The most requests to its disks in a second; 0 is no limit.
    pub disk_requests: u32,
    /// The most of this computer's processors that it takes, in hundredths of one: 150 is one and a half; 0 is no limit.
    pub cpu_percent: u32,
    /// The most memory that it takes, QEMU's own included, in MiB; 0 is no limit.
    pub memory_max_mib: u32,
}

impl MachineResources {
    pub(crate) fn apply(self, spec: &mut MachineSpec) {
        spec.vcpus = self.vcpus;
        spec.memory_mib = self.memory_mib;
        spec.resources = windlass_machine::Resources {
            nice: self.nice,
            pinned: self.pinned,
            disk_bytes: u64::from(self.disk_mib) * MIB,
            disk_requests: self.disk_requests.into(),
            cpu_percent: self.cpu_percent,
            memory_max_mib: self.memory_max_mib,
        };
    }
}

/// More memory than there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct MemoryShortage {
    /// What would be started, in MiB.
    pub wanted_mib: u32,
    /// What machines have that run, in MiB.
    pub running_mib: u32,
    /// What this computer has, in MiB.
    pub total_mib: u32,
    /// What of it is free now, in MiB.
    pub available_mib: u32,
}

impl Workshop {
    /// How much of this computer a machine may take.
    ///
    /// # Errors
    /// `NotFound` when there is none of this id.
    pub fn machine_resources(&self, id: &str) -> Result<MachineResources> {
        let spec = self.machine_handle(id)?.spec();
        let saturated = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(MachineResources {
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            nice: spec.resources.nice,
            pinned: spec.resources.pinned,
            disk_mib: saturated(spec.resources.disk_bytes / MIB),
            disk_requests: saturated(spec.resources.disk_requests),
            cpu_percent: spec.resources.cpu_percent,
            memory_max_mib: spec.resources.memory_max_mib,
        })
    }

    /// Changes how much of this computer a machine may take, from its next start on.
    ///
    /// # Errors
    /// `Input` where that cannot be; `Conflict` while another process drives the machine.
    pub async fn set_machine_resources(&self, id: &str, wanted: MachineResources) -> Result<()> {
        let change = move |spec: &mut MachineSpec| wanted.apply(spec);
        Ok(self.machine_handle(id)?.edit(change).await?)
    }

    /// Whether this computer lacks the memory to start some machines, and `count` new ones of an appliance beside them,
    /// each with the memory that is given, or that its settings say.
    ///
    /// # Errors
    /// `NotFound` when one of them is not there.
    pub fn memory_shortage(
        &self,
        machines: &[String],
        appliance: Option<&str>,
        memory_mib: Option<u32>,
        count: u32,
    ) -> Result<Option<MemoryShortage>> {
        let mut wanted = 0;
        for id in machines {
            wanted += u64::from(self.machine_handle(id)?.spec().memory_mib);
        }
        if let Some(appliance) = appliance {
            let one = if let Some(mib) = memory_mib {
                mib
            } else {
                let form = self.run_form(&self.appliance(appliance)?.id)?;
                form.settings.memory_mib
            };
            wanted += u64::from(one) * u64::from(count.max(1));
        }
        let live = self.machines.list().into_iter().filter(is_live);
        let running = live.map(|handle| u64::from(handle.spec().memory_mib)).sum();
        let host = HostUsage::now().map(|host| {
            (
                host.memory_total_bytes / MIB,
                host.memory_available_bytes / MIB,
            )
        });
        Ok(host.and_then(|(total, available)| shortage(wanted, running, total, available)))
    }

    /// How long the stages of a stop last, as the settings say.
    pub(crate) fn patience(&self) -> Result<Patience> {
        let settings = self.settings()?;
        Ok(Patience {
            stop_ms: u64::from(settings.stop_guest_seconds) * 1000,
            power_ms: u64::from(settings.stop_power_seconds) * 1000,
            ..Patience::default()
        })
    }
}

/// What machines are promised may be more than there is, or what they take at once more than is free.
fn shortage(wanted: u64, running: u64, total: u64, available: u64) -> Option<MemoryShortage> {
    if wanted + running <= total && wanted <= available {
        return None;
    }
    let saturated = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Some(MemoryShortage {
        wanted_mib: saturated(wanted),
        running_mib: saturated(running),
        total_mib: saturated(total),
        available_mib: saturated(available),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_when_too_much_is_promised_or_too_little_is_free() {
        assert_eq!(shortage(512, 0, 8192, 4096), None);
        assert!(shortage(5000, 0, 8192, 4096).is_some(), "not free now");
        assert!(shortage(1024, 8000, 8192, 4096).is_some(), "promised");
    }
}
