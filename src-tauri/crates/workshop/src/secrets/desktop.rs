//! The desktop's secret service, over the session's bus.
//!
//! One thread of ours owns the connection; callers send it what is to be done and wait. So a service that hangs holds up
//! a caller for a bounded time only, and it does not matter which runtime the caller runs in.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use secrecy::{ExposeSecret, SecretString};
use zbus_secret_service_keyring_store::Store;
use zeroize::Zeroizing;

use super::{Result, SecretError};

/// How long the bus may take to start the service.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a request may take: it includes a person who types the keyring's password.
const ANSWER_LIMIT: Duration = Duration::from_mins(3);

type Request = Box<dyn FnOnce(&Store) + Send>;

/// A connection to the secret service.
pub(super) struct Desktop {
    /// Ends the thread when dropped.
    requests: mpsc::Sender<Request>,
    /// What the items of this home have in common.
    service: String,
}

impl Desktop {
    /// Connects, and asks one question to see that somebody answers.
    pub(super) fn connect(home: &Path) -> Result<Self> {
        let (requests, inbox) = mpsc::channel::<Request>();
        let (connected, connection) = mpsc::channel();
        let serve = move || match Store::new() {
            Ok(store) => {
                let _ = connected.send(Ok(()));
                while let Ok(request) = inbox.recv() {
                    request(&store);
                }
            }
            Err(error) => {
                let _ = connected.send(Err(error));
            }
        };
        std::thread::Builder::new()
            .name("secret service".to_owned())
            .spawn(serve)
            .map_err(|error| failed("be talked to", Error::PlatformFailure(Box::new(error))))?;
        within(CONNECT_LIMIT, &connection)?.map_err(|error| failed("be reached", error))?;
        let desktop = Self {
            requests,
            service: format!("windlass {}", home.display()),
        };
        desktop.ask("be searched", CONNECT_LIMIT, "", |entry| {
            match entry.get_secret() {
                Err(Error::NoEntry) | Ok(_) => Ok(()),
                Err(error) => Err(error),
            }
        })?;
        Ok(desktop)
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<SecretString>> {
        let bytes = self.ask("find a secret", ANSWER_LIMIT, key, |entry| {
            match entry.get_secret() {
                Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
                Err(Error::NoEntry) => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        let Some(bytes) = bytes else { return Ok(None) };
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(SecretString::from(text))),
            Err(_) => Err(SecretError::NotText {
                name: key.to_owned(),
            }),
        }
    }

    pub(super) fn set(&self, key: &str, secret: &SecretString) -> Result<()> {
        let secret = secret.clone();
        self.ask("keep a secret", ANSWER_LIMIT, key, move |entry| {
            entry.set_secret(secret.expose_secret().as_bytes())
        })
    }

    pub(super) fn delete(&self, key: &str) -> Result<()> {
        self.ask("delete a secret", ANSWER_LIMIT, key, |entry| {
            match entry.delete_credential() {
                Ok(()) | Err(Error::NoEntry) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    /// Has the thread do something with the entry of a key.
    fn ask<T: Send + 'static>(
        &self,
        doing: &'static str,
        limit: Duration,
        key: &str,
        work: impl FnOnce(&Entry) -> keyring_core::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = mpsc::channel();
        let (service, user) = (self.service.clone(), key.to_owned());
        let label = format!("Windlass: {key}");
        let request: Request = Box::new(move |store| {
            let modifiers = [("label", label.as_str())].into();
            let result = store
                .build(&service, &user, Some(&modifiers))
                .and_then(|entry| work(&entry));
            let _ = answer.send(result);
        });
        // A thread that is gone drops the request, and with it the answer's sender: the wait below says so.
        let _ = self.requests.send(request);
        within(limit, &answered)?.map_err(|error| match error {
            Error::NoStorageAccess(_) => SecretError::Refused(error),
            Error::Ambiguous(_) => SecretError::Ambiguous {
                name: key.to_owned(),
            },
            error => failed(doing, error),
        })
    }
}

fn failed(doing: &'static str, source: Error) -> SecretError {
    SecretError::Service { doing, source }
}

fn within<T>(limit: Duration, answer: &mpsc::Receiver<T>) -> Result<T> {
    answer.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => SecretError::Silent {
            seconds: limit.as_secs(),
        },
        RecvTimeoutError::Disconnected => failed(
            "be talked to",
            Error::NotSupportedByStore("its connection has ended".to_owned()),
        ),
    })
}
