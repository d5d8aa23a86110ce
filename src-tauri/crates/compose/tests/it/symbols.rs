//! What programs ask of others by name, found in real ones: this test, and the libraries of this computer.

use std::fs;
use std::path::Path;

use windlass_compose::{Boot, check};
use windlass_guest::{CommandLine, GuestOs, RootFs};
use windlass_package::closure::{closure, find_library};
use windlass_package::{Finding, Fix, Severity};

use crate::support::Workshop;

/// A workshop with this test as a program, and a layer with what it needs, at these paths.
fn workshop(folder: &str) -> Workshop {
    let mut workshop = Workshop::new();
    workshop.layer("service", &["usr/bin/"]);
    let program = std::env::current_exe().unwrap();
    let root = workshop.path("service");
    fs::copy(&program, root.join("usr/bin/service")).unwrap();
    for object in closure(&[program]).unwrap().objects.iter().skip(1) {
        let place = if object.name.starts_with("ld-") {
            root.join("lib64").join(&object.name)
        } else {
            root.join(folder).join(&object.name)
        };
        copy(&object.host, &place);
    }
    workshop.take("service");
    workshop
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

fn findings(workshop: &Workshop, guest: GuestOs, root_fs: RootFs) -> Vec<Finding> {
    let boot = Boot {
        command_line: Some(CommandLine::parse("/usr/bin/service").unwrap()),
        kernel_root_file_systems: None,
    };
    check(&workshop.plan(guest, root_fs).unwrap(), &boot)
}

#[test]
fn what_osv_has_not_is_told_with_the_guest_that_has_it() {
    let workshop = workshop("usr/lib");
    let found = findings(&workshop, GuestOs::Osv, RootFs::Rofs);
    let processes = found
        .iter()
        .find(|finding| finding.message.contains("other processes"));
    let processes = processes.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!(processes.severity, Severity::Warning);
    assert!(processes.message.contains("posix_spawnp"), "{processes}");
    let guest = GuestOs::Linux;
    assert_eq!(processes.fix, Some(Fix::Guest { guest }));
    let path = "/usr/lib/libc.so.6".to_owned();
    let surplus = found
        .iter()
        .find(|finding| finding.path.as_ref() == Some(&path));
    assert_eq!(surplus.unwrap().fix, Some(Fix::LeaveOut { path }));
}

#[test]
fn libraries_as_new_as_what_uses_them_are_no_finding() {
    let workshop = workshop("lib/x86_64-linux-gnu");
    assert_eq!(findings(&workshop, GuestOs::Linux, RootFs::Ext4), []);
}

#[test]
fn an_older_library_is_found_before_it_is_met() {
    let mut workshop = workshop("lib/x86_64-linux-gnu");
    // Another library of the same maker, with fewer versions.
    let other = find_library("libdl.so.2").unwrap();
    copy(
        &other,
        &workshop.path("service/lib/x86_64-linux-gnu/libc.so.6"),
    );
    workshop.take("service");
    let found = findings(&workshop, GuestOs::Linux, RootFs::Ext4);
    let of_libc = |finding: &&Finding| finding.message.contains("of libc.so.6");
    let error = found.iter().find(of_libc).unwrap();
    assert_eq!(error.severity, Severity::Error);
    assert!(
        error
            .remedy
            .as_ref()
            .unwrap()
            .contains("libc has to be as new"),
        "{error}"
    );
}

#[test]
fn a_missing_library_of_this_computer_can_be_taken_along() {
    let mut workshop = workshop("lib/x86_64-linux-gnu");
    let libc = workshop.path("service/lib/x86_64-linux-gnu/libc.so.6");
    fs::remove_file(libc).unwrap();
    workshop.take("service");
    let found = findings(&workshop, GuestOs::Linux, RootFs::Ext4);
    let missing = found
        .iter()
        .find(|finding| finding.message.contains("libc.so.6"));
    let host = find_library("libc.so.6").unwrap();
    let guest = host.to_str().unwrap().to_owned();
    assert_eq!(missing.unwrap().fix, Some(Fix::AddFile { host, guest }));
}

#[test]
fn parts_of_a_whole_find_one_another() {
    let mut workshop = workshop("lib/x86_64-linux-gnu");
    // As in Java: a part needs another, which lies deeper and is loaded before it.
    let runtime = workshop.path("service/usr/lib/jvm");
    let libc = workshop.path("service/lib/x86_64-linux-gnu/libc.so.6");
    copy(&libc, &runtime.join("server/libc.so.6"));
    copy(
        &find_library("libm.so.6").unwrap(),
        &runtime.join("libjava.so"),
    );
    fs::remove_file(&libc).unwrap();
    workshop.take("service");
    let found = findings(&workshop, GuestOs::Linux, RootFs::Ext4);
    let missing: Vec<&Finding> = found
        .iter()
        .filter(|finding| finding.message.contains("libc.so.6"))
        .collect();
    // The program itself misses it all the same.
    let [missing] = missing.as_slice() else {
        panic!("{found:?}");
    };
    assert!(!missing.message.contains("others"), "{missing}");
    assert_eq!(missing.severity, Severity::Error);
}
