//! Not there yet.
use super::{PackOptions, Plan};
use crate::{Error, Watch};
#[allow(unused_imports)]
use std::path::Path;
pub(super) fn plan(
    _source: &Path,
    _options: &PackOptions,
    _watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    Err(Error::Cancelled)
}
pub(super) fn is_layout(folder: &Path) -> bool {
    folder.join("oci-layout").is_file() && folder.join("index.json").is_file()
}
pub(super) fn is_image_tar(_file: &Path) -> bool {
    false
}
