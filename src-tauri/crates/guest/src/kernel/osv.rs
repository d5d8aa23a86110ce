//! OSv kernels.

use super::search::Window;
use super::{KernelFacts, NotAKernel};

pub(super) fn identify_loader(_file: &mut Window<'_>) -> Result<Option<KernelFacts>, NotAKernel> {
    Ok(None)
}

pub(super) fn identify_elf(_file: &mut Window<'_>) -> Result<Option<KernelFacts>, NotAKernel> {
    Ok(None)
}
