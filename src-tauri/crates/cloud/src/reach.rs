//! The way to a server: plain HTTP clients as a profile wants them, and what it means when the way ends.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};

use crate::Profile;
use crate::error::{Error, Result, Trouble};

/// How long a connection may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);
/// How long any answer but an image may take.
pub(crate) const ANSWER: Duration = Duration::from_mins(1);

/// A client that trusts what the profile trusts. `patience` is for a whole answer; without, transfers may take as long as they do.
pub(crate) fn client(profile: &Profile, patience: Option<Duration>) -> Result<Client> {
    built(profile, trusting(profile, patience)?)
}

/// A client whose connections can become something else than HTTP.
pub(crate) fn upgrading(profile: &Profile) -> Result<Client> {
    built(profile, trusting(profile, None)?.http1_only())
}

fn built(profile: &Profile, builder: ClientBuilder) -> Result<Client> {
    builder
        .build()
        .map_err(|source| network(&profile.auth_url, source))
}

fn trusting(profile: &Profile, patience: Option<Duration>) -> Result<ClientBuilder> {
    let mut builder = Client::builder()
        .user_agent(concat!("Windlass/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT)
        .danger_accept_invalid_certs(profile.insecure);
    if let Some(patience) = patience {
        builder = builder.timeout(patience);
    } else {
        builder = builder.read_timeout(ANSWER * 5);
    }
    let wrong = |found: String| Error::Profile {
        cloud: profile.name.clone(),
        found,
        remedy: "Give a PEM file, which has lines `-----BEGIN CERTIFICATE-----`".to_owned(),
    };
    if let Some(path) = &profile.ca_file {
        let bytes = std::fs::read(path).map_err(|it| Error::io("read", path, it))?;
        let certificates = Certificate::from_pem_bundle(&bytes).unwrap_or_default();
        if certificates.is_empty() {
            return Err(wrong(format!(
                "is to be trusted by `{}`, which has no certificate",
                path.display()
            )));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    Ok(builder)
}

/// What happened, in our words.
pub(crate) fn network(url: &str, error: reqwest::Error) -> Error {
    Error::Network {
        url: url.to_owned(),
        trouble: trouble(&error),
        source: Some(Box::new(error.without_url())),
    }
}

/// Finds out of an error of the SDK what happened on the way, where it is that.
pub(crate) fn network_of(url: &str, error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if let Some(error) = this.downcast_ref::<reqwest::Error>() {
            return Some(Error::Network {
                url: url.to_owned(),
                trouble: trouble(error),
                // The error is another's; its innermost words say what the system said.
                source: Some(innermost(error).into()),
            });
        }
        cause = this.source();
    }
    None
}

fn innermost(error: &dyn StdError) -> String {
    let mut last = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        last = this.to_string();
        cause = this.source();
    }
    last
}

fn trouble(error: &reqwest::Error) -> Trouble {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(this) = cause {
        if let Some(trouble) = of_io(this) {
            return trouble;
        }
        cause = this.source();
    }
    if error.is_dns() {
        Trouble::Name
    } else if error.is_connect() {
        Trouble::Unreachable
    } else if error.is_timeout() {
        Trouble::Slow
    } else {
        Trouble::Cut
    }
}

/// What an error is that may be one of TLS in an [`io::Error`], which hides what it wraps from `source`.
fn of_io(mut error: &(dyn StdError + 'static)) -> Option<Trouble> {
    loop {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(of_tls(tls));
        }
        let io = error.downcast_ref::<io::Error>()?;
        match io.get_ref() {
            Some(inner) => error = inner,
            None => return None,
        }
        // The only words for a server that hangs up at our hello.
        if error.to_string() == "tls handshake eof" {
            return Some(Trouble::Tls);
        }
    }
}

fn of_tls(error: &rustls::Error) -> Trouble {
    use rustls::CertificateError as Wrong;
    match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            // The other: a certificate that signs itself and is no authority's.
            Wrong::UnknownIssuer | Wrong::Other(_) => Trouble::UnknownAuthority,
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => Trouble::OtherHost,
            Wrong::Expired
            | Wrong::ExpiredContext { .. }
            | Wrong::NotValidYet
            | Wrong::NotValidYetContext { .. } => Trouble::Expired,
            _ => Trouble::Tls,
        },
        _ => Trouble::Tls,
    }
}
