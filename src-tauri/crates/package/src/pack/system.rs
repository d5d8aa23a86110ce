//! What the distribution has for a program.
use super::Draft;
use crate::closure::Closure;
use crate::{Error, Watch};
pub(super) fn add(
    _closure: &Closure,
    _draft: &mut Draft,
    _watch: &mut dyn Watch,
) -> Result<(), Error> {
    Ok(())
}
