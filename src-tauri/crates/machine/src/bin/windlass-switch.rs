//! A network's switch by itself, for the tests of this crate: the programs that start machines are their own.

fn main() -> std::process::ExitCode {
    windlass_machine::switch_process().map_or(std::process::ExitCode::FAILURE, Into::into)
}
