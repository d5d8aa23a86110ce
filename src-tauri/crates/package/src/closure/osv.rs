//! What OSv's kernel supplies itself, from its `core/elf.cc` and README.

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
