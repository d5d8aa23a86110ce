//! The initramfs of one start of a Linux guest: the library's, and behind it a second archive with what this
//! machine runs. The kernel unpacks one archive after the other into the same tree.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use cpio::NewcBuilder;

use crate::error::{Error, Result};
use crate::record::beside;

/// Where the guest's init looks for what it shall run.
pub(crate) const COMMAND_LINE_PATH: &str = "windlass/command-line";

/// An archive member begins at a multiple of this.
const ALIGNMENT_BYTES: u64 = 4;

/// Writes `initrd` and the archive that holds `command_line` to `path`.
pub(crate) fn write(path: &Path, initrd: &Path, command_line: &str) -> Result<()> {
    let archive = command_line_archive(command_line).map_err(Error::io("write", path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = beside(folder).map_err(Error::io("write in", folder))?;
    let mut source = File::open(initrd).map_err(Error::io("open", initrd))?;
    // Shares the blocks, or copies inside the kernel, where the file system can.
    let length = io::copy(&mut source, file.as_file_mut()).map_err(Error::io("copy", initrd))?;
    let padding = length.next_multiple_of(ALIGNMENT_BYTES) - length;
    file.write_all(&[0; 4][..usize::try_from(padding).unwrap_or_default()])
        .and_then(|()| file.write_all(&archive))
        .map_err(Error::io("write", path))?;
    // Only this start needs it: no fsync.
    file.persist(path)
        .map_err(|error| Error::io("write", path)(error.error))?;
    Ok(())
}

fn command_line_archive(command_line: &str) -> io::Result<Vec<u8>> {
    let mut archive = Vec::new();
    let directory = NewcBuilder::new("windlass").ino(1).nlink(2).mode(0o040_755);
    directory.write(&mut archive, 0).finish()?;
    let length = u32::try_from(command_line.len()).map_err(io::Error::other)?;
    let file = NewcBuilder::new(COMMAND_LINE_PATH)
        .ino(2)
        .nlink(1)
        .mode(0o100_644);
    let mut member = file.write(&mut archive, length);
    member.write_all(command_line.as_bytes())?;
    member.finish()?;
    cpio::newc::trailer(&mut archive)?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_command_line_rides_behind_the_initramfs() {
        let folder = tempfile::tempdir().unwrap();
        let initrd = folder.path().join("initrd");
        std::fs::write(&initrd, b"first").unwrap();
        let path = folder.path().join("initramfs");
        write(&path, &initrd, "/usr/bin/node /app.js").unwrap();

        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[..8], *b"first\0\0\0");
        let mut input = &bytes[8..];
        let mut members = Vec::new();
        loop {
            let mut reader = cpio::NewcReader::new(input).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let name = reader.entry().name().to_owned();
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            members.push((name, text));
            input = reader.finish().unwrap();
        }
        insta::assert_debug_snapshot!(members, @r#"
    [
        (
            "windlass",
            "",
        ),
        (
            "windlass/command-line",
            "/usr/bin/node /app.js",
        ),
    ]
    "#);
    }
}
