//! Packages made from what is on this computer, and whether what was packed runs.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use windlass_guest::GuestOs;
use windlass_package::{BuildSettings, Package, boot, pack, samples};

/// Runs a packed program with its own linker and libraries alone: what it lacks, it fails by.
fn packed(package: &Path, program: &str) -> Command {
    let mut linker = Command::new(package.join("lib64/ld-linux-x86-64.so.2"));
    linker
        .arg("--inhibit-cache")
        .arg("--library-path")
        .arg(package.join("lib/x86_64-linux-gnu"))
        .arg(package.join(program.trim_start_matches('/')))
        .env_clear();
    linker
}

/// Every library that the linker maps has to be one of the package.
fn assert_self_contained(package: &Path, program: &str) {
    let output = packed(package, program)
        .env("LD_TRACE_LOADED_OBJECTS", "1")
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    for line in listed.lines().filter(|line| line.contains("=>")) {
        assert!(
            line.contains(package.to_str().unwrap()),
            "from outside of the package: {line}"
        );
    }
}

pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(port: u16, path: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            return answer;
        }
        assert!(Instant::now() < deadline, "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn assert_serves(command: &mut Command) {
    let port = free_port();
    let child = command
        .env("PORT", port.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let page = get(port, "/");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("Hello from a machine of its own"), "{page}");
    let health = get(port, "/health");
    assert!(health.contains("\"status\""), "{health}");
    assert!(get(port, "/nothing").starts_with("HTTP/1.1 404"));

    let pid = child.0.id();
    Command::new("/bin/kill")
        .args(["-TERM", &pid.to_string()])
        .status()
        .unwrap();
    assert!(child.0.wait().unwrap().success(), "SIGTERM ends it well");
    let mut console = String::new();
    child
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut console)
        .unwrap();
    let lines: Vec<&str> = console.lines().collect();
    assert_eq!(lines[0], format!("listening on port {port}"));
    assert!(
        lines
            .iter()
            .any(|line| line.contains("GET /health") && line.contains("200")),
        "{console}"
    );
    assert!(console.ends_with("SIGTERM: closing\n"), "{console}");
}

fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut tree = Vec::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry
            .path()
            .strip_prefix(root)
            .unwrap()
            .display()
            .to_string();
        let content = if entry.file_type().is_file() {
            fs::read(entry.path()).unwrap()
        } else if entry.file_type().is_symlink() {
            fs::read_link(entry.path())
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else {
            Vec::new()
        };
        tree.push((name, content));
    }
    tree
}

#[test]
fn a_packed_node_runs_the_sample() {
    let Some(node) = pack::find_node() else {
        println!("skipped: no Node.js on this computer");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut steps = 0;
    let mut watch = |_bytes| {
        steps += 1;
        std::ops::ControlFlow::Continue(())
    };
    let packed_node = pack::node(folder.path(), &mut watch).unwrap();
    assert!(steps > 1, "progress was reported");
    assert_eq!(packed_node.name, node.package);
    assert_eq!(packed_node.findings, []);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left beside"
    );

    let sample = samples::node_microservice(&folder.path().join("service"), &node.package).unwrap();
    let runtime = Package::open(&packed_node.root).unwrap();
    let appliance = Package::open(&sample).unwrap();
    assert_eq!(appliance.notes, []);
    for (guest, expected) in [
        (
            GuestOs::Osv,
            "/lib64/ld-linux-x86-64.so.2 /usr/bin/node $MAIN\n",
        ),
        (GuestOs::Linux, " /usr/bin/node $MAIN\n"),
    ] {
        let plan = boot::plan(&[&runtime, &appliance], guest, &BuildSettings::default()).unwrap();
        assert_eq!(plan.command_line, "runscript /run/server");
        let server = plan
            .scripts
            .iter()
            .find(|script| script.name == "server")
            .unwrap();
        assert!(server.content.ends_with(expected), "{}", server.content);
    }

    assert_self_contained(&packed_node.root, "/usr/bin/node");
    assert_serves(packed(&packed_node.root, "/usr/bin/node").arg(sample.join("server.js")));
}

#[test]
fn a_packed_python_runs_the_sample() {
    let Some(python) = pack::find_python() else {
        println!("skipped: no Python 3 on this computer");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let packed_python = pack::python(folder.path(), &mut ()).unwrap();
    assert_eq!(packed_python.name, python.package);
    let runtime = Package::open(&packed_python.root).unwrap();
    let run = runtime.run.as_ref().unwrap();
    let env = &run.configuration("python").unwrap().env;
    let home = &env.iter().find(|(name, _)| name == "PYTHONHOME").unwrap().1;
    let program = fs::read_link(packed_python.root.join("usr/bin/python3")).unwrap();
    let home = format!("{}{home}", packed_python.root.display());

    // Every module that was packed can be loaded: the closure went through their libraries too.
    let question = "import ssl, ctypes, sqlite3, lzma, bz2, zlib, hashlib, json, asyncio, http.server; print('all there')";
    let output = packed(&packed_python.root, program.to_str().unwrap())
        .env("PYTHONHOME", &home)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-S", "-c", question])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "all there\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let sample = samples::python(&folder.path().join("service"), &python.package).unwrap();
    assert_serves(
        packed(&packed_python.root, program.to_str().unwrap())
            .env("PYTHONHOME", &home)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(sample.join("app.py")),
    );

    let before = tree(&packed_python.root);
    pack::python(folder.path(), &mut ()).unwrap();
    assert!(
        before == tree(&packed_python.root),
        "the same files give the same package"
    );
}

#[test]
fn packing_that_is_cancelled_leaves_nothing() {
    if pack::find_node().is_none() {
        println!("skipped: no Node.js on this computer");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut done = 0;
    let mut watch = |bytes| {
        done += bytes;
        if done > 1 << 20 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    };
    let error = pack::node(folder.path(), &mut watch).unwrap_err();
    assert_eq!(error.to_string(), "cancelled");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_program_is_packed_with_its_libraries() {
    let folder = tempfile::tempdir().unwrap();
    let packed_cat = pack::program(Path::new("/bin/cat"), folder.path(), &mut ()).unwrap();
    assert_eq!(packed_cat.name, "cat");
    let listed: Vec<String> = tree(&packed_cat.root)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.contains("cat") || name.contains(".so"))
        .collect();
    assert!(
        listed.iter().any(|name| name.ends_with("libc.so.6")),
        "{listed:?}"
    );

    let mut child = packed(&packed_cat.root, "/usr/bin/cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"through the packed cat\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "through the packed cat\n"
    );

    let built = folder.path().join("My Tool");
    fs::copy("/bin/cat", &built).unwrap();
    let tool = pack::program(&built, folder.path(), &mut ()).unwrap();
    assert_eq!(tool.name, "my-tool");
    assert!(tool.root.join("usr/bin/My Tool").is_file());
    let run = fs::read_to_string(tool.root.join("meta/run.yaml")).unwrap();
    insta::assert_snapshot!(run, @r#"
    runtime: native
    config_set:
      my-tool:
        bootcmd: "\"/usr/bin/My Tool\""
    config_set_default: my-tool
    "#);

    let error = pack::program(Path::new("/bin/cat"), folder.path(), &mut ()).unwrap_err();
    assert_eq!(
        error.hint().unwrap(),
        "Choose another name, or remove it first."
    );
    let error = pack::program(Path::new("/etc/passwd"), folder.path(), &mut ()).unwrap_err();
    assert_eq!(error.to_string(), "/etc/passwd is not an ELF file");
}
