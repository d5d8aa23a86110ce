//! The packed runtimes and the samples in a real OSv: composed, booted, and asked over HTTP.
//!
//! `WINDLASS_OSV_KERNEL` names an ELF kernel. Without it, the tests say so and do nothing.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use walkdir::WalkDir;
use windlass_guest::GuestOs;
use windlass_image::osv::{Root, write_disk};
use windlass_image::{GuestPath, Node, Source, Tree, Unwatched};
use windlass_package::{BuildSettings, Package, boot, pack, samples};

use crate::packing::{Killed, free_port};

/// Boots take seconds; a computer that is busy with other tests takes its time.
const PATIENCE: Duration = Duration::from_mins(3);

const FSTAB: &str = "/dev /dev devfs defaults 0 0\n/proc /proc procfs defaults 0 0\n\
                     /sys /sys sysfs defaults 0 0\n/tmp /tmp ramfs defaults 0 0\n";

fn kernel() -> Option<PathBuf> {
    let kernel = std::env::var_os("WINDLASS_OSV_KERNEL").filter(|value| !value.is_empty());
    if kernel.is_none() {
        println!("skipped: WINDLASS_OSV_KERNEL is not set");
    }
    kernel.map(PathBuf::from)
}

fn at(path: &[u8]) -> GuestPath {
    GuestPath::new(path).unwrap()
}

/// What the layers come to, with what every OSv needs.
fn tree_of(layers: &[&Package], plan: &boot::BootPlan) -> Tree {
    let mut tree = Tree::new();
    for directory in ["dev", "proc", "sys", "tmp"] {
        tree.insert(at(directory.as_bytes()), Node::Directory { mode: 0o755 })
            .unwrap();
    }
    tree.insert(at(b"etc/fstab"), Node::bytes(FSTAB.as_bytes(), 0o644))
        .unwrap();
    for script in &plan.scripts {
        let content = script.content.as_bytes();
        tree.insert(at(script.path.as_bytes()), Node::bytes(content, 0o644))
            .unwrap();
    }
    for layer in layers {
        for entry in WalkDir::new(&layer.root).min_depth(1) {
            let entry = entry.unwrap();
            let path = entry
                .path()
                .strip_prefix(&layer.root)
                .unwrap()
                .as_os_str()
                .as_bytes();
            if layer.ignore.is_ignored(path) {
                continue;
            }
            let node = if entry.file_type().is_dir() {
                Node::Directory { mode: 0o755 }
            } else if entry.file_type().is_symlink() {
                let target = fs::read_link(entry.path()).unwrap();
                Node::Symlink {
                    target: target.into_os_string().into_encoded_bytes(),
                }
            } else {
                let size_bytes = entry.metadata().unwrap().len();
                Node::File {
                    source: Source::Path(entry.path().to_path_buf()),
                    size_bytes,
                    mode: 0o755,
                }
            };
            tree.insert(at(path), node).unwrap();
        }
    }
    tree
}

/// The answer to a request; the port is open before the guest listens.
fn get(port: u16, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.is_empty() {
        Err(io::ErrorKind::ConnectionReset.into())
    } else {
        Ok(answer)
    }
}

/// Boots the layers, and returns what `/` answers.
fn page_from(kernel: &Path, layers: &[&Package]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let plan = boot::plan(layers, GuestOs::Osv, &BuildSettings::default()).unwrap();
    let disk = folder.path().join("disk.raw");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&disk)
        .unwrap();
    write_disk(
        None,
        "",
        &Root::Rofs,
        &tree_of(layers, &plan),
        &mut file,
        &mut Unwatched,
    )
    .unwrap();

    let port = free_port();
    let console = folder.path().join("console");
    let child = Command::new("qemu-system-x86_64")
        .args([
            "-machine",
            "pc,accel=tcg",
            "-cpu",
            "max",
            "-m",
            "768",
            "-nodefaults",
            "-no-reboot",
        ])
        .args(["-display", "none", "-device", "virtio-rng-pci"])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-drive")
        .arg(format!("file={},format=raw,if=virtio", disk.display()))
        .arg("-nic")
        .arg(format!(
            "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{port}-:8080"
        ))
        .arg("-kernel")
        .arg(kernel)
        .arg("-append")
        .arg(format!(
            "--rootfs=rofs --power-off-on-abort {}",
            plan.command_line
        ))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(answer) = get(port, "/") {
            return answer;
        }
        let ended = child.0.try_wait().unwrap();
        let is_over = ended.is_some() || Instant::now() > deadline;
        assert!(
            !is_over,
            "no answer; the console says:\n{}",
            fs::read_to_string(&console).unwrap()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn the_node_sample_answers_from_osv() {
    let (Some(kernel), Some(_)) = (kernel(), pack::find_node()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let node = pack::node(folder.path(), &mut ()).unwrap();
    let service = samples::node_microservice(&folder.path().join("service"), &node.name).unwrap();
    let (node, service) = (
        Package::open(node.root).unwrap(),
        Package::open(service).unwrap(),
    );
    let page = page_from(&kernel, &[&node, &service]);
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("Node.js"),
        "{page}"
    );
}

#[test]
fn the_python_sample_answers_from_osv() {
    let (Some(kernel), Some(_)) = (kernel(), pack::find_python()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let python = pack::python(folder.path(), &mut ()).unwrap();
    let service = samples::python(&folder.path().join("service"), &python.name).unwrap();
    let (python, service) = (
        Package::open(python.root).unwrap(),
        Package::open(service).unwrap(),
    );
    let page = page_from(&kernel, &[&python, &service]);
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("Python"),
        "{page}"
    );
}
