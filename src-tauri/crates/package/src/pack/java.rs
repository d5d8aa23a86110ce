//! Not there yet.
#[allow(unused_imports)]
use std::path::Path;
use super::{PackOptions, Plan};
use crate::{Error, Watch};
pub(super) fn plan(_source: &Path, _options: &PackOptions, _watch: &mut dyn Watch) -> Result<Plan, Error> {
    Err(Error::Cancelled)
}
