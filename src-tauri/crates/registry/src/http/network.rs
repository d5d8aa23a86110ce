//! The network, and its errors in words.

use std::error::Error as StdError;
use std::io;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Proxy};

use crate::{Error, Limits, Network, RegistryConfig};

/// The client that a registry's description asks for.
pub(crate) fn client(config: &RegistryConfig, limits: &Limits) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(limits.connect);
    let wrong = |found: String, remedy: &str| Error::Config {
        registry: config.name.clone(),
        found,
        remedy: remedy.to_owned(),
    };
    if let Some(path) = &config.ca_file {
        let bytes = std::fs::read(path).map_err(|source| Error::io("read", path, source))?;
        let certificates = Certificate::from_pem_bundle(&bytes).unwrap_or_default();
        if certificates.is_empty() {
            return Err(wrong(
                format!("{} has no certificate", path.display()),
                "Give a PEM file, which has lines `-----BEGIN CERTIFICATE-----`.",
            ));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    match config.proxy.as_deref() {
        None | Some("") => {}
        Some("none") => builder = builder.no_proxy(),
        Some(url) => {
            // The error's words may have the URL, and the URL a password.
            let proxy = Proxy::all(url).map_err(|_| {
                wrong(
                    "its proxy is no URL".to_owned(),
                    "Write http://HOST:PORT or socks5://HOST:PORT.",
                )
            })?;
            builder = builder.no_proxy().proxy(proxy);
        }
    }
    builder.build().map_err(|source| Error::Network {
        url: config.url.clone(),
        problem: Network::Tls,
        source: Some(Box::new(source.without_url())),
    })
}

/// What happened, in our words. `url` is as it may be shown.
pub(crate) fn error(url: &str, error: reqwest::Error, by_proxy: bool) -> Error {
    let problem = problem(&error, by_proxy);
    Error::Network {
        url: url.to_owned(),
        problem,
        source: Some(Box::new(error.without_url())),
    }
}

fn problem(error: &reqwest::Error, by_proxy: bool) -> Network {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(problem) = of_io(this) {
            return problem;
        }
        cause = this.source();
    }
    if error.is_connect() && by_proxy {
        Network::Proxy
    } else if error.is_dns() {
        Network::Name
    } else if error.is_connect() {
        Network::Unreachable
    } else if error.is_timeout() {
        Network::Slow
    } else {
        Network::Cut
    }
}

/// What an error is that may be one of TLS in an [`io::Error`], which hides what it wraps from `source`.
fn of_io(mut error: &(dyn StdError + 'static)) -> Option<Network> {
    loop {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls_problem(tls));
        }
        let io = error.downcast_ref::<io::Error>()?;
        match io.get_ref() {
            Some(inner) => error = inner,
            None => return None,
        }
        // The only words for a server that hangs up at our hello.
        if error.to_string() == "tls handshake eof" {
            return Some(Network::Tls);
        }
    }
}

fn tls_problem(error: &rustls::Error) -> Network {
    use rustls::CertificateError as Wrong;
    match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            Wrong::UnknownIssuer => Network::UnknownIssuer,
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => Network::WrongHost,
            Wrong::Expired
            | Wrong::ExpiredContext { .. }
            | Wrong::NotValidYet
            | Wrong::NotValidYetContext { .. } => Network::Expired,
            _ => Network::Tls,
        },
        _ => Network::Tls,
    }
}
