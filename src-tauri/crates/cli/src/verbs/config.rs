//! `config print`: where things are, and what is never part of an image.

use serde::Serialize;
use std::fmt::Write as _;

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
    /// Capstan's variables that are set.
    capstan: Vec<(&'static str, String)>,
}

/// Capstan's variables, and what they mean here.
const CAPSTAN: [(&str, &str); 6] = [
    ("CAPSTAN_ROOT", "`capstan import` takes over from it"),
    (
        "CAPSTAN_REPO_URL",
        "`search` and `pull` ask it, as with --url",
    ),
    (
        "CAPSTAN_DISABLE_KVM",
        "passed over: what works is found out by trying",
    ),
    (
        "CAPSTAN_QEMU_AIO_TYPE",
        "passed over: QEMU is asked what it can do",
    ),
    (
        "CAPSTAN_QEMU_PATH",
        "passed over: `settings set qemuPath` is kept",
    ),
    (
        "CAPSTAN_QEMU_BRIDGE_HELPER",
        "passed over: machines have networks of their own",
    ),
];

pub(crate) fn print(context: &Context) -> Outcome {
    let settings = context.workshop.settings()?;
    let config = Config {
        version: env!("CARGO_PKG_VERSION"),
        home: context.workshop.home().root().display().to_string(),
        qemu_path: settings.qemu_path.map(|path| path.display().to_string()),
        default_memory_mib: settings.default_memory_mib,
        ignored: windlass_workshop::packages::always_ignored(),
        capstan: CAPSTAN
            .iter()
            .filter_map(|(name, _)| Some((*name, std::env::var(name).ok()?)))
            .collect(),
    };
    context.output.show(&config, |config| {
        let mut text = fields(&[
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
        ]);
        for (name, value) in &config.capstan {
            let meaning = CAPSTAN.iter().find(|(it, _)| it == name);
            let meaning = meaning.map_or("", |(_, meaning)| *meaning);
            let _ = writeln!(text, "{name}={value}: {meaning}");
        }
        text
    })?;
    Ok(0)
}
