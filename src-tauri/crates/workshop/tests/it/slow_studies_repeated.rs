//! A run on a real OpenFOAM that is done once more, from what is kept of it.

use std::fs;

use crate::place::{Place, finish};
use crate::slow_studies::{AGAIN, appliance, cavity, contents, openfoam, study_of};

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_run_is_repeated_from_its_provenance_byte_for_byte() {
    let Some(root) = openfoam() else { return };
    let (place, workshop) = Place::with_linux().await;
    appliance(&place, &workshop, &root).await;
    let more =
        "variables:\n- {name: nu, file: constant/transportProperties, entry: nu, values: [0.02]}\n";
    let folder = study_of(&place, &workshop, &cavity(&root), "repeated", more);
    assert!(workshop.study_provenance(&folder, 1).is_err());
    let job = workshop.start_study(&folder, AGAIN).unwrap();
    finish(&workshop, &job).await.unwrap();

    let text = workshop.study_provenance(&folder, 1).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(kept["verdict"], "completed");
    assert_eq!(kept["packages"][0]["name"], "openfoam");
    assert_eq!(
        kept["image_blake3"],
        *workshop.builds(None).unwrap()[0].digest
    );
    assert_eq!(kept["changes"][0]["file"], "constant/transportProperties");
    let commands = kept["command_line"].as_str().unwrap();
    assert!(
        commands.contains("/usr/bin/blockMesh; /usr/bin/icoFoam"),
        "{commands}"
    );
    let files = kept["results_sha256"].as_object().unwrap();
    assert_eq!(files.len(), contents(&folder.join("runs/001/case")).len());
    for said in [
        "windlass",
        "qemu",
        "processor",
        "kernel_version",
        "kernel_blake3",
        "study",
    ] {
        assert!(
            kept[said].as_str().is_some_and(|text| !text.is_empty()),
            "{said}"
        );
    }

    let job = workshop.start_study_repeat(&folder, 1).unwrap();
    finish(&workshop, &job).await.unwrap();
    let again = folder.join("runs/001/repeat/runs/001/case");
    assert!(contents(&again) == contents(&folder.join("runs/001/case")));
    // Another result is found, and another case is not run.
    let other = text.replacen(files["0.5/U"].as_str().unwrap(), &"0".repeat(64), 1);
    fs::write(folder.join("runs/001/provenance.json"), other).unwrap();
    let job = workshop.start_study_repeat(&folder, 1).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    assert_eq!(
        error.message,
        format!("1 of {} files not the same: 0.5/U", files.len())
    );
    let schemes = folder.join("case/system/fvSchemes");
    let own = fs::read_to_string(&schemes).unwrap();
    fs::write(&schemes, format!("{own}// more\n")).unwrap();
    let job = workshop.start_study_repeat(&folder, 1).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    assert_eq!(
        error.message,
        "The case has changed (system/fvSchemes): it would not be the same run"
    );
    assert!(workshop.machines().unwrap().is_empty());
}
