//! The programs that a case runs, and in which order.

use std::fs;
use std::io::Read as _;

use windlass_package::Finding;

use super::files::Files;
use super::mesh::Mesh;

/// The programs of Debian's package.
const PROGRAMS: &str = include_str!("programs.txt");

/// A program that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub program: String,
    /// Its arguments, `-case` left out.
    pub arguments: Vec<String>,
    /// Whether it runs as several processes.
    pub parallel: bool,
    /// Why it is there.
    pub reason: &'static str,
}

impl Step {
    fn new(program: &str, arguments: &[&str], reason: &'static str) -> Self {
        Self {
            program: program.into(),
            arguments: arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
            parallel: false,
            reason,
        }
    }

    /// Of a line of `study.yaml`.
    pub(super) fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let mut program = words.next()?;
        let arguments: Vec<&str> = words.clone().collect();
        let parallel = program == "mpirun";
        if parallel {
            program = words.find(|word| is_program(word))?;
        }
        Some(Self {
            parallel,
            ..Self::new(program, &arguments, "the study names it")
        })
    }

    /// As a line of `study.yaml`.
    pub fn line(&self) -> String {
        let mut line = self.program.clone();
        for argument in &self.arguments {
            line.push(' ');
            line.push_str(argument);
        }
        line
    }
}

/// Whether OpenFOAM has such a program.
pub(super) fn is_program(name: &str) -> bool {
    PROGRAMS.lines().any(|program| program == name)
}

pub(super) fn find(files: &mut Files, mesh: &Mesh, application: Option<&str>) -> Vec<Step> {
    if let Some(application) = application
        && !is_program(application)
    {
        let close = PROGRAMS
            .lines()
            .find(|program| program.eq_ignore_ascii_case(application));
        let finding = Finding::error(format!(
            "application is {application}, which is no program of OpenFOAM"
        ))
        .at("system/controlDict");
        files.findings.push(match close {
            Some(close) => finding.remedy(format!("Is {close} meant?")),
            None => finding.remedy("A solver of your own has to be packed first; or set application to one of OpenFOAM's"),
        });
    }
    if application.is_none() {
        let message = "no application is named, so that nobody knows which solver the case is for";
        files.findings.push(
            Finding::error(message)
                .at("system/controlDict")
                .remedy("Add a line such as: application simpleFoam;"),
        );
    }
    if let Some(steps) = of_script(files, application) {
        return steps;
    }
    let mut steps = Vec::new();
    for program in &mesh.made_by {
        match *program {
            "snappyHexMesh" => {
                if files.has("system/surfaceFeatureExtractDict") {
                    steps.push(Step::new(
                        "surfaceFeatureExtract",
                        &[],
                        "system/surfaceFeatureExtractDict is there",
                    ));
                }
                steps.push(Step::new(
                    "snappyHexMesh",
                    &["-overwrite"],
                    "system/snappyHexMeshDict makes the mesh",
                ));
            }
            program => steps.push(Step::new(
                program,
                &[],
                "system/blockMeshDict makes the mesh",
            )),
        }
    }
    if files.has("system/topoSetDict") {
        steps.push(Step::new("topoSet", &[], "system/topoSetDict is there"));
    }
    if files.has("system/setFieldsDict") {
        steps.push(Step::new("setFields", &[], "system/setFieldsDict is there"));
    }
    if let Some(application) = application {
        steps.push(Step::new(application, &[], "controlDict names it"));
    }
    steps
}

/// The steps of an `Allrun` that does one thing after the other. One with a will of its own is left to its author.
fn of_script(files: &mut Files, application: Option<&str>) -> Option<Vec<Step>> {
    let mut text = String::new();
    let file = fs::File::open(files.folder.join("Allrun")).ok()?;
    file.take(64 << 10).read_to_string(&mut text).ok()?;
    let mut steps = Vec::new();
    let mut left_out = Vec::new();
    for line in text.lines().map(str::trim) {
        let known = line.is_empty()
            || line.starts_with('#')
            || line.starts_with("cd \"${0%/*}\"")
            || line.starts_with("cd ${0%/*}")
            || line.starts_with(". ")
            || line.starts_with("application=");
        if known {
            continue;
        }
        match step(line, application) {
            Some(step) => steps.push(step),
            // The copy of 0.orig is made for every run, and patchSummary and its like only tell.
            None if line == "restore0Dir" || line.starts_with("cp -r 0.orig 0") => {}
            None => left_out.push(line.to_owned()),
        }
    }
    if left_out.is_empty() && !steps.is_empty() {
        return Some(steps);
    }
    let shown: Vec<&str> = left_out.iter().take(3).map(String::as_str).collect();
    files.findings.push(
        Finding::warning(format!(
            "Allrun does more than calling programs ({})",
            shown.join("; ")
        ))
        .at("Allrun")
        .remedy("Look whether the steps that were found are those that you want"),
    );
    None
}

/// `runApplication -s one snappyHexMesh -overwrite` and its like.
fn step(line: &str, application: Option<&str>) -> Option<Step> {
    let line = line.split('#').next()?.trim();
    let mut words = line.split_whitespace();
    let runner = words.next()?;
    let parallel = runner == "runParallel";
    if runner != "runApplication" && !parallel {
        return None;
    }
    let mut program = words.next()?;
    loop {
        match program {
            "-s" | "-suffix" => {
                words.next()?;
            }
            "-a" | "-append" | "-o" | "-overwrite" => {}
            _ => break,
        }
        program = words.next()?;
    }
    let program = match program {
        "$(getApplication)" | "`getApplication`" | "$application" => application?,
        program => program,
    };
    if !is_program(program) {
        return None;
    }
    let arguments: Vec<String> = words
        .map(|word| word.trim_matches('\'').to_owned())
        .collect();
    if arguments
        .iter()
        .any(|word| word.contains(['$', '`', '|', '>', '<', ';', '&', '"']))
    {
        return None;
    }
    Some(Step {
        program: program.to_owned(),
        arguments,
        parallel,
        reason: "Allrun calls it",
    })
}
