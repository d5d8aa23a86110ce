//! How values are written in flags: sizes, ports, environment.

use windlass_workshop::appliances::{EnvValue, Port};
use windlass_workshop::guests::{GuestOs, Protocol, RootFs};
use windlass_workshop::volumes::{SharedFolder, VolumeMount};

/// A guest, as flags spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Guest {
    /// The unikernel
    Osv,
    /// A micro-VM with a distribution's kernel
    Linux,
}

impl From<Guest> for GuestOs {
    fn from(guest: Guest) -> Self {
        match guest {
            Guest::Osv => Self::Osv,
            Guest::Linux => Self::Linux,
        }
    }
}

/// A root file system, as flags spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileSystem {
    /// Read-only, OSv's own
    Rofs,
    /// Writable
    Ext4,
    /// Writable; for an OSv kernel with ZFS, made by OSv's ZFS builder
    Zfs,
}

impl From<FileSystem> for RootFs {
    fn from(file_system: FileSystem) -> Self {
        match file_system {
            FileSystem::Rofs => Self::Rofs,
            FileSystem::Ext4 => Self::Ext4,
            FileSystem::Zfs => Self::Zfs,
        }
    }
}

/// How a Linux image is started, as flags spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DiskForm {
    /// The image is the root file system alone; who starts it gives the kernel
    Direct,
    /// Boots by itself, by BIOS and UEFI, as clouds need it
    Bootable,
}

/// A machine's network, as flags spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Network {
    /// The guest reaches the network; of it, forwarded ports are reached
    Nat,
    /// No network card
    None,
}

/// A size as Capstan has it: a number and `m`, `mb`, `g` or `gb`, in any case. In MiB.
pub(crate) fn size_mib(text: &str) -> Result<u32, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "m" | "mb" | "mib" => 1,
        "g" | "gb" | "gib" => 1024,
        _ => return Err("a size is a number and a unit, such as 512M or 1G".to_owned()),
    };
    number
        .parse::<u32>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|size| *size > 0)
        .ok_or_else(|| "a size is a number and a unit, such as 512M or 1G".to_owned())
}

/// The size of a disk in MiB; none for as large as it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskSize(pub(crate) Option<u32>);

/// A size as [`size_mib`], or `auto`.
pub(crate) fn disk_size(text: &str) -> Result<DiskSize, String> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(DiskSize(None));
    }
    size_mib(text).map(Some).map(DiskSize)
}

/// A size in bytes: as [`size_mib`], or with `K` or `T`, or a number of bytes.
pub(crate) fn size_bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err("a size is a number and a unit, such as 512M or 1G".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|size| *size > 0)
        .ok_or_else(|| "a size is a number and a unit, such as 512M or 1G".to_owned())
}

/// `NAME:/PATH`, or `NAME` alone.
pub(crate) fn volume_mount(text: &str) -> Result<VolumeMount, String> {
    let (volume, path) = match text.split_once(':') {
        Some((volume, path)) => (volume, Some(path)),
        None => (text, None),
    };
    if volume.is_empty() || path.is_some_and(|path| !path.starts_with('/')) {
        return Err("a volume is NAME:/PATH, such as data:/data, or its name alone".to_owned());
    }
    Ok(VolumeMount {
        volume: volume.to_owned(),
        path: path.map(str::to_owned),
    })
}

/// `FOLDER:/PATH`, with `:ro` behind it where the guest may only read; the folder may have colons.
pub(crate) fn share(text: &str) -> Result<SharedFolder, String> {
    let (place, read_only) = match text.strip_suffix(":ro") {
        Some(place) => (place, true),
        None => (text, false),
    };
    match place.rsplit_once(":/") {
        Some((folder, path)) if !folder.is_empty() && !path.is_empty() => Ok(SharedFolder {
            folder: folder.into(),
            path: format!("/{path}"),
            read_only,
        }),
        _ => Err("a share is FOLDER:/PATH or FOLDER:/PATH:ro, such as data:/data".to_owned()),
    }
}

/// `HOST:GUEST`, `:GUEST` or `GUEST` (a free port is chosen), each with `/udp` or `/tcp`.
pub(crate) fn port(text: &str) -> Result<Port, String> {
    let (ports, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((ports, "tcp")) => (ports, Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some((_, other)) => return Err(format!("`{other}` is neither tcp nor udp")),
    };
    let number = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| {
                format!("`{text}` is not a port; a forward is HOST:GUEST, such as 8080:80")
            })
    };
    let (host, guest) = match ports.rsplit_once(':') {
        None | Some(("", _)) => (None, number(ports.trim_start_matches(':'))?),
        Some((host, guest)) => (Some(number(host)?), number(guest)?),
    };
    Ok(Port {
        host,
        guest,
        protocol,
    })
}

/// `NAME=VALUE`.
pub(crate) fn env(text: &str) -> Result<EnvValue, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(EnvValue {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        _ => Err("an environment variable is NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_capstans() {
        for (text, mib) in [
            ("1G", 1024),
            ("512M", 512),
            ("512mb", 512),
            ("2Gb", 2048),
            ("1GiB", 1024),
        ] {
            assert_eq!(size_mib(text), Ok(mib), "{text}");
        }
        for text in ["", "512", "G", "0M", "-1G", "1T", "99999999G", "1 G"] {
            assert!(size_mib(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_in_bytes_have_more_units() {
        assert_eq!(size_bytes("512"), Ok(512));
        assert_eq!(size_bytes("8k"), Ok(8192));
        assert_eq!(size_bytes("2G"), Ok(2 << 30));
        assert_eq!(size_bytes("1TiB"), Ok(1 << 40));
        for text in ["", "0", "M", "-1", "1.5G", "99999999999T", "1 G"] {
            assert!(size_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn volumes_have_a_name_and_a_place() {
        let mount = |text| volume_mount(text).map(|it| (it.volume, it.path));
        assert_eq!(
            mount("data:/var/data"),
            Ok(("data".to_owned(), Some("/var/data".to_owned())))
        );
        assert_eq!(mount("data"), Ok(("data".to_owned(), None)));
        for text in ["", ":", ":/data", "data:", "data:relative"] {
            assert!(volume_mount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_pairs() {
        let port = |text| port(text).map(|port| (port.host, port.guest, port.protocol));
        assert_eq!(port("8080:80"), Ok((Some(8080), 80, Protocol::Tcp)));
        assert_eq!(port("5353:53/udp"), Ok((Some(5353), 53, Protocol::Udp)));
        assert_eq!(port(":80"), Ok((None, 80, Protocol::Tcp)));
        assert_eq!(port("80"), Ok((None, 80, Protocol::Tcp)));
        for text in ["", ":", "80:", "a:1", "1:0", "70000:1", "1:2/sctp", "1:2:3"] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn environment_may_hold_anything_behind_its_name() {
        let value = env("A=b=c d").unwrap();
        assert_eq!((value.name.as_str(), value.value.as_str()), ("A", "b=c d"));
        assert!(env("A").is_err());
        assert!(env("=b").is_err());
    }
}
