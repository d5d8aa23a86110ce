//! The files that make groups: what is wrong with one is said before anything starts.

use windlass_workshop::error::ErrorKind;

use crate::place::{Place, finish};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_mistake_starts_nothing() {
    let place = Place::new();
    let workshop = place.open().await;
    let file = place.write(
        "shop/windlass-group.yaml",
        b"services:\n  web: {appliance: web, depends_on: [bd]}\n  db: {appliance: db}\n",
    );
    let error = workshop.start_group_up(&file).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Input);
    assert!(
        error.message.contains("There is no service `bd`"),
        "{error:?}"
    );
    let error = workshop.start_group_up(&place.path("nothing")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);

    let file = place.write(
        "shop/windlass-group.yaml",
        b"services: {web: {appliance: nowhere}}\n",
    );
    let job = workshop.start_group_up(&file).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    assert!(
        error
            .hints
            .iter()
            .any(|it| it.contains("The service web names it")),
        "{error:?}"
    );
    assert!(workshop.groups().is_empty());
}
