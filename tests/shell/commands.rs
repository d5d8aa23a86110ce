//! Commands over Tauri's protocol, as the window gives them: real arguments, real error JSON, the
//! real core on a home of its own.

use std::sync::Arc;

use serde_json::{Value, json};
use tauri::test::{INVOKE_KEY, MockRuntime, mock_builder};
use tauri::webview::InvokeRequest;
use tauri::{App, WebviewWindow, WebviewWindowBuilder};
use windlass_workshop::Workshop;
use windlass_workshop::home::Home;

/// A window without a screen, on a home of its own.
struct Window {
    _app: App<MockRuntime>,
    webview: WebviewWindow<MockRuntime>,
    home: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Window {
    fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let workshop: Arc<Workshop> = runtime
            .block_on(Workshop::open(Home::at(home.path().join("home"))))
            .unwrap();
        let app = windlass::with_commands(mock_builder(), workshop)
            .build(tauri::generate_context!(test = true))
            .unwrap();
        let webview = WebviewWindowBuilder::new(&app, "main", tauri::WebviewUrl::default())
            .build()
            .unwrap();
        Self {
            _app: app,
            webview,
            home,
            _runtime: runtime,
        }
    }

    fn invoke(&self, command: &str, arguments: &Value) -> Result<Value, Value> {
        let request = InvokeRequest {
            cmd: command.into(),
            callback: tauri::ipc::CallbackFn(0),
            error: tauri::ipc::CallbackFn(1),
            url: "tauri://localhost".parse().unwrap(),
            body: tauri::ipc::InvokeBody::Json(arguments.clone()),
            headers: tauri::http::HeaderMap::default(),
            invoke_key: INVOKE_KEY.to_owned(),
        };
        tauri::test::get_ipc_response(&self.webview, request)
            .map(|body| body.deserialize::<Value>().unwrap())
    }
}

#[test]
fn a_dropped_folder_without_a_manifest_gets_one_and_becomes_an_appliance() {
    let window = Window::open();
    let folder = window.home.path().join("my service");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("server.js"), "require('http')").unwrap();
    std::fs::write(
        folder.join("package.json"),
        r#"{"name": "my-service", "version": "1.2.3", "main": "server.js"}"#,
    )
    .unwrap();

    let dropped = window
        .invoke("inspect", &json!({ "path": folder }))
        .unwrap();
    assert_eq!(dropped["kind"], "folder");
    let proposal = &dropped["proposal"];
    assert_eq!(proposal["runtime"], "node");
    assert_eq!(proposal["fileCount"], 2);

    let manifest =
        json!({ "packageYaml": proposal["packageYaml"], "runYaml": proposal["runYaml"] });
    let added = window
        .invoke(
            "appliance_add",
            &json!({ "path": folder, "manifest": manifest }),
        )
        .unwrap();
    assert_eq!(added["name"], proposal["name"]);
    assert!(folder.join("meta/package.yaml").is_file());

    let list = window.invoke("appliance_list", &json!({})).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 1);
    let dropped_again = window
        .invoke("inspect", &json!({ "path": folder }))
        .unwrap();
    assert_eq!(dropped_again["kind"], "appliance");
}

#[test]
fn a_manifest_with_a_typo_is_refused_with_its_line_and_nothing_is_written() {
    let window = Window::open();
    let folder = window.home.path().join("typo");
    std::fs::create_dir(&folder).unwrap();
    let manifest = json!({
        "packageYaml": "name: typo\ntitle: [unclosed\nauthor: me\n",
        "runYaml": "",
    });
    let error = window
        .invoke(
            "appliance_add",
            &json!({ "path": folder, "manifest": manifest }),
        )
        .unwrap_err();
    assert_eq!(error["kind"], "input");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("package.yaml"), "{message}");
    assert!(message.contains('^'), "{message}");
    assert!(!folder.join("meta/package.yaml").exists());
}

#[test]
fn what_vanished_is_named() {
    let window = Window::open();
    let gone = window.home.path().join("gone");
    let error = window
        .invoke("inspect", &json!({ "path": gone }))
        .unwrap_err();
    assert_eq!(error["kind"], "notFound");
    assert!(error["message"].as_str().unwrap().contains("gone"));

    let error = window
        .invoke("machine_stop", &json!({ "id": "none" }))
        .unwrap_err();
    assert_eq!(error["kind"], "notFound");
    let error = window
        .invoke("job_cancel", &json!({ "id": "none" }))
        .unwrap_err();
    assert_eq!(error["kind"], "notFound");
}

#[test]
fn settings_are_kept_and_nonsense_is_refused() {
    let window = Window::open();
    let mut settings = window.invoke("settings_get", &json!({})).unwrap();
    settings["theme"] = json!("dark");
    window
        .invoke("settings_set", &json!({ "settings": settings }))
        .unwrap();
    assert_eq!(
        window.invoke("settings_get", &json!({})).unwrap()["theme"],
        "dark"
    );

    settings["defaultMemoryMib"] = json!(1);
    let error = window
        .invoke("settings_set", &json!({ "settings": settings }))
        .unwrap_err();
    assert_eq!(error["message"], "A machine cannot have 1 MiB of memory");
}

#[test]
fn a_folder_that_is_gone_is_not_opened_in_the_file_manager() {
    let window = Window::open();
    let gone = window.home.path().join("gone");
    let error = window
        .invoke("reveal_path", &json!({ "path": gone }))
        .unwrap_err();
    assert_eq!(error["kind"], "notFound");
}
