//! What takes longer than a blink: taking files out, comparing, verifying.
//!
//! An image of a build is held as long as a job reads it, so that no build writes to it meanwhile.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_compose::{self as compose, FileList, Side, What};
use windlass_image::extract;

use super::model::{ImageChange, ImageDifference, ImageFault, ImageFinding, ImageVerification};
use super::open::{Named, OpenImage, guest_path};
use super::results::ComparedName;
use crate::Workshop;
use crate::builds::Lease;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::jobs::{Job, JobKind, Reporter, Request, Unit};

/// No verification tells of more.
const FINDINGS_MAX: usize = 10_000;

impl Workshop {
    /// Copies files and folders of an image into a folder of this computer, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such image.
    pub fn start_extract(
        self: &Arc<Self>,
        image: &str,
        volume: Option<u32>,
        paths: &[String],
        folder: PathBuf,
        replace: bool,
    ) -> Result<Job> {
        let named = self.named_image(image)?;
        let request = Request::Extract {
            image: Self::lasting_name(image, &named),
            volume,
            paths: paths.to_vec(),
            folder: folder.clone(),
            replace,
        };
        let wanted = paths
            .iter()
            .map(|path| guest_path(path))
            .collect::<Result<Vec<_>>>()?;
        let title = match paths {
            [only] => format!("Copy {only} out of {}", self.shown_name(image, &named)),
            _ => format!(
                "Copy {} paths out of {}",
                paths.len(),
                self.shown_name(image, &named)
            ),
        };
        let subject = named.build.as_ref().map(|it| it.appliance_id.clone());
        self.start_blocking(
            JobKind::Extract,
            title,
            subject,
            &request,
            move |workshop, reporter| {
                let (open, _lease) = workshop.hold(&named)?;
                let file_system = open.file_system(volume)?;
                let file_system = file_system.as_ref();
                std::fs::create_dir_all(&folder).doing("create the folder", &folder)?;
                reporter.step("Copying");
                let total = extract::total_bytes(file_system, &wanted)?;
                let mut watch = counting(reporter, total);
                let done = extract::extract(file_system, &wanted, &folder, replace, &mut watch)?;
                reporter.log(&format!("{} files, {} bytes", done.files, done.bytes));
                if done.left_out > 0 {
                    reporter.log(&format!("{} devices and the like left out", done.left_out));
                }
                Ok(Some(folder.display().to_string()))
            },
        )
    }

    /// Compares an image with another one, or with a folder, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such image or folder.
    pub fn start_compare(self: &Arc<Self>, left: &str, right: &str) -> Result<Job> {
        let one = self.compared(left)?;
        let other = self.compared(right)?;
        let sides = [&one, &other].map(|side| ComparedName {
            shown: side.shown.clone(),
            lasting: side.lasting.clone(),
        });
        let request = Request::Compare {
            left: one.lasting.clone(),
            right: other.lasting.clone(),
        };
        let subject = one.named.as_ref().and_then(|named| {
            let build = named.build.as_ref()?;
            Some(build.appliance_id.clone())
        });
        self.start_blocking(
            JobKind::Compare,
            format!("Compare {} with {}", one.shown, other.shown),
            subject,
            &request,
            move |workshop, reporter| {
                reporter.step("Comparing");
                let (left, _lease) = workshop.side(&one)?;
                let (right, _other_lease) = workshop.side(&other)?;
                let mut told = |_bytes, paths| reporter.progress(paths, None, Unit::Items);
                let cancel = reporter.cancellation();
                let found = compose::compare(&left, &right, &mut told, cancel)?;
                reporter.log(&format!(
                    "{} paths differ, {} are the same",
                    found.differences.len(),
                    found.same
                ));
                let rows = found.differences.iter().map(difference);
                let id = reporter.job_id();
                workshop.keep_comparison(&id, sides, found.same, rows)?;
                Ok(Some(id))
            },
        )
    }

    /// Reads all files of an image and compares them with its list, as a job.
    ///
    /// # Errors
    /// `NotFound` when there is no such image, or no list beside it.
    pub fn start_image_verify(self: &Arc<Self>, image: &str) -> Result<Job> {
        let named = self.named_image(image)?;
        if !compose::record_path(&named.path).is_file() {
            return Err(AppError::new(
                ErrorKind::NotFound,
                format!(
                    "There is no list of files beside `{}`",
                    named.path.display()
                ),
            )
            .hinted("Images that Windlass builds have one"));
        }
        let request = Request::VerifyImage {
            image: Self::lasting_name(image, &named),
        };
        let title = format!("Verify {}", self.shown_name(image, &named));
        let subject = named.build.as_ref().map(|it| it.appliance_id.clone());
        self.start_blocking(
            JobKind::VerifyImage,
            title,
            subject,
            &request,
            move |workshop, reporter| {
                reporter.step("Reading the image");
                let (open, _lease) = workshop.hold(&named)?;
                let list = Arc::new(FileList::read(&named.path)?);
                let file_system = open.file_system(None)?;
                let mut told = |done, total| reporter.progress(done, Some(total), Unit::Bytes);
                let cancel = reporter.cancellation();
                let found = compose::verify(&named.path, &file_system, &list, &mut told, cancel)?;
                reporter.log(&format!(
                    "{} files read, {} not as the list says",
                    found.checked_files,
                    found.differences.len()
                ));
                let result = ImageVerification {
                    differences: found
                        .differences
                        .iter()
                        .take(FINDINGS_MAX)
                        .map(finding)
                        .collect(),
                    checked_files: found.checked_files,
                    checked_bytes: found.checked_bytes,
                };
                workshop.keep_result(&reporter.job_id(), &result)?;
                Ok(None)
            },
        )
    }

    /// Starts a job whose work blocks.
    pub(crate) fn start_blocking(
        self: &Arc<Self>,
        kind: JobKind,
        title: String,
        subject: Option<String>,
        request: &Request,
        work: impl FnOnce(&Arc<Self>, &Reporter) -> Result<Option<String>> + Send + 'static,
    ) -> Result<Job> {
        let workshop = Arc::clone(self);
        self.start_job(kind, title, subject, Some(request), async move |reporter| {
            crate::blocking(move || work(&workshop, &reporter)).await?
        })
    }

    /// Opens an image for a job, and sees to it that no build writes to it meanwhile.
    pub(crate) fn hold(&self, named: &Named) -> Result<(Arc<OpenImage>, Option<Lease>)> {
        let lease = match &named.build {
            Some(build) => {
                if !build.has_image {
                    return Err(no_image(build.replaced_by.as_deref()));
                }
                let lease = Lease::to_read(&named.path)?;
                // Who had it may just have made another build of it.
                if lease.is_none() || !self.build(&build.id)?.has_image {
                    return Err(AppError::new(
                        ErrorKind::Conflict,
                        "The image is being updated just now",
                    )
                    .hinted("Wait until the build has ended"));
                }
                lease
            }
            None => None,
        };
        Ok((self.open_images.open(&named.path)?, lease))
    }

    /// What a job is told to look at, so that it means the same when it is tried again later.
    pub(crate) fn lasting_name(image: &str, named: &Named) -> String {
        match &named.build {
            Some(build) => build.id.clone(),
            None if image.contains('/') => named.path.display().to_string(),
            None => image.to_owned(),
        }
    }

    /// What an image is called in a title.
    pub(crate) fn shown_name(&self, image: &str, named: &Named) -> String {
        if let Some(build) = &named.build
            && let Ok(appliance) = self.appliance(&build.appliance_id)
        {
            return appliance.name;
        }
        let name = Path::new(image).file_name();
        name.map_or_else(|| image.to_owned(), |it| it.to_string_lossy().into_owned())
    }

    fn compared(&self, name: &str) -> Result<ComparedSide> {
        if let Some(folder) = self.compared_folder(name) {
            return Ok(ComparedSide {
                shown: folder.display().to_string(),
                lasting: folder.display().to_string(),
                folder: Some(folder),
                named: None,
            });
        }
        let named = self.named_image(name)?;
        let shown = match &named.build {
            Some(build) => {
                let time = build.started_at.get(..19).unwrap_or(&build.started_at);
                format!(
                    "{} ({})",
                    self.shown_name(name, &named),
                    time.replace('T', " ")
                )
            }
            None => self.shown_name(name, &named),
        };
        Ok(ComparedSide {
            shown,
            lasting: Self::lasting_name(name, &named),
            folder: None,
            named: Some(named),
        })
    }

    fn side(&self, side: &ComparedSide) -> Result<(Side, Option<Lease>)> {
        let named = match (&side.folder, &side.named) {
            (Some(folder), _) => return Ok((Side::Folder(folder.clone()), None)),
            (None, Some(named)) => named,
            (None, None) => return Err(AppError::not_found("image", &side.shown)),
        };
        if let Some(build) = named.build.as_ref().filter(|build| !build.has_image) {
            // Its list outlives its image.
            let list = Self::list_of(build).map_err(|_| no_image(build.replaced_by.as_deref()))?;
            return Ok((Side::List(Arc::new(list)), None));
        }
        let (open, lease) = self.hold(named)?;
        let side = Side::Image {
            path: named.path.clone(),
            file_system: open.file_system(None)?,
            list: compose::valid_list(&named.path).map(Arc::new),
        };
        Ok((side, lease))
    }
}

/// One side of a comparison, before it is opened.
#[derive(Debug)]
struct ComparedSide {
    shown: String,
    lasting: String,
    folder: Option<PathBuf>,
    named: Option<Named>,
}

fn no_image(replaced_by: Option<&str>) -> AppError {
    match replaced_by {
        Some(build) => AppError::new(
            ErrorKind::NotFound,
            format!("This build has no image any more: build {build} was made out of it"),
        )
        .hinted("Look at that build, or build again"),
        None => AppError::new(ErrorKind::NotFound, "The image of this build is gone")
            .hinted("Build again"),
    }
}

/// Tells a job of bytes that come by and by, and ends the work when the job is cancelled.
pub(crate) fn counting(
    reporter: &Reporter,
    total: u64,
) -> impl FnMut(u64) -> ControlFlow<()> + use<'_> {
    let mut done = 0_u64;
    move |bytes| {
        done = done.saturating_add(bytes);
        reporter.progress(done, Some(total.max(done)), Unit::Bytes);
        if reporter.cancellation().is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

fn difference(found: &compose::Difference) -> ImageDifference {
    ImageDifference {
        path: found.path.escaped(),
        what: match found.what {
            What::Added => ImageChange::Added,
            What::Removed => ImageChange::Removed,
            What::Changed => ImageChange::Changed,
            What::Mode => ImageChange::Mode,
            What::Kind => ImageChange::Kind,
        },
        left_bytes: found.left_bytes,
        right_bytes: found.right_bytes,
    }
}

fn finding(found: &compose::Difference) -> ImageFinding {
    ImageFinding {
        path: found.path.escaped(),
        what: match found.what {
            What::Added => ImageFault::Unexpected,
            What::Removed => ImageFault::Missing,
            What::Changed => ImageFault::Content,
            What::Mode => ImageFault::Mode,
            What::Kind => ImageFault::Kind,
        },
    }
}
