//! `package compose-remote`: the package in a folder, into an OSv guest that runs.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use windlass_workshop::error::{AppError, ErrorKind};

use super::target;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::size;
use crate::progress;
use crate::signals::Signals;

/// The port of cpiod where none is named.
const CPIOD_PORT: u16 = 10_000;

/// Send a package to a guest.
#[derive(Debug, Args)]
pub(crate) struct ComposeRemote {
    /// The guest's cpiod: HOST or HOST:PORT. Anybody who reaches that port can write any file there
    #[arg(value_name = "HOST[:PORT]")]
    guest: String,
    /// The package's folder
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    path: PathBuf,
    /// Accepted for Capstan's scripts; packages that this computer can supply are always packed
    #[arg(long, short, hide = true)]
    pull_missing: bool,
    /// Accepted for Capstan's scripts
    #[arg(long, short, hide = true)]
    verbose: bool,
}

/// What was sent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    guest: String,
    bytes: u64,
}

impl ComposeRemote {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let (host, port) = address(&self.guest).ok_or_else(|| {
            AppError::new(
                ErrorKind::Input,
                format!("`{}` is not HOST or HOST:PORT", self.guest),
            )
        })?;
        let mut signals = Signals::listen()?;
        let appliance = target::in_folder(context, &self.path).await?;
        let job = context
            .workshop
            .start_compose_remote(&appliance.id, host, port)?;
        let job = progress::wait(context, &job, &mut signals).await?;
        let sent = Sent {
            guest: format!("{host}:{port}"),
            bytes: job
                .produced
                .and_then(|bytes| bytes.parse().ok())
                .unwrap_or_default(),
        };
        context.output.show(&sent, |sent| {
            format!(
                "Sent {} to {} ({})",
                appliance.name,
                sent.guest,
                size(sent.bytes)
            )
        })?;
        Ok(0)
    }
}

/// Host and port. An IPv6 address with a port stands in brackets.
fn address(text: &str) -> Option<(&str, u16)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if rest.is_empty() => CPIOD_PORT,
            None => return None,
        };
        return Some((host, port));
    }
    match text.split_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(':') => {
            Some((host, port.parse().ok().filter(|port| *port != 0)?))
        }
        // More than one colon: an IPv6 address without a port.
        _ => (!text.is_empty() && !text.starts_with(':') || text.starts_with("::"))
            .then_some((text, CPIOD_PORT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_named_by_host_and_port() {
        assert_eq!(address("guest"), Some(("guest", 10_000)));
        assert_eq!(address("10.0.0.2:1234"), Some(("10.0.0.2", 1234)));
        assert_eq!(address("[::1]:7"), Some(("::1", 7)));
        assert_eq!(address("[::1]"), Some(("::1", 10_000)));
        assert_eq!(address("fe80::1"), Some(("fe80::1", 10_000)));
        for wrong in ["", ":1", "host:", "host:x", "host:0", "host:99999", "[::1"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
