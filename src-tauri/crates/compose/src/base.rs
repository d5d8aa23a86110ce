//! The lowest layer: what every image of a guest has.
