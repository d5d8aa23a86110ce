//! What jobs found, kept beside their logs.

use std::path::PathBuf;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::model::{
    ComparisonFilter, ImageChange, ImageComparison, ImageDifference, ImageDifferences,
    ImageVerification,
};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};

/// What a comparison found, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compared {
    pub(super) left: String,
    pub(super) right: String,
    pub(super) same: u64,
    pub(super) rows: Vec<ImageDifference>,
}

impl Workshop {
    fn result_path(&self, job: &str) -> PathBuf {
        self.home.jobs().join(format!("{job}.json"))
    }

    /// Keeps what a job found.
    pub(super) fn keep_result<T: Serialize>(&self, job: &str, result: &T) -> Result<()> {
        let bytes = serde_json::to_vec(result)
            .map_err(|error| AppError::from_error(ErrorKind::Internal, &error, None))?;
        crate::disk::write_whole(&self.result_path(job), &bytes)
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
            Ok(page(compared, &filter, offset as usize, limit as usize))
        })
        .await?
    }
}

fn page(
    compared: Compared,
    filter: &ComparisonFilter,
    offset: usize,
    limit: usize,
) -> ImageComparison {
    let mut shown = ImageComparison {
        left: compared.left,
        right: compared.right,
        added: ImageDifferences::default(),
        removed: ImageDifferences::default(),
        changed: ImageDifferences::default(),
        same: compared.same,
        total: 0,
        rows: Vec::new(),
    };
    for row in &compared.rows {
        let sort = match row.what {
            ImageChange::Added => &mut shown.added,
            ImageChange::Removed => &mut shown.removed,
            _ => &mut shown.changed,
        };
        sort.count += 1;
        sort.bytes += row.right_bytes.or(row.left_bytes).unwrap_or(0);
    }
    let text = filter.text.to_lowercase();
    let mut rows = compared.rows;
    rows.retain(|row| {
        (filter.what.is_empty() || filter.what.contains(&row.what))
            && (text.is_empty() || row.path.to_lowercase().contains(&text))
    });
    shown.total = rows.len() as u64;
    shown.rows = rows.into_iter().skip(offset).take(limit).collect();
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_counts_all_and_shows_what_is_wanted() {
        let row = |path: &str, what, left, right| ImageDifference {
            path: path.to_owned(),
            what,
            left_bytes: left,
            right_bytes: right,
        };
        let compared = Compared {
            left: "a".to_owned(),
            right: "b".to_owned(),
            same: 7,
            rows: vec![
                row("/a", ImageChange::Added, None, Some(5)),
                row("/b", ImageChange::Changed, Some(3), Some(4)),
                row("/c", ImageChange::Mode, Some(1), Some(1)),
                row("/D", ImageChange::Removed, Some(9), None),
            ],
        };
        let all = page(compared.clone(), &ComparisonFilter::default(), 1, 2);
        assert_eq!((all.added.count, all.added.bytes), (1, 5));
        assert_eq!((all.changed.count, all.changed.bytes), (2, 5));
        assert_eq!((all.removed.count, all.removed.bytes), (1, 9));
        assert_eq!((all.total, all.same), (4, 7));
        assert_eq!(all.rows, compared.rows[1..3]);
        let filter = ComparisonFilter {
            what: vec![ImageChange::Removed],
            text: "d".to_owned(),
        };
        let some = page(compared.clone(), &filter, 0, 10);
        assert_eq!(some.rows, compared.rows[3..]);
        assert_eq!(some.added.count, 1);
    }
}
