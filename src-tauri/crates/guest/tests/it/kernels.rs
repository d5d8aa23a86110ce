//! Real OSv kernels are what they are said to be.

use std::fs::File;

use windlass_guest::kernel::{KernelForm, identify};
use windlass_guest::{GuestOs, RootFs};

/// The facts of the kernel that an environment variable names, or nothing, and a line that says so.
fn named_by(variable: &str) -> Option<windlass_guest::KernelFacts> {
    let Some(path) = std::env::var_os(variable) else {
        println!("skipped: {variable} names no kernel");
        return None;
    };
    let facts = identify(&mut File::open(path).unwrap()).unwrap();
    println!("{variable}: {facts:?}");
    Some(facts)
}

#[test]
fn an_osv_loader_image() {
    let Some(facts) = named_by("WINDLASS_OSV_LOADER") else {
        return;
    };
    assert_eq!(
        (facts.guest, facts.form),
        (GuestOs::Osv, KernelForm::OsvLoader)
    );
    assert!(
        facts.version.unwrap().starts_with('v'),
        "found in the compressed kernel"
    );
    assert_eq!(facts.root_file_systems[0], RootFs::Rofs);
}

#[test]
fn an_osv_elf_kernel() {
    let Some(facts) = named_by("WINDLASS_OSV_KERNEL") else {
        return;
    };
    assert_eq!(
        (facts.guest, facts.form),
        (GuestOs::Osv, KernelForm::OsvElf)
    );
    assert!(facts.version.unwrap().starts_with('v'));
    assert_eq!(facts.root_file_systems[0], RootFs::Rofs);
}

#[test]
fn a_linux_kernel() {
    let Some(facts) = named_by("WINDLASS_LINUX_KERNEL") else {
        return;
    };
    assert_eq!(
        (facts.guest, facts.form),
        (GuestOs::Linux, KernelForm::LinuxBzImage)
    );
    assert_eq!(facts.root_file_systems, [RootFs::Ext4]);
}
