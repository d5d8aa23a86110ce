//! Servers: what is done with them, waited for, and told afterwards; lists of what changed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_cloud::compute::{self, Action, NewServer, Patience, Server};
use windlass_cloud::leftovers::{self, Kind, Thing};
use windlass_cloud::{Error, Service, Session, images, network};

use crate::lab;

fn patience() -> Patience {
    Patience {
        longest: Duration::from_mins(3),
        cancel: CancellationToken::new(),
    }
}

async fn settled(session: &Session, id: &str, request: Option<String>) -> Server {
    compute::settled(session, id, request.as_deref(), None, &patience(), |_| ())
        .await
        .unwrap()
}

async fn made(session: &Session, name: &str) -> Server {
    let networks = network::networks(session).await.unwrap();
    let inside = networks.iter().find(|it| it.name == "lab-net").unwrap();
    let flavors = compute::flavors(session).await.unwrap();
    let nano = flavors.iter().find(|it| it.name == "lab.nano").unwrap();
    let new = NewServer {
        name: lab::unique(name),
        deployment: lab::new_id(),
        flavor: nano.id.clone(),
        image: images::find(session, "lab-guest").await.unwrap().id,
        networks: vec![inside.id.clone()],
        metadata: BTreeMap::new(),
        ..NewServer::default()
    };
    let id = compute::create(session, &new).await.unwrap();
    settled(session, &id, None).await
}

async fn taken_away(session: &Session, server: &Server) {
    let thing = Thing {
        kind: Kind::Server,
        id: server.id.clone(),
        name: server.name.clone(),
        deployment: None,
    };
    leftovers::take_away(session, &thing).await.unwrap();
}

#[tokio::test]
async fn a_server_is_told_what_to_do_and_nova_tells_what_was_done() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    let before = compute::page(&session, None, None).await.unwrap();
    let server = made(&session, "told").await;
    let id = server.id.as_str();
    let size = server.size().unwrap();
    assert_eq!((size.name.as_str(), size.vcpus), ("lab.nano", 1));
    assert_eq!(
        compute::find_server(&session, &server.name)
            .await
            .unwrap()
            .id,
        id
    );

    for (action, then) in [
        (Action::Pause, "PAUSED"),
        (Action::Unpause, "ACTIVE"),
        (Action::Suspend, "SUSPENDED"),
        (Action::Resume, "ACTIVE"),
        (Action::Reboot, "ACTIVE"),
        (Action::Stop, "SHUTOFF"),
        (Action::Start, "ACTIVE"),
    ] {
        let now = compute::server(&session, id).await.unwrap();
        assert!(action.fits(&now), "{action:?} {}", now.status);
        let request = compute::act(&session, id, action).await.unwrap();
        let now = settled(&session, id, request).await;
        assert_eq!(now.status, then, "{action:?}");
    }
    // What does not fit the state is refused in Nova's words.
    let refused = compute::act(&session, id, Action::Unpause)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::Refused { status: 409, .. }),
        "{refused}"
    );

    let deeds = compute::history(&session, id).await.unwrap();
    let words: Vec<_> = deeds.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(
        words,
        [
            "start", "stop", "reboot", "resume", "suspend", "unpause", "pause", "create"
        ]
    );
    assert!(deeds.iter().all(|it| !it.failed()), "{deeds:?}");

    // One call tells what changed since the list, and later that it is gone.
    let since = before.as_of.unwrap();
    let changed = compute::page(&session, Some(&since), None).await.unwrap();
    assert!(
        changed
            .servers
            .iter()
            .any(|it| it.id == id && !it.is_gone())
    );
    taken_away(&session, &server).await;
    let changed = compute::page(&session, Some(&since), None).await.unwrap();
    assert!(changed.servers.iter().any(|it| it.id == id && it.is_gone()));
}

#[tokio::test]
async fn a_server_gets_another_size_and_another_image() {
    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    let server = made(&session, "other").await;
    let id = server.id.as_str();
    let flavors = compute::flavors(&session).await.unwrap();
    let micro = flavors.iter().find(|it| it.name == "lab.micro").unwrap();

    let request = compute::resize(&session, id, &micro.id).await.unwrap();
    let resized = settled(&session, id, request).await;
    assert_eq!(resized.status, "VERIFY_RESIZE");
    let request = compute::act(&session, id, Action::RevertResize)
        .await
        .unwrap();
    let reverted = settled(&session, id, request).await;
    assert_eq!(reverted.size().unwrap().name, "lab.nano");
    let request = compute::resize(&session, id, &micro.id).await.unwrap();
    settled(&session, id, request).await;
    let request = compute::act(&session, id, Action::ConfirmResize)
        .await
        .unwrap();
    let kept = compute::settled(
        &session,
        id,
        request.as_deref(),
        Some(Action::ConfirmResize),
        &patience(),
        |_| (),
    )
    .await
    .unwrap();
    assert_eq!(
        (kept.status.as_str(), kept.size().unwrap().name.as_str()),
        ("ACTIVE", "lab.micro")
    );

    let image = images::find(&session, "lab-guest").await.unwrap().id;
    let request = compute::rebuild(&session, id, &image).await.unwrap();
    let rebuilt = settled(&session, id, request).await;
    assert_eq!(
        (rebuilt.status.as_str(), rebuilt.image_id()),
        ("ACTIVE", Some(image.as_str()))
    );
    assert_eq!(rebuilt.fixed_addresses(), server.fixed_addresses());

    let gone = CancellationToken::new();
    gone.cancel();
    let asked = compute::act(&session, id, Action::HardReboot)
        .await
        .unwrap();
    let hurried = Patience {
        longest: Duration::from_mins(1),
        cancel: gone,
    };
    let outcome = compute::settled(&session, id, asked.as_deref(), None, &hurried, |_| ()).await;
    // It may be over before anybody asks; nobody waits longer than they want.
    assert!(
        matches!(outcome, Ok(_) | Err(Error::Cancelled)),
        "{outcome:?}"
    );
    settled(&session, id, None).await;
    taken_away(&session, &server).await;
}

#[tokio::test]
async fn a_console_log_is_followed() {
    use tokio::io::AsyncReadExt;

    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    let session = std::sync::Arc::new(session);
    let server = made(&session, "followed").await;
    let mut log = compute::consoles::follow(session.clone(), server.id.clone());
    let mut said = vec![0; 16];
    log.read_exact(&mut said).await.unwrap();
    let whole = loop {
        let whole = compute::console_log(&session, &server.id, None)
            .await
            .unwrap();
        if !whole.is_empty() {
            break whole;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(whole.as_bytes()[..8], said[..8]);
    drop(log);
    taken_away(&session, &server).await;
}

/// Under libvirt, which `./dev test full` starts.
#[tokio::test]
async fn slow_a_real_server_has_a_display_a_serial_line_and_images_of_its_disk() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use windlass_cloud::compute::consoles::{Console, console};
    use windlass_cloud::session::Call;

    let Some(session) = lab::session("lab-demo").await else {
        return;
    };
    if std::env::var_os("WINDLASS_TEST_CLOUD_PROFILE").is_none_or(|it| it != "full") {
        eprintln!("skipped: ./dev test full starts the OpenStack that this test needs");
        return;
    }
    let flavors = compute::flavors(&session).await.unwrap();
    let micro = flavors.iter().find(|it| it.name == "lab.micro").unwrap();
    let image = images::find(&session, "lab-guest").await.unwrap();
    // Its consoles need no network.
    let body = serde_json::json!({ "server": {
        "name": lab::unique("consoles"), "flavorRef": micro.id, "imageRef": image.id,
        "networks": "none",
    } });
    let call = Call::post(Service::Compute, "/servers", body, "make a server").at("2.37");
    let made: serde_json::Value = session.fetch(call, "server").await.unwrap();
    let id = made["id"].as_str().unwrap();
    let server = settled(&session, id, None).await;

    let mut display = console(&session, id, Console::Display).await.unwrap();
    let mut said = [0; 12];
    display.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"RFB 003.008\n");

    let mut line = console(&session, id, Console::Serial).await.unwrap();
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    while !heard.contains("hello-42") {
        // The guest boots meanwhile, and listens by and by.
        line.write_all(b"echo hello-$((40+2))\n").await.unwrap();
        let piece = tokio::time::timeout(Duration::from_secs(2), line.read(&mut buffer)).await;
        if let Ok(length) = piece {
            heard += &String::from_utf8_lossy(&buffer[..length.unwrap()]);
        }
    }

    // What the fake hypervisor never writes.
    let name = lab::unique("image");
    let image = compute::snapshot(&session, &server, &name).await.unwrap();
    settled(&session, id, None).await;
    let written = loop {
        let now = images::get(&session, &image).await.unwrap();
        if now.status == "active" {
            break now;
        }
        assert!(
            ["queued", "saving"].contains(&now.status.as_str()),
            "{}",
            now.status
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    assert_eq!(written.shown(), name);
    images::label(&session, &image).await.unwrap();
    assert!(images::get(&session, &image).await.unwrap().is_ours());
    let request = compute::rebuild(&session, id, &image).await.unwrap();
    let rebuilt = settled(&session, id, request).await;
    assert_eq!(rebuilt.image_id(), Some(image.as_str()));
    taken_away(&session, &server).await;
    images::delete(&session, &image).await.unwrap();
}
