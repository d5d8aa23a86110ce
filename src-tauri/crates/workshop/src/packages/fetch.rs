//! From a registry into the library: fetched, verified, added.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use windlass_library::{InstalledPackage, Origin};
use windlass_registry::{Control, Entry, EntryKind, Fetched, Progress, Sha256, TrustFile};

use super::wanted::{ToFetch, Wish, to_fetch};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, ReplacedPackage, Result};
use crate::jobs::{Job, JobKind, Reporter, Request, Unit};

/// How many packages are fetched at once.
const AT_ONCE: usize = 4;
/// How often a file that another process is fetching is looked at again.
const BUSY_POLL: Duration = Duration::from_millis(300);

/// Adds up what several fetches have done.
#[derive(Debug)]
struct Sum {
    reporter: Reporter,
    done: Mutex<Vec<u64>>,
    total: Option<u64>,
}

/// One of the fetches.
struct Part {
    sum: Arc<Sum>,
    index: usize,
}

impl Progress for Part {
    fn at(&self, done: u64, _total: Option<u64>) {
        let mut all = self.sum.done.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = all.get_mut(self.index) {
            *mine = done;
        }
        let done = all.iter().sum();
        self.sum
            .reporter
            .progress(done, self.sum.total, Unit::Bytes);
    }
}

impl Workshop {
    /// Fetches a package with all that it needs, as a job.
    ///
    /// # Errors
    /// `NotFound` when no registry has it.
    pub fn start_pull(
        self: &Arc<Self>,
        name: &str,
        version: Option<&str>,
        registry: Option<u32>,
    ) -> Result<Job> {
        let wish = Wish {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            registry,
        };
        let request = Request::Pull {
            name: wish.name.clone(),
            version: wish.version.clone(),
            registry,
        };
        self.start_fetching(JobKind::Pull, format!("Fetch {name}"), vec![wish], &request)
    }

    /// Fetches the newest versions of packages, as a job.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn start_update(self: &Arc<Self>, names: &[String]) -> Result<Job> {
        let wishes = names
            .iter()
            .map(|name| Wish {
                name: name.clone(),
                ..Wish::default()
            })
            .collect();
        let title = match names {
            [name] => format!("Update {name}"),
            _ => format!("Update {} packages", names.len()),
        };
        let request = Request::Update {
            names: names.to_vec(),
        };
        self.start_fetching(JobKind::Update, title, wishes, &request)
    }

    fn start_fetching(
        self: &Arc<Self>,
        kind: JobKind,
        title: String,
        wishes: Vec<Wish>,
        request: &Request,
    ) -> Result<Job> {
        let workshop = Arc::clone(self);
        self.start_job(kind, title, None, Some(request), async move |reporter| {
            workshop.ask_new_registries(&wishes, &reporter).await?;
            let offer = {
                let workshop = Arc::clone(&workshop);
                crate::blocking(move || workshop.offer()).await??
            };
            let fetched = match to_fetch(&offer, &wishes, &[]) {
                Ok(fetched) => fetched,
                Err(error) => return Err(workshop.explained(error)),
            };
            if fetched.is_empty() {
                reporter.log("The library has all of it");
            }
            workshop.fetch_all(fetched, &reporter).await?;
            Ok(wishes.into_iter().next().map(|wish| wish.name))
        })
    }

    /// Asks the registries that were never asked: without that, nothing is known of them.
    async fn ask_new_registries(&self, wishes: &[Wish], reporter: &Reporter) -> Result<()> {
        for record in self.enabled_registries()? {
            let wanted = wishes
                .iter()
                .any(|wish| wish.registry.is_none_or(|id| id == record.id));
            if !wanted || record.refreshed_at.is_some() {
                continue;
            }
            match self.refresh(&record, reporter).await {
                Err(error) if error.kind == ErrorKind::Cancelled => return Err(error),
                // The others may have it.
                Err(error) => reporter.log(&format!("{}: {}", record.name(), error.message)),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Why something cannot be had, with the registries that did not answer.
    pub(crate) fn explained(&self, mut error: AppError) -> AppError {
        for record in self.enabled_registries().unwrap_or_default() {
            if record.offline {
                error = error.hinted(format!("{} is offline", record.name()));
            } else if record.refreshed_at.is_none() {
                error = error.hinted(format!(
                    "{} was not asked yet: `windlassctl registry refresh` does it",
                    record.name()
                ));
            }
        }
        error
    }

    /// Fetches what requirements need and the library lacks, as far as registries are known to have it.
    pub(crate) async fn fetch_missing(
        self: &Arc<Self>,
        requirements: &[windlass_package::Requirement],
        reporter: &Reporter,
    ) -> Result<()> {
        let workshop = Arc::clone(self);
        let offer = crate::blocking(move || workshop.offer()).await??;
        let fetched = match to_fetch(&offer, &[], requirements) {
            Ok(fetched) => fetched,
            Err(error) => return Err(self.explained(error)),
        };
        self.fetch_all(fetched, reporter).await
    }

    /// Fetches packages, several at once, and adds each as it is there: what others need before them.
    pub(crate) async fn fetch_all(
        self: &Arc<Self>,
        wanted: Vec<ToFetch>,
        reporter: &Reporter,
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = wanted.iter().map(ToFetch::label).collect();
        reporter.step(&format!("Fetching {}", names.join(", ")));
        reporter.set_pausable(true);
        let control = reporter.control();
        let sizes: Option<Vec<u64>> = wanted.iter().map(|it| it.entry.size_bytes).collect();
        let sum = Arc::new(Sum {
            reporter: reporter.clone(),
            done: Mutex::new(vec![0; wanted.len()]),
            total: sizes.map(|sizes| sizes.iter().sum()),
        });
        let mut waiting = wanted.iter().cloned().enumerate();
        let mut running = JoinSet::new();
        let mut files: Vec<Option<Fetched>> = vec![None; wanted.len()];
        let outcome = loop {
            while running.len() < AT_ONCE
                && let Some((index, it)) = waiting.next()
            {
                let (workshop, control) = (Arc::clone(self), control.clone());
                let sum = Arc::clone(&sum);
                running.spawn(async move {
                    let part = Part { sum, index };
                    (index, workshop.fetch_one(&it, &control, part).await)
                });
            }
            match running.join_next().await {
                None => break Ok(()),
                Some(Ok((index, Ok(fetched)))) => files[index] = Some(fetched),
                Some(Ok((_, Err(error)))) => break Err(error),
                Some(Err(fault)) => {
                    break Err(AppError::from_error(ErrorKind::Internal, &fault, None));
                }
            }
        };
        if outcome.is_err() {
            // The others leave what they have, to be taken up again.
            control.cancel();
            while running.join_next().await.is_some() {}
            outcome?;
        }
        reporter.set_pausable(false);
        for (it, fetched) in wanted.iter().zip(files.into_iter().flatten()) {
            reporter.check()?;
            self.add_fetched(it, fetched, reporter).await?;
        }
        Ok(())
    }

    /// The loader and the ELF kernel of one version of OSv, from the first registry that has them.
    pub(crate) async fn osv_files(
        self: &Arc<Self>,
        version: Option<&str>,
        reporter: &Reporter,
    ) -> Result<Vec<ToFetch>> {
        self.ask_new_registries(&[Wish::default()], reporter)
            .await?;
        let workshop = Arc::clone(self);
        let offer = crate::blocking(move || workshop.offer()).await??;
        let plain = |text: &str| text.trim_start_matches('v').to_owned();
        let wanted = version.map(plain);
        let fits = |entry: &Entry| {
            let is_kernel = matches!(entry.kind, EntryKind::Loader | EntryKind::Kernel);
            let is_ours = entry
                .architecture
                .as_deref()
                .is_none_or(|it| it == "x86_64");
            let version = entry.version.as_deref().map(plain);
            is_kernel && is_ours && (wanted.is_none() || version == wanted)
        };
        let newest = offer
            .all()
            .filter(|(_, entry)| fits(entry))
            .reduce(|best, next| {
                if next.1.parsed_version() > best.1.parsed_version() {
                    next
                } else {
                    best
                }
            });
        let Some((record, newest)) = newest else {
            let what = version.map_or("OSv".to_owned(), |version| format!("OSv {version}"));
            return Err(self.explained(
                AppError::new(ErrorKind::NotFound, format!("No registry has {what}"))
                    .hinted("Add a loader or an ELF kernel: `windlassctl kernel add FILE`"),
            ));
        };
        let of_kind = |kind: EntryKind| {
            offer
                .all()
                .filter(|(of, entry)| {
                    of.id == record.id
                        && entry.kind == kind
                        && entry.version == newest.version
                        && fits(entry)
                })
                // The plain one: `osv-loader`, not `osv-loader-with-zfs`.
                .min_by_key(|(_, entry)| entry.name.len())
        };
        Ok([EntryKind::Loader, EntryKind::Kernel]
            .into_iter()
            .filter_map(of_kind)
            .map(|(record, entry)| ToFetch {
                record: record.clone(),
                entry: entry.clone(),
            })
            .collect())
    }

    /// Fetches the very package that a lock names.
    pub(crate) async fn fetch_locked(
        self: &Arc<Self>,
        locked: &windlass_package::Locked,
        reporter: &Reporter,
    ) -> Result<()> {
        let workshop = Arc::clone(self);
        let offer = crate::blocking(move || workshop.offer()).await??;
        let found = offer
            .packages_named(&locked.name)
            .filter(|(_, entry)| entry.version == locked.version)
            // From where it came, if that is still known; else whoever has it.
            .max_by_key(|(_, entry)| Some(&entry.locator.place) == locked.origin.as_ref());
        let Some((record, entry)) = found else {
            let what = format!(
                "{} {}",
                locked.name,
                locked.version.as_deref().unwrap_or_default()
            );
            return Err(self.explained(AppError::not_found("package", what.trim())));
        };
        let wanted = ToFetch {
            record: record.clone(),
            entry: entry.clone(),
        };
        self.fetch_all(vec![wanted], reporter).await?;
        match self.library.package_version(&locked.name, &locked.digest) {
            Ok(_) => Ok(()),
            Err(_) => Err(AppError::new(
                ErrorKind::Conflict,
                format!(
                    "{} has another {} than the one that is locked",
                    record.name(),
                    locked.name
                ),
            )),
        }
    }

    /// Fetches the archive that a package came in into a folder, to mend the package from it.
    pub(crate) async fn fetch_again(
        self: &Arc<Self>,
        package: &InstalledPackage,
        origin: &Origin,
        folder: &Path,
        reporter: &Reporter,
    ) -> Result<PathBuf> {
        let offer = self.offer()?;
        let found = offer
            .all()
            .find(|(_, entry)| entry.name == package.name && entry.locator.place == origin.url);
        let Some((record, entry)) = found else {
            return Err(self.explained(AppError::not_found("package", &package.label())));
        };
        let wanted = ToFetch {
            record: record.clone(),
            entry: entry.clone(),
        };
        let fetched = self
            .fetch_one(&wanted, &reporter.control(), reporter.bytes())
            .await?;
        let place = folder.join(entry.file_name());
        let moved = std::fs::rename(&fetched.path, &place).doing("write the file", &place);
        fetched.discard();
        moved?;
        Ok(place)
    }

    /// The folder that a registry's files are fetched into.
    fn downloads(&self, registry: u32) -> Result<PathBuf> {
        let folder = self
            .library
            .downloads_folder()
            .join(format!("registry-{registry}"));
        std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
        Ok(folder)
    }

    /// Fetches one file and verifies it. Where another process is at it, its end is waited for.
    pub(crate) async fn fetch_one(
        &self,
        wanted: &ToFetch,
        control: &Control,
        progress: impl Progress + 'static,
    ) -> Result<Fetched> {
        let registry = self.open_registry(&wanted.record).await?;
        let folder = self.downloads(wanted.record.id)?;
        let trust = TrustFile::open(self.home.registries().join("trust"))?;
        loop {
            let fetched = registry
                .fetch(&wanted.entry, &folder, &trust, control, &progress)
                .await;
            match fetched {
                Err(windlass_registry::Error::Busy { .. }) => {
                    tokio::time::sleep(BUSY_POLL).await;
                    control.pass().await?;
                }
                Err(error @ windlass_registry::Error::Replaced { known, found, .. }) => {
                    return Err(refused(wanted, error, known, found));
                }
                fetched => return Ok(fetched?),
            }
        }
    }

    /// Adds a fetched archive to the library, and removes the file.
    async fn add_fetched(
        &self,
        wanted: &ToFetch,
        fetched: Fetched,
        reporter: &Reporter,
    ) -> Result<InstalledPackage> {
        reporter.step(&format!("Adding {}", wanted.label()));
        let library = self.library.clone();
        let origin = Origin {
            registry: wanted.record.name().to_owned(),
            url: wanted.entry.locator.place.clone(),
            archive_sha256: Some(fetched.sha256.to_string()),
        };
        let name = wanted.entry.name.clone();
        let mut watching = reporter.watching();
        let path = fetched.path.clone();
        let added = crate::blocking(move || {
            let added = library.add_package(&path, Some(origin), &mut watching)?;
            if added.name != name {
                // Under another name than it was asked for by, it is not what was asked for.
                library.remove_package_version(&added.name, &added.digest)?;
                return Err(AppError::new(
                    ErrorKind::Input,
                    format!("The archive of {name} holds the package {}", added.name),
                )
                .hinted("Tell whoever runs the registry"));
            }
            Ok(added)
        })
        .await?;
        let (sha256, first_seen) = (fetched.sha256, fetched.first_seen);
        // It was added, or is of no use.
        fetched.discard();
        let added = added?;
        let seen = if first_seen {
            "seen for the first time"
        } else {
            "as it was seen before"
        };
        reporter.log(&format!(
            "{} from {}: sha256 {sha256}, {seen}",
            added.label(),
            wanted.record.name(),
        ));
        self.library_changed();
        Ok(added)
    }
}

/// That a package was replaced, with all that is needed to accept it.
fn refused(
    wanted: &ToFetch,
    error: windlass_registry::Error,
    known: Sha256,
    found: Sha256,
) -> AppError {
    let (registry, name) = (wanted.record.name().to_owned(), wanted.entry.name.clone());
    let replaced = ReplacedPackage {
        registry_id: wanted.record.id,
        registry,
        name,
        version: wanted.entry.version.clone(),
        known: known.to_string(),
        found: found.to_string(),
    };
    // A registry's name may be of several words.
    let of = if replaced.registry.contains(char::is_whitespace) {
        format!("'{}'", replaced.registry)
    } else {
        replaced.registry.clone()
    };
    let hint = format!(
        "`windlassctl registry accept {of} {}` accepts it",
        replaced.name
    );
    AppError {
        replaced: Some(Box::new(replaced)),
        ..AppError::from(error).hinted(hint)
    }
}

impl ToFetch {
    /// Its name and version.
    pub(crate) fn label(&self) -> String {
        match &self.entry.version {
            Some(version) => format!("{} {version}", self.entry.name),
            None => self.entry.name.clone(),
        }
    }
}
