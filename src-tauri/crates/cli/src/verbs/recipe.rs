//! `package recipe`: packages made here out of the distribution's package files.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use windlass_workshop::recipes::RecipeInfo;

use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{count, size, table};
use crate::progress;
use crate::signals::Signals;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List what can be made, and what of it the library has
    List,
    /// Make packages with what they require, unless the library has them
    Build {
        /// Packages; the name of a recipe stands for all of its packages
        #[arg(required = true, value_name = "PACKAGE")]
        names: Vec<String>,
        /// A folder with the package files; the package manager downloads them, when nothing is said
        #[arg(long, value_name = "FOLDER")]
        from: Option<PathBuf>,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::List => context
                .output
                .show(&workshop.recipes(), |recipes| listed(recipes))?,
            Self::Build { names, from } => {
                let job = workshop.start_recipe(&names, from.as_deref())?;
                let mut signals = Signals::listen()?;
                let job = progress::wait(context, &job, &mut signals).await?;
                context.output.show(&job, |_| String::new())?;
            }
        }
        Ok(0)
    }
}

fn listed(recipes: &[RecipeInfo]) -> String {
    let mut text = String::new();
    for recipe in recipes {
        let rows: Vec<_> = recipe
            .packages
            .iter()
            .map(|package| {
                let installed = if package.is_installed { "yes" } else { "" };
                [
                    package.name.clone(),
                    installed.to_owned(),
                    package.title.clone(),
                ]
            })
            .collect();
        let _ = writeln!(
            text,
            "{}: {} of {}, out of {} of package files\n\n{}",
            recipe.name,
            count(recipe.packages.len() as u64, "package", "packages"),
            recipe.title,
            size(recipe.download_bytes),
            table(["PACKAGE", "INSTALLED", "TITLE"], &rows, "No packages").trim_end()
        );
    }
    text
}
