//! Stacks: templates that Heat follows.
//!
//! ```text
//!   template + parameters ─► launch ─► CREATE_IN_PROGRESS ─► CREATE_COMPLETE, or CREATE_FAILED with the reason of a resource
//!             preview ─► what an update would change ─► update ─► UPDATE_…           delete ─► gone
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::session::Call;
use crate::{LABEL, Service, Session};

/// How long a stack may take to be made, changed or taken away.
const PATIENCE: Duration = Duration::from_hours(1);
/// How often it is looked at.
const PAUSE: Duration = Duration::from_secs(1);
/// The same, in Heat's own minutes.
const TIMEOUT_MINUTES: u32 = 60;

/// A stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Stack {
    /// Its id.
    pub id: String,
    /// Its name, which is its own in the project.
    pub stack_name: String,
    /// `CREATE_IN_PROGRESS`, `UPDATE_COMPLETE`, `DELETE_FAILED` and so on.
    pub stack_status: String,
    /// Why it is so.
    pub stack_status_reason: String,
    /// What it says of itself.
    pub description: Option<String>,
    /// When it was made (RFC 3339).
    pub creation_time: String,
    /// When it was changed.
    pub updated_time: Option<String>,
    /// Its tags; ours is [`LABEL`].
    pub tags: Option<Vec<String>>,
    /// What its template gives: addresses.
    pub outputs: Vec<Output>,
    /// What it was made with.
    pub parameters: BTreeMap<String, Value>,
}

/// What a stack's template gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Output {
    /// Its name in the template.
    pub output_key: String,
    /// What it is.
    pub description: String,
    /// It; none while it is not known.
    pub output_value: Value,
}

/// A piece of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// Its name in the template.
    pub resource_name: String,
    /// `OS::Nova::Server` and so on.
    pub resource_type: String,
    /// `CREATE_COMPLETE` and so on.
    pub resource_status: String,
    /// Why it is so.
    pub resource_status_reason: String,
    /// What it is to its service; empty while it is not there.
    pub physical_resource_id: Option<String>,
}

/// Something that happened to a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Happening {
    /// Its id.
    pub id: String,
    /// When (RFC 3339).
    pub event_time: String,
    /// To which resource; to the stack, where it is the stack's name.
    pub resource_name: String,
    /// What it became.
    pub resource_status: String,
    /// Why.
    pub resource_status_reason: String,
}

/// What an update would do with the resources, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Those that come.
    pub added: Vec<String>,
    /// Those that go.
    pub deleted: Vec<String>,
    /// Those that are made anew, and lose what is in them.
    pub replaced: Vec<String>,
    /// Those that are changed as they are.
    pub updated: Vec<String>,
    /// Those that stay.
    pub unchanged: Vec<String>,
}

impl Stack {
    /// Whether Heat still works on it.
    pub fn is_busy(&self) -> bool {
        self.stack_status.ends_with("_IN_PROGRESS")
    }

    /// Whether Windlass made it.
    pub fn is_ours(&self) -> bool {
        self.tags.iter().flatten().any(|it| it == LABEL)
    }

    fn path(&self) -> String {
        format!("/stacks/{}/{}", self.stack_name, self.id)
    }
}

/// The stacks of the project, newest first.
///
/// # Errors
/// As Heat refuses, or the way to it ends.
pub async fn stacks(session: &Session) -> Result<Vec<Stack>> {
    let call = Call::get(Service::Orchestration, "/stacks", "list stacks")
        .with("sort_keys", "creation_time")
        .with("sort_dir", "desc");
    session.list(call, "stacks").await
}

/// One, by name or id, with all that is known of it.
///
/// # Errors
/// [`Error::NotFound`]; as Heat refuses.
pub async fn stack(session: &Session, wanted: &str) -> Result<Stack> {
    let all = stacks(session).await?;
    let found = all
        .into_iter()
        .find(|it| it.stack_name == wanted || it.id == wanted);
    let found = found.ok_or_else(|| Error::NotFound {
        what: "stack",
        name: wanted.to_owned(),
    })?;
    look(session, &found).await
}

async fn look(session: &Session, stack: &Stack) -> Result<Stack> {
    let call = Call::get(Service::Orchestration, stack.path(), "look at the stack");
    session.fetch(call, "stack").await
}

/// Has a template followed.
///
/// # Errors
/// As Heat refuses: a mistake in the template, a parameter that is none of the cloud's; a name that is taken.
pub async fn launch(
    session: &Session,
    name: &str,
    template: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<Stack> {
    let body = json!({
        "stack_name": name,
        "template": template,
        "parameters": parameters,
        "tags": LABEL,
        "timeout_mins": TIMEOUT_MINUTES,
        // What failed is looked at before it is taken away.
        "disable_rollback": true,
    });
    let call = Call::post(
        Service::Orchestration,
        "/stacks",
        body,
        format!("launch the stack {name}"),
    );
    let made: Stack = session.fetch(call, "stack").await?;
    stack(session, &made.id).await
}

/// What [`update`] would do.
///
/// # Errors
/// As [`launch`].
pub async fn preview(
    session: &Session,
    stack: &Stack,
    template: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<Preview> {
    #[derive(Deserialize)]
    struct Named {
        resource_name: String,
    }
    let call = Call::new(
        Service::Orchestration,
        Method::PUT,
        format!("{}/preview", stack.path()),
        format!("say what would change in the stack {}", stack.stack_name),
    );
    let body =
        json!({ "template": template, "parameters": parameters, "timeout_mins": TIMEOUT_MINUTES });
    let changes: BTreeMap<String, Vec<Named>> =
        session.fetch(call.body(body), "resource_changes").await?;
    let names = |key: &str| {
        let mut names: Vec<_> = changes
            .get(key)
            .into_iter()
            .flatten()
            .map(|it| it.resource_name.clone())
            .collect();
        names.sort();
        names
    };
    Ok(Preview {
        added: names("added"),
        deleted: names("deleted"),
        replaced: names("replaced"),
        updated: names("updated"),
        unchanged: names("unchanged"),
    })
}

/// Has another template followed by a stack that is there.
///
/// # Errors
/// As [`launch`].
pub async fn update(
    session: &Session,
    stack: &Stack,
    template: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<()> {
    let call = Call::new(
        Service::Orchestration,
        Method::PUT,
        stack.path(),
        format!("update the stack {}", stack.stack_name),
    );
    let body = json!({
        "template": template,
        "parameters": parameters,
        "tags": LABEL,
        "timeout_mins": TIMEOUT_MINUTES,
        "disable_rollback": true,
    });
    session.call(call.body(body)).await.map(drop)
}

/// Has a stack taken away, with all that is of it. [`settled`] waits for it.
///
/// # Errors
/// As Heat refuses.
pub async fn delete(session: &Session, stack: &Stack) -> Result<()> {
    let call = Call::delete(
        Service::Orchestration,
        stack.path(),
        format!("delete the stack {}", stack.stack_name),
    );
    session.remove(call).await
}

/// The pieces of a stack.
///
/// # Errors
/// As Heat refuses.
pub async fn resources(session: &Session, stack: &Stack) -> Result<Vec<Resource>> {
    let call = Call::get(
        Service::Orchestration,
        format!("{}/resources", stack.path()),
        "list the stack's resources",
    );
    session.fetch(call, "resources").await
}

/// What happened to a stack, oldest first.
///
/// # Errors
/// As Heat refuses.
pub async fn events(session: &Session, stack: &Stack) -> Result<Vec<Happening>> {
    let call = Call::get(
        Service::Orchestration,
        format!("{}/events", stack.path()),
        "list what happened to the stack",
    )
    .with("sort_keys", "event_time")
    .with("sort_dir", "asc");
    session.list(call, "events").await
}

/// The template that a stack follows, as Heat keeps it.
///
/// # Errors
/// As Heat refuses.
pub async fn template(session: &Session, stack: &Stack) -> Result<Value> {
    let call = Call::get(
        Service::Orchestration,
        format!("{}/template", stack.path()),
        "read the stack's template",
    );
    session.fetch(call, "").await
}

/// Waits until Heat has done with a stack; tells each thing that happens meanwhile, once. None where the stack is gone.
///
/// # Errors
/// [`Error::Failed`], with the reason of the resource that failed; [`Error::Late`]; as Heat refuses.
pub async fn settled(
    session: &Session,
    stack: &Stack,
    mut tell: impl FnMut(&Happening),
) -> Result<Option<Stack>> {
    let begun = Instant::now();
    let mut told = std::collections::HashSet::new();
    // What happened before is known.
    if !stack.is_busy() {
        told.extend(events(session, stack).await?.into_iter().map(|it| it.id));
    }
    loop {
        let now = match look(session, stack).await {
            Err(Error::Refused { status: 404, .. }) => return Ok(None),
            Err(error) if error.is_passing() && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            outcome => outcome?,
        };
        if now.stack_status == "DELETE_COMPLETE" {
            return Ok(None);
        }
        if let Ok(happened) = events(session, stack).await {
            for it in happened {
                if told.insert(it.id.clone()) {
                    tell(&it);
                }
            }
        }
        if !now.is_busy() {
            if now.stack_status.ends_with("_FAILED") {
                return Err(failed(session, &now).await);
            }
            return Ok(Some(now));
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::Late {
                what: format!("The stack {}", now.stack_name),
                state: now.stack_status,
                seconds: PATIENCE.as_secs(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Why a stack failed: in the words of the resource that did, where there is one.
async fn failed(session: &Session, stack: &Stack) -> Error {
    let of_resource = resources(session, stack).await.ok().and_then(|all| {
        let it = all
            .into_iter()
            .find(|it| it.resource_status.ends_with("_FAILED"))?;
        Some(format!(
            "{}: {}",
            it.resource_name, it.resource_status_reason
        ))
    });
    Error::Failed {
        what: format!("The stack {}", stack.stack_name),
        state: stack.stack_status.clone(),
        fault: of_resource.unwrap_or_else(|| stack.stack_status_reason.clone()),
    }
}
