//! The words of the command line, and which verb they lead to.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use windlass_workshop::error::AppError;

use crate::context::Context;
use crate::failure::{self, Failure, Outcome};
use crate::verbs::{
    appliance, cloud, collect, compose, config, deploy, doctor, fetch, graph, group, image, images,
    info, job, kernel, library, machine, manifest, network, pack, package, packages, recipe,
    registry, remote, run, runtime, sample, search, server, settings, stack, study, volume,
};

/// Everything the Windlass window can do, for scripts
#[derive(Debug, Parser)]
#[command(name = "windlassctl", version, after_help = failure::HELP, after_long_help = long_help())]
#[command(max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What every verb understands.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Global {
    /// Answer in JSON; errors too
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    /// Leave out progress and notes
    #[arg(long, short, global = true, display_order = 901)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Describe, compose and list packages
    #[command(subcommand)]
    Package(PackageVerb),
    /// Run an appliance: build what changed, start a machine, show what it says, end as it ends
    Run(run::Run),
    /// List machines
    #[command(visible_alias = "I")]
    Instances,
    /// Ask machines to stop, and wait until they have
    Stop(machine::Names),
    /// Delete machines with all that their guests wrote
    Delete(machine::Names),
    /// List built images
    #[command(visible_alias = "i")]
    Images(images::List),
    /// Delete built images
    Rmi(images::Remove),
    /// Show where things are
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Say what a file is: guest kernel, image, archive
    Info {
        /// The file
        file: PathBuf,
    },
    /// Find packages and guest kernels, as `package search` does
    Search(search::Search),
    /// Fetch a package, or osv-loader, as `package pull` does
    Pull(fetch::Pull),
    /// Add a guest kernel or a package to the library; the words after the first, where it is a name
    Import(package::Import),
    /// Registries: where packages and guest kernels come from
    #[command(subcommand)]
    Registry(registry::Verb),
    /// Clouds (OpenStack): profiles, what is there, what is wrong
    #[command(subcommand)]
    Cloud(cloud::Verb),
    /// Deploy an image to a cloud: send it, and make servers of it
    Deploy(Box<deploy::Deploy>),
    /// Servers of clouds
    #[command(subcommand)]
    Server(server::Verb),
    /// Take away what Windlass made in a cloud; images stay, unless they are asked for
    Cleanup(deploy::Cleanup),
    /// Stacks of a cloud (Heat), the same as text for other engines, and OpenStack as Capstan has it
    #[command(subcommand, visible_alias = "openstack")]
    Stack(Box<stack::Stack>),
    /// The library: what is held on this computer
    #[command(subcommand)]
    Library(library::Verb),
    /// What Capstan left on this computer
    #[command(subcommand)]
    Capstan(library::CapstanVerb),
    /// Runtimes and run configurations
    #[command(subcommand)]
    Runtime(runtime::Verb),
    /// Guest kernels: what boots an image
    #[command(subcommand)]
    Kernel(kernel::Verb),
    /// Images: what is in them, and what can be done with them
    #[command(subcommand)]
    Image(image::Verb),
    /// Volumes: disks that outlive the machines that use them
    #[command(subcommand)]
    Volume(volume::Verb),
    /// Private networks: machines that reach each other by name
    #[command(subcommand)]
    Network(network::Verb),
    /// Appliances: the folders that images are built from
    #[command(subcommand)]
    Appliance(appliance::Verb),
    /// Studies: one case and a table of values, a machine for each run, a table of what came out
    #[command(subcommand)]
    Study(study::Verb),
    /// Samples that run offline
    #[command(subcommand)]
    Sample(sample::Verb),
    /// Machines
    #[command(subcommand)]
    Machine(machine::Verb),
    /// Groups: several machines as one, by the file that names them
    #[command(subcommand)]
    Group(group::Verb),
    /// Builds and other long work, with their logs
    #[command(subcommand)]
    Job(job::Verb),
    /// Check whether this computer has what Windlass needs
    Doctor,
    /// Settings of Windlass as a whole
    #[command(subcommand)]
    Settings(settings::Verb),
    /// Print a script that completes words in a shell
    Completion {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PackageVerb {
    /// Give a folder a manifest; without values, propose them from what is in it
    Init(package::Init),
    /// Lay a package over those it requires, and write the merged tree to mpm-pkg/
    Collect(collect::Collect),
    /// Compose an image from the package in a folder
    Compose(compose::Compose),
    /// Send the package in a folder to an OSv guest in which cpiod listens
    ComposeRemote(remote::ComposeRemote),
    /// Show what a package says of itself
    Describe(package::Describe),
    /// List the packages of the library
    List,
    /// Find packages in the library and in registries
    Search(search::Search),
    /// Fetch a package with all that it needs
    Pull(fetch::Pull),
    /// Remove a package from the library
    Remove(packages::Remove),
    /// Give a package of the library to a registry
    Publish(packages::Publish),
    /// Write a package of the library as .mpm, with its manifest beside it
    Export(packages::Export),
    /// Fetch newer versions of packages
    Update(fetch::Update),
    /// Show what a package or an appliance needs, and what that needs
    Graph(graph::ShowGraph),
    /// Make a package from a folder, archive, program, project, .jar, OCI image, or packages of the distribution
    Pack(pack::Pack),
    /// Packages by recipe, made out of the distribution's package files: those of OpenFOAM
    #[command(subcommand)]
    Recipe(recipe::Verb),
    /// Add archives and folders of packages to the library
    Import(packages::Import),
    /// Write the package in a folder as one file
    Build(packages::Build),
    /// Check the manifests of the package in a folder
    Check {
        /// The folder
        #[arg(default_value = ".")]
        path: PathBuf,
    },
    /// Print the JSON Schema of package.yaml or run.yaml
    Schema {
        /// Which of the two
        #[arg(value_parser = ["package", "run"])]
        file: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print the configuration
    Print,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

fn long_help() -> String {
    format!(
        "{}\n\nEnvironment:\n  \
         WINDLASS_HOME  the folder that holds all state (~/.local/share/windlass)\n  \
         WINDLASS_LOG   a log on stderr, such as `debug` or `windlass_machine=trace`\n  \
         NO_COLOR       no colour",
        failure::HELP
    )
}

/// Reads the words; what went wrong is shown, and the exit status returned.
pub(crate) fn parse() -> Result<Cli, u8> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            0
        }
        _ => {
            if std::env::args_os().any(|word| word == "--json") {
                let text = error.to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                // What follows the first empty line is how to get help.
                let lines = text
                    .lines()
                    .take_while(|line| !line.is_empty())
                    .map(str::trim);
                let message = lines.collect::<Vec<_>>().join(" ");
                let failure = Failure::Usage(AppError::new(
                    windlass_workshop::error::ErrorKind::Input,
                    message,
                ));
                return failure::Rendering { json: true }.show(&failure);
            }
            let _ = error.print();
            failure::USAGE
        }
    })
}

/// Does what the words say.
pub(crate) async fn run(cli: Cli) -> Outcome {
    let Cli { global, verb } = cli;
    // These need no state, and make none.
    match &verb {
        Verb::Completion { shell } => return completion(*shell),
        Verb::Info { file } => return info::run(crate::output::Output::new(global), file),
        _ => {}
    }
    let context = Context::open(&global).await?;
    let outcome = follow(verb, &context).await;
    context.close().await;
    outcome
}

async fn follow(verb: Verb, context: &Context) -> Outcome {
    match verb {
        Verb::Package(PackageVerb::Init(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Collect(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Compose(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::ComposeRemote(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Describe(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::List) => package::list(context),
        Verb::Package(PackageVerb::Search(verb)) | Verb::Search(verb) => verb.run(context).await,
        Verb::Package(PackageVerb::Pull(verb)) | Verb::Pull(verb) => verb.run(context).await,
        Verb::Package(PackageVerb::Remove(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Publish(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Export(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Update(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Graph(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Pack(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Recipe(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Import(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Build(verb)) => verb.run(context).await,
        Verb::Package(PackageVerb::Check { path }) => manifest::check(context, &path),
        Verb::Package(PackageVerb::Schema { file }) => manifest::schema(context, &file),
        Verb::Import(verb) => verb.run(context).await,
        Verb::Registry(verb) => verb.run(context).await,
        Verb::Cloud(verb) => verb.run(context).await,
        Verb::Deploy(verb) => verb.run(context).await,
        Verb::Server(verb) => verb.run(context).await,
        Verb::Cleanup(verb) => verb.run(context).await,
        Verb::Stack(verb) => verb.run(context).await,
        Verb::Library(verb) => verb.run(context).await,
        Verb::Capstan(verb) => verb.run(context).await,
        Verb::Runtime(verb) => verb.run(context),
        Verb::Run(verb) => verb.run(context).await,
        Verb::Instances => machine::list(context),
        Verb::Stop(names) => machine::stop(context, &names).await,
        Verb::Delete(names) => machine::delete(context, &names).await,
        Verb::Images(verb) => verb.run(context),
        Verb::Image(verb) => verb.run(context).await,
        Verb::Volume(verb) => verb.run(context).await,
        Verb::Network(verb) => verb.run(context).await,
        Verb::Rmi(verb) => verb.run(context),
        Verb::Config(ConfigVerb::Print) => config::print(context),
        Verb::Kernel(verb) => verb.run(context).await,
        Verb::Appliance(verb) => verb.run(context).await,
        Verb::Study(verb) => verb.run(context).await,
        Verb::Sample(verb) => verb.run(context).await,
        Verb::Machine(verb) => verb.run(context).await,
        Verb::Group(verb) => verb.run(context).await,
        Verb::Job(verb) => verb.run(context).await,
        Verb::Doctor => doctor::run(context).await,
        Verb::Settings(verb) => verb.run(context),
        Verb::Completion { .. } | Verb::Info { .. } => Ok(0),
    }
}

fn completion(shell: Shell) -> Outcome {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "windlassctl", &mut script);
    crate::output::Output::raw(&script)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_well_formed() {
        Cli::command().debug_assert();
    }
}
