//! `windlass-group.yaml`: several appliances that run as one. It lies beside their folders, or in `meta/` of the one that all
//! are of: then folders are named from that one's.
//!
//! ```yaml
//! name: shop                       # the folder's, when nothing is said
//! network: shop                    # the private network of all; the group's name, when nothing is said
//! services:
//!   db:                            # what the others reach it by on the network
//!     appliance: ../database       # a folder, from this file, or the name of an appliance
//!     memory_mib: 256              # and all the other settings of `meta/windlass.yaml`, over the appliance's own
//!     configuration: server
//!     volumes: [{name: shop-data, path: /data}]
//!     health: {tcp: 5432}          # or {http: 8080/ready}, or {console: "ready to serve"}; within: 60
//!     figures:                     # what it says of itself in JSON, shown while it runs; unit: bytes for sizes
//!       - {label: Orders, http: 8080/status, value: /orders/open}
//!   web:
//!     appliance: ../web
//!     count: 3                     # web-1, web-2 and web-3, all of one image
//!     env: {DATABASE: db}
//!     depends_on: [db]             # starts when that one runs and is healthy
//! ```

use std::path::Path;

use crate::settings::BuildSettings;
use crate::yaml::{self, Fields, Mistake, Parsed, Place, Source, Value};
use crate::{Error, Finding};

/// What such a file is called.
pub const FILE: &str = "windlass-group.yaml";

/// Where such a file is found in a folder, the first that is there.
pub const PLACES: [&str; 2] = [FILE, "meta/windlass-group.yaml"];

/// How many machines of one service there can be.
pub const COUNT: (u32, u32) = (1, 100);
/// How many services a file may name.
pub const SERVICES_MAX: usize = 100;
/// How long a service may take until it is healthy, in seconds.
pub const WITHIN_SECONDS: (u32, u32) = (1, 3600);
/// The same where nothing is said.
const WITHIN_SECONDS_DEFAULT: u32 = 120;

/// How many figures of one service are shown.
pub const FIGURES_MAX: usize = 32;

/// Several services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFile {
    /// The group's name.
    pub name: Option<String>,
    /// The private network that joins its machines.
    pub network: Option<String>,
    /// In the order of the file.
    pub services: Vec<Service>,
}

/// One service: machines of one appliance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The appliance: a folder, from the file's own, or a name.
    pub appliance: String,
    /// How many machines.
    pub count: u32,
    /// When it starts: after all services with lower numbers.
    pub order: u32,
    /// The services that have to run, and be healthy, before it starts.
    pub depends_on: Vec<String>,
    /// How it is known that it does what it is for.
    pub health: Option<Health>,
    /// What it says of itself, to be shown.
    pub figures: Vec<Figure>,
    /// Over the appliance's own settings.
    pub settings: BuildSettings,
}

/// How it is known that a service does what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is looked at.
    pub check: HealthCheck,
    /// How long it may take after the start, in seconds.
    pub within_seconds: u32,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// A connection to this port of the guest stays open, or something comes through it.
    Tcp(u16),
    /// A GET of this port and path is answered by a status below 400.
    Http {
        /// The guest's port.
        port: u16,
        /// With its slash.
        path: String,
    },
    /// The console says this.
    Console(String),
}

/// A value out of a JSON document that a service answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// What it is called.
    pub label: String,
    /// The guest's port that is asked.
    pub port: u16,
    /// With its slash.
    pub path: String,
    /// Where the value is in the document: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What a number counts.
    pub unit: FigureUnit,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FigureUnit {
    /// Things.
    #[default]
    None,
    /// Bytes.
    Bytes,
}

impl HealthCheck {
    /// The guest's port that has to be within reach.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(port) | Self::Http { port, .. } => Some(*port),
            Self::Console(_) => None,
        }
    }
}

impl Service {
    /// The names of its machines within the group.
    pub fn machine_names(&self) -> Vec<String> {
        if self.count == 1 {
            return vec![self.name.clone()];
        }
        (1..=self.count)
            .map(|number| format!("{}-{number}", self.name))
            .collect()
    }
}

impl GroupFile {
    /// Reads the text of such a file. `file` is only for messages.
    ///
    /// # Errors
    ///
    /// When it is not YAML, a value is of the wrong kind or out of bounds, a service depends on none that is there, or on itself.
    pub fn parse(text: &str, file: &str) -> Result<Parsed<Self>, Error> {
        Ok(parse(text, file)?)
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it is not there, or as [`parse`](Self::parse).
    pub fn load(path: &Path) -> Result<Parsed<Self>, Error> {
        match crate::package::read_small_text(path)? {
            Some(text) => Self::parse(&text, &path.to_string_lossy()),
            None => Err(Error::Io {
                doing: "read",
                path: path.to_path_buf(),
                source: std::io::ErrorKind::NotFound.into(),
            }),
        }
    }
}

/// A service as it is written, before it is known when it starts.
struct Written {
    service: Service,
    after: Vec<(String, Place)>,
}

fn parse(text: &str, file: &str) -> Result<Parsed<GroupFile>, Box<Mistake>> {
    let mut fields = Fields::new(yaml::parse(text, file)?, "a group", text, file)?;
    let mut notes = Vec::new();
    let source = fields.source();
    let name = name_of(&mut fields, "name")?;
    let network = name_of(&mut fields, "network")?;
    let Some(node) = fields.take("services") else {
        return Err(fields.missing("services"));
    };
    fields.finish(&mut notes);
    let place = node.place;
    let written = Fields::new(node, "the services", text, file)?
        .rest()
        .into_iter()
        .map(|(name, place, node)| {
            check_name("service", &name).map_err(|message| source.mistake(place, message))?;
            service(
                name,
                Fields::new(node, "a service", text, file)?,
                &mut notes,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    if written.is_empty() {
        return Err(source.mistake(place, "A group needs a service"));
    }
    if written.len() > SERVICES_MAX {
        let message = format!("A group has at most {SERVICES_MAX} services");
        return Err(source.mistake(place, message));
    }
    Ok(Parsed {
        value: GroupFile {
            name,
            network,
            services: ordered(written, source)?,
        },
        notes,
    })
}

fn name_of(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<String>, Box<Mistake>> {
    let source = fields.source();
    let Some((name, place)) = fields.text_node(key)? else {
        return Ok(None);
    };
    match check_name(key, &name) {
        Ok(()) => Ok(Some(name)),
        Err(message) => Err(source.mistake(place, message)),
    }
}

/// Names of services are names of hosts, and a machine's name is made of the group's and the service's.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_outer = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
    let bytes = name.as_bytes();
    if bytes.len() <= 40
        && bytes.iter().copied().all(is_inner)
        && is_outer(bytes.first())
        && is_outer(bytes.last())
    {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no {what}: at most 40 of a-z, 0-9 and -, and no - at an end"
    ))
}

fn service(
    name: String,
    mut fields: Fields<'_>,
    notes: &mut Vec<Finding>,
) -> Result<Written, Box<Mistake>> {
    let source = fields.source();
    let texts = (source.text, source.file);
    let service = Service {
        name,
        appliance: fields.required_text("appliance")?,
        count: fields.number("count", COUNT.0, COUNT.1)?.unwrap_or(1),
        order: 0,
        depends_on: Vec::new(),
        health: health(&mut fields, notes)?,
        figures: figures(&mut fields, notes)?,
        settings: BuildSettings::take(&mut fields, texts, notes)?,
    };
    let after = fields.text_nodes("depends_on")?;
    fields.finish(notes);
    let depends_on = after.iter().map(|(name, _)| name.clone()).collect();
    let service = Service {
        depends_on,
        ..service
    };
    Ok(Written { service, after })
}

fn health(
    fields: &mut Fields<'_>,
    notes: &mut Vec<Finding>,
) -> Result<Option<Health>, Box<Mistake>> {
    let source = fields.source();
    let Some(node) = fields.take("health") else {
        return Ok(None);
    };
    let mut fields = Fields::new(node, "a health check", source.text, source.file)?;
    let tcp = fields.number("tcp", 1, u32::from(u16::MAX))?;
    let http = fields.text_node("http")?;
    let console = fields.text("console")?;
    let within_seconds = fields
        .number("within", WITHIN_SECONDS.0, WITHIN_SECONDS.1)?
        .unwrap_or(WITHIN_SECONDS_DEFAULT);
    let check = match (tcp, http, console) {
        (Some(port), None, None) => HealthCheck::Tcp(u16::try_from(port).unwrap_or(u16::MAX)),
        (None, Some((text, place)), None) => {
            let (port, path) =
                port_and_path(&text).ok_or_else(|| no_address(source, place, &text))?;
            HealthCheck::Http { port, path }
        }
        (None, None, Some(text)) if !text.is_empty() => HealthCheck::Console(text),
        _ => {
            let message = "A health check is one of `tcp`, `http` and `console`";
            return Err(source.mistake(fields.place(), message));
        }
    };
    fields.finish(notes);
    Ok(Some(Health {
        check,
        within_seconds,
    }))
}

fn figures(fields: &mut Fields<'_>, notes: &mut Vec<Finding>) -> Result<Vec<Figure>, Box<Mistake>> {
    let source = fields.source();
    let Some(node) = fields.take("figures") else {
        return Ok(Vec::new());
    };
    let place = node.place;
    let Value::List(items) = node.value else {
        return Err(source.mistake(place, "`figures` has to be a list"));
    };
    if items.len() > FIGURES_MAX {
        let message = format!("A service has at most {FIGURES_MAX} figures");
        return Err(source.mistake(place, message));
    }
    let mut figures = Vec::with_capacity(items.len());
    for item in items {
        let mut fields = Fields::new(item, "a figure", source.text, source.file)?;
        let label = fields.required_text("label")?;
        let Some((address, place)) = fields.text_node("http")? else {
            return Err(fields.missing("http"));
        };
        let (port, path) =
            port_and_path(&address).ok_or_else(|| no_address(source, place, &address))?;
        let Some((pointer, place)) = fields.text_node("value")? else {
            return Err(fields.missing("value"));
        };
        if !pointer.is_empty() && !pointer.starts_with('/') {
            let message = format!("`{pointer}` is no JSON pointer: `/orders/0/id`");
            return Err(source.mistake(place, message));
        }
        let unit = match fields.text_node("unit")? {
            None => FigureUnit::None,
            Some((unit, _)) if unit == "bytes" => FigureUnit::Bytes,
            Some((unit, place)) => {
                let message = format!("`{unit}` is no unit: there is `bytes` alone");
                return Err(source.mistake(place, message));
            }
        };
        fields.finish(notes);
        figures.push(Figure {
            label,
            port,
            path,
            pointer,
            unit,
        });
    }
    Ok(figures)
}

fn no_address(source: Source<'_>, place: Place, text: &str) -> Box<Mistake> {
    source.mistake(
        place,
        format!("`{text}` is not a port and a path: `8080/ready`"),
    )
}

/// A guest's port and a path with its slash.
fn port_and_path(text: &str) -> Option<(u16, String)> {
    let (port, path) = text.split_once('/').unwrap_or((text, ""));
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then(|| (port, format!("/{path}")))
}

/// The services with when each starts: one more than the latest of those that it depends on.
fn ordered(written: Vec<Written>, source: Source<'_>) -> Result<Vec<Service>, Box<Mistake>> {
    let names: Vec<_> = written.iter().map(|it| it.service.name.clone()).collect();
    let mut after = Vec::with_capacity(written.len());
    for it in &written {
        let mut indices = Vec::with_capacity(it.after.len());
        for (name, place) in &it.after {
            let Some(at) = names.iter().position(|known| known == name) else {
                let mut mistake = source.mistake(*place, format!("There is no service `{name}`"));
                mistake.suggestion =
                    yaml::nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
                return Err(mistake);
            };
            indices.push((at, *place));
        }
        after.push(indices);
    }
    let mut orders = vec![None; written.len()];
    for at in 0..written.len() {
        order_of(at, &after, &mut orders, &mut Vec::new()).map_err(|(path, place)| {
            let path: Vec<_> = path.iter().map(|at| names[*at].as_str()).collect();
            source.mistake(
                place,
                format!("The services wait for each other: {}", path.join(" → ")),
            )
        })?;
    }
    Ok(written
        .into_iter()
        .zip(orders)
        .map(|(it, order)| Service {
            order: order.unwrap_or(0),
            ..it.service
        })
        .collect())
}

/// When a service starts; else the way back to itself, with where the last step of it is written.
fn order_of(
    at: usize,
    after: &[Vec<(usize, Place)>],
    orders: &mut [Option<u32>],
    path: &mut Vec<usize>,
) -> Result<u32, (Vec<usize>, Place)> {
    if let Some(order) = orders[at] {
        return Ok(order);
    }
    path.push(at);
    let mut order = 0;
    for (next, place) in &after[at] {
        if let Some(begin) = path.iter().position(|on| on == next) {
            let mut circle = path[begin..].to_vec();
            circle.push(*next);
            return Err((circle, *place));
        }
        order = order.max(order_of(*next, after, orders, path)? + 1);
    }
    path.pop();
    orders[at] = Some(order);
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> GroupFile {
        let parsed = GroupFile::parse(text, FILE).unwrap();
        assert_eq!(parsed.notes, [], "{text}");
        parsed.value
    }

    fn refused(text: &str) -> String {
        let error = GroupFile::parse(text, FILE).unwrap_err();
        match error {
            Error::Mistake(mistake) => format!("{mistake}\n{}", mistake.snippet()),
            other => other.to_string(),
        }
    }

    #[test]
    fn services_start_after_those_they_depend_on() {
        let group = read(
            "name: shop\nservices:\n  web:\n    appliance: ../web\n    count: 2\n    depends_on: [api, db]\n    env: {A: b c}\n  \
             api: {appliance: api, depends_on: [db], health: {http: 8080/ready, within: 5}}\n  \
             db:\n    appliance: db\n    health: {tcp: 5432}\n    ports: [{guest: 5432}]\n",
        );
        let said: Vec<_> = group
            .services
            .iter()
            .map(|it| (it.machine_names().join(" "), it.order))
            .collect();
        assert_eq!(
            said,
            [
                ("web-1 web-2".to_owned(), 2),
                ("api".to_owned(), 1),
                ("db".to_owned(), 0)
            ]
        );
        assert_eq!(
            group.services[0].settings.env,
            [("A".to_owned(), "b c".to_owned())]
        );
        let health = group.services[1].health.as_ref().unwrap();
        assert_eq!(
            health.check,
            HealthCheck::Http {
                port: 8080,
                path: "/ready".to_owned()
            }
        );
        assert_eq!(health.within_seconds, 5);
        assert_eq!(
            group.services[2].health.as_ref().unwrap().within_seconds,
            120
        );
    }

    #[test]
    fn what_cannot_be_is_said_with_its_place() {
        insta::assert_snapshot!(
            [
                "",
                "services: {}\n",
                "services: {Web: {appliance: a}}\n",
                "services: {web: {count: 2}}\n",
                "services: {web: {appliance: a, count: 0}}\n",
                "services:\n  web: {appliance: a, depends_on: [wep]}\n",
                "services:\n  a: {appliance: x, depends_on: [b]}\n  b: {appliance: x, depends_on: [c]}\n  \
                 c: {appliance: x, depends_on: [b]}\n",
                "services: {a: {appliance: x, health: {tcp: 1, http: 80}}}\n",
                "services: {a: {appliance: x, health: {http: ready}}}\n",
                "services: {a: {appliance: x, memory_mib: 1}}\n",
                "services: {a: {appliance: x, figures: [{label: A, http: 80/x, value: b}]}}\n",
                "services: {a: {appliance: x, figures: [{label: A, http: 80/x, value: /b, unit: miles}]}}\n",
            ]
            .map(refused)
            .join("\n---\n")
        );
    }

    #[test]
    fn figures_of_a_service() {
        let group = read(
            "services: {a: {appliance: x, figures: [{label: Room, http: '80/s?q=a:b', value: /beans/0/Total, unit: bytes}]}}\n",
        );
        insta::assert_debug_snapshot!(group.services[0].figures);
    }

    #[test]
    fn a_key_that_nobody_reads_is_noted() {
        let parsed =
            GroupFile::parse("services: {a: {appliance: x, dependson: []}}\n", FILE).unwrap();
        assert_eq!(parsed.notes.len(), 1);
    }

    #[test]
    fn settings_of_a_service_go_over_those_of_its_appliance() {
        let own = BuildSettings::parse(
            "memory_mib: 512\nenv: {A: a, B: b}\nconfiguration: server\nports: [{guest: 80, host: 8080}]\n",
            "own",
        )
        .unwrap()
        .value;
        let over = BuildSettings::parse(
            "env: {B: c}\ncommand: /bin/x\nports: [{guest: 80}, {guest: 81}]\n",
            "over",
        )
        .unwrap()
        .value;
        let both = own.overlaid(&over);
        assert_eq!(both.memory_mib, Some(512));
        let env: Vec<_> = both.env.iter().map(|(a, b)| format!("{a}={b}")).collect();
        assert_eq!(env, ["A=a", "B=c"]);
        assert_eq!(
            (both.configuration, both.command.as_deref()),
            (None, Some("/bin/x"))
        );
        let ports: Vec<_> = both
            .ports
            .iter()
            .map(|port| (port.guest, port.host))
            .collect();
        assert_eq!(ports, [(80, None), (81, None)]);
    }
}
