//! Checks `tauri.conf.json` and compiles the permissions that the window is granted.

fn main() {
    // Cargo runs build scripts in the package root, which is the repository root.
    println!("cargo:rerun-if-changed=src-tauri/permissions");

    let attributes = tauri_build::Attributes::new().app_manifest(
        tauri_build::AppManifest::new()
            .permissions_path_pattern("./src-tauri/permissions/**/*.toml"),
    );
    if let Err(error) = tauri_build::try_build(attributes) {
        panic!("tauri-build failed: {error:#}");
    }
}
