//! Groups: machines that are started, stopped and deleted as one.
//!
//! A group is a name that machines carry, with a number that says when each of them starts; it is there as long as one of
//! them is. Those of one number start at once; the next ones when these run. They are stopped the other way round, the
//! next ones when these have ended.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use specta::Type;
use windlass_machine::MachineHandle;

use super::is_live;
use crate::Workshop;
use crate::error::{AppError, Result};

/// A machine's place in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct GroupPlace {
    /// The group.
    pub name: String,
    /// When it starts: the lowest number first.
    #[serde(default)]
    pub order: u32,
}

impl From<windlass_machine::Group> for GroupPlace {
    fn from(group: windlass_machine::Group) -> Self {
        Self {
            name: group.name,
            order: group.order,
        }
    }
}

impl From<GroupPlace> for windlass_machine::Group {
    fn from(place: GroupPlace) -> Self {
        Self {
            name: place.name,
            order: place.order,
        }
    }
}

/// A group as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct MachineGroup {
    /// Its name.
    pub name: String,
    /// The ids of its machines, in the order in which they start.
    pub machines: Vec<String>,
    /// How many of them run.
    pub running: u32,
}

impl Workshop {
    /// All groups, by name.
    pub fn groups(&self) -> Vec<MachineGroup> {
        let mut groups = BTreeMap::<String, Vec<MachineHandle>>::new();
        for handle in self.machines.list() {
            if let Some(group) = handle.spec().group {
                groups.entry(group.name).or_default().push(handle);
            }
        }
        let shown = groups.into_iter().map(|(name, mut machines)| {
            machines.sort_by_key(order);
            let running = machines.iter().filter(|handle| is_live(handle)).count();
            MachineGroup {
                name,
                machines: machines.iter().map(|handle| handle.id().into()).collect(),
                running: u32::try_from(running).unwrap_or(u32::MAX),
            }
        });
        shown.collect()
    }

    /// The machines of a group, those that start at once together, in the order in which they start.
    pub(crate) fn group_steps(&self, name: &str) -> Result<Vec<Vec<MachineHandle>>> {
        let mut steps = BTreeMap::<u32, Vec<MachineHandle>>::new();
        for handle in self.machines.list() {
            if handle.spec().group.is_some_and(|group| group.name == name) {
                steps.entry(order(&handle)).or_default().push(handle);
            }
        }
        if steps.is_empty() {
            return Err(AppError::not_found("group", name)
                .hinted("`windlassctl machine list` shows the groups"));
        }
        Ok(steps.into_values().collect())
    }

    /// Puts a machine into a group, or takes it out of the one that it is in.
    ///
    /// # Errors
    /// `Input` when the group has no name; `Conflict` while another process drives the machine.
    pub async fn set_machine_group(&self, id: &str, place: Option<GroupPlace>) -> Result<()> {
        let handle = self.machine_handle(id)?;
        let group = place.map(|place| windlass_machine::Group {
            name: place.name.trim().to_owned(),
            order: place.order,
        });
        handle.edit(move |spec| spec.group = group).await?;
        Ok(())
    }

    /// Starts those machines of a group that do not run, in their order. Where one does not start, those that come
    /// after it are not started.
    ///
    /// # Errors
    /// `NotFound`; what kept a machine from starting.
    pub async fn start_group(&self, name: &str) -> Result<()> {
        for step in self.group_steps(name)? {
            let resting = step.iter().filter(|handle| !is_live(handle));
            all(resting.map(|handle| self.start_machine(handle.id()))).await?;
        }
        Ok(())
    }

    /// Stops those machines of a group that run, the last to start first, and returns when they have ended.
    ///
    /// # Errors
    /// `NotFound`; what kept a machine from being asked. The others are stopped all the same.
    pub async fn stop_group(&self, name: &str) -> Result<()> {
        let mut outcome = Ok(());
        for step in self.group_steps(name)?.iter().rev() {
            let live = step.iter().filter(|handle| is_live(handle));
            let stopped = all(live.map(stop_and_wait)).await;
            outcome = outcome.and(stopped);
        }
        outcome
    }

    /// Deletes the machines of a group with all that their guests wrote; those that run are switched off.
    ///
    /// # Errors
    /// `NotFound`; what kept a machine from being deleted. The others are deleted all the same.
    pub async fn delete_group(&self, name: &str) -> Result<()> {
        let machines = self.group_steps(name)?.concat();
        all(machines
            .iter()
            .map(|handle| self.delete_machine(handle.id())))
        .await
    }
}

fn order(handle: &MachineHandle) -> u32 {
    handle.spec().group.map_or(0, |group| group.order)
}

/// Asks a machine to stop, and waits until it has ended.
async fn stop_and_wait(handle: &MachineHandle) -> Result<()> {
    let asked = handle.stop().await;
    // It may have ended in this moment.
    if is_live(handle) {
        asked?;
        handle.ended().await;
    }
    Ok(())
}

/// Does all of it at once; the first error, when all of it is done.
async fn all(work: impl Iterator<Item = impl Future<Output = Result<()>>>) -> Result<()> {
    join_all(work).await.into_iter().collect()
}
