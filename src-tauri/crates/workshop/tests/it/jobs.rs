//! Jobs: cancelled, repeated, looked up.

use std::collections::HashSet;

use windlass_workshop::error::ErrorKind;
use windlass_workshop::jobs::{JobKind, JobState};

use crate::place::{Place, finish, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_cancelled_in_the_middle_leaves_nothing() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let data = std::fs::File::create(place.path("hello/data")).unwrap();
    data.set_len(2 << 30).unwrap();

    let job = workshop.start_build(&appliance.id).unwrap();
    let at = until("progress", async || {
        let job = workshop.job(&job.id).unwrap();
        assert_eq!(job.state, JobState::Running, "{job:?}");
        (job.done > 0).then_some(job)
    })
    .await;
    assert!(at.total.unwrap() > at.done && at.step.is_some(), "{at:?}");
    workshop.cancel_job(&job.id).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);

    let job = workshop.job(&job.id).unwrap();
    assert_eq!(
        (job.state, job.error, job.produced),
        (JobState::Cancelled, None, None)
    );
    assert!(job.ended_at.is_some());
    assert_eq!(place.list("images"), [""; 0]);
    assert_eq!(workshop.builds(None).unwrap(), []);
    // Cancelling what has ended changes nothing.
    workshop.cancel_job(&job.id).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_keeps_its_log_and_is_tried_again() {
    let (place, workshop) = Place::with_kernel_header().await;
    let appliance = place.hello(&workshop, "/hello").await;
    let folder = std::path::Path::new(&appliance.path);
    let away = place.path("away");
    std::fs::rename(folder, &away).unwrap();

    let job = workshop.start_build(&appliance.id).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    let job = workshop.job(&job.id).unwrap();
    assert_eq!(
        (job.state, job.error.as_ref()),
        (JobState::Failed, Some(&error))
    );
    // Whoever asks late hears the same.
    assert_eq!(finish(&workshop, &job).await.unwrap_err(), error);
    let log = workshop.job_log(&job.id).unwrap();
    let words: Vec<&str> = log
        .lines()
        .map(|line| &line["00:00:00  ".len()..])
        .collect();
    insta::assert_snapshot!(place.without_chance(&words.join("\n")), @"
    there is no folder …/hello
      hint: Put it back where it was, or forget it here and add it again.
    ");

    std::fs::rename(&away, folder).unwrap();
    let again = workshop.retry_job(&job.id).unwrap();
    assert_ne!(again.id, job.id);
    let build = finish(&workshop, &again).await.unwrap();
    assert_eq!(workshop.build(&build).unwrap().appliance_id, appliance.id);
    let error = workshop.retry_job("none").unwrap_err();
    assert_eq!(
        (error.kind, error.message.as_str()),
        (ErrorKind::NotFound, "There is no job `none`")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_page_by_page_and_outlives_its_windlass() {
    let place = Place::new();
    let workshop = place.open().await;
    for _ in 0..5 {
        let job = workshop.start_sample("hello").unwrap();
        finish(&workshop, &job).await.unwrap();
    }
    drop(workshop);

    let workshop = place.open().await;
    let first = workshop.jobs(2, None).unwrap();
    let second = workshop.jobs(2, Some(&first[1].id)).unwrap();
    let third = workshop.jobs(2, Some(&second[1].id)).unwrap();
    assert_eq!([first.len(), second.len(), third.len()], [2, 2, 1]);
    let all: Vec<_> = [first, second, third].concat();
    assert_eq!(
        all.iter().map(|job| &job.id).collect::<HashSet<_>>().len(),
        5
    );
    assert!(all.is_sorted_by(|newer, older| newer.started_at >= older.started_at));
    assert!(
        all.iter()
            .all(|job| job.kind == JobKind::Sample && job.state == JobState::Done)
    );
    assert_eq!(all[0].produced, all[4].produced);
    assert!(
        workshop
            .job_log(&all[4].id)
            .unwrap()
            .contains("Writing the appliance")
    );
}
