//! QEMU's last words before it gave up at the start, as words for people and what to do about it.

/// Why QEMU did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) remedy: Option<String>,
    /// A forwarded port was taken in the moment between our looking and QEMU's: another one may do.
    pub(crate) port_taken: bool,
}

/// How much of what QEMU said is shown where we do not know the meaning.
const QUOTE_MAX_CHARS: usize = 400;

/// Marks in QEMU's text, the meaning, and the remedy. The first that fits counts.
const MEANINGS: [(&[&str], &str, &str); 12] = [
    (
        &["Could not set up host forwarding rule"],
        "a forwarded port is in use by another program",
        "Stop that program, choose another port, or leave the port empty: a free one is chosen then.",
    ),
    (
        &["Failed to get", "lock"],
        "a disk image is in use by another machine",
        "Stop that machine first, or run on an overlay of the image.",
    ),
    (
        &["cannot set up guest memory"],
        "this computer has not enough memory free for it",
        "Give the machine less memory, or stop another one.",
    ),
    (
        &["Cannot allocate memory"],
        "this computer has not enough memory free for it",
        "Give the machine less memory, or stop another one.",
    ),
    (
        &["No space left on device"],
        "the disk of this computer is full",
        "Free some space and start it again.",
    ),
    (
        &["KVM kernel module", "Permission denied"],
        "you may not use this computer's hardware acceleration (/dev/kvm)",
        "Join the group that may (`sudo usermod -aG kvm \"$USER\"`), then log out and in.",
    ),
    (
        &["KVM"],
        "hardware acceleration (KVM) does not work here",
        "Look at the doctor's page: it tests the accelerator again.",
    ),
    (
        &["PVH ELF Note"],
        "the kernel is no kernel that QEMU can load",
        "Choose another guest kernel, and build the appliance again.",
    ),
    (
        &["could not load kernel"],
        "the kernel cannot be loaded",
        "Choose another guest kernel, and build the appliance again.",
    ),
    (
        &["not in qcow2 format"],
        "a disk image is not what it is said to be",
        "Build the appliance again.",
    ),
    (
        &["Could not open", "No such file"],
        "a disk image is not there any more",
        "Build the appliance again.",
    ),
    (
        &["unsupported machine type"],
        "this QEMU does not have the machine type `pc`",
        "Install the full QEMU for x86 (Debian and Ubuntu: `apt install qemu-system-x86`).",
    ),
];

/// Turns what QEMU wrote into what it means; `ending` is how its process ended.
pub(crate) fn explain(said: &str, ending: &str) -> Failure {
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.contains("warning:"))
        .map(|line| {
            line.split_once("qemu-system-x86_64: ")
                .map_or(line, |(_, words)| words)
        })
        .collect();
    let quote = |line: &str| line.chars().take(QUOTE_MAX_CHARS).collect::<String>();
    for (marks, meaning, remedy) in MEANINGS {
        let fits = |line: &&&str| marks.iter().all(|mark| line.contains(mark));
        if let Some(line) = lines.iter().find(fits) {
            return Failure {
                message: format!("{meaning} (QEMU: {})", quote(line)),
                remedy: Some(remedy.to_owned()),
                port_taken: marks[0].contains("forwarding rule"),
            };
        }
    }
    let message = lines.last().map_or_else(
        || format!("it ended with {ending} and said nothing"),
        |line| format!("it said \"{}\"", quote(line)),
    );
    Failure {
        message,
        remedy: None,
        port_taken: false,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn what_qemu_says_is_turned_into_what_it_means() {
        let said = [
            "qemu-system-x86_64: -netdev user,id=net0,hostfwd=tcp:127.0.0.1:80-:80: Could not set up host forwarding rule 'tcp:127.0.0.1:80-:80'",
            "qemu-system-x86_64: -device virtio-blk-pci,drive=disk0: Failed to get \"write\" lock\nIs another process using the image [/a.raw]?",
            "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory",
            "qemu-system-x86_64: Error loading uncompressed kernel without PVH ELF Note",
            "qemu-system-x86_64: -blockdev driver=raw: Could not open '/gone.raw': No such file or directory",
            "qemu-system-x86_64: warning: host doesn't support requested feature\nqemu-system-x86_64: -device x: 'x' is not a valid device model name",
            "",
        ];
        let mut story = String::new();
        for text in said {
            let failure = explain(text, "status 1");
            let _ = writeln!(
                story,
                "{}\n  -> {}",
                failure.message,
                failure.remedy.unwrap_or_default()
            );
        }
        insta::assert_snapshot!(story, @r#"
    a forwarded port is in use by another program (QEMU: -netdev user,id=net0,hostfwd=tcp:127.0.0.1:80-:80: Could not set up host forwarding rule 'tcp:127.0.0.1:80-:80')
      -> Stop that program, choose another port, or leave the port empty: a free one is chosen then.
    a disk image is in use by another machine (QEMU: -device virtio-blk-pci,drive=disk0: Failed to get "write" lock)
      -> Stop that machine first, or run on an overlay of the image.
    this computer has not enough memory free for it (QEMU: cannot set up guest memory 'pc.ram': Cannot allocate memory)
      -> Give the machine less memory, or stop another one.
    the kernel is no kernel that QEMU can load (QEMU: Error loading uncompressed kernel without PVH ELF Note)
      -> Choose another guest kernel, and build the appliance again.
    a disk image is not there any more (QEMU: -blockdev driver=raw: Could not open '/gone.raw': No such file or directory)
      -> Build the appliance again.
    it said "-device x: 'x' is not a valid device model name"
      -> 
    it ended with status 1 and said nothing
      ->
    "#);
    }
}
