//! Runs on a real OpenFOAM that are stopped, saved and made to go on.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use windlass_study::Wish;
use windlass_study::record::Runs;
use windlass_workshop::Workshop;
use windlass_workshop::studies::{Record, RunState, Verdict};

use crate::place::{Place, finish, until};
use crate::slow_studies::{AGAIN, appliance, cavity, contents, openfoam, said, study_of};

/// A run of this study has calculated for a while.
async fn calculating(workshop: &Workshop, folder: &Path, number: usize, steps: u64) -> Record {
    until("a run that calculates", async || {
        let record = workshop.study_runs(folder).unwrap().remove(number - 1);
        (record.state == RunState::Running && record.steps > steps).then_some(record)
    })
    .await
}

async fn parts() -> Option<(Place, Arc<Workshop>, std::path::PathBuf)> {
    let root = openfoam()?;
    let (place, workshop) = Place::with_linux().await;
    appliance(&place, &workshop, &root).await;
    Some((place, workshop, root))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_run_that_is_stopped_and_saved_goes_on_from_there() {
    let Some((place, workshop, root)) = parts().await else {
        return;
    };
    let more = "variables:\n- {name: end, file: system/controlDict, entry: endTime, values: [5000, 5001, 5002]}\nlimits: {at_once: 2}\n";
    let folder = study_of(&place, &workshop, &cavity(&root), "steered", more);
    let job = workshop.start_study(&folder, AGAIN).unwrap();
    calculating(&workshop, &folder, 1, 20).await;
    calculating(&workshop, &folder, 2, 0).await;
    let error = workshop.study_stop(&folder, &[3], false).unwrap_err();
    assert_eq!(error.message, "Run 003 does not run");
    // The first saves, and the third waits for a place that it never gets.
    workshop.study_stop(&folder, &[1], true).unwrap();
    let saved = until("a run that is saved", async || {
        let record = workshop.study_runs(&folder).unwrap().remove(0);
        (record.state == RunState::Done).then_some(record)
    })
    .await;
    assert_eq!(saved.verdict, Some(Verdict::Stopped), "{}", said(&saved));
    assert!(saved.is_saved && saved.may_go_on(), "{saved:?}");
    assert_eq!(saved.exit_status, Some(0));
    let last = saved.last_time.unwrap();
    assert_eq!(
        saved.message.as_deref(),
        Some(&*format!("stopped, and saved at {last}"))
    );
    let run = folder.join("runs/001");
    let field = |time: f64| run.join(format!("case/{time}/U"));
    assert!(field(last).is_file(), "the time that it saved came back");
    let control = fs::read_to_string(run.join("case/system/controlDict")).unwrap();
    let own = fs::read_to_string(folder.join("case/system/controlDict")).unwrap();
    let own = own.replace("endTime         0.5;", "endTime         5000;");
    assert_eq!(control, own, "what stopped it is no part of its case");

    // All that is left: one is cut, the other never begins.
    workshop.study_stop(&folder, &[], false).unwrap();
    finish(&workshop, &job).await.unwrap();
    let runs = workshop.study_runs(&folder).unwrap();
    let told: Vec<String> = runs[1..].iter().map(said).collect();
    assert_eq!(told[0], "Done, stopped: stopped");
    assert!(!runs[1].may_go_on());
    assert!(
        folder
            .join("runs/002/case/constant/polyMesh/points")
            .is_file()
    );
    assert!(runs[2].state != RunState::Running && runs[2].verdict != Some(Verdict::Completed));
    assert!(workshop.machines().unwrap().is_empty());

    // On from there, in the same run.
    let steps = runs[0].steps;
    let earlier = contents(&run.join("case"));
    let error = workshop.study_extend(&folder, &[1], "0.001").unwrap_err();
    assert!(error.message.contains("already"), "{}", error.message);
    let error = workshop.study_extend(&folder, &[2], "9999").unwrap_err();
    assert_eq!(error.message, "Run 002 has nothing to go on from");
    let end = format!("{:.3}", last + 0.1);
    let job = workshop.study_extend(&folder, &[1], &end).unwrap().unwrap();
    finish(&workshop, &job).await.unwrap();
    let gone_on = workshop.study_runs(&folder).unwrap().remove(0);
    assert_eq!(said(&gone_on), "Done, completed: completed");
    assert_eq!(gone_on.steps, steps + 20);
    assert!((gone_on.last_time.unwrap() - last - 0.1).abs() < 1e-6);
    let console = fs::read_to_string(run.join("console.log")).unwrap();
    assert_eq!(console.matches("Exec   : /usr/bin/icoFoam").count(), 2);
    assert_eq!(console.matches("Exec   : /usr/bin/blockMesh").count(), 1);
    for (path, bytes) in earlier {
        let kept = fs::read(run.join("case").join(&path)).unwrap();
        assert!(
            kept == bytes || path.ends_with("controlDict"),
            "{} is another one",
            path.display()
        );
    }
    assert_eq!(Runs::of(&folder).wish(1), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_the_end_of_a_run_is_moved_while_it_runs_and_an_orphan_is_saved() {
    let Some((place, workshop, root)) = parts().await else {
        return;
    };
    let more =
        "variables:\n- {name: end, file: system/controlDict, entry: endTime, values: [3000]}\n";
    let folder = study_of(&place, &workshop, &cavity(&root), "moved", more);
    let job = workshop.start_study(&folder, AGAIN).unwrap();
    calculating(&workshop, &folder, 1, 5).await;
    workshop.study_extend(&folder, &[1], "4000").unwrap();
    until("an end that moved", async || {
        let record = workshop.study_runs(&folder).unwrap().remove(0);
        (record.end_time == Some(4000.0)).then_some(())
    })
    .await;
    assert_eq!(Runs::of(&folder).wish(1), None, "it was granted");
    // What a process wants that is killed before anybody looks is done by the next one.
    Runs::of(&folder).want(1, &Wish::Save).unwrap();
    finish(&workshop, &job).await.unwrap();
    let record = workshop.study_runs(&folder).unwrap().remove(0);
    assert_eq!(record.verdict, Some(Verdict::Stopped), "{}", said(&record));
    assert!(record.is_saved);
    let control = fs::read_to_string(folder.join("runs/001/case/system/controlDict")).unwrap();
    assert!(control.contains("endTime         4000;"), "{control}");
    assert!(control.contains("stopAt          endTime;"), "{control}");
}
