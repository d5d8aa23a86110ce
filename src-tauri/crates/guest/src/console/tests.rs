use std::fmt::Write;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

/// What a console tells, as a transcript: each notice, and under it what to do.
fn transcript(console: &str) -> String {
    let mut recogniser = Recogniser::new();
    let mut notices = recogniser.push(console.as_bytes());
    notices.extend(recogniser.finish());
    let mut text = String::new();
    for notice in notices {
        let mark = if notice.is_fatal() { "!" } else { "-" };
        writeln!(text, "{mark} {notice}").unwrap();
        if let Some(remedy) = notice.remedy() {
            writeln!(text, "    {remedy}").unwrap();
        }
    }
    text
}

#[test]
fn osv_that_serves() {
    assert_snapshot!(transcript(
        "SeaBIOS\x1b[2J\x1b[1;1HBooting from ROM..\r\nOSv v0.57.0-398-g0e34e4dc\r\neth0: 10.0.2.15\r\n\
         Booted up in 150.69 ms\r\nCmdline: /serve\r\nlisteningprogram exited with status 3\r\nVFS: unmounting /\r\nPowering off.\r\n"
    ));
}

#[test]
fn osv_that_cannot_load_its_program() {
    assert_snapshot!(transcript(
        "OSv v0.57.0\nFailed to load object: /gone. Powering off.\n\
         OSv v0.57.0\nFailed looking up main. Powering off.\n\
         OSv v0.57.0\nunrecognized option: hostname\nOSv options:\n\
         OSv v0.57.0\nCould not mount ext root filesystem.\n\
         OSv v0.57.0\nFailed to open runscript file '/run/default'.\nFailed to parse command line.\n"
    ));
}

#[test]
fn osv_that_does_without_a_volume() {
    assert_snapshot!(transcript(
        "OSv v0.57.0\nVFS: mounting rofs at /rofs\nVFS: mounting ext at /data\n\
         The ext module is in-active!. Please add ext module to the image.\n\
         failed to mount ext, error = No error information\nfailed to mount again\n"
    ), @"
    - OSv v0.57.0 runs
    - the volume for /data could not be mounted as ext
        choose an OSv kernel that mounts the volume's file system (the list of guest kernels says which do), with its module in the image (libext.so for ext4), or run the appliance on Linux
    ");
}

#[test]
fn osv_that_crashes() {
    assert_snapshot!(transcript(
        "OSv v0.57.0\n/a.so: failed looking up symbol nobody\n\n[backtrace]\n0x0 <a+1>\n\
         OSv v0.57.0\nAssertion failed: a == b (f.cc: g: 12)\n\n[backtrace]\n\
         OSv v0.57.0\npage fault outside application, addr: 0x08\n[registers]\nRIP: 0\nAborted\n\n[backtrace]\n\
         OSv v0.57.0\nhalf a lineAborted\n\n[backtrace]\n\
         OSv v0.57.0\nOut of memory: could not reclaim any further. Current memory: 12 Kb\n[backtrace]\n\
         OSv v0.57.0\nNeither paravirtual clock nor HPET is available\nHalting.\nHalting.\n"
    ));
}

#[test]
fn osv_says_what_its_backtrace_knows_of_a_crash() {
    assert_snapshot!(transcript(
        "OSv v0.57.0\nx\nAborted\n\n[backtrace]\n0x0000000040221a03 <???+1075976707>\n\
         0x00000000403d78cc <osv::handle_mmap_fault(unsigned long, int, exception_frame*)+28>\n\
         0x00000000402b499a <mmu::vm_fault(unsigned long, exception_frame*)+314>\n\
         0x0000000040306f1b <page_fault+139>\n0x0000000040306f1b <page_fault+139>\n\
         OSv v0.57.0\nAborted\n\n[backtrace]\n0x0000000040221a03 <???+1075976707>\n0x00000000403088ad <divide_error+61>\n\
         OSv v0.57.0\nDUMMY_HANDLER for invalid_opcode aborting.\n\n[backtrace]\n0x0000000040308a54 <invalid_opcode+20>\n\
         OSv v0.57.0\nabout to abort\nAborted\n\n[backtrace]\n0x000010000000117f <???+4479>\n\
         0x000000004039c2bc <osv::application::run_main()+60>\n"
    ));
}

#[test]
fn osv_whose_program_is_ended_by_a_signal() {
    assert_snapshot!(transcript(
        "OSv v0.57.0\nx\nUncaught signal 15 (\"Terminated\"). Powering off.\n\
         OSv v0.57.0\nFATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n\
         16: 0x195e476  [/usr/bin/node]\nUncaught signal 6 (\"Aborted\"). Powering off.\n"
    ));
}

#[test]
fn what_runtimes_say_in_their_own_words() {
    assert_snapshot!(transcript(
        "OSv v0.57.0\nError: EROFS: read-only file system, open '/x'\n  errno: -30,\nprogram exited with status 1\n\
         [windlass] init 0.1.0 on Linux 6.1\nTraceback (most recent call last):\nMemoryError\n\
         Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space\nMemoryErrorless\n"
    ));
}

#[test]
fn linux_with_our_init() {
    assert_snapshot!(transcript(
        "[    0.000000] Linux version 6.1.0-56-cloud-amd64 (debian) #1\n\
         [windlass] init 0.1.0 on Linux 6.1.0-56-cloud-amd64\n\
         [windlass] eth0: address 10.0.2.15/24, gateway 10.0.2.2\n\
         [windlass] command 1 of 3 started: /bin/a \"b c\"\n\
         text [windlass] powering off\n\
         [windlass] command 1 of 3 exited with status 127: /bin/a\n\
         [windlass] command 2 of 3 ended by signal 11 (SIGSEGV): /bin/b\n\
         [windlass] command 3 of 3 not started: /bin/c: no such file\n\
         mkdir: cannot create '/x': Read-only file system\nmkdir: '/y': Read-only file system\n\
         [   12.5] Out of memory: Killed process 71 (python3) total-vm:1kB\n\
         [windlass] all ended with status 127\n[windlass] powering off\n[   13.1] reboot: Power down\n"
    ));
}

#[test]
fn linux_without_what_it_needs() {
    assert_snapshot!(transcript(
        "[windlass] init 0.1.0 on Linux 6.1\n[windlass] eth0: no address: nobody answered in 12 s\n\
         [windlass] no root file system: /dev/vda: no ext4\n\
         [windlass] failed: cannot mount /proc\n\
         [    1.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n\
         [    1.1] ---[ end Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100 ]---\n"
    ));
}

#[test]
fn a_line_without_end_takes_bounded_memory_and_the_next_one_is_read() {
    let mut recogniser = Recogniser::new();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        assert_eq!(recogniser.push(&block), []);
    }
    // A sequence that is never closed, too.
    recogniser.push(b"\x1b]");
    for _ in 0..100 {
        assert_eq!(recogniser.push(&block), []);
    }
    assert!(format!("{recogniser:?}").len() < 64 * LINE_LIMIT_BYTES);
    let notices = recogniser.push(b"\n[windlass] powering off\n");
    assert_eq!(notices, [Notice::PoweringOff]);
}

#[test]
fn notices_are_short_and_printable() {
    let line = format!(
        "Failed to load object: \u{9b}31m{}. Powering off.\n",
        "y".repeat(9999)
    );
    for notice in Recogniser::new().push(line.as_bytes()) {
        let text = notice.to_string();
        assert!(
            text.chars().count() < 400 && !text.contains(char::is_control),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        cuts in prop::collection::vec(1..20_usize, 0..40),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut console = noise;
        console.extend(
            b"\nOSv v0.57.0\n\x1b[31meth0: 10.0.2.15\x1b[0m\r\n[windlass] command 1 of 1 started: /a\n/b\nAborted\n\n[backtrace]\n",
        );
        let whole = Recogniser::new().push(&console);
        let mut recogniser = Recogniser::new();
        let (mut notices, mut rest) = (Vec::new(), console.as_slice());
        for cut in cuts {
            let (piece, more) = rest.split_at(cut.min(rest.len()));
            notices.extend(recogniser.push(piece));
            rest = more;
        }
        notices.extend(recogniser.push(rest));
        prop_assert_eq!(notices, whole);
    }
}
