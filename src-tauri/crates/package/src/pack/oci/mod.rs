//! An OCI image, its layers flattened: what `docker run` would see, as a package.
//!
//! ```text
//!   layout folder, or a tar of one      index.json ──> manifest ──> config, layers   [store]
//!   what `docker save` writes           manifest.json ────────────> config, layers
//!   layers, lowest first ── whiteouts applied ──> files in a temporary folder        [layers]
//!   config: Env, Entrypoint, Cmd, WorkingDir, User ──> run.yaml                      [config]
//! ```
//!
//! Files of an image lie in the guest where they lie in the image, so that a Linux guest runs it as
//! it is; for OSv, its libraries are linked into `/usr/lib`, as those of the distribution's packages
//! are.

mod config;
mod layers;
mod store;

use std::fs::File;
use std::path::{Path, PathBuf};

use super::draft::{Description, Draft};
use super::{Kind, PackOptions, Plan};
use crate::{Error, Manifest, Watch, archive, name_from};
use config::Config;
use store::Store;

/// Whether a folder is an OCI image layout.
pub(super) fn is_layout(folder: &Path) -> bool {
    folder.join("oci-layout").is_file() && folder.join("index.json").is_file()
}

/// Whether a tar is an image: of a layout, or written by `docker save`.
pub(super) fn is_image_tar(file: &Path) -> bool {
    File::open(file).is_ok_and(store::has_index)
}

pub(super) fn plan(
    path: &Path,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    watch.step("Reading the image");
    let store = Store::open(path)?;
    let image = store.image()?;
    let config = Config::parse(&store.read(&image.config)?, path)?;
    let mut draft = Draft::default();
    let scratch = draft.scratch(options)?;
    let name = name_of(path, image.name.as_deref());
    let mut unpacker = layers::Unpacker::new(&mut draft, scratch);
    let count = image.layers.len();
    for (at, layer) in image.layers.iter().enumerate() {
        watch.step(&format!("Unpacking layer {} of {count}", at + 1));
        let reason = format!("because layer {} of {name} has it", at + 1);
        unpacker.layer(&store, layer, &reason, watch)?;
    }
    unpacker.finish();
    if options.guest == windlass_guest::GuestOs::Osv {
        super::debian::flatten(&mut draft)?;
    }
    let run = config.run_file(&mut draft, options.guest);
    let manifest = Manifest {
        name: name_from(&name),
        title: name.clone(),
        author: config
            .author
            .clone()
            .unwrap_or_else(|| "Packed from an OCI image".into()),
        platform: config.os.clone(),
        ..Manifest::default()
    };
    let description = Description::new(manifest, run.as_ref(), options)?;
    draft.finish(Kind::Oci, description, options, watch)
}

/// What the image is called: by its own reference, without registry and tag, or by its file.
fn name_of(path: &Path, reference: Option<&str>) -> String {
    let short = reference.and_then(|reference| {
        let last = reference.rsplit('/').next()?;
        let name = last.split(['@', ':']).next()?;
        // A layout's reference may be a tag alone.
        (!name.is_empty() && reference.contains([':', '/'])).then(|| name.to_owned())
    });
    short.unwrap_or_else(|| {
        let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        archive::stem(&path)
    })
}
