//! What is dropped, and how it is to run.

use std::path::Path;

use windlass_workshop::appliances::{ApplianceSettings, DroppedKind, EnvValue, Port};
use windlass_workshop::error::ErrorKind;
use windlass_workshop::guests::Protocol;

use crate::place::{Place, finish};

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_archive_becomes_a_folder_of_its_own() {
    let place = Place::new();
    let workshop = place.open().await;
    let archive = tar(
        &place,
        "service.tar",
        &[("server.js", "0644", "console.log(1)")],
    );
    let dropped = workshop.inspect(&archive).await.unwrap();
    assert_eq!(dropped.kind, DroppedKind::Archive);
    assert_eq!(
        Path::new(&dropped.path),
        place.home().join("appliances/service")
    );
    assert_eq!(dropped.proposal.unwrap().runtime, "node");
    let twice = workshop.inspect(&archive).await.unwrap();
    assert_eq!(
        Path::new(&twice.path),
        place.home().join("appliances/service-2")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_escapes_its_folder_is_refused_whole() {
    let place = Place::new();
    let workshop = place.open().await;
    let archive = tar(
        &place,
        "escape.tar",
        &[("fine", "0644", "fine"), ("../../outside", "0644", "mine")],
    );
    let error = workshop.inspect(&archive).await.unwrap_err();
    insta::assert_snapshot!(place.shown(&error), @"
    Input: the archive …/escape.tar was refused
    because: its entry `../../outside` (at byte 1024) would be written outside of the folder
    hint: Look at where it comes from. If you trust it, unpack it yourself and take the folder.
    ");
    assert_eq!(place.list("appliances"), [""; 0]);
    assert!(!place.path("outside").exists() && !place.home().join("outside").exists());

    let damaged = place.write("damaged.zip", b"PK\x03\x04 and no more");
    insta::assert_snapshot!(place.shown(&workshop.inspect(&damaged).await.unwrap_err()), @"
    Input: the archive …/damaged.zip was refused
    because: it is damaged at byte 0
    because: invalid Zip archive: Could not find EOCD
    hint: Fetch or make it again: it is cut off or changed.
    ");
    assert_eq!(place.list("appliances"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_refused_with_what_can() {
    let place = Place::new();
    let workshop = place.open().await;
    let text = place.write("letter.txt", b"Dear Windlass");
    insta::assert_snapshot!(place.shown(&workshop.inspect(&text).await.unwrap_err()), @"
    Input: Windlass cannot use `…/letter.txt`
    because: this is text, not a guest kernel that Windlass can boot
    hint: Drop a folder, an archive (.zip, .tar, .tar.gz, .tar.xz, .tar.zst, .mpm), or a guest kernel
    ");
    let gone = place.path("gone");
    insta::assert_snapshot!(place.shown(&workshop.inspect(&gone).await.unwrap_err()), @"
    NotFound: Cannot find `…/gone`
    because: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(place.shown(&workshop.add_appliance(&text, None).await.unwrap_err()), @"
    Input: `…/letter.txt` is not a folder
    hint: Drop a folder, or an archive (.zip, .tar, .tar.gz, .tar.xz, .tar.zst, .mpm)
    ");
    insta::assert_snapshot!(place.shown(&workshop.add_kernels(&[text]).await.unwrap_err()), @"
    Input: …/letter.txt cannot be added as a guest kernel
    because: this is text, not a guest kernel that Windlass can boot
    hint: give an OSv loader image (`loader.img`), an OSv ELF kernel (`loader-stripped.elf`) or a Linux kernel (`vmlinuz-…`)
    ");
    assert_eq!(workshop.appliances().unwrap(), []);
    assert_eq!(workshop.kernels().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_kept_in_the_folder_and_become_the_boot_command() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello $GREETING").await;
    let form = workshop.run_form(&appliance.id).unwrap();
    assert_eq!(form.configurations[0].command, "/hello $GREETING");
    let settings = ApplianceSettings {
        memory_mib: 256,
        ports: vec![Port {
            host: None,
            guest: 80,
            protocol: Protocol::Tcp,
        }],
        env: vec![EnvValue {
            name: "GREETING".into(),
            value: "guten Tag".into(),
        }],
        ..form.settings
    };
    let preview = workshop.preview_boot(&appliance.id, &settings).unwrap();
    insta::assert_snapshot!(format!("{}\n{}", preview.command_line, preview.command), @r"
    --env=GREETING=guten\ Tag runscript /run/default
    windlassctl run hello --guest linux --memory 256M --cpus 1 --forward :80 --env 'GREETING=guten Tag'
    ");
    assert!(
        !Path::new(&appliance.path)
            .join("meta/windlass.yaml")
            .exists()
    );

    workshop
        .save_settings(&appliance.id, settings.clone())
        .unwrap();
    assert_eq!(workshop.run_form(&appliance.id).unwrap().settings, settings);
    // The command line is part of the image, so that settings make another one.
    let job = workshop.start_build(&appliance.id).unwrap();
    finish(&workshop, &job).await.unwrap();

    let none = ApplianceSettings {
        memory_mib: 0,
        ..settings.clone()
    };
    let error = workshop.save_settings(&appliance.id, none).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Input);
    assert_eq!(workshop.run_form(&appliance.id).unwrap().settings, settings);
}

/// An archive of files as somebody may have made it: names are taken as they are.
fn tar(place: &Place, name: &str, files: &[(&str, &str, &str)]) -> std::path::PathBuf {
    let mut bytes = Vec::new();
    for (path, mode, content) in files {
        let mut header = [0; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[100..104].copy_from_slice(mode.as_bytes());
        let size = format!("{:011o}", content.len());
        header[124..135].copy_from_slice(size.as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes.extend(header);
        bytes.extend(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    place.write(name, &bytes)
}
