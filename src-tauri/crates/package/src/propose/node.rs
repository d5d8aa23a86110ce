//! Is it a Node project?

use std::path::Path;

use serde_json::Value;

use super::Recognised;
use super::walk::Survey;
use crate::package::read_small_text;
use crate::run_file::Settings;
use crate::{Finding, version};

const MANIFEST: &str = "package.json";

/// What Node projects call their first file, when nothing says.
const USUAL_MAINS: [&str; 6] = [
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "server.mjs",
    "index.mjs",
];

/// A command of Node, taken from a start script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub main: String,
    pub node_args: Vec<String>,
    pub args: Vec<String>,
}

pub(super) fn recognise(folder: &Path, survey: &Survey) -> Option<Recognised> {
    let mut recognised = Recognised::default();
    let project = project(folder, &mut recognised);
    let is_file = |path: &str| folder.join(path).is_file();

    let start = project
        .as_ref()
        .and_then(|project| project.get("scripts")?.get("start")?.as_str());
    let started = start.and_then(|command| {
        let found = start_of(command).filter(|start| is_file(&start.main));
        let said = format!("package.json starts it by `{command}`");
        recognised.reasons.push(match &found {
            Some(_) => format!("{said}."),
            None => {
                format!("{said}, which is no plain call of Node: its main file is taken instead.")
            }
        });
        found
    });
    let main = || {
        let main = project
            .as_ref()?
            .get("main")?
            .as_str()?
            .trim_start_matches("./");
        let spellings = [
            main.to_owned(),
            format!("{main}.js"),
            format!("{main}/index.js"),
        ];
        spellings
            .into_iter()
            .find(|path| is_inside(path) && is_file(path))
    };
    let start = if let Some(start) = started {
        start
    } else {
        let (main, why) = if let Some(main) = main() {
            (main, "which package.json names as its main file")
        } else {
            let usual = USUAL_MAINS.iter().find(|name| survey.top.contains(**name));
            // Scripts for browsers have such names as well: without package.json, only a server counts.
            let usual =
                usual.filter(|name| survey.top.contains(MANIFEST) || name.starts_with("server"))?;
            ((*usual).to_owned(), "as Node projects usually call it")
        };
        recognised.reasons.push(format!("There is {main}, {why}."));
        Start {
            main,
            node_args: Vec::new(),
            args: Vec::new(),
        }
    };

    if let Some(project) = &project {
        describe(project, &mut recognised);
        let dependencies = project.get("dependencies").and_then(Value::as_object);
        if dependencies.is_some_and(|names| !names.is_empty())
            && !survey.top.contains("node_modules")
        {
            recognised.problems.push(
                Finding::warning("its dependencies are not installed: there is no node_modules")
                    .at(MANIFEST)
                    .remedy("Run `npm install --omit=dev` in the folder."),
            );
        }
    }
    let words = [
        vec!["node".to_owned()],
        start.node_args.clone(),
        vec![format!("/{}", start.main)],
        start.args.clone(),
    ];
    recognised.command = words.concat().join(" ");
    recognised.settings = Some(Settings::Node {
        main: Some(format!("/{}", start.main)),
        node_args: start.node_args,
        args: start.args,
        shell: false,
    });
    Some(recognised)
}

fn project(folder: &Path, recognised: &mut Recognised) -> Option<Value> {
    let text = match read_small_text(&folder.join(MANIFEST)) {
        Ok(text) => text?,
        Err(error) => {
            recognised
                .problems
                .push(Finding::warning(error.to_string()).at(MANIFEST));
            return None;
        }
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(project) if project.is_object() => Some(project),
        Ok(_) => None,
        Err(error) => {
            recognised.problems.push(
                Finding::warning(format!("it is not JSON: {error}"))
                    .at(MANIFEST)
                    .remedy("Correct it, so that the project can be recognised."),
            );
            None
        }
    }
}

fn describe(project: &Value, recognised: &mut Recognised) {
    let text = |value: Option<&Value>| {
        let text = value?.as_str()?.trim();
        (!text.is_empty() && text.len() < 200 && !text.contains('\n')).then(|| text.to_owned())
    };
    recognised.title = text(project.get("name"));
    recognised.author = match project.get("author") {
        Some(Value::Object(author)) => text(author.get("name")),
        // "Jane Doe <jane@example.org> (https://…)"
        author => text(author).map(|author| {
            author
                .split(['<', '('])
                .next()
                .unwrap_or("")
                .trim()
                .to_owned()
        }),
    }
    .filter(|author| !author.is_empty());
    recognised.version = text(project.get("version")).map(|version| {
        let plain = version.split(['-', '+']).next().unwrap_or_default();
        if version::rank(plain).is_some() {
            plain.to_owned()
        } else {
            version.clone()
        }
    });
}

/// What a start script says, if it is a plain call of Node and nothing that needs a shell.
pub(super) fn start_of(command: &str) -> Option<Start> {
    if command.contains(['&', '|', ';', '$', '<', '>', '"', '\'', '`', '*', '(', '\\']) {
        return None;
    }
    let mut words = command.split_whitespace().peekable();
    if words.next()? != "node" {
        return None;
    }
    let mut node_args = Vec::new();
    while let Some(option) = words.next_if(|word| word.starts_with('-')) {
        // These take the next word with them.
        if matches!(
            option,
            "-r" | "--require" | "--import" | "-e" | "--eval" | "-p" | "--env-file"
        ) {
            return None;
        }
        node_args.push(option.to_owned());
    }
    let main = words.next()?.trim_start_matches("./").to_owned();
    is_inside(&main).then(|| Start {
        main,
        node_args,
        args: words.map(str::to_owned).collect(),
    })
}

/// Whether a path stays in the folder.
fn is_inside(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|name| name != "..")
}
