//! `doctor`: whether this computer has what Windlass needs.

use std::fmt::Write as _;

use windlass_workshop::doctor::{Check, Health};

use crate::context::Context;
use crate::failure::Outcome;

/// Exit status when something is missing, as for every verb that would need it.
const MISSING: u8 = 69;

pub(crate) async fn run(context: &Context) -> Outcome {
    let checks = context.workshop.doctor().await;
    context
        .output
        .show(&checks, |checks| checks.iter().map(line).collect())?;
    let missing = checks.iter().any(|check| check.status == Health::Missing);
    Ok(if missing { MISSING } else { 0 })
}

fn line(check: &Check) -> String {
    let mark = match check.status {
        Health::Good => "good",
        Health::Warning => "warning",
        Health::Missing => "missing",
    };
    let mut text = format!("{mark:8} {}: {}\n", check.title, check.detail);
    if let Some(remedy) = &check.remedy {
        let _ = writeln!(text, "         hint: {remedy}");
    }
    text
}
