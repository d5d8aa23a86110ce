//! Projects of Node and Python.
use std::path::Path;
use super::{PackOptions, Plan, folder};
use crate::{Error, Watch};
pub(super) fn plan_node(path: &Path, options: &PackOptions, watch: &mut dyn Watch) -> Result<Plan, Error> {
    folder::plan(path, options, watch)
}
pub(super) fn plan_python(path: &Path, options: &PackOptions, watch: &mut dyn Watch) -> Result<Plan, Error> {
    folder::plan(path, options, watch)
}
