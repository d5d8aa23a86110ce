//! What is done to one machine and needs more than a call: its details, pictures, bundles, changes and programs.

use std::fmt::Write as _;
use std::path::PathBuf;

use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::machines::{MachineDetails, Pushed};
use windlass_workshop::volumes::SharedFolder;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, fields};
use crate::progress;
use crate::signals::Signals;

pub(super) fn describe(details: &MachineDetails) -> String {
    let mut text = fields(&[
        ("QEMU", details.qemu_version.clone()),
        (
            "Process",
            details.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        ),
        ("Folder", details.folder.clone()),
        ("Console log", details.console_log.clone()),
        ("Volumes", {
            let volumes = details.volumes.iter();
            let shown = volumes.map(|it| match &it.path {
                Some(path) => format!("{} at {path}", it.volume),
                None => it.volume.clone(),
            });
            shown.collect::<Vec<_>>().join("\n")
        }),
        ("Folders", {
            let shares = details.shares.iter();
            let shown = shares.map(|it| format!("{} at {}", it.folder.display(), it.path));
            shown.collect::<Vec<_>>().join("\n")
        }),
        ("Noticed", details.notices.join("\n")),
    ]);
    let words: Vec<_> = details.command.iter().map(|word| quote(word)).collect();
    let _ = writeln!(text, "\n{}", words.join(" "));
    text
}

/// Quotes a word for a POSIX shell where it needs it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

pub(super) async fn share(context: &Context, name: &str, share: SharedFolder) -> Outcome {
    let (folder, path) = (share.folder.clone(), share.path.clone());
    context.workshop.share_folder(name, share).await?;
    let folder = folder.display();
    context.output.note(&format!(
        "{name} sees {folder} at {path} from its next start on"
    ));
    Ok(0)
}

pub(super) async fn unshare(context: &Context, name: &str, path: &str) -> Outcome {
    context.workshop.unshare_folder(name, path).await?;
    context.output.note(&format!(
        "{name} sees no folder at {path} from its next start on"
    ));
    Ok(0)
}

pub(super) async fn exec(context: &Context, name: &str, words: &[String]) -> Outcome {
    let id = context.workshop.machine(name)?.id;
    let (mut stdin, mut stdout, mut stderr) =
        (tokio::io::stdin(), tokio::io::stdout(), tokio::io::stderr());
    let status = context
        .workshop
        .machine_exec(&id, words, &mut stdin, &mut stdout, &mut stderr)
        .await?;
    Ok(u8::try_from(status).unwrap_or(u8::MAX))
}

pub(super) async fn debug_bundle(context: &Context, name: &str, out: Option<PathBuf>) -> Outcome {
    let machine = context.workshop.machine(name)?;
    let out = out.unwrap_or_else(|| {
        let name = machine.name.replace(['/', '\0'], "-");
        PathBuf::from(format!("{name}-debug.zip"))
    });
    context.workshop.debug_bundle(&machine.id, &out).await?;
    let path = out.display().to_string();
    let shown = serde_json::json!({ "path": path });
    context.output.show(&shown, |_| path.clone())?;
    Ok(0)
}

pub(super) async fn push(context: &Context, name: &str, preview: bool) -> Outcome {
    let workshop = &context.workshop;
    let machine = workshop.machine(name)?;
    let pushed = if preview {
        workshop.push_preview(&machine.id).await?
    } else {
        let mut signals = Signals::listen()?;
        let job = workshop.start_push(&machine.id)?;
        progress::wait(context, &job, &mut signals).await?;
        workshop.last_push(&machine.id)?.unwrap_or_default()
    };
    context.output.show(&pushed, |pushed| {
        let Pushed {
            added,
            changed,
            removed,
            bytes,
            restarted,
        } = pushed;
        let end = match (restarted, preview) {
            (true, false) => "; its commands began again",
            (true, true) => "; its commands would begin again",
            (false, _) => "; it has all of it already",
        };
        format!("{added} added, {changed} changed, {removed} removed, {bytes} bytes{end}")
    })?;
    Ok(0)
}

pub(super) async fn screenshot(context: &Context, name: &str, out: Option<PathBuf>) -> Outcome {
    let machine = context.workshop.machine(name)?;
    let picture = context.workshop.machine_screenshot(&machine.id).await?;
    let file = out.unwrap_or_else(|| {
        // A name is any text; as a file it stays in this folder.
        PathBuf::from(format!("{}.png", machine.name.replace(['/', '\0'], "-")))
    });
    if file.as_os_str() == "-" {
        Output::raw(&picture)?;
        return Ok(0);
    }
    std::fs::write(&file, &picture).map_err(|error| {
        let mut shown = AppError::new(
            ErrorKind::Unavailable,
            format!("Cannot write `{}`", file.display()),
        );
        shown.chain.push(error.to_string());
        Failure::from(shown)
    })?;
    let shown = file.display().to_string();
    context
        .output
        .show(&serde_json::json!({ "path": shown }), |_| shown.clone())?;
    Ok(0)
}
