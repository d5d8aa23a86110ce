//! What OSv's kernel supplies itself, from its `core/elf.cc` and README; and how its linker binds a library.

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::dynamic::{DT_BIND_NOW, DT_NULL};
use goblin::elf::program_header::{PT_DYNAMIC, ProgramHeader};

/// Each entry of a dynamic section is a tag and a value, of eight bytes each.
const DYNAMIC_ENTRY_BYTES: usize = 16;

/// Libraries that OSv's kernel supplies: a copy in the image is passed over.
pub const SUPPLIED: [&str; 13] = [
    "ld-linux-x86-64.so.2",
    "ld-musl-x86_64.so.1",
    "libaio.so.1",
    "libc.musl-x86_64.so.1",
    "libc.so.6",
    "libcrypt.so.1",
    "libdl.so.2",
    "libm.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so",
    "libxenstore.so.3.0",
];

/// Supplied by kernels that do not hide their C++ library, which those with hidden symbols do.
pub const SUPPLIED_UNLESS_HIDDEN: &str = "libstdc++.so.6";

/// Whether OSv's kernel supplies the library of this name.
pub fn is_supplied(name: &str) -> bool {
    SUPPLIED.contains(&name)
}

/// The same library, bound by OSv's linker when it is loaded and not name by name when it is called; nothing where that
/// is so already, or where there is no room to say it.
///
/// A part of the kernel that comes as a library (`/usr/lib/fs/libext.so` with `liblwext4.so`) is loaded before the program,
/// but a name that it calls for the first time later is looked up in the program, too: one that brings an `malloc` of its
/// own, as OpenFOAM does, would be called from within the file system. Linkers leave empty entries at the end of a
/// dynamic section; the first of them becomes `DT_BIND_NOW`.
pub fn bound_at_load(library: &[u8]) -> Option<Vec<u8>> {
    let context = Ctx::new(Container::Big, Endian::Little);
    let header = goblin::elf::Elf::parse_header(library).ok()?;
    let (offset, count) = (
        usize::try_from(header.e_phoff).ok()?,
        usize::from(header.e_phnum),
    );
    let segments = ProgramHeader::parse(library, offset, count, context).ok()?;
    let dynamic = segments
        .iter()
        .find(|segment| segment.p_type == PT_DYNAMIC)?;
    let start = usize::try_from(dynamic.p_offset).ok()?;
    let end = start.checked_add(usize::try_from(dynamic.p_filesz).ok()?)?;
    let tags: Vec<u64> = library
        .get(start..end)?
        .chunks_exact(DYNAMIC_ENTRY_BYTES)
        .filter_map(|entry| Some(u64::from_le_bytes(entry.get(..8)?.try_into().ok()?)))
        .collect();
    let last = tags.iter().position(|tag| *tag == DT_NULL)?;
    let is_bound = tags.iter().take(last).any(|tag| *tag == DT_BIND_NOW);
    if is_bound || tags.get(last + 1) != Some(&DT_NULL) {
        return None;
    }
    let mut bound = library.to_vec();
    let at = start + last * DYNAMIC_ENTRY_BYTES;
    let entry = bound.get_mut(at..at + DYNAMIC_ENTRY_BYTES)?;
    entry[..8].copy_from_slice(&DT_BIND_NOW.to_le_bytes());
    entry[8..].fill(0);
    Some(bound)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_library_is_bound_when_it_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let (source, library) = (folder.path().join("a.c"), folder.path().join("a.so"));
        std::fs::write(
            &source,
            "void *malloc(unsigned long); void *take(void) { return malloc(1); }",
        )
        .unwrap();
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wl,-z,lazy", "-o"])
            .args([&library, &source])
            .status();
        assert!(built.unwrap().success());
        let lazy = std::fs::read(&library).unwrap();
        let bound = bound_at_load(&lazy).unwrap();
        std::fs::write(&library, &bound).unwrap();
        let shown = Command::new("readelf")
            .arg("-d")
            .arg(&library)
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&shown.stdout).contains("(BIND_NOW)"),
            "{shown:?}"
        );
        let differs = lazy.iter().zip(&bound).filter(|(one, other)| one != other);
        assert_eq!((differs.count(), lazy.len()), (1, bound.len()));
        assert_eq!(bound_at_load(&bound), None, "once is enough");
    }

    #[test]
    fn what_is_no_library_stays() {
        let mut cut = std::fs::read("/proc/self/exe").unwrap();
        cut.truncate(200);
        for bytes in [&b""[..], b"\x7fELF", &[0; 4096], &cut] {
            assert_eq!(bound_at_load(bytes), None);
        }
    }
}
