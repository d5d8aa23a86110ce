//! Linux kernels.

use super::search::Window;
use super::{KernelFacts, NotAKernel};

pub(super) fn identify_bzimage(_file: &mut Window<'_>) -> Result<Option<KernelFacts>, NotAKernel> {
    Ok(None)
}
