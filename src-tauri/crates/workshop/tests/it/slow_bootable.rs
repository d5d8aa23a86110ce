//! An appliance whose disk boots by itself: built, run here by its kernel, updated, and written as a file.

use std::path::Path;
use std::process::{Command, Stdio};

use windlass_image::Image;
use windlass_package::BuildSettings;
use windlass_workshop::builds::{BuildManner, ComposeOptions};

use crate::place::{Place, console, ended, finish, run};

#[tokio::test(flavor = "multi_thread")]
async fn slow_an_appliance_boots_by_itself_and_runs_here_by_its_kernel() {
    if Command::new("apt-get").arg("--version").output().is_err() {
        eprintln!("skipped: no apt-get here");
        return;
    }
    let (place, workshop) = Place::with_linux().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let mut settings = workshop.run_form(&appliance.id).unwrap().settings;
    assert!(!settings.bootable, "only where it is asked for");
    settings.bootable = true;
    workshop
        .save_settings(&appliance.id, settings.clone())
        .unwrap();
    let kept = BuildSettings::load(Path::new(&appliance.path))
        .unwrap()
        .value;
    assert_eq!(
        kept.disk.map(|disk| disk.to_string()).as_deref(),
        Some("bootable")
    );

    // The second time one file more is all that is written.
    let mut manners = Vec::new();
    for file in ["first", "second"] {
        std::fs::write(Path::new(&appliance.path).join(file), b"more").unwrap();
        let job = workshop.start_build(&appliance.id).unwrap();
        finish(&workshop, &job).await.unwrap();
        let build = workshop.builds(Some(&appliance.id)).unwrap().remove(0);
        manners.extend(build.changes.map(|changes| changes.manner));
    }
    assert_eq!(manners, [BuildManner::Anew, BuildManner::Updated]);

    let id = run(&workshop, &appliance.id).await;
    let machine = ended(&workshop, &id).await;
    let said = console(&workshop, &id).await;
    assert_eq!(machine.exit_status, Some(0), "{said}");
    let build = workshop.builds(Some(&appliance.id)).unwrap().remove(0);
    let image = Image::open(Path::new(&build.path)).unwrap();
    assert!(image.boots().by_bios && image.boots().by_uefi);
    let line = image.linux().unwrap().command_line.clone().unwrap();
    let info = workshop.image_info(&build.id).await.unwrap();
    assert!(info.boots_by_bios && info.boots_by_uefi);
    assert_eq!(
        (info.root, info.guest_command_line),
        (Some(3), Some(line.clone()))
    );

    let out = place.path("alone.img");
    let options = ComposeOptions {
        out: Some(out.clone()),
        ..ComposeOptions::default()
    };
    let job = workshop.start_compose(&appliance.id, options).unwrap();
    finish(&workshop, &job).await.unwrap();
    let image = Image::open(&out).unwrap();
    assert_eq!(
        image.linux().unwrap().command_line.as_deref(),
        Some(line.as_str())
    );
    let drive = format!("if=virtio,format=raw,snapshot=on,file={}", out.display());
    let output = Command::new("timeout")
        .args(["300", "qemu-system-x86_64", "-nodefaults", "-machine", "pc"])
        .args([
            "-accel",
            "tcg",
            "-m",
            "512",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args([
            "-netdev",
            "user,id=net0",
            "-device",
            "virtio-net-pci,netdev=net0",
        ])
        .args(["-serial", "stdio", "-drive", &drive])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("exited with status 0"), "{said}");
}
