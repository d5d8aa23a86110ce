//! `cloud`: clouds, what they have, and what is wrong with them.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use windlass_workshop::clouds::{
    Cloud, CloudAuth, CloudCheck, CloudForm, CloudImage, CloudImageFilter, CloudQuota, CloudSecret,
};

use super::registry::secret;
use super::unlock;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{lines, size, table, time, word};
use crate::progress;
use crate::signals::Signals;

/// How a cloud is logged in to, as flags spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Auth {
    /// A name and a password
    Password,
    /// An application credential
    Credential,
    /// A token from elsewhere
    Token,
    /// A name and a one-time code
    Totp,
}

impl From<Auth> for CloudAuth {
    fn from(auth: Auth) -> Self {
        match auth {
            Auth::Password => Self::Password,
            Auth::Credential => Self::ApplicationCredential,
            Auth::Token => Self::Token,
            Auth::Totp => Self::Totp,
        }
    }
}

/// What a cloud is, beside its name and address.
#[derive(Debug, Default, Args)]
pub(crate) struct Form {
    /// How it is logged in to
    #[arg(long, value_enum)]
    auth: Option<Auth>,
    /// Who logs in: a user's name, or the id of an application credential
    #[arg(long, short)]
    user: Option<String>,
    /// The user's domain
    #[arg(long, value_name = "DOMAIN")]
    user_domain: Option<String>,
    /// The project
    #[arg(long, short)]
    project: Option<String>,
    /// The project's domain
    #[arg(long, value_name = "DOMAIN")]
    project_domain: Option<String>,
    /// The region
    #[arg(long)]
    region: Option<String>,
    /// Which of a service's addresses is taken
    #[arg(long, value_parser = ["public", "internal", "admin"])]
    interface: Option<String>,
    /// Certificates (PEM) that it is trusted by, beside the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<String>,
    /// Take any certificate: anybody on the way can read along and pose as the cloud
    #[arg(long)]
    insecure: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List clouds
    List,
    /// Add a cloud; its password or secret is read from the terminal or stdin, never from the command line
    Add {
        /// What it is to be called
        name: String,
        /// The address of its Keystone
        url: String,
        #[command(flatten)]
        form: Form,
    },
    /// Change a cloud
    Update {
        /// Its name
        name: String,
        /// Another name
        #[arg(long)]
        rename: Option<String>,
        /// Another address; the secret is given anew then
        #[arg(long)]
        url: Option<String>,
        /// Read another password or secret from the terminal or stdin
        #[arg(long)]
        secret: bool,
        #[command(flatten)]
        form: Form,
    },
    /// Take over clouds of a clouds.yaml (with what lies beside it), an openrc.sh, or the OS_* variables
    Import {
        /// The file; without it, the environment
        file: Option<PathBuf>,
        /// Names of clouds in it; all, when nothing is said
        names: Vec<String>,
        /// Only show what is there
        #[arg(long, requires = "file")]
        preview: bool,
    },
    /// Write clouds as a clouds.yaml for other tools
    Export {
        /// The file
        file: PathBuf,
        /// Names of clouds; all, when nothing is said
        names: Vec<String>,
        /// Write what they are logged in to with into a secure.yaml beside it
        #[arg(long)]
        secrets: bool,
    },
    /// Forget a cloud and its secret; what is in it stays there
    Remove {
        /// Its name
        name: String,
    },
    /// Try a cloud step by step, and say what is wrong
    Test {
        /// Its name
        name: String,
    },
    /// Show how much of the project's shares is used
    Quota {
        /// Its name
        name: String,
    },
    /// Log in with an application credential made for this computer from now on, and forget the password
    Credential {
        /// Its name
        name: String,
    },
    /// List the images of a cloud
    Images {
        /// Its name
        name: String,
        /// Those that Windlass made
        #[arg(long)]
        ours: bool,
        /// Those that are seen so
        #[arg(long, value_parser = ["private", "shared", "community", "public"])]
        visibility: Option<String>,
        /// Those with this tag
        #[arg(long, conflicts_with = "ours")]
        tag: Option<String>,
    },
    /// Fetch an image of a cloud into a file
    ImageGet {
        /// The cloud
        name: String,
        /// The image's name or id
        image: String,
        /// The file
        file: PathBuf,
    },
    /// Change an image of a cloud
    ImageSet {
        /// The cloud
        name: String,
        /// The image's name or id
        image: String,
        /// Another name
        #[arg(long)]
        rename: Option<String>,
        /// Who sees it
        #[arg(long, value_parser = ["private", "shared", "community", "public"])]
        visibility: Option<String>,
        /// Its tags, instead of those that it has
        #[arg(long)]
        tag: Option<Vec<String>>,
    },
    /// Delete images of a cloud
    ImageRm {
        /// The cloud
        name: String,
        /// Names or ids of images
        #[arg(required = true)]
        images: Vec<String>,
    },
}

/// The cloud of a name, with its secret within reach.
pub(super) async fn open(context: &Context, name: &str) -> Result<Cloud, Failure> {
    let cloud = context.workshop.cloud(name)?;
    if cloud.has_secret {
        unlock(context).await?;
    }
    Ok(cloud)
}

impl Form {
    fn whole(
        self,
        name: String,
        auth_url: String,
        before: Option<&Cloud>,
        secret: CloudSecret,
    ) -> CloudForm {
        let of = |said: Option<String>, kept: fn(&Cloud) -> Option<String>| {
            said.or_else(|| before.and_then(kept))
        };
        CloudForm {
            name,
            auth_url,
            auth: self
                .auth
                .map(CloudAuth::from)
                .or(before.map(|it| it.auth))
                .unwrap_or(CloudAuth::Password),
            user: of(self.user, |it| Some(it.user.clone())).unwrap_or_default(),
            user_domain: of(self.user_domain, |it| it.user_domain.clone()),
            project: of(self.project, |it| it.project.clone()),
            project_domain: of(self.project_domain, |it| it.project_domain.clone()),
            identity_provider: before.and_then(|it| it.identity_provider.clone()),
            protocol: before.and_then(|it| it.protocol.clone()),
            region: of(self.region, |it| it.region.clone()),
            interface: of(self.interface, |it| it.interface.clone()),
            ca_file: of(absolute(self.ca_file), |it| it.ca_file.clone()),
            insecure: self.insecure || before.is_some_and(|it| it.insecure),
            secret,
        }
    }
}

/// A file is the same wherever Windlass is started from.
fn absolute(path: Option<String>) -> Option<String> {
    path.map(|path| std::path::absolute(&path).map_or(path, |it| it.display().to_string()))
}

/// What the secret of a way to log in is called when it is asked for.
fn asked(auth: CloudAuth) -> &'static str {
    match auth {
        CloudAuth::Password => "Password",
        CloudAuth::Token | CloudAuth::OidcAccessToken => "Token",
        CloudAuth::Totp => "Code",
        _ => "Secret",
    }
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let (workshop, output) = (&context.workshop, &context.output);
        match self {
            Self::List => output.show(&workshop.clouds()?, |it| list(it))?,
            Self::Add { name, url, form } => {
                unlock(context).await?;
                let auth = form.auth.map_or(CloudAuth::Password, CloudAuth::from);
                let given = CloudSecret::Given {
                    secret: secret(asked(auth))?,
                };
                let cloud = workshop
                    .add_cloud(form.whole(name, url, None, given))
                    .await?;
                output.show(&cloud, |it| list(std::slice::from_ref(it)))?;
            }
            Self::Update {
                name,
                rename,
                url,
                secret: anew,
                form,
            } => {
                let before = open(context, &name).await?;
                let auth = form.auth.map_or(before.auth, CloudAuth::from);
                let given = if anew {
                    unlock(context).await?;
                    CloudSecret::Given {
                        secret: secret(asked(auth))?,
                    }
                } else {
                    CloudSecret::Keep
                };
                let name = rename.unwrap_or_else(|| before.name.clone());
                let url = url.unwrap_or_else(|| before.auth_url.clone());
                let cloud = workshop
                    .update_cloud(before.id, form.whole(name, url, Some(&before), given))
                    .await?;
                output.show(&cloud, |it| list(std::slice::from_ref(it)))?;
            }
            Self::Import {
                file,
                names,
                preview,
            } => return import(context, file, names, preview).await,
            Self::Export {
                file,
                names,
                secrets,
            } => {
                let mut ids = Vec::new();
                for name in &names {
                    ids.push(workshop.cloud(name)?.id);
                }
                if secrets {
                    unlock(context).await?;
                }
                workshop.export_clouds(&ids, &file, secrets).await?;
                output.show(&file, |it| format!("Wrote {}", it.display()))?;
            }
            Self::Remove { name } => {
                let cloud = open(context, &name).await?;
                workshop.remove_cloud(cloud.id).await?;
                output.show(&cloud.name, |it| format!("Removed {it}"))?;
            }
            Self::Test { name } => {
                let cloud = open(context, &name).await?;
                let check = workshop.check_cloud(cloud.id).await?;
                output.show(&check, steps)?;
                // What is wrong was told; scripts want to know, too.
                return Ok(if check.ok { 0 } else { 69 });
            }
            Self::Quota { name } => {
                let cloud = open(context, &name).await?;
                output.show(&workshop.cloud_quotas(cloud.id).await?, |it| quotas(it))?;
            }
            Self::Credential { name } => {
                let cloud = open(context, &name).await?;
                let cloud = workshop.make_cloud_credential(cloud.id).await?;
                output.show(&cloud, |it| {
                    format!(
                        "{} is logged in to with the application credential {} now",
                        it.name, it.user
                    )
                })?;
            }
            other => return other.image(context).await,
        }
        Ok(0)
    }

    async fn image(self, context: &Context) -> Outcome {
        let (workshop, output) = (&context.workshop, &context.output);
        match self {
            Self::Images {
                name,
                ours,
                visibility,
                tag,
            } => {
                let cloud = open(context, &name).await?;
                let filter = CloudImageFilter {
                    ours,
                    visibility,
                    tag,
                };
                output.show(&workshop.cloud_images(cloud.id, &filter).await?, |it| {
                    images(it)
                })?;
            }
            Self::ImageGet { name, image, file } => {
                let cloud = open(context, &name).await?;
                let mut signals = Signals::listen()?;
                let job = workshop.start_cloud_image_fetch(cloud.id, &image, &file)?;
                let job = progress::wait(context, &job, &mut signals).await?;
                output.show(&job.produced, |it| it.clone().unwrap_or_default())?;
            }
            Self::ImageSet {
                name,
                image,
                rename,
                visibility,
                tag,
            } => {
                let cloud = open(context, &name).await?;
                let image = workshop
                    .change_cloud_image(cloud.id, &image, rename, visibility, tag)
                    .await?;
                output.show(&image, |it| images(std::slice::from_ref(it)))?;
            }
            Self::ImageRm { name, images } => {
                let cloud = open(context, &name).await?;
                for image in &images {
                    workshop.delete_cloud_image(cloud.id, image).await?;
                }
                output.show(&images, |it| format!("Deleted {}", it.join(", ")))?;
            }
            _ => {}
        }
        Ok(0)
    }
}

async fn import(
    context: &Context,
    file: Option<PathBuf>,
    names: Vec<String>,
    preview: bool,
) -> Outcome {
    let workshop = &context.workshop;
    let clouds = match &file {
        Some(file) if preview => {
            let found = workshop.look_at_clouds(file).await?;
            context.output.show(&found, |it| {
                lines(it, |it| {
                    let secret = if it.has_secret {
                        ""
                    } else {
                        ", without its secret"
                    };
                    let replaces = if it.replaces {
                        " (replaces the one that is there)"
                    } else {
                        ""
                    };
                    format!(
                        "{}: {} at {}{secret}{replaces}",
                        it.name, it.user, it.auth_url
                    )
                })
            })?;
            return Ok(0);
        }
        Some(file) => {
            unlock(context).await?;
            workshop.import_clouds(file, &names).await?
        }
        None => {
            unlock(context).await?;
            workshop.import_cloud_environment().await?
        }
    };
    context.output.show(&clouds, |it| list(it))?;
    Ok(0)
}

fn list(clouds: &[Cloud]) -> String {
    let rows: Vec<_> = clouds
        .iter()
        .map(|cloud| {
            let state = match (&cloud.checked, &cloud.problem) {
                (None, _) => "never tried".to_owned(),
                (Some(at), None) => format!("ok {}", time(at)),
                (Some(at), Some(_)) => format!("wrong {}", time(at)),
            };
            [
                cloud.name.clone(),
                word(&cloud.auth),
                cloud.user.clone(),
                cloud.project.clone().unwrap_or_default(),
                cloud.region.clone().unwrap_or_default(),
                state,
                cloud.auth_url.clone(),
            ]
        })
        .collect();
    let mut text = table(
        [
            "NAME", "LOGIN", "USER", "PROJECT", "REGION", "STATE", "KEYSTONE",
        ],
        &rows,
        "No clouds; `windlassctl cloud import clouds.yaml` takes them over, `windlassctl cloud add NAME URL` adds one",
    );
    for cloud in clouds {
        if let Some(problem) = &cloud.problem {
            let _ = writeln!(text, "{}: {problem}", cloud.name);
        }
    }
    text
}

fn steps(check: &CloudCheck) -> String {
    lines(&check.steps, |step| {
        let mark = if step.ok { "ok    " } else { "wrong " };
        let mut line = format!("{mark} {}: {}", step.what, step.said);
        if let Some(hint) = &step.hint {
            let _ = write!(line, "\n       {hint}");
        }
        line
    })
}

fn quotas(quotas: &[CloudQuota]) -> String {
    let rows: Vec<_> = quotas
        .iter()
        .map(|it| {
            let (limit, left) = match it.limit {
                Some(limit) => (limit.to_string(), limit.saturating_sub(it.used).to_string()),
                None => ("no limit".to_owned(), String::new()),
            };
            [
                it.what.clone(),
                it.used.to_string(),
                limit,
                left,
                it.service.clone(),
            ]
        })
        .collect();
    table(
        ["WHAT", "USED", "OF", "LEFT", "SERVICE"],
        &rows,
        "The cloud tells of no quotas",
    )
}

fn images(images: &[CloudImage]) -> String {
    let rows: Vec<_> = images
        .iter()
        .map(|it| {
            [
                it.name.clone(),
                it.status.clone(),
                it.visibility.clone(),
                it.format.clone().unwrap_or_default(),
                it.size_bytes.map(size).unwrap_or_default(),
                it.tags.join(" "),
                it.id.clone(),
            ]
        })
        .collect();
    table(
        ["NAME", "STATUS", "SEEN", "FORMAT", "SIZE", "TAGS", "ID"],
        &rows,
        "No such images",
    )
}
