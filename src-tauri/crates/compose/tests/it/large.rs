//! Plans and trees that do not lie in memory: nobody sees it in the image, and nothing is left of where they lay.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tokio_util::sync::CancellationToken;
use windlass_compose::{
    Build, DigestCache, Error, FileList, Layer, LayerKind, Manner, Step, build_or_update, plan,
};
use windlass_image::spill;

use crate::layouts::LAYOUTS;
use crate::support::{Workshop, fill, names_in};

const NAMES: [&str; 2] = ["library", "service"];

/// A list holds so many entries in memory in the child.
const IN_MEMORY: usize = 5;

/// Two layers with folders of more entries than are held, one over the other.
fn workshop() -> Workshop {
    let mut workshop = Workshop::new();
    let library = workshop.layer(
        "library",
        &[
            "usr/lib/a = one",
            "usr/share/x = hidden",
            "taken/by/a/file = gone",
            "z -> usr",
        ],
    );
    let service = workshop.layer(
        "service",
        &[
            "hello = hello !",
            "taken = a file",
            "usr/share/x = shown",
            "empty/folder",
        ],
    );
    for number in 0..70_usize {
        let content = "x".repeat(number * 997 % 9000);
        let line = format!("usr/lib/{}/{number} = {content}", number % 3);
        fill(
            &library,
            &[&line, &format!("flat/file-{number} = {number}")],
        );
        fill(
            &service,
            &[&format!("data/{}/file-{number} = {number}", number % 20)],
        );
    }
    workshop
}

fn build(
    folder: &Path,
    parts: &Path,
    layout: usize,
    image: &str,
    has_to_stop: bool,
) -> Result<Build, Error> {
    let layers = NAMES.map(|name| {
        let package = windlass_package::Package::open(folder.join(name)).unwrap();
        Layer::from_package(&package, LayerKind::Package)
    });
    let (layout, cancel) = (LAYOUTS[layout], CancellationToken::new());
    let recipe = layout.recipe(&folder.join(image), parts, "/hello");
    let plan = plan(&layers, layout.guest, layout.root_fs, &[], &cancel)?;
    let mut progress = |report: windlass_compose::Progress| {
        if has_to_stop && report.step == Step::Write {
            cancel.cancel();
        }
    };
    build_or_update(
        &plan,
        &recipe,
        &DigestCache::default(),
        &mut progress,
        &cancel,
    )
}

/// What the child of the next tests does: it builds with hardly any memory, and looks at what it has open.
#[test]
#[ignore = "a child of another test"]
fn child_that_holds_little() {
    let variable = |name: &str| std::env::var(format!("WINDLASS_TEST_{name}"));
    let (Ok(folder), Ok(layout), Ok(image)) =
        (variable("FOLDER"), variable("LAYOUT"), variable("IMAGE"))
    else {
        return;
    };
    spill::keep_in_memory(IN_MEMORY);
    let (folder, layout) = (Path::new(&folder), layout.parse().unwrap());
    let parts = folder.join("parts");
    if variable("KILL").is_ok() {
        println!("begins");
        loop {
            build(folder, &parts, layout, &image, false).unwrap();
            fs::write(folder.join("service/hello"), b"changed").unwrap();
        }
    }
    assert!(matches!(
        build(folder, &parts, layout, "stopped", true),
        Err(Error::Cancelled)
    ));
    build(folder, &parts, layout, "no/such/folder", false).unwrap_err();
    let built = build(folder, &parts, layout, &image, false).unwrap();
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let open = open.filter_map(|file| fs::read_link(file.path()).ok());
    let temporary = std::env::temp_dir();
    let open: Vec<_> = open.filter(|file| file.starts_with(&temporary)).collect();
    assert_eq!(open, Vec::<std::path::PathBuf>::new());
    println!("built {:?}", built.changes.manner);
}

fn child(workshop: &Workshop, layout: usize, image: &str) -> Command {
    let folder = workshop.folder.path();
    fs::create_dir_all(folder.join("temporary")).unwrap();
    fs::create_dir_all(folder.join("parts")).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--ignored", "--exact", "large::child_that_holds_little"])
        .arg("--nocapture")
        .env("WINDLASS_TEST_FOLDER", folder)
        .env("WINDLASS_TEST_LAYOUT", layout.to_string())
        .env("WINDLASS_TEST_IMAGE", image)
        .env("TMPDIR", folder.join("temporary"));
    child
}

#[test]
fn an_image_is_the_same_to_the_byte_however_little_is_held_in_memory() {
    for layout in 0..3 {
        let workshop = workshop();
        let folder = workshop.folder.path();
        let both = |manner: Manner| {
            let here = build(folder, &folder.join("parts"), layout, "here.img", false).unwrap();
            assert_eq!(here.changes.manner, manner, "{layout}");
            let output = child(&workshop, layout, "there.img").output().unwrap();
            let output = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.contains(&format!("built {manner:?}")),
                "{layout}: {output}"
            );
            assert!(
                fs::read(folder.join("here.img")).unwrap()
                    == fs::read(folder.join("there.img")).unwrap(),
                "{layout} {manner:?}"
            );
            assert_eq!(
                FileList::read(&folder.join("here.img")).unwrap(),
                FileList::read(&folder.join("there.img")).unwrap()
            );
            assert!(names_in(&folder.join("temporary")).is_empty());
        };
        both(Manner::Anew);
        let service = folder.join("service");
        fill(
            &service,
            &["data/3/new = new", "hello = longer than before !"],
        );
        fs::remove_file(service.join("data/4/file-4")).unwrap();
        both(Manner::Updated);
        both(Manner::Unchanged);
    }
}

#[test]
fn nothing_is_left_of_the_temporary_files_of_a_build_that_is_killed() {
    let workshop = workshop();
    for wait_ms in [0, 1, 3, 7, 20, 60] {
        let mut child = child(&workshop, 0, "disk.img")
            .env("WINDLASS_TEST_KILL", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("begins") {
            line.clear();
            assert!(std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0);
        }
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(names_in(&workshop.path("temporary")).is_empty());
    }
}
