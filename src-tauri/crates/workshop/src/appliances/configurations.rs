//! Editing the run configurations of an appliance, one field at a time, so that comments of its run
//! file stay.

use windlass_package::edit::{self, Value};
use windlass_package::run_file::{Base, Settings};
use windlass_package::{RunConfiguration, RunFile};

use super::layers::without;
use super::manifests::{read_text, text_digest, write_text};
use super::{ConfigurationFields, ManifestFile, RuntimeFields};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, Result};

const FILE: ManifestFile = ManifestFile::Run;

impl Workshop {
    /// Changes a run configuration. Comments of the run file stay.
    ///
    /// # Errors
    /// `NotFound`; `Input` when a value makes no sense.
    pub fn save_configuration(
        &self,
        id: &str,
        name: &str,
        fields: &ConfigurationFields,
    ) -> Result<()> {
        self.edit_run_file(id, |text| saved(text, name, fields))
    }

    /// Adds a run configuration, and the run file with it where there is none.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the name is taken; `Input` when a value makes no sense.
    pub fn add_configuration(
        &self,
        id: &str,
        name: &str,
        fields: &ConfigurationFields,
    ) -> Result<()> {
        self.edit_run_file(id, |text| added(text, name, fields))
    }

    /// Removes a run configuration.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is the last one.
    pub fn remove_configuration(&self, id: &str, name: &str) -> Result<()> {
        self.edit_run_file(id, |text| removed(text, name))
    }

    /// Gives a run configuration another name.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the name is taken.
    pub fn rename_configuration(&self, id: &str, name: &str, new_name: &str) -> Result<()> {
        self.edit_run_file(id, |text| renamed(text, name, new_name))
    }

    /// Says which run configurations run when nothing else is said, in order.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_default_configurations(&self, id: &str, names: &[String]) -> Result<()> {
        self.edit_run_file(id, |text| {
            let file = parse(text)?;
            for name in names {
                existing(&file, name)?;
            }
            with_defaults(text, names)
        })
    }

    fn edit_run_file(&self, id: &str, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
        let record = self.appliance_record(id)?;
        let before = read_text(&record.path, FILE)?;
        let text = change(&before)?;
        parse(&text)?;
        write_text(&record.path, FILE, &text, &text_digest(&before))?;
        self.plans.forget(id);
        self.tell_appliance(id);
        Ok(())
    }
}

fn parse(text: &str) -> Result<RunFile> {
    Ok(RunFile::parse(text, FILE.path())?.value)
}

fn existing<'a>(file: &'a RunFile, name: &str) -> Result<&'a RunConfiguration> {
    file.configuration(name)
        .ok_or_else(|| AppError::not_found("run configuration", name))
}

/// A name is also that of a script in the guest, and defaults are names with commas.
fn check_name(file: Option<&RunFile>, name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(AppError::new(
            ErrorKind::Input,
            format!("`{name}` cannot be the name of a run configuration"),
        )
        .hinted("Use letters, digits, `-`, `_` and `.`"));
    }
    if file.is_some_and(|file| file.configuration(name).is_some()) {
        return Err(AppError::new(
            ErrorKind::Conflict,
            format!("There is a run configuration `{name}` already"),
        ));
    }
    Ok(())
}

fn saved(text: &str, name: &str, fields: &ConfigurationFields) -> Result<String> {
    let file = parse(text)?;
    let before = existing(&file, name)?;
    let wanted = configuration(name, fields)?;
    let runtime = wanted.settings.runtime();
    let mut text = text.to_owned();
    if runtime != file.runtime {
        if file.config_set.len() > 1 {
            return Err(AppError::new(
                ErrorKind::Input,
                format!(
                    "All configurations of this file are run by {}",
                    file.runtime
                ),
            )
            .hinted("Remove the others first, or change `runtime` in the text"));
        }
        text = edit::set(&text, &["runtime"], &runtime.name().into())?;
    }
    let (old, new) = (entries(before), entries(&wanted));
    // First what is there, then what is not: a configuration that is empty for a moment would go.
    for (key, value) in &new {
        if old.iter().any(|it| it == &(*key, value.clone())) {
            continue;
        }
        text = edit::set(&text, &["config_set", name, key], value)?;
    }
    for (variable, value) in &wanted.env {
        if !before.env.contains(&(variable.clone(), value.clone())) {
            let path = ["config_set", name, "env", variable];
            text = edit::set(&text, &path, &value.as_str().into())?;
        }
    }
    for (key, _) in &old {
        if !new.iter().any(|(kept, _)| kept == key) {
            text = without(&text, &["config_set", name, key])?;
        }
    }
    for (variable, _) in &before.env {
        if !wanted.env.iter().any(|(kept, _)| kept == variable) {
            text = without(&text, &["config_set", name, "env", variable])?;
        }
    }
    Ok(text)
}

fn added(text: &str, name: &str, fields: &ConfigurationFields) -> Result<String> {
    let wanted = configuration(name, fields)?;
    if text.trim().is_empty() {
        check_name(None, name)?;
        let file = RunFile {
            runtime: wanted.settings.runtime(),
            config_set_default: vec![name.to_owned()],
            config_set: vec![wanted],
        };
        return Ok(file.to_yaml()?);
    }
    let file = parse(text)?;
    check_name(Some(&file), name)?;
    if wanted.settings.runtime() != file.runtime {
        return Err(AppError::new(
            ErrorKind::Input,
            format!(
                "All configurations of this file are run by {}",
                file.runtime
            ),
        ));
    }
    let mut values: Vec<(String, Value)> = entries(&wanted)
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    if !wanted.env.is_empty() {
        let env = wanted
            .env
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        values.push(("env".to_owned(), Value::Map(env)));
    }
    Ok(edit::set(text, &["config_set", name], &Value::Map(values))?)
}

fn removed(text: &str, name: &str) -> Result<String> {
    let file = parse(text)?;
    existing(&file, name)?;
    if file.config_set.len() == 1 {
        return Err(AppError::new(
            ErrorKind::Conflict,
            "A run file has to have one configuration at least",
        ));
    }
    let text = edit::remove(text, &["config_set", name])?;
    let defaults: Vec<String> = file.config_set_default;
    if !defaults.iter().any(|it| it == name) {
        return Ok(text);
    }
    let kept: Vec<String> = defaults.into_iter().filter(|it| it != name).collect();
    with_defaults(&text, &kept)
}

fn renamed(text: &str, name: &str, new_name: &str) -> Result<String> {
    let file = parse(text)?;
    existing(&file, name)?;
    check_name(Some(&file), new_name)?;
    let text = edit::rename(text, &["config_set", name], new_name)?;
    if !file.config_set_default.iter().any(|it| it == name) {
        return Ok(text);
    }
    let defaults: Vec<String> = file
        .config_set_default
        .iter()
        .map(|it| if it == name { new_name } else { it }.to_owned())
        .collect();
    with_defaults(&text, &defaults)
}

fn with_defaults(text: &str, names: &[String]) -> Result<String> {
    if names.is_empty() {
        return without(text, &["config_set_default"]);
    }
    Ok(edit::set(
        text,
        &["config_set_default"],
        &names.join(", ").into(),
    )?)
}

/// What the form's fields come to.
fn configuration(name: &str, fields: &ConfigurationFields) -> Result<RunConfiguration> {
    let text = |text: &Option<String>| {
        text.as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let settings = match &fields.settings {
        RuntimeFields::Native { bootcmd } => Settings::Native {
            bootcmd: text(bootcmd),
            by_guest: Vec::new(),
        },
        RuntimeFields::Node {
            main,
            node_args,
            args,
            shell,
        } => Settings::Node {
            main: text(main),
            node_args: node_args.clone(),
            args: args.clone(),
            shell: *shell,
        },
        RuntimeFields::Java {
            main,
            xms,
            xmx,
            classpath,
            jvm_args,
            args,
        } => Settings::Java {
            main: text(main),
            xms: text(xms),
            xmx: text(xmx),
            classpath: classpath.clone(),
            jvm_args: jvm_args.clone(),
            args: args.clone(),
        },
        RuntimeFields::Python {
            main,
            python_args,
            args,
            shell,
        } => Settings::Python {
            main: text(main),
            python_args: python_args.clone(),
            args: args.clone(),
            shell: *shell,
        },
    };
    let base = text(&fields.base)
        .map(|text| match text.split_once(':') {
            Some((package, configuration)) if !package.is_empty() && !configuration.is_empty() => {
                Ok(Base {
                    package: package.to_owned(),
                    configuration: configuration.to_owned(),
                })
            }
            _ => Err(AppError::new(
                ErrorKind::Input,
                format!("`{text}` does not name a configuration of a package"),
            )
            .hinted("Write package:configuration")),
        })
        .transpose()?;
    let mut env: Vec<(String, String)> = Vec::new();
    for variable in &fields.env {
        let wrong = variable.name.is_empty() || variable.name.contains(['=', ' ', '\0', '?']);
        if wrong || env.iter().any(|(name, _)| *name == variable.name) {
            return Err(AppError::new(
                ErrorKind::Input,
                format!(
                    "`{}` cannot be the name of an environment variable, or is there twice",
                    variable.name
                ),
            ));
        }
        env.push((variable.name.clone(), variable.value.clone()));
    }
    Ok(RunConfiguration {
        name: name.to_owned(),
        settings,
        env,
        base,
    })
}

/// The keys of a configuration beside `env`, as they are written.
fn entries(configuration: &RunConfiguration) -> Vec<(&'static str, Value)> {
    let mut entries = Vec::new();
    let mut text = |key, value: &Option<String>| {
        if let Some(value) = value {
            entries.push((key, Value::from(value.as_str())));
        }
    };
    text(
        "base",
        &configuration.base.as_ref().map(ToString::to_string),
    );
    match &configuration.settings {
        Settings::Native { bootcmd, .. } => text("bootcmd", bootcmd),
        Settings::Node { main, .. } | Settings::Python { main, .. } => text("main", main),
        Settings::Java { main, xms, xmx, .. } => {
            text("main", main);
            text("xms", xms);
            text("xmx", xmx);
        }
    }
    let mut list = |key, values: &[String]| {
        if !values.is_empty() {
            let values = values.iter().map(|value| value.as_str().into()).collect();
            entries.push((key, Value::List(values)));
        }
    };
    match &configuration.settings {
        Settings::Native { .. } => {}
        Settings::Node {
            node_args, args, ..
        } => {
            list("node_args", node_args);
            list("args", args);
        }
        Settings::Python {
            python_args, args, ..
        } => {
            list("python_args", python_args);
            list("args", args);
        }
        Settings::Java {
            classpath,
            jvm_args,
            args,
            ..
        } => {
            list("classpath", classpath);
            list("jvm_args", jvm_args);
            list("args", args);
        }
    }
    if let Settings::Node { shell: true, .. } | Settings::Python { shell: true, .. } =
        configuration.settings
    {
        entries.push(("shell", true.into()));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appliances::EnvValue;

    const TEXT: &str = "# how it runs\nruntime: node\nconfig_set:\n  server: # the main one\n    main: /server.js # entry\n    args: [--port, \"8080\"]\n    env:\n      A: \"1\" # one\n      B: \"2\"\n  worker:\n    main: /worker.js\nconfig_set_default: server, worker # both\n";

    fn fields(main: &str, args: &[&str], env: &[(&str, &str)]) -> ConfigurationFields {
        ConfigurationFields {
            settings: RuntimeFields::Node {
                main: Some(main.to_owned()),
                node_args: Vec::new(),
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                shell: false,
            },
            base: None,
            env: env
                .iter()
                .map(|(name, value)| EnvValue {
                    name: (*name).to_owned(),
                    value: (*value).to_owned(),
                })
                .collect(),
        }
    }

    #[test]
    fn saving_changes_what_differs_and_keeps_comments() {
        let text = saved(
            TEXT,
            "server",
            &fields("/main.js", &[], &[("A", "1"), ("C", "a b")]),
        )
        .unwrap();
        insta::assert_snapshot!(text, @r#"
        # how it runs
        runtime: node
        config_set:
          server: # the main one
            main: /main.js # entry
            env:
              A: "1" # one
              C: a b
          worker:
            main: /worker.js
        config_set_default: server, worker # both
        "#);
        let same = saved(
            TEXT,
            "server",
            &fields("/server.js", &["--port", "8080"], &[("A", "1"), ("B", "2")]),
        );
        assert_eq!(same.unwrap(), TEXT);
    }

    #[test]
    fn configurations_come_go_and_are_renamed_with_their_defaults() {
        let text = added(TEXT, "cron", &fields("/cron.js", &["-v"], &[("Q", "x")])).unwrap();
        let text = renamed(&text, "worker", "drone").unwrap();
        let text = removed(&text, "server").unwrap();
        insta::assert_snapshot!(text, @r#"
        # how it runs
        runtime: node
        config_set:
          drone:
            main: /worker.js
          cron:
            main: /cron.js
            args:
            - "-v"
            env:
              Q: x
        config_set_default: "drone" # both
        "#);
        let first = added("", "default", &fields("/a.js", &[], &[])).unwrap();
        assert_eq!(parse(&first).unwrap().config_set_default, ["default"]);
        for (wrong, kind) in [("server", ErrorKind::Conflict), ("a/b", ErrorKind::Input)] {
            let error = added(TEXT, wrong, &fields("/x", &[], &[])).unwrap_err();
            assert_eq!(error.kind, kind, "{wrong}");
        }
    }
}
