//! The verbs, a noun each.

pub(crate) mod appliance;
pub(crate) mod collect;
pub(crate) mod compose;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod image;
pub(crate) mod info;
pub(crate) mod job;
pub(crate) mod kernel;
pub(crate) mod machine;
pub(crate) mod package;
pub(crate) mod run;
pub(crate) mod sample;
pub(crate) mod settings;

mod findings;
mod target;
