//! Each fuzz target for a second.

#[path = "../../../package/fuzz/runner.rs"]
mod runner;
#[path = "../../fuzz/targets.rs"]
mod targets;

#[test]
fn changed_seeds_are_read_or_refused() {
    runner::run(&targets::ALL);
}
