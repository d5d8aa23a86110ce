//! The way out for a package that was replaced under its version: somebody asked, and accepts what is there now.

use serde::Serialize;
use specta::Type;
use windlass_registry::{Entry, Sha256, Trust, TrustFile};

use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};
use crate::registries::Record;

/// A digest that is not insisted on any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedDigest {
    /// The registry's name.
    pub registry: String,
    /// The package.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The SHA-256 that it had when it was first fetched; forgotten now.
    pub old: String,
    /// The SHA-256 that is insisted on from now on. Where the registry says none, the next fetch's is.
    pub new: Option<String>,
}

impl Workshop {
    /// Accepts that a registry's package is another one than that seen first; nothing is fetched. Without a version,
    /// of the newest. With the digest that a fetch found, just that one is accepted.
    ///
    /// # Errors
    /// `NotFound` when the registry does not have it, or no digest of it is remembered; `Conflict` when it is still
    /// what was seen first; `Input` when what was found is no digest.
    pub async fn accept_digest(
        self: &std::sync::Arc<Self>,
        registry: u32,
        name: &str,
        version: Option<&str>,
        found: Option<&str>,
    ) -> Result<AcceptedDigest> {
        let found = found
            .map(|text| {
                text.parse::<Sha256>()
                    .map_err(|error| AppError::from_error(ErrorKind::Input, &error, None))
            })
            .transpose()?;
        let record = self.registry_record(registry)?;
        let workshop = std::sync::Arc::clone(self);
        let (name, version) = (name.to_owned(), version.map(str::to_owned));
        crate::blocking(move || {
            let offer = workshop.offer()?;
            let entry = offer
                .all()
                .filter(|(of, entry)| of.id == record.id && entry.name == name)
                .map(|(_, entry)| entry)
                .filter(|entry| version.is_none() || entry.version == version)
                .max_by_key(|entry| entry.parsed_version())
                .ok_or_else(|| {
                    let wanted = match &version {
                        Some(version) => format!("{name} {version}"),
                        None => name.clone(),
                    };
                    AppError::new(
                        ErrorKind::NotFound,
                        format!("{} is not known to have {wanted}", record.name()),
                    )
                    .hinted("`windlassctl registry refresh` asks it what it has")
                })?;
            let trust = TrustFile::open(workshop.home.registries().join("trust"))?;
            accept(&record, entry, found, &trust)
        })
        .await?
    }
}

fn accept(
    record: &Record,
    entry: &Entry,
    found: Option<Sha256>,
    trust: &dyn Trust,
) -> Result<AcceptedDigest> {
    // What a fetch found is newer than what the registry was last asked about.
    let digest = found.or(entry.digest);
    let (identity, key) = (record.config.identity(), entry.trust_key());
    let Some(old) = trust.known(&identity, &key) else {
        return Err(AppError::new(
            ErrorKind::NotFound,
            format!("No digest of {} is remembered", entry.name),
        )
        .hinted("There is nothing to accept: it can be fetched as it is"));
    };
    if digest == Some(old) {
        return Err(AppError::new(
            ErrorKind::Conflict,
            format!("{} is what was seen first: its digest is {old}", entry.name),
        )
        .hinted("If it was replaced just now, refresh the registry first"));
    }
    match digest {
        // Just this one is accepted, and not what may be there at the next fetch.
        Some(new) => trust.record(&identity, &key, new)?,
        None => trust.forget(&identity, &key)?,
    }
    Ok(AcceptedDigest {
        registry: record.name().to_owned(),
        name: entry.name.clone(),
        version: entry.version.clone(),
        old: old.to_string(),
        new: digest.as_ref().map(Sha256::to_string),
    })
}
