//! `study.yaml`: what is run, with which values, and what is wanted of it. The window and `windlassctl` share it.
//!
//! ```yaml
//! title: Polar of an airfoil
//! case: airFoil2D                     # a folder beside this file; its files are never changed
//! appliance: openfoam                 # the appliance whose image all runs share; none: it is proposed from the case
//! steps:                              # none: found from the case
//! - blockMesh
//! - simpleFoam
//! parallel: {cores: 4, method: hierarchical, parts: [2, 2, 1]}   # the solver as several processes; none: as one
//! variables:
//! - {name: alpha, range: 0:12:4}      # from, to and step; no place of its own
//! - name: inflow
//!   file: 0/U
//!   entry: internalField              # of an OpenFOAM dictionary; uniform and dimensions stay
//!   formula: (26*cos(alpha*degree) 26*sin(alpha*degree) 0)
//! - {name: speed, environment: SPEED, values: [slow, fast]}
//! - {name: limit, file: settings.ini, pattern: '^limit = (.*)$', values: [1, 2]}
//! combine: grid                       # or zip: the first values together, then the second ones
//! table: runs.csv                     # more variables, side by side: a column each, a run per line
//! limits:
//!   at_once: 4                        # none: from cores and memory
//!   minutes: 120                      # the most that a run may take
//!   memory_mib: 512
//!   vcpus: 1
//!   stop_when_diverged: true
//! results:
//! - {name: Cl, file: postProcessing/forceCoeffs1/*/coefficient.dat, column: Cl}
//! - {name: answer, pattern: 'answer = (\S+)'}   # no file: in what the programs say
//! ```

mod read;
mod write;

use std::path::PathBuf;

use crate::parallel::Parallel;

/// The name of the file.
pub const FILE: &str = "study.yaml";

/// A study, as its file says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Study {
    /// What it is called.
    pub title: Option<String>,
    /// The folder of the case, relative to the study's.
    pub case: Option<PathBuf>,
    /// The appliance whose image all runs share.
    pub appliance: Option<String>,
    /// The programs that run, in order, with their arguments.
    pub steps: Vec<String>,
    /// Into how many processes the solver is cut, and how; none: one.
    pub parallel: Option<Parallel>,
    /// What varies.
    pub variables: Vec<Variable>,
    /// How several variables with values go together.
    pub combine: Combine,
    /// A CSV file of values, relative to the study's folder.
    pub table: Option<PathBuf>,
    /// How much of this computer the runs may take.
    pub limits: Limits,
    /// What is read of each run when it is done.
    pub results: Vec<ResultSource>,
}

/// Something that differs from run to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name, in formulas and tables.
    pub name: String,
    /// Where it is written; nowhere for one that only formulas use.
    pub target: Option<Target>,
    /// Its values.
    pub values: Values,
}

/// Where the value of a variable goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An entry of an OpenFOAM dictionary.
    Entry {
        /// The file within the case.
        file: String,
        /// The path of the entry.
        entry: String,
    },
    /// A place in any text file.
    Pattern {
        /// The file within the case.
        file: String,
        /// A regular expression, line by line; its first brackets are replaced, or else all of it.
        pattern: String,
    },
    /// The environment of the program.
    Environment {
        /// The name of the variable.
        name: String,
    },
}

/// The values of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// These, as they are written.
    List(Vec<String>),
    /// `from:to:step`.
    Range(String),
    /// Calculated from other variables.
    Formula(String),
    /// A column of the table.
    Table,
}

/// How lists of values go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// Every value with every other.
    #[default]
    Grid,
    /// The first values together, then the second ones.
    Zip,
}

/// How much of this computer the runs may take; what is `None` is decided where they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// How many run at the same time.
    pub at_once: Option<u32>,
    /// The most minutes of a run.
    pub minutes: Option<u32>,
    /// Memory of a machine.
    pub memory_mib: Option<u32>,
    /// Processors of a machine.
    pub vcpus: Option<u32>,
    /// Whether a run that diverges is stopped at once; it is where nothing is said.
    pub stop_when_diverged: Option<bool>,
}

/// A value that is read of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultSource {
    /// What it is called.
    pub name: String,
    /// The file within the case; `*` stands for one part of the path, the last in order of numbers. None: what the
    /// programs said.
    pub file: Option<String>,
    /// What of the file.
    pub of: ResultPart,
}

/// What of a file is a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultPart {
    /// The last value of a column of a table.
    Column(String),
    /// What the first brackets of a regular expression found last.
    Pattern(String),
    /// All of it, where it is short.
    Whole,
}
