//! Changing what an appliance lies over, and mending what was found of it.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use windlass_package::edit::{self, EditError};
use windlass_package::{Constraint, Manifest, Package, ignore};

use super::manifests::{read_text, text_digest, write_text};
use super::{FindingFix, LayersSet, ManifestFile, Record, appliance_name};
use crate::Workshop;
use crate::disk::write_whole;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::guests::{GuestOs, RootFs};
use crate::packages::Requirement;

impl From<EditError> for AppError {
    fn from(error: EditError) -> Self {
        Self::from_error(ErrorKind::Input, &error, error.hint())
    }
}

/// As [`edit::remove`]; what is not there is removed already.
pub(super) fn without(text: &str, path: &[&str]) -> Result<String> {
    match edit::remove(text, path) {
        Err(EditError::NotThere { .. }) => Ok(text.to_owned()),
        outcome => Ok(outcome?),
    }
}

impl Workshop {
    /// Sets the packages that an appliance lies over, lowest first. Comments of its manifest stay.
    ///
    /// # Errors
    /// `NotFound`; `Input` when a name or a constraint makes no sense.
    pub async fn set_layers(
        self: &Arc<Self>,
        id: &str,
        require: &[Requirement],
    ) -> Result<LayersSet> {
        let record = self.appliance_record(id)?;
        let undo = manifest_or_first(&record)?;
        let text = with_requirements(&undo, require)?;
        self.write_manifest(&record, &text)?;
        Ok(LayersSet {
            contents: self.contents(id).await?,
            undo,
            digest: text_digest(&text),
        })
    }

    /// Writes `meta/package.yaml` over what it was just now.
    fn write_manifest(&self, record: &Record, text: &str) -> Result<()> {
        let file = ManifestFile::Package;
        let before = text_digest(&read_text(&record.path, file)?);
        write_text(&record.path, file, text, &before)?;
        self.plans.forget(&record.id);
        self.tell_appliance(&record.id);
        Ok(())
    }

    /// Does what mends a finding.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it was done already, or cannot be done here.
    pub fn fix_finding(&self, id: &str, fix: FindingFix) -> Result<()> {
        let record = self.appliance_record(id)?;
        match fix {
            FindingFix::AddPackage { name } => {
                let text = manifest_or_first(&record)?;
                let manifest = Manifest::parse(&text, ManifestFile::Package.path())?.value;
                if manifest.require.contains(&name) {
                    return Err(AppError::new(
                        ErrorKind::Conflict,
                        format!("`{name}` is among the layers already"),
                    ));
                }
                let at = manifest.require.len();
                check_name(&name)?;
                let text = edit::insert_item(&text, &["require"], at, &name.into())?;
                self.write_manifest(&record, &text)
            }
            FindingFix::AddFile { host, guest } => {
                add_file(&record.path, Path::new(&host), &guest)?;
                self.plans.forget(id);
                self.tell_appliance(id);
                Ok(())
            }
            FindingFix::LeaveOut { path } => {
                leave_out(&record.path, &path)?;
                self.plans.forget(id);
                self.tell_appliance(id);
                Ok(())
            }
            FindingFix::Guest { guest } => {
                let package = Package::open(&record.path)?;
                let mut settings = self.settings_of(&package.settings)?;
                settings.guest = guest;
                settings.root_fs = match guest {
                    GuestOs::Osv => RootFs::Rofs,
                    GuestOs::Linux => RootFs::Ext4,
                };
                self.save_settings(id, settings).map(drop)
            }
        }
    }
}

/// The manifest's text; where there is none, that of the first one.
fn manifest_or_first(record: &Record) -> Result<String> {
    let text = read_text(&record.path, ManifestFile::Package)?;
    if !text.trim().is_empty() {
        return Ok(text);
    }
    let name = appliance_name(&Package::open(&record.path)?);
    let manifest = Manifest {
        name: windlass_package::name_from(&name),
        title: name,
        ..Manifest::default()
    };
    Ok(manifest.to_yaml()?)
}

fn check_name(name: &str) -> Result<()> {
    if windlass_package::is_valid_name(name) {
        return Ok(());
    }
    Err(AppError::new(
        ErrorKind::Input,
        format!("`{name}` cannot be the name of a package"),
    ))
}

/// The manifest with these requirements in the place of those that it has.
pub(super) fn with_requirements(text: &str, require: &[Requirement]) -> Result<String> {
    let before = Manifest::parse(text, ManifestFile::Package.path())?.value;
    for requirement in require {
        check_name(&requirement.name)?;
        if let Some(constraint) = &requirement.constraint {
            Constraint::parse(constraint)
                .map_err(|error| AppError::from_error(ErrorKind::Input, &error, error.hint()))?;
        }
    }
    let names: Vec<&str> = require.iter().map(|it| it.name.as_str()).collect();
    let mut text = if names.is_empty() {
        without(text, &["require"])?
    } else {
        edit::set_texts(text, &["require"], &names)?
    };
    // A constraint that was written into the list went with its item.
    let written = Manifest::parse(&text, ManifestFile::Package.path())?
        .value
        .versions;
    for requirement in require {
        let name = requirement.name.as_str();
        let wanted = requirement
            .constraint
            .as_deref()
            .filter(|constraint| !matches!(constraint.trim(), "" | "*"));
        text = match wanted {
            Some(constraint) if written.get(name).map(Constraint::as_str) == Some(constraint) => {
                text
            }
            Some(constraint) => edit::set(&text, &["x-versions", name], &constraint.into())?,
            None => without(&text, &["x-versions", name])?,
        };
    }
    for name in before.versions.keys() {
        if !names.contains(&name.as_str()) {
            text = without(&text, &["x-versions", name])?;
        }
    }
    Manifest::parse(&text, ManifestFile::Package.path())?;
    Ok(text)
}

/// A path of the guest as one below a folder.
fn inside(folder: &Path, guest: &str) -> Result<PathBuf> {
    let relative = Path::new(guest.trim_start_matches('/'));
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !plain || relative.as_os_str().is_empty() {
        return Err(AppError::new(
            ErrorKind::Input,
            format!("`{guest}` is not a path of the guest"),
        ));
    }
    Ok(folder.join(relative))
}

fn add_file(folder: &Path, host: &Path, guest: &str) -> Result<()> {
    let place = inside(folder, guest)?;
    let beside = place.parent().unwrap_or(folder);
    std::fs::create_dir_all(beside).doing("create the folder", beside)?;
    // A link in the folder must not lead the copy out of it.
    let real = std::fs::canonicalize(beside).doing("find the folder", beside)?;
    let root = std::fs::canonicalize(folder).doing("find the folder", folder)?;
    if !real.starts_with(&root) {
        return Err(AppError::new(
            ErrorKind::Conflict,
            format!("`{}` leads out of the appliance's folder", beside.display()),
        ));
    }
    if place.symlink_metadata().is_ok() {
        return Err(AppError::new(
            ErrorKind::Conflict,
            format!("{guest} is in the appliance already"),
        ));
    }
    let growing = tempfile::Builder::new()
        .prefix(".windlass-")
        .tempfile_in(beside)
        .doing("write into the folder", beside)?;
    std::fs::copy(host, growing.path()).doing("copy the file", host)?;
    growing
        .as_file()
        .sync_all()
        .doing("write the file", &place)?;
    growing
        .persist_noclobber(&place)
        .map_err(|error| error.error)
        .doing("write the file", &place)?;
    Ok(())
}

fn leave_out(folder: &Path, path: &str) -> Result<()> {
    let place = inside(folder, path)?;
    if place.symlink_metadata().is_err() {
        return Err(AppError::new(
            ErrorKind::Conflict,
            format!("{path} comes from a package, not from the appliance's own folder"),
        )
        .hinted("Take the package out of the layers, or another version of it"));
    }
    let rules = folder.join(ignore::FILE);
    let mut text = match std::fs::read_to_string(&rules) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.doing("read", &rules)?,
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push('/');
    text.push_str(path.trim_start_matches('/'));
    text.push('\n');
    windlass_package::Ignore::parse(&text).map_err(windlass_package::Error::from)?;
    write_whole(&rules, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(name: &str, constraint: Option<&str>) -> Requirement {
        Requirement {
            name: name.to_owned(),
            constraint: constraint.map(str::to_owned),
        }
    }

    const TEXT: &str = "# my service\nname: app\ntitle: App # shown\nauthor: Jane\nrequire:\n  - node-20 # the runtime\n  - libs\nx-versions:\n  libs: ^1.2 # tried\n";

    #[test]
    fn layers_change_and_comments_stay() {
        let layers = [
            requirement("libs", Some("^1.2")),
            requirement("node-20", Some(">=20, <21")),
            requirement("tools", None),
        ];
        insta::assert_snapshot!(with_requirements(TEXT, &layers).unwrap(), @r#"
        # my service
        name: app
        title: App # shown
        author: Jane
        require:
          - libs
          - node-20 # the runtime
          - tools
        x-versions:
          libs: ^1.2 # tried
          node-20: ">=20, <21"
        "#);
        insta::assert_snapshot!(with_requirements(TEXT, &[]).unwrap(), @r"
        # my service
        name: app
        title: App # shown
        author: Jane
        ");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let error = with_requirements(TEXT, &[requirement("../x", None)]).unwrap_err();
        assert_eq!(error.message, "`../x` cannot be the name of a package");
        let error = with_requirements(TEXT, &[requirement("node", Some("newest"))]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Input);
        assert!(!error.hints.is_empty(), "{error:?}");
    }

    #[test]
    fn a_file_is_added_inside_the_folder_alone() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("host");
        std::fs::write(&host, "x").unwrap();
        let app = folder.path().join("app");
        std::fs::create_dir(&app).unwrap();
        add_file(&app, &host, "/usr/lib/libx.so").unwrap();
        assert!(app.join("usr/lib/libx.so").is_file());
        let again = add_file(&app, &host, "/usr/lib/libx.so").unwrap_err();
        assert_eq!(again.kind, ErrorKind::Conflict);
        assert!(add_file(&app, &host, "/../out").is_err());
        std::os::unix::fs::symlink(folder.path(), app.join("link")).unwrap();
        assert!(add_file(&app, &host, "/link/out").is_err());
        leave_out(&app, "/usr/lib/libx.so").unwrap();
        assert_eq!(
            std::fs::read_to_string(app.join(".capstanignore")).unwrap(),
            "/usr/lib/libx.so\n"
        );
    }
}
