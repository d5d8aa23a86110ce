use super::*;

fn stamp() -> Stamp {
    Stamp {
        size_bytes: 3,
        device: 1,
        inode: 2,
        modified_ns: -5,
        changed_ns: 7,
    }
}

fn file(content: &[u8], stamp: Option<Stamp>) -> What {
    What::File {
        mode: 0o644,
        size_bytes: 3,
        digest: blake3::hash(content),
        stamp,
    }
}

fn entries() -> Vec<Changed> {
    let target = b"a/b".to_vec();
    let whats = [
        ("a", What::Directory { mode: 0o755 }),
        ("a/b", file(b"abc", Some(stamp()))),
        ("a/c", file(b"abd", None)),
        ("z", What::Symlink { target }),
    ];
    let changed = |(path, what)| Changed {
        path: GuestPath::new(path).unwrap(),
        layer: Some(1),
        what: Some(what),
    };
    whats.map(changed).to_vec()
}

fn head() -> Head {
    Head {
        guest: "osv".to_owned(),
        root_fs: "rofs".to_owned(),
        size_bytes: None,
        given_bytes: Some(7),
        loader: Some("digest".to_owned()),
        command_line: "/hello".to_owned(),
        layers: vec!["base".to_owned(), "service".to_owned()],
        image: ImageStamp {
            size_bytes: 1 << 21,
            device: 2,
            inode: 3,
            modified_ns: 4,
        },
    }
}

fn parts(fill: u8) -> Vec<Subtree> {
    vec![[fill; 32], [fill + 1; 32]]
}

fn whole(entries: &[Changed]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RecordWriter::new(&mut bytes, &head()).unwrap();
    for entry in entries {
        let path = entry.path.as_bytes();
        writer.put(path, entry.layer, entry.what.as_ref()).unwrap();
    }
    writer.finish(&parts(1)).unwrap();
    bytes
}

fn all(record: &Record) -> io::Result<Vec<Changed>> {
    let mut cursor = record.cursor()?;
    let mut found = Vec::new();
    while cursor.advance()? {
        found.push(Changed {
            path: GuestPath::new(cursor.path()).map_err(io::Error::other)?,
            layer: cursor.layer(),
            what: cursor.what().cloned(),
        });
    }
    Ok(found)
}

#[test]
fn a_record_reads_back_and_a_damaged_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    let read = |bytes: &[u8]| -> io::Result<_> {
        std::fs::write(&path, bytes)?;
        let record = Record::open_at(&path)?;
        Ok((all(&record)?, record.head, record.parts))
    };
    let bytes = whole(&entries());
    assert_eq!(read(&bytes).unwrap(), (entries(), head(), parts(1)));
    for at in 0..bytes.len() {
        read(&bytes[..at]).unwrap_err();
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        read(&damaged).unwrap_err();
    }
}

#[test]
fn what_changed_lies_over_the_record_it_belongs_to() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::write(record_path(&image), whole(&entries())).unwrap();
    let record = Record::beside(&image).unwrap();
    let path = |text: &str| GuestPath::new(text).unwrap();
    let change = |at: &str, what| Changed {
        path: path(at),
        layer: Some(0),
        what,
    };
    let changes = [
        change("a/a", Some(file(b"new", None))),
        change("a/b", Some(file(b"two", None))),
        change("a/c", None),
        change("zz", Some(What::Directory { mode: 0o700 })),
    ];
    let mut bytes = Vec::new();
    let mut new_head = head();
    new_head.command_line = "/other".to_owned();
    record
        .write_changes(&mut bytes, &new_head, &parts(5), &changes)
        .unwrap();
    std::fs::write(changes_path(&image), &bytes).unwrap();

    let updated = Record::beside(&image).unwrap();
    assert_eq!(updated.head, new_head);
    assert_eq!(updated.parts, parts(5));
    let expected = [
        entries()[0].clone(),
        changes[0].clone(),
        changes[1].clone(),
        entries()[3].clone(),
        changes[3].clone(),
    ];
    assert_eq!(all(&updated).unwrap(), expected);

    // Written as a whole it says the same, also with what changes now.
    let more = [change("a/b", None), change("m", Some(file(b"m", None)))];
    let mut anew = Vec::new();
    updated
        .write_whole(&mut anew, &new_head, &parts(7), &more)
        .unwrap();
    let other = folder.path().join("other");
    std::fs::write(&other, &anew).unwrap();
    let expected = [
        entries()[0].clone(),
        changes[0].clone(),
        more[1].clone(),
        entries()[3].clone(),
        changes[3].clone(),
    ];
    assert_eq!(all(&Record::open_at(&other).unwrap()).unwrap(), expected);

    // Four entries are so few that the record is always written anew.
    assert_eq!(updated.changes_with(&more), None);

    // Damaged changes, and those of another record, are none.
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        std::fs::write(changes_path(&image), &damaged).unwrap();
        assert_eq!(Record::beside(&image).unwrap().head, head());
    }
    std::fs::write(changes_path(&image), &bytes).unwrap();
    std::fs::write(record_path(&image), whole(&entries()[1..])).unwrap();
    assert_eq!(Record::beside(&image).unwrap().head, head());
}

#[test]
fn changes_add_up_until_they_are_many() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let at = |number: u32| GuestPath::new(format!("f{number:04}")).unwrap();
    let entry = |number: u32, content: &[u8]| Changed {
        path: at(number),
        layer: None,
        what: Some(file(content, None)),
    };
    let old: Vec<Changed> = (0..512).map(|number| entry(number, b"old")).collect();
    std::fs::write(record_path(&image), whole(&old)).unwrap();
    let mut record = Record::beside(&image).unwrap();
    record.changes = vec![entry(3, b"one"), entry(9, b"two")];
    let new = [entry(2, b"three"), entry(9, b"four")];
    let together = [entry(2, b"three"), entry(3, b"one"), entry(9, b"four")];
    assert_eq!(record.changes_with(&new).unwrap(), together);
    let many: Vec<Changed> = (100..131).map(|number| entry(number, b"new")).collect();
    assert_eq!(record.changes_with(&many), None);
}
