//! `study`: one case and a table of values, a machine for each run, a table of what came out.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use windlass_workshop::jobs::Job;
use windlass_workshop::studies::{
    Record, RunOutcome, RunState, StudyCaseFile, StudyOptions, StudyReport, StudySummary, Tutorial,
    Verdict,
};

use super::findings;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, count, fields, table};
use crate::progress;
use crate::signals::Signals;

/// How often `study watch` looks.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Take a case (a folder, a .zip or .tar.gz) into a new study, and check it
    New {
        /// The case, or the name of a tutorial
        case: PathBuf,
        /// The new folder of the study
        folder: PathBuf,
    },
    /// List the tutorials of OpenFOAM that lie on this computer: `study new` and `study add` take their names
    Tutorials {
        /// Only those that have these words in their names, solvers or what those calculate
        words: Vec<String>,
        /// The folder of the tutorials
        #[arg(long, value_name = "FOLDER")]
        from: Option<PathBuf>,
    },
    /// List the studies that the window shows
    List,
    /// Put a study on the list, or a case: that becomes a study in a folder of Windlass's own
    Add {
        /// The study's folder, or a case (a folder, a .zip or .tar.gz, the name of a tutorial)
        from: PathBuf,
    },
    /// Take a study off the list; its folder stays
    Remove {
        /// The study's folder
        folder: PathBuf,
    },
    /// Say what a study comes to: its case, its runs, and what each of them changes
    Check {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Show what each run changes
        #[arg(long)]
        diff: bool,
    },
    /// Make what the runs share: the packages that the case needs, by recipe, and an appliance of them
    Prepare {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// A folder with the package files; the package manager downloads them, when nothing is said
        #[arg(long, value_name = "FOLDER")]
        from: Option<PathBuf>,
    },
    /// List the values of the case, of which any can be made to vary: file, line, entry, value
    Values {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Do the runs that are not done; what is done stays
    Run {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Begin again what failed, was stopped, or was lost
        #[arg(long)]
        retry: bool,
        /// This run only; may be given several times
        #[arg(long = "run", value_name = "NUMBER")]
        runs: Vec<u32>,
    },
    /// Stop runs, or the whole study: what waits does not begin
    Stop {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// This run only; may be given several times
        #[arg(long = "run", value_name = "NUMBER")]
        runs: Vec<u32>,
        /// Have the solver write what it has, and end by itself
        #[arg(long)]
        save: bool,
    },
    /// Have runs calculate up to another end, from what they wrote last where they are over
    Extend {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// This run only; may be given several times
        #[arg(long = "run", value_name = "NUMBER")]
        runs: Vec<u32>,
        /// The new end, as endTime of controlDict
        #[arg(long, value_name = "TIME")]
        to: String,
    },
    /// Show the runs and where each stands, until all are over
    Watch {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Show it once
        #[arg(long)]
        once: bool,
    },
    /// Say what a run was made of: image, packages, kernel, case, commands, versions, and digests of all files
    Provenance {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// The run
        #[arg(long, value_name = "NUMBER")]
        run: u32,
    },
    /// Do a run once more from what is kept of it, and compare all files; fails where one is another
    Repeat {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// The run
        #[arg(long, value_name = "NUMBER")]
        run: u32,
    },
    /// Say variables against outcomes, as CSV
    Results {
        /// The study's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
}

impl Verb {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let workshop = &context.workshop;
        match self {
            Self::New { case, folder } => {
                let report = workshop.study_new(&case, &folder)?;
                context.output.show(&report, |report| said(report, false))?;
            }
            Self::Tutorials { words, from } => {
                let mut tutorials = workshop.tutorials(from.as_deref())?;
                tutorials.retain(|tutorial| has_words(tutorial, &words));
                context
                    .output
                    .show(&tutorials, |tutorials| shown(tutorials))?;
            }
            Self::List => {
                let studies = workshop.studies()?;
                context.output.show(&studies, |studies| listed(studies))?;
            }
            Self::Add { from } => {
                let folder = workshop.study_take(&from)?;
                context
                    .output
                    .show(&folder, |folder| format!("{folder}\n"))?;
            }
            Self::Remove { folder } => {
                let folder = std::path::absolute(&folder).unwrap_or(folder);
                workshop.study_remove(&folder)?;
            }
            Self::Check { folder, diff } => {
                let report = workshop.study_check(&folder)?;
                context.output.show(&report, |report| said(report, diff))?;
            }
            Self::Prepare { folder, from } => {
                let mut signals = Signals::listen()?;
                let job = workshop.start_study_prepare(&folder, from.as_deref())?;
                let job = progress::wait(context, &job, &mut signals).await?;
                context.output.show(&job, |job| {
                    format!(
                        "Appliance {}\n",
                        job.produced.as_deref().unwrap_or_default()
                    )
                })?;
            }
            Self::Values { folder } => {
                let files = workshop.study_case(&folder)?;
                context.output.show(&files, |files| values(files))?;
            }
            Self::Run {
                folder,
                retry,
                runs,
            } => {
                let mut signals = Signals::listen()?;
                let job = workshop.start_study(
                    &folder,
                    StudyOptions {
                        retry,
                        runs,
                        ..StudyOptions::default()
                    },
                )?;
                progress::wait(context, &job, &mut signals).await?;
                let runs = workshop.study_runs(&folder)?;
                context.output.show(&runs, |runs| stands(runs))?;
                let good = |run: &Record| run.verdict.is_some_and(Verdict::is_complete);
                return Ok(u8::from(!runs.iter().all(good)));
            }
            Self::Stop { folder, runs, save } => {
                let job = workshop.study_stop(&folder, &runs, save)?;
                return see_to(context, &folder, job).await;
            }
            Self::Extend { folder, runs, to } => {
                let job = workshop.study_extend(&folder, &runs, &to)?;
                return see_to(context, &folder, job).await;
            }
            Self::Watch { folder, once } => watch(context, &folder, once).await?,
            Self::Provenance { folder, run } => {
                Output::raw(workshop.study_provenance(&folder, run)?.as_bytes())?;
            }
            Self::Repeat { folder, run } => {
                let mut signals = Signals::listen()?;
                let job = workshop.start_study_repeat(&folder, run)?;
                progress::wait(context, &job, &mut signals).await?;
                let same = "The same files came out, byte for byte\n";
                context.output.show(&run, |_| same.into())?;
            }
            Self::Results { folder } => {
                Output::raw(workshop.study_results(&folder)?.as_bytes())?;
            }
        }
        Ok(0)
    }
}

fn has_words(tutorial: &Tutorial, words: &[String]) -> bool {
    let about = tutorial.about.as_deref().unwrap_or_default();
    let text = format!("{} {} {about}", tutorial.name, tutorial.solver).to_lowercase();
    words.iter().all(|word| text.contains(&word.to_lowercase()))
}

fn shown(tutorials: &[Tutorial]) -> String {
    let rows = tutorials.iter().map(|tutorial| {
        [
            tutorial.name.clone(),
            tutorial.solver.clone(),
            tutorial.about.clone().unwrap_or_default(),
        ]
    });
    table(
        ["TUTORIAL", "SOLVER", "WHAT IT CALCULATES"],
        &rows.collect::<Vec<_>>(),
        "No tutorials: install OpenFOAM's examples (Debian: openfoam-examples), or name their folder with --from",
    )
}

async fn watch(context: &Context, folder: &Path, once: bool) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let mut shown = String::new();
    loop {
        let runs = context.workshop.study_runs(folder)?;
        let over = runs.iter().all(|run| run.state == RunState::Done);
        let text = stands(&runs);
        if context.output.json {
            if once || over {
                context.output.show(&runs, |_| String::new())?;
            }
        } else if text != shown {
            Output::raw(text.as_bytes())?;
            shown = text;
        }
        if once || over {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = signals.next() => return Ok(()),
        }
    }
}

/// Works on what was wanted of runs, unless another process does, which was told then.
async fn see_to(context: &Context, folder: &Path, job: Option<Job>) -> Outcome {
    let Some(job) = job else { return Ok(0) };
    let mut signals = Signals::listen()?;
    progress::wait(context, &job, &mut signals).await?;
    let runs = context.workshop.study_runs(folder)?;
    context.output.show(&runs, |runs| stands(runs))?;
    Ok(0)
}

fn listed(studies: &[StudySummary]) -> String {
    let rows = studies.iter().map(|study| {
        let over =
            |outcome: &&RunOutcome| !matches!(outcome, RunOutcome::Waiting | RunOutcome::Running);
        let done = study.runs.iter().filter(over).count();
        [
            study.title.clone(),
            format!("{done}/{}", study.runs.len()),
            study.id.clone(),
            study.problem.clone().unwrap_or_default(),
        ]
    });
    table(
        ["STUDY", "DONE", "FOLDER", "PROBLEM"],
        &rows.collect::<Vec<_>>(),
        "No studies",
    )
}

fn said(report: &StudyReport, diff: bool) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let mut text = fields(&[
        ("Study", or_dash(report.title.clone())),
        ("Solver", or_dash(report.application.clone())),
        (
            "Cells",
            or_dash(report.cells.map(|cells| cells.to_string())),
        ),
        ("Steps", report.steps.join(", ")),
        ("Appliance", or_dash(report.appliance.clone())),
        (
            "Guest",
            match (&report.guest, &report.guest_reason) {
                (Some(guest), Some(reason)) => format!("{guest}: {reason}"),
                _ => "-".into(),
            },
        ),
    ]);
    if !report.packages.is_empty() {
        let rows = report.packages.iter().map(|package| {
            let state = match (package.is_installed, &package.recipe) {
                (true, _) => "installed",
                (false, Some(_)) => "can be made",
                (false, None) => "missing",
            };
            [package.name.clone(), state.into(), package.reason.clone()]
        });
        let _ = write!(
            text,
            "\n{}",
            table(
                ["PACKAGE", "", "WHY"],
                &rows.collect::<Vec<_>>(),
                "No packages"
            )
        );
    }
    let _ = writeln!(text, "\n{}", count(report.runs.len() as u64, "run", "runs"));
    for planned in &report.runs {
        let values: Vec<String> = planned
            .values
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let _ = writeln!(text, "  {:03}  {}", planned.number, values.join("  "));
        for line in planned.differences.iter().filter(|_| diff) {
            let _ = writeln!(text, "       {}:{}", line.file, line.line);
            let _ = writeln!(text, "       - {}", line.before.trim());
            let _ = writeln!(text, "       + {}", line.after.trim());
        }
    }
    if !report.findings.is_empty() {
        let _ = write!(text, "\n{}", findings::lines(&report.findings));
    }
    text
}

fn values(files: &[StudyCaseFile]) -> String {
    let rows = files.iter().flat_map(|file| {
        file.entries.iter().map(|entry| {
            [
                format!("{}:{}", file.path, entry.line),
                entry.path.clone(),
                entry.value.clone(),
            ]
        })
    });
    table(
        ["FILE", "ENTRY", "VALUE"],
        &rows.collect::<Vec<_>>(),
        "No values: this is no case of OpenFOAM",
    )
}

fn stands(runs: &[Record]) -> String {
    let rows = runs.iter().map(|run| {
        let values: Vec<String> = run
            .values
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let state = match (run.state, run.verdict) {
            (RunState::Done, Some(verdict)) => verdict.title(),
            (RunState::Running, _) => "running",
            _ => "waiting",
        };
        let results: Vec<String> = run
            .results
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        [
            run.name(),
            values.join(" "),
            state.to_owned(),
            run.steps.to_string(),
            run.last_time.map_or("-".into(), |time| time.to_string()),
            results.join(" "),
            run.message.clone().unwrap_or_default(),
        ]
    });
    table(
        [
            "RUN",
            "VALUES",
            "STATE",
            "STEPS",
            "TIME",
            "RESULTS",
            "WHAT HAPPENED",
        ],
        &rows.collect::<Vec<_>>(),
        "No runs",
    )
}
