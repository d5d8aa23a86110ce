use windlass_guest::{GuestOs, RootFs};
use windlass_image::GuestPath;
use windlass_package::boot::Script;

use crate::support::{Workshop, show};

#[test]
fn the_layers_of_an_osv_image() {
    let mut workshop = Workshop::new();
    workshop.layer(
        "node-20",
        &[
            "usr/bin/node = ELF !",
            "usr/lib/libicu.so.72 -> libicu.so",
            "etc/hosts = 1",
        ],
    );
    workshop.layer(
        "my-service",
        &[
            "server.js = listen(80)",
            "etc/hosts = 127.0.0.1 service",
            "data/empty/",
            "notes.txt = no",
            ".capstanignore = /notes.txt\n",
        ],
    );
    let plan = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap();
    insta::assert_snapshot!(show(&plan), @"");
}

#[test]
fn the_base_of_a_linux_image_and_of_a_writable_osv_image() {
    let mut workshop = Workshop::new();
    workshop.layer("hello", &["hello = ELF !"]);
    insta::assert_snapshot!(show(&workshop.plan(GuestOs::Linux, RootFs::Ext4).unwrap()), @"");
    insta::assert_snapshot!(show(&workshop.plan(GuestOs::Osv, RootFs::Ext4).unwrap()), @"");
}

#[test]
fn a_file_in_the_place_of_a_folder_is_noticed() {
    let mut workshop = Workshop::new();
    workshop.layer(
        "runtime",
        &[
            "lib/a.so = 1",
            "lib/deep/b.so = 2",
            "bin -> usr/bin",
            "opt = file",
        ],
    );
    workshop.layer(
        "appliance",
        &[
            "lib -> usr/lib",
            "bin/tool = 3 !",
            "opt/app = 4",
            "usr/bin/",
        ],
    );
    let plan = workshop.plan(GuestOs::Linux, RootFs::Ext4).unwrap();
    let shown: Vec<String> = show(&plan)
        .lines()
        .filter(|line| !line.contains("(base)"))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @"");
}

#[test]
fn run_scripts_belong_to_their_package() {
    let mut workshop = Workshop::new();
    workshop.layer("node-20", &["run/server = old"]);
    workshop.layer("my-service", &["server.js = x"]);
    let scripts = [Script {
        name: "server".to_owned(),
        package: "node-20".to_owned(),
        path: "run/server".to_owned(),
        content: "--env=PORT?=80 /node /server.js\n".to_owned(),
    }];
    let plan = windlass_compose::plan(
        &workshop.layers(),
        GuestOs::Osv,
        RootFs::Rofs,
        &scripts,
        &tokio_util::sync::CancellationToken::new(),
    )
    .unwrap();
    let shown: Vec<String> = show(&plan)
        .lines()
        .filter(|line| line.contains("run") || line.contains("node-20"))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @"");
}

#[test]
fn a_tree_is_unfolded_step_by_step() {
    let mut workshop = Workshop::new();
    workshop.layer(
        "node-20",
        &[
            "usr/lib/node/a.js = 12345",
            "usr/lib/node/b.js = 1",
            "usr/bin/node = ELF !",
        ],
    );
    workshop.layer("my-service", &["usr/lib/node/a.js = 123", "README = hello"]);
    let plan = workshop.plan(GuestOs::Osv, RootFs::Rofs).unwrap();
    let list = |directory: &str| {
        let rows = plan.list(&GuestPath::new(directory).unwrap())?;
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                format!(
                    "{} {} bytes, {} in it, {} {:?}",
                    row.path, row.size_bytes, row.child_count, row.layer, row.overrides
                )
            })
            .collect();
        Some(rows.join("\n"))
    };
    insta::assert_snapshot!(list("").unwrap(), @"");
    insta::assert_snapshot!(list("usr/lib/node").unwrap(), @"");
    assert_eq!(list("README"), None);
    assert_eq!(list("nowhere"), None);
}
