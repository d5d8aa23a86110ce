//! Runs on OSv: it ends with its first program, so that a run has a machine for each step, one after the other, on the same
//! disk.

use std::path::Path;

use windlass_guest::command_line::Command;
use windlass_image::{GuestPath, Image};

use crate::error::{AppError, ErrorKind, Result};
use crate::guests::RootFs;

/// Where OSv finds the case of a run: on a root that is only read, it can make a folder to mount it at in `/tmp` alone.
pub(super) const CASE: &str = "/tmp/case";
/// The library by which OSv mounts ext4.
const EXT4: &str = "/usr/lib/fs/libext.so";

/// Refuses an image in which OSv could not mount the disk of a run.
pub(super) fn check(image: &Path, root_fs: RootFs) -> Result<()> {
    if root_fs == RootFs::Ext4 {
        let message = "OSv mounts one ext4 file system at a time, and the case would be the second";
        return Err(AppError::new(ErrorKind::Input, message)
            .hinted("Choose ROFS as the file system of the appliance's root"));
    }
    let image = Image::open(image)?;
    if image.root()?.find(&GuestPath::new(EXT4)?).is_err() {
        let message =
            format!("The image has no {EXT4}, by which OSv mounts the disk with the case");
        return Err(AppError::new(ErrorKind::Input, message)
            .hinted("Add a package that has it, with usr/lib/liblwext4.so beside it: OSv's build makes both")
            .hinted("Or run the study on Linux"));
    }
    Ok(())
}

/// The program of one of the machines that a run has. OpenFOAM is told where its case is: it asks the system where it
/// is itself, and takes OSv's answer for the root.
pub(super) fn commands(all: Vec<Command>, boot: usize, is_openfoam: bool) -> Vec<Command> {
    let mut commands: Vec<Command> = all.into_iter().skip(boot).take(1).collect();
    for command in &mut commands {
        if is_openfoam && !command.words.iter().any(|word| word == "-case") {
            command.words.extend(["-case".into(), CASE.into()]);
        }
    }
    commands
}
