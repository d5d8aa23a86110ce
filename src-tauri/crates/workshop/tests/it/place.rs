//! A home and a working folder for one test, and what is needed to look at them.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::CancellationToken;
use windlass_workshop::Workshop;
use windlass_workshop::appliances::{Appliance, Severity};
use windlass_workshop::error::AppError;
use windlass_workshop::events::Event;
use windlass_workshop::home::Home;
use windlass_workshop::jobs::Job;
use windlass_workshop::machines::{Machine, MachineState};

/// Nothing here takes that long, unless it hangs; guests under emulation on a busy computer are slow.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A home and a working folder that go away together, with the machines that still run.
#[derive(Debug)]
pub(crate) struct Place {
    root: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("workshop-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        Self { root }
    }

    /// A place whose library has a kernel that images can be made for; nothing boots from it.
    pub(crate) async fn with_kernel_header() -> (Self, Arc<Workshop>) {
        let place = Self::new();
        let file = place.write("vmlinuz", &linux_header("6.1.0-test-amd64"));
        let workshop = place.open().await;
        workshop.add_kernels(&[file]).await.unwrap();
        (place, workshop)
    }

    /// A place whose library has the distribution's kernel and what the samples need.
    pub(crate) async fn with_linux() -> (Self, Arc<Workshop>) {
        let place = Self::new();
        let probe = place.borrow_lasting().await;
        let workshop = place.open().await;
        let database = rusqlite::Connection::open(workshop.home().database()).unwrap();
        database
            .execute("INSERT INTO setting VALUES ('probe', ?1)", [probe])
            .unwrap();
        (place, workshop)
    }

    /// Lays the library of a home that outlasts the tests into this one, and returns how its QEMU was found.
    async fn borrow_lasting(&self) -> String {
        let lasting = Path::new(env!("CARGO_TARGET_TMPDIR")).join("workshop-lasting");
        fs::create_dir_all(&lasting).unwrap();
        let lock = fs::File::create(lasting.join("lock")).unwrap();
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
        let _lock = lock.await.unwrap().unwrap();
        let home = Home::at(lasting.join("home"));
        let workshop = Workshop::open(home.clone()).await.unwrap();
        if workshop.kernels().unwrap().is_empty() {
            let job = workshop.start_kernel_fetch().unwrap();
            finish(&workshop, &job).await.unwrap();
        }
        if has_node(&workshop) && workshop.packages().unwrap().is_empty() {
            let job = workshop.start_sample("node-microservice").unwrap();
            finish(&workshop, &job).await.unwrap();
        }
        workshop.probe(&CancellationToken::new()).await.unwrap();
        for folder in ["kernels", "packages"] {
            copy(&home.root().join(folder), &self.home().join(folder));
        }
        let database = rusqlite::Connection::open(home.database()).unwrap();
        let query = "SELECT value FROM setting WHERE name = 'probe'";
        database.query_row(query, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) async fn open(&self) -> Arc<Workshop> {
        Workshop::open(Home::at(self.home())).await.unwrap()
    }

    /// Writes a file below the place, outside the home.
    pub(crate) fn write(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes an appliance that runs `command`.
    pub(crate) fn write_appliance(&self, name: &str, command: &str) -> PathBuf {
        let manifest = format!("name: {name}\ntitle: {name}\nauthor: nobody\n");
        let run = format!("runtime: native\nconfig_set:\n  default:\n    bootcmd: {command}\n");
        self.write(&format!("{name}/meta/package.yaml"), manifest.as_bytes());
        self.write(&format!("{name}/meta/run.yaml"), run.as_bytes());
        self.path(name)
    }

    /// An appliance with the program *hello*, which does as `command` tells it.
    pub(crate) async fn hello(&self, workshop: &Arc<Workshop>, command: &str) -> Appliance {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.write_appliance("hello", command);
        let program = self.write("hello/hello", windlass_library::HELLO);
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        workshop.add_appliance(&folder, None).await.unwrap()
    }

    /// What there is in a folder of the home, sorted; ids and random names are left out.
    pub(crate) fn list(&self, folder: &str) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.home().join(folder), "", &mut names);
        names.sort();
        names
    }

    /// A text with the names in it that differ from run to run replaced.
    pub(crate) fn without_chance(&self, text: &str) -> String {
        let root = fs::canonicalize(self.root()).unwrap();
        let text = text.replace(&root.display().to_string(), "…");
        let text = text.replace(&self.root().display().to_string(), "…");
        let mut out = String::new();
        let mut word = String::new();
        for c in text.chars().chain(['\0']) {
            if c.is_ascii_alphanumeric() {
                word.push(c);
                continue;
            }
            let is_id = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            out.push_str(if is_id { "ID" } else { &word });
            word.clear();
            out.push(c);
        }
        out.trim_end_matches('\0').to_owned()
    }

    /// An error as a user sees it, with its details open.
    pub(crate) fn shown(&self, error: &AppError) -> String {
        let mut text = format!("{:?}: {}\n", error.kind, error.message);
        for cause in &error.chain {
            writeln!(text, "because: {cause}").unwrap();
        }
        for hint in &error.hints {
            writeln!(text, "hint: {hint}").unwrap();
        }
        self.without_chance(&text)
    }

    /// How a machine stands, as its page says it.
    pub(crate) fn story(&self, machine: &Machine) -> String {
        let mut text = format!(
            "{:?}, exit status {:?}\n",
            machine.state, machine.exit_status
        );
        if let Some(message) = &machine.message {
            writeln!(text, "{message}").unwrap();
        }
        if let Some(remedy) = &machine.remedy {
            writeln!(text, "hint: {remedy}").unwrap();
        }
        self.without_chance(&text)
    }

    /// What an appliance's contents are said to lack.
    pub(crate) async fn findings(&self, workshop: &Arc<Workshop>, id: &str) -> String {
        let contents = workshop.contents(id).await.unwrap();
        let errors = contents.findings.iter();
        let errors = errors.filter(|finding| finding.severity == Severity::Error);
        let lines = errors.map(|finding| {
            format!(
                "{}{}\nhint: {}\n",
                finding
                    .path
                    .as_deref()
                    .map(|path| format!("{path}: "))
                    .unwrap_or_default(),
                finding.message,
                finding.remedy.as_deref().unwrap_or("-")
            )
        });
        self.without_chance(&lines.collect::<String>())
    }
}

impl Drop for Place {
    /// A test that failed leaves no QEMU behind: those of this home are known by their command line.
    fn drop(&mut self) {
        let mark = self.root().display().to_string();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
                continue;
            };
            let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            if words.contains("qemu-system") && words.contains(&mark) {
                kill(pid);
            }
        }
    }
}

/// Kills a process that a test started.
pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

pub(crate) fn has_node(workshop: &Workshop) -> bool {
    let samples = workshop.samples();
    let node = samples
        .iter()
        .find(|sample| sample.id == "node-microservice");
    node.is_some_and(|sample| sample.available)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits for the end of a job.
pub(crate) async fn finish(workshop: &Workshop, job: &Job) -> Result<String, AppError> {
    let ended = tokio::time::timeout(PATIENCE, workshop.finish_job(&job.id, |_| {}));
    ended
        .await
        .unwrap()
        .map(|job| job.produced.unwrap_or_default())
}

/// Builds, runs, and returns the machine's id.
pub(crate) async fn run(workshop: &Arc<Workshop>, appliance: &str) -> String {
    let job = workshop.start_run(appliance).unwrap();
    finish(workshop, &job).await.unwrap()
}

pub(crate) async fn ended(workshop: &Workshop, machine: &str) -> Machine {
    let ended = tokio::time::timeout(PATIENCE, workshop.ended_machine(machine));
    ended.await.unwrap().unwrap()
}

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The console of the present run, once `text` is in it.
pub(crate) async fn console_until(workshop: &Workshop, machine: &str, text: &str) -> String {
    until(&format!("{text:?} on the console"), async || {
        let said = console(workshop, machine).await;
        said.contains(text).then_some(said)
    })
    .await
}

/// All that the console said in the present or last run.
pub(crate) async fn console(workshop: &Workshop, machine: &str) -> String {
    let mut console = workshop.console(machine, 0).unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length) = console.read_available(&mut buffer).await
        && length > 0
    {
        said.extend(&buffer[..length]);
    }
    String::from_utf8_lossy(&said).replace('\r', "")
}

/// Whether a machine is in this state, as something to wait for.
pub(crate) fn is(workshop: &Workshop, id: &str, state: MachineState) -> Option<()> {
    (workshop.machine(id).unwrap().state == state).then_some(())
}

/// The states of a machine that were told, each once in a row.
pub(crate) fn states(events: &mut Receiver<Event>, machine: &str) -> Vec<MachineState> {
    let mut states = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::MachineChanged(changed) = event
            && changed.id == machine
        {
            states.push(changed.state);
        }
    }
    states.dedup();
    states
}

/// Asks an HTTP service of a guest; nothing, when it does not answer soon.
pub(crate) fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

fn collect(folder: &Path, at: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{at}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), names);
            names.push(name + "/");
        } else {
            names.push(name);
        }
    }
}

/// The same files in another folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, kind) = entry
            .map(|entry| (entry.path(), entry.file_type()))
            .unwrap();
        let to = to.join(entry.file_name().unwrap());
        let kind = kind.unwrap();
        if kind.is_dir() {
            copy(&entry, &to);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&entry).unwrap(), to).unwrap();
        } else {
            fs::copy(&entry, to).unwrap();
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    bytes.resize(bytes.len().max(offset + part.len()), 0);
    bytes[offset..offset + part.len()].copy_from_slice(part);
}

/// The header of a Linux kernel, as its boot protocol has it.
fn linux_header(version: &str) -> Vec<u8> {
    let mut bytes = vec![0; 0x200 * 2 + 4096];
    put(&mut bytes, 0, b"MZ");
    put(&mut bytes, 0x1f1, &[1]);
    put(&mut bytes, 0x1f4, &256_u32.to_le_bytes());
    put(&mut bytes, 0x1fe, &[0x55, 0xaa]);
    put(&mut bytes, 0x202, b"HdrS\x0f\x02");
    put(&mut bytes, 0x20e, &0x100_u16.to_le_bytes());
    put(&mut bytes, 0x211, &[1]);
    put(&mut bytes, 0x236, &[0x3f]);
    let text = format!("{version} (somebody) #1 SMP\0");
    put(&mut bytes, 0x300, text.as_bytes());
    bytes
}
