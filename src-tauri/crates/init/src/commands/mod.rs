//! The commands: which there are, in which order they run, how one is started, and watching over them.

pub(crate) mod events;
pub(crate) mod plan;
mod processes;
mod program;
mod schedule;
pub(crate) mod spawn;
pub(crate) mod supervisor;
mod terminal;
