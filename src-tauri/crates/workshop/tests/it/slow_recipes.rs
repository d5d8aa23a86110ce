//! Packages by recipe in real guests: an image of those alone that a case needs, and each package's own test.
//!
//! The package files are where `WINDLASS_TEST_OPENFOAM_DEBS` says.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use windlass_package::pack::recipe::Recipe;
use windlass_workshop::Workshop;
use windlass_workshop::studies::StudyOptions;

use crate::place::{Place, console, ended, finish, run};

/// The folder of package files, and where OpenFOAM's cavity is.
fn parts() -> Option<(PathBuf, PathBuf)> {
    let debs = std::env::var_os("WINDLASS_TEST_OPENFOAM_DEBS").map(PathBuf::from);
    let root = std::env::var_os("WINDLASS_TEST_OPENFOAM").map_or("/".into(), PathBuf::from);
    let cavity =
        root.join("usr/share/doc/openfoam-examples/examples/incompressible/icoFoam/cavity/cavity");
    let debs = debs.filter(|debs| debs.is_dir() && cavity.is_dir());
    if debs.is_none() {
        println!("skipped: there are no package files of OpenFOAM, or no tutorials");
    }
    debs.map(|debs| (debs, cavity))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_an_image_of_openfoam_holds_only_what_its_case_needs() {
    let Some((debs, cavity)) = parts() else {
        return;
    };
    let (place, workshop) = Place::with_linux().await;
    let folder = place.path("cavity");
    let report = workshop.study_new(&cavity, &folder).unwrap();
    let told = |report: &windlass_workshop::studies::StudyReport| {
        let line = |package: &windlass_workshop::studies::ProposedPackage| {
            let recipe = package.recipe.as_deref().unwrap_or("-");
            format!("{} {} {recipe}", package.name, package.is_installed)
        };
        report.packages.iter().map(line).collect::<Vec<_>>()
    };
    assert_eq!(
        told(&report),
        ["core", "mesh", "icofoam"].map(|name| format!("openfoam.{name}-1912 false openfoam-1912"))
    );
    // One command makes them, and an appliance of them; once more, and there is nothing to do.
    for _ in 0..2 {
        let job = workshop.start_study_prepare(&folder, Some(&debs)).unwrap();
        assert_eq!(finish(&workshop, &job).await.unwrap(), "cavity-image");
    }
    let report = workshop.study_check(&folder).unwrap();
    assert_eq!(report.appliance.as_deref(), Some("cavity-image"));
    assert_eq!(
        told(&report),
        ["core", "mesh", "icofoam"].map(|name| format!("openfoam.{name}-1912 true openfoam-1912"))
    );
    let job = workshop
        .start_study(&folder, StudyOptions::default())
        .unwrap();
    finish(&workshop, &job).await.unwrap();
    let run = workshop.study_runs(&folder).unwrap().remove(0);
    assert_eq!(run.message.as_deref(), Some("completed"));
    assert_eq!((run.steps, run.last_time), (100, Some(0.5)));
    assert!(folder.join("runs/001/case/0.5/U").is_file());
    let image = workshop.builds(None).unwrap().remove(0);
    // The room for what a guest may write is a hole in the file.
    let mebibytes = fs::metadata(&image.path).unwrap().blocks() >> 11;
    let whole = unpacked(&debs, "openfoam") + unpacked(&debs, "libopenfoam");
    println!(
        "the image of the cavity: {mebibytes} MiB; OpenFOAM alone: {} MiB",
        whole >> 20
    );
    assert!(
        mebibytes < 110 && whole >> 20 > 3 * mebibytes,
        "{mebibytes} MiB"
    );
}

/// How many bytes a package file would install.
fn unpacked(debs: &std::path::Path, name: &str) -> u64 {
    let entries = fs::read_dir(debs).unwrap().flatten();
    let file = entries
        .map(|entry| entry.path())
        .find(|path| {
            let file = path.file_name().unwrap().to_string_lossy();
            file.split_once('_').is_some_and(|(first, _)| first == name)
        })
        .unwrap();
    let mut bytes = 0;
    windlass_package::deb::read::<windlass_package::deb::DebError>(&file, &mut (), |entry| {
        bytes += entry.size();
        Ok(())
    })
    .unwrap();
    bytes
}

/// Some packages, or all of them where `WINDLASS_TEST_STUDIES` asks for it: each says in a guest what its recipe expects.
#[tokio::test(flavor = "multi_thread")]
async fn slow_each_package_boots_and_says_what_its_recipe_expects() {
    let Some((debs, _)) = parts() else { return };
    let recipe = &Recipe::shipped()[0];
    let some = ["turbulence", "snappy", "mpi", "simplefoam"];
    let is_full = std::env::var_os("WINDLASS_TEST_STUDIES").is_some();
    let chosen: Vec<String> = recipe
        .parts
        .iter()
        .filter(|part| {
            is_full
                || some
                    .iter()
                    .any(|name| part.name == format!("openfoam.{name}-1912"))
        })
        .map(|part| part.name.clone())
        .collect();
    let (place, workshop) = Place::with_linux().await;
    let job = workshop.start_recipe(&chosen, Some(&debs)).unwrap();
    let made = tokio::time::timeout(
        10 * crate::place::PATIENCE,
        workshop.finish_job(&job.id, |_| {}),
    );
    made.await.unwrap().unwrap();
    let mut sizes = String::new();
    for name in &chosen {
        let said = try_in_guest(&place, &workshop, recipe, name).await;
        let expected = &recipe.part(name).unwrap().test.prints;
        let matches = regex::Regex::new(expected).unwrap().is_match(&said);
        assert!(matches, "{name} does not say {expected}:\n{said}");
        let image = workshop.builds(None).unwrap().remove(0);
        let mebibytes = fs::metadata(&image.path).unwrap().blocks() >> 11;
        writeln!(sizes, "{name}: {mebibytes} MiB").unwrap();
        workshop.delete_build(&image.id).unwrap();
    }
    println!("{sizes}");
}

/// What an image of one package alone says to its test.
async fn try_in_guest(
    place: &Place,
    workshop: &Arc<Workshop>,
    recipe: &Recipe,
    name: &str,
) -> String {
    let short = name.replace("openfoam.", "try-");
    let manifest = format!("name: {short}\ntitle: T\nauthor: nobody\nrequire: [{name}]\n");
    place.write(&format!("{short}/meta/package.yaml"), manifest.as_bytes());
    let command = &recipe.part(name).unwrap().test.command;
    let settings = format!(
        "guest: linux\nroot_fs: ext4\nnetwork: false\ncommand: {command}\nenv: {{WM_PROJECT_DIR: /usr/share/openfoam}}\n"
    );
    place.write(&format!("{short}/meta/windlass.yaml"), settings.as_bytes());
    let appliance = workshop
        .add_appliance(&place.path(&short), None)
        .await
        .unwrap();
    let machine = run(workshop, &appliance.id).await;
    ended(workshop, &machine).await;
    let said = console(workshop, &machine).await;
    workshop.delete_machine(&machine).await.unwrap();
    said
}
