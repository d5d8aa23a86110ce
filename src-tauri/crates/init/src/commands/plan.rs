//! What is to be run, made from the command line, the `/init` files and the scripts before anything starts.
//!
//! The order of OSv's `loader.cc`: environment of the options; `$NAME` in the words; scripts in the place of their
//! `runscript`, their variables set as they are read; then the files of `/init`, by name, put before all.

use std::collections::BTreeMap;

use windlass_guest::CommandLine;
use windlass_guest::command_line::{Command, EnvMode, script};

/// Variables, as the programs get them.
pub(crate) type Environment = BTreeMap<String, String>;

/// All that the supervisor needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub commands: Vec<Command>,
    pub environment: Environment,
    pub working_directory: Option<String>,
    /// Where the programs' output goes instead of the console.
    pub redirect: Option<Redirect>,
}

/// `--redirect=FILE` or `--redirect=>>FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub path: String,
    pub is_appended: bool,
}

impl Redirect {
    /// Empties the file once, before the first command, unless it is appended to; each command adds to it.
    pub(crate) fn begin(&self) -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options
            .create(true)
            .write(true)
            .truncate(!self.is_appended)
            .open(&self.path)
            .map(drop)
    }
}

/// The files that a plan is made from.
pub(crate) trait Source {
    fn read(&self, path: &str) -> Result<String, String>;
    /// The paths of the files in a folder, by name; empty where there is no such folder.
    fn list(&self, folder: &str) -> Vec<String>;
}

/// The files of the image.
#[derive(Debug)]
pub(crate) struct Files;

impl Source for Files {
    fn read(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn list(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<String> = entries
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.path().into_os_string().into_string().ok())
            .collect();
        paths.sort();
        paths
    }
}

/// What every program finds, whatever the command line says.
pub(crate) fn base_environment(home: &str) -> Environment {
    [
        ("HOME", home),
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("TERM", "xterm"),
        ("USER", "root"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Makes the plan; says in words why it cannot be made.
pub(crate) fn make(
    line: &CommandLine,
    mut environment: Environment,
    source: &impl Source,
) -> Result<Plan, String> {
    for (key, value, mode) in line.env() {
        set(&mut environment, key, value, mode);
    }
    if line.commands.is_empty() {
        return Err("it is empty: there is nothing to run".to_owned());
    }
    let mut commands = Vec::new();
    for command in line.expand(lookup(&environment)).commands {
        run_script_or_command(command, &mut environment, source, &mut commands)?;
    }
    if !line.has_option("noinit") {
        let mut first = Vec::new();
        for path in source.list("/init") {
            let text = source
                .read(&path)
                .map_err(|error| format!("cannot read {path}: {error}"))?;
            let line = CommandLine {
                options: Vec::new(),
                commands: parse_init(&path, &text)?,
            };
            for command in line.expand(lookup(&environment)).commands {
                run_script_or_command(command, &mut environment, source, &mut first)?;
            }
        }
        commands.splice(0..0, first);
    }
    if commands.is_empty() {
        return Err("there is nothing to run in it".to_owned());
    }
    Ok(Plan {
        commands,
        environment,
        working_directory: line.cwd().map(str::to_owned),
        redirect: line.values("redirect").next().map(redirect),
    })
}

fn lookup(environment: &Environment) -> impl Fn(&str) -> Option<String> {
    |name| environment.get(name).cloned()
}

fn set(environment: &mut Environment, key: String, value: String, mode: EnvMode) {
    // The system knows no variable without a name, and no zero bytes.
    if key.is_empty() || mode == EnvMode::SetIfUnset && environment.contains_key(&key) {
        return;
    }
    environment.insert(key, value);
}

fn parse_init(path: &str, text: &str) -> Result<Vec<Command>, String> {
    let commands =
        script::parse(text).map_err(|error| format!("{path}: {error}: {}", error.source))?;
    // OSv knows no options here.
    Ok(commands
        .into_iter()
        .filter_map(|command| command.command)
        .collect())
}

/// Adds a command, or the commands of the script that it names.
fn run_script_or_command(
    command: Command,
    environment: &mut Environment,
    source: &impl Source,
    commands: &mut Vec<Command>,
) -> Result<(), String> {
    if command
        .words
        .first()
        .is_none_or(|word| word != script::RUNSCRIPT)
    {
        commands.push(command);
        return Ok(());
    }
    let [_, path] = command.words.as_slice() else {
        return Err(format!("`{command}` is not `runscript FILE`"));
    };
    let text = source
        .read(path)
        .map_err(|error| format!("cannot read the script {path}: {error}"))?;
    for line in text.lines() {
        let parsed =
            script::parse_line(line).map_err(|error| format!("the script {path}: {error}"))?;
        // The variables of the whole line come before the words of any of its commands.
        for (key, value, mode) in parsed.iter().flat_map(|command| command.env.clone()) {
            let value = Command::new([value])
                .expand(lookup(environment))
                .words
                .concat();
            set(environment, key, value, mode);
        }
        let words = parsed.into_iter().filter_map(|command| command.command);
        commands.extend(words.map(|command| command.expand(lookup(environment))));
    }
    Ok(())
}

fn redirect(value: &str) -> Redirect {
    match value.strip_prefix(">>") {
        Some(path) => Redirect {
            path: path.to_owned(),
            is_appended: true,
        },
        None => Redirect {
            path: value.to_owned(),
            is_appended: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Source for BTreeMap<&str, &str> {
        fn read(&self, path: &str) -> Result<String, String> {
            self.get(path)
                .map(|text| (*text).to_owned())
                .ok_or_else(|| "no such file".to_owned())
        }

        fn list(&self, folder: &str) -> Vec<String> {
            self.keys()
                .filter(|path| path.starts_with(folder))
                .map(|path| (*path).to_owned())
                .collect()
        }
    }

    fn plan(line: &str, files: &[(&'static str, &'static str)]) -> Result<Plan, String> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        make(
            &CommandLine::parse(line).unwrap(),
            Environment::new(),
            &files,
        )
    }

    fn shown(plan: &Plan) -> String {
        let commands = plan.commands.clone();
        let line = CommandLine {
            options: vec![],
            commands,
        };
        let env: Vec<String> = plan
            .environment
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!("{line} | {}", env.join(" "))
    }

    #[test]
    fn scripts_stand_in_the_place_of_their_command() {
        let files = [
            ("/run/a", "--env=PORT?=80 --env=X=$HOST /serve $PORT & /b\n"),
            ("/run/c", "/c $PORT"),
        ];
        let text = shown(
            &plan(
                "--env=HOST=h /first; runscript /run/a; runscript /run/c",
                &files,
            )
            .unwrap(),
        );
        assert_eq!(text, "/first; /serve 80 & /b; /c 80 | HOST=h PORT=80 X=h");
        let text = shown(&plan(r"--env=PORT=8\ 0 runscript /run/a", &files).unwrap());
        assert_eq!(text, r#"/serve "8 0" & /b | PORT=8 0 X="#);
    }

    #[test]
    fn init_files_come_first_by_name() {
        let files = [("/init/10-b", "/b"), ("/init/00-a", "/a one;\n/a two &!\n")];
        assert_eq!(
            shown(&plan("/main", &files).unwrap()),
            "/a one; /a two &! /b; /main | "
        );
        assert_eq!(shown(&plan("--noinit /main", &files).unwrap()), "/main | ");
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        let message = |line| plan(line, &[("/run/bad", "/a; ; /b")]).unwrap_err();
        assert_eq!(message("--verbose"), "it is empty: there is nothing to run");
        assert_eq!(
            message("runscript /gone"),
            "cannot read the script /gone: no such file"
        );
        assert_eq!(message("runscript"), "`runscript` is not `runscript FILE`");
        assert_eq!(
            message("runscript /run/bad"),
            "the script /run/bad: there is no command before the `;` at byte 4"
        );
    }

    #[test]
    fn output_can_go_to_a_file() {
        let plan = plan("--redirect=>>/run.log --cwd=/srv /a", &[]).unwrap();
        assert_eq!(
            plan.redirect,
            Some(Redirect {
                path: "/run.log".to_owned(),
                is_appended: true
            })
        );
        assert_eq!(plan.working_directory.as_deref(), Some("/srv"));
    }

    #[test]
    fn what_a_file_held_before_goes_once_or_stays() {
        let path = std::env::temp_dir().join(format!("windlass-init-log-{}", std::process::id()));
        for (sign, left) in [("", ""), (">>", "before\n")] {
            std::fs::write(&path, "before\n").unwrap();
            redirect(&format!("{sign}{}", path.display()))
                .begin()
                .unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), left);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
