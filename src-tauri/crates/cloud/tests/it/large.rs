//! A cloud with very much in it, which the test plays: lists come in pages, and each page is asked for once.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use windlass_cloud::compute;
use windlass_cloud::images::{self, Filter};
use windlass_cloud::{Profile, Secrets, Session};

const SERVERS: usize = 5_000;
const IMAGES: usize = 10_000;
const FLAVORS: usize = 500;

type Asked = Arc<Mutex<Vec<String>>>;

/// Keystone, Nova and Glance, as far as lists go.
async fn played() -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let notes = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answering(stream, address, Arc::clone(&notes)));
        }
    });
    (address, asked)
}

async fn answering(mut stream: TcpStream, address: SocketAddr, asked: Asked) {
    let mut heard = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = heard.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let request = String::from_utf8(heard[..end].to_vec())
            .unwrap()
            .to_ascii_lowercase();
        let body: usize = request
            .split_once("content-length: ")
            .map_or(0, |it| it.1.split("\r\n").next().unwrap().parse().unwrap());
        while heard.len() < end + body {
            if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                return;
            }
        }
        heard.drain(..end + body);
        let path = request.split(' ').nth(1).unwrap();
        let url = Url::parse(&format!("http://{address}{path}")).unwrap();
        let (status, answer) = answer(&url, address);
        if status != 201 {
            asked.lock().unwrap().push(path.to_owned());
        }
        let text = answer.to_string();
        let answered = format!(
            "HTTP/1.1 {status} OK\r\nx-subject-token: played\r\ncontent-type: application/json\r\n\
             date: Mon, 23 Nov 2026 10:00:00 GMT\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        if stream
            .write_all(&[answered.as_bytes(), text.as_bytes()].concat())
            .await
            .is_err()
        {
            return;
        }
    }
}

fn answer(url: &Url, address: SocketAddr) -> (u16, Value) {
    let path = url.path();
    if path.ends_with("/auth/tokens") {
        let at = |name: &str| {
            json!([{ "id": name, "interface": "public", "region": "r", "region_id": "r",
            "url": format!("http://{address}/{name}") }])
        };
        return (
            201,
            json!({ "token": {
            "methods": ["password"], "expires_at": "2036-11-23T10:00:00.000000Z",
            "issued_at": "2026-11-23T10:00:00.000000Z",
            "user": { "id": "u", "name": "ada", "domain": { "id": "default", "name": "Default" } },
            "project": { "id": "p", "name": "science", "domain": { "id": "default", "name": "Default" } },
            "roles": [{ "id": "m", "name": "member" }],
            "catalog": [
                { "id": "c", "name": "nova", "type": "compute", "endpoints": at("compute/v2.1") },
                { "id": "i", "name": "glance", "type": "image", "endpoints": at("image") },
            ],
        } }),
        );
    }
    let said = |key: &str| {
        let found = url.query_pairs().find(|(name, _)| name == key);
        found.map(|(_, value)| value.into_owned())
    };
    let (count, key) = match path {
        _ if path.ends_with("/servers/detail") && said("changes-since").is_some() => (2, "servers"),
        _ if path.ends_with("/servers/detail") => (SERVERS, "servers"),
        _ if path.ends_with("/flavors/detail") => (FLAVORS, "flavors"),
        _ if path.ends_with("/images") => (IMAGES, "images"),
        _ => return (404, json!({})),
    };
    let limit: usize = said("limit").unwrap().parse().unwrap();
    let from = said("marker").map_or(0, |it| it.parse::<usize>().unwrap() + 1);
    let until = (from + limit).min(count);
    let items: Vec<_> = (from..until).map(|number| thing(key, number)).collect();
    let mut answer = json!({ key: items });
    if until < count {
        if key == "images" {
            answer["next"] = json!("/v2/images?marker=…");
        } else {
            answer[format!("{key}_links")] = json!([{ "rel": "next", "href": "…" }]);
        }
    }
    (200, answer)
}

fn thing(key: &str, number: usize) -> Value {
    let id = format!("{number:08}");
    match key {
        "servers" => json!({ "id": id, "name": format!("server-{number}"), "status": "ACTIVE",
            "flavor": { "original_name": "m1.tiny", "vcpus": 1, "ram": 512, "disk": 1 } }),
        "flavors" => {
            json!({ "id": id, "name": format!("flavor-{number}"), "vcpus": 1 + number % 64,
            "ram": 512 * (1 + number % 64), "disk": 10 })
        }
        _ => json!({ "id": id, "name": format!("image-{number}"), "status": "active",
            "visibility": "public", "tags": [], "min_disk": 0, "min_ram": 0 }),
    }
}

#[tokio::test]
async fn very_long_lists_come_in_pages_each_asked_for_once() {
    let (address, asked) = played().await;
    let profile = Profile {
        name: "large".to_owned(),
        auth_url: format!("http://{address}/v3"),
        auth: [
            ("username", "ada"),
            ("user_domain_name", "Default"),
            ("project_name", "science"),
            ("project_domain_name", "Default"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        ..Profile::default()
    };
    let secrets = Secrets::new().with("password", "played");
    let session = Session::connect(&profile, &secrets).await.unwrap();
    let calls = |part: &str| {
        let mut asked = asked.lock().unwrap();
        let count = asked.iter().filter(|it| it.contains(part)).count();
        asked.clear();
        count
    };
    calls("");

    let servers = compute::servers(&session).await.unwrap();
    assert_eq!(
        (servers.len(), calls("/servers/detail")),
        (SERVERS, SERVERS / 500)
    );
    assert_eq!(servers[SERVERS - 1].name, format!("server-{}", SERVERS - 1));
    let found = images::list(&session, &Filter::default()).await.unwrap();
    assert_eq!((found.len(), calls("/images")), (IMAGES, IMAGES / 500));
    let flavors = compute::flavors(&session).await.unwrap();
    assert_eq!(
        (flavors.len(), calls("/flavors/detail")),
        (FLAVORS, FLAVORS / 500)
    );

    // The first page is there after one call, and what changed since is one call, however many servers there are.
    let page = compute::page(&session, None, None).await.unwrap();
    assert_eq!(
        (page.servers.len(), page.next.as_deref()),
        (500, Some("00000499"))
    );
    let since = page.as_of.unwrap();
    assert_eq!(since, "2026-11-23T09:59:30Z");
    calls("");
    let changed = compute::page(&session, Some(&since), None).await.unwrap();
    assert_eq!((changed.servers.len(), changed.next), (2, None));
    assert_eq!(calls("/servers/detail"), 1);
}
