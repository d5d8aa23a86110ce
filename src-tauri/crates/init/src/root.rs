//! The disk that holds the root file system.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount as mount_file_system};

/// Where the root is mounted until it becomes the root.
pub(crate) const NEW_ROOT: &str = "/windlass-root";

/// A wanted root that begins so is a partition by its name in the disk's table.
const BY_NAME: &str = "PARTLABEL=";

/// A wanted root that begins so is a folder of the host's, by its tag.
pub(crate) const SHARED: &str = "virtiofs:";

/// Disks appear a moment after their driver.
const DISK_TIMEOUT: Duration = Duration::from_secs(3);

/// The superblock of ext2, ext3 and ext4: its magic number, the logarithm of its blocks' size, its revision.
const SUPERBLOCK_OFFSET: u64 = 1024;
const MAGIC_OFFSET: usize = 0x38;
const BLOCK_SIZE_OFFSET: usize = 0x18;
const REVISION_OFFSET: usize = 0x4C;
const EXT_MAGIC: [u8; 2] = [0x53, 0xef];

/// What `/sys/block` has besides disks.
const NO_DISKS: [&str; 6] = ["loop", "ram", "zram", "fd", "sr", "dm-"];

/// Finds the first disk that holds ext4, or its first partition that does; says what was found where none does.
pub(crate) fn find(wanted: Option<&str>) -> Result<PathBuf, String> {
    let start = Instant::now();
    loop {
        let block = Path::new("/sys/block");
        let looked_at = match wanted.map(|wanted| (wanted, wanted.strip_prefix(BY_NAME))) {
            Some((_, Some(name))) => partitions_named(block, name),
            Some((device, None)) => vec![PathBuf::from(device)],
            None => candidates(block),
        };
        if let Some(device) = looked_at.iter().find(|device| holds_ext4(device)) {
            return Ok(device.clone());
        }
        // A disk without a root file system will not get one by waiting.
        let is_there = looked_at.iter().any(|device| device.exists());
        if is_there || start.elapsed() > DISK_TIMEOUT {
            return Err(
                match wanted.and_then(|wanted| wanted.strip_prefix(BY_NAME)) {
                    Some(name) if looked_at.is_empty() => format!("no disk has a partition {name}"),
                    _ => describe(&looked_at),
                },
            );
        }
        sleep(Duration::from_millis(10));
    }
}

/// The partitions with a name, of all disks, as device files.
fn partitions_named(block: &Path, wanted: &str) -> Vec<PathBuf> {
    let line = format!("PARTNAME={wanted}");
    let is_named = |disk: &str, partition: &str| {
        let path = block.join(disk).join(partition).join("uevent");
        fs::read_to_string(path).is_ok_and(|text| text.lines().any(|found| found == line))
    };
    let mut found = Vec::new();
    for disk in disks(block) {
        let named = partitions(block, &disk)
            .into_iter()
            .filter(|partition| is_named(&disk, partition));
        found.extend(named.map(|name| Path::new("/dev").join(name)));
    }
    found
}

/// The disks, the likeliest first.
fn disks(block: &Path) -> Vec<String> {
    let is_disk = |name: &String| !NO_DISKS.iter().any(|prefix| name.starts_with(prefix));
    let mut disks: Vec<String> = names(block).into_iter().filter(is_disk).collect();
    // vda before sda: a data disk of another kind does not come before the image.
    disks.sort_by_key(|name| (!name.starts_with("vd"), name.len(), name.clone()));
    disks
}

fn partitions(block: &Path, disk: &str) -> Vec<String> {
    let mut partitions: Vec<String> = names(&block.join(disk))
        .into_iter()
        .filter(|name| name.starts_with(disk))
        .collect();
    partitions.sort_by_key(|name| (name.len(), name.clone()));
    partitions
}

/// The first disk and its partitions, as device files.
fn candidates(block: &Path) -> Vec<PathBuf> {
    let Some(disk) = disks(block).into_iter().next() else {
        return Vec::new();
    };
    let partitions = partitions(block, &disk);
    std::iter::once(disk)
        .chain(partitions)
        .map(|name| Path::new("/dev").join(name))
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn holds_ext4(device: &Path) -> bool {
    let mut superblock = [0; 0x50];
    let is_read = File::open(device)
        .and_then(|file| file.read_exact_at(&mut superblock, SUPERBLOCK_OFFSET))
        .is_ok();
    // Two bytes alone come about by chance as well, such as in a boot loader.
    is_read
        && superblock[MAGIC_OFFSET..].starts_with(&EXT_MAGIC)
        && superblock[BLOCK_SIZE_OFFSET] <= 6
        && superblock[REVISION_OFFSET..] == [1, 0, 0, 0]
}

fn describe(looked_at: &[PathBuf]) -> String {
    if looked_at.is_empty() {
        return "the machine has no disk that this kernel can drive".to_owned();
    }
    let names: Vec<String> = looked_at
        .iter()
        .map(|device| device.display().to_string())
        .collect();
    format!("no ext4 file system on {}", names.join(", "))
}

/// Mounts a folder of the host's, which is only read, with a layer in memory above it that takes what is written.
pub(crate) fn mount_shared(tag: &str) -> Result<(), String> {
    const LOWER: &str = "/windlass-lower";
    const UPPER: &str = "/windlass-upper";
    let context = |error: &dyn std::fmt::Display| {
        format!("the host's folder {tag} cannot be mounted as the root: {error}")
    };
    for folder in [LOWER, UPPER, NEW_ROOT] {
        fs::create_dir_all(folder).map_err(|error| context(&error))?;
    }
    mount_file_system(tag, LOWER, "virtiofs", MountFlags::RDONLY, None)
        .map_err(|error| context(&error))?;
    mount_file_system("tmpfs", UPPER, "tmpfs", MountFlags::empty(), None)
        .map_err(|error| context(&error))?;
    for folder in ["upper", "work"] {
        fs::create_dir_all(Path::new(UPPER).join(folder)).map_err(|error| context(&error))?;
    }
    let layers =
        c"lowerdir=/windlass-lower,upperdir=/windlass-upper/upper,workdir=/windlass-upper/work";
    mount_file_system("overlay", NEW_ROOT, "overlay", MountFlags::empty(), layers)
        .map_err(|error| context(&error))
}

/// Mounts the root; says whether it can be written.
pub(crate) fn mount(device: &Path) -> Result<bool, String> {
    let context =
        |error: &dyn std::fmt::Display| format!("{} cannot be mounted: {error}", device.display());
    fs::create_dir_all(NEW_ROOT).map_err(|error| context(&error))?;
    match mount_file_system(device, NEW_ROOT, "ext4", MountFlags::empty(), None) {
        Ok(()) => Ok(true),
        // A disk that several machines share is read-only.
        Err(Errno::ROFS | Errno::ACCESS) => {
            mount_file_system(device, NEW_ROOT, "ext4", MountFlags::RDONLY, None)
                .map_err(|error| context(&error))?;
            Ok(false)
        }
        Err(error) => Err(context(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_virtio_disk_and_its_partitions_are_looked_at() {
        let folder =
            std::env::temp_dir().join(format!("windlass-init-root-{}", std::process::id()));
        for path in [
            "loop0",
            "sda",
            "sr0",
            "vdb/vdb1",
            "vda/vda10",
            "vda/vda2",
            "vda/queue",
        ] {
            fs::create_dir_all(folder.join(path)).unwrap();
        }
        for (partition, name) in [
            ("vda/vda2", "esp"),
            ("vda/vda10", "root"),
            ("vdb/vdb1", "root"),
        ] {
            let text = format!("DEVNAME=x\nPARTNAME={name}\n");
            fs::write(folder.join(partition).join("uevent"), text).unwrap();
        }
        let roots = partitions_named(&folder, "root");
        assert_eq!(roots, ["/dev/vda10", "/dev/vdb1"].map(PathBuf::from));
        let found = candidates(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            found,
            ["/dev/vda", "/dev/vda2", "/dev/vda10"].map(PathBuf::from)
        );
        assert_eq!(
            describe(&found),
            "no ext4 file system on /dev/vda, /dev/vda2, /dev/vda10"
        );
        assert!(candidates(&folder).is_empty());
    }

    #[test]
    fn ext4_is_told_by_its_magic_number() {
        let path = std::env::temp_dir().join(format!("windlass-init-ext-{}", std::process::id()));
        let mut bytes = vec![0; 2048];
        fs::write(&path, &bytes).unwrap();
        assert!(!holds_ext4(&path));
        bytes[1080..1082].copy_from_slice(&EXT_MAGIC);
        fs::write(&path, &bytes).unwrap();
        assert!(!holds_ext4(&path), "two bytes are not enough");
        bytes[1024 + REVISION_OFFSET] = 1;
        fs::write(&path, &bytes).unwrap();
        assert!(holds_ext4(&path));
        fs::remove_file(&path).unwrap();
    }
}
