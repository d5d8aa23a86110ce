//! A guest reads back every byte of an image that was updated again and again: `sha256sum` checks in it what this computer's
//! folder has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use windlass_package::pack::{self, PackOptions, PackSource};
use windlass_workshop::Workshop;
use windlass_workshop::guests::{GuestOs, RootFs};

use crate::osv::with_osv;
use crate::place::{Place, console, ended, finish, run};

/// Numbers that are the same in each run (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }

    fn bytes(&mut self) -> Vec<u8> {
        // Empty, small, some blocks, and some that are mostly a hole.
        let length = [0, 1, 511, 4096, 4097, 70_000, 300_000][self.below(7)];
        let mut bytes = vec![0; length];
        if self.below(4) > 0 {
            bytes.fill_with(|| u8::try_from(self.below(256)).unwrap());
        }
        bytes
    }
}

/// A folder of data that changes, and what was ever in it.
struct Data {
    root: PathBuf,
    chance: Chance,
    /// Whether each path is there still.
    paths: BTreeMap<String, bool>,
}

impl Data {
    fn new(root: PathBuf) -> Self {
        let (chance, paths) = (Chance(0x5eed_0001), BTreeMap::new());
        Self {
            root,
            chance,
            paths,
        }
    }

    fn add(&mut self) {
        let (folder, name) = (self.chance.below(7), self.chance.below(10_000));
        let path = format!("data/d{folder}/e{}/file {name}", self.chance.below(3));
        self.write(&path);
    }

    fn write(&mut self, path: &str) {
        let at = self.root.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, self.chance.bytes()).unwrap();
        self.paths.insert(path.to_owned(), true);
    }

    fn one(&mut self) -> String {
        let there: Vec<_> = self
            .paths
            .iter()
            .filter(|(_, is_there)| **is_there)
            .collect();
        let index = self.chance.below(there.len());
        there[index].0.clone()
    }

    fn remove(&mut self) {
        let path = self.one();
        fs::remove_file(self.root.join(&path)).unwrap();
        self.paths.insert(path, false);
    }

    fn rename(&mut self) {
        let from = self.one();
        let to = format!("{from} moved");
        fs::rename(self.root.join(&from), self.root.join(&to)).unwrap();
        self.paths.insert(from, false);
        self.paths.insert(to, true);
    }

    fn edit(&mut self) {
        for _ in 0..3 {
            self.add();
            self.remove();
            self.rename();
            let path = self.one();
            self.write(&path);
        }
    }

    /// Writes the list that the guest goes by: what is there with its digest, and what must not be.
    fn write_list(&self) {
        let mut list = String::new();
        for (path, is_there) in &self.paths {
            let bytes = if *is_there {
                fs::read(self.root.join(path)).unwrap()
            } else {
                Vec::new()
            };
            for byte in Sha256::digest(bytes) {
                write!(list, "{byte:02x}").unwrap();
            }
            writeln!(list, "  /{path}").unwrap();
        }
        fs::write(self.root.join("list"), list).unwrap();
    }

    /// What the guest's `sha256sum` has to say.
    fn expected(&self) -> Vec<String> {
        let lines = self.paths.iter().map(|(path, is_there)| {
            let word = if *is_there {
                "OK"
            } else {
                "FAILED open or read"
            };
            format!("/{path}: {word}")
        });
        lines.collect()
    }
}

fn pack_sha256sum(folder: &Path, guest: GuestOs) {
    let options = PackOptions::new(match guest {
        GuestOs::Osv => windlass_guest::GuestOs::Osv,
        GuestOs::Linux => windlass_guest::GuestOs::Linux,
    });
    let source = PackSource::Program("/usr/bin/sha256sum".into());
    let plan = pack::plan(&source, &options, &mut ()).unwrap();
    pack::make(&plan, folder, &mut ()).unwrap();
    let run_yaml = folder.join("meta/run.yaml");
    let text = fs::read_to_string(&run_yaml).unwrap();
    let text = text.replace("/sha256sum", "/sha256sum -c /list");
    fs::write(run_yaml, text).unwrap();
}

async fn reads_back(place: &Place, workshop: &Arc<Workshop>, guest: GuestOs, root_fs: RootFs) {
    let folder = place.path("checked");
    pack_sha256sum(&folder, guest);
    let appliance = workshop.add_appliance(&folder, None).await.unwrap();
    let mut settings = workshop.run_form(&appliance.id).unwrap().settings;
    (settings.guest, settings.root_fs) = (guest, root_fs);
    workshop.save_settings(&appliance.id, settings).unwrap();

    let mut data = Data::new(folder);
    (0..120).for_each(|_| data.add());
    for _ in 0..4 {
        data.edit();
        data.write_list();
        let job = workshop.start_build(&appliance.id).unwrap();
        finish(workshop, &job).await.unwrap();
    }
    let id = run(workshop, &appliance.id).await;
    let machine = ended(workshop, &id).await;
    let said = console(workshop, &id).await;
    // The list has files that must be missing: `sha256sum` ends with 1 for them.
    assert_eq!(machine.exit_status, Some(1), "{said}");
    let checked = said.lines().filter(|line| line.starts_with("/data/"));
    assert_eq!(checked.collect::<Vec<_>>(), data.expected(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_linux_reads_back_what_was_updated() {
    let (place, workshop) = Place::with_linux().await;
    reads_back(&place, &workshop, GuestOs::Linux, RootFs::Ext4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_osv_reads_back_rofs_that_was_updated() {
    if let Some((place, workshop)) = with_osv(&["WINDLASS_OSV_LOADER", "WINDLASS_OSV_KERNEL"]).await
    {
        reads_back(&place, &workshop, GuestOs::Osv, RootFs::Rofs).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_osv_reads_back_ext4_that_was_updated() {
    let both = ["WINDLASS_OSV_EXT_LOADER", "WINDLASS_OSV_EXT_KERNEL"];
    if let Some((place, workshop)) = with_osv(&both).await {
        reads_back(&place, &workshop, GuestOs::Osv, RootFs::Ext4).await;
    }
}
