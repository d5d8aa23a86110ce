//! The file for real, the choice between the two, and the desktop's service for real where it can be had.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::*;
use crate::error::AppError;

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// A store that has found no secret service.
fn file_store(home: &Path) -> SecretStore {
    SecretStore::choose(home, "file", || {
        unreachable!("the service is not asked for")
    })
    .unwrap()
}

fn found(store: &SecretStore, name: &str) -> String {
    match store.get("registry", name) {
        Ok(Some(secret)) => secret.expose_secret().to_owned(),
        Ok(None) => "-".to_owned(),
        Err(error) => format!("{error}. {}", error.hint().unwrap_or_default()),
    }
}

#[test]
fn a_file_asks_for_a_passphrase_once_and_keeps_what_it_is_given() {
    let home = tempfile::tempdir().unwrap();
    let store = file_store(home.path());
    assert!(store.backend().locked);
    // Nothing was kept yet, and that can be said without a passphrase.
    assert_eq!(found(&store, "mine"), "-");
    store.delete("registry", "mine").unwrap();
    let error = store
        .set("registry", "mine", &secret("hunter2"))
        .unwrap_err();
    assert!(
        matches!(error, SecretError::Locked { new: true }),
        "{error:?}"
    );
    assert!(matches!(
        store.unlock(&secret("")),
        Err(SecretError::EmptyPassphrase)
    ));
    assert!(!home.path().join(FILE_NAME).exists());

    store.unlock(&secret("correct horse")).unwrap();
    store.set("registry", "mine", &secret("hunter2")).unwrap();
    store.set("cloud", "mine", &secret("other")).unwrap();
    assert_eq!(found(&store, "mine"), "hunter2");
    assert!(!store.backend().locked);

    let path = home.path().join(FILE_NAME);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n-> scrypt "));
    assert!(!bytes.windows(7).any(|window| window == b"hunter2"));

    let again = file_store(home.path());
    assert_eq!(
        found(&again, "mine"),
        "The secrets are locked. Give the passphrase of the secrets"
    );
    assert!(matches!(
        again.unlock(&secret("horse")),
        Err(SecretError::WrongPassphrase)
    ));
    again.unlock(&secret("correct horse")).unwrap();
    assert_eq!(found(&again, "mine"), "hunter2");
    again.delete("registry", "mine").unwrap();
    assert_eq!(found(&again, "mine"), "-");
    // What the other one wrote is seen.
    assert_eq!(found(&store, "mine"), "-");
    store.lock();
    assert!(matches!(
        store.get("cloud", "mine"),
        Err(SecretError::Locked { new: false })
    ));
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "the file and its lock: {left:?}");
}

#[test]
fn two_that_write_at_once_lose_nothing() {
    let home = tempfile::tempdir().unwrap();
    let write = |who: &'static str| {
        let store = file_store(home.path());
        store.unlock(&secret("passphrase")).unwrap();
        for number in 0..4 {
            store
                .set("registry", &format!("{who}{number}"), &secret(who))
                .unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| write("a"));
        scope.spawn(|| write("b"));
    });
    let store = file_store(home.path());
    store.unlock(&secret("passphrase")).unwrap();
    for number in 0..4 {
        assert_eq!(found(&store, &format!("a{number}")), "a");
        assert_eq!(found(&store, &format!("b{number}")), "b");
    }
}

#[test]
fn a_passphrase_that_is_changed_locks_out_who_knows_the_old_one() {
    let home = tempfile::tempdir().unwrap();
    let (here, elsewhere) = (file_store(home.path()), file_store(home.path()));
    let changed = here.change_passphrase(&secret("old"), &secret("new"));
    assert!(matches!(changed, Err(SecretError::Locked { new: true })));
    for store in [&here, &elsewhere] {
        store.unlock(&secret("old")).unwrap();
    }
    here.set("registry", "mine", &secret("hunter2")).unwrap();
    let wrong = here.change_passphrase(&secret("odl"), &secret("new"));
    assert!(matches!(wrong, Err(SecretError::WrongPassphrase)));
    here.change_passphrase(&secret("old"), &secret("new"))
        .unwrap();
    assert_eq!(found(&here, "mine"), "hunter2");
    assert!(matches!(
        elsewhere.get("registry", "mine"),
        Err(SecretError::Locked { new: false })
    ));
    elsewhere.unlock(&secret("new")).unwrap();
    assert_eq!(found(&elsewhere, "mine"), "hunter2");
}

#[test]
fn a_damaged_file_is_said_to_be_one_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(FILE_NAME);
    let store = file_store(home.path());
    store.unlock(&secret("passphrase")).unwrap();
    store.set("registry", "mine", &secret("hunter2")).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let last = whole.len() - 1;
    let mut flipped = whole.clone();
    flipped[last] ^= 1;
    for bytes in [&b"password: hunter2\n"[..], &whole[..last], &flipped, b""] {
        std::fs::write(&path, bytes).unwrap();
        let store = file_store(home.path());
        let error = store.unlock(&secret("passphrase")).unwrap_err();
        assert!(matches!(error, SecretError::Damaged { .. }), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
        assert!(store.backend().locked);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn no_secret_is_shown_by_mistake() {
    let home = tempfile::tempdir().unwrap();
    let store = file_store(home.path());
    store.unlock(&secret("correct horse")).unwrap();
    store.set("registry", "mine", &secret("hunter2")).unwrap();
    let shown = format!("{store:?} {:?}", store.get("registry", "mine"));
    assert!(
        !shown.contains("hunter2") && !shown.contains("horse"),
        "{shown}"
    );
}

#[test]
fn the_service_is_used_where_there_is_one_and_the_file_says_why_it_is_not() {
    let home = tempfile::tempdir().unwrap();
    let no_service = || Err(SecretError::Silent { seconds: 10 });
    let store = SecretStore::choose(home.path(), "", no_service).unwrap();
    assert_eq!(
        store.backend(),
        Backend {
            kind: BackendKind::File,
            why:
                "There is no secret service on this desktop (The desktop's secret service did not \
                  answer within 10 seconds)"
                    .to_owned(),
            locked: true,
        }
    );
    assert!(SecretStore::choose(home.path(), "desktop", no_service).is_err());
    assert_eq!(
        file_store(home.path()).backend().why,
        "WINDLASS_SECRETS is set to `file`"
    );
    let error = AppError::from(SecretError::Locked { new: true });
    insta::assert_snapshot!(format!("{:?}: {}. {:?}", error.kind, error.message, error.hints), @r#"Unavailable: No passphrase has been chosen for secrets yet. ["Choose a passphrase; the secrets are encrypted with it"]"#);
}

/// Where the distribution puts the secret service, or where a copy of it was unpacked to.
fn keyring_daemon() -> Option<PathBuf> {
    let unpacked = std::env::var_os("WINDLASS_TEST_KEYRING_DAEMON").map(PathBuf::from);
    let usual = PathBuf::from("/usr/bin/gnome-keyring-daemon");
    unpacked
        .into_iter()
        .chain([usual])
        .find(|path| path.is_file())
}

/// Runs the test `inside` in a session of its own: its own bus, its own folder for keyrings.
fn in_a_session(script: &str, inside: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new("dbus-run-session")
        .args(["--", "sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", inside, "--ignored", "--nocapture"])
        .env("HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env_remove(BACKEND_VARIABLE)
        .stdin(Stdio::null())
        .output()
        .expect("dbus-run-session; it comes with the package dbus");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
    said
}

#[test]
fn a_real_secret_service_keeps_secrets() {
    let Some(daemon) = keyring_daemon() else {
        println!("skipped: there is no gnome-keyring-daemon (package gnome-keyring)");
        return;
    };
    let script = format!(
        "printf keyring | '{}' --unlock --components=secrets >/dev/null && exec \"$@\"",
        daemon.display()
    );
    in_a_session(&script, "secrets::tests::inside_a_session_with_a_service");
}

#[test]
#[ignore = "runs in the session that a_real_secret_service_keeps_secrets makes"]
fn inside_a_session_with_a_service() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = SecretStore::open(home.path()).unwrap();
    assert_eq!(store.backend().kind, BackendKind::Desktop);
    assert_eq!(found(&store, "mine"), "-");
    store.set("registry", "mine", &secret("hunter2")).unwrap();
    store.set("registry", "mine", &secret("hünter3")).unwrap();
    store.set("registry", "other", &secret("x")).unwrap();
    assert_eq!(found(&store, "mine"), "hünter3");
    // Another process, and another home.
    assert_eq!(
        found(&SecretStore::open(home.path()).unwrap(), "mine"),
        "hünter3"
    );
    assert_eq!(
        found(&SecretStore::open(other.path()).unwrap(), "mine"),
        "-"
    );
    store.delete("registry", "mine").unwrap();
    store.delete("registry", "mine").unwrap();
    assert_eq!(found(&store, "mine"), "-");
    assert_eq!(found(&store, "other"), "x");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    // Also from a thread of tokio, where some who block would be refused.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async { assert_eq!(found(&store, "other"), "x") });
}

#[test]
fn a_bus_without_a_service_leads_to_the_file() {
    in_a_session(
        "exec \"$@\"",
        "secrets::tests::inside_a_session_without_a_service",
    );
}

#[test]
#[ignore = "runs in the session that a_bus_without_a_service_leads_to_the_file makes"]
fn inside_a_session_without_a_service() {
    let home = tempfile::tempdir().unwrap();
    let store = SecretStore::open(home.path()).unwrap();
    // On a computer with a keyring's program the bus starts it; then that is what is used.
    if keyring_daemon().is_none_or(|path| !path.starts_with("/usr/bin")) {
        assert_eq!(store.backend().kind, BackendKind::File);
        assert!(
            store.backend().why.contains("org.freedesktop.secrets"),
            "{store:?}"
        );
    }
}
