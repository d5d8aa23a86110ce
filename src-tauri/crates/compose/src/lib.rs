//! Layers to a plan to an image.
