//! What a runtime tells its base's boot command, and how it gets into it.

use std::path::Path;

use windlass_guest::command_line::Terminator;
use windlass_guest::command_line::script::ScriptCommand;

use crate::run_file::{Base, Runtime, Settings};

/// A variable of a runtime, with the words that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub name: &'static str,
    pub words: Vec<String>,
}

/// What these settings say, in variables.
pub(super) fn variables(settings: &Settings) -> Vec<Variable> {
    let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
    let list = |name, words: &[String]| Variable {
        name,
        words: words.to_vec(),
    };
    match settings {
        Settings::Native { .. } => Vec::new(),
        Settings::Node {
            main,
            node_args,
            args,
            ..
        } => vec![
            Variable {
                name: "MAIN",
                words: one(main),
            },
            list("NODE_ARGS", node_args),
            list("ARGS", args),
        ],
        Settings::Python {
            main,
            python_args,
            args,
            ..
        } => vec![
            Variable {
                name: "MAIN",
                words: one(main),
            },
            list("PYTHON_ARGS", python_args),
            list("ARGS", args),
        ],
        Settings::Java {
            main,
            xms,
            xmx,
            classpath,
            jvm_args,
            args,
        } => {
            let main = match main {
                Some(main)
                    if Path::new(main)
                        .extension()
                        .is_some_and(|kind| kind == "jar") =>
                {
                    vec!["-jar".to_owned(), main.clone()]
                }
                other => one(other),
            };
            let classpath = if classpath.is_empty() {
                "/".to_owned()
            } else {
                classpath.join(":")
            };
            vec![
                Variable {
                    name: "MAIN",
                    words: main,
                },
                Variable {
                    name: "XMS",
                    words: one(xms),
                },
                Variable {
                    name: "XMX",
                    words: one(xmx),
                },
                Variable {
                    name: "CLASSPATH",
                    words: vec![classpath],
                },
                list("JVM_ARGS", jvm_args),
                list("ARGS", args),
            ]
        }
    }
}

/// The name that Capstan bases a runtime on.
pub(super) fn usual_base(runtime: Runtime) -> Option<Base> {
    let (package, configuration) = match runtime {
        Runtime::Native => return None,
        Runtime::Node => ("node-4.4.5", "node"),
        Runtime::Java => ("openjdk8-zulu-compact1", "java"),
        Runtime::Python => ("python-2.7", "python"),
    };
    Some(Base {
        package: package.into(),
        configuration: configuration.into(),
    })
}

/// How the names of packages with this runtime begin.
pub(super) fn family(runtime: Runtime) -> Option<&'static str> {
    match runtime {
        Runtime::Native => None,
        Runtime::Node => Some("node-"),
        Runtime::Java => Some("openjdk"),
        Runtime::Python => Some("python-"),
    }
}

/// Whether a word of the commands names this variable.
pub(super) fn is_named(commands: &[ScriptCommand], name: &str) -> bool {
    commands
        .iter()
        .filter_map(|command| command.command.as_ref())
        .flat_map(|command| &command.words)
        .any(|word| {
            word.split_once('$')
                .is_some_and(|(_, variable)| variable == name)
        })
}

/// Puts the words of a variable where the commands name it. No words: the word that names it goes.
pub(super) fn put_in(commands: &mut [ScriptCommand], name: &str, words: &[String]) {
    for command in commands
        .iter_mut()
        .filter_map(|command| command.command.as_mut())
    {
        let old = std::mem::take(&mut command.words);
        for word in old {
            match word.split_once('$') {
                Some((before, variable)) if variable == name => {
                    let mut words = words.iter();
                    if let Some(first) = words.next() {
                        command.words.push(format!("{before}{first}"));
                    }
                    command.words.extend(words.cloned());
                }
                _ => command.words.push(word),
            }
        }
    }
}

/// Commands as one line of a script.
pub(super) fn render(commands: &[ScriptCommand]) -> String {
    let mut line = String::new();
    for (at, part) in commands.iter().enumerate() {
        if at > 0 {
            line.push(' ');
        }
        line.push_str(&part.to_string());
        // Written for a line of its own, it leaves out the terminator that the end of the line says.
        let is_followed = at + 1 < commands.len();
        let end = part.command.as_ref().map(|command| command.end);
        if is_followed && end == Some(Terminator::Sequential) {
            line.push(';');
        }
    }
    line
}
