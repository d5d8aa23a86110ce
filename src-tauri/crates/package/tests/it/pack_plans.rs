//! What a package would hold, before it is made.

use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use windlass_guest::GuestOs;
use windlass_package::pack::{self, Addition, Content, Kind, PackOptions, PackSource, Plan};
use windlass_package::{Error, Severity};

/// A plan as the window shows it, without the folder that the test is in.
pub(crate) fn show(plan: &Plan, folder: &Path) -> String {
    let mut text = String::new();
    for entry in &plan.entries {
        let target = match &entry.content {
            Content::Link(target) => format!(" -> {}", target.display()),
            Content::Directory => "/".to_owned(),
            _ => String::new(),
        };
        let left = if entry.left { " (left out)" } else { "" };
        let guest = entry.guest.display();
        writeln!(text, "{guest}{target}{left}: {}", entry.reason).unwrap();
    }
    for finding in &plan.findings {
        writeln!(text, "{finding}").unwrap();
    }
    if let Some(run) = &plan.run_yaml {
        text.push_str(run);
    }
    text.replace(&folder.display().to_string(), "…")
}

fn write(folder: &Path, path: &str, content: &str) -> PathBuf {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn linux() -> PackOptions {
    PackOptions::new(GuestOs::Linux)
}

fn plan(source: &PackSource, options: &PackOptions) -> Plan {
    pack::plan(source, options, &mut ()).unwrap()
}

/// The entry at a path, where it is not left out.
fn taken<'a>(plan: &'a Plan, guest: &str) -> Option<&'a pack::Entry> {
    let mut entries = plan.entries.iter().filter(|entry| !entry.left);
    entries.find(|entry| entry.guest == Path::new(guest))
}

#[test]
fn a_node_project_without_what_only_development_needs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("shop");
    write(
        &root,
        "package.json",
        r#"{"name": "shop", "main": "index.js"}"#,
    );
    write(&root, "index.js", "");
    write(&root, "node_modules/express/index.js", "");
    write(&root, "node_modules/jest/index.js", "");
    write(
        &root,
        "node_modules/native/build/arm.node",
        "not for this computer",
    );
    let lock = r#"{"packages": {"node_modules/express": {}, "node_modules/jest": {"dev": true}, "../..": {"dev": true}}}"#;
    write(&root, "package-lock.json", lock);
    assert_eq!(pack::kinds(&root), [Kind::Node, Kind::Folder]);
    let mut options = linux();
    options.leave_out = vec!["/package-lock.json".into()];
    options.add = vec![Addition {
        host: write(folder.path(), "settings", "x"),
        guest: "/etc/shop/settings".into(),
    }];
    options.version = Some("2.0".into());
    let plan = plan(&PackSource::NodeProject(root), &options);
    assert_eq!(plan.version.as_deref(), Some("2.0"));
    let shown = show(&plan, folder.path());
    // Which Node this computer has is not the point.
    let shown: Vec<&str> = shown
        .lines()
        .filter(|line| !line.contains("node-"))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_python_project_with_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("web");
    write(&root, "app.py", "import flask\n");
    write(&root, "requirements.txt", "flask\n");
    write(&root, "__pycache__/app.pyc", "");
    write(&root, ".venv/pyvenv.cfg", "home = /usr/bin\n");
    write(&root, ".venv/bin/pip", "");
    let version = pack::find_python().map_or("3.11".into(), |found| {
        found.version.rsplit_once('.').unwrap().0.to_owned()
    });
    let packages = format!(".venv/lib/python{version}/site-packages");
    for file in [
        "flask/__init__.py",
        "pip/__init__.py",
        "setuptools-1.dist-info/METADATA",
    ] {
        write(&root, &format!("{packages}/{file}"), "");
    }
    assert_eq!(pack::kinds(&root), [Kind::Python, Kind::Folder]);
    let plan = plan(&PackSource::PythonProject(root), &linux());
    let paths: Vec<String> = plan
        .entries
        .iter()
        .map(|entry| entry.guest.display().to_string())
        .collect();
    assert_eq!(
        paths,
        [
            "/app.py",
            "/requirements.txt",
            "/site-packages/flask",
            "/site-packages/flask/__init__.py"
        ]
    );
    let run = plan.run_yaml.as_deref().unwrap();
    assert!(run.contains("PYTHONPATH: /site-packages"), "{run}");
    let packed = pack::make(&plan, &folder.path().join("packed"), &mut ()).unwrap();
    assert!(
        packed
            .root
            .join("site-packages/flask/__init__.py")
            .is_file()
    );
    assert!(!packed.root.join(".venv").exists());
}

#[test]
fn a_program_for_each_guest() {
    let source = PackSource::Program("/bin/ls".into());
    assert_eq!(pack::kinds(Path::new("/bin/ls")), [Kind::Program]);
    let on_linux = plan(&source, &linux());
    assert!(
        taken(&on_linux, "/lib64/ld-linux-x86-64.so.2").is_some(),
        "{:?}",
        on_linux.entries
    );
    let libc = |plan: &Plan| {
        let mut entries = plan.entries.iter();
        entries.any(|entry| !entry.left && entry.guest.ends_with("libc.so.6"))
    };
    assert!(libc(&on_linux));
    let on_osv = plan(&source, &PackOptions::new(GuestOs::Osv));
    assert!(!libc(&on_osv), "OSv supplies it");
    let mut supplied = on_osv.entries.iter().filter(|entry| entry.left);
    assert!(supplied.any(|entry| entry.reason == "because OSv supplies it itself"));
    let libraries = on_osv.entries.iter().filter(|entry| entry.required);
    for library in libraries.filter(|entry| entry.guest.to_string_lossy().contains(".so")) {
        assert!(library.guest.starts_with("/usr/lib"), "{library:?}");
    }
    // What is needed and left out all the same is said.
    let mut options = linux();
    options.leave_out = vec!["/lib64".into()];
    let without = plan(&source, &options);
    let warned = without
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Warning);
    assert!(warned && taken(&without, "/lib64/ld-linux-x86-64.so.2").is_none());
}

#[test]
fn a_program_is_watched_where_that_is_allowed() {
    // Name services are opened by name alone.
    let source = PackSource::Program("/bin/ls".into());
    let mut options = linux();
    options.observe = true;
    let watched = plan(&source, &options);
    assert!(watched.entries.len() >= plan(&source, &linux()).entries.len());
    assert!(
        watched
            .entries
            .iter()
            .all(|entry| entry.guest != Path::new("/"))
    );
}

#[test]
fn a_package_stays_what_it_says_itself() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "name: mine # and a comment\ntitle: Mine\nauthor: Jane\n";
    let root = folder.path().join("mine");
    write(&root, "meta/package.yaml", manifest);
    write(&root, "meta/README.md", "# Mine\n");
    write(&root, ".capstanignore", "/secret\n");
    write(&root, "secret", "");
    write(&root, "data/a", "");
    std::os::unix::fs::symlink("a", root.join("data/b")).unwrap();
    let mut plan = plan(&PackSource::Folder(root), &linux());
    assert_eq!(plan.package_yaml, manifest);
    insta::assert_snapshot!(show(&plan, folder.path()), @"
    /.capstanignore: because it is in the folder
    /data/: because it is in the folder
    /data/a: because it is in the folder
    /data/b -> a: because it is in the folder
    /meta/: because it is in the folder
    /meta/README.md: because it is in the folder
    ");
    let into = folder.path().join("made");
    // What was edited meanwhile is checked before anything is written.
    plan.package_yaml = "name: [".into();
    assert!(matches!(
        pack::make(&plan, &into, &mut ()),
        Err(Error::Mistake(_))
    ));
    plan.package_yaml = manifest.into();
    let mut cancel = |_: u64| ControlFlow::Break(());
    write(folder.path(), "mine/data/a", "changed");
    let cancelled = pack::make(&plan, &into, &mut cancel);
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left behind"
    );
    pack::make(&plan, &into, &mut ()).unwrap();
    let again = pack::make(&plan, &into, &mut ());
    assert!(
        matches!(again, Err(Error::AlreadyThere { .. })),
        "{again:?}"
    );
}

/// A Java archive, where this computer can make one.
fn java_archive(folder: &Path) -> Option<PathBuf> {
    let source = "public class Main { public static void main(String[] words) throws Exception {\n\
        com.sun.net.httpserver.HttpServer.create(); System.out.println(\"ran\"); System.exit(0); } }\n";
    write(folder, "Main.java", source);
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let status = command.args(arguments).current_dir(folder).status();
        status.is_ok_and(|status| status.success())
    };
    let is_made = run("javac", &["-d", "classes", "Main.java"])
        && run("jar", &["cfe", "service.jar", "Main", "-C", "classes", "."]);
    is_made.then(|| folder.join("service.jar"))
}

#[test]
fn a_java_archive_gets_a_runtime_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let Some(jar) = java_archive(folder.path()) else {
        println!("skipped: no JDK here");
        return;
    };
    assert_eq!(pack::kinds(&jar), [Kind::Jar, Kind::Archive]);
    let plan = plan(&PackSource::Jar(jar), &linux());
    let packed = pack::make(&plan, &folder.path().join("package"), &mut ()).unwrap();
    let java = packed.root.join("usr/lib/jvm/jre/bin/java");
    let output = Command::new(&java).arg("--list-modules").output().unwrap();
    let modules = String::from_utf8(output.stdout).unwrap();
    assert!(
        modules.contains("jdk.httpserver") && !modules.contains("java.desktop"),
        "{modules}"
    );
    let jar = packed.root.join("app/service.jar");
    let output = Command::new(&java).arg("-jar").arg(jar).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ran\n");
    assert!(packed.size_bytes < 80 << 20, "{} bytes", packed.size_bytes);
}

#[test]
fn packages_of_the_distribution() {
    let source = PackSource::Debian(vec!["redis-server".into()]);
    let made = match pack::plan(&source, &linux(), &mut ()) {
        Ok(made) => made,
        Err(Error::NoProgram { program, .. }) => {
            println!("skipped: no {program} here");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let server = taken(&made, "/usr/bin/redis-server").unwrap();
    assert_eq!(server.reason, "because redis-server was asked for");
    assert!(
        made.groups()
            .iter()
            .any(|group| group.reason.ends_with("depends on libc6"))
    );
    let documents = |plan: &Plan| {
        let mut entries = plan.entries.iter();
        entries.any(|entry| entry.guest.starts_with("/usr/share/doc"))
    };
    assert!(!documents(&made));
    let folder = tempfile::tempdir().unwrap();
    let packed = pack::make(&made, &folder.path().join("redis"), &mut ()).unwrap();
    let version = Command::new(packed.root.join("lib64/ld-linux-x86-64.so.2"))
        .arg("--library-path")
        .arg(format!(
            "{0}/lib/x86_64-linux-gnu:{0}/usr/lib/x86_64-linux-gnu",
            packed.root.display()
        ))
        .arg(packed.root.join("usr/bin/redis-server"))
        .arg("--version")
        .output()
        .unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(version.starts_with("Redis server v="), "{version}");
    let unknown = PackSource::Debian(vec!["no-such-package-at-all".into()]);
    let error = pack::plan(&unknown, &linux(), &mut ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no-such-package-at-all is no package that apt knows"
    );
}

#[test]
fn what_is_unpacked_lies_where_it_was_said_as_long_as_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let archive = folder.path().join("app.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    tar.append_data(&mut header, "app/file", b"text".as_slice())
        .unwrap();
    tar.into_inner().unwrap();
    let options = PackOptions {
        scratch: Some(scratch.clone()),
        ..linux()
    };
    let plan = plan(&PackSource::Archive(archive), &options);
    let entry = plan
        .entries
        .iter()
        .find(|it| it.guest == Path::new("/file"));
    match &entry.unwrap().content {
        Content::Unpacked(host) => assert!(host.starts_with(&scratch), "{}", host.display()),
        other => panic!("{other:?}"),
    }
    drop(plan);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}
