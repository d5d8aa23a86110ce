//! Clouds that other tools know, taken over; and ours, written for them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use windlass_cloud::profile::{
    Imported, read_environment, read_folder, write_clouds, write_secure,
};

use super::{Cloud, CloudImported, store};
use crate::Workshop;
use crate::error::{AppError, ErrorKind, IoContext, Result};
use crate::events::Event;

impl Workshop {
    /// What a `clouds.yaml` or `openrc.sh` has, without taking it over.
    ///
    /// # Errors
    /// `Input` when it is no such file.
    pub async fn look_at_clouds(&self, path: &Path) -> Result<Vec<CloudImported>> {
        let path = path.to_path_buf();
        let found = crate::blocking(move || read_folder(&path)).await??;
        self.show_imported(&found)
    }

    fn show_imported(&self, found: &[Imported]) -> Result<Vec<CloudImported>> {
        let there = store::list(&self.database)?;
        Ok(found
            .iter()
            .map(|it| CloudImported {
                name: it.profile.name.clone(),
                auth_url: it.profile.auth_url.clone(),
                auth: it.profile.auth_type.into(),
                user: it.profile.who().to_owned(),
                project: it.profile.project().map(str::to_owned),
                has_secret: !it.secrets.is_empty(),
                replaces: there
                    .iter()
                    .any(|known| known.profile.name.eq_ignore_ascii_case(&it.profile.name)),
            })
            .collect())
    }

    /// Takes over clouds of a `clouds.yaml` (with `secure.yaml` and `clouds-public.yaml` beside it) or of an `openrc.sh`; all of
    /// them where none is named. One of the same name is replaced.
    ///
    /// # Errors
    /// `Input` when it is no such file, `NotFound` for a name that is not in it; when the secret store is locked.
    pub async fn import_clouds(&self, path: &Path, names: &[String]) -> Result<Vec<Cloud>> {
        let path = path.to_path_buf();
        let found = crate::blocking(move || read_folder(&path)).await??;
        if let Some(missing) = names
            .iter()
            .find(|name| !found.iter().any(|it| it.profile.name == **name))
        {
            return Err(AppError::not_found("cloud", missing).hinted("The file has others"));
        }
        let wanted = found
            .into_iter()
            .filter(|it| names.is_empty() || names.contains(&it.profile.name));
        self.take_over(wanted.collect()).await
    }

    /// Takes over the cloud that `OS_*` variables name.
    ///
    /// # Errors
    /// `NotFound` where they name none.
    pub async fn import_cloud_environment(&self) -> Result<Vec<Cloud>> {
        let Some(found) = read_environment(std::env::vars())? else {
            return Err(AppError::new(ErrorKind::NotFound, "No OS_AUTH_URL is set")
                .hinted("Source an openrc.sh first, or name its file"));
        };
        self.take_over(vec![found]).await
    }

    /// Takes over the cloud that variables like `OS_AUTH_URL` name, from wherever they come.
    ///
    /// # Errors
    /// `NotFound` where they name none.
    pub async fn import_cloud_words(&self, words: Vec<(String, String)>) -> Result<Vec<Cloud>> {
        let Some(found) = read_environment(words)? else {
            return Err(
                AppError::new(ErrorKind::NotFound, "It is not said which cloud is meant")
                    .hinted("Name one with --cloud, or set OS_AUTH_URL and what goes with it"),
            );
        };
        self.take_over(vec![found]).await
    }

    async fn take_over(&self, found: Vec<Imported>) -> Result<Vec<Cloud>> {
        let mut clouds = Vec::new();
        for Imported { profile, secrets } in found {
            let there = store::list(&self.database)?;
            let known = there
                .iter()
                .find(|it| it.profile.name.eq_ignore_ascii_case(&profile.name));
            let id = match known {
                Some(known) => known.id,
                None => store::insert(&self.database, &profile)?,
            };
            if let Err(error) = self.keep_cloud_secrets(id, Some(secrets)).await {
                if known.is_none() {
                    store::remove(&self.database, id)?;
                }
                return Err(error);
            }
            store::update(&self.database, id, &profile)?;
            self.cloud_sessions.lock().remove(&id);
            clouds.push(Cloud::of(store::get(&self.database, id)?));
        }
        self.events.send(Event::CloudsChanged);
        Ok(clouds)
    }

    /// Writes clouds as a `clouds.yaml` for other tools; with `secrets`, what they are logged in to with into a `secure.yaml`
    /// beside it that only its owner may read. Files that are there are not replaced.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when a file is there; when it cannot be written, or the secret store is locked.
    pub async fn export_clouds(&self, ids: &[u32], path: &Path, secrets: bool) -> Result<()> {
        let mut records = store::list(&self.database)?;
        if !ids.is_empty() {
            for id in ids {
                store::get(&self.database, *id)?;
            }
            records.retain(|it| ids.contains(&it.id));
        }
        let profiles: Vec<_> = records.iter().map(|it| &it.profile).collect();
        let text = write_clouds(&profiles)?;
        if secrets {
            let mut kept = Vec::new();
            for record in &records {
                kept.push((
                    record.profile.name.as_str(),
                    self.cloud_secrets(record).await?,
                ));
            }
            let kept: Vec<_> = kept.iter().map(|(name, it)| (*name, it)).collect();
            write_new(&path.with_file_name("secure.yaml"), &write_secure(&kept)?)?;
        }
        write_new(path, &text)
    }
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    if path.exists() {
        return Err(AppError::new(
            ErrorKind::Conflict,
            format!("`{}` is there already", path.display()),
        )
        .hinted("Choose another folder, or move it away"));
    }
    let folder = path
        .parent()
        .filter(|it| !it.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new()
        .prefix(".clouds-")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)
        .doing("write", path)?;
    beside.write_all(text.as_bytes()).doing("write", path)?;
    beside.as_file().sync_all().doing("write", path)?;
    beside
        .persist_noclobber(path)
        .map_err(|it| it.error)
        .doing("write", path)?;
    Ok(())
}
