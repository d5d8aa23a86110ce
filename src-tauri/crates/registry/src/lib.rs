//! Registries: places that packages and guest kernels come from.
