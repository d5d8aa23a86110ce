//! `registry`: where packages and guest kernels come from.

use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write};

use clap::{Args, Subcommand};
use windlass_workshop::error::{AppError, ErrorKind};
use windlass_workshop::packages::AcceptedDigest;
use windlass_workshop::registries::{
    CredentialsForm, Registry, RegistryCheck, RegistryForm, RegistryKind, RegistryState,
};

use super::unlock;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{lines, table, time, word};
use crate::progress;
use crate::signals::Signals;

/// What a registry is, beside its name and address.
#[derive(Debug, Default, Args)]
pub(crate) struct Form {
    /// How it is laid out; guessed from the address, when nothing is said
    #[arg(long, value_parser = ["s3", "github", "http", "folder", "oci"])]
    kind: Option<String>,
    /// Where in it packages begin
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// Certificates (PEM) that it is trusted by, beside the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<String>,
    /// The proxy that it is reached by; `none` for no proxy
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// The minisign key that everything there is signed with
    #[arg(long, value_name = "KEY")]
    minisign_key: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List registries, in the order in which they are asked
    List,
    /// Add a registry
    Add {
        /// What it is to be called
        name: String,
        /// Its address, or its folder
        url: String,
        #[command(flatten)]
        form: Form,
    },
    /// Change a registry
    Update {
        /// Its name
        name: String,
        /// Another name
        #[arg(long)]
        rename: Option<String>,
        /// Another address; credentials are given anew then
        #[arg(long)]
        url: Option<String>,
        #[command(flatten)]
        form: Form,
    },
    /// Forget a registry and its credentials; what was fetched from it stays
    Remove {
        /// Its name
        name: String,
    },
    /// Ask these first, in this order; the others after them
    Reorder {
        /// Names of registries
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Ask a registry from now on
    Enable {
        /// Its name
        name: String,
    },
    /// Do not ask a registry any more
    Disable {
        /// Its name
        name: String,
    },
    /// Try a registry step by step, and say what is wrong
    Check {
        /// Its name
        name: String,
    },
    /// Ask registries what they have
    Refresh {
        /// Its name; all, when nothing is said
        name: Option<String>,
    },
    /// Accept a package that was replaced under its version, after its keeper said that this is meant
    Accept {
        /// The registry's name
        registry: String,
        /// The package
        package: String,
        /// Its version; the newest, when nothing is said
        #[arg(long, short)]
        version: Option<String>,
    },
    /// Keep the credentials of a registry; the secret is read from the terminal or stdin, never from the command line
    Login(Login),
    /// Forget the credentials of a registry
    Logout {
        /// Its name
        name: String,
    },
}

/// Keep the credentials of a registry.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Its name
    name: String,
    /// A name that goes with a password
    #[arg(long, short, conflicts_with = "access_key")]
    user: Option<String>,
    /// The key's name of an S3 service
    #[arg(long, value_name = "KEY")]
    access_key: Option<String>,
    /// The region of an S3 service
    #[arg(long, default_value = "us-east-1")]
    region: String,
}

async fn accept(
    context: &Context,
    registry: &str,
    package: &str,
    version: Option<&str>,
) -> Result<(), Failure> {
    let id = context.workshop.registry(registry)?.id;
    let accepted = context
        .workshop
        .accept_digest(id, package, version, None)
        .await?;
    context.output.show(&accepted, accepted_lines)?;
    Ok(())
}

fn accepted_lines(accepted: &AcceptedDigest) -> String {
    let version = accepted.version.as_deref().unwrap_or_default();
    let label = format!("{} {version}", accepted.name);
    let new = match &accepted.new {
        Some(new) => format!("sha256 {new}"),
        None => "what the next fetch brings".to_owned(),
    };
    format!(
        "{} of {}\n  was  sha256 {}\n  now  {new}\n",
        label.trim_end(),
        accepted.registry,
        accepted.old
    )
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::List => {
                context
                    .output
                    .show(&workshop.registries()?, |it| list(it))?;
            }
            Self::Add { name, url, form } => {
                let form = form.whole(name, url, None);
                let registry = workshop.add_registry(form).await?;
                context
                    .output
                    .show(&registry, |it| list(std::slice::from_ref(it)))?;
            }
            Self::Update {
                name,
                rename,
                url,
                form,
            } => {
                let before = workshop.registry(&name)?;
                let id = before.id;
                let name = rename.unwrap_or_else(|| before.name.clone());
                let url = url.unwrap_or_else(|| before.url.clone());
                let form = form.whole(name, url, Some(before));
                let registry = workshop.update_registry(id, form).await?;
                context
                    .output
                    .show(&registry, |it| list(std::slice::from_ref(it)))?;
            }
            Self::Accept {
                registry,
                package,
                version,
            } => {
                accept(context, &registry, &package, version.as_deref()).await?;
            }
            Self::Remove { name } => {
                let id = workshop.registry(&name)?.id;
                if workshop.registry(&name)?.needs_login {
                    unlock(context).await?;
                }
                workshop.remove_registry(id).await?;
                context
                    .output
                    .show(&name, |name| format!("Removed {name}"))?;
            }
            Self::Reorder { names } => {
                let mut ids = Vec::new();
                for name in &names {
                    ids.push(workshop.registry(name)?.id);
                }
                for registry in workshop.registries()? {
                    if !ids.contains(&registry.id) {
                        ids.push(registry.id);
                    }
                }
                workshop.reorder_registries(&ids)?;
                context
                    .output
                    .show(&workshop.registries()?, |it| list(it))?;
            }
            Self::Enable { name } => return enable(context, &name, true),
            Self::Disable { name } => return enable(context, &name, false),
            Self::Check { name } => {
                let registry = workshop.registry(&name)?;
                unlock_for(context, &registry).await?;
                let check = workshop.check_registry(registry.id).await?;
                context.output.show(&check, steps)?;
                // What is wrong was told; scripts want to know, too.
                return Ok(if check.ok { 0 } else { 69 });
            }
            Self::Refresh { name } => {
                let mut id = None;
                if let Some(name) = name {
                    let registry = workshop.registry(&name)?;
                    unlock_for(context, &registry).await?;
                    id = Some(registry.id);
                }
                let mut signals = Signals::listen()?;
                let job = workshop.start_refresh(id)?;
                progress::wait(context, &job, &mut signals).await?;
                context
                    .output
                    .show(&workshop.registries()?, |it| list(it))?;
            }
            Self::Login(login) => return login.run(context).await,
            Self::Logout { name } => {
                let registry = workshop.registry(&name)?;
                unlock(context).await?;
                let registry = workshop
                    .log_in_registry(registry.id, CredentialsForm::None)
                    .await?;
                context
                    .output
                    .show(&registry, |it| format!("Logged out of {}", it.name))?;
            }
        }
        Ok(0)
    }
}

fn enable(context: &Context, name: &str, enabled: bool) -> Outcome {
    let id = context.workshop.registry(name)?.id;
    context.workshop.enable_registry(id, enabled)?;
    let registry = context.workshop.registry(name)?;
    context
        .output
        .show(&registry, |it| list(std::slice::from_ref(it)))?;
    Ok(0)
}

async fn unlock_for(context: &Context, registry: &Registry) -> Result<(), Failure> {
    if registry.needs_login {
        unlock(context).await?;
    }
    Ok(())
}

impl Form {
    /// The form of a new registry, or of one as it was with what is said.
    fn whole(self, name: String, url: String, before: Option<Registry>) -> RegistryForm {
        let kind = match self.kind.as_deref() {
            Some("s3") => RegistryKind::S3,
            Some("github") => RegistryKind::GitHub,
            Some("folder") => RegistryKind::Folder,
            Some("oci") => RegistryKind::Oci,
            Some(_) => RegistryKind::Http,
            None => before.as_ref().map_or_else(|| kind_of(&url), |it| it.kind),
        };
        // A folder is the same wherever Windlass is started from.
        let url = if kind == RegistryKind::Folder && !url.starts_with("file:") {
            std::path::absolute(&url).map_or(url, |path| path.display().to_string())
        } else {
            url
        };
        let credentials = if before.is_some() {
            CredentialsForm::Keep
        } else {
            CredentialsForm::None
        };
        let before = before.map(|it| (it.prefix, it.ca_file, it.proxy, it.minisign_key));
        let (prefix, ca_file, proxy, minisign_key) = before.unwrap_or_default();
        RegistryForm {
            name,
            kind,
            url,
            prefix: self.prefix.or(prefix),
            ca_file: self.ca_file.or(ca_file),
            proxy: self.proxy.or(proxy),
            minisign_key: self.minisign_key.or(minisign_key),
            credentials,
        }
    }
}

/// How a registry at this address is probably laid out.
pub(super) fn kind_of(url: &str) -> RegistryKind {
    if !url.contains("://") || url.starts_with("file:") {
        RegistryKind::Folder
    } else if url.contains("://github.com/") || url.contains("api.github.com") {
        RegistryKind::GitHub
    } else if url.contains(".s3.") || url.contains("://s3.") || url.contains("s3.amazonaws.com") {
        RegistryKind::S3
    } else if url.contains("://ghcr.io/") || url.contains("docker.io/") || url.starts_with("oci:") {
        RegistryKind::Oci
    } else {
        RegistryKind::Http
    }
}

impl Login {
    async fn run(self, context: &Context) -> Outcome {
        let registry = context.workshop.registry(&self.name)?;
        unlock(context).await?;
        let what = if self.user.is_some() {
            "Password"
        } else if self.access_key.is_some() {
            "Secret key"
        } else {
            "Token"
        };
        let secret = secret(what)?;
        let credentials = match (self.user, self.access_key) {
            (Some(user), _) => CredentialsForm::Basic {
                user,
                password: secret,
            },
            (None, Some(access_key)) => CredentialsForm::S3 {
                access_key,
                secret_key: secret,
                region: self.region,
            },
            (None, None) => CredentialsForm::Bearer { token: secret },
        };
        let registry = context
            .workshop
            .log_in_registry(registry.id, credentials)
            .await?;
        context.output.show(&registry, |it| {
            format!("Kept the credentials of {}", it.name)
        })?;
        Ok(0)
    }
}

/// A secret from the terminal, where it is not shown, or else the first line of stdin.
pub(super) fn secret(what: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let mut stderr = std::io::stderr().lock();
        write!(stderr, "{what}: ")?;
        stderr.flush()?;
        let _hidden = crate::foreground::hidden();
        stdin.read_line(&mut text)?;
        writeln!(stderr)?;
    } else {
        stdin.lock().take(64 << 10).read_to_string(&mut text)?;
    }
    let text = text.lines().next().unwrap_or_default().to_owned();
    if text.is_empty() {
        return Err(AppError::new(
            ErrorKind::Input,
            format!("No {} was given", what.to_lowercase()),
        )
        .hinted("Type it, or give it on stdin")
        .into());
    }
    Ok(text)
}

fn list(registries: &[Registry]) -> String {
    let rows: Vec<_> = registries
        .iter()
        .map(|registry| {
            let state = if registry.enabled {
                match registry.state {
                    RegistryState::Never => "never asked".to_owned(),
                    state => word(&state),
                }
            } else {
                "disabled".to_owned()
            };
            [
                registry.name.clone(),
                word(&registry.kind),
                state,
                registry.packages.to_string(),
                registry.refreshed.as_deref().map(time).unwrap_or_default(),
                if registry.needs_login { "yes" } else { "" }.to_owned(),
                registry.url.clone(),
            ]
        })
        .collect();
    let mut text = table(
        ["NAME", "KIND", "STATE", "HAS", "ASKED", "LOGIN", "URL"],
        &rows,
        "No registries; `windlassctl registry add NAME URL` adds one",
    );
    for registry in registries {
        if let (true, Some(problem)) = (registry.enabled, &registry.problem) {
            let _ = writeln!(text, "{}: {}", registry.name, problem.message);
        }
    }
    text
}

fn steps(check: &RegistryCheck) -> String {
    lines(&check.steps, |step| {
        let mark = if step.ok { "ok    " } else { "wrong " };
        let mut line = format!("{mark} {}: {}", step.what, step.said);
        if let Some(hint) = &step.hint {
            let _ = write!(line, "\n       {hint}");
        }
        line
    })
}
