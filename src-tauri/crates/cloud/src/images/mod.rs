//! Images in Glance: listed, found, changed, deleted; [`upload`] and [`download`] move their bytes.

mod download;
mod properties;
mod upload;

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

pub use download::download;
pub use properties::{Guest, for_guest};
pub use upload::{Upload, Uploaded, Watch, sha512_of, upload};

use crate::error::{Error, Result};
use crate::session::{Call, Part};
use crate::{Service, Session};

const PATCH: &str = "application/openstack-images-v2.1-json-patch";

/// An image as Glance has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// Its name; it need not have one.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it stands: `queued`, `saving`, `active`, `killed`, …
    pub status: String,
    /// Who sees it: `private`, `shared`, `community` or `public`.
    #[serde(default)]
    pub visibility: String,
    /// Its format, such as `qcow2` or `raw`.
    #[serde(default)]
    pub disk_format: Option<String>,
    /// Its size in bytes, once there are any.
    #[serde(default)]
    pub size: Option<u64>,
    /// The smallest disk that it fits on, in GiB.
    #[serde(default)]
    pub min_disk: u64,
    /// The least memory that it runs in, in MiB.
    #[serde(default)]
    pub min_ram: u64,
    /// What the hash is made by; `sha512`, where nobody chose another.
    #[serde(default)]
    pub os_hash_algo: Option<String>,
    /// The hash of its bytes.
    #[serde(default)]
    pub os_hash_value: Option<String>,
    /// The project that owns it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it was made (RFC 3339).
    #[serde(default)]
    pub created_at: String,
    /// Whether it may not be deleted.
    #[serde(default)]
    pub protected: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

impl Image {
    /// A property that is none of Glance's own.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.rest.get(name).and_then(Value::as_str)
    }

    /// Its properties for the hypervisor, and ours.
    pub fn properties(&self) -> BTreeMap<String, String> {
        let own = ["hw_", "os_", "img_", crate::LABEL];
        self.rest
            .iter()
            .filter(|(key, _)| own.iter().any(|it| key.starts_with(it)))
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// Its name, else its id.
    pub fn shown(&self) -> &str {
        self.name
            .as_deref()
            .filter(|it| !it.is_empty())
            .unwrap_or(&self.id)
    }

    /// Whether Windlass made it.
    pub fn is_ours(&self) -> bool {
        self.tags.iter().any(|it| it == crate::LABEL)
    }
}

/// Which images are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this name.
    pub name: Option<String>,
    /// Those that are seen so: `private`, `public`, …
    pub visibility: Option<String>,
    /// Those with this tag.
    pub tag: Option<String>,
    /// Those with these bytes.
    pub sha512: Option<String>,
}

fn listing(filter: &Filter) -> Call {
    let mut call =
        Call::get(Service::Image, "/images", "list images").with("sort", "name:asc,id:asc");
    for (key, value) in [
        ("name", &filter.name),
        ("visibility", &filter.visibility),
        ("tag", &filter.tag),
        ("os_hash_value", &filter.sha512),
    ] {
        if let Some(value) = value {
            call = call.with(key, value.as_str());
        }
    }
    call
}

/// The images that are there, by name.
///
/// # Errors
/// As Glance refuses, or the way to it ends.
pub async fn list(session: &Session, filter: &Filter) -> Result<Vec<Image>> {
    session.list(listing(filter), "images").await
}

/// A part of the same list, after the image of that id.
///
/// # Errors
/// As Glance refuses, or the way to it ends.
pub async fn page(session: &Session, filter: &Filter, marker: Option<&str>) -> Result<Part<Image>> {
    session.page(&listing(filter), "images", marker).await
}

/// The formats that Glance takes; all that it knows, where it does not say.
///
/// # Errors
/// As Glance refuses, or the way to it ends.
pub async fn formats(session: &Session) -> Result<Vec<String>> {
    let schema = session
        .call(Call::get(
            Service::Image,
            "/schemas/image",
            "say which formats it takes",
        ))
        .await?
        .json()?;
    let formats = schema
        .pointer("/properties/disk_format/enum")
        .and_then(Value::as_array);
    Ok(formats.map_or_else(
        || vec!["raw".to_owned(), "qcow2".to_owned()],
        |it| {
            it.iter()
                .filter_map(|it| it.as_str().map(str::to_owned))
                .collect()
        },
    ))
}

/// One image, by its id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(session: &Session, id: &str) -> Result<Image> {
    let call = Call::get(
        Service::Image,
        format!("/images/{id}"),
        format!("show the image {id}"),
    );
    session.fetch(call, "").await.map_err(|error| match error {
        Error::Refused { status: 404, .. } => Error::NotFound {
            what: "image",
            name: id.to_owned(),
        },
        error => error,
    })
}

/// One image, by its id or its name.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Ambiguous`].
pub async fn find(session: &Session, wanted: &str) -> Result<Image> {
    let filter = Filter {
        name: Some(wanted.to_owned()),
        ..Filter::default()
    };
    let mut named = list(session, &filter).await?;
    match named.len() {
        1 => Ok(named.remove(0)),
        0 if looks_like_id(wanted) => get(session, wanted).await,
        0 => Err(Error::NotFound {
            what: "image",
            name: wanted.to_owned(),
        }),
        count => Err(Error::Ambiguous {
            what: "image",
            name: wanted.to_owned(),
            count,
        }),
    }
}

/// Whether a word may be an id; what is none must not become part of a path.
pub(crate) fn looks_like_id(word: &str) -> bool {
    (8..=64).contains(&word.len()) && word.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-')
}

/// Deletes an image; that it is gone already is no error.
///
/// # Errors
/// As Glance refuses: protected, in use by a volume.
pub async fn delete(session: &Session, id: &str) -> Result<()> {
    let doing = format!("delete the image {id}");
    session
        .remove(Call::delete(Service::Image, format!("/images/{id}"), doing))
        .await
}

/// Marks an image as made by Windlass.
///
/// # Errors
/// As Glance refuses.
pub async fn label(session: &Session, id: &str) -> Result<()> {
    let call = Call::new(
        Service::Image,
        Method::PUT,
        format!("/images/{id}/tags/{}", crate::LABEL),
        "mark the image",
    );
    session.call(call).await.map(|_| ())
}

/// Changes who sees an image, its name, its tags or its properties: JSON values by their names.
///
/// # Errors
/// As Glance refuses: most clouds let their keepers alone make images public.
pub async fn change(
    session: &Session,
    image: &Image,
    changes: &BTreeMap<String, Value>,
) -> Result<Image> {
    if changes.is_empty() {
        return Ok(image.clone());
    }
    let steps: Vec<Value> = changes
        .iter()
        .map(|(key, value)| {
            let basic = matches!(
                key.as_str(),
                "name" | "visibility" | "tags" | "protected" | "min_disk" | "min_ram"
            );
            let operation = if basic || image.rest.contains_key(key) {
                "replace"
            } else {
                "add"
            };
            json!({ "op": operation, "path": format!("/{key}"), "value": value })
        })
        .collect();
    let doing = format!("change the image {}", image.shown());
    let call = Call::new(
        Service::Image,
        Method::PATCH,
        format!("/images/{}", image.id),
        doing,
    )
    .body(Value::Array(steps))
    .content_type(PATCH);
    session.fetch(call, "").await
}
