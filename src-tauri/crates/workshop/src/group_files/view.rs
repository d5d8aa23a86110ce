//! A group as it is seen: its file's services, and what their machines do.
//!
//! Whether a service does what it is for is looked at while somebody watches, whoever started it: the first look begins a
//! look at the guest, and the next ones tell what came out. Nothing is kept that a restart would have to bring back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use windlass_machine::MachineHandle;
use windlass_package::group_file::{Health, HealthCheck, Service};

use super::health::Looking;
use super::shown::{
    GroupView, HealthKind, ServiceHealth, ServiceMachine, ServiceState, ServiceView, ServiceVolume,
};
use super::{Plan, file_name, plan};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::machines::{Machine, MachineState, is_live, labels};

/// How long what was seen of a service's health is good for: of one that is not healthy yet, and of one that is.
const LOOK_AGAIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN_HEALTHY: Duration = Duration::from_secs(15);

/// The longest that the first look at all of a group may take.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// What was seen of machines' health.
#[derive(Debug, Default)]
pub(crate) struct Healths {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    /// The run that this is about.
    run: Option<String>,
    is_healthy: Option<bool>,
    looked: Option<Instant>,
    /// Kept from one look to the next; away while somebody looks.
    looking: Option<Looking>,
    is_away: bool,
}

impl Workshop {
    /// A group by its name; or, where there is no machine of such a group, by the path of its file or of the folder that
    /// this is in.
    ///
    /// # Errors
    /// `NotFound` when there is neither; `Input` when the file has a mistake and there is no machine of it.
    pub fn group_view(self: &Arc<Self>, group: &str) -> Result<GroupView> {
        let machines = self.machines_of_group(group);
        if machines.is_empty() {
            let plan = plan(Path::new(group))?;
            let machines = self.machines_of_group(&plan.name);
            return self.view_of(&plan, &machines);
        }
        let file = machines.iter().find_map(|it| labels(it).group_file);
        match file.as_deref().map(plan) {
            Some(Ok(plan)) if plan.name == group => self.view_of(&plan, &machines),
            Some(Err(error)) => Ok(self.view_of_machines(group, &machines, Some(error))),
            _ => Ok(self.view_of_machines(group, &machines, None)),
        }
    }

    /// As [`group_view`](Self::group_view), when every guest whose health the file asks for was looked at once.
    ///
    /// # Errors
    /// As [`group_view`](Self::group_view).
    pub async fn group_looked_at(self: &Arc<Self>, group: &str) -> Result<GroupView> {
        let began = Instant::now();
        loop {
            let view = self.group_view(group)?;
            let machines = view.services.iter().flat_map(|it| &it.machines);
            let ids: Vec<_> = machines
                .filter(|it| it.state == ServiceState::Waiting)
                .filter_map(|it| it.id.clone())
                .collect();
            let is_open = {
                let all = self
                    .healths
                    .known
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                ids.iter()
                    .any(|id| all.get(id).is_some_and(|it| it.is_healthy.is_none()))
            };
            if !is_open || began.elapsed() > LOOK_MAX {
                return Ok(view);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn machines_of_group(&self, name: &str) -> Vec<MachineHandle> {
        let mut machines = self.machines.list();
        machines.retain(|handle| handle.spec().group.is_some_and(|it| it.name == name));
        machines
    }

    fn view_of(self: &Arc<Self>, plan: &Plan, machines: &[MachineHandle]) -> Result<GroupView> {
        let appliances = self.appliances()?;
        let mut seen = Vec::new();
        let mut services: Vec<_> = plan
            .services
            .iter()
            .map(|service| {
                let folder = plan.folder.join(&service.appliance);
                let folder = std::fs::canonicalize(&folder).unwrap_or(folder);
                let appliance = appliances
                    .iter()
                    .find(|it| Path::new(&it.path) == folder || it.name == service.appliance);
                let own = service.machine_names().into_iter().map(|host| {
                    let name = format!("{}-{host}", plan.name);
                    let handle = machines.iter().find(|it| it.spec().name == name);
                    seen.extend(handle.map(|it| it.id().to_owned()));
                    self.machine_of_service(name, handle, service.health.as_ref())
                });
                let own = own.collect();
                view_of_service(service, appliance.map(|it| it.id.clone()), own)
            })
            .collect();
        services.sort_by_key(|service| service.order);
        let others = machines.iter().map(|it| it.id().to_owned());
        Ok(GroupView {
            name: plan.name.clone(),
            file: Some(plan.file.to_string_lossy().into_owned()),
            network: Some(plan.network.clone()),
            has_figures: plan.services.iter().any(|it| !it.figures.is_empty()),
            services,
            others: others.filter(|id| !seen.contains(id)).collect(),
            notes: plan.notes.clone(),
            problem: None,
        })
    }

    /// Where there is no file: the machines by themselves.
    fn view_of_machines(
        self: &Arc<Self>,
        name: &str,
        machines: &[MachineHandle],
        problem: Option<AppError>,
    ) -> GroupView {
        let mut services: Vec<_> = machines
            .iter()
            .map(|handle| {
                let spec = handle.spec();
                let own = self.machine_of_service(spec.name.clone(), Some(handle), None);
                ServiceView {
                    name: spec.name,
                    appliance: String::new(),
                    appliance_id: labels(handle).appliance_id,
                    order: spec.group.map_or(0, |group| group.order),
                    depends_on: Vec::new(),
                    configuration: None,
                    command: None,
                    env: Vec::new(),
                    memory_mib: Some(spec.memory_mib),
                    ports: Vec::new(),
                    volumes: Vec::new(),
                    health: None,
                    machines: vec![own],
                }
            })
            .collect();
        services.sort_by(|a, b| (a.order, &a.name).cmp(&(b.order, &b.name)));
        GroupView {
            name: name.to_owned(),
            file: None,
            network: None,
            services,
            others: Vec::new(),
            notes: Vec::new(),
            problem,
            has_figures: false,
        }
    }

    fn machine_of_service(
        self: &Arc<Self>,
        name: String,
        handle: Option<&MachineHandle>,
        health: Option<&Health>,
    ) -> ServiceMachine {
        let Some(shown) = handle.and_then(|handle| self.machine(handle.id()).ok()) else {
            return ServiceMachine {
                name,
                id: None,
                state: ServiceState::Absent,
                message: None,
                remedy: None,
            };
        };
        let state = match shown.state {
            MachineState::Created | MachineState::Stopped => ServiceState::Ended,
            MachineState::Starting => ServiceState::Starting,
            MachineState::Paused => ServiceState::Paused,
            MachineState::Stopping => ServiceState::Stopping,
            MachineState::Failed | MachineState::Crashed | MachineState::Lost => {
                ServiceState::Failed
            }
            MachineState::Running => match (handle, health) {
                (Some(handle), Some(health)) => self.health_of(handle, &shown, health),
                _ => ServiceState::Running,
            },
        };
        let message = match (state, health) {
            (ServiceState::Ill, Some(health)) => Some(format!(
                "It was not healthy within {} s",
                health.within_seconds
            )),
            _ => shown.message,
        };
        ServiceMachine {
            name,
            id: Some(shown.id),
            state,
            message,
            remedy: shown.remedy,
        }
    }

    /// What is known of the health of a machine that runs; looks again where that is old.
    fn health_of(
        self: &Arc<Self>,
        handle: &MachineHandle,
        shown: &Machine,
        health: &Health,
    ) -> ServiceState {
        let mut all = self
            .healths
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = all
            .entry(shown.id.clone())
            .or_insert_with(|| Known::of(shown));
        if known.run != shown.started_at {
            *known = Known::of(shown);
        }
        // What the console said, it said.
        let is_settled =
            known.is_healthy == Some(true) && matches!(health.check, HealthCheck::Console(_));
        let good_for = match known.is_healthy {
            Some(true) => LOOK_AGAIN_HEALTHY,
            _ => LOOK_AGAIN,
        };
        let is_old = known
            .looked
            .is_none_or(|looked| looked.elapsed() > good_for);
        if is_old && !known.is_away && !is_settled {
            known.is_away = true;
            let looking = known.looking.take();
            let (workshop, handle, health) = (Arc::clone(self), handle.clone(), health.clone());
            let run = known.run.clone();
            tokio::spawn(async move { workshop.look(&handle, &health, looking, run).await });
        }
        let is_late = || {
            let started = handle.status().borrow().started_at;
            started.is_some_and(|started| {
                let age = jiff::Timestamp::now().duration_since(started);
                age.as_secs() > i64::from(health.within_seconds)
            })
        };
        match known.is_healthy {
            Some(true) => ServiceState::Healthy,
            Some(false) if is_late() => ServiceState::Ill,
            Some(false) | None => ServiceState::Waiting,
        }
    }

    async fn look(
        &self,
        handle: &MachineHandle,
        health: &Health,
        looking: Option<Looking>,
        run: Option<String>,
    ) {
        let looking = match looking {
            Some(looking) => Ok(looking),
            None => Looking::new(self, handle, &health.check),
        };
        let (looking, is_healthy) = match looking {
            Ok(mut looking) => {
                let is_healthy = looking.is_healthy(handle).await.unwrap_or(false);
                (Some(looking), is_healthy)
            }
            Err(_) => (None, false),
        };
        let mut all = self
            .healths
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(handle.id()).filter(|known| known.run == run) {
            known.is_healthy = Some(is_healthy);
            known.looked = Some(Instant::now());
            known.looking = looking;
            known.is_away = false;
        }
        // Of machines that are gone.
        all.retain(|id, _| self.machine_handle(id).is_ok());
    }

    /// The file of a group that runs, or the one at a path.
    pub(super) fn plan_of(&self, group: &str) -> Result<Plan> {
        let machines = self.machines_of_group(group);
        let file = machines.iter().find_map(|it| labels(it).group_file);
        let found = plan(&file.unwrap_or_else(|| PathBuf::from(group)))?;
        if !machines.is_empty() && found.name != group {
            let message = format!("The group {group} has no {} any more", file_name());
            return Err(AppError::new(ErrorKind::NotFound, message));
        }
        Ok(found)
    }
}

impl Known {
    fn of(shown: &Machine) -> Self {
        Self {
            run: shown.started_at.clone(),
            is_healthy: None,
            looked: None,
            looking: None,
            is_away: false,
        }
    }
}

/// Whether a machine that belongs to a service runs.
pub(super) fn running<'a>(
    plan: &Plan,
    service: &Service,
    machines: &'a [MachineHandle],
) -> Option<&'a MachineHandle> {
    let names = service.machine_names().into_iter();
    let names: Vec<_> = names.map(|host| format!("{}-{host}", plan.name)).collect();
    machines
        .iter()
        .find(|it| is_live(it) && names.contains(&it.spec().name))
}

fn view_of_service(
    service: &Service,
    appliance_id: Option<String>,
    machines: Vec<ServiceMachine>,
) -> ServiceView {
    let settings = &service.settings;
    let health = service.health.as_ref().map(|health| {
        let (kind, target) = match &health.check {
            HealthCheck::Tcp(port) => (HealthKind::Tcp, port.to_string()),
            HealthCheck::Http { port, path } => (HealthKind::Http, format!("{port}{path}")),
            HealthCheck::Console(text) => (HealthKind::Console, text.clone()),
        };
        ServiceHealth {
            kind,
            target,
            within_seconds: health.within_seconds,
        }
    });
    ServiceView {
        name: service.name.clone(),
        appliance: service.appliance.clone(),
        appliance_id,
        order: service.order,
        depends_on: service.depends_on.clone(),
        configuration: settings.configuration.clone(),
        command: settings.command.clone(),
        env: settings
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        memory_mib: settings.memory_mib,
        ports: settings.ports.iter().map(|port| port.guest).collect(),
        volumes: settings
            .volumes
            .iter()
            .map(|volume| ServiceVolume {
                name: volume.name.clone(),
                path: volume.path.clone(),
            })
            .collect(),
        health,
        machines,
    }
}
