//! `config print`: where things are, and what is never part of an image.

use serde::Serialize;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::fields;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    version: &'static str,
    home: String,
    qemu_path: Option<String>,
    default_memory_mib: u32,
    ignored: &'static [&'static str],
}

pub(crate) fn print(context: &Context) -> Outcome {
    let settings = context.workshop.settings()?;
    let config = Config {
        version: env!("CARGO_PKG_VERSION"),
        home: context.workshop.home().root().display().to_string(),
        qemu_path: settings.qemu_path.map(|path| path.display().to_string()),
        default_memory_mib: settings.default_memory_mib,
        ignored: windlass_workshop::packages::always_ignored(),
    };
    context.output.show(&config, |config| {
        fields(&[
            ("Version", config.version.to_owned()),
            ("WINDLASS_HOME", config.home.clone()),
            (
                "QEMU",
                config
                    .qemu_path
                    .clone()
                    .unwrap_or_else(|| "the one on PATH".to_owned()),
            ),
            (
                "Default memory",
                format!("{} MiB", config.default_memory_mib),
            ),
            ("Always ignored", config.ignored.join("\n")),
        ])
    })?;
    Ok(0)
}
