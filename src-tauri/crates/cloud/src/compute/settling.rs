//! Waiting for what Nova said it would do.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Action, Server, actions, server};
use crate::Session;
use crate::error::{Error, Result};

/// How long something is waited for, and until when.
#[derive(Debug, Clone)]
pub struct Patience {
    /// No longer than this.
    pub longest: Duration,
    /// Or until this says so; what Nova does goes on.
    pub cancel: CancellationToken,
}

/// Waits until nothing is being done with a server any more, and says how it is then.
///
/// # Errors
/// [`Error::Failed`] with Nova's words where what was asked for (`request`) failed or left the server broken; [`Error::Late`];
/// [`Error::Cancelled`].
pub async fn settled(
    session: &Session,
    id: &str,
    request: Option<&str>,
    action: Option<Action>,
    patience: &Patience,
    told: impl Fn(&Server),
) -> Result<Server> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(300);
    loop {
        match server(session, id).await {
            Ok(now) => {
                told(&now);
                // A size that is kept sets no task.
                let waits = action == Some(Action::ConfirmResize) && now.status == "VERIFY_RESIZE";
                if !now.is_busy() && !waits {
                    return judged(session, now, request).await;
                }
                if begun.elapsed() > patience.longest {
                    return Err(Error::Late {
                        what: format!("The server {}", now.name),
                        state: now.task.unwrap_or(now.status),
                        seconds: patience.longest.as_secs(),
                    });
                }
            }
            Err(error) if error.is_passing() && begun.elapsed() < patience.longest => {}
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = patience.cancel.cancelled() => return Err(Error::Cancelled),
        }
        pause = (pause * 3 / 2).min(Duration::from_secs(3));
    }
}

async fn judged(session: &Session, now: Server, request: Option<&str>) -> Result<Server> {
    let deed = match request {
        Some(request) => actions::deed(session, &now.id, request).await.ok(),
        None => None,
    };
    let failed = deed.as_ref().is_some_and(actions::Deed::failed);
    if !failed && now.status != "ERROR" {
        return Ok(now);
    }
    let fault = now.fault.as_ref().map(|it| it.message.as_str());
    let said = deed.as_ref().and_then(actions::Deed::fault).or(fault);
    Err(Error::Failed {
        what: format!("The server {}", now.name),
        fault: said.filter(|it| !it.is_empty()).map_or_else(
            || {
                let request = request.unwrap_or("this server");
                format!("Nova tells why to the cloud's keeper alone, who finds it as {request}")
            },
            str::to_owned,
        ),
        state: now.status,
    })
}
