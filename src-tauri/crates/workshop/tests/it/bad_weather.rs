//! A computer that lacks something: QEMU, a kernel, disk space, a network, a port.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use windlass_workshop::Workshop;
use windlass_workshop::appliances::Port;
use windlass_workshop::error::ErrorKind;
use windlass_workshop::guests::{GuestOs, Protocol, RootFs};
use windlass_workshop::home::Home;
use windlass_workshop::machines::MachineState;
use windlass_workshop::settings::Settings;

use crate::place::{Place, console, ended, finish, is_root, run, until};
use crate::processes::Other;

#[tokio::test(flavor = "multi_thread")]
async fn without_qemu_it_says_what_to_install() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let settings = Settings {
        qemu_path: Some(place.path("nowhere/qemu-system-x86_64")),
        ..Settings::default()
    };
    workshop.set_settings(settings).unwrap();
    let job = workshop.start_run(&appliance.id).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    insta::assert_snapshot!(place.shown(&error), @"
    Unavailable: QEMU was not found: …/nowhere/qemu-system-x86_64
    hint: Install it (Debian and Ubuntu: `apt install qemu-system-x86`), or name its path in the settings.
    ");
    assert_eq!(workshop.machines().unwrap(), []);
    // Building needs none.
    assert_eq!(workshop.builds(None).unwrap().len(), 1);
    let checks = workshop.doctor().await;
    insta::assert_snapshot!(place.without_chance(&format!("{:?} {}: {}\n{}", checks[0].status, checks[0].title, checks[0].detail, checks[0].remedy.as_deref().unwrap())), @"
    Missing QEMU: QEMU was not found: …/nowhere/qemu-system-x86_64
    Install it (Debian and Ubuntu: `apt install qemu-system-x86`), or name its path in the settings.
    ");

    let settings = Settings {
        qemu_path: Some(place.write("not-qemu", b"#!/bin/sh\necho hello\n")),
        ..Settings::default()
    };
    fs::set_permissions(
        settings.qemu_path.as_ref().unwrap(),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    workshop.set_settings(settings).unwrap();
    let job = workshop.start_run(&appliance.id).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    insta::assert_snapshot!(place.shown(&error), @"
    Unavailable: …/not-qemu does not answer as QEMU does: hello
    hint: Name the path of qemu-system-x86_64 in the settings.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_osv_kernel_it_says_where_to_add_one() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let mut settings = workshop.run_form(&appliance.id).unwrap().settings;
    settings.guest = GuestOs::Osv;
    settings.root_fs = RootFs::Rofs;
    workshop.save_settings(&appliance.id, settings).unwrap();
    let job = workshop.start_build(&appliance.id).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    insta::assert_snapshot!(place.shown(&error), @"
    Unavailable: There is no OSv kernel in the library
    hint: Add an OSv loader image or ELF kernel in Settings, or with `windlassctl kernel add FILE`
    hint: Or choose Linux as the guest in the run settings
    ");
    assert_eq!(place.list("images"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_apt_it_says_how_a_linux_kernel_is_added() {
    let place = Place::new();
    let workshop = place.open().await;
    let appliance = place.hello(&workshop, "/hello").await;
    for part in ["fetch".to_owned(), format!("build {}", appliance.id)] {
        let mut bare = Command::new(std::env::current_exe().unwrap());
        bare.env("PATH", place.path("nothing"));
        let mut other = Other::start_as(bare, &place.home(), &part);
        let error = other.fails();
        other.end();
        insta::allow_duplicates! {
            insta::assert_snapshot!(place.shown(&error), @"
            Unavailable: this computer has no apt-cache, by which the kernel is fetched
            hint: Add a Linux kernel from a file instead: a bzImage (vmlinuz), or a linux-image-….deb.
            ");
        }
    }
    assert_eq!(place.list("kernels"), [""; 0]);
    assert_eq!(place.list("images"), [""; 0]);
}

/// A file system of its own, of a few megabytes.
struct SmallDisk {
    path: std::path::PathBuf,
}

impl SmallDisk {
    fn mount(place: &Place, size: &str) -> Option<Self> {
        let path = place.home();
        fs::create_dir_all(&path).unwrap();
        let mounted = is_root()
            && Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
                .arg(&path)
                .status()
                .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("skipped: only root mounts a small disk");
        }
        mounted.then_some(Self { path })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        assert!(unmounted.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_nothing_half_written_is_left() {
    let place = Place::new();
    let Some(_disk) = SmallDisk::mount(&place, "16m") else {
        return;
    };
    let (header, _) = Place::with_kernel_header().await;
    let workshop = place.open().await;
    workshop
        .add_kernels(&[header.path("vmlinuz")])
        .await
        .unwrap();
    let appliance = place.hello(&workshop, "/hello").await;
    let noise: Vec<u8> = (0..14_u32 << 20)
        .map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[2])
        .collect();
    place.write("hello/noise", &noise);
    let job = workshop.start_build(&appliance.id).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    insta::assert_snapshot!(place.shown(&error), @"
    Unavailable: …/home/images/ID/disk.img needs 23.1 MiB of disk space, and there are 15.8 MiB left
    hint: Free some space on that disk, or choose a place with 23.1 MiB left.
    ");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(place.list("images"), [""; 0]);

    // Full to the last byte: it says so, and goes on when there is room again.
    let filler = place.home().join("filler");
    let _full = fs::write(&filler, vec![1; 32 << 20]);
    let errors = [
        workshop.start_sample("hello").map(drop).err(),
        workshop
            .set_settings(Settings {
                default_memory_mib: 1024,
                ..Settings::default()
            })
            .map(drop)
            .err(),
    ];
    for error in errors.into_iter().flatten() {
        insta::allow_duplicates! {
            insta::assert_snapshot!(place.shown(&error), @"
            Unavailable: The database of Windlass could not be read or written
            because: database or disk is full
            hint: Free some disk space, then try again
            ");
        }
    }
    fs::remove_file(&filler).unwrap();
    fs::remove_file(place.path("hello/noise")).unwrap();
    let job = workshop.start_build(&appliance.id).unwrap();
    finish(&workshop, &job).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_cannot_be_written_is_named() {
    let place = Place::new();
    let file = place.write("file", b"not a folder");
    let error = Workshop::open(Home::at(file.join("home")))
        .await
        .unwrap_err();
    insta::assert_snapshot!(place.shown(&error), @"
    Unavailable: Cannot create the folder `…/file/home`
    because: Not a directory (os error 20)
    hint: Name a folder that can be written with WINDLASS_HOME
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_port_that_another_program_has_is_named() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut settings = workshop.run_form(&appliance.id).unwrap().settings;
    settings.ports = vec![Port {
        host: Some(port),
        guest: 80,
        protocol: Protocol::Tcp,
    }];
    workshop.save_settings(&appliance.id, settings).unwrap();
    let job = workshop.start_run(&appliance.id).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    let said = place
        .shown(&error)
        .replace(&port.to_string(), "PORT")
        .replace(&std::process::id().to_string(), "PID");
    insta::assert_snapshot!(said, @"
    Conflict: port PORT/tcp of this computer is in use
    hint: Stop whoever uses the port, choose another one, or leave it empty: a free one is chosen then.
    ");
    assert_eq!(error.kind, ErrorKind::Conflict);
    // Its page says the same, and it starts when the port is free.
    let machine = workshop.machines().unwrap().remove(0);
    assert_eq!(machine.state, MachineState::Failed);
    let message = machine.message.as_deref().unwrap();
    assert!(message.contains(&port.to_string()), "{message}");
    drop(listener);
    workshop.start_machine(&machine.id).await.unwrap();
    assert_eq!(workshop.machine(&machine.id).unwrap().ports[0].host, port);
    workshop.kill_machine(&machine.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_guest_that_gets_no_address_says_so() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello").await;
    // The real QEMU, with its network card plugged into a hub that nobody else is plugged into.
    let real = which("qemu-system-x86_64");
    let script = format!(
        "#!/bin/bash\nwords=()\nfor word in \"$@\"; do\n  case $word in user,*) word=hubport,hubid=0,${{word#*,}}; word=${{word%%,hostfwd*}} ;; esac\n  words+=(\"$word\")\ndone\nexec {real} \"${{words[@]}}\"\n"
    );
    let qemu = place.write("qemu-without-network", script.as_bytes());
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).unwrap();
    workshop
        .set_settings(Settings {
            qemu_path: Some(qemu),
            ..Settings::default()
        })
        .unwrap();
    let id = run(&workshop, &appliance.id).await;
    let machine = ended(&workshop, &id).await;
    insta::assert_snapshot!(place.story(&machine), @"
    Failed, exit status Some(1)
    eth0 got no address: no DHCP server answered within 12 s.
    hint: Choose user-mode networking, see that a DHCP server answers on the network, or give an address with `--ip=eth0,ADDRESS,NETMASK`.
    ");
    let said = console(&workshop, &id).await;
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("[windlass]"))
        .collect();
    insta::assert_snapshot!(ours[1..].join("\n"), @"
    [windlass] eth0: no address: no DHCP server answered within 12 s
    [windlass] all ended with status 1
    [windlass] powering off
    ");
}

fn which(program: &str) -> String {
    let paths = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&paths)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    found.unwrap().display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_qemu_that_dies_is_a_crash_with_words() {
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello --sleep 250").await;
    let id = run(&workshop, &appliance.id).await;
    crate::place::kill(workshop.machine_details(&id).unwrap().pid.unwrap());
    let machine = ended(&workshop, &id).await;
    insta::assert_snapshot!(place.story(&machine), @"
    Crashed, exit status None
    QEMU was ended from outside, by signal 9.
    hint: Start it again; if memory is short, give it less.
    ");
    until("the count", async || {
        (workshop.appliance(&appliance.id).unwrap().machines_running == 0).then_some(())
    })
    .await;
}
