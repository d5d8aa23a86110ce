//! Projects of Node and Python.
use super::{PackOptions, Plan, folder};
use crate::{Error, Watch};
use std::path::Path;
pub(super) fn plan_node(
    path: &Path,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    folder::plan(path, options, watch)
}
pub(super) fn plan_python(
    path: &Path,
    options: &PackOptions,
    watch: &mut dyn Watch,
) -> Result<Plan, Error> {
    folder::plan(path, options, watch)
}
