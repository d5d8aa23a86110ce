//! The kernel modules in the initramfs.

use std::fs::{self, File};

use rustix::io::Errno;
use rustix::system::finit_module;
use windlass_guest::report::Report;

use crate::console::Console;

/// Lists the modules, one path per line, what is needed first.
const ORDER: &str = "/modules/order";

/// Loads every listed module that is there. One that the kernel will not have is a warning: what needs it says more.
pub(crate) fn load_all(console: &mut Console) {
    let Ok(order) = fs::read_to_string(ORDER) else {
        return;
    };
    for path in paths(&order) {
        if let Err(reason) = load(&path) {
            let message = format!("the kernel module {path} was not loaded: {reason}");
            console.report(&Report::Warning { message });
        }
        // The initramfs stays in memory for as long as the guest runs.
        let _ = fs::remove_file(&path);
    }
}

/// The paths in the list. A relative one is seen from the list's own folder.
fn paths(order: &str) -> Vec<String> {
    order
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            if line.starts_with('/') {
                line.to_owned()
            } else {
                format!("/modules/{line}")
            }
        })
        .collect()
}

fn load(path: &str) -> Result<(), String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    match finit_module(&file, c"", 0) {
        // Another one brought it in or it is built into this kernel; or the machine has no such device.
        Ok(()) | Err(Errno::EXIST | Errno::NODEV) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_may_have_comments_and_relative_paths() {
        let order = "# network\n/modules/virtio.ko\n\n virtio_net.ko \n";
        assert_eq!(
            super::paths(order),
            ["/modules/virtio.ko", "/modules/virtio_net.ko"]
        );
    }
}
