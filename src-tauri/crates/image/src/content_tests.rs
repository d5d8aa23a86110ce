use std::fs;
use std::io::Cursor;
use std::sync::Arc;

use super::*;
use crate::Unwatched;

fn guest_path(text: &str) -> GuestPath {
    GuestPath::new(text).unwrap()
}

fn copied(pieces: &[Piece], size: u64) -> Result<Vec<u8>, Error> {
    let mut stream = Cursor::new(Vec::new());
    let mut output = Output::new(&mut stream)?;
    copy(pieces.iter().cloned(), &mut output, &mut Unwatched)?;
    output.finish(size)?;
    Ok(stream.into_inner())
}

fn whole(path: &GuestPath, source: &Source, size: u64, at: u64) -> Piece {
    Piece {
        path: path.clone(),
        source: source.clone(),
        file_bytes: size,
        from: 0,
        length: size,
        at,
        padding: 0,
    }
}

#[test]
fn pieces_of_every_size_land_where_they_belong() {
    let path = guest_path("x");
    let lengths = [
        1,
        511,
        4096,
        100_000,
        BATCH_BYTES - 1,
        BATCH_BYTES,
        3 * BATCH_BYTES + 17,
        5,
    ];
    let gaps = [0, 1, GAP_BYTES, GAP_BYTES + 1, 200_000, 0, 511, 3];
    let sources: Vec<Source> = (1_u8..)
        .zip(lengths)
        .map(|(fill, length)| {
            Source::Bytes(Arc::from(vec![fill; usize::try_from(length).unwrap()]))
        })
        .collect();
    let mut expected = Vec::new();
    let mut pieces = Vec::new();
    for ((source, length), gap) in sources.iter().zip(lengths).zip(gaps) {
        expected.resize(expected.len() + usize::try_from(gap).unwrap(), 0);
        pieces.push(whole(&path, source, length, expected.len() as u64));
        let Source::Bytes(bytes) = source else {
            unreachable!()
        };
        expected.extend_from_slice(bytes);
    }
    assert!(copied(&pieces, expected.len() as u64).unwrap() == expected);
}

#[test]
fn a_file_of_another_size_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, b"12345").unwrap();
    let source = Source::Path(file.clone());
    let path = guest_path("data");
    let words = |size: u64| {
        let error = copied(&[whole(&path, &source, size, 0)], 512).unwrap_err();
        error
            .to_string()
            .replace(&folder.path().display().to_string(), "FOLDER")
    };
    insta::assert_snapshot!([words(4), words(6), words(0)].join("\n"), @"
    FOLDER/data changed while the image was written: 4 bytes were expected, there are more
    FOLDER/data changed while the image was written: 6 bytes were expected, only 5 are there
    FOLDER/data changed while the image was written: 0 bytes were expected, there are more
    ");
    assert!(copied(&[whole(&path, &source, 5, 0)], 512).is_ok());
}

#[test]
fn a_file_that_vanished_or_is_none_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = guest_path("data");
    let vanished = Source::Path(folder.path().join("gone"));
    let error = copied(&[whole(&path, &vanished, 0, 0)], 512).unwrap_err();
    assert!(matches!(&error, Error::Source { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("build again"));
    let directory = Source::Path(folder.path().to_owned());
    let error = copied(&[whole(&path, &directory, 5, 0)], 512).unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error:?}");
}

#[test]
fn a_failure_among_many_files_ends_the_copying() {
    let folder = tempfile::tempdir().unwrap();
    let path = guest_path("data");
    let sources: Vec<Source> = (0..3000)
        .map(|number| {
            let file = folder.path().join(number.to_string());
            if number != 1777 {
                fs::write(&file, b"x").unwrap();
            }
            Source::Path(file)
        })
        .collect();
    let pieces: Vec<Piece> = sources
        .iter()
        .zip(0..)
        .map(|(source, n)| whole(&path, source, 1, n * 512))
        .collect();
    let error = copied(&pieces, 512 * 3000).unwrap_err();
    assert!(
        matches!(&error, Error::Source { path, .. } if path.ends_with("1777")),
        "{error:?}"
    );
}

#[test]
fn a_watch_sees_every_byte_and_can_stop() {
    let path = guest_path("x");
    let source = Source::Bytes(Arc::from(vec![1; 5 << 20]));
    let pieces: Vec<Piece> = (0..4)
        .map(|n| whole(&path, &source, 5 << 20, n * (5 << 20)))
        .collect();
    let mut stream = Cursor::new(Vec::new());
    let mut output = Output::new(&mut stream).unwrap();
    let mut seen = 0;
    let mut count = |bytes: u64| {
        seen += bytes;
        ControlFlow::Continue(())
    };
    copy(pieces.iter().cloned(), &mut output, &mut count).unwrap();
    assert_eq!(seen, 20 << 20);

    let mut calls = 0;
    let mut stop = |_: u64| {
        calls += 1;
        if calls == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let error = copy(pieces.iter().cloned(), &mut output, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled));
    assert_eq!(calls, 3);
}

#[test]
fn holes_come_out_as_zeros_and_their_length_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sparse");
    let mut expected = vec![0; 9 << 20];
    expected[5 << 20] = 1;
    let disk = File::create(&file).unwrap();
    disk.set_len(9 << 20).unwrap();
    (&disk).seek(SeekFrom::Start(5 << 20)).unwrap();
    (&disk).write_all(&[1]).unwrap();
    let source = Source::Path(file);
    let path = guest_path("sparse");
    assert!(copied(&[whole(&path, &source, 9 << 20, 0)], 9 << 20).unwrap() == expected);
    for size in [8 << 20, (9 << 20) - 1, (9 << 20) + 1, 11 << 20] {
        let error = copied(&[whole(&path, &source, size, 0)], size).unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{size}: {error:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_does_not_hold_us_up() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let source = Source::Path(pipe);
    let path = guest_path("pipe");
    let error = copied(&[whole(&path, &source, 5, 0)], 512).unwrap_err();
    assert!(
        matches!(error, Error::Changed { .. } | Error::Source { .. }),
        "{error:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let source = Source::Bytes(Arc::from(*b"12345"));
    let path = guest_path("data");
    let mut output = Output::new(&mut full).unwrap();
    let pieces = [whole(&path, &source, 5, 0)];
    let error = copy(pieces.into_iter(), &mut output, &mut Unwatched).unwrap_err();
    insta::assert_snapshot!(
        format!("{error}\n  hint: {}", error.hint().unwrap()), @"
    the image cannot be written at byte 0
      hint: free some space on the disk, or build to another one
    ");
}
