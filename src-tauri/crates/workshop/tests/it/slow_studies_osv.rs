//! Studies of OpenFOAM on real OSv: `WINDLASS_OSV_KERNEL` names its kernel, `WINDLASS_OSV_LIBEXT` a folder with the library
//! by which it mounts ext4, `libext.so` and `liblwext4.so`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_workshop::Workshop;

use crate::osv::with_osv;
use crate::place::{Place, finish};
use crate::slow_studies::{
    AGAIN, cavity, contents, natively, natively_by, openfoam, pack, said, study_of,
};

const SETTINGS: &str = "guest: osv\nroot_fs: rofs\nmemory_mib: 512\n";

struct Parts {
    place: Place,
    workshop: Arc<Workshop>,
    root: PathBuf,
    ext4: PathBuf,
}

/// All that is needed; nothing where something is not named.
async fn parts() -> Option<Parts> {
    let root = openfoam()?;
    let Some(ext4) = std::env::var_os("WINDLASS_OSV_LIBEXT") else {
        println!("skipped: WINDLASS_OSV_LIBEXT does not name a folder with OSv's ext4");
        return None;
    };
    let (place, workshop) = with_osv(&["WINDLASS_OSV_KERNEL"]).await?;
    let ext4 = ext4.into();
    Some(Parts {
        place,
        workshop,
        root,
        ext4,
    })
}

impl Parts {
    async fn appliance(&self, programs: &[&str], with_ext4: bool) {
        pack(&self.place, &self.root, SETTINGS, programs);
        if with_ext4 {
            for (name, to) in [("libext.so", "usr/lib/fs"), ("liblwext4.so", "usr/lib")] {
                let library = fs::read(self.ext4.join(name)).unwrap();
                self.place.write(&format!("openfoam/{to}/{name}"), &library);
            }
        }
        let folder = self.place.path("openfoam");
        self.workshop.add_appliance(&folder, None).await.unwrap();
    }

    async fn run(&self, case: &Path, more: &str) -> PathBuf {
        let folder = study_of(&self.place, &self.workshop, case, "study", more);
        let job = self.workshop.start_study(&folder, AGAIN).unwrap();
        finish(&self.workshop, &job).await.unwrap();
        folder
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_osv_boots_once_for_each_step_and_gives_the_same_files() {
    let Some(parts) = parts().await else { return };
    parts.appliance(&["blockMesh", "icoFoam"], true).await;
    let more = "variables:\n- {name: nu, file: constant/transportProperties, entry: nu, values: [0.01, 0.02]}\nlimits: {at_once: 2}\n";
    let folder = parts.run(&cavity(&parts.root), more).await;
    for (record, number) in parts.workshop.study_runs(&folder).unwrap().iter().zip(1..) {
        let run = folder.join(format!("runs/{}", record.name()));
        let console = fs::read_to_string(run.join("console.log")).unwrap();
        assert_eq!(said(record), "Done, completed: completed", "{console}");
        assert_eq!((record.steps, record.boot), (100, 1), "{console}");
        let nu = &record.values[0].1;
        let native = parts.place.path(&format!("native-{nu}"));
        natively(&parts.root, &folder.join("case"), &native, nu);
        let (guest, native) = (contents(&run.join("case")), contents(&native));
        assert!(guest == native, "another byte in a run with nu {nu}");
        for program in ["blockMesh", "icoFoam"] {
            assert!(
                console.contains(&format!("Exec   : /usr/bin/{program}")),
                "{console}"
            );
        }
        let series = parts.workshop.study_series(&folder, number).await.unwrap();
        assert_eq!(series.times.len(), 100);
    }
    assert!(parts.workshop.machines().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_turbulent_run_on_osv_is_as_close_as_its_mathematics() {
    let Some(parts) = parts().await else { return };
    parts.appliance(&["blockMesh", "simpleFoam"], true).await;
    let case = "usr/share/doc/openfoam-examples/examples/incompressible/simpleFoam/pitzDaily";
    let case = parts.root.join(case);
    let bare = parts.place.path("bare");
    bare_case(&case, &bare);
    let folder = parts.run(&bare, "").await;
    let record = parts.workshop.study_runs(&folder).unwrap().remove(0);
    let native = parts.place.path("native");
    natively_by(
        &parts.root,
        &bare,
        &native,
        &["blockMesh", "simpleFoam"],
        |_| {},
    );
    let last: u64 = last_time(&native);
    assert!(
        said(&record).starts_with("Done, converged: converged in "),
        "{}",
        said(&record)
    );
    assert!(
        record.steps.abs_diff(last) <= 2,
        "{} steps, natively {last}",
        record.steps
    );
    let guest = folder.join("runs/001/case");
    for (field, most) in [
        ("U", 0.005),
        ("p", 0.005),
        ("k", 0.005),
        ("epsilon", 0.005),
        ("nut", 0.01),
    ] {
        let of = |case: &Path| numbers(&case.join(last_time(case).to_string()).join(field));
        let (one, other) = (of(&guest), of(&native));
        assert!(
            one.len() > 12_000 && one.len() == other.len(),
            "{field}: {} and {}",
            one.len(),
            other.len()
        );
        let range = other.iter().copied().fold(f64::MIN, f64::max)
            - other.iter().copied().fold(f64::MAX, f64::min);
        let apart = one
            .iter()
            .zip(&other)
            .map(|(one, other)| (one - other).abs())
            .fold(0.0, f64::max);
        assert!(
            apart / range <= most,
            "{field} is {} of its range apart",
            apart / range
        );
    }
}

/// The case without the functions that need more libraries.
fn bare_case(case: &Path, into: &Path) {
    natively_by(Path::new("/"), case, into, &[], |copy| {
        let path = copy.join("system/controlDict");
        let text = fs::read_to_string(&path).unwrap();
        let end = text.find("functions").unwrap_or(text.len());
        fs::write(&path, &text[..end]).unwrap();
    });
}

fn last_time(case: &Path) -> u64 {
    let names = fs::read_dir(case).unwrap().flatten();
    let times = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    times.max().unwrap()
}

/// The numbers of a field's cells, vectors as three.
fn numbers(field: &Path) -> Vec<f64> {
    let text = fs::read_to_string(field).unwrap();
    let cells = text
        .split_once("internalField")
        .unwrap()
        .1
        .split_once("boundaryField")
        .unwrap()
        .0;
    let cells = cells.split_once("\n(\n").unwrap().1;
    cells
        .split(|char: char| !"0123456789.e+-".contains(char))
        .filter_map(|word| word.parse().ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_osv_without_its_ext4_says_so() {
    let Some(parts) = parts().await else { return };
    parts.appliance(&["blockMesh", "icoFoam"], false).await;
    let case = cavity(&parts.root);
    let folder = study_of(&parts.place, &parts.workshop, &case, "study", "");
    let job = parts.workshop.start_study(&folder, AGAIN).unwrap();
    let error = finish(&parts.workshop, &job).await.unwrap_err();
    insta::assert_snapshot!(format!("{}\n{}", error.message, error.hints.join("\n")), @"
    The image has no /usr/lib/fs/libext.so, by which OSv mounts the disk with the case
    Add a package that has it, with usr/lib/liblwext4.so beside it: OSv's build makes both
    Or run the study on Linux
    ");
}
