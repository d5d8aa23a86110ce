//! `info`: what a file is.

use std::path::Path;

use windlass_workshop::files::{FileDescription, describe_file};

use crate::failure::Outcome;
use crate::output::{Output, fields, size};

pub(crate) fn run(output: Output, file: &Path) -> Outcome {
    output.show(&describe_file(file)?, show)?;
    Ok(0)
}

fn show(file: &FileDescription) -> String {
    let mut rows = vec![
        ("File", file.path.clone()),
        ("Is", file.description.clone()),
    ];
    if let Some(kernel) = &file.kernel {
        let roots: Vec<_> = kernel.root_fs.iter().map(ToString::to_string).collect();
        rows.push(("Guest", kernel.guest.title().to_owned()));
        rows.push((
            "Version",
            kernel
                .version
                .clone()
                .unwrap_or_else(|| "unknown".to_owned()),
        ));
        rows.push(("Architecture", kernel.architecture.clone()));
        rows.push(("Root file systems", roots.join(", ")));
    }
    if let Some(command_line) = &file.command_line {
        rows.push(("Boot command line", command_line.clone()));
    }
    rows.push(("Size", size(file.size_bytes)));
    fields(&rows)
}
