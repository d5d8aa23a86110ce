//! `package check` and `package schema`: the texts of a package's `meta/`.

use std::fmt::Write as _;
use std::path::Path;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::word;

/// Print the JSON Schema of a manifest.
pub(crate) fn schema(context: &Context, file: &str) -> Outcome {
    let file = if file == "run" {
        windlass_workshop::appliances::ManifestFile::Run
    } else {
        windlass_workshop::appliances::ManifestFile::Package
    };
    let text = windlass_workshop::Workshop::manifest_schema(file);
    let value: serde_json::Value = serde_json::from_str(&text)?;
    context.output.show(&value, |_| text.clone())?;
    Ok(0)
}

/// Check the manifests of the package in a folder.
pub(crate) fn check(context: &Context, folder: &Path) -> Outcome {
    use windlass_workshop::appliances::{ManifestFile, Severity};
    let mut wrong = false;
    let mut all = Vec::new();
    for (file, path) in [
        (ManifestFile::Package, "meta/package.yaml"),
        (ManifestFile::Run, "meta/run.yaml"),
    ] {
        let text = match std::fs::read_to_string(folder.join(path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        if text.is_empty() {
            continue;
        }
        for mistake in context.workshop.check_text(file, &text) {
            wrong |= mistake.severity == Severity::Error;
            all.push((path, mistake));
        }
    }
    context.output.show(&all, |all| {
        let mut text = String::new();
        for (path, mistake) in all {
            let severity = word(&mistake.severity);
            let _ = writeln!(
                text,
                "{path}:{}:{}: {severity}: {}",
                mistake.line, mistake.column, mistake.message
            );
            if let Some(hint) = &mistake.hint {
                let _ = writeln!(text, "  hint: {hint}");
            }
        }
        if all.is_empty() {
            text.push_str("Nothing to complain of\n");
        }
        text
    })?;
    Ok(if wrong { 65 } else { 0 })
}
