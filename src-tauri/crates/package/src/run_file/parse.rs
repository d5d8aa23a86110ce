//! From text to [`RunFile`].

use windlass_guest::GuestOs;

use super::{Base, RunConfiguration, RunFile, Runtime, Settings};
use crate::Finding;
use crate::yaml::{self, Fields, Mistake, Node, Parsed, Place, nearest};

type Result<T> = std::result::Result<T, Box<Mistake>>;

pub(super) fn parse(text: &str, file: &str) -> Result<Parsed<RunFile>> {
    let mut fields = Fields::new(yaml::parse(text, file)?, "a run file", text, file)?;
    let source = fields.source();
    let mut notes = Vec::new();

    let Some((runtime, place)) = fields.text_node("runtime")? else {
        return Err(fields.missing("runtime"));
    };
    let runtime = runtime.parse::<Runtime>().map_err(|()| {
        let names = Runtime::ALL.map(Runtime::name);
        let meant = match runtime.as_str() {
            "nodejs" | "javascript" | "js" => Some("node"),
            "jvm" | "openjdk" => Some("java"),
            other => nearest(other, names),
        };
        let mut mistake = source.mistake(place, format!("`{runtime}` is not a runtime"));
        mistake.suggestion = meant.map(str::to_owned);
        mistake.help = meant
            .is_none()
            .then(|| format!("Write one of {}.", names.join(", ")));
        mistake
    })?;

    let Some(set) = fields.take("config_set") else {
        return Err(fields.missing("config_set"));
    };
    let set_place = set.place;
    let entries = Fields::new(set, "config_set", text, file)?.rest();
    let mut config_set = Vec::with_capacity(entries.len());
    for (name, place, node) in entries {
        config_set.push(configuration(
            runtime,
            name,
            place,
            node,
            (text, file),
            &mut notes,
        )?);
    }
    if config_set.is_empty() {
        let mut mistake = source.mistake(set_place, "`config_set` has no configuration");
        mistake.help = Some("Add at least one named configuration below `config_set`.".into());
        return Err(mistake);
    }

    let config_set_default = defaults(&mut fields, &config_set)?;
    fields.finish(&mut notes);
    Ok(Parsed {
        value: RunFile {
            runtime,
            config_set,
            config_set_default,
        },
        notes,
    })
}

/// One name, several with commas between them, or a list.
fn defaults(fields: &mut Fields<'_>, set: &[RunConfiguration]) -> Result<Vec<String>> {
    let source = fields.source();
    let mut names = Vec::new();
    for (text, place) in fields.text_nodes("config_set_default")? {
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            if !set.iter().any(|configuration| configuration.name == name) {
                let known = set.iter().map(|configuration| configuration.name.as_str());
                let mut mistake =
                    source.mistake(place, format!("`config_set` has no configuration `{name}`"));
                mistake.suggestion = nearest(name, known.clone()).map(str::to_owned);
                mistake.help = mistake
                    .suggestion
                    .is_none()
                    .then(|| format!("It has {}.", known.collect::<Vec<_>>().join(", ")));
                return Err(mistake);
            }
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn configuration(
    runtime: Runtime,
    name: String,
    place: Place,
    node: Node,
    (text, file): (&str, &str),
    notes: &mut Vec<Finding>,
) -> Result<RunConfiguration> {
    let mut fields = Fields::new(node, what(runtime), text, file)?;
    let source = fields.source();
    if name.is_empty()
        || name.contains(['/', '\0', ',', ' ', ';', '&', '"', '$'])
        || name.starts_with('.')
    {
        let mut mistake = source.mistake(place, format!("`{name}` cannot name a configuration"));
        mistake.help = Some(
            "It becomes a file /run/NAME in the guest: use letters, digits, `_` and `-`.".into(),
        );
        return Err(mistake);
    }
    let env = environment(&mut fields)?;
    let base = base(&mut fields)?;
    let settings = settings(runtime, &mut fields, base.as_ref(), place)?;
    fields.finish(notes);
    Ok(RunConfiguration {
        name,
        settings,
        env,
        base,
    })
}

fn what(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Native => "a native configuration",
        Runtime::Node => "a node configuration",
        Runtime::Java => "a java configuration",
        Runtime::Python => "a python configuration",
    }
}

/// Names and values as a boot command line can carry them.
fn environment(fields: &mut Fields<'_>) -> Result<Vec<(String, String)>> {
    let source = fields.source();
    let place = fields.place();
    let env = fields.text_map("env")?;
    for (name, value) in &env {
        if name.is_empty() || name.contains(['=', '\0', '\n', ' ']) || name.ends_with('?') {
            return Err(source.mistake(
                place,
                format!("`{name}` cannot name an environment variable"),
            ));
        }
        if value.contains(['\0', '\n', '\r']) {
            return Err(source.mistake(
                place,
                format!("the value of `{name}` has more than one line, which a boot command cannot carry"),
            ));
        }
    }
    Ok(env)
}

fn base(fields: &mut Fields<'_>) -> Result<Option<Base>> {
    let source = fields.source();
    let Some((text, place)) = fields.text_node("base")? else {
        return Ok(None);
    };
    match text.split_once(':') {
        Some((package, configuration)) if !package.is_empty() && !configuration.is_empty() => {
            Ok(Some(Base {
                package: package.to_owned(),
                configuration: configuration.to_owned(),
            }))
        }
        _ => {
            let mut mistake =
                source.mistake(place, format!("`{text}` does not name a configuration"));
            mistake.help = Some("Write `base: \"package:config_set\"`.".into());
            Err(mistake)
        }
    }
}

fn settings(
    runtime: Runtime,
    fields: &mut Fields<'_>,
    base: Option<&Base>,
    place: Place,
) -> Result<Settings> {
    // Where a key is missing, the name of the configuration is pointed at: its body may be empty.
    let required = |fields: &Fields<'_>, key: &'static str| {
        let mut mistake = fields.missing(key);
        if mistake.suggestion.is_none() {
            *mistake = Mistake {
                help: mistake.help.take(),
                ..*fields.source().mistake(place, mistake.message.clone())
            };
        }
        mistake
    };
    match runtime {
        Runtime::Native => {
            let bootcmd = fields
                .text("bootcmd")?
                .filter(|command| !command.trim().is_empty());
            let by_guest = by_guest(fields)?;
            if bootcmd.is_none() && by_guest.is_empty() && base.is_none() {
                return Err(required(fields, "bootcmd"));
            }
            Ok(Settings::Native { bootcmd, by_guest })
        }
        Runtime::Node | Runtime::Python => {
            let own = if runtime == Runtime::Node {
                "node_args"
            } else {
                "python_args"
            };
            let main = main(fields)?;
            let own_args = fields.texts(own)?;
            let args = fields.texts("args")?;
            let shell = fields.boolean("shell")?.unwrap_or(false);
            if main.is_none() && !shell && base.is_none() {
                return Err(required(fields, "main"));
            }
            Ok(if runtime == Runtime::Node {
                Settings::Node {
                    main,
                    node_args: own_args,
                    args,
                    shell,
                }
            } else {
                Settings::Python {
                    main,
                    python_args: own_args,
                    args,
                    shell,
                }
            })
        }
        Runtime::Java => {
            let main = main(fields)?;
            let settings = Settings::Java {
                xms: fields.text("xms")?,
                xmx: fields.text("xmx")?,
                classpath: fields.texts("classpath")?,
                jvm_args: fields.texts("jvm_args")?,
                args: fields.texts("args")?,
                main: main.clone(),
            };
            if main.is_none() && base.is_none_or(|base| base.package.starts_with("openjdk")) {
                return Err(required(fields, "main"));
            }
            Ok(settings)
        }
    }
}

fn main(fields: &mut Fields<'_>) -> Result<Option<String>> {
    Ok(fields.text("main")?.filter(|main| !main.trim().is_empty()))
}

fn by_guest(fields: &mut Fields<'_>) -> Result<Vec<(GuestOs, String)>> {
    let source = fields.source();
    let place = fields.place();
    fields
        .text_map("x-bootcmd")?
        .into_iter()
        .map(|(guest, command)| {
            if let Ok(guest) = guest.parse::<GuestOs>() {
                Ok((guest, command))
            } else {
                let mut mistake = source.mistake(place, format!("`{guest}` is not a guest kernel"));
                mistake.help = Some("Below `x-bootcmd`, write `osv` or `linux`.".into());
                Err(mistake)
            }
        })
        .collect()
}
