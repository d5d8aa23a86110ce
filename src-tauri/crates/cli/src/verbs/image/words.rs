//! What is said of images.

use std::fmt::Write as _;

use windlass_workshop::images::{
    ImageComparison, ImageEntry, ImageEntryKind, ImageInfo, ImageVerification, ImportedImage,
};

use crate::output::{count, fields, lines, size, table, time, word};

pub(super) fn info(info: &ImageInfo) -> String {
    let mut rows = vec![
        ("File", info.path.clone()),
        ("Format", info.format.clone()),
        (
            "Size",
            format!(
                "{}, {} on this disk",
                size(info.size_bytes),
                size(info.allocated_bytes)
            ),
        ),
    ];
    if let Some(appliance) = &info.appliance {
        rows.push(("Appliance", appliance.clone()));
    }
    if let Some(osv) = &info.osv {
        let boots = if osv.has_loader {
            "OSv, by itself"
        } else {
            "OSv, with a kernel that is given to it"
        };
        rows.push(("Boots", boots.to_owned()));
    }
    let line = info.osv.as_ref().and_then(|osv| osv.command_line.clone());
    if let Some(line) = line.or_else(|| info.guest_command_line.clone()) {
        rows.push(("Starts", line));
    }
    let firmware = match (info.boots_by_bios, info.boots_by_uefi) {
        (true, true) => "by BIOS and UEFI",
        (true, false) => "by BIOS",
        (false, true) => "by UEFI",
        (false, false) => "",
    };
    if !firmware.is_empty() {
        rows.push(("Boots by itself", firmware.to_owned()));
    }
    let volumes = lines(&info.volumes, |volume| {
        format!(
            "{}  {}  {}{}",
            volume.number,
            match (&volume.file_system, &volume.unreadable) {
                (Some(file_system), _) => file_system.clone(),
                (None, Some(what)) => format!("{what}, which is not read here"),
                (None, None) => "unknown".to_owned(),
            },
            size(volume.size_bytes),
            volume
                .name
                .as_ref()
                .map(|name| format!("  {name}"))
                .unwrap_or_default()
        )
    });
    rows.push(("Volumes", volumes));
    let list = if info.has_file_list { "yes" } else { "no" };
    rows.push(("List of files", list.to_owned()));
    if let Some(machine) = &info.in_use_by {
        rows.push(("Used by", machine.clone()));
    }
    fields(&rows)
}

pub(super) fn listed(entries: &[ImageEntry], name: impl Fn(&ImageEntry) -> &String) -> String {
    let mut text = String::new();
    let sizes: Vec<_> = entries
        .iter()
        .map(|entry| entry.size_bytes.map(|bytes| bytes.to_string()))
        .map(Option::unwrap_or_default)
        .collect();
    let width = sizes.iter().map(String::len).max().unwrap_or(0);
    for (entry, size) in entries.iter().zip(&sizes) {
        let kind = match entry.kind {
            ImageEntryKind::Directory => 'd',
            ImageEntryKind::Symlink => 'l',
            ImageEntryKind::Special => '?',
            ImageEntryKind::File => '-',
        };
        let mode = entry.mode.map_or_else(
            || "    ".to_owned(),
            |mode| format!("{:04o}", mode & 0o7777),
        );
        let target = entry
            .target
            .as_ref()
            .map(|target| format!(" -> {target}"))
            .unwrap_or_default();
        // Writing to a string never fails.
        let _ = writeln!(text, "{kind} {mode} {size:>width$} {}{target}", name(entry));
    }
    text
}

pub(super) fn compared(found: &ImageComparison) -> String {
    let mut text = lines(&found.rows, |row| {
        let sizes = match (row.left_bytes, row.right_bytes) {
            (Some(left), Some(right)) if left != right => {
                format!("  {} -> {}", size(left), size(right))
            }
            (Some(bytes), _) | (None, Some(bytes)) => format!("  {}", size(bytes)),
            (None, None) => String::new(),
        };
        format!("{:8} {}{sizes}", word(&row.what), row.path)
    });
    if !text.is_empty() {
        text.push('\n');
    }
    let _ = write!(
        text,
        "{} added, {} changed, {} removed, {} the same",
        found.added.count, found.changed.count, found.removed.count, found.same
    );
    text
}

pub(super) fn verified(found: &ImageVerification) -> String {
    let mut text = lines(&found.differences, |difference| {
        format!("{:10} {}", word(&difference.what), difference.path)
    });
    if !text.is_empty() {
        text.push('\n');
    }
    let read = format!(
        "{} with {} read",
        count(found.checked_files, "file", "files"),
        size(found.checked_bytes)
    );
    let end = match found.differences.len() {
        0 => "all is as the list says".to_owned(),
        1 => "1 path is not as the list says".to_owned(),
        many => format!("{many} paths are not as the list says"),
    };
    let _ = write!(text, "{read}: {end}");
    text
}

pub(super) fn imported(images: &[ImportedImage]) -> String {
    let rows: Vec<_> = images
        .iter()
        .map(|image| {
            [
                image.name.clone(),
                image.format.clone(),
                size(image.size_bytes),
                time(&image.imported_at),
                image.id.clone(),
            ]
        })
        .collect();
    table(
        ["NAME", "FORMAT", "SIZE", "IMPORTED", "ID"],
        &rows,
        "No images; `windlassctl image import FILE` takes one in",
    )
}
