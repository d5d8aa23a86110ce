//! Why a boot command cannot be made.

use windlass_guest::CommandLineError;

use crate::run_file::Base;

/// Why a boot command cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// A base names a package that is not among the layers.
    #[error("the configuration `{configuration}` of {package} bases on `{base}`, and the package {} is not there", base.package)]
    NoBasePackage {
        /// Whose configuration it is.
        package: String,
        /// The configuration.
        configuration: String,
        /// What it names.
        base: Base,
    },

    /// A base names a configuration that its package does not have.
    #[error(
        "the configuration `{configuration}` of {package} bases on `{base}`, and that package has no such configuration"
    )]
    NoBaseConfiguration {
        /// Whose configuration it is.
        package: String,
        /// The configuration.
        configuration: String,
        /// What it names.
        base: Base,
        /// The configurations that there are.
        available: Vec<String>,
    },

    /// Bases lead back to where they began.
    #[error("run configurations base on each other in a circle: {}", path.join(" -> "))]
    Circle {
        /// The configurations, the first one again at the end.
        path: Vec<String>,
    },

    /// Nothing in the chain of bases has a boot command.
    #[error("the configuration `{configuration}` of {package} has no boot command")]
    NoCommand {
        /// Whose configuration it is.
        package: String,
        /// The configuration.
        configuration: String,
    },

    /// A boot command that no guest could read.
    #[error("the boot command `{command}` of {origin} cannot be read")]
    Command {
        /// Where it stands, in words: "the configuration `a` of b", "the settings".
        origin: String,
        /// The command.
        command: String,
        /// What is wrong with it.
        #[source]
        source: CommandLineError,
    },

    /// A configuration that is to run is nowhere.
    #[error("there is no run configuration `{name}`")]
    NoConfiguration {
        /// Its name.
        name: String,
        /// The configurations that there are.
        available: Vec<String>,
    },

    /// Neither settings nor any package say what is to run.
    #[error("nothing says what is to run")]
    Nothing {
        /// The configurations that could be chosen.
        available: Vec<String>,
    },

    /// An environment variable that a command line cannot carry.
    #[error("the environment variable `{name}` cannot be passed to a guest: {problem}")]
    Environment {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl BootError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let choose = |available: &[String]| {
            (!available.is_empty()).then(|| format!("There are: {}.", available.join(", ")))
        };
        Some(match self {
            Self::NoBasePackage { base, .. } => {
                format!(
                    "Add {} (or a newer one of its kind) to `require` in meta/package.yaml.",
                    base.package
                )
            }
            Self::NoBaseConfiguration { available, .. } => return choose(available),
            Self::Circle { .. } => {
                "Give one of them a `bootcmd` of its own instead of a `base`.".into()
            }
            Self::NoCommand { .. } => "Add a `bootcmd` or a `base` to it in meta/run.yaml.".into(),
            Self::Command { source, .. } => return source.hint(),
            Self::NoConfiguration { name, available } => {
                match crate::yaml::nearest(name, available.iter().map(String::as_str)) {
                    Some(meant) => format!("Did you mean `{meant}`?"),
                    None => return choose(available),
                }
            }
            Self::Nothing { available } => match choose(available) {
                Some(names) => format!("Choose a run configuration. {names}"),
                None => "Write a command in the run settings, or add meta/run.yaml.".into(),
            },
            Self::Environment { .. } => "Change or remove it in the run settings.".into(),
        })
    }
}
