use std::fs;
use std::os::unix::fs::PermissionsExt;

use windlass_compose::{Boot, check, is_buildable};
use windlass_guest::{CommandLine, GuestOs, RootFs};

use crate::support::{Workshop, show_findings};

fn boot(command: &str) -> Boot {
    Boot {
        command_line: Some(CommandLine::parse(command).unwrap()),
        kernel_root_file_systems: None,
    }
}

/// Adds a dynamically linked program that needs these libraries, and looks for them first in `folders`.
fn add_program(
    workshop: &mut Workshop,
    layer: &str,
    place: &str,
    libraries: &[&str],
    folders: &str,
) {
    let destination = workshop.path(layer).join(place);
    fs::create_dir_all(destination.parent().unwrap()).unwrap();
    fs::write(&destination, elf(libraries, folders)).unwrap();
    fs::set_permissions(&destination, fs::Permissions::from_mode(0o755)).unwrap();
    workshop.take(layer);
}

/// The smallest ELF file that says what it needs: headers, interpreter, strings, dynamic section.
fn elf(libraries: &[&str], folders: &str) -> Vec<u8> {
    const INTERPRETER: &[u8] = b"/lib64/ld-linux-x86-64.so.2\0";
    const CONTENT_AT: u64 = 64 + 3 * 56;
    let mut strings = vec![0];
    let mut dynamic: Vec<(u64, u64)> = Vec::new();
    let named = libraries
        .iter()
        .map(|name| (1, *name))
        .chain([(29, folders)]);
    for (tag, text) in named.filter(|(_, text)| !text.is_empty()) {
        dynamic.push((tag, strings.len() as u64));
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
    }
    let strings_at = CONTENT_AT + INTERPRETER.len() as u64;
    let dynamic_at = strings_at + strings.len() as u64;
    dynamic.extend([(5, strings_at), (10, strings.len() as u64), (0, 0)]);
    let dynamic: Vec<u8> = dynamic
        .iter()
        .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
        .collect();
    let end = dynamic_at + dynamic.len() as u64;

    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([3_u16, 62].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(1_u32.to_le_bytes());
    file.extend([0_u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(0_u32.to_le_bytes());
    file.extend(
        [64_u16, 56, 3, 64, 0, 0]
            .iter()
            .flat_map(|word| word.to_le_bytes()),
    );
    for (kind, start, size) in [
        (3_u32, CONTENT_AT, INTERPRETER.len() as u64),
        (1, 0, end),
        (2, dynamic_at, dynamic.len() as u64),
    ] {
        file.extend(kind.to_le_bytes());
        file.extend(4_u32.to_le_bytes());
        file.extend(
            [start, start, start, size, size, 1]
                .iter()
                .flat_map(|word| word.to_le_bytes()),
        );
    }
    [file, INTERPRETER.to_vec(), strings, dynamic].concat()
}

fn findings(workshop: &Workshop, guest: GuestOs, root_fs: RootFs, boot: &Boot) -> String {
    show_findings(&check(&workshop.plan(guest, root_fs).unwrap(), boot))
}

#[test]
fn an_empty_appliance_is_said_to_be_empty() {
    let mut workshop = Workshop::new();
    workshop.layer("empty", &[]);
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &Boot::default()), @"error: there is nothing in it yet (Add files to its folder, or a package that it needs)");
}

#[test]
fn guest_kernel_and_file_system_have_to_fit() {
    let mut workshop = Workshop::new();
    workshop.layer("service", &["good = 1"]);
    let boot = Boot {
        command_line: None,
        kernel_root_file_systems: Some(vec![RootFs::Rofs]),
    };
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Ext4, &boot), @"error: the OSv kernel cannot boot from ext4 (Choose rofs, or a kernel that was built with ext4)");
    insta::assert_snapshot!(findings(&workshop, GuestOs::Linux, RootFs::Rofs, &Boot::default()), @"error: Linux cannot boot from rofs (Choose ext4, or OSv as the guest kernel)");
    assert_eq!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot), "");
}

#[test]
fn a_program_brings_its_libraries_or_says_which_are_missing() {
    let mut workshop = Workshop::new();
    workshop.layer(
        "service",
        &[
            "usr/lib/service/libown.so = x",
            "usr/lib/libz.so.1 -> libz.so.1.3",
        ],
    );
    let libraries = [
        "libc.so.6",
        "libown.so",
        "libz.so.1",
        "libgcc_s.so.1",
        "ld-linux-x86-64.so.2",
    ];
    add_program(
        &mut workshop,
        "service",
        "usr/bin/service",
        &libraries,
        "/opt:$ORIGIN/../lib/service",
    );
    add_program(
        &mut workshop,
        "service",
        "usr/bin/tool",
        &["libgcc_s.so.1", "libtool.so"],
        "",
    );
    // OSv has a C library; what it does not have is missed. A symlink that leads nowhere is no library.
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot("/usr/bin/service")), @"
    error: /usr/bin/service: it needs libgcc_s.so.1, which is not there (and so does one other) (Add libgcc_s.so.1, or a package that has it)
    error: /usr/bin/service: it needs libz.so.1, which is a symlink that leads nowhere at /usr/lib/libz.so.1 (Add what the symlink points to)
    warning: /usr/bin/tool: it needs libtool.so, which is not there (Add libtool.so, or a package that has it)
    ");
    insta::assert_snapshot!(findings(&workshop, GuestOs::Linux, RootFs::Ext4, &boot("/usr/bin/service")), @"
    error: /usr/bin/service: it needs /lib64/ld-linux-x86-64.so.2, which is not there (and so does one other) (Add ld-linux-x86-64.so.2, or a package that has it)
    error: /usr/bin/service: it needs libc.so.6, which is not there (Add libc.so.6, or a package that has it)
    error: /usr/bin/service: it needs libgcc_s.so.1, which is not there (and so does one other) (Add libgcc_s.so.1, or a package that has it)
    error: /usr/bin/service: it needs libz.so.1, which is a symlink that leads nowhere at /usr/lib/libz.so.1 (Add what the symlink points to)
    warning: /usr/bin/tool: it needs libtool.so, which is not there (Add libtool.so, or a package that has it)
    ");
}

#[test]
fn a_library_in_the_wrong_folder_is_found_there() {
    let mut workshop = Workshop::new();
    workshop.layer(
        "service",
        &[
            "usr/lib/x86_64-linux-gnu/libz.so.1 = x",
            "usr/lib/libc.so.6 = x",
        ],
    );
    add_program(
        &mut workshop,
        "service",
        "service",
        &["libz.so.1", "libc.so.6"],
        "",
    );
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot("/service")), @"
    error: /service: it needs libz.so.1, which OSv does not find at /usr/lib/x86_64-linux-gnu/libz.so.1 (Move the library to /usr/lib)
    note: /usr/lib/libc.so.6: OSv supplies this library itself, and ignores the copy (Leave it out with a line in .capstanignore)
    ");
}

#[test]
fn with_a_linker_of_its_own_osv_looks_where_linux_does() {
    let mut workshop = Workshop::new();
    workshop.layer(
        "service",
        &[
            "usr/lib/x86_64-linux-gnu/libz.so.1 = x",
            "usr/lib/libc.so.6 = x",
        ],
    );
    add_program(
        &mut workshop,
        "service",
        "lib64/ld-linux-x86-64.so.2",
        &[],
        "",
    );
    add_program(
        &mut workshop,
        "service",
        "service",
        &["libz.so.1", "libc.so.6"],
        "",
    );
    let boot = boot("/lib64/ld-linux-x86-64.so.2 /service");
    assert_eq!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot), "");
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
    add_program(&mut workshop, "service", "opt/service", &["libc.so.6"], "");
    let commands = "--cwd=/nowhere /service; /opt/tool.sh; /opt/data; /opt; $PROGRAM; runscript /run/web; runscript /run/none; runscript";
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot(commands)), @"
    error: the boot command `runscript` names no file
    error: /nowhere: the working directory of the boot command is not there (Make that folder, or change --cwd)
    error: /opt: the boot command's program is a folder
    error: /opt/data: the boot command's program is neither an ELF program nor a script (Name the program that reads it first, as in `/usr/bin/node /server.js`)
    error: /opt/nothing: the boot command's program /opt/nothing is not there (Add it to the folder, or correct the command)
    error: /opt/tool.sh: OSv cannot run a script by itself (Use `/bin/sh /opt/tool.sh` as the command, or a Linux guest)
    error: /run/none: the boot command runs a script that is not there (Choose a run configuration that is there)
    error: /service: the boot command's program /service is not there (Did you mean /opt/service?)
    error: runscript: the boot command's program runscript is not there (Add it to the folder, or correct the command)
    ");
    insta::assert_snapshot!(findings(&workshop, GuestOs::Linux, RootFs::Ext4, &boot("--cwd=/opt ./closed.sh; tool.sh")), @"
    error: /opt/closed.sh: the boot command's program is not executable (Make it executable with `chmod +x`)
    error: /opt/tool.sh: the script needs /bin/sh, which is not there (Add a package that has it)
    warning: /opt/service: it needs /lib64/ld-linux-x86-64.so.2, which is not there (Add ld-linux-x86-64.so.2, or a package that has it)
    warning: /opt/service: it needs libc.so.6, which is not there (Add libc.so.6, or a package that has it)
    note: /opt/tool.sh: 1 script needs /bin/sh, which is not there (Add a package that has it, if the application runs them)
    ");
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
    header[16] = 3;
    header[18] = 62;
    header[32..40].copy_from_slice(&u64::from(u32::MAX).to_le_bytes());
    header[54] = 56;
    header[56] = 9;
    fs::write(root.join("broken.so"), &header).unwrap();
    insta::assert_snapshot!(findings(&workshop, GuestOs::Osv, RootFs::Rofs, &boot("/service.so")), @"
    error: /service.so: it is for 64-bit ARM, and guests are x86-64 (Build it for x86-64)
    warning: /broken.so: it is a damaged ELF file: it ends in the middle of a table (at byte 4294967295)
    warning: /other.so: it is for 64-bit ARM, and guests are x86-64 (Leave it out with a line in .capstanignore)
    ");
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
