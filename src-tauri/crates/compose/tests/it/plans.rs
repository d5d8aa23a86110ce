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
    insta::assert_snapshot!(show(&plan), @"
    base base: 3 files, 138 bytes
    package node-20: 3 files, 4 bytes
    appliance my-service: 2 files, 27 bytes
    /data  755 directory  (my-service)
    /data/empty  755 directory  (my-service)
    /dev  755 directory  (base)
    /etc  755 directory  (my-service)
    /etc/fstab  644 118 bytes  (base)
    /etc/hosts  644 17 bytes  (my-service over base, node-20)
    /etc/mnttab  -> /proc/mounts  (base)
    /proc  755 directory  (base)
    /run  755 directory  (base)
    /server.js  644 10 bytes  (my-service)
    /sys  755 directory  (base)
    /tmp  1777 directory  (base)
    /usr  755 directory  (node-20)
    /usr/bin  755 directory  (node-20)
    /usr/bin/node  755 3 bytes  (node-20)
    /usr/lib  755 directory  (node-20)
    /usr/lib/libicu.so.72  -> libicu.so  (node-20)
    ");
}

#[test]
fn the_base_of_a_linux_image_and_of_a_writable_osv_image() {
    let mut workshop = Workshop::new();
    workshop.layer("hello", &["hello = ELF !"]);
    insta::assert_snapshot!(show(&workshop.plan(GuestOs::Linux, RootFs::Ext4).unwrap()), @"
    base base: 6 files, 180 bytes
    appliance hello: 1 files, 3 bytes
    /data  755 directory  (base)
    /dev  755 directory  (base)
    /etc  755 directory  (base)
    /etc/group  644 27 bytes  (base)
    /etc/hosts  644 20 bytes  (base)
    /etc/mtab  -> /proc/mounts  (base)
    /etc/nsswitch.conf  644 44 bytes  (base)
    /etc/passwd  644 89 bytes  (base)
    /etc/resolv.conf  644 0 bytes  (base)
    /hello  755 3 bytes  (hello)
    /proc  755 directory  (base)
    /root  700 directory  (base)
    /run  755 directory  (base)
    /sys  755 directory  (base)
    /tmp  1777 directory  (base)
    /var  755 directory  (base)
    /var/log  755 directory  (base)
    /var/tmp  1777 directory  (base)
    ");
    insta::assert_snapshot!(show(&workshop.plan(GuestOs::Osv, RootFs::Ext4).unwrap()), @"
    base base: 3 files, 109 bytes
    appliance hello: 1 files, 3 bytes
    /data  755 directory  (base)
    /dev  755 directory  (base)
    /etc  755 directory  (base)
    /etc/fstab  644 89 bytes  (base)
    /etc/hosts  644 20 bytes  (base)
    /etc/mnttab  -> /proc/mounts  (base)
    /hello  755 3 bytes  (hello)
    /proc  755 directory  (base)
    /run  755 directory  (base)
    /sys  755 directory  (base)
    /tmp  1777 directory  (base)
    ");
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
    insta::assert_snapshot!(shown.join("\n"), @"
    base base: 6 files, 180 bytes
    package runtime: 4 files, 6 bytes
    appliance appliance: 3 files, 2 bytes
    /bin  755 directory  (appliance over runtime)
    /bin/tool  755 1 bytes  (appliance)
    /lib  -> usr/lib  (appliance over runtime)
    /opt  755 directory  (appliance over runtime)
    /opt/app  644 1 bytes  (appliance)
    /usr  755 directory  (appliance)
    /usr/bin  755 directory  (appliance)
    warning: /bin: the folder of appliance takes the place of a symlink of runtime (Move what is in it to usr/bin, where the symlink points to)
    warning: /lib: the symlink of appliance takes the place of a folder with 2 files (Rename one of the two, or leave one out with a line in .capstanignore)
    warning: /opt: the folder of appliance takes the place of a file of runtime (Rename one of the two)
    ");
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
    insta::assert_snapshot!(shown.join("\n"), @"
    package node-20: 2 files, 35 bytes
    /run  755 directory  (node-20)
    /run/server  644 32 bytes  (node-20)
    ");
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
    insta::assert_snapshot!(list("").unwrap(), @"
    /data 0 bytes, 0 in it, base []
    /dev 0 bytes, 0 in it, base []
    /etc 138 bytes, 3 in it, base []
    /proc 0 bytes, 0 in it, base []
    /run 0 bytes, 0 in it, base []
    /sys 0 bytes, 0 in it, base []
    /tmp 0 bytes, 0 in it, base []
    /usr 7 bytes, 2 in it, my-service []
    /README 5 bytes, 0 in it, my-service []
    ");
    insta::assert_snapshot!(list("usr/lib/node").unwrap(), @r#"
    /usr/lib/node/a.js 3 bytes, 0 in it, my-service ["node-20"]
    /usr/lib/node/b.js 1 bytes, 0 in it, node-20 []
    "#);
    assert_eq!(list("README"), None);
    assert_eq!(list("nowhere"), None);
}

#[test]
fn a_boot_script_gets_its_folder_also_where_something_else_has_its_name() {
    for run in ["run -> var/run", "run = a program"] {
        let mut workshop = Workshop::new();
        workshop.layer("service", &[run]);
        let script = Script {
            name: "default".to_owned(),
            package: "service".to_owned(),
            path: "run/default".to_owned(),
            content: "/hello\n".to_owned(),
        };
        let cancel = tokio_util::sync::CancellationToken::new();
        let plan = windlass_compose::plan(
            &workshop.layers(),
            GuestOs::Osv,
            RootFs::Rofs,
            &[script],
            &cancel,
        )
        .unwrap();
        let tree = plan.tree().unwrap();
        assert!(tree.get(&GuestPath::new("run/default").unwrap()).is_some());
        let found = plan.findings().last().unwrap();
        assert_eq!(found.path.as_deref(), Some("/run"), "{found}");
    }
}
