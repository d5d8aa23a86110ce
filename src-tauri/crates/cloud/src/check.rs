//! Tries a profile, step by step: the way to Keystone, the login, and what is behind it.
//!
//! ```text
//!   name ─► connection ─► certificate, Keystone ─► clock ─► login ─► catalogue ─► each service ─► quotas
//! ```
//!
//! What fails ends it, as nothing behind it could be tried; of services, each is tried.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::Url;

use crate::error::{Error, Result, Trouble};
use crate::reach::CONNECT;
use crate::session::{Call, Door, greet};
use crate::{Profile, Secrets, Service, Session, quota};

/// A clock that is further off than this spoils logins: tokens and certificates count by it.
const CLOCK_WRONG: Duration = Duration::from_mins(5);
const CLOCK_ODD: Duration = Duration::from_secs(30);

/// One thing that was tried.
#[derive(Debug)]
pub struct Step {
    /// What was tried.
    pub what: String,
    /// What came of it, in words.
    pub outcome: Result<String>,
}

/// Tries all of it; `tell` hears of each step as it is done.
pub async fn check(profile: &Profile, secrets: &Secrets, mut tell: impl FnMut(&Step)) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut add = |what: &str, outcome: Result<String>| {
        let went_well = outcome.is_ok();
        let step = Step {
            what: what.to_owned(),
            outcome,
        };
        tell(&step);
        steps.push(step);
        went_well
    };
    walk(profile, secrets, &mut add).await;
    steps
}

/// `None` as soon as something failed.
async fn walk(
    profile: &Profile,
    secrets: &Secrets,
    add: &mut impl FnMut(&str, Result<String>) -> bool,
) -> Option<()> {
    if let Err(error) = profile.validate() {
        add("Profile", Err(error));
        return None;
    }
    let url = Url::parse(&profile.auth_url).ok()?;
    let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
    if let Some(proxy) = proxy(&url) {
        add("Name", Ok(format!("left to the proxy ({proxy})")));
    } else {
        let addresses = resolve(&url, &host, port).await;
        let found = addresses.as_ref().ok().cloned();
        add(
            "Name",
            addresses.map(|it| {
                format!(
                    "{host} is {}",
                    it.iter()
                        .map(|it| it.ip().to_string())
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            }),
        )
        .then_some(())?;
        add(
            "Connection",
            connect(&url, &found.unwrap_or_default()).await,
        )
        .then_some(())?;
    }
    keystone(profile, &url, add).await?;
    let session = login(profile, secrets, add).await?;
    let regions = session.regions();
    let region = match &profile.region {
        Some(region) if !regions.contains(region) => Err(Error::Input {
            found: format!("The cloud has no region {region}"),
            remedy: format!("Its regions: {}", regions.join(", ")),
        }),
        Some(region) => Ok(format!("region {region}")),
        None => Ok(match regions.as_slice() {
            [] => "no regions".to_owned(),
            [one] => format!("region {one}"),
            [first, ..] => format!(
                "{} regions; {first} is taken, as none is named",
                regions.len()
            ),
        }),
    };
    add("Catalogue", region).then_some(())?;
    let mut all = true;
    for service in Service::ALL.into_iter().skip(1) {
        let outcome = version(&session, service).await;
        if service.is_optional() && matches!(outcome, Err(Error::NoService { .. })) {
            add(
                &service.to_string(),
                Ok("not offered; it is needed for volumes or stacks alone".to_owned()),
            );
        } else {
            all &= add(&service.to_string(), outcome);
        }
    }
    all.then_some(())?;
    let quotas = quota::quotas(&session).await.map(|found| {
        let full: Vec<_> = found
            .iter()
            .filter(|it| it.left() == Some(0))
            .map(|it| it.what)
            .collect();
        let servers = found.iter().find(|it| it.what == "servers");
        let servers = servers.map_or_else(String::new, |it| match it.limit {
            Some(limit) => format!("{} of {limit} servers used", it.used),
            None => format!("{} servers used, and no limit", it.used),
        });
        if full.is_empty() {
            servers
        } else {
            format!("{servers}; nothing left of {}", full.join(", "))
        }
    });
    add("Quotas", quotas).then_some(())
}

async fn login(
    profile: &Profile,
    secrets: &Secrets,
    add: &mut impl FnMut(&str, Result<String>) -> bool,
) -> Option<Session> {
    let session = match Session::connect(profile, secrets).await {
        Ok(session) => session,
        Err(error) => {
            add("Login", Err(error));
            return None;
        }
    };
    let identity = session.identity();
    add(
        "Login",
        Ok(format!(
            "{} in the project {}{}",
            identity.user,
            identity.project,
            if identity.roles.is_empty() {
                String::new()
            } else {
                format!(", as {}", identity.roles.join(", "))
            }
        )),
    );
    Some(session)
}

/// Greets Keystone, and looks at its certificate and its clock.
async fn keystone(
    profile: &Profile,
    url: &Url,
    add: &mut impl FnMut(&str, Result<String>) -> bool,
) -> Option<()> {
    let door = greet(profile).await;
    if url.scheme() == "https" {
        let outcome = match &door {
            // The port answers: what ends here is the secure connection.
            Err(Error::Network { trouble, .. }) => Err(Error::Network {
                url: url.to_string(),
                trouble: if is_tls(*trouble) { *trouble } else { Trouble::Tls },
                source: None,
            }),
            _ if profile.insecure => Ok("not looked at, as the profile says: anybody on the way can read along and pose as the cloud".to_owned()),
            _ => Ok(profile.ca_file.as_ref().map_or_else(
                || "trusted by this computer".to_owned(),
                |it| format!("trusted by {}", it.display()),
            )),
        };
        add("Certificate", outcome).then_some(())?;
    }
    match door {
        Ok(door) => {
            add("Keystone", Ok(format!("answers, version {}", door.version)));
            add("Clock", clock(&door, SystemTime::now())).then_some(())
        }
        Err(error) => {
            add("Keystone", Err(error));
            None
        }
    }
}

fn is_tls(trouble: Trouble) -> bool {
    matches!(
        trouble,
        Trouble::UnknownAuthority | Trouble::OtherHost | Trouble::Expired | Trouble::Tls
    )
}

/// The proxy that the environment names for this address, without what may be a password in it.
fn proxy(url: &Url) -> Option<String> {
    let names: [&str; 4] = match url.scheme() {
        "https" => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        _ => ["http_proxy", "http_proxy", "all_proxy", "ALL_PROXY"],
    };
    let proxy = names
        .iter()
        .find_map(|it| std::env::var(it).ok().filter(|it| !it.is_empty()))?;
    let spared = std::env::var("no_proxy")
        .or_else(|_| std::env::var("NO_PROXY"))
        .unwrap_or_default();
    let host = url.host_str()?;
    if spared.split(',').map(str::trim).any(|it| {
        let it = it.trim_start_matches('.');
        it == "*" || (!it.is_empty() && (host == it || host.ends_with(&format!(".{it}"))))
    }) {
        return None;
    }
    let proxy = Url::parse(&proxy).ok()?;
    Some(format!(
        "{}:{}",
        proxy.host_str()?,
        proxy.port_or_known_default()?
    ))
}

async fn resolve(url: &Url, host: &str, port: u16) -> Result<Vec<std::net::SocketAddr>> {
    let failed = |source: Option<std::io::Error>| Error::Network {
        url: url.to_string(),
        trouble: Trouble::Name,
        source: source.map(Into::into),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<_> = timeout(CONNECT, lookup_host((bare, port)))
        .await
        .map_err(|_| failed(None))?
        .map_err(|it| failed(Some(it)))?
        .collect();
    if found.is_empty() {
        Err(failed(None))
    } else {
        Ok(found)
    }
}

async fn connect(url: &Url, addresses: &[std::net::SocketAddr]) -> Result<String> {
    let mut last = Error::Network {
        url: url.to_string(),
        trouble: Trouble::Unreachable,
        source: None,
    };
    for address in addresses {
        last = match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(format!("port {} answers", address.port())),
            Ok(Err(error)) => Error::Network {
                url: url.to_string(),
                trouble: Trouble::Unreachable,
                source: Some(error.into()),
            },
            Err(_) => Error::Network {
                url: url.to_string(),
                trouble: Trouble::Slow,
                source: None,
            },
        };
    }
    Err(last)
}

fn clock(door: &Door, now: SystemTime) -> Result<String> {
    let Some(theirs) = door.time else {
        return Ok("not told".to_owned());
    };
    let (off, side) = match theirs.duration_since(now) {
        Ok(off) => (off, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    let words = if off < Duration::from_mins(2) {
        format!("{} seconds", off.as_secs())
    } else {
        format!("{} minutes", off.as_secs() / 60)
    };
    if off > CLOCK_WRONG {
        return Err(Error::Input {
            found: format!("The cloud's clock is {words} {side} this computer's"),
            remedy: "Set this computer's clock (`timedatectl set-ntp true`); if it is right, tell the cloud's keeper".to_owned(),
        });
    }
    Ok(if off > CLOCK_ODD {
        format!("{words} {side} this computer's, which does no harm yet")
    } else {
        "as this computer's".to_owned()
    })
}

/// What a service says of its version.
async fn version(session: &Session, service: Service) -> Result<String> {
    // The address itself, or what is above the project in it, says what is spoken there.
    let address = session.address(service)?;
    let doing = "say its version";
    let answer = match service {
        Service::Compute => session.call(Call::get(service, "/", doing)).await?.json()?,
        Service::Image => session
            .call(Call::get(service, "/schemas/image", doing))
            .await
            .map(|_| Value::Null)?,
        Service::Network => session
            .call(Call::get(service, "/extensions", doing).with("fields", "alias"))
            .await?
            .json()?,
        Service::Volume => session
            .call(Call::get(service, "/limits", doing))
            .await
            .map(|_| Value::Null)?,
        Service::Orchestration => session
            .call(Call::get(service, "/build_info", doing))
            .await?
            .json()?,
        Service::Identity => Value::Null,
    };
    let text = |pointer: &str| {
        answer
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let path = address.path().trim_matches('/').to_owned();
    let found = match service {
        Service::Compute => format!(
            "{} (microversions up to {})",
            text("/version/id"),
            text("/version/version")
        ),
        Service::Image => "v2".to_owned(),
        Service::Network => {
            let count = answer
                .get("extensions")
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            format!("v2.0 ({count} extensions)")
        }
        _ => path
            .split('/')
            .find(|it| it.starts_with('v'))
            .unwrap_or("answers")
            .to_owned(),
    };
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told() {
        let now = SystemTime::now();
        let at = |time| {
            let door = Door {
                version: "v3".to_owned(),
                time,
            };
            clock(&door, now).map_err(|it| it.to_string())
        };
        assert_eq!(at(None).unwrap(), "not told");
        assert_eq!(at(Some(now)).unwrap(), "as this computer's");
        assert_eq!(
            at(Some(now + Duration::from_secs(70))).unwrap(),
            "70 seconds ahead of this computer's, which does no harm yet"
        );
        assert_eq!(
            at(Some(now - Duration::from_hours(2))).unwrap_err(),
            "The cloud's clock is 120 minutes behind this computer's"
        );
    }
}
