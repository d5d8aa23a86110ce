//! How much machines and this computer do: the last minutes in memory, the last days on the disk.
//!
//! ```text
//!   every second while somebody watches, every other where there are many machines, else every ten:
//!     each machine that this process drives ─▶ Load ─▶ the last ten minutes ─▶ sparklines, graphs
//!                                                └───▶ the minute ─▶ machines/<id>/history, host.history
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use specta::Type;
use windlass_machine::{History, HostUsage, Load, MINUTES_MAX, MachineHandle, Minute, Usage};

use crate::Workshop;
use crate::error::{IoContext, Result};

/// Who asks for loads watches for so long.
const WATCHED: Duration = Duration::from_secs(5);
const STEP_WATCHED: Duration = Duration::from_secs(1);
/// So many machines are many: each costs a little, and nobody follows every one of them.
const CROWD: usize = 8;
const STEP_CROWD: Duration = Duration::from_secs(2);
const STEP_UNWATCHED: Duration = Duration::from_secs(10);
/// The last ten minutes and more, at a step of a second.
const POINTS_MAX: usize = 600;
/// The name of this computer among the machines; no machine's id looks like that.
const HOST: &str = "host";

/// What was done up to a moment, since the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct LoadPoint {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// Processors kept busy, in thousandths: 1000 is one of them, all the time.
    pub cpu_permille: u32,
    /// The most processors kept busy in thousandths, where this stands for a minute.
    pub cpu_permille_most: u32,
    /// Memory taken, in bytes.
    pub memory_bytes: u64,
    /// Bytes read from disks in a second. This computer: not measured.
    pub read_rate: u64,
    /// Bytes written to disks in a second. This computer: not measured.
    pub write_rate: u64,
    /// Bytes that came by all network cards in a second, where that is known. This computer: not measured.
    pub receive_rate: Option<u64>,
    /// Bytes sent by all network cards in a second, where that is known. This computer: not measured.
    pub send_rate: Option<u64>,
}

/// The last minutes of a machine, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct MachineLoad {
    /// The machine.
    pub id: String,
    /// What it did.
    pub points: Vec<LoadPoint>,
}

/// What a machine does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineNow {
    /// The machine.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What it did in the last second; nothing where it does not run.
    pub load: Option<LoadPoint>,
}

/// What this computer and its machines do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Loads {
    /// After how long there will be more, in milliseconds.
    pub step_ms: u32,
    /// How many processors this computer has.
    pub processors: u32,
    /// How much memory it has.
    pub memory_total_bytes: u64,
    /// What it did in the last minutes.
    pub host: Vec<LoadPoint>,
    /// What its machines did.
    pub machines: Vec<MachineLoad>,
}

/// What was measured, by machine.
#[derive(Debug, Default)]
pub(crate) struct Measuring {
    inner: Mutex<Inner>,
    asked: tokio::sync::Notify,
}

#[derive(Debug, Default)]
struct Inner {
    tracks: BTreeMap<String, Track>,
    host_usage: Option<HostUsage>,
    last_asked: Option<Instant>,
    /// How many machines were measured.
    measured: usize,
}

/// The last minutes of one machine.
#[derive(Debug)]
struct Track {
    usage: Option<Usage>,
    points: VecDeque<LoadPoint>,
    minute: Option<Gathered>,
    history: History,
}

/// The minute that is not over yet.
#[derive(Debug, Default)]
struct Gathered {
    number: u64,
    seconds: f64,
    cpu_seconds: f64,
    memory_bytes: u64,
    read_bytes: f64,
    written_bytes: f64,
    received_bytes: f64,
    sent_bytes: f64,
    /// Of how many seconds it is known what went over the network.
    network_seconds: f64,
    cpus_most: f64,
}

impl Gathered {
    fn add(&mut self, load: &Load, seconds: f64) {
        self.seconds += seconds;
        self.cpu_seconds += load.cpus * seconds;
        self.memory_bytes = self.memory_bytes.max(load.memory_bytes);
        self.read_bytes += load.read_rate * seconds;
        self.written_bytes += load.write_rate * seconds;
        if let Some((receive_rate, send_rate)) = load.receive_rate.zip(load.send_rate) {
            self.network_seconds += seconds;
            self.received_bytes += receive_rate * seconds;
            self.sent_bytes += send_rate * seconds;
        }
        self.cpus_most = self.cpus_most.max(load.cpus);
    }

    fn minute(&self) -> Minute {
        let seconds = self.seconds.max(f64::MIN_POSITIVE);
        let is_known = self.network_seconds > 0.0;
        Minute {
            number: self.number,
            mean: Load {
                cpus: self.cpu_seconds / seconds,
                memory_bytes: self.memory_bytes,
                read_rate: self.read_bytes / seconds,
                write_rate: self.written_bytes / seconds,
                receive_rate: is_known.then(|| self.received_bytes / self.network_seconds),
                send_rate: is_known.then(|| self.sent_bytes / self.network_seconds),
            },
            cpus_most: self.cpus_most,
        }
    }
}

impl Track {
    fn new(history: History) -> Self {
        Self {
            usage: None,
            points: VecDeque::new(),
            minute: None,
            history,
        }
    }

    /// Takes what was done in the last `seconds`; the minute that this ends, if it ends one.
    fn add(&mut self, at: Timestamp, load: &Load, seconds: f64) -> Option<Minute> {
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(point(at, load));
        let number = minute_of(at);
        let ended = self.minute.take_if(|minute| minute.number != number);
        let minute = self.minute.get_or_insert_with(|| Gathered {
            number,
            ..Gathered::default()
        });
        minute.add(load, seconds);
        ended.map(|ended| ended.minute())
    }
}

impl Measuring {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After how long to measure again, and whether somebody watches.
    fn step(&self) -> (Duration, bool) {
        let inner = self.lock();
        let asked = inner.last_asked;
        if asked.is_some_and(|asked| asked.elapsed() < WATCHED) {
            (step_watched(inner.measured), true)
        } else {
            (STEP_UNWATCHED, false)
        }
    }

    /// Waits until it is time to measure, which comes sooner when somebody begins to watch.
    async fn wait(&self) {
        let (step, is_watched) = self.step();
        let sleep = tokio::time::sleep(step);
        if is_watched {
            sleep.await;
        } else {
            tokio::select! {
                () = sleep => {}
                () = self.asked.notified() => {}
            }
        }
    }
}

impl Workshop {
    /// What this computer and its machines did in the last minutes, after `since` (in milliseconds since 1970). As long as
    /// somebody asks, it is measured every second.
    pub fn loads(&self, since: u64) -> Loads {
        let usage = HostUsage::now();
        let mut inner = self.measuring.lock();
        let was_watched = inner
            .last_asked
            .replace(Instant::now())
            .is_some_and(|asked| asked.elapsed() < WATCHED);
        if !was_watched {
            self.measuring.asked.notify_one();
        }
        let points = |track: &Track| {
            let points = track.points.iter().filter(|point| point.at > since);
            points.copied().collect()
        };
        Loads {
            step_ms: u32::try_from(step_watched(inner.measured).as_millis()).unwrap_or(u32::MAX),
            processors: usage.map_or(0, |usage| usage.processors),
            memory_total_bytes: usage.map_or(0, |usage| usage.memory_total_bytes),
            host: inner.tracks.get(HOST).map(points).unwrap_or_default(),
            machines: inner
                .tracks
                .iter()
                .filter(|(id, _)| *id != HOST)
                .map(|(id, track)| MachineLoad {
                    id: id.clone(),
                    points: points(track),
                })
                .collect(),
        }
    }

    /// What a machine did in its last minutes, of which there are at most two days; this computer where no machine is named.
    ///
    /// # Errors
    /// `NotFound` when there is no such machine; when its history cannot be read.
    pub fn load_history(&self, machine: Option<&str>, minutes: u32) -> Result<Vec<LoadPoint>> {
        let history = match machine {
            Some(machine) => self.machine_handle(machine)?.history(),
            None => self.host_history(),
        };
        let now = minute_of(Timestamp::now());
        let first = now.saturating_sub(u64::from(minutes).min(MINUTES_MAX - 1));
        let kept = history
            .minutes(first, now)
            .doing("read", history.path())?
            .into_iter();
        Ok(kept.map(point_of).collect())
    }

    /// What machines do now, measured for a second: for those who ask once.
    ///
    /// # Errors
    /// `NotFound` when there is no such machine.
    pub async fn measure(&self, machines: &[String]) -> Result<Vec<MachineNow>> {
        let handles = machines
            .iter()
            .map(|machine| self.machine_handle(machine))
            .collect::<Result<Vec<_>>>()?;
        let first = usages(&handles).await;
        tokio::time::sleep(STEP_WATCHED).await;
        let second = usages(&handles).await;
        let at = Timestamp::now();
        let loads = first.into_iter().zip(second).zip(&handles);
        Ok(loads
            .map(|((first, second), handle)| MachineNow {
                id: handle.id().to_owned(),
                name: handle.spec().name,
                load: second
                    .zip(first)
                    .and_then(|(now, then)| now.since(&then))
                    .map(|load| point(at, &load)),
            })
            .collect())
    }

    fn host_history(&self) -> History {
        History::at(self.home.root().join("host.history"))
    }

    /// Measures for as long as the workshop is open.
    pub(crate) fn keep_measuring(self: &Arc<Self>) {
        let weak = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(measuring) = weak.upgrade().map(|it| Arc::clone(&it.measuring)) {
                measuring.wait().await;
                measure_all(&weak).await;
            }
        });
    }
}

/// Reads all counters once, and keeps what came of it.
async fn measure_all(weak: &Weak<Workshop>) {
    let Some(workshop) = weak.upgrade() else {
        return;
    };
    // A machine that another process drives is measured there.
    let mut handles = workshop.machines.list();
    handles.retain(|handle| {
        let status = handle.status();
        let status = status.borrow();
        status.state.is_live() && !status.elsewhere
    });
    let usages = usages(&handles).await;
    let host_usage = HostUsage::now();
    let at = Timestamp::now();
    let host_history = workshop.host_history();
    let mut inner = workshop.measuring.lock();
    inner.measured = handles.len();
    let mut ended = Vec::new();
    for (handle, usage) in handles.iter().zip(usages) {
        let track = inner
            .tracks
            .entry(handle.id().to_owned())
            .or_insert_with(|| Track::new(handle.history()));
        let earlier = std::mem::replace(&mut track.usage, usage);
        if let Some((now, then)) = usage.zip(earlier)
            && let Some(load) = now.since(&then)
        {
            let seconds = now.at.duration_since(then.at).as_secs_f64();
            let minute = track.add(at, &load, seconds);
            ended.extend(minute.map(|minute| (track.history.clone(), minute)));
        }
    }
    let earlier = std::mem::replace(&mut inner.host_usage, host_usage);
    if let Some((now, then)) = host_usage.zip(earlier)
        && let Some(cpus) = now.cpus_since(&then)
    {
        let load = Load {
            cpus,
            memory_bytes: now.memory_used_bytes(),
            ..Load::default()
        };
        let track = inner
            .tracks
            .entry(HOST.to_owned())
            .or_insert_with(|| Track::new(host_history));
        let minute = track.add(at, &load, STEP_WATCHED.as_secs_f64());
        ended.extend(minute.map(|minute| (track.history.clone(), minute)));
    }
    // The last minute of a machine that ended is over.
    let is_live = |id: &str| id == HOST || handles.iter().any(|handle| handle.id() == id);
    for (_, track) in inner.tracks.iter_mut().filter(|(id, _)| !is_live(id)) {
        track.usage = None;
        let minute = track.minute.take();
        ended.extend(minute.map(|minute| (track.history.clone(), minute.minute())));
    }
    inner
        .tracks
        .retain(|id, _| id == HOST || workshop.machines.get(id).is_ok());
    drop(inner);
    for (history, minute) in ended {
        // A machine that was deleted has no folder any more.
        if let Err(error) = history.keep(&minute)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %history.path().display(), %error, "a minute could not be kept");
        }
    }
}

/// After how long so many machines are measured again while somebody watches.
fn step_watched(machines: usize) -> Duration {
    if machines > CROWD {
        STEP_CROWD
    } else {
        STEP_WATCHED
    }
}

async fn usages(handles: &[MachineHandle]) -> Vec<Option<Usage>> {
    let asked = handles.iter().map(async |handle| {
        let usage = tokio::time::timeout(STEP_WATCHED, handle.usage()).await;
        usage.ok()?.ok()?
    });
    futures_util::future::join_all(asked).await
}

fn minute_of(at: Timestamp) -> u64 {
    u64::try_from(at.as_second() / 60).unwrap_or(0)
}

fn point(at: Timestamp, load: &Load) -> LoadPoint {
    let cpu_permille = permille(load.cpus);
    LoadPoint {
        at: u64::try_from(at.as_millisecond()).unwrap_or(0),
        cpu_permille,
        cpu_permille_most: cpu_permille,
        memory_bytes: load.memory_bytes,
        read_rate: whole(load.read_rate),
        write_rate: whole(load.write_rate),
        receive_rate: load.receive_rate.map(whole),
        send_rate: load.send_rate.map(whole),
    }
}

fn point_of(minute: Minute) -> LoadPoint {
    LoadPoint {
        at: minute.number.saturating_mul(60_000),
        cpu_permille: permille(minute.mean.cpus),
        cpu_permille_most: permille(minute.cpus_most),
        memory_bytes: minute.mean.memory_bytes,
        read_rate: whole(minute.mean.read_rate),
        write_rate: whole(minute.mean.write_rate),
        receive_rate: minute.mean.receive_rate.map(whole),
        send_rate: minute.mean.send_rate.map(whole),
    }
}

fn permille(cpus: f64) -> u32 {
    u32::try_from(whole(cpus * 1000.0)).unwrap_or(u32::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no less than nothing and no more than fits"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_040 + seconds).unwrap()
    }

    #[test]
    fn a_minute_is_the_mean_of_what_was_done_in_it() {
        let mut track = Track::new(History::at("/nowhere".into()));
        let load = |cpus: f64, write_rate: f64| Load {
            cpus,
            memory_bytes: 1 << 20,
            write_rate,
            ..Load::default()
        };
        assert_eq!(track.add(at(0), &load(1.0, 100.0), 1.0), None);
        assert_eq!(track.add(at(30), &load(0.5, 0.0), 3.0), None);
        let minute = track.add(at(60), &load(0.0, 0.0), 1.0).unwrap();
        assert_eq!(minute.number, 1_700_000_040 / 60);
        let mean = (minute.mean.cpus, minute.mean.write_rate, minute.cpus_most);
        assert_eq!(mean, (0.625, 25.0, 1.0));
        assert_eq!(track.points.len(), 3);
    }

    #[test]
    fn the_last_points_are_kept_and_no_more() {
        let mut track = Track::new(History::at("/nowhere".into()));
        for second in 0..2000 {
            track.add(at(second), &Load::default(), 1.0);
        }
        assert_eq!(track.points.len(), POINTS_MAX);
    }
}
