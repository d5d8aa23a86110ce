//! Kernels, modules and packages made for a test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_util::sync::CancellationToken;
use windlass_library::{Error, Kernel, Library};

/// A library in a folder of its own, with room beside it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub library: Library,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::open(folder.path().join("home")).unwrap();
        Self { folder, library }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn add(&self, path: &Path) -> Result<Kernel, Error> {
        self.library
            .add_kernel(path, &mut |_| (), &CancellationToken::new())
    }

    /// All paths in the library, sorted; folders end in a slash.
    pub fn tree(&self) -> Vec<String> {
        let mut paths = Vec::new();
        collect(self.library.home(), "", &mut paths);
        paths.sort();
        paths
    }
}

/// The variable that tells a test it is the child, and where the library is.
const CHILD: &str = "WINDLASS_TEST_CHILD_HOME";

/// The library's home, in a process that was started [`again`].
pub fn child_home() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}

/// The same test as a process of its own.
pub fn again(test: &str, home: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test])
        .env(CHILD, home)
        .stdout(std::process::Stdio::null());
    command
}

/// Waits for something that comes to be sooner or later.
pub fn until(mut is: impl FnMut() -> bool) {
    // Only so that a test which fails also ends.
    for _ in 0..20_000 {
        if is() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("it does not come to be");
}

/// Writes a package as a folder: its manifest, and these files.
pub fn package(place: &Place, folder: &str, manifest: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let manifest = format!("title: A test\nauthor: Anonymous\n{manifest}");
    place.write(&format!("{folder}/meta/package.yaml"), manifest.as_bytes());
    for (path, content) in files {
        place.write(&format!("{folder}/{path}"), content);
    }
    place.path(folder)
}

/// Packs a folder as an `.mpm`.
pub fn mpm(place: &Place, folder: &Path) -> PathBuf {
    let archive = folder.with_extension("mpm");
    let status = Command::new("tar")
        .args(["-czf"])
        .arg(&archive)
        .arg("-C")
        .arg(folder)
        .arg(".")
        .status()
        .unwrap();
    assert!(status.success(), "{}", place.folder.path().display());
    archive
}

fn collect(folder: &Path, at: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{at}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), paths);
            paths.push(path + "/");
        } else {
            paths.push(path);
        }
    }
}

/// An error as a person sees it. Names of temporary folders are left out.
pub fn show_error(error: &Error, folder: &Path) -> String {
    let mut lines = vec![format!("error: {error}")];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        lines.push(format!("caused by: {cause}"));
        source = cause.source();
    }
    lines.extend(error.hint().map(|hint| format!("hint: {hint}")));
    lines.join("\n").replace(&folder.display().to_string(), "…")
}

fn put(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    if bytes.len() < offset + part.len() {
        bytes.resize(offset + part.len(), 0);
    }
    bytes[offset..offset + part.len()].copy_from_slice(part);
}

/// A Linux kernel's header, with a body of 4 KiB.
pub fn linux_kernel(version: &str) -> Vec<u8> {
    let mut bytes = vec![0; 0x200 * 2 + 4096];
    put(&mut bytes, 0, b"MZ");
    put(&mut bytes, 0x1f1, &[1]);
    put(&mut bytes, 0x1f4, &256_u32.to_le_bytes());
    put(&mut bytes, 0x1fe, &[0x55, 0xaa]);
    put(&mut bytes, 0x202, b"HdrS\x0f\x02");
    put(&mut bytes, 0x20e, &0x100_u16.to_le_bytes());
    put(&mut bytes, 0x211, &[1]);
    put(&mut bytes, 0x236, &[0x3f]);
    put(
        &mut bytes,
        0x300,
        format!("{version} (somebody) #1 SMP\0").as_bytes(),
    );
    bytes
}

/// An OSv kernel's header and greeting.
pub fn osv_kernel(version: &str) -> Vec<u8> {
    let mut notes = Vec::new();
    for (kind, value) in [(6_u32, b"osv\0".as_slice()), (18, &[0; 8])] {
        for field in [4, u32::try_from(value.len()).unwrap(), kind] {
            notes.extend(field.to_le_bytes());
        }
        notes.extend(b"Xen\0");
        notes.extend(value);
    }
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    put(&mut bytes, 16, &2_u16.to_le_bytes());
    put(&mut bytes, 18, &62_u16.to_le_bytes());
    put(&mut bytes, 32, &64_u64.to_le_bytes());
    put(&mut bytes, 56, &1_u16.to_le_bytes());
    put(&mut bytes, 64, &4_u32.to_le_bytes());
    put(&mut bytes, 72, &128_u64.to_le_bytes());
    put(&mut bytes, 96, &(notes.len() as u64).to_le_bytes());
    put(&mut bytes, 128, &notes);
    bytes.extend(format!("OSv {version}\0").as_bytes());
    bytes
}

/// An OSv loader image whose kernel is in a layout that is not known.
pub fn osv_loader() -> Vec<u8> {
    let mut bytes = vec![0; (64 << 10) + (32 << 10)];
    put(&mut bytes, 0, &[0xea, 0x5e, 0x7c, 0, 0]);
    put(&mut bytes, 0x10, &1_u16.to_le_bytes());
    put(&mut bytes, 0x1fe, &[0x55, 0xaa]);
    put(&mut bytes, 64 << 10, b"\x7fELF\x01\x01\x01");
    bytes
}

/// A kernel module that says what it depends on.
pub fn module(depends: &str) -> Vec<u8> {
    const HEADER: usize = 64;
    let fields = format!("license=GPL\0depends={depends}\0name=test\0");
    let names = b"\0.modinfo\0.shstrtab\0";
    let names_at = HEADER + fields.len();
    let sections_at = names_at + names.len();
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    put(&mut bytes, 16, &1_u16.to_le_bytes());
    put(&mut bytes, 18, &62_u16.to_le_bytes());
    put(&mut bytes, 20, &1_u32.to_le_bytes());
    put(&mut bytes, 40, &(sections_at as u64).to_le_bytes());
    for (at, value) in [(52, 64_u16), (58, 64), (60, 3), (62, 2)] {
        put(&mut bytes, at, &value.to_le_bytes());
    }
    bytes.resize(HEADER, 0);
    bytes.extend(fields.as_bytes());
    bytes.extend(names);
    bytes.resize(sections_at + 64, 0);
    for (name, kind, offset, size) in [
        (1_u32, 1_u32, HEADER, fields.len()),
        (10, 3, names_at, names.len()),
    ] {
        let mut section = vec![0; 64];
        put(&mut section, 0, &name.to_le_bytes());
        put(&mut section, 4, &kind.to_le_bytes());
        put(&mut section, 24, &(offset as u64).to_le_bytes());
        put(&mut section, 32, &(size as u64).to_le_bytes());
        bytes.extend(section);
    }
    bytes
}

/// Makes a package file of a folder; `None` where there is no `dpkg-deb`.
pub fn debian_package(place: &Place, name: &str, files: &[(&str, Vec<u8>)]) -> Option<PathBuf> {
    let root = place.path(name);
    for (path, content) in files {
        place.write(&format!("{name}/{path}"), content);
    }
    let control = format!(
        "Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: Nobody <nobody@localhost>\nDescription: test\n"
    );
    place.write(&format!("{name}/DEBIAN/control"), control.as_bytes());
    let package = place.path(&format!("{name}.deb"));
    let built = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .arg(root)
        .arg(&package)
        .output();
    let Ok(output) = built else {
        eprintln!("skipped: no dpkg-deb here");
        return None;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(package)
}

/// The files of a kernel package with a few drivers.
pub fn kernel_package_files(version: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![(format!("boot/vmlinuz-{version}"), linux_kernel(version))];
    files.extend(module_files(version));
    files
}

/// The modules of a kernel package; one more is not wanted, and one only because another depends on it.
pub fn module_files(version: &str) -> Vec<(String, Vec<u8>)> {
    let folder = format!("lib/modules/{version}");
    [
        (
            "kernel/drivers/block/virtio_blk.ko",
            module("virtio,virtio-ring"),
        ),
        ("kernel/drivers/virtio/virtio.ko", module("")),
        ("kernel/drivers/virtio/virtio_ring.ko", module("")),
        (
            "kernel/drivers/net/virtio_net.ko",
            module("net_failover,virtio"),
        ),
        ("kernel/drivers/net/net_failover.ko", module("failover")),
        ("kernel/net/core/failover.ko", module("")),
        ("kernel/drivers/usb/usbcore.ko", module("")),
        ("modules.builtin", b"kernel/fs/ext4/ext4.ko\n".to_vec()),
    ]
    .into_iter()
    .map(|(path, content)| (format!("{folder}/{path}"), content))
    .collect()
}

/// The same with names borrowed.
pub fn borrowed(files: &[(String, Vec<u8>)]) -> Vec<(&str, Vec<u8>)> {
    files
        .iter()
        .map(|(path, content)| (path.as_str(), content.clone()))
        .collect()
}
