//! Disk images and file systems, read and written without booting anything.
