//! What can be had: the library and what registries last said, as one searchable table.
//!
//! ```text
//!   library ───────────► catalogue 0 ┐
//!   registries/1.catalogue ─► 1      ├─► Search ── hits ──► rows: one per name
//!   registries/2.catalogue ─► 2      ┘
//! ```
//!
//! It is made when it is first asked for, and anew when one of its parts changed: a search as one types
//! looks only at what is in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use windlass_library::InstalledPackage;
use windlass_package::{Package, Version};
use windlass_registry::{Catalogue, Entry, EntryKind, Locator, Search};

use super::{PackageFilter, PackageKind, PackagePage, PackageRow, PackageSource};
use crate::Workshop;
use crate::error::Result;
use crate::events::Event;
use crate::registries::Record;

/// How long the library is taken for unchanged: another process may have added something.
const LIBRARY_AGE: Duration = Duration::from_secs(1);

/// The catalogue that stands for the library.
const LIBRARY: usize = 0;

/// The table that was made last.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    made: Mutex<Option<(Instant, Arc<Offer>)>>,
}

/// What can be had.
#[derive(Debug)]
pub(crate) struct Offer {
    search: Search,
    /// The registries of the catalogues, the first of which has none.
    records: Vec<Record>,
    installed: Vec<InstalledPackage>,
    rows: Vec<Row>,
    /// For each catalogue and entry the row that it is in.
    row_of: Vec<Vec<usize>>,
    /// Versions of OSv kernels in the library.
    kernels: Vec<String>,
}

/// All entries of one name.
#[derive(Debug)]
struct Row {
    kind: PackageKind,
    /// Catalogue and entry, in the order of the catalogues.
    entries: Vec<(usize, usize)>,
}

/// A version as it orders; what has none is older than all that has.
fn age(entry: &Entry) -> Option<Version> {
    entry.parsed_version()
}

impl Offer {
    fn entry(&self, (catalogue, entry): (usize, usize)) -> &Entry {
        &self.search.catalogues()[catalogue].entries[entry]
    }

    /// What registries have of this name, in their order.
    pub(super) fn named<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a Record, &'a Entry)> {
        self.records
            .iter()
            .zip(&self.search.catalogues()[LIBRARY + 1..])
            .flat_map(move |(record, catalogue)| {
                catalogue.named(name).map(move |entry| (record, entry))
            })
    }

    /// The packages of this name that registries have.
    pub(super) fn packages_named<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a Record, &'a Entry)> {
        self.named(name)
            .filter(|(_, entry)| entry.kind == EntryKind::Package)
    }

    /// All that registries have.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Record, &Entry)> {
        self.records
            .iter()
            .zip(&self.search.catalogues()[LIBRARY + 1..])
            .flat_map(|(record, catalogue)| catalogue.entries.iter().map(move |it| (record, it)))
    }

    /// The packages of the library.
    pub(super) fn installed(&self) -> &[InstalledPackage] {
        &self.installed
    }

    /// The newest version of the library, where there is one of this name.
    pub(super) fn installed_named(&self, name: &str) -> Option<&InstalledPackage> {
        self.installed.iter().find(|package| package.name == name)
    }

    fn is_installed(&self, row: &Row) -> bool {
        match row.kind {
            PackageKind::Package => row.entries.iter().any(|(at, _)| *at == LIBRARY),
            PackageKind::Kernel => row.entries.iter().any(|at| {
                let version = self.entry(*at).version.as_deref();
                version.is_some_and(|version| self.has_kernel(version))
            }),
        }
    }

    /// Whether the library has OSv of this version; registries write it with a `v`.
    pub(super) fn has_kernel(&self, version: &str) -> bool {
        let plain = version.trim_start_matches('v');
        self.kernels
            .iter()
            .any(|it| it.trim_start_matches('v') == plain)
    }

    fn passes(&self, row: &Row, filter: &PackageFilter) -> bool {
        let kind = filter.kind.is_none_or(|kind| kind == row.kind);
        let installed = || {
            filter
                .installed
                .is_none_or(|installed| installed == self.is_installed(row))
        };
        let registry = || {
            filter.registry_id.is_none_or(|id| {
                row.entries
                    .iter()
                    .any(|(at, _)| *at > LIBRARY && self.records[at - 1].id == id)
            })
        };
        let runtime = || {
            filter.runtime.as_deref().is_none_or(|runtime| {
                row.entries
                    .iter()
                    .any(|at| self.entry(*at).runtime.as_deref() == Some(runtime))
            })
        };
        kind && registry() && installed() && runtime()
    }

    fn show(&self, row: &Row) -> PackageRow {
        let newest = |of_library: bool| {
            row.entries
                .iter()
                .filter(|(at, _)| (*at == LIBRARY) == of_library)
                .map(|at| (*at, self.entry(*at)))
                // Of equal versions that of the first registry.
                .reduce(|best, next| {
                    if age(next.1) > age(best.1) {
                        next
                    } else {
                        best
                    }
                })
        };
        let (here, there) = (newest(true), newest(false));
        let shown = here.or(there).map(|(_, entry)| entry);
        let mut versions: Vec<_> = row
            .entries
            .iter()
            .map(|at| self.entry(*at).version.as_deref())
            .collect();
        versions.sort_unstable();
        versions.dedup();
        let update_to = match (here, there) {
            (Some((_, here)), Some((_, there))) if age(there) > age(here) => there.version.clone(),
            _ => None,
        };
        PackageRow {
            name: shown.map(|it| it.name.clone()).unwrap_or_default(),
            title: shown
                .and_then(|it| it.title.clone())
                .or_else(|| there.and_then(|(_, it)| it.title.clone()))
                .unwrap_or_default(),
            version: shown.and_then(|it| it.version.clone()),
            versions: u32::try_from(versions.len()).unwrap_or(u32::MAX),
            installed: self.is_installed(row),
            source: match (here, there) {
                (Some(_), Some(_)) => PackageSource::Both,
                (Some(_), None) => PackageSource::Library,
                _ => PackageSource::Registry,
            },
            registry: there.map(|((at, _), _)| self.records[at - 1].name().to_owned()),
            size_bytes: shown.and_then(|it| it.size_bytes),
            runtime: row
                .entries
                .iter()
                .find_map(|at| self.entry(*at).runtime.clone()),
            update_to,
            kind: row.kind,
        }
    }

    fn page(&self, query: &str, filter: &PackageFilter, offset: u32, limit: u32) -> PackagePage {
        let (offset, limit) = (offset as usize, limit as usize);
        let mut total = 0;
        let mut rows = Vec::new();
        let mut take = |row: &Row| {
            if self.passes(row, filter) {
                if total >= offset && rows.len() < limit {
                    rows.push(self.show(row));
                }
                total += 1;
            }
        };
        if query.trim().is_empty() {
            self.rows.iter().for_each(take);
        } else {
            let found = self.search.page(query, 0, usize::MAX, |_, _| true);
            let mut seen = vec![false; self.rows.len()];
            for hit in found.hits {
                let index = self.row_of[hit.catalogue][hit.entry];
                // Images have no row.
                if index < seen.len() && !std::mem::replace(&mut seen[index], true) {
                    take(&self.rows[index]);
                }
            }
        }
        PackagePage {
            total: u32::try_from(total).unwrap_or(u32::MAX),
            rows,
            offline: self
                .records
                .iter()
                .filter(|record| record.offline)
                .map(|record| record.name().to_owned())
                .collect(),
        }
    }

    fn build(
        installed: Vec<InstalledPackage>,
        kernels: Vec<String>,
        offered: Vec<(Record, Arc<Catalogue>)>,
    ) -> Self {
        let mut catalogues = vec![Arc::new(as_catalogue(&installed))];
        let mut records = Vec::new();
        for (record, catalogue) in offered {
            records.push(record);
            catalogues.push(catalogue);
        }
        let mut row_at: HashMap<(&str, PackageKind), usize> = HashMap::new();
        let mut rows: Vec<(&str, Row)> = Vec::new();
        let mut row_of: Vec<Vec<usize>> = Vec::new();
        for (at, catalogue) in catalogues.iter().enumerate() {
            let mut of_entry = Vec::with_capacity(catalogue.entries.len());
            for (index, entry) in catalogue.entries.iter().enumerate() {
                let kind = match entry.kind {
                    EntryKind::Package => PackageKind::Package,
                    EntryKind::Loader | EntryKind::Kernel => PackageKind::Kernel,
                    // Nothing here boots a foreign disk.
                    EntryKind::Image => {
                        of_entry.push(usize::MAX);
                        continue;
                    }
                };
                let row = *row_at.entry((&entry.name, kind)).or_insert_with(|| {
                    let entries = Vec::new();
                    rows.push((&entry.name, Row { kind, entries }));
                    rows.len() - 1
                });
                rows[row].1.entries.push((at, index));
                of_entry.push(row);
            }
            row_of.push(of_entry);
        }
        // By name: where each row goes.
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|one, other| rows[*one].0.cmp(rows[*other].0));
        let mut goes_to = vec![0; rows.len()];
        for (place, row) in order.iter().enumerate() {
            goes_to[*row] = place;
        }
        let mut sorted: Vec<(usize, Row)> = rows
            .into_iter()
            .enumerate()
            .map(|(index, (_, row))| (goes_to[index], row))
            .collect();
        sorted.sort_by_key(|(place, _)| *place);
        for row in row_of.iter_mut().flatten() {
            if let Some(place) = goes_to.get(*row) {
                *row = *place;
            }
        }
        Self {
            search: Search::over(catalogues.iter().cloned()),
            records,
            installed,
            rows: sorted.into_iter().map(|(_, row)| row).collect(),
            row_of,
            kernels,
        }
    }

    /// Whether it was made of just these.
    fn is_of(
        &self,
        installed: &[InstalledPackage],
        kernels: &[String],
        offered: &[(Record, Arc<Catalogue>)],
    ) -> bool {
        let same_catalogues = self.records.len() == offered.len()
            && self.search.catalogues()[LIBRARY + 1..]
                .iter()
                .zip(offered)
                .all(|(mine, (_, theirs))| Arc::ptr_eq(mine, theirs));
        let same_records = self.records.iter().zip(offered).all(|(mine, (theirs, _))| {
            mine.id == theirs.id && mine.offline == theirs.offline && mine.name() == theirs.name()
        });
        same_catalogues && same_records && self.kernels == kernels && self.installed == installed
    }
}

/// The library in the form of what registries say.
fn as_catalogue(installed: &[InstalledPackage]) -> Catalogue {
    let entries = installed
        .iter()
        .map(|package| {
            let place = Locator::at(package.path.display().to_string());
            Entry {
                title: Some(package.title.clone()),
                version: package.version.clone(),
                size_bytes: Some(package.size_bytes),
                require: package.require.clone(),
                runtime: runtime_of(package),
                ..Entry::new(EntryKind::Package, &package.name, place)
            }
        })
        .collect();
    Catalogue {
        registry: "library".to_owned(),
        identity: "library".to_owned(),
        refreshed: jiff::Timestamp::UNIX_EPOCH,
        entries,
    }
}

fn runtime_of(package: &InstalledPackage) -> Option<String> {
    let run = Package::open(&package.path).ok()?.run?;
    Some(run.runtime.to_string())
}

impl Workshop {
    /// Tells everyone that the packages of the library changed.
    pub(crate) fn library_changed(&self) {
        *self.lock_offers() = None;
        self.events.send(Event::LibraryChanged);
        // Contents and problems of appliances may be others now.
        self.plans.forget_all();
        self.tell_appliances();
    }

    fn lock_offers(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<Offer>)>> {
        self.offers
            .made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be had just now. Blocks while files are read, where something changed.
    pub(crate) fn offer(&self) -> Result<Arc<Offer>> {
        let mut made = self.lock_offers();
        let offered: Vec<_> = self
            .enabled_registries()?
            .into_iter()
            .map(|record| {
                let catalogue = self.catalogue(&record).unwrap_or_else(empty);
                (record, catalogue)
            })
            .collect();
        if let Some((looked, offer)) = made.as_ref()
            && looked.elapsed() < LIBRARY_AGE
            && offer.is_of(&offer.installed, &offer.kernels, &offered)
        {
            return Ok(Arc::clone(offer));
        }
        let installed = self.library.packages()?.entries;
        let kernels: Vec<String> = self
            .library
            .kernels()?
            .entries
            .into_iter()
            .filter(|kernel| kernel.guest == windlass_guest::GuestOs::Osv)
            .filter_map(|kernel| kernel.version)
            .collect();
        let offer = match made.take() {
            Some((_, offer)) if offer.is_of(&installed, &kernels, &offered) => offer,
            _ => Arc::new(Offer::build(installed, kernels, offered)),
        };
        *made = Some((Instant::now(), Arc::clone(&offer)));
        Ok(offer)
    }

    /// Packages of the library and of all registries, by relevance; an empty query finds all.
    ///
    /// # Errors
    /// When the library or the database cannot be read.
    pub async fn search_packages(
        self: &Arc<Self>,
        query: &str,
        filter: &PackageFilter,
        offset: u32,
        limit: u32,
    ) -> Result<PackagePage> {
        let workshop = Arc::clone(self);
        let (query, filter) = (query.to_owned(), filter.clone());
        crate::blocking(move || Ok(workshop.offer()?.page(&query, &filter, offset, limit))).await?
    }
}

/// What a registry has that was never asked: one and the same, so that nothing seems to change.
fn empty() -> Arc<Catalogue> {
    static EMPTY: std::sync::OnceLock<Arc<Catalogue>> = std::sync::OnceLock::new();
    Arc::clone(EMPTY.get_or_init(|| {
        Arc::new(Catalogue {
            registry: String::new(),
            identity: String::new(),
            refreshed: jiff::Timestamp::UNIX_EPOCH,
            entries: Vec::new(),
        })
    }))
}
