//! Registries over real connections.

mod fetch;
mod github;
mod network;
mod places;
mod support;
