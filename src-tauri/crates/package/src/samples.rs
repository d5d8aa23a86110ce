//! Appliances to begin with. Their files lie in `samples/`, and are part of the program.
//!
//! Where a file says `{runtime}`, the name of the package that runs it here is put in.

use std::path::{Path, PathBuf};

use crate::pack::Staging;
use crate::{Error, is_valid_name};

/// One file of a sample: where it goes, and what is in it.
type SampleFile = (&'static str, &'static str);

const HELLO: [SampleFile; 4] = [
    (
        "meta/package.yaml",
        include_str!("../samples/hello/meta/package.yaml"),
    ),
    (
        "meta/run.yaml",
        include_str!("../samples/hello/meta/run.yaml"),
    ),
    (
        "meta/windlass.yaml",
        include_str!("../samples/hello/meta/windlass.yaml"),
    ),
    (
        "meta/README.md",
        include_str!("../samples/hello/meta/README.md"),
    ),
];

const NODE_MICROSERVICE: [SampleFile; 5] = [
    (
        "meta/package.yaml",
        include_str!("../samples/node-microservice/meta/package.yaml"),
    ),
    (
        "meta/run.yaml",
        include_str!("../samples/node-microservice/meta/run.yaml"),
    ),
    (
        "meta/windlass.yaml",
        include_str!("../samples/node-microservice/meta/windlass.yaml"),
    ),
    (
        "meta/README.md",
        include_str!("../samples/node-microservice/meta/README.md"),
    ),
    (
        "server.js",
        include_str!("../samples/node-microservice/server.js"),
    ),
];

const NODE_MICROSERVICES: [SampleFile; 6] = [
    (
        "meta/package.yaml",
        include_str!("../samples/node-microservices/meta/package.yaml"),
    ),
    (
        "meta/run.yaml",
        include_str!("../samples/node-microservices/meta/run.yaml"),
    ),
    (
        "meta/windlass.yaml",
        include_str!("../samples/node-microservices/meta/windlass.yaml"),
    ),
    (
        "meta/README.md",
        include_str!("../samples/node-microservices/meta/README.md"),
    ),
    (
        "meta/windlass-group.yaml",
        include_str!("../samples/node-microservices/meta/windlass-group.yaml"),
    ),
    (
        "service.js",
        include_str!("../samples/node-microservices/service.js"),
    ),
];

const PYTHON: [SampleFile; 5] = [
    (
        "meta/package.yaml",
        include_str!("../samples/python/meta/package.yaml"),
    ),
    (
        "meta/run.yaml",
        include_str!("../samples/python/meta/run.yaml"),
    ),
    (
        "meta/windlass.yaml",
        include_str!("../samples/python/meta/windlass.yaml"),
    ),
    (
        "meta/README.md",
        include_str!("../samples/python/meta/README.md"),
    ),
    ("app.py", include_str!("../samples/python/app.py")),
];

const HDFS: [SampleFile; 9] = [
    (
        "meta/package.yaml",
        include_str!("../samples/hdfs/meta/package.yaml"),
    ),
    (
        "meta/run.yaml",
        include_str!("../samples/hdfs/meta/run.yaml"),
    ),
    (
        "meta/windlass.yaml",
        include_str!("../samples/hdfs/meta/windlass.yaml"),
    ),
    (
        "meta/README.md",
        include_str!("../samples/hdfs/meta/README.md"),
    ),
    (
        "meta/windlass-group.yaml",
        include_str!("../samples/hdfs/meta/windlass-group.yaml"),
    ),
    ("hadoop/hdfs", include_str!("../samples/hdfs/hadoop/hdfs")),
    (
        "hadoop/conf/core-site.xml",
        include_str!("../samples/hdfs/hadoop/conf/core-site.xml"),
    ),
    (
        "hadoop/conf/hdfs-site.xml",
        include_str!("../samples/hdfs/hadoop/conf/hdfs-site.xml"),
    ),
    (
        "hadoop/conf/log4j.properties",
        include_str!("../samples/hdfs/hadoop/conf/log4j.properties"),
    ),
];

/// Writes the appliance *hello* as the new folder `into`, and returns its absolute path.
///
/// `program` is the program itself, which stands on its own: it is put at `/hello`.
///
/// # Errors
///
/// When the folder is there already or cannot be written.
pub fn hello(into: &Path, program: &[u8]) -> Result<PathBuf, Error> {
    let mut staging = Staging::begin(into)?;
    write(&mut staging, &HELLO, "")?;
    staging.write(Path::new("hello"), program, 0o755)?;
    staging.finish(false)
}

/// Writes the appliance *node-microservice* as the new folder `into`, and returns its absolute
/// path. `node_package` is the package that runs it, such as `node-20`.
///
/// # Errors
///
/// When the folder is there already or cannot be written.
pub fn node_microservice(into: &Path, node_package: &str) -> Result<PathBuf, Error> {
    with_runtime(into, &NODE_MICROSERVICE, node_package)
}

/// Writes the appliance *node-microservices*, with the file of a group of five services that it is all of, as the new
/// folder `into`, and returns its absolute path. `node_package` is the package that runs it, such as `node-20`.
///
/// # Errors
///
/// When the folder is there already or cannot be written.
pub fn node_microservices(into: &Path, node_package: &str) -> Result<PathBuf, Error> {
    with_runtime(into, &NODE_MICROSERVICES, node_package)
}

/// Writes the appliance *python* as the new folder `into`, and returns its absolute path.
/// `python_package` is the package that runs it, such as `python-3.11`.
///
/// # Errors
///
/// When the folder is there already or cannot be written.
pub fn python(into: &Path, python_package: &str) -> Result<PathBuf, Error> {
    with_runtime(into, &PYTHON, python_package)
}

/// Writes the appliance *hdfs*, with the file of a group of four machines that it is all of, as the new folder `into`,
/// and returns its absolute path. It requires [`HADOOP`](crate::pack::HADOOP).
///
/// # Errors
///
/// When the folder is there already or cannot be written.
pub fn hdfs(into: &Path) -> Result<PathBuf, Error> {
    with_runtime(into, &HDFS, crate::pack::HADOOP)
}

fn with_runtime(into: &Path, files: &[SampleFile], runtime: &str) -> Result<PathBuf, Error> {
    if !is_valid_name(runtime) {
        return Err(Error::Unsuitable {
            path: PathBuf::from(runtime),
            found: "is not the name of a package".into(),
            remedy: "Name the package that runs the sample, such as `node-20`.".into(),
        });
    }
    let mut staging = Staging::begin(into)?;
    write(&mut staging, files, runtime)?;
    staging.finish(false)
}

fn write(staging: &mut Staging, files: &[SampleFile], runtime: &str) -> Result<(), Error> {
    for (path, text) in files {
        // Only the descriptions have a place for it; a program may well have braces.
        let text = if path.starts_with("meta/") {
            text.replace("{runtime}", runtime)
        } else {
            (*text).to_owned()
        };
        staging.write(Path::new(path), text.as_bytes(), 0o644)?;
    }
    Ok(())
}
