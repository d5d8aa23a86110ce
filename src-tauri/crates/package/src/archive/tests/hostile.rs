//! Archives that no honest program would write: each is built, tried in every format that it can be
//! in, and has to be refused whole, with the entry and its offset.

use super::*;

type Zip = zip::ZipWriter<Cursor<Vec<u8>>>;

/// A tar as a stranger writes it.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mut tar = Builder::new(Vec::new());
        raw(&mut tar, kind, name, link, content);
        let bytes = tar.into_inner().unwrap();
        // Without the blocks that end an archive.
        self.0.extend_from_slice(&bytes[..bytes.len() - 1024]);
        self
    }

    fn file(self, name: &str) -> Self {
        self.entry(EntryType::Regular, name, "", b"content")
    }

    fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"")
    }

    fn special(self, kind: u8, name: &str) -> Self {
        self.entry(EntryType::new(kind), name, "", b"")
    }

    /// What GNU tar writes before an entry whose name is long: any name can be in it.
    fn long_name(self, name: &str) -> Self {
        self.entry(EntryType::GNULongName, "././@LongLink", "", name.as_bytes())
    }

    /// What other programs write there.
    fn attribute(self, key: &str, value: &str) -> Self {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len() + 2;
        while length.to_string().len() + rest.len() != length {
            length += 1;
        }
        self.entry(
            EntryType::XHeader,
            "pax",
            "",
            format!("{length}{rest}").as_bytes(),
        )
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

fn good() -> Tar {
    Tar::default().file("good")
}

/// The refusal of a tar in all its formats, which has to be the same in all.
fn refusal(tar: &[u8]) -> String {
    let told = attempt("evil.tar", tar);
    let others = [
        ("evil.tar.gz", gzip(tar)),
        ("evil.tar.zst", zstd(tar)),
        ("evil.tar.xz", xz(tar)),
    ];
    for (name, bytes) in others {
        assert_eq!(attempt(name, &bytes).replace(name, "evil.tar"), told);
    }
    // Of a package, the names may begin with a slash; nothing else is different.
    let package = attempt("evil.mpm", &gzip(tar)).replace("evil.mpm", "evil.tar");
    if !told.contains("names an absolute path") || told.contains("C:") {
        assert_eq!(package, told);
    }
    assert!(
        told.contains("was refused") && told.contains("at byte"),
        "{told}"
    );
    told
}

#[test]
fn hostile_tars_are_refused_whole_with_name_and_offset() {
    let deep = "d/".repeat(300);
    let long = "n".repeat(300);
    let table: Vec<(&str, Tar)> = vec![
        ("leaves the folder", good().file("../evil")),
        ("leaves it on a way round", good().file("a/../../evil")),
        (
            "leaves it in a long name",
            good().long_name(&format!("{deep}../evil")).file("x"),
        ),
        (
            "leaves it in an attribute",
            good().attribute("path", "../../evil").file("x"),
        ),
        ("absolute", good().file("/etc/cron.d/evil")),
        ("absolute on Windows", good().file("C:\\evil")),
        ("a link out", good().link("out", "../..")),
        ("a link out, deeper", good().link("a/b/out", "../../../etc")),
        (
            "a link out, in an attribute",
            good()
                .attribute("linkpath", "../../../etc")
                .link("out", "x"),
        ),
        (
            "through a link",
            good().link("etc", "/etc").file("etc/passwd"),
        ),
        (
            "through a link, as a folder",
            good().link("etc", "/etc").folder("etc/"),
        ),
        (
            "through a link to a link",
            good().link("a", "/etc").link("b", "a").file("b/passwd"),
        ),
        (
            "over a link",
            good().link("passwd", "/etc/passwd").file("passwd"),
        ),
        (
            "through a link, in capitals",
            good().link("etc", "/etc").file("ETC/passwd"),
        ),
        (
            "a link, in capitals of what is there",
            good().file("var/x").link("VAR", "/var"),
        ),
        (
            "a description, in capitals",
            good().file("meta/package.yaml").file("META/package.yaml"),
        ),
        ("a link for a description", good().link("meta", "/etc")),
        (
            "a link in a description",
            good().link("meta/run.yaml", "/etc/passwd"),
        ),
        ("a hard link out", good().hard_link("shadow", "/etc/shadow")),
        (
            "a hard link out, by name",
            good().hard_link("shadow", "../shadow"),
        ),
        (
            "a hard link to nothing",
            good().hard_link("shadow", "not-there"),
        ),
        (
            "a hard link to a link",
            good().link("s", "/etc/shadow").hard_link("shadow", "s"),
        ),
        (
            "a hard link through a link",
            good().link("etc", "/etc").hard_link("shadow", "etc/shadow"),
        ),
        (
            "a hard link to itself",
            good().hard_link("shadow", "shadow"),
        ),
        ("twice", good().file("good")),
        ("twice, written otherwise", good().file("./good")),
        ("a file for a folder", Tar::default().folder("d").file("d")),
        ("a folder for a file", good().file("good/below")),
        ("a character device", good().special(b'3', "null")),
        ("a block device", good().special(b'4', "disk")),
        ("a pipe", good().special(b'6', "pipe")),
        ("of no known kind", good().special(b'Z', "what")),
        ("without a name", good().file("")),
        ("a name too long", good().long_name(&long).file("x")),
        (
            "a path too deep",
            good().long_name(&format!("{deep}x")).file("x"),
        ),
    ];
    let mut told = String::new();
    for (what, tar) in table {
        writeln!(told, "# {what}\n{}", refusal(&tar.end())).unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn hostile_zips_are_refused_whole_with_name_and_offset() {
    let options = SimpleFileOptions::default;
    let zip = |fill: &dyn Fn(&mut Zip)| {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("good", options()).unwrap();
        zip.write_all(b"content").unwrap();
        fill(&mut zip);
        zip.finish().unwrap().into_inner()
    };
    let file = |name: &'static str| {
        zip(&|zip| {
            zip.start_file(name, options()).unwrap();
            zip.write_all(b"content").unwrap();
        })
    };
    let link = |name: &'static str, target: &'static str, file: &'static str| {
        zip(&|zip| {
            zip.add_symlink(name, target, options()).unwrap();
            if !file.is_empty() {
                zip.start_file(file, options()).unwrap();
            }
        })
    };
    let replaced = |mut bytes: Vec<u8>, old: &[u8], new: &[u8]| {
        let mut at = 0;
        while let Some(found) = bytes[at..]
            .windows(old.len())
            .position(|window| window == old)
        {
            at += found;
            bytes[at..at + new.len()].copy_from_slice(new);
        }
        bytes
    };
    // The writer makes no devices and no second entry of a name; a stranger's does.
    let mode = |mode: u32| {
        let bytes = zip(&|zip| {
            zip.start_file("device", options().unix_permissions(0o777))
                .unwrap();
        });
        let at = bytes
            .windows(4)
            .rposition(|window| window == b"PK\x01\x02")
            .unwrap();
        let mut bytes = bytes;
        bytes[at + 38..at + 42].copy_from_slice(&(mode << 16).to_le_bytes());
        bytes
    };
    let stored = |size: usize| {
        zip(&|zip| {
            zip.start_file(
                "zeros",
                options().compression_method(zip::CompressionMethod::Deflated),
            )
            .unwrap();
            zip.write_all(&vec![0; size]).unwrap();
        })
    };
    // An end that says ten million entries, before one that says two.
    let mut two_ends = file("second");
    let end = two_ends
        .windows(4)
        .rposition(|window| window == b"PK\x05\x06")
        .unwrap();
    let mut large = b"PK\x06\x06".to_vec();
    large.resize(56, 0);
    large[32..40].copy_from_slice(&10_000_000_u64.to_le_bytes());
    two_ends.splice(end..end, large);
    let cut = file("second");
    let cut = cut[..cut.len() - 30].to_vec();
    let table: Vec<(&str, Vec<u8>)> = vec![
        ("leaves the folder", file("../evil")),
        ("leaves it as on Windows", file("..\\evil")),
        ("absolute", file("/etc/evil")),
        ("absolute on Windows", file("C:\\evil")),
        ("a link out", link("out", "../..", "")),
        ("through a link", link("etc", "/etc", "etc/passwd")),
        (
            "through a link, in capitals",
            link("etc", "/etc", "ETC/passwd"),
        ),
        ("a link for a description", link("meta", "/etc", "")),
        ("twice", replaced(file("goof"), b"goof", b"good")),
        ("a character device", mode(0o020_666)),
        ("a pipe", mode(0o010_666)),
        ("a bomb", stored(90 << 20)),
        ("ten million entries", two_ends),
        ("cut off", cut),
    ];
    let mut told = String::new();
    for (what, bytes) in table {
        writeln!(told, "# {what}\n{}", attempt("evil.zip", &bytes)).unwrap();
    }
    insta::assert_snapshot!(told);
}

#[test]
fn damaged_and_endless_archives_are_refused() {
    let tar = good().file("second").end();
    let packed = gzip(&tar);
    let mut many = Tar::default();
    for at in 0..20 {
        many = many.entry(EntryType::Regular, &at.to_string(), "", b"");
    }
    let many = many.end();
    let bomb = Tar::default()
        .entry(EntryType::Regular, "zeros", "", &vec![0; 80 << 20])
        .end();
    // A name of which a program would take all into memory, and an end that does not come.
    let long_name = Tar::default()
        .long_name(&"x".repeat(16 << 20))
        .file("a")
        .end();
    let mut tail = tar.clone();
    tail.resize(80 << 20, 0);
    let limits = Limits {
        entries: 10,
        size_bytes: 1 << 20,
        ..Limits::default()
    };
    let mut wrong_sum = packed.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    // One that asks for a gigabyte of memory: the size of its dictionary is in the block's header, before its sum.
    let mut greedy = xz(&tar);
    assert_eq!(greedy[14..16], [0x21, 1], "the filter LZMA2");
    greedy[16] = 36;
    let mut sum = flate2::Crc::new();
    sum.update(&greedy[12..20]);
    greedy[20..24].copy_from_slice(&sum.sum().to_le_bytes());
    let mut wrong_xz = xz(&tar);
    let at = wrong_xz.len() - 28;
    wrong_xz[at] ^= 1;
    let told = [
        attempt("cut.tgz", &packed[..packed.len() - 9]),
        attempt("sum.tgz", &wrong_sum),
        attempt("cut.tar.zst", &zstd(&tar)[..60]),
        attempt("cut.tar.xz", &xz(&tar)[..100]),
        attempt("wrong.tar.xz", &wrong_xz),
        attempt("greedy.tar.xz", &greedy),
        attempt("cut-header.tar", &tar[..1024 + 300]),
        attempt("cut-content.tar", &tar[..1024 + 512 + 3]),
        attempt("cut.mpm", &tar[..600]),
        attempt("not.zip", b"PK, or so it says"),
        attempt("not.tar", b"no archive at all"),
        attempt("empty.tar", b""),
        attempt_within("many.tar", &many, &limits),
        attempt_within(
            "many.zip",
            &zip_of(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]),
            &limits,
        ),
        attempt_within("large.tgz", &gzip(&bomb), &limits),
        attempt("bomb.tgz", &gzip(&bomb)),
        attempt("bomb.tar.zst", &zstd(&bomb)),
        attempt("bomb.tar.xz", &xz(&bomb)),
        attempt("name.tar", &long_name),
        attempt("name.tgz", &gzip(&long_name)),
        attempt("tail.tgz", &gzip(&tail)),
    ]
    .join("---\n");
    insta::assert_snapshot!(told);
}

/// A file of some megabytes that says ten million times that there is a folder. What is kept of it is
/// bounded by the limit on entries, what is read as well.
#[test]
fn slow_ten_million_entries_are_refused_at_the_limit() {
    let mut part = Tar::default();
    for _ in 0..2000 {
        part = part.folder("d/");
    }
    // Gzip members that follow each other are one stream.
    let bytes = gzip(&part.0).repeat(5000);
    insta::assert_snapshot!(attempt("many.mpm", &bytes));
}
