//! Registries, from a folder of archives to packages in the library and images that are built from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_workshop::Workshop;
use windlass_workshop::error::ErrorKind;
use windlass_workshop::packages::{PackageFilter, PackageSource, Requirement};
use windlass_workshop::registries::{CredentialsForm, RegistryForm, RegistryKind, RegistryState};

use crate::place::{Place, finish};

fn form(name: &str, kind: RegistryKind, url: &str) -> RegistryForm {
    RegistryForm {
        name: name.to_owned(),
        kind,
        url: url.to_owned(),
        prefix: None,
        ca_file: None,
        proxy: None,
        minisign_key: None,
        credentials: CredentialsForm::None,
    }
}

/// A workshop that knows the folder `registry` of its place, and no registry beyond this computer.
async fn with_registry(place: &Place, workshop: &Arc<Workshop>) -> u32 {
    let folder = place.path("registry");
    std::fs::create_dir_all(&folder).unwrap();
    for registry in workshop.registries().unwrap() {
        workshop.enable_registry(registry.id, false).unwrap();
    }
    let form = form("team", RegistryKind::Folder, &folder.display().to_string());
    workshop.add_registry(form).await.unwrap().id
}

/// Puts a package into the registry's folder, as one file with its manifest beside it.
async fn offer(place: &Place, workshop: &Arc<Workshop>, name: &str, version: &str, more: &str) {
    let folder = format!("made/{name}-{version}");
    let manifest =
        format!("name: {name}\ntitle: The {name}\nauthor: Jane\nversion: {version}\n{more}");
    place.write(&format!("{folder}/meta/package.yaml"), manifest.as_bytes());
    let content = format!("{name} {version}\n");
    place.write(&format!("{folder}/opt/{name}"), content.as_bytes());
    let into = place.path(&format!("registry/{version}"));
    std::fs::create_dir_all(&into).unwrap();
    let out = into.join(format!("{name}.mpm"));
    let job = workshop
        .start_package_build(&place.path(&folder), Some(&out))
        .unwrap();
    finish(workshop, &job).await.unwrap();
    std::fs::write(out.with_extension("yaml"), manifest).unwrap();
}

async fn refresh(workshop: &Arc<Workshop>, id: u32) {
    let job = workshop.start_refresh(Some(id)).unwrap();
    finish(workshop, &job).await.unwrap();
}

async fn pull(
    workshop: &Arc<Workshop>,
    name: &str,
) -> Result<String, windlass_workshop::error::AppError> {
    let job = workshop.start_pull(name, None, None).unwrap();
    finish(workshop, &job).await
}

fn installed(workshop: &Workshop) -> Vec<String> {
    let packages = workshop.packages().unwrap();
    packages
        .into_iter()
        .map(|it| format!("{} {}", it.name, it.version.unwrap_or_default()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_is_found_described_and_pulled_with_what_it_needs() {
    let place = Place::new();
    let workshop = place.open().await;
    let id = with_registry(&place, &workshop).await;
    offer(&place, &workshop, "libs", "1.0", "").await;
    offer(&place, &workshop, "libs", "2.0", "").await;
    let needs = "require: [libs]\nx-versions: {libs: \"^1.0\"}\n";
    offer(&place, &workshop, "tool", "1.4", needs).await;
    refresh(&workshop, id).await;

    let all = workshop
        .search_packages("", &PackageFilter::default(), 0, 50)
        .await
        .unwrap();
    let names: Vec<_> = all.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(
        (all.total, names.as_slice()),
        (2, ["libs", "tool"].as_slice())
    );
    assert_eq!(all.rows[0].version.as_deref(), Some("2.0"));
    assert_eq!(all.rows[0].versions, 2);
    let found = workshop
        .search_packages("tool", &PackageFilter::default(), 0, 50)
        .await
        .unwrap();
    assert_eq!(found.rows[0].name, "tool");
    assert_eq!(found.rows[0].source, PackageSource::Registry);

    let graph = workshop.package_graph("tool", None).await.unwrap();
    assert_eq!(graph.edges[0].constraint.as_deref(), Some("^1.0"));
    assert_eq!(graph.nodes[1].version.as_deref(), Some("1.0"));

    assert_eq!(pull(&workshop, "tool").await.unwrap(), "tool");
    assert_eq!(installed(&workshop), ["libs 1.0", "tool 1.4"]);
    let details = workshop.package_details("libs", None).await.unwrap();
    assert_eq!(details.version.as_deref(), Some("1.0"));
    assert_eq!(details.needed_by[0].name, "tool");
    assert!(details.origin.unwrap().starts_with("team: "));
    let plan = workshop.update_plan().await.unwrap();
    assert_eq!(
        (plan[0].name.as_str(), plan[0].to.as_str()),
        ("libs", "2.0")
    );
    let tree = workshop.package_tree("tool", None, "/opt").await.unwrap();
    assert_eq!(tree[0].path, "/opt/tool");

    // Nothing is left of the downloads.
    let usage = workshop.library_usage().await.unwrap();
    assert_eq!(usage.partial_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_is_said_and_all_else_works() {
    let place = Place::new();
    let workshop = place.open().await;
    let id = with_registry(&place, &workshop).await;
    offer(&place, &workshop, "libs", "1.0", "").await;
    refresh(&workshop, id).await;
    pull(&workshop, "libs").await.unwrap();
    // A port that nobody listens at.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let url = format!("http://127.0.0.1:{port}/packages");
    let mut gone = form("gone", RegistryKind::Http, &url);
    gone.proxy = Some("none".to_owned());
    let gone = workshop.add_registry(gone).await.unwrap();
    let job = workshop.start_refresh(Some(gone.id)).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(error.message, "gone did not answer as it should");
    let gone = workshop.registry("gone").unwrap();
    assert_eq!(gone.state, RegistryState::Offline, "{gone:?}");
    let page = workshop
        .search_packages("libs", &PackageFilter::default(), 0, 10)
        .await
        .unwrap();
    assert_eq!(page.rows.len(), 1);
    assert_eq!(page.offline, ["gone"]);
    let error = pull(&workshop, "nothing").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(
        error.hints.contains(&"gone is offline".to_owned()),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_was_replaced_under_its_version_is_refused() {
    let place = Place::new();
    let workshop = place.open().await;
    let id = with_registry(&place, &workshop).await;
    offer(&place, &workshop, "libs", "1.0", "").await;
    refresh(&workshop, id).await;
    pull(&workshop, "libs").await.unwrap();
    workshop.remove_package("libs", None).await.unwrap();

    place.write("made/libs-1.0/opt/evil", b"other content");
    offer(&place, &workshop, "libs", "1.0", "").await;
    refresh(&workshop, id).await;
    let error = pull(&workshop, "libs").await.unwrap_err();
    assert!(error.message.contains("was replaced"), "{error:?}");
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(installed(&workshop).is_empty());

    let replaced = error.replaced.unwrap();
    assert_eq!(
        (replaced.registry_id, replaced.registry.as_str()),
        (id, "team")
    );
    assert_eq!(
        (replaced.name.as_str(), replaced.version.as_deref()),
        ("libs", Some("1.0"))
    );
    assert_ne!(replaced.known, replaced.found);
    assert!(
        error
            .hints
            .contains(&"`windlassctl registry accept team libs` accepts it".to_owned()),
        "{:?}",
        error.hints
    );
    // The failure is as whole in the history.
    let kept = workshop.jobs(1, None).unwrap().remove(0).error.unwrap();
    assert_eq!(kept.replaced.as_ref(), Some(&replaced));

    // Just what was looked at is accepted, and not what comes after it.
    let found = Some(replaced.found.as_str());
    let accepted = workshop
        .accept_digest(id, "libs", None, found)
        .await
        .unwrap();
    assert_eq!(
        (&accepted.old, accepted.new.as_ref()),
        (&replaced.known, Some(&replaced.found))
    );
    place.write("made/libs-1.0/opt/evil", b"yet other content");
    offer(&place, &workshop, "libs", "1.0", "").await;
    refresh(&workshop, id).await;
    let error = pull(&workshop, "libs").await.unwrap_err();
    let again = error.replaced.unwrap();
    assert_eq!(again.known, replaced.found);
    let error = workshop
        .accept_digest(id, "libs", None, Some("a digest"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Input);

    workshop
        .accept_digest(id, "libs", None, Some(&again.found))
        .await
        .unwrap();
    pull(&workshop, "libs").await.unwrap();
    assert_eq!(installed(&workshop), ["libs 1.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_file_brings_the_same_packages_next_year() {
    let (place, workshop) = Place::with_kernel_header().await;
    let id = with_registry(&place, &workshop).await;
    offer(&place, &workshop, "libs", "1.0", "").await;
    refresh(&workshop, id).await;
    let folder = place.write_appliance("service", "/service");
    place.write("service/service", b"#!/bin/sh\n");
    let appliance = workshop.add_appliance(&folder, None).await.unwrap();
    let require = [Requirement {
        name: "libs".to_owned(),
        constraint: None,
    }];
    let set = workshop.set_layers(&appliance.id, &require).await.unwrap();
    // It is asked for, though the library does not have it yet.
    assert_eq!(set.contents.require, require);
    assert!(set.contents.layers.is_empty() && !set.contents.findings.is_empty());
    let job = workshop.start_lock_update(&appliance.id).unwrap();
    finish(&workshop, &job).await.unwrap();
    let lock = workshop.lock_info(&appliance.id).await.unwrap();
    assert_eq!(lock.packages[0].version.as_deref(), Some("1.0"));
    assert!(lock.stale.is_empty(), "{lock:?}");

    // A newer one comes, and the one that is locked goes.
    offer(&place, &workshop, "libs", "2.0", "").await;
    refresh(&workshop, id).await;
    pull(&workshop, "libs").await.unwrap();
    workshop.remove_package("libs", Some("1.0")).await.unwrap();
    let lock = workshop.lock_info(&appliance.id).await.unwrap();
    assert_eq!(lock.stale.len(), 1, "{lock:?}");

    let job = workshop.start_provide(&folder).unwrap();
    finish(&workshop, &job).await.unwrap();
    let contents = workshop.contents(&appliance.id).await.unwrap();
    let libs = contents.layers.iter().find(|it| it.name == "libs").unwrap();
    assert_eq!(libs.version.as_deref(), Some("1.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pull_the_same_at_once() {
    let place = Place::new();
    let one = place.open().await;
    let id = with_registry(&place, &one).await;
    offer(&place, &one, "libs", "1.0", "").await;
    offer(&place, &one, "tool", "1.0", "require: [libs]\n").await;
    refresh(&one, id).await;
    let two = place.open().await;
    let (first, second) = tokio::join!(pull(&one, "tool"), pull(&two, "tool"));
    first.unwrap();
    second.unwrap();
    assert_eq!(installed(&one), ["libs 1.0", "tool 1.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_goes_from_one_library_to_another_by_a_registry() {
    let place = Place::new();
    let maker = place.open().await;
    let id = with_registry(&place, &maker).await;
    place.write(
        "mine/meta/package.yaml",
        b"name: mine\ntitle: Mine\nauthor: Jane\nversion: 1.0\n",
    );
    place.write("mine/data", b"data");
    let job = maker.start_add_packages(&[place.path("mine")]).unwrap();
    finish(&maker, &job).await.unwrap();
    let job = maker.start_publish("mine", None, id).unwrap();
    let published = finish(&maker, &job).await.unwrap();
    assert!(
        Path::new(&published).exists() || published.contains("mine"),
        "{published}"
    );
    let out = place.path("exported");
    std::fs::create_dir(&out).unwrap();
    let job = maker.start_export("mine", None, &out).unwrap();
    let exported = PathBuf::from(finish(&maker, &job).await.unwrap());
    assert!(exported.is_file() && exported.with_extension("yaml").is_file());

    maker.remove_package("mine", None).await.unwrap();
    pull(&maker, "mine").await.unwrap();
    assert_eq!(installed(&maker), ["mine 1.0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_the_secret_store_alone() {
    const SECRET: &str = "correct-horse-battery";
    let place = Place::new();
    let workshop = place.open().await;
    workshop
        .unlock_secrets("a passphrase".to_owned())
        .await
        .unwrap();
    let mut form = form("private", RegistryKind::Http, "http://127.0.0.1:9/packages");
    form.proxy = Some("none".to_owned());
    form.credentials = CredentialsForm::Basic {
        user: "jane".to_owned(),
        password: SECRET.to_owned(),
    };
    assert!(!format!("{form:?}").contains(SECRET));
    let registry = workshop.add_registry(form).await.unwrap();
    assert!(registry.needs_login);
    let job = workshop.start_refresh(Some(registry.id)).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    assert!(!format!("{error:?}").contains(SECRET));
    let mut folders = vec![place.home()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                let found = bytes
                    .windows(SECRET.len())
                    .any(|at| at == SECRET.as_bytes());
                assert!(!found, "{}", entry.path().display());
            }
        }
    }
    workshop.remove_registry(registry.id).await.unwrap();

    let mut url = self::form("leak", RegistryKind::Http, "https://jane:pw@host/");
    url.proxy = None;
    let error = workshop.add_registry(url).await.unwrap_err();
    assert_eq!(error.message, "An address must not have a password in it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_capstan_left_is_taken_over_once() {
    let place = Place::new();
    let workshop = place.open().await;
    for registry in workshop.registries().unwrap() {
        workshop.enable_registry(registry.id, false).unwrap();
    }
    offer(&place, &workshop, "libs", "1.0", "").await;
    let home = place.path("capstan");
    std::fs::create_dir_all(home.join("packages")).unwrap();
    for ending in ["mpm", "yaml"] {
        let file = format!("libs.{ending}");
        let from = place.path("registry/1.0").join(&file);
        std::fs::copy(from, home.join("packages").join(&file)).unwrap();
    }
    place.write("capstan/packages/broken.mpm", b"no archive");
    place.write(
        "capstan/config.yaml",
        b"repo_url: http://127.0.0.1:9/bucket\n",
    );
    let seen = workshop.capstan_home(Some(&home)).await.unwrap().unwrap();
    assert_eq!(seen.packages, 2);
    let job = workshop.start_capstan_import(Some(&home)).unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    assert!(error.chain[0].starts_with("broken: "), "{error:?}");
    assert_eq!(installed(&workshop), ["libs 1.0"]);
    assert_eq!(workshop.registry("Capstan").unwrap().kind, RegistryKind::S3);
    assert_eq!(
        workshop
            .capstan_home(Some(&place.path("none")))
            .await
            .unwrap(),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_found_and_fetched_again() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let workshop = place.open().await;
    let id = with_registry(&place, &workshop).await;
    offer(&place, &workshop, "libs", "1.0", "").await;
    refresh(&workshop, id).await;
    pull(&workshop, "libs").await.unwrap();
    let details = workshop.package_details("libs", None).await.unwrap();
    let file = Path::new(&details.path.unwrap()).join("opt/libs");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&file, "libs 6.6\n").unwrap();

    let job = workshop.start_verify().unwrap();
    let error = finish(&workshop, &job).await.unwrap_err();
    assert!(error.message.contains("damaged"), "{error:?}");
    let job = workshop.start_repair().unwrap();
    finish(&workshop, &job).await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "libs 1.0\n");
    let job = workshop.start_verify().unwrap();
    finish(&workshop, &job).await.unwrap();
}
