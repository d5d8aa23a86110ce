//! What publishing does to what is there: pure decisions, for folders and buckets alike.
//!
//! ```text
//!   packages/NAME.mpm + NAME.yaml                    the newest version: what Capstan pulls
//!   packages/NAME-VERSION.mpm + NAME-VERSION.yaml    each older one, for whoever has it in a lock file
//! ```

use windlass_package::{Manifest, Version};

use crate::{Entry, Error, Sha256};

/// What is there under a package's own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct There {
    /// The text beside the archive, and what it says; `None` when it cannot be understood.
    pub(super) manifest: Option<(String, Manifest)>,
    /// The archive's digest, where it is known.
    pub(super) sha256: Option<Sha256>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The name that ours gets, without its ending.
    pub(super) stem: String,
    /// The name that what is there under `stem` is kept by, where it is an older version.
    pub(super) keep_as: Option<String>,
}

/// The name of a version that is not the newest, without its ending.
pub(super) fn stem_of(name: &str, version: &str) -> String {
    let version: String = version
        .chars()
        .map(|sign| match sign {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '+' | '-' => sign,
            _ => '_',
        })
        .take(60)
        .collect();
    format!("{name}-{version}")
}

/// Where ours goes beside what is there.
pub(super) fn plan(
    ours: &Manifest,
    sha256: Sha256,
    there: Option<&There>,
    replace: bool,
    place: &str,
) -> Result<Plan, Error> {
    let stem = ours.name.clone();
    let plain = Plan {
        stem: stem.clone(),
        keep_as: None,
    };
    let Some(there) = there else {
        return Ok(plain);
    };
    // The very same archive: only its manifest is written again, should that have failed before.
    if there.sha256 == Some(sha256) {
        return Ok(plain);
    }
    let exists = || Error::Exists {
        place: place.to_owned(),
    };
    let Some((_, manifest)) = &there.manifest else {
        return if replace { Ok(plain) } else { Err(exists()) };
    };
    let (Some(theirs), Some(version)) = (&manifest.version, &ours.version) else {
        return if replace { Ok(plain) } else { Err(exists()) };
    };
    if manifest.name != ours.name {
        return Err(exists());
    }
    let of = |text: &str| Version::parse(text).ok();
    match (of(version), of(theirs)) {
        _ if version == theirs && !replace => Err(exists()),
        _ if version == theirs => Ok(plain),
        (Some(new), Some(old)) if new < old => Ok(Plan {
            stem: stem_of(&ours.name, version),
            keep_as: None,
        }),
        _ => Ok(Plan {
            stem,
            keep_as: Some(stem_of(&ours.name, theirs)),
        }),
    }
}

/// Refuses to write over an archive that is kept under a version's name.
pub(super) fn check_kept(
    found: Option<Sha256>,
    ours: Sha256,
    replace: bool,
    place: &str,
) -> Result<(), Error> {
    match found {
        Some(found) if found != ours && !replace => Err(Error::Exists {
            place: place.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What a `packages.json` says of an entry.
pub(super) fn indexed(file: String, entry: Entry) -> crate::kinds::index::Indexed {
    crate::kinds::index::Indexed {
        file,
        name: entry.name,
        kind: entry.kind,
        version: entry.version,
        architecture: entry.architecture,
        size_bytes: entry.size_bytes,
        sha256: entry.digest,
        signed: entry.signature.is_some(),
        require: entry.require.iter().map(ToString::to_string).collect(),
        title: entry.title,
        description: entry.description,
        author: entry.author,
        runtime: entry.runtime,
        created: entry.created,
        platform: entry.platform,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(version: &str) -> Manifest {
        let text = format!("name: app\ntitle: App\nauthor: me\nversion: '{version}'\n");
        Manifest::parse(&text, "app.yaml").unwrap().value
    }

    #[test]
    fn the_newest_version_has_the_plain_name_and_nothing_is_replaced_in_silence() {
        let ours = Sha256::of(b"ours");
        let with = |version: &str, there: Option<(&str, Sha256)>, replace: bool| {
            let there = there.map(|(version, sha256)| There {
                manifest: (version != "?").then(|| (String::new(), manifest(version))),
                sha256: Some(sha256),
            });
            match plan(
                &manifest(version),
                ours,
                there.as_ref(),
                replace,
                "packages/app.mpm",
            ) {
                Ok(Plan {
                    stem,
                    keep_as: None,
                }) => stem,
                Ok(Plan {
                    stem,
                    keep_as: Some(kept),
                }) => format!("{stem}, what is there as {kept}"),
                Err(error) => error.to_string(),
            }
        };
        let other = Sha256::of(b"other");
        let refused = "packages/app.mpm is there already, and is another one";
        assert_eq!(with("1.0", None, false), "app");
        assert_eq!(with("1.0", Some(("1.0", ours)), false), "app");
        assert_eq!(with("1.0", Some(("1.0", other)), false), refused);
        assert_eq!(with("1.0", Some(("1.0", other)), true), "app");
        assert_eq!(
            with("1.1", Some(("1.0", other)), false),
            "app, what is there as app-1.0"
        );
        assert_eq!(
            with("0.9", Some(("1.0/..", other)), false),
            "app, what is there as app-1.0_.."
        );
        assert_eq!(with("1.9", Some(("1.10", other)), false), "app-1.9");
        assert_eq!(with("1.0", Some(("?", other)), false), refused);
        assert_eq!(with("1.0", Some(("?", other)), true), "app");
    }
}
