//! The distribution's own kernel, by the distribution's own tools.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use windlass_guest::GuestOs;
use windlass_library::{Apt, AptError, Error, Library, Step};

use crate::support::{Place, again, child_home, show_error, until};

fn has_apt() -> bool {
    let found = std::process::Command::new("apt-get")
        .arg("--version")
        .output()
        .is_ok();
    if !found {
        eprintln!("skipped: no apt-get here");
    }
    found
}

#[test]
fn slow_fetch_of_the_distributions_cloud_kernel() {
    if !has_apt() {
        return;
    }
    let place = Place::new();
    let mut steps: Vec<Step> = Vec::new();
    let fetched = place.library.fetch_linux_kernel(
        &mut |progress| {
            if steps.last() != Some(&progress.step) {
                steps.push(progress.step);
            }
        },
        &CancellationToken::new(),
    );
    let kernel = match fetched {
        Err(Error::Apt(error @ (AptError::Offline { .. } | AptError::NoLists { .. }))) => {
            eprintln!("skipped: {error}");
            return;
        }
        fetched => fetched.unwrap(),
    };
    assert_eq!(kernel.guest, GuestOs::Linux);
    assert!(kernel.size_bytes > 4 << 20);
    assert_eq!(
        steps,
        [Step::Resolve, Step::Download, Step::Unpack, Step::Copy]
    );
    let at = |name: &str| kernel.modules.iter().position(|module| module == name);
    // What one of them needs is loaded before it, as far as it is a module in this kernel.
    for (first, then) in [
        ("virtio_ring.ko", "virtio_pci.ko"),
        ("virtio.ko", "virtio_blk.ko"),
        ("failover.ko", "net_failover.ko"),
        ("net_failover.ko", "virtio_net.ko"),
    ] {
        assert!(at(first) <= at(then), "{:?}", kernel.modules);
    }
    let initramfs = place.library.initramfs(&kernel.id).unwrap();
    assert!(initramfs.metadata().unwrap().len() > 1 << 20);
    let again = place
        .library
        .fetch_linux_kernel(&mut |_| (), &CancellationToken::new())
        .unwrap();
    assert_eq!(again, kernel);
}

#[test]
fn slow_cancelled_fetch_leaves_nothing() {
    if !has_apt() {
        return;
    }
    let place = Place::new();
    let cancel = CancellationToken::new();
    let fetched = place.library.fetch_linux_kernel(
        &mut |progress| {
            if progress.step == Step::Unpack {
                cancel.cancel();
            }
        },
        &cancel,
    );
    if let Err(Error::Apt(error)) = &fetched {
        eprintln!("skipped: {error}");
        return;
    }
    assert!(matches!(fetched, Err(Error::Cancelled)), "{fetched:?}");
    assert_eq!(
        place.tree(),
        ["kernels/", "packages/", "temporary/"].map(str::to_owned)
    );
}

#[test]
fn what_fetches_a_kernel_ends_with_us() {
    const NAME: &str = "slow_fetch::what_fetches_a_kernel_ends_with_us";
    if let Some(home) = child_home() {
        let library = Library::open(&home).unwrap();
        let apt = Apt {
            apt_cache: home.with_file_name("apt"),
            ..Apt::default()
        };
        let _ = library.fetch_linux_kernel_by(&apt, &mut |_| (), &CancellationToken::new());
        return;
    }
    let place = Place::new();
    let pid_path = place.path("pid");
    let script = format!(
        "#!/bin/sh\necho $$ > {0}.new\nmv {0}.new {0}\nexec sleep 1000\n",
        pid_path.display()
    );
    let apt = place.write("apt", script.as_bytes());
    std::fs::set_permissions(&apt, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut child = again(NAME, place.library.home()).spawn().unwrap();
    until(|| pid_path.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let pid = std::fs::read_to_string(&pid_path).unwrap();
    let process = PathBuf::from("/proc").join(pid.trim());
    // A process that nobody waits for stays as a zombie where the first process of a container is none that reaps.
    let has_ended = || {
        let status = std::fs::read_to_string(process.join("status"));
        status.map_or(true, |status| status.contains("State:\tZ"))
    };
    until(has_ended);
}

#[test]
fn without_apt_or_its_lists_the_remedy_is_said() {
    let place = Place::new();
    let fetch = |apt: &Apt| {
        let error = place
            .library
            .fetch_linux_kernel_by(apt, &mut |_| (), &CancellationToken::new())
            .unwrap_err();
        show_error(&error, place.folder.path())
    };
    let missing = PathBuf::from("windlass-test-has-no-such-program");
    insta::assert_snapshot!(fetch(&Apt { apt_cache: missing, ..Apt::default() }), @"
    error: this computer has no windlass-test-has-no-such-program, by which the kernel is fetched
    hint: Add a Linux kernel from a file instead: a bzImage (vmlinuz), or a linux-image-….deb.
    ");
    if !has_apt() {
        return;
    }
    // An apt that has never been updated.
    let empty = place.path("empty").display().to_string();
    std::fs::create_dir_all(place.path("empty/lists/partial")).unwrap();
    std::fs::write(place.path("empty/status"), "").unwrap();
    let options = [
        "Dir::State::lists=EMPTY/lists",
        "Dir::State::status=EMPTY/status",
        "Dir::Cache=EMPTY",
    ]
    .iter()
    .flat_map(|option| ["-o".to_owned(), option.replace("EMPTY", &empty)])
    .collect();
    insta::assert_snapshot!(fetch(&Apt { options, ..Apt::default() }), @"
    error: apt knows none of the kernel packages linux-image-cloud-amd64, linux-image-kvm, linux-image-virtual, linux-image-amd64, linux-image-generic
    hint: Run `sudo apt-get update` to get the lists of packages, then try again.
    ");
}
