//! How much of a project's share is used.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::session::Call;
use crate::{Service, Session};

/// A share of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Who counts it.
    pub service: Service,
    /// What is counted, such as `servers` or `memory (MiB)`.
    pub what: &'static str,
    /// How much is used.
    pub used: u64,
    /// How much there may be; without, as much as there is.
    pub limit: Option<u64>,
}

impl Quota {
    /// How much is left; without, as much as there is.
    pub fn left(&self) -> Option<u64> {
        self.limit.map(|limit| limit.saturating_sub(self.used))
    }
}

const COMPUTE: [(&str, &str, &str); 3] = [
    ("servers", "totalInstancesUsed", "maxTotalInstances"),
    ("virtual processors", "totalCoresUsed", "maxTotalCores"),
    ("memory (MiB)", "totalRAMUsed", "maxTotalRAMSize"),
];
const NETWORK: [(&str, &str); 6] = [
    ("networks", "network"),
    ("subnets", "subnet"),
    ("routers", "router"),
    ("ports", "port"),
    ("floating addresses", "floatingip"),
    ("security groups", "security_group"),
];
const VOLUME: [(&str, &str, &str); 2] = [
    ("volumes", "totalVolumesUsed", "maxTotalVolumes"),
    (
        "volume space (GiB)",
        "totalGigabytesUsed",
        "maxTotalVolumeGigabytes",
    ),
];

fn number(value: Option<&Value>) -> Option<u64> {
    // Unlimited is -1.
    value
        .and_then(Value::as_i64)
        .and_then(|it| u64::try_from(it).ok())
}

/// All shares of the project that the cloud tells.
///
/// # Errors
/// When Nova or Neutron does not tell them.
pub async fn quotas(session: &Session) -> Result<Vec<Quota>> {
    let mut found = Vec::new();
    let doing = "list the quotas";
    let limits: Value = session
        .fetch(Call::get(Service::Compute, "/limits", doing), "limits")
        .await?;
    let absolute = limits.get("absolute").cloned().unwrap_or_default();
    found.extend(COMPUTE.map(|(what, used, limit)| Quota {
        service: Service::Compute,
        what,
        used: number(absolute.get(used)).unwrap_or(0),
        limit: number(absolute.get(limit)),
    }));
    let path = format!("/quotas/{}/details.json", session.identity().project_id);
    match session
        .fetch::<Value>(Call::get(Service::Network, path, doing), "quota")
        .await
    {
        Ok(quota) => found.extend(NETWORK.iter().filter_map(|(what, key)| {
            let of = quota.get(key)?;
            let reserved = number(of.get("reserved")).unwrap_or(0);
            Some(Quota {
                service: Service::Network,
                what,
                used: number(of.get("used")).unwrap_or(0) + reserved,
                limit: number(of.get("limit")),
            })
        })),
        // An extension that not every Neutron has.
        Err(Error::Refused {
            status: 404 | 403, ..
        }) => {}
        Err(error) => return Err(error),
    }
    if session.has(Service::Volume) {
        let limits: Value = session
            .fetch(Call::get(Service::Volume, "/limits", doing), "limits")
            .await?;
        let absolute = limits.get("absolute").cloned().unwrap_or_default();
        found.extend(VOLUME.map(|(what, used, limit)| Quota {
            service: Service::Volume,
            what,
            used: number(absolute.get(used)).unwrap_or(0),
            limit: number(absolute.get(limit)),
        }));
    }
    Ok(found)
}
