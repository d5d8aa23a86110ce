//! Every kind of disk that a plan becomes, with loaders that only look like real ones, and what other tools say of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_util::sync::CancellationToken;
use windlass_compose::{
    Build, DigestCache, Error, FileList, LinuxBoot, Plan, Progress, Recipe, build_or_update,
};
use windlass_guest::{GuestOs, RootFs};
use windlass_image::convert::{ConvertOptions, Format, convert};
use windlass_image::{FileSystemKind, GuestPath, Image, StatKind, Unwatched, file_system};

use crate::support::{Workshop, build_quietly};

/// What a disk is for, what is on it, and whether it boots by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub guest: GuestOs,
    pub root_fs: RootFs,
    pub boots: bool,
}

const fn layout(guest: GuestOs, root_fs: RootFs, boots: bool) -> Layout {
    Layout {
        guest,
        root_fs,
        boots,
    }
}

pub const LAYOUTS: [Layout; 6] = [
    layout(GuestOs::Osv, RootFs::Rofs, false),
    layout(GuestOs::Osv, RootFs::Ext4, false),
    layout(GuestOs::Linux, RootFs::Ext4, false),
    layout(GuestOs::Osv, RootFs::Rofs, true),
    layout(GuestOs::Osv, RootFs::Ext4, true),
    layout(GuestOs::Linux, RootFs::Ext4, true),
];

impl Layout {
    pub fn plan(self, workshop: &Workshop) -> Result<Plan, Error> {
        workshop.plan(self.guest, self.root_fs)
    }

    /// How the image is made at `destination`; what boots it lies in `parts`.
    pub fn recipe(self, destination: &Path, parts: &Path, command: &str) -> Recipe {
        let recipe = Recipe {
            destination: destination.to_owned(),
            command_line: windlass_guest::CommandLine::parse(command).unwrap(),
            loader: None,
            boot: None,
            size_bytes: None,
            filler: None,
        };
        match (self.boots, self.guest) {
            (false, _) => recipe,
            (true, GuestOs::Osv) => Recipe {
                loader: Some(part(parts, "loader.img", &osv_loader())),
                ..recipe
            },
            (true, GuestOs::Linux) => Recipe {
                boot: Some(linux_boot(parts)),
                ..recipe
            },
        }
    }

    pub fn update(
        self,
        workshop: &Workshop,
        recipe: &Recipe,
        cache: &DigestCache,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Build, Error> {
        let plan = self.plan(workshop)?;
        let cancel = CancellationToken::new();
        build_or_update(&plan, recipe, cache, progress, &cancel)
    }
}

/// Writes a file that is not there yet: one that is written again would count as another.
fn part(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    if !path.exists() {
        fs::create_dir_all(folder).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    path
}

/// A loader as OSv builds it: boot sector, room for the command line, a kernel of two units.
fn osv_loader() -> Vec<u8> {
    let mut loader = vec![0; (64 << 10) + 2 * (32 << 10)];
    loader[..5].copy_from_slice(&[0xEA, 0x5E, 0x7C, 0x00, 0x00]);
    loader[0x10] = 2;
    loader[0x1B8..0x1BB].copy_from_slice(b"VSO");
    loader[510..512].copy_from_slice(&[0x55, 0xAA]);
    loader[64 << 10..].fill(0xCC);
    loader
}

/// Parts that look like GRUB's, and a kernel that is none.
pub fn linux_boot(folder: &Path) -> LinuxBoot {
    let mut boot_sector = vec![0x90; 512];
    boot_sector[0] = 0xEB;
    boot_sector[510..].copy_from_slice(&[0x55, 0xAA]);
    let mut core = vec![0xC0; 1024];
    core[508..512].copy_from_slice(&[1, 0, 0x20, 0x08]);
    LinuxBoot {
        boot_sector: part(folder, "boot.img", &boot_sector),
        core: part(folder, "core.img", &core),
        efi_program: part(folder, "grubx64.efi", b"MZ"),
        kernel: part(folder, "vmlinuz", &vec![0x4C; 100_000]),
        initramfs: part(folder, "initramfs", &[0x30; 512]),
    }
}

/// Kind, mode where there is one, and content of each path.
pub type Contents = BTreeMap<GuestPath, (Option<u32>, String)>;

/// What a guest finds in an image.
pub fn contents(image: &Path) -> Contents {
    let image = Image::open(image).unwrap();
    let root = image.root().unwrap();
    let mut found = BTreeMap::new();
    for stat in file_system::walk(root.as_ref()) {
        let stat = stat.unwrap();
        let what = match &stat.kind {
            StatKind::Directory => "directory".to_owned(),
            StatKind::Symlink { target } => format!("-> {}", target.escape_ascii()),
            StatKind::Special { what } => (*what).to_owned(),
            StatKind::File { size_bytes } => {
                let mut bytes = vec![0; usize::try_from(*size_bytes).unwrap()];
                let count = root.read(&stat, 0, &mut bytes).unwrap();
                assert_eq!(count, bytes.len());
                blake3::hash(&bytes).to_hex().to_string()
            }
        };
        found.insert(stat.path, (stat.mode, what));
    }
    found
}

/// What is in a folder of this computer, as it should be in an image.
pub fn contents_of_folder(folder: &Path) -> BTreeMap<GuestPath, String> {
    let mut found = BTreeMap::new();
    collect(folder, &GuestPath::root(), &mut found);
    found
}

fn collect(folder: &Path, at: &GuestPath, found: &mut BTreeMap<GuestPath, String>) {
    use std::os::unix::ffi::OsStrExt;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name().as_bytes()).unwrap();
        let kind = entry.file_type().unwrap();
        let what = if kind.is_dir() {
            collect(&entry.path(), &path, found);
            "directory".to_owned()
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            format!("-> {}", target.as_os_str().as_bytes().escape_ascii())
        } else {
            blake3::hash(&fs::read(entry.path()).unwrap())
                .to_hex()
                .to_string()
        };
        found.insert(path, what);
    }
}

/// The image is as if it were built anew, holds what is in the layer's folder, and what lies beside it fits.
pub fn check(layout: Layout, workshop: &Workshop, layer: &Path, recipe: &Recipe, built: &Build) {
    let bytes = fs::read(&built.path).unwrap();
    let digest = blake3::hash(&bytes).to_hex().to_string();
    assert_eq!(built.digest, digest, "the digest is of the image");
    assert_eq!(built.size_bytes, bytes.len() as u64);
    drop(bytes);
    let updated = contents(&built.path);
    let list = FileList::read(&built.path).unwrap();
    assert_eq!(list.digest, built.digest);
    let mut in_folder = contents_of_folder(layer);
    in_folder.retain(|path, _| !path.to_string().starts_with("/meta"));
    for (path, what) in &in_folder {
        let found = updated.get(path).map(|(_, what)| what);
        assert_eq!(found, Some(what), "{path}");
    }
    check_by_others(&built.path, &in_folder);

    let folder = tempfile::tempdir().unwrap();
    let anew = folder.path().join("anew.img");
    let recipe = Recipe {
        destination: anew.clone(),
        ..recipe.clone()
    };
    let full = build_quietly(&layout.plan(workshop).unwrap(), &recipe).unwrap();
    assert_eq!(updated, contents(&anew));
    let full_list = FileList::read(&anew).unwrap();
    assert_eq!(list.files, full_list.files);
    assert_eq!(
        (list.command_line, built.file_count),
        (full_list.command_line, full.file_count)
    );
    let lines = |path: &Path| {
        let image = Image::open(path).unwrap();
        (
            image.osv().cloned(),
            image.linux().map(|it| it.command_line.clone()),
            image.boots(),
        )
    };
    assert_eq!(lines(&built.path), lines(&anew));
}

/// Finds a tool that may be where only root looks.
pub fn tool(name: &str) -> Option<Command> {
    let found = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|file| file.exists());
    if found.is_none() {
        eprintln!("skipped: {name} is not installed (`./dev setup`)");
    }
    found.map(Command::new)
}

/// What the distribution's tools say: the ext4 root is sound for `e2fsck` and `debugfs` finds the files in it.
pub fn check_by_others(path: &Path, expected: &BTreeMap<GuestPath, String>) {
    let image = Image::open(path).unwrap();
    let volume = image.root_volume().unwrap();
    if volume.file_system != Some(FileSystemKind::Ext4) {
        return;
    }
    let mut at = OsString::from(path);
    at.push(format!("?offset={}", volume.start_bytes));
    if let Some(mut e2fsck) = tool("e2fsck") {
        let output = e2fsck.arg("-fn").arg(&at).output().unwrap();
        let words = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{words}");
    }
    if let Some(mut debugfs) = tool("debugfs") {
        let target = tempfile::tempdir().unwrap();
        let request = format!("rdump / {}", target.path().display());
        let output = debugfs.arg("-R").arg(request).arg(&at).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let found = contents_of_folder(target.path());
        for (path, what) in expected {
            assert_eq!(found.get(path), Some(what), "{path} by debugfs");
        }
    }
}

/// The same disk as qcow2 is sound for `qemu-img`, which finds nothing different in it.
pub fn check_as_qcow2(path: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let qcow2 = folder.path().join("disk.qcow2");
    let options = ConvertOptions::default();
    convert(path, &qcow2, Format::Qcow2, &options, &mut Unwatched).unwrap();
    let qemu_img = |arguments: &[&str], paths: &[&Path]| {
        if let Some(mut qemu_img) = tool("qemu-img") {
            let output = qemu_img.args(arguments).args(paths).output().unwrap();
            let words = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{words}");
        }
    };
    qemu_img(&["check", "-q"], &[&qcow2]);
    qemu_img(
        &["compare", "-f", "raw", "-F", "qcow2", "-q"],
        &[path, &qcow2],
    );
}
