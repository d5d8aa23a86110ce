//! What Nova has to know of an image to give it a computer that its guest can drive.

use std::collections::BTreeMap;

/// Whose kernel is in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guest {
    /// The unikernel. It drives virtio over PCI, and finds its disk behind a BIOS; a config drive on SATA it does not see.
    Osv,
    /// Linux; boots by BIOS and UEFI.
    Linux,
}

/// Glance's properties for images of a guest.
pub fn for_guest(guest: Guest) -> BTreeMap<String, String> {
    let mut pairs = vec![
        ("hw_disk_bus", "virtio"),
        ("hw_vif_model", "virtio"),
        ("hw_machine_type", "pc"),
        ("hw_firmware_type", "bios"),
    ];
    match guest {
        Guest::Osv => pairs.extend([("windlass_guest", "osv"), ("img_config_drive", "optional")]),
        Guest::Linux => pairs.extend([
            ("windlass_guest", "linux"),
            ("os_type", "linux"),
            ("hw_rng_model", "virtio"),
        ]),
    }
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
