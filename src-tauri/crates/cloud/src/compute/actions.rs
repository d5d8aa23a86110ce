//! What is done with servers, and what Nova noted of it.
//!
//! Nova answers at once that it will do something. What became of it stands in the server's state and, by the number of the
//! request, in its list of actions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Server;
use crate::error::{Error, Result};
use crate::images::looks_like_id;
use crate::session::Call;
use crate::{LABEL, Service, Session};

/// What can be done with a server, without more being said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Starts it.
    Start,
    /// Asks its guest to stop.
    Stop,
    /// Asks its guest to start anew.
    Reboot,
    /// Starts it anew, as if by its button.
    HardReboot,
    /// Holds it in memory.
    Pause,
    /// Lets it go on.
    Unpause,
    /// Puts it to disk.
    Suspend,
    /// Brings it back.
    Resume,
    /// Frees what it takes, and keeps what it is.
    Shelve,
    /// Brings it back.
    Unshelve,
    /// Keeps the size that it was given.
    ConfirmResize,
    /// Goes back to the size that it had.
    RevertResize,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Start,
        Self::Stop,
        Self::Reboot,
        Self::HardReboot,
        Self::Pause,
        Self::Unpause,
        Self::Suspend,
        Self::Resume,
        Self::Shelve,
        Self::Unshelve,
        Self::ConfirmResize,
        Self::RevertResize,
    ];

    /// As it follows on "to".
    pub fn doing(self) -> &'static str {
        match self {
            Self::Start => "start the server",
            Self::Stop => "stop the server",
            Self::Reboot | Self::HardReboot => "reboot the server",
            Self::Pause => "pause the server",
            Self::Unpause => "let the server go on",
            Self::Suspend => "suspend the server",
            Self::Resume => "resume the server",
            Self::Shelve => "shelve the server",
            Self::Unshelve => "unshelve the server",
            Self::ConfirmResize => "confirm the server's new size",
            Self::RevertResize => "give the server back its old size",
        }
    }

    fn body(self) -> Value {
        match self {
            Self::Start => json!({ "os-start": null }),
            Self::Stop => json!({ "os-stop": null }),
            Self::Reboot => json!({ "reboot": { "type": "SOFT" } }),
            Self::HardReboot => json!({ "reboot": { "type": "HARD" } }),
            Self::Pause => json!({ "pause": null }),
            Self::Unpause => json!({ "unpause": null }),
            Self::Suspend => json!({ "suspend": null }),
            Self::Resume => json!({ "resume": null }),
            Self::Shelve => json!({ "shelve": null }),
            Self::Unshelve => json!({ "unshelve": null }),
            Self::ConfirmResize => json!({ "confirmResize": null }),
            Self::RevertResize => json!({ "revertResize": null }),
        }
    }

    /// Whether Nova takes it in the state that a server is in.
    pub fn fits(self, server: &Server) -> bool {
        let status = server.status.as_str();
        if server.is_busy() {
            // What hangs is helped by its button.
            return self == Self::HardReboot
                && matches!(server.task.as_deref(), Some("rebooting" | "powering-off"));
        }
        match self {
            Self::Start => status == "SHUTOFF",
            Self::Stop => matches!(status, "ACTIVE" | "ERROR"),
            Self::Reboot | Self::Pause | Self::Suspend => status == "ACTIVE",
            Self::HardReboot => {
                matches!(
                    status,
                    "ACTIVE" | "SHUTOFF" | "PAUSED" | "SUSPENDED" | "ERROR"
                )
            }
            Self::Unpause => status == "PAUSED",
            Self::Resume => status == "SUSPENDED",
            Self::Shelve => matches!(status, "ACTIVE" | "SHUTOFF" | "PAUSED" | "SUSPENDED"),
            Self::Unshelve => matches!(status, "SHELVED" | "SHELVED_OFFLOADED"),
            Self::ConfirmResize | Self::RevertResize => status == "VERIFY_RESIZE",
        }
    }
}

/// Asks for something to be done with a server; the number of the request, by which Nova notes what becomes of it.
///
/// # Errors
/// As Nova refuses: 409 where it is not in a state for that.
pub async fn act(session: &Session, id: &str, action: Action) -> Result<Option<String>> {
    ask(session, id, action.body(), action.doing()).await
}

pub(super) async fn ask(
    session: &Session,
    id: &str,
    body: Value,
    doing: &str,
) -> Result<Option<String>> {
    let path = format!("/servers/{id}/action");
    let call = Call::post(Service::Compute, path, body, doing);
    let answer = session.call(call).await?;
    Ok(answer.header("x-openstack-request-id"))
}

/// Makes an image of a server as it is; the image's id. It is written by and by.
///
/// # Errors
/// As Nova refuses: the quota of images.
pub async fn snapshot(session: &Session, server: &Server, name: &str) -> Result<String> {
    let mut metadata = json!({});
    if let Some(of) = server.deployment() {
        metadata[LABEL] = of.into();
    }
    let body = json!({ "createImage": { "name": name, "metadata": metadata } });
    let path = format!("/servers/{}/action", server.id);
    let doing = format!("make an image of the server {}", server.name);
    let call = Call::post(Service::Compute, path, body, doing.as_str());
    let answer = match session.call(call.clone().at("2.45")).await {
        Err(Error::Refused { status: 406, .. }) => session.call(call).await?,
        answer => answer?,
    };
    let id = answer.under::<String>("image_id").ok().or_else(|| {
        // Before 2.45 it stands at the end of an address.
        let address = answer.header("location")?;
        address.rsplit('/').next().map(str::to_owned)
    });
    id.filter(|it| looks_like_id(it))
        .ok_or_else(|| Error::Answer {
            service: Service::Compute,
            doing,
            found: "it does not say which image it makes".to_owned(),
        })
}

/// Something that was done with a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Deed {
    /// The number of the request.
    #[serde(rename = "request_id")]
    pub request: String,
    /// What was asked for: `create`, `stop`, `reboot`, …
    pub action: String,
    /// When (RFC 3339, without a zone: UTC).
    #[serde(rename = "start_time")]
    pub started: String,
    /// When Nova noted something of it last.
    #[serde(default, rename = "updated_at")]
    pub updated: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    events: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Step {
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    details: Option<String>,
}

impl Deed {
    /// Whether it failed.
    pub fn failed(&self) -> bool {
        let wrong = |it: &Step| it.result.as_deref() == Some("Error");
        self.message.as_deref() == Some("Error") || self.events.iter().any(wrong)
    }

    /// Why it failed, in Nova's words, where Nova says so.
    pub fn fault(&self) -> Option<&str> {
        let wrong = self
            .events
            .iter()
            .filter(|it| it.result.as_deref() == Some("Error"));
        wrong
            .filter_map(|it| it.details.as_deref())
            .find(|it| !it.is_empty())
    }
}

/// What was done with a server, the newest first; with reasons of the last ones that failed.
///
/// # Errors
/// As Nova refuses, or the way to it ends.
pub async fn history(session: &Session, id: &str) -> Result<Vec<Deed>> {
    let path = format!("/servers/{id}/os-instance-actions");
    let call = Call::get(Service::Compute, path, "list what was done with the server");
    let mut deeds: Vec<Deed> = newest(session, &call, &["2.58"], "instanceActions").await?;
    for deed in deeds.iter_mut().filter(|it| it.failed()).take(REASONS) {
        if let Ok(told) = self::deed(session, id, &deed.request).await {
            deed.events = told.events;
        }
    }
    Ok(deeds)
}

/// So many failures are asked for their reasons.
const REASONS: usize = 10;

/// One thing that was done with a server.
///
/// # Errors
/// As Nova refuses, or the way to it ends.
pub(super) async fn deed(session: &Session, id: &str, request: &str) -> Result<Deed> {
    let path = format!("/servers/{id}/os-instance-actions/{request}");
    let call = Call::get(Service::Compute, path, "say what became of it");
    newest(session, &call, &["2.84", "2.51"], "instanceAction").await
}

/// Asks at the first of several microversions that Nova knows.
async fn newest<T: serde::de::DeserializeOwned>(
    session: &Session,
    call: &Call,
    versions: &[&'static str],
    key: &str,
) -> Result<T> {
    for version in versions {
        match session.fetch(call.clone().at(version), key).await {
            Err(Error::Refused { status: 406, .. }) => {}
            answer => return answer,
        }
    }
    session.fetch(call.clone(), key).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status: &str, task: Option<&str>) -> Server {
        serde_json::from_value(json!({
            "id": "1", "name": "web", "status": status, "OS-EXT-STS:task_state": task,
        }))
        .unwrap()
    }

    #[test]
    fn each_state_has_its_actions() {
        let told = [
            ("ACTIVE", None),
            ("ACTIVE", Some("powering-off")),
            ("SHUTOFF", None),
            ("PAUSED", None),
            ("SUSPENDED", None),
            ("SHELVED_OFFLOADED", None),
            ("VERIFY_RESIZE", None),
            ("ERROR", None),
            ("BUILD", Some("spawning")),
        ]
        .map(|(status, task)| {
            let it = server(status, task);
            let fit: Vec<_> = Action::ALL.into_iter().filter(|a| a.fits(&it)).collect();
            format!("{status} {}: {fit:?}", task.unwrap_or("-"))
        });
        insta::assert_snapshot!(told.join("\n"), @r"
        ACTIVE -: [Stop, Reboot, HardReboot, Pause, Suspend, Shelve]
        ACTIVE powering-off: [HardReboot]
        SHUTOFF -: [Start, HardReboot, Shelve]
        PAUSED -: [HardReboot, Unpause, Shelve]
        SUSPENDED -: [HardReboot, Resume, Shelve]
        SHELVED_OFFLOADED -: [Unshelve]
        VERIFY_RESIZE -: [ConfirmResize, RevertResize]
        ERROR -: [Stop, HardReboot]
        BUILD spawning: []
        ");
    }

    #[test]
    fn what_failed_says_why() {
        let deed: Deed = serde_json::from_value(json!({
            "request_id": "req-1", "action": "resize", "start_time": "2026-11-23T09:00:00.000000",
            "message": "Error",
            "events": [
                { "event": "a", "result": "Success", "details": null },
                { "event": "b", "result": "Error", "details": "No valid host was found." },
            ],
        }))
        .unwrap();
        assert!(deed.failed());
        assert_eq!(deed.fault(), Some("No valid host was found."));
    }
}
