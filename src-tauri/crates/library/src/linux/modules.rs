//! Drivers: which ones, and in which order they are loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::PathBuf;

use goblin::elf::Elf;

/// The drivers that a micro-VM needs, as far as they are not built in, in the order in which they are wanted; what they
/// depend on comes before them.
pub(super) const WANTED: [&str; 17] = [
    // The bus, disks, network, console.
    "virtio_ring",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio",
    "virtio_pci",
    "virtio_mmio",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    // The root file system, where a general kernel has it as a module.
    "crc32c_generic",
    "ext4",
    // The power button.
    "button",
    "evdev",
    // Folders that are shared or laid over each other.
    "overlay",
    "fuse",
    "virtiofs",
];

/// The drivers without which no appliance boots.
const ESSENTIAL: [&str; 4] = ["virtio_pci", "virtio_blk", "virtio_net", "ext4"];

/// A module larger than this is not one of ours.
pub(super) const MODULE_BYTES_MAX: u64 = 64 << 20;

/// The kernel's own build packs modules with 1 MiB; `xz -9` needs 65 MiB.
const XZ_MAX_KIBIBYTES: u32 = 128 << 10;

/// The modules of a kernel, in load order, in some temporary folder.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// The modules.
    pub(crate) files: Vec<Module>,
    /// The essential drivers that are neither a module nor built in.
    pub(crate) lacking: Vec<String>,
}

/// One module, uncompressed.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    /// The name of its file, `virtio_blk.ko`.
    pub(crate) file_name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The names of the modules that it depends on.
    pub(super) depends: Vec<String>,
}

impl Modules {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The names of their files, in load order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.files
            .iter()
            .map(|module| module.file_name.clone())
            .collect()
    }
}

/// How a module's file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// A module's name as the kernel has it, from a path such as `…/virtio-rng.ko.xz`.
pub(super) fn module_name(path: &str) -> Option<(String, Compression)> {
    let file_name = path.rsplit('/').next()?;
    let endings = [
        (".ko", Compression::None),
        (".ko.gz", Compression::Gzip),
        (".ko.xz", Compression::Xz),
        (".ko.zst", Compression::Zstd),
    ];
    endings.into_iter().find_map(|(ending, compression)| {
        file_name
            .strip_suffix(ending)
            .map(|stem| (stem.replace('-', "_"), compression))
    })
}

/// Reads a module, uncompressing it; never more than [`MODULE_BYTES_MAX`].
pub(super) fn read_module(file: &mut impl Read, compression: Compression) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let count = match compression {
        Compression::None => file.take(MODULE_BYTES_MAX + 1).read_to_end(&mut bytes)?,
        Compression::Gzip => flate2::read::GzDecoder::new(file)
            .take(MODULE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?,
        Compression::Zstd => ruzstd::decoding::StreamingDecoder::new(file)
            .map_err(io::Error::other)?
            .take(MODULE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?,
        Compression::Xz => lzma_rust2::XzReader::new_mem_limit(file, true, XZ_MAX_KIBIBYTES)
            .take(MODULE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?,
    };
    if count as u64 > MODULE_BYTES_MAX {
        return Err(io::Error::other("a module of more than 64 MiB"));
    }
    Ok(bytes)
}

/// The modules that a module depends on: the field `depends=a,b` of its section `.modinfo`.
pub(super) fn depends(module: &[u8]) -> Result<Vec<String>, String> {
    let elf = Elf::parse(module).map_err(|error| error.to_string())?;
    let section = elf
        .section_headers
        .iter()
        .find(|section| elf.shdr_strtab.get_at(section.sh_name) == Some(".modinfo"))
        .ok_or("it has no section .modinfo")?;
    let range = section
        .file_range()
        .ok_or("its section .modinfo is empty")?;
    let fields = module
        .get(range)
        .ok_or("its section .modinfo lies outside of it")?;
    let list = fields
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"depends="))
        .unwrap_or_default();
    Ok(String::from_utf8_lossy(list)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect())
}

/// The names that are depended on and not there.
pub(super) fn missing(modules: &BTreeMap<String, Module>) -> BTreeSet<String> {
    modules
        .values()
        .flat_map(|module| &module.depends)
        .filter(|name| !modules.contains_key(*name))
        .cloned()
        .collect()
}

/// Puts modules into load order: each after all that it depends on, otherwise as [`WANTED`] has them.
pub(super) fn in_load_order(
    mut modules: BTreeMap<String, Module>,
    builtin: &BTreeSet<String>,
) -> Modules {
    let lacking = ESSENTIAL
        .iter()
        .filter(|name| {
            !builtin.is_empty() && !modules.contains_key(**name) && !builtin.contains(**name)
        })
        .map(|name| (*name).to_owned())
        .collect();
    let mut files = Vec::new();
    for name in WANTED {
        load(name, &mut modules, &mut files);
    }
    Modules { files, lacking }
}

/// Takes a module and what it depends on out of `modules`. A circle, which no kernel has, would end by itself.
fn load(name: &str, modules: &mut BTreeMap<String, Module>, files: &mut Vec<Module>) {
    let Some(module) = modules.remove(name) else {
        return;
    };
    for dependency in &module.depends {
        load(dependency, modules, files);
    }
    files.push(module);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, depends: &[&str]) -> (String, Module) {
        let module = Module {
            file_name: format!("{name}.ko"),
            path: PathBuf::new(),
            depends: depends.iter().map(|name| (*name).to_owned()).collect(),
        };
        (name.to_owned(), module)
    }

    #[test]
    fn a_module_is_loaded_after_what_it_depends_on() {
        let modules = BTreeMap::from([
            module("virtio_net", &["net_failover", "virtio", "virtio_ring"]),
            module("net_failover", &["failover"]),
            module("failover", &[]),
            module("virtio", &["virtio_ring"]),
            module("virtio_ring", &[]),
            module("virtio_rng", &["rng_core", "virtio"]),
            module("rng_core", &[]),
        ]);
        assert!(missing(&modules).is_empty());
        let builtin = BTreeSet::from(["virtio_pci".to_owned(), "ext4".to_owned()]);
        let modules = in_load_order(modules, &builtin);
        let names = modules.names().join(" ");
        insta::assert_snapshot!(names, @"virtio_ring.ko virtio.ko failover.ko net_failover.ko virtio_net.ko rng_core.ko virtio_rng.ko");
        assert_eq!(modules.lacking, ["virtio_blk"]);
    }

    #[test]
    fn a_modules_name_is_told_from_its_file() {
        let name =
            |path| module_name(path).map(|(name, compression)| format!("{name} {compression:?}"));
        assert_eq!(
            name("./lib/modules/6.8/kernel/virtio-rng.ko.zst").as_deref(),
            Some("virtio_rng Zstd")
        );
        assert_eq!(name("overlay.ko").as_deref(), Some("overlay None"));
        assert_eq!(name("modules.builtin"), None);
    }

    #[test]
    fn what_is_no_module_has_no_dependencies() {
        assert!(depends(b"not an ELF file").is_err());
        assert!(depends(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]).is_err());
    }

    #[test]
    fn compressed_modules_are_read() {
        let content: Vec<u8> = (0..100_000_u32)
            .flat_map(|number| (number % 977).to_le_bytes())
            .collect();
        for (program, compression) in [
            ("gzip", Compression::Gzip),
            ("xz", Compression::Xz),
            ("zstd", Compression::Zstd),
        ] {
            let plain = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(plain.path(), &content).unwrap();
            // The same options as the kernel's own build has.
            let options: &[&str] = if program == "xz" {
                &["--check=crc32", "--lzma2=dict=1MiB"]
            } else {
                &[]
            };
            let Ok(output) = std::process::Command::new(program)
                .args(options)
                .arg("-c")
                .arg(plain.path())
                .output()
            else {
                eprintln!("skipped: no {program} here");
                continue;
            };
            assert!(output.status.success());
            let read = read_module(&mut output.stdout.as_slice(), compression).unwrap();
            assert!(read == content, "{program}");
            assert!(read_module(&mut &output.stdout[..200], compression).is_err());
        }
    }
}
