//! Several machines as one, by a file: real guests on a network of their own.

use crate::guest::{get, session, until};
use crate::session::Session;

/// The names of a group's machines with their ids and states, in the order in which they start.
fn machines(session: &Session, group: &str) -> Vec<(String, String, String)> {
    let shown = session.json(&["group", "ps", group]);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let machines = shown.as_array().unwrap().iter();
    machines
        .map(|it| (text(&it["name"]), text(&it["id"]), text(&it["state"])))
        .collect()
}

/// The page of the shop.
fn page(session: &Session) -> String {
    let shown = session.json(&["group", "ps", "shop"]);
    let machines = shown.as_array().unwrap();
    let shop = machines
        .iter()
        .find(|it| it["name"] == "shop-shop")
        .unwrap();
    let port = shop["ports"][0]["host"].as_u64().unwrap();
    until("the page", || get(u16::try_from(port).unwrap()))
}

#[test]
fn slow_five_services_of_one_image_find_each_other() {
    let session = session();
    session.done(&["sample", "create", "node-microservices"]);
    let folder = session.home().join("appliances/node-microservices");
    let folder = folder.to_str().unwrap();

    session.done(&["group", "up", folder]);
    let first = machines(&session, "shop");
    let names: Vec<_> = first.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names[4], "shop-shop", "it starts last");
    assert!(
        names.contains(&"shop-prices") && names.len() == 5,
        "{names:?}"
    );
    assert!(
        first.iter().all(|(.., state)| state == "running"),
        "{first:?}"
    );
    let images = || session.json(&["images"]).as_array().unwrap().len();
    assert_eq!(images(), 1, "one image serves all of them");
    let said = page(&session);
    assert!(said.contains("Rope") && said.contains("14.50"), "{said}");
    assert!(
        said.contains("★★★★★") && said.contains("<td>12</td>"),
        "{said}"
    );
    let logs = session.done(&["group", "logs", "shop"]).stdout;
    assert!(
        logs.contains("shop-reviews  reviews listens on port 8080"),
        "{logs}"
    );
    assert!(logs.contains("shop-stock    GET / 200"), "{logs}");

    // What runs as the file says is left alone; what is told something else is made anew, of the same image.
    let file = format!("{folder}/meta/windlass-group.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text.replace("{ROLE: reviews}", "{ROLE: reviews, STARS: none}");
    assert_ne!(text, changed);
    std::fs::write(&file, changed).unwrap();
    session.done(&["group", "up", &file]);
    let second = machines(&session, "shop");
    let anew: Vec<_> = second.iter().filter(|it| !first.contains(it)).collect();
    assert_eq!(anew.len(), 1);
    assert_eq!(anew[0].0, "shop-reviews");
    assert_eq!(images(), 1);
    assert!(page(&session).contains("★★★★★"));

    // One that is gone is missed, and nothing else.
    session.done(&["machine", "kill", "shop-reviews"]);
    let said = page(&session);
    assert!(
        said.contains("no reviews") && said.contains("14.50"),
        "{said}"
    );

    session.done(&["group", "down", folder]);
    assert_eq!(session.json(&["instances"]), serde_json::json!([]));
    assert_eq!(session.json(&["group", "ps"]), serde_json::json!([]));
}

#[test]
fn slow_a_service_that_ends_or_stays_ill_keeps_the_others_from_starting() {
    let session = session();
    session.done(&["sample", "create", "hello"]);
    let group = |health: &str, command: &str| {
        let text = format!(
            "name: ill\nservices:\n  first: {{appliance: hello, guest: linux, command: {command}, health: {health}}}\n  \
             second: {{appliance: hello, guest: linux, command: /hello --sleep 250, depends_on: [first]}}\n"
        );
        session.write("windlass-group.yaml", &text);
    };
    let refused = || {
        let said = session.run(&["group", "up", "-q"]);
        assert_ne!(said.status, 0, "{}", said.stdout);
        let left: Vec<_> = machines(&session, "ill")
            .into_iter()
            .map(|it| it.0)
            .collect();
        assert_eq!(left, ["ill-first"]);
        session.done(&["group", "down", "ill"]);
        said.stderr
    };
    group("{tcp: 80}", "/hello --exit 3");
    let ended = refused();
    group("{console: never said, within: 3}", "/hello --sleep 250");
    let silent = refused();
    insta::assert_snapshot!(format!("{ended}---\n{silent}"), @"
    error: ill-first ended before it was healthy: It ended with status 3.
      hint: `windlassctl machine logs ill-first` shows what it said
    ---
    error: ill-first was not healthy within 3 s
      hint: `windlassctl machine logs ill-first` shows what it said
    ");

    // Heard on the console, and then the next.
    group("{console: Hello from}", "/hello --sleep 250");
    session.done(&["group", "up"]);
    assert_eq!(machines(&session, "ill").len(), 2);
    session.done(&["group", "down"]);
}
