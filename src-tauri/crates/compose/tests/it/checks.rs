use std::fs;

use windlass_compose::{Boot, check, is_buildable};
use windlass_guest::{CommandLine, GuestOs, RootFs};

use crate::support::{Workshop, show_findings};

fn boot(command: &str) -> Boot {
    Boot {
        command_line: Some(CommandLine::parse(command).unwrap()),
        kernel_root_file_systems: None,
    }
}

/// A program of this computer, for it is a real one.
fn add_program(workshop: &mut Workshop, layer: &str, place: &str) {
    let destination = workshop.path(layer).join(place);
    fs::create_dir_all(destination.parent().unwrap()).unwrap();
    fs::copy(std::env::current_exe().unwrap(), destination).unwrap();
    workshop.take(layer);
}

fn findings(workshop: &Workshop, guest: GuestOs, root_fs: RootFs, boot: &Boot) -> String {
    show_findings(&check(&workshop.plan(guest, root_fs).unwrap(), boot))
}

#[test]
fn an_empty_appliance_is_said_to_be_empty() {
    let mut workshop = Workshop::new();
    workshop.layer("empty", &[]);
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &Boot::default()), @"");
}

#[test]
fn guest_kernel_and_file_system_have_to_fit() {
    let mut workshop = Workshop::new();
    workshop.layer("service", &["good = 1"]);
    let boot = Boot {
        command_line: None,
        kernel_root_file_systems: Some(vec![RootFs::Rofs]),
    };
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Ext4, &boot), @"");
    insta::assert_snapshot!(findings(&workshop, GuestOs::Linux, RootFs::Rofs, &Boot::default()), @"");
    assert_eq!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot), "");
}

#[test]
fn a_program_brings_its_libraries_or_says_which_are_missing() {
    let mut workshop = Workshop::new();
    workshop.layer("service", &[]);
    add_program(&mut workshop, "service", "usr/bin/service");
    // OSv has a C library; what it does not have is missed.
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot("/usr/bin/service")), @"");
    insta::assert_snapshot!(findings(&workshop, GuestOs::Linux, RootFs::Ext4, &boot("/usr/bin/service")), @"");
}

#[test]
fn a_library_in_the_wrong_folder_is_found_there() {
    let mut workshop = Workshop::new();
    workshop.layer(
        "service",
        &[
            "usr/lib/x86_64-linux-gnu/libgcc_s.so.1 = x",
            "usr/lib/libc.so.6 = x",
        ],
    );
    add_program(&mut workshop, "service", "service");
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot("/service")), @"");
}

#[test]
fn the_boot_command_has_to_be_there() {
    let mut workshop = Workshop::new();
    workshop.layer(
        "service",
        &[
            "opt/tool.sh = #!/bin/sh\n !",
            "opt/data = 12 !",
            "opt/closed.sh = #!/opt/tool.sh\n",
            "run/web = /opt/nothing -v; runscript",
        ],
    );
    add_program(&mut workshop, "service", "opt/service");
    let commands = "--cwd=/nowhere /service; /opt/tool.sh; /opt/data; /opt; $PROGRAM; runscript /run/web; runscript /run/none; runscript";
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot(commands)), @"");
    insta::assert_snapshot!(findings(&workshop, GuestOs::Linux, RootFs::Ext4, &boot("--cwd=/opt ./closed.sh; tool.sh")), @"");
}

#[test]
fn another_architecture_is_named() {
    let mut workshop = Workshop::new();
    let root = workshop.layer("service", &[]);
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(64, 0);
    header[18] = 183;
    fs::write(root.join("service.so"), &header).unwrap();
    fs::write(root.join("other.so"), &header).unwrap();
    // It claims program headers far behind its end.
    header[18] = 62;
    header[32..40].copy_from_slice(&u64::from(u32::MAX).to_le_bytes());
    header[54] = 56;
    header[56] = 9;
    fs::write(root.join("broken.so"), &header).unwrap();
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot("/service.so")), @"");
}

#[test]
fn what_is_in_the_way_of_a_build_is_an_error() {
    let mut workshop = Workshop::new();
    workshop.layer("service", &["usr/lib/libc.so.6 = x"]);
    let plan = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap();
    let notes = check(&plan, &Boot::default());
    assert_eq!(notes.len(), 1);
    assert!(is_buildable(&notes));
    assert!(!is_buildable(&check(&plan, &boot("/nothing"))));
}
