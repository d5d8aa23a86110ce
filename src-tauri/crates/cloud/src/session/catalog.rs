//! Where services are: the catalogue that comes with a token, and what a profile says against it.

use std::collections::BTreeMap;

use url::Url;

use crate::error::{Error, Result};
use crate::{Profile, Service};

/// One address of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: String,
    pub(crate) interface: String,
    pub(crate) region: Option<String>,
    pub(crate) url: String,
}

/// What Keystone says is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog {
    entries: Vec<Entry>,
    overrides: BTreeMap<String, String>,
    region: Option<String>,
    interface: String,
}

impl Catalog {
    pub(crate) fn new(profile: &Profile, entries: Vec<Entry>) -> Self {
        let overrides = profile.other.iter().filter_map(|(key, value)| {
            let kind = key.strip_suffix("_endpoint_override")?;
            Some((kind.replace('_', "-"), value.as_str()?.to_owned()))
        });
        Self {
            entries,
            overrides: overrides.collect(),
            region: profile.region.clone(),
            interface: profile
                .interface
                .clone()
                .unwrap_or_else(|| "public".to_owned()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.overrides.is_empty()
    }

    /// Regions that anything is in.
    pub(crate) fn regions(&self) -> Vec<String> {
        let mut regions: Vec<_> = self
            .entries
            .iter()
            .filter_map(|it| it.region.clone())
            .collect();
        regions.sort();
        regions.dedup();
        regions
    }

    /// The address of a service, as the catalogue has it.
    pub(crate) fn address(&self, service: Service) -> Result<Url> {
        let none = |regions| Error::NoService {
            service,
            region: self.region.clone(),
            regions,
        };
        let overridden = service
            .types()
            .iter()
            .find_map(|kind| self.overrides.get(*kind));
        let text = if let Some(url) = overridden {
            url
        } else {
            let of_service: Vec<_> = service
                .types()
                .iter()
                .flat_map(|kind| self.entries.iter().filter(move |it| it.kind == *kind))
                .filter(|it| it.interface == self.interface)
                .collect();
            let here = of_service
                .iter()
                .find(|it| self.region.is_none() || it.region == self.region);
            let Some(entry) = here else {
                let regions = of_service.iter().filter_map(|it| it.region.clone());
                return Err(none(regions.collect()));
            };
            &entry.url
        };
        Url::parse(text).map_err(|_| Error::Answer {
            service: Service::Identity,
            doing: "list its services".to_owned(),
            found: format!("the address of {service} is `{text}`"),
        })
    }

    /// Where its calls begin: with the version that we speak, where the catalogue leaves that to us.
    pub(crate) fn base(&self, service: Service) -> Result<Url> {
        Ok(with_version(self.address(service)?, service))
    }
}

fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|it| it.is_ascii_digit() || it == b'.')
    })
}

pub(crate) fn with_version(mut url: Url, service: Service) -> Url {
    let version = match service {
        Service::Identity => "v3",
        Service::Image => "v2",
        Service::Network => "v2.0",
        // Their addresses have a version, as the project in it has to come behind one.
        Service::Compute | Service::Volume | Service::Orchestration => "",
    };
    let versioned = url.path_segments().is_some_and(|mut it| it.any(is_version));
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty();
        if !version.is_empty() && !versioned {
            segments.push(version);
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_added_where_the_catalogue_has_none() {
        let shown =
            |text: &str, service| with_version(Url::parse(text).unwrap(), service).to_string();
        assert_eq!(
            shown("http://10.0.0.1:9292", Service::Image),
            "http://10.0.0.1:9292/v2"
        );
        assert_eq!(
            shown("https://host/image/", Service::Image),
            "https://host/image/v2"
        );
        assert_eq!(
            shown("https://host/image/v2/", Service::Image),
            "https://host/image/v2"
        );
        assert_eq!(
            shown("https://host/network", Service::Network),
            "https://host/network/v2.0"
        );
        assert_eq!(
            shown("http://h:8774/v2.1", Service::Compute),
            "http://h:8774/v2.1"
        );
        assert_eq!(
            shown("http://h:8776/v3/abc", Service::Volume),
            "http://h:8776/v3/abc"
        );
        assert_eq!(
            shown("http://h/identity", Service::Identity),
            "http://h/identity/v3"
        );
    }

    #[test]
    fn region_interface_and_override_choose() {
        let entry = |region: &str, interface: &str, url: &str| Entry {
            kind: "image".to_owned(),
            interface: interface.to_owned(),
            region: Some(region.to_owned()),
            url: url.to_owned(),
        };
        let entries = vec![
            entry("one", "internal", "http://inside"),
            entry("one", "public", "http://one"),
            entry("two", "public", "http://two"),
        ];
        let mut profile = Profile::default();
        let address = |profile: &Profile| {
            Catalog::new(profile, entries.clone())
                .address(Service::Image)
                .map(|it| it.to_string())
        };
        assert_eq!(address(&profile).unwrap(), "http://one/");
        profile.region = Some("two".to_owned());
        assert_eq!(address(&profile).unwrap(), "http://two/");
        profile.region = Some("three".to_owned());
        let error = address(&profile).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The cloud offers no Glance service in the region three"
        );
        assert_eq!(error.hint().unwrap(), "Regions that have it: one, two");
        profile
            .other
            .insert("image_endpoint_override".to_owned(), "http://own".into());
        assert_eq!(address(&profile).unwrap(), "http://own/");
    }
}
