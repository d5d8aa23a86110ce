//! What was noticed of an appliance, as lines.

use std::fmt::Write as _;

use windlass_workshop::appliances::{Finding, Severity};

/// One line per finding, its remedy below it.
pub(super) fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let place = finding
            .path
            .as_deref()
            .map(|path| format!("{path}: "))
            .unwrap_or_default();
        let _ = writeln!(text, "{word}: {place}{}", finding.message.trim_end());
        if let Some(remedy) = &finding.remedy {
            let _ = writeln!(text, "  hint: {remedy}");
        }
    }
    text
}
