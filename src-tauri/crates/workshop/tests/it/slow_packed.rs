//! What was packed runs: the distribution's Python, Node.js, nginx and redis, and a Java program, each answers on its
//! port from a guest of its own.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use windlass_package::pack::{self, Addition, PackOptions, PackSource};
use windlass_workshop::Workshop;
use windlass_workshop::appliances::Port;
use windlass_workshop::guests::{GuestOs, Protocol};
use windlass_workshop::machines::MachineState;

use crate::osv::with_osv;
use crate::place::{Place, console, ended, is, run, until};

/// Something to be packed, and how it is asked.
struct Service {
    source: PackSource,
    add: Vec<Addition>,
    /// In place of the proposed boot command.
    command: Option<&'static str>,
    port: u16,
    question: &'static str,
    answer: &'static str,
    memory_mib: u32,
}

impl Service {
    fn debian(package: &str, port: u16) -> Self {
        Self {
            source: PackSource::Debian(vec![package.to_owned()]),
            add: Vec::new(),
            command: None,
            port,
            question: "GET / HTTP/1.0\r\n\r\n",
            answer: "HTTP/1.",
            memory_mib: 512,
        }
    }

    fn nginx() -> Self {
        Self {
            answer: "nginx runs",
            ..Self::debian("nginx", 80)
        }
    }

    fn redis() -> Self {
        Self {
            question: "PING\r\nQUIT\r\n",
            answer: "+PONG",
            ..Self::debian("redis-server", 6379)
        }
    }

    fn python() -> Self {
        Self {
            command: Some("/usr/bin/python3 -m http.server 8080"),
            ..Self::debian("python3", 8080)
        }
    }

    /// Node as this computer has it, or as the distribution does.
    fn node(place: &Place) -> Self {
        let script = "require('http').createServer((_, answer) => answer.end('hello from Node')).listen(8080)\n";
        let host = place.write("server.js", script.as_bytes());
        Self {
            add: vec![Addition {
                host,
                guest: "/server.js".into(),
            }],
            command: Some("/usr/bin/node /server.js"),
            answer: "hello from Node",
            ..Self::debian("nodejs", 8080)
        }
    }

    /// A web server in Java; nothing where there is no JDK.
    fn java(place: &Place) -> Option<Self> {
        let jar = java_archive(place)?;
        Some(Self {
            source: PackSource::Jar(jar),
            answer: "hello from Java",
            ..Self::debian("", 8080)
        })
    }

    /// The same, in an archive of archives.
    fn spring_boot(place: &Place) -> Option<Self> {
        let jar = java_archive_of_archives(place)?;
        Some(Self {
            source: PackSource::Jar(jar),
            answer: "hello from within",
            ..Self::debian("", 8080)
        })
    }
}

fn java_archive(place: &Place) -> Option<PathBuf> {
    let source = r#"
        import com.sun.net.httpserver.HttpServer;
        import java.net.InetSocketAddress;
        public class Service {
            public static void main(String[] arguments) throws Exception {
                HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
                server.createContext("/", exchange -> {
                    byte[] answer = "hello from Java".getBytes();
                    exchange.sendResponseHeaders(200, answer.length);
                    exchange.getResponseBody().write(answer);
                    exchange.close();
                });
                server.start();
            }
        }"#;
    place.write("java/Service.java", source.as_bytes());
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let command = command.args(arguments).current_dir(place.path("java"));
        command.status().is_ok_and(|status| status.success())
    };
    let is_made = run("javac", &["-d", "classes", "Service.java"])
        && run(
            "jar",
            &["cfe", "service.jar", "Service", "-C", "classes", "."],
        );
    is_made.then(|| place.path("java/service.jar"))
}

/// A web server in an archive as Spring Boot lays it out: the service and its library are archives and folders within,
/// and the launcher is all that Java itself sees. (Its launcher stands in for theirs.)
fn java_archive_of_archives(place: &Place) -> Option<PathBuf> {
    let launcher = r#"
        import java.io.*;
        import java.util.*;
        import java.util.jar.*;
        public class Launcher extends ClassLoader {
            private final Map<String, byte[]> classes = new HashMap<>();
            public static void main(String[] arguments) throws Exception {
                Launcher launcher = new Launcher();
                String archive = System.getProperty("java.class.path");
                try (JarInputStream jar = new JarInputStream(new FileInputStream(archive))) {
                    launcher.take(jar);
                }
                launcher.loadClass("Service").getMethod("main", String[].class)
                    .invoke(null, (Object) arguments);
            }
            private void take(JarInputStream jar) throws IOException {
                JarEntry entry;
                while ((entry = jar.getNextJarEntry()) != null) {
                    String name = entry.getName().replaceFirst("^BOOT-INF/classes/", "");
                    if (name.endsWith(".jar")) {
                        take(new JarInputStream(new ByteArrayInputStream(jar.readAllBytes())));
                    } else if (name.endsWith(".class") && !name.equals("Launcher.class")) {
                        classes.put(name.replace(".class", "").replace('/', '.'), jar.readAllBytes());
                    }
                }
            }
            @Override protected Class<?> findClass(String name) throws ClassNotFoundException {
                byte[] bytes = classes.get(name);
                if (bytes == null) throw new ClassNotFoundException(name);
                return defineClass(name, bytes, 0, bytes.length);
            }
        }"#;
    let library = r#"
        import java.util.logging.Logger;
        public class Words {
            public static String hello() {
                Logger.getLogger("words").info("asked");
                return "hello from within";
            }
        }"#;
    let service = r#"
        import com.sun.net.httpserver.HttpServer;
        import java.net.InetSocketAddress;
        public class Service {
            public static void main(String[] arguments) throws Exception {
                HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
                server.createContext("/", exchange -> {
                    byte[] answer = Words.hello().getBytes();
                    exchange.sendResponseHeaders(200, answer.length);
                    exchange.getResponseBody().write(answer);
                    exchange.close();
                });
                server.start();
            }
        }"#;
    place.write("boot/Launcher.java", launcher.as_bytes());
    place.write("boot/Words.java", library.as_bytes());
    place.write("boot/Service.java", service.as_bytes());
    fs::create_dir_all(place.path("boot/all/BOOT-INF/lib")).unwrap();
    let manifest = "Main-Class: Launcher\nStart-Class: Service\nSpring-Boot-Classes: BOOT-INF/classes/\n\
                    Spring-Boot-Lib: BOOT-INF/lib/\n";
    place.write("boot/manifest", manifest.as_bytes());
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let command = command.args(arguments).current_dir(place.path("boot"));
        command.status().is_ok_and(|status| status.success())
    };
    let nested = "all/BOOT-INF/lib/words.jar";
    let is_made = run("javac", &["-d", "words", "Words.java"])
        && run("jar", &["cf", nested, "-C", "words", "."])
        && run(
            "javac",
            &["-cp", "words", "-d", "all/BOOT-INF/classes", "Service.java"],
        )
        && run("javac", &["-d", "all", "Launcher.java"])
        && run("jar", &["cfm", "service.jar", "manifest", "-C", "all", "."]);
    is_made.then(|| place.path("boot/service.jar"))
}

fn has_apt() -> bool {
    Command::new("apt-get").arg("--version").output().is_ok()
}

fn ask(port: u16, question: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    stream.write_all(question.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    // What came until the end or a pause counts.
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..length]);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (!answer.is_empty()).then_some(answer)
}

/// Packs, composes, boots, asks, and stops.
async fn answers(place: &Place, workshop: &Arc<Workshop>, service: Service, guest: GuestOs) {
    let folder = place.path("packed");
    pack(&service, guest, &folder);
    let appliance = workshop.add_appliance(&folder, None).await.unwrap();
    let mut settings = workshop.run_form(&appliance.id).unwrap().settings;
    settings.guest = guest;
    settings.root_fs = match guest {
        GuestOs::Osv => windlass_workshop::guests::RootFs::Rofs,
        GuestOs::Linux => windlass_workshop::guests::RootFs::Ext4,
    };
    settings.memory_mib = service.memory_mib;
    settings.ports = vec![Port {
        host: None,
        guest: service.port,
        protocol: Protocol::Tcp,
    }];
    workshop.save_settings(&appliance.id, settings).unwrap();
    for finding in workshop.contents(&appliance.id).await.unwrap().findings {
        println!("{finding:?}");
    }
    let id = run(workshop, &appliance.id).await;
    let port = workshop.machine(&id).unwrap().ports[0].host;
    let question = service.question;
    let answer = until("an answer", async || {
        if is(workshop, &id, MachineState::Running).is_none() {
            let machine = workshop.machine(&id).unwrap();
            let said = console(workshop, &id).await;
            let is_over = matches!(machine.state, MachineState::Failed | MachineState::Stopped);
            assert!(!is_over, "{machine:?}\n{said}");
            return None;
        }
        let asked = tokio::task::spawn_blocking(move || ask(port, question));
        asked.await.unwrap()
    })
    .await;
    assert!(answer.contains(service.answer), "{answer}");
    workshop.kill_machine(&id).await.unwrap();
    ended(workshop, &id).await;
    let job = workshop.delete_machine(&id).await;
    job.unwrap();
}

fn pack(service: &Service, guest: GuestOs, folder: &Path) {
    let mut options = PackOptions::new(match guest {
        GuestOs::Osv => windlass_guest::GuestOs::Osv,
        GuestOs::Linux => windlass_guest::GuestOs::Linux,
    });
    options.add.clone_from(&service.add);
    let mut plan = pack::plan(&service.source, &options, &mut ()).unwrap();
    if let Some(command) = service.command {
        let linker = "/lib64/ld-linux-x86-64.so.2 ";
        let linker = if plan.run_yaml.as_ref().unwrap().contains(linker) && guest == GuestOs::Osv {
            linker
        } else {
            ""
        };
        plan.run_yaml = Some(format!(
            "runtime: native\nconfig_set:\n  default:\n    bootcmd: {linker}{command}\n"
        ));
    }
    pack::make(&plan, folder, &mut ()).unwrap();
    let yaml = fs::read_to_string(folder.join("meta/run.yaml")).unwrap();
    println!("{} bytes\n{yaml}", plan.total_bytes());
}

async fn answers_from_linux(service: impl FnOnce(&Place) -> Option<Service>) {
    if !has_apt() {
        println!("skipped: no apt here");
        return;
    }
    let (place, workshop) = Place::with_linux().await;
    match service(&place) {
        Some(service) => answers(&place, &workshop, service, GuestOs::Linux).await,
        None => println!("skipped: no JDK here"),
    }
}

async fn answers_from_osv(service: impl FnOnce(&Place) -> Option<Service>) {
    let both = ["WINDLASS_OSV_LOADER", "WINDLASS_OSV_KERNEL"];
    if let Some((place, workshop)) = with_osv(&both).await
        && let Some(service) = service(&place)
    {
        answers(&place, &workshop, service, GuestOs::Osv).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_nginx_answers() {
    answers_from_linux(|_| Some(Service::nginx())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_redis_answers() {
    answers_from_linux(|_| Some(Service::redis())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_python_answers() {
    answers_from_linux(|_| Some(Service::python())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_node_answers() {
    answers_from_linux(|place| Some(Service::node(place))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_java_answers() {
    answers_from_linux(Service::java).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_archive_of_archives_answers() {
    answers_from_linux(Service::spring_boot).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_nginx_answers_from_osv() {
    answers_from_osv(|_| Some(Service::nginx())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_redis_answers_from_osv() {
    answers_from_osv(|_| Some(Service::redis())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_python_answers_from_osv() {
    answers_from_osv(|_| Some(Service::python())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_node_answers_from_osv() {
    answers_from_osv(|place| Some(Service::node(place))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_packed_java_answers_from_osv() {
    answers_from_osv(Service::java).await;
}
