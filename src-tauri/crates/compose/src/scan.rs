//! What a layer holds.

use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::layer::Layer;

/// A layer with the paths, kinds, sizes and times of all that is in it.
#[derive(Debug, Clone)]
pub struct ScannedLayer {
    /// The layer.
    pub layer: Layer,
}

/// Walks a layer's folder. No file is read.
///
/// # Errors
/// [`Error::NoFolder`], [`Error::Unusable`] with all that cannot be read or cannot be in an image (the first twenty by name),
/// [`Error::Cancelled`].
pub fn scan(layer: &Layer, cancel: &CancellationToken) -> Result<ScannedLayer, Error> {
    let _ = (layer, cancel);
    todo!()
}
