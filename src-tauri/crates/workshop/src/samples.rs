//! The samples: appliances that run offline on the first start.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use specta::Type;
use windlass_package::{pack, samples};

use crate::Workshop;
use crate::appliances::Appliance;
use crate::error::{AppError, ErrorKind, Result};
use crate::jobs::{Job, JobKind, Request};

/// A sample that can be made here, or why not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Its name for programs, and its folder's.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// What it shows.
    pub description: String,
    /// Whether it can be made here.
    pub available: bool,
    /// What is missing when it cannot.
    pub missing: Option<String>,
    /// What making it downloads, where it does.
    pub download: Option<SampleDownload>,
}

/// What making a sample downloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct SampleDownload {
    /// How much.
    pub size_bytes: u64,
    /// What, and from where.
    pub source: String,
}

/// What makes a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hello,
    Node,
    Shop,
    Python,
    Hdfs,
}

const KINDS: [(&str, Kind, &str, &str); 5] = [
    (
        "hello",
        Kind::Hello,
        "Hello",
        "A native program that greets you and ends",
    ),
    (
        "node-microservice",
        Kind::Node,
        "Node microservice",
        "A small HTTP service, with this computer's Node.js packed beside it",
    ),
    (
        "node-microservices",
        Kind::Shop,
        "Node microservices",
        "Five services on a network of their own, all of one image: a group",
    ),
    (
        "python",
        Kind::Python,
        "Python service",
        "A small HTTP service, with this computer's Python packed beside it",
    ),
    (
        "hdfs",
        Kind::Hdfs,
        "HDFS",
        "Hadoop's file system on four machines of one image: a group",
    ),
];

impl Workshop {
    /// The samples. They are on the window's first screen, so nothing that takes its time is asked
    /// whether they can be made; making one says what is wrong with an interpreter.
    pub fn samples(&self) -> Vec<Sample> {
        KINDS
            .iter()
            .map(|(id, kind, title, description)| {
                let missing = match kind {
                    Kind::Hello => None,
                    Kind::Node | Kind::Shop => (!pack::has_node()).then_some("Node.js"),
                    Kind::Python => (!pack::has_python()).then_some("Python 3"),
                    Kind::Hdfs => pack::lacks_for_hadoop(),
                };
                let is_downloaded =
                    *kind == Kind::Hdfs && self.library.package(pack::HADOOP).is_err();
                Sample {
                    id: (*id).to_owned(),
                    title: (*title).to_owned(),
                    description: (*description).to_owned(),
                    available: missing.is_none(),
                    missing: missing
                        .map(|what| format!("{what} is not installed on this computer")),
                    download: is_downloaded.then(|| SampleDownload {
                        size_bytes: pack::HADOOP_DOWNLOAD_BYTES,
                        source: "Hadoop 2.7.3, out of pyspark 2.4.8 of the Python package index"
                            .into(),
                    }),
                }
            })
            .collect()
    }

    /// Makes a sample as a job. One that is there already is simply returned.
    ///
    /// # Errors
    /// `NotFound` when there is no such sample.
    pub fn start_sample(self: &Arc<Self>, id: &str) -> Result<Job> {
        let (id, kind, title, _) = KINDS
            .iter()
            .find(|(name, ..)| *name == id)
            .ok_or_else(|| AppError::not_found("sample", id))?;
        let workshop = Arc::clone(self);
        self.start_job(
            JobKind::Sample,
            format!("Make the sample {title}"),
            None,
            Some(&Request::Sample {
                sample: (*id).to_owned(),
            }),
            async move |reporter| {
                let folder = workshop.home.appliances().join(id);
                if !is_appliance(&folder) {
                    let package = match kind {
                        Kind::Hello => String::new(),
                        Kind::Hdfs => pack::HADOOP.to_owned(),
                        Kind::Node | Kind::Shop => {
                            interpreter(pack::find_node(), "Node.js", "nodejs")?
                        }
                        Kind::Python => interpreter(pack::find_python(), "Python 3", "python3")?,
                    };
                    if !package.is_empty() && workshop.library.package(&package).is_err() {
                        workshop.pack_from_host(&package, &reporter).await?;
                    }
                    reporter.step("Writing the appliance");
                    let into = folder.clone();
                    let written = crate::blocking(move || match kind {
                        Kind::Hello => samples::hello(&into, windlass_library::HELLO),
                        Kind::Node => samples::node_microservice(&into, &package),
                        Kind::Shop => samples::node_microservices(&into, &package),
                        Kind::Python => samples::python(&into, &package),
                        Kind::Hdfs => samples::hdfs(&into),
                    });
                    match written.await? {
                        // Another process may have written it in the meantime.
                        Err(_) if is_appliance(&folder) => {}
                        written => drop(written?),
                    }
                }
                let appliance: Appliance = workshop.register(&folder)?;
                Ok(Some(appliance.id))
            },
        )
    }
}

fn is_appliance(folder: &Path) -> bool {
    folder.join(windlass_package::manifest::FILE).is_file()
}

fn interpreter(found: Option<pack::Interpreter>, title: &str, package: &str) -> Result<String> {
    found.map(|interpreter| interpreter.package).ok_or_else(|| {
        AppError::new(
            ErrorKind::Unavailable,
            format!("{title} is not installed on this computer"),
        )
        .hinted(format!(
            "Install it (Debian and Ubuntu: `apt install {package}`)"
        ))
    })
}
