//! OSv kernels come as a loader image and as an ELF file, which belong together; a third file, the ZFS builder, makes the
//! disks of those that can mount ZFS.

use windlass_guest::GuestOs;
use windlass_guest::kernel::KernelForm;

use super::Kernel;
use crate::error::Error;
use crate::library::Library;

/// An OSv kernel in its two forms: what makes a disk boot by itself, and what QEMU boots directly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OsvKernel {
    /// The version that they have, where it is known.
    pub version: Option<String>,
    /// The loader image, which a disk begins with.
    pub loader: Option<Kernel>,
    /// The ELF kernel, for `-kernel`.
    pub elf: Option<Kernel>,
}

impl Library {
    /// The OSv kernels, loader and ELF of one version together, the newest first.
    ///
    /// # Errors
    /// As [`kernels`](Self::kernels).
    pub fn osv_kernels(&self) -> Result<Vec<OsvKernel>, Error> {
        Ok(pair(self.kernels()?.entries))
    }

    /// The OSv kernel that this loader or ELF belongs to.
    ///
    /// # Errors
    /// As [`kernel`](Self::kernel); [`Error::NotOsv`] where it is another guest's.
    pub fn osv_kernel(&self, id: &str) -> Result<OsvKernel, Error> {
        let kernel = self.kernel(id)?;
        let is_same =
            |other: &Option<Kernel>| other.as_ref().is_some_and(|other| other.id == kernel.id);
        self.osv_kernels()?
            .into_iter()
            .find(|pair| is_same(&pair.loader) || is_same(&pair.elf))
            .ok_or(Error::NotOsv {
                id: kernel.id.clone(),
            })
    }
}

impl Library {
    /// What makes ZFS disks, the newest first: builders, and the ELF kernels of old versions of OSv, which have the same tools.
    ///
    /// # Errors
    /// As [`kernels`](Self::kernels).
    pub fn zfs_builders(&self) -> Result<Vec<Kernel>, Error> {
        let mut builders = self.kernels()?.entries;
        builders.retain(|kernel| kernel.makes_zfs && kernel.form != KernelForm::OsvLoader);
        Ok(builders)
    }
}

/// Puts loaders and ELF kernels together: by version and what they can mount; then, since the version is hidden in
/// the compressed part of a loader, each loader of unknown version with the ELF that was added nearest to it.
fn pair(kernels: Vec<Kernel>) -> Vec<OsvKernel> {
    let (loaders, elves): (Vec<Kernel>, Vec<Kernel>) = kernels
        .into_iter()
        .filter(|kernel| kernel.guest == GuestOs::Osv && kernel.form != KernelForm::OsvZfsBuilder)
        .partition(|kernel| kernel.form == KernelForm::OsvLoader);
    let mut pairs: Vec<OsvKernel> = elves
        .into_iter()
        .map(|elf| OsvKernel {
            version: elf.version.clone(),
            loader: None,
            elf: Some(elf),
        })
        .collect();
    let (known, unknown): (Vec<Kernel>, Vec<Kernel>) = loaders
        .into_iter()
        .partition(|loader| loader.version.is_some());
    for loader in known.into_iter().chain(unknown) {
        let free = pairs
            .iter_mut()
            .filter_map(|pair| match (&pair.loader, &pair.elf) {
                (None, Some(elf)) if loader.version.is_none() || loader.version == elf.version => {
                    let mounts_the_same = elf.root_file_systems == loader.root_file_systems;
                    Some((
                        (!mounts_the_same, elf.added_at.abs_diff(loader.added_at)),
                        pair,
                    ))
                }
                _ => None,
            });
        match free.min_by_key(|(distance, _)| *distance) {
            Some((_, pair)) => pair.loader = Some(loader),
            None => pairs.push(OsvKernel {
                version: loader.version.clone(),
                loader: Some(loader),
                elf: None,
            }),
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(id: &str, form: KernelForm, version: Option<&str>, added_at: u64) -> Kernel {
        Kernel {
            id: id.to_owned(),
            guest: if form == KernelForm::LinuxBzImage {
                GuestOs::Linux
            } else {
                GuestOs::Osv
            },
            form,
            version: version.map(str::to_owned),
            digest: String::new(),
            size_bytes: 0,
            root_file_systems: Vec::new(),
            makes_zfs: form == KernelForm::OsvZfsBuilder,
            modules: Vec::new(),
            runs: String::new(),
            added_at,
            path: std::path::PathBuf::new(),
        }
    }

    #[test]
    fn loader_and_elf_of_one_version_belong_together() {
        use KernelForm::{LinuxBzImage, OsvElf, OsvLoader, OsvZfsBuilder};
        let pairs = pair(vec![
            kernel("elf-new", OsvElf, Some("v0.58.0"), 50),
            kernel("elf-old", OsvElf, Some("v0.57.0"), 10),
            kernel("loader-new", OsvLoader, Some("v0.58.0"), 11),
            kernel("loader-hidden", OsvLoader, None, 12),
            kernel("loader-alone", OsvLoader, Some("v0.24.0"), 9),
            kernel("builder", OsvZfsBuilder, Some("v0.58.0"), 10),
            kernel("linux", LinuxBzImage, Some("6.1.0"), 9),
        ]);
        let name =
            |kernel: &Option<Kernel>| kernel.as_ref().map_or("-".to_owned(), |it| it.id.clone());
        let shown: Vec<String> = pairs
            .iter()
            .map(|pair| {
                format!(
                    "{:?}: {} {}",
                    pair.version,
                    name(&pair.loader),
                    name(&pair.elf)
                )
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        Some("v0.58.0"): loader-new elf-new
        Some("v0.57.0"): loader-hidden elf-old
        Some("v0.24.0"): loader-alone -
        "#);
    }
}
