//! Builds the programs of ours that run in a Linux guest, so that they can be embedded.
//!
//! They are linked statically and made small, for which Cargo has no way within one build: a second Cargo, with a target
//! folder of its own below `OUT_DIR`, does it. Its work is kept between builds, so that it costs something only when the
//! programs change.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where a Linux guest's programs run.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The programs, as `src/embedded.rs` knows them.
const PROGRAMS: [&str; 2] = ["windlass-init", "windlass-hello"];

/// Settings of the outer build that must not reach the inner one: flags of another target, clippy in the place of rustc.
const NOT_INHERITED: [&str; 8] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTFLAGS",
    "__CARGO_DEFAULT_LIB_METADATA",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let crates = here.parent().ok_or("the crate lies in no folder")?;
    for watched in [
        "init/Cargo.toml",
        "init/src",
        "guest/Cargo.toml",
        "guest/src",
    ] {
        println!("cargo::rerun-if-changed={}", crates.join(watched).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let target_folder = out.join("guest-programs");
    run_cargo(&crates.join("init/Cargo.toml"), &target_folder)?;
    for program in PROGRAMS {
        let built = target_folder.join(TARGET).join("release").join(program);
        let embedded = out.join(program);
        std::fs::copy(&built, &embedded)
            .map_err(|error| format!("{} could not be copied: {error}", built.display()))?;
    }
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name} is not set by Cargo: {error}"))
}

fn run_cargo(manifest: &Path, target_folder: &Path) -> Result<(), String> {
    let mut cargo = Command::new(variable("CARGO")?);
    for name in NOT_INHERITED {
        cargo.env_remove(name);
    }
    cargo
        .args([
            "build",
            "--quiet",
            "--release",
            "--bins",
            "--target",
            TARGET,
            "--manifest-path",
        ])
        .arg(manifest)
        .arg("--target-dir")
        .arg(target_folder)
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "z")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_PROFILE_RELEASE_STRIP", "true");
    let output = cargo
        .output()
        .map_err(|error| format!("Cargo could not be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let remedy = if said.contains("cannot find -lc") || said.contains("unable to find library -lc")
    {
        "The static C library is missing: install libc6-dev (Debian, Ubuntu) or glibc-static (Fedora)."
    } else if said.contains("can't find crate for `std`")
        || said.contains("can't find crate for `core`")
    {
        "The target is missing: run `rustup target add x86_64-unknown-linux-gnu`."
    } else {
        "See what the compiler said above."
    };
    Err(format!(
        "{said}\nThe programs of the Linux guest could not be built. {remedy}"
    ))
}
