//! What jobs found, kept beside their logs.
//!
//! ```text
//!   jobs/<id>.json   a verification; of a comparison, what it comes to
//!   jobs/<id>.rows   the rows of a comparison, one to a line, by path
//! ```
//!
//! A comparison may have a million rows. Those that pass a filter are looked for once: their places in the file are kept
//! for the pages that are asked for next.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::model::{
    ComparisonFilter, ImageChange, ImageComparison, ImageDifference, ImageDifferences,
    ImageVerification,
};
use crate::Workshop;
use crate::disk::{write_whole, write_whole_with};
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// The answers to so many filters are kept.
const KEPT: usize = 4;

/// What a comparison comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    sides: [ComparedName; 2],
    same: u64,
    added: ImageDifferences,
    removed: ImageDifferences,
    changed: ImageDifferences,
    rows: u64,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ComparedName {
    /// What people call it.
    pub(super) shown: String,
    /// What it is asked for by.
    pub(super) lasting: String,
}

/// Where the rows of a comparison are that pass a filter.
#[derive(Debug)]
struct Passing {
    path: PathBuf,
    filter: ComparisonFilter,
    places: Vec<u64>,
}

/// What was found last in the rows of comparisons.
#[derive(Debug, Default)]
pub(crate) struct Comparisons {
    kept: Mutex<Vec<Arc<Passing>>>,
}

impl Comparisons {
    fn passing(&self, path: &Path, filter: &ComparisonFilter) -> io::Result<Arc<Passing>> {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let known = kept
                .iter()
                .position(|it| it.path == path && it.filter == *filter);
            if let Some(place) = known {
                let found = kept.remove(place);
                kept.push(Arc::clone(&found));
                return Ok(found);
            }
        }
        let passing = Arc::new(Passing {
            path: path.to_owned(),
            filter: filter.clone(),
            places: places(path, filter)?,
        });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Arc::clone(&passing));
        Ok(passing)
    }
}

/// Where the lines begin that pass a filter.
fn places(path: &Path, filter: &ComparisonFilter) -> io::Result<Vec<u64>> {
    let text = filter.text.to_lowercase();
    let is_for_all = filter.what.is_empty() && text.is_empty();
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut places = Vec::new();
    let mut offset = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = lines.read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(places);
        }
        let passes = is_for_all || {
            let row: ImageDifference = serde_json::from_slice(&line)?;
            (filter.what.is_empty() || filter.what.contains(&row.what))
                && (text.is_empty() || row.path.to_lowercase().contains(&text))
        };
        if passes {
            places.push(offset);
        }
        offset += length as u64;
    }
}

/// The rows at some places.
fn read_rows(path: &Path, places: &[u64]) -> io::Result<Vec<ImageDifference>> {
    let mut lines = BufReader::new(File::open(path)?);
    let mut at = 0;
    let mut line = Vec::new();
    let mut rows = Vec::with_capacity(places.len());
    for &place in places {
        // Rows that follow each other are read on.
        if place != at {
            lines.seek(SeekFrom::Start(place))?;
        }
        line.clear();
        at = place + lines.read_until(b'\n', &mut line)? as u64;
        rows.push(serde_json::from_slice(&line)?);
    }
    Ok(rows)
}

impl Workshop {
    fn result_path(&self, job: &str) -> PathBuf {
        self.home.jobs().join(format!("{job}.json"))
    }

    fn rows_path(&self, job: &str) -> PathBuf {
        self.home.jobs().join(format!("{job}.rows"))
    }

    /// Keeps what a job found.
    pub(super) fn keep_result<T: Serialize>(&self, job: &str, result: &T) -> Result<()> {
        let bytes = serde_json::to_vec(result)
            .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
        write_whole(&self.result_path(job), &bytes)
    }

    /// Keeps what a comparison found: its sides, how many paths are the same, and what differs.
    pub(super) fn keep_comparison(
        &self,
        job: &str,
        sides: [ComparedName; 2],
        same: u64,
        rows: impl Iterator<Item = ImageDifference>,
    ) -> Result<()> {
        let mut compared = Compared {
            sides,
            same,
            added: ImageDifferences::default(),
            removed: ImageDifferences::default(),
            changed: ImageDifferences::default(),
            rows: 0,
        };
        write_whole_with(&self.rows_path(job), |file| {
            let mut file = BufWriter::new(file);
            for row in rows {
                let sort = match row.what {
                    ImageChange::Added => &mut compared.added,
                    ImageChange::Removed => &mut compared.removed,
                    _ => &mut compared.changed,
                };
                sort.count += 1;
                sort.bytes += row.right_bytes.or(row.left_bytes).unwrap_or(0);
                compared.rows += 1;
                serde_json::to_writer(&mut file, &row)?;
                file.write_all(b"\n")?;
            }
            file.flush()
        })?;
        self.keep_result(job, &compared)
    }

    fn kept_result<T: DeserializeOwned>(&self, job: &str) -> Result<T> {
        let job = self.job(job)?;
        let path = self.result_path(&job.id);
        let none = || {
            AppError::new(
                ErrorKind::NotFound,
                format!("\u{201c}{}\u{201d} has no result", job.title),
            )
            .hinted("Wait until it has ended, or start it again")
        };
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(none()),
            bytes => bytes.doing("read", &path)?,
        };
        serde_json::from_slice(&bytes).map_err(|_| none())
    }

    /// What a verification found.
    ///
    /// # Errors
    /// `NotFound` when there is no such job, or it has not ended well.
    pub async fn image_verification(self: &Arc<Self>, job: &str) -> Result<ImageVerification> {
        let (workshop, job) = (Arc::clone(self), job.to_owned());
        crate::blocking(move || workshop.kept_result(&job)).await?
    }

    /// A page of what a comparison found.
    ///
    /// # Errors
    /// `NotFound` when there is no such job, or it has not ended well.
    pub async fn image_comparison(
        self: &Arc<Self>,
        job: &str,
        filter: ComparisonFilter,
        offset: u32,
        limit: u32,
    ) -> Result<ImageComparison> {
        let (workshop, job) = (Arc::clone(self), job.to_owned());
        crate::blocking(move || {
            let compared: Compared = workshop.kept_result(&job)?;
            let path = workshop.rows_path(&job);
            let passing = workshop.comparisons.passing(&path, &filter);
            let passing = passing.doing("read", &path)?;
            let first = (offset as usize).min(passing.places.len());
            let places = &passing.places[first..];
            let places = &places[..places.len().min(limit as usize)];
            let [left, right] = compared.sides;
            Ok(ImageComparison {
                left: left.shown,
                right: right.shown,
                left_side: left.lasting,
                right_side: right.lasting,
                added: compared.added,
                removed: compared.removed,
                changed: compared.changed,
                same: compared.same,
                total: passing.places.len() as u64,
                rows: read_rows(&path, places).doing("read", &path)?,
            })
        })
        .await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_from_where_their_rows_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.rows");
        let row = |number: u64| ImageDifference {
            path: format!("/Data/{number:05}"),
            what: if number.is_multiple_of(3) {
                ImageChange::Removed
            } else {
                ImageChange::Changed
            },
            left_bytes: Some(number),
            right_bytes: None,
        };
        let text: String = (0..12_000)
            .map(|number| serde_json::to_string(&row(number)).unwrap() + "\n")
            .collect();
        std::fs::write(&path, text).unwrap();
        let comparisons = Comparisons::default();
        let page = |filter: &ComparisonFilter, from: usize, to: usize| {
            let passing = comparisons.passing(&path, filter).unwrap();
            read_rows(&path, &passing.places[from..to]).unwrap()
        };
        let all = ComparisonFilter::default();
        assert_eq!(page(&all, 11_998, 12_000), [row(11_998), row(11_999)]);
        let some = ComparisonFilter {
            what: vec![ImageChange::Removed],
            text: "data/000".to_owned(),
        };
        assert_eq!(page(&some, 1, 3), [row(3), row(6)]);
        assert_eq!(page(&some, 33, 34), [row(99)]);
        assert_eq!(comparisons.passing(&path, &some).unwrap().places.len(), 34);
        // What was found once is not looked for again.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(comparisons.passing(&path, &some).unwrap().places.len(), 34);
    }
}
