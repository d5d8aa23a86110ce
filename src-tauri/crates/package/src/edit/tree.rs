//! The tree of a YAML text, with the bytes of every value.
