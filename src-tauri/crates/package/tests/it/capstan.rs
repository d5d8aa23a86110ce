//! Capstan's formats, field by field: what it writes or means, and what is made of that here.
//!
//! The snapshot is the table, its right side computed. `capstan_commands.md` beside it is that of the
//! commands.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use windlass_guest::GuestOs;
use windlass_package::archive::{Limits, unpack, write_mpm};
use windlass_package::index::ImageIndex;
use windlass_package::resolve::{Candidate, solve};
use windlass_package::{
    BuildSettings, Error, Ignore, Manifest, Package, Requirement, RunFile, boot, capstan_home,
    version,
};

const WHO: &str = "name: app\ntitle: App\nauthor: Jane\n";

/// The table as it grows.
struct Table(String);

impl Table {
    fn section(&mut self, title: &str) {
        writeln!(self.0, "\n## {title}\n").unwrap();
    }

    /// What Capstan has; what it writes; what comes of that here.
    fn row(&mut self, what: &str, written: &str, here: impl AsRef<str>) {
        writeln!(self.0, "- {what}").unwrap();
        for line in written.trim_end().lines() {
            writeln!(self.0, "      {line}").unwrap();
        }
        for line in here.as_ref().trim_end().lines() {
            writeln!(self.0, "    => {line}").unwrap();
        }
    }
}

/// The first line of an error, and what to do.
fn told(error: &Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    error.hint().map_or_else(
        || format!("refused: {first}"),
        |hint| format!("refused: {first}\n{hint}"),
    )
}

/// What a manifest says, as it is written again, which has to say the same.
fn manifest(text: &str) -> String {
    match Manifest::parse(text, "meta/package.yaml") {
        Ok(parsed) => {
            let again = parsed.value.to_yaml().unwrap();
            assert_eq!(Manifest::parse(&again, "x").unwrap().value, parsed.value);
            let notes: Vec<String> = parsed
                .notes
                .iter()
                .map(|note| format!("{note}\n"))
                .collect();
            let notes = notes.concat();
            again.replace(WHO, "") + &notes
        }
        Err(error) => told(&error),
    }
}

fn run_file(text: &str) -> String {
    match RunFile::parse(text, "meta/run.yaml") {
        Ok(parsed) => {
            let again = parsed.value.to_yaml().unwrap();
            assert_eq!(RunFile::parse(&again, "x").unwrap().value, parsed.value);
            let notes: Vec<String> = parsed
                .notes
                .iter()
                .map(|note| format!("{note}\n"))
                .collect();
            let notes = notes.concat();
            if notes.is_empty() {
                "read".into()
            } else {
                notes
            }
        }
        Err(error) => told(&error),
    }
}

/// Bases as packages of their own have them.
const BASES: [(&str, &str); 4] = [
    (
        "node-4.4.5",
        "runtime: native\nconfig_set:\n  node: {bootcmd: /node $NODE_ARGS $MAIN $ARGS}\n",
    ),
    (
        "openjdk8-zulu-compact1",
        "runtime: native\nconfig_set:\n  java: {bootcmd: /java.so -Xms$XMS -Xmx$XMX -cp $CLASSPATH $JVM_ARGS $MAIN $ARGS}\n",
    ),
    (
        "openjdk7",
        "runtime: native\nconfig_set:\n  java: {bootcmd: /java7.so -cp $CLASSPATH $MAIN $ARGS}\n",
    ),
    (
        "python-2.7",
        "runtime: native\nconfig_set:\n  python: {bootcmd: /python.so $PYTHON_ARGS $MAIN $ARGS}\n",
    ),
];

fn package(root: &Path, name: &str, run: &str) -> Package {
    let folder = root.join(name);
    fs::create_dir_all(folder.join("meta")).unwrap();
    fs::write(
        folder.join("meta/package.yaml"),
        format!("name: {name}\ntitle: T\nauthor: A\n"),
    )
    .unwrap();
    if !run.is_empty() {
        fs::write(folder.join("meta/run.yaml"), run).unwrap();
    }
    Package::open(folder).unwrap()
}

/// The command line, and the scripts of the packages, which lie over the bases that they name.
fn boots_with(layers: &[(&str, &str)], settings: &BuildSettings) -> String {
    let folder = tempfile::tempdir().unwrap();
    let says = |text: &str| layers.iter().any(|(_, run)| run.contains(text));
    let is_needed = |name: &str| {
        let runtime = ["node", "python", "java"].into_iter().find(|runtime| {
            name.starts_with(runtime) || (*runtime == "java" && name.contains("8-"))
        });
        let is_usual = runtime.is_some_and(|runtime| says(&format!("runtime: {runtime}")));
        says(&format!("{name}:")) || (is_usual && !says("base:"))
    };
    let packages: Vec<Package> = BASES
        .iter()
        .filter(|(name, _)| is_needed(name))
        .chain(layers)
        .map(|(name, run)| package(folder.path(), name, run))
        .collect();
    let layers_refs: Vec<&Package> = packages.iter().collect();
    match boot::plan(&layers_refs, GuestOs::Osv, settings) {
        Ok(plan) => {
            let mut told = format!("{}\n", plan.command_line);
            for script in plan
                .scripts
                .iter()
                .filter(|script| BASES.iter().all(|(name, _)| *name != script.package))
            {
                write!(told, "/{}: {}", script.path, script.content).unwrap();
            }
            for finding in &plan.findings {
                writeln!(told, "{finding}").unwrap();
            }
            told
        }
        Err(error) => told(&error),
    }
}

fn boots(run: &str) -> String {
    boots_with(&[("app", run)], &BuildSettings::default())
}

#[test]
fn every_field_of_capstan_and_what_is_made_of_it() {
    let mut table = Table("# Capstan's formats, and what Windlass does with them\n".into());
    package_yaml(&mut table);
    run_yaml(&mut table);
    boot_command(&mut table);
    ignore_file(&mut table);
    home(&mut table);
    index_yaml(&mut table);
    mpm(&mut table);
    resolution(&mut table);
    insta::assert_snapshot!(table.0);
}

fn package_yaml(table: &mut Table) {
    table.section("meta/package.yaml");
    table.row("`name`, `title`, `author`: required", WHO, "as they are");
    for (without, text) in [
        ("name", "title: App\nauthor: Jane\n"),
        ("title", "name: app\nauthor: Jane\n"),
        ("author", "name: app\ntitle: App\n"),
    ] {
        table.row(&format!("`{without}` is missing"), text, manifest(text));
    }
    for (what, keys) in [
        ("`version`", "version: \"1.2\"\n"),
        (
            "`version` as Capstan never writes it, but reads it",
            "version: 1.10\n",
        ),
        ("`require`: names", "require:\n- osv.cli\n- node-4.4.5\n"),
        (
            "`binary`: a map that nobody uses",
            "binary:\n  hello: /hello\n",
        ),
        ("`created`, RFC 3339", "created: 2017-09-14T21:08:24Z\n"),
        ("`created`, older", "created: 2017-09-14 21:08\n"),
        (
            "`created`, unreadable: `N/A` for Capstan",
            "created: last week\n",
        ),
        ("`platform`", "platform: Ubuntu-14.04\n"),
        ("a key that is not known: passed over", "license_file: x\n"),
        (
            "ours, which Capstan passes over",
            "require:\n- node\nlicense: MIT\nicon: /meta/icon.svg\nx-versions:\n  node: '>=18, <21'\nx-environment:\n- name: PORT\n  type: port\n  default: '8080'\n  description: Where it listens\n  required: true\n- name: LOG\n  type: choice\n  choices: [info, debug]\n",
        ),
        (
            "ours, as a person may write it",
            "require: [\"node >=18\"]\n",
        ),
    ] {
        let text = format!("{WHO}{keys}");
        table.row(what, keys, manifest(&text));
    }
    let folder = tempfile::tempdir().unwrap();
    let bare = Package::open(folder.path()).unwrap();
    let who = &bare.manifest;
    table.row(
        "no manifest at all",
        "",
        format!("{} ({}) by {}", who.name, who.title, who.author),
    );
    fs::create_dir(folder.path().join("meta")).unwrap();
    fs::write(folder.path().join("meta/README.md"), "# Read me\n").unwrap();
    let readme = Package::open(folder.path()).unwrap().readme.unwrap();
    table.row(
        "`meta/README.md`: shown by `describe`",
        "# Read me",
        format!("shown: {}", readme.trim()),
    );
    for (one, other) in [
        ("1.2", "1.10"),
        ("1", "1.0.0"),
        ("999.0", "1000.0"),
        ("1.0-beta", "1.0"),
    ] {
        let capstan = version::compare(one, other).map_or_else(
            || "invalid: to be updated".into(),
            |order| format!("{order:?}"),
        );
        let ours = version::Version::parse(one)
            .unwrap()
            .cmp(&version::Version::parse(other).unwrap());
        table.row(
            &format!("versions {one} and {other}"),
            "",
            format!("Capstan: {capstan}; here: {ours:?}"),
        );
    }
}

fn run_yaml(table: &mut Table) {
    table.section("meta/run.yaml");
    for (what, text) in [
        (
            "`runtime` is not known",
            "runtime: ruby\nconfig_set:\n  a: {main: /a.rb}\n",
        ),
        ("`runtime` is missing", "config_set:\n  a: {bootcmd: /a}\n"),
        (
            "no configuration: an error",
            "runtime: native\nconfig_set: {}\n",
        ),
        (
            "native without `bootcmd`: an error",
            "runtime: native\nconfig_set:\n  a: {env: {A: b}}\n",
        ),
        (
            "node without `main`: an error",
            "runtime: node\nconfig_set:\n  a: {args: [x]}\n",
        ),
        (
            "java without `main`: an error",
            "runtime: java\nconfig_set:\n  a: {xmx: 1g}\n",
        ),
        (
            "python without `main`: an error",
            "runtime: python\nconfig_set:\n  a: {args: [x]}\n",
        ),
        (
            "a java base other than openjdk refuses java's fields; here they are read",
            "runtime: java\nconfig_set:\n  a: {base: \"app.jvm:run\", xmx: 1g}\n",
        ),
        (
            "`config_set_default` names what is not there",
            "runtime: native\nconfig_set:\n  a: {bootcmd: /a}\nconfig_set_default: b\n",
        ),
        (
            "a field of another runtime",
            "runtime: python\nconfig_set:\n  a: {main: /a.py, xmx: 1g}\n",
        ),
    ] {
        table.row(what, text, run_file(text));
    }
    run_configurations(table);
}

fn run_configurations(table: &mut Table) {
    for (what, text) in [
        (
            "native: `bootcmd`",
            "runtime: native\nconfig_set:\n  a: {bootcmd: /hello.so --flag}\n",
        ),
        (
            "native: `base`",
            "runtime: native\nconfig_set:\n  a: {base: \"openjdk7:java\", env: {MAIN: Main}}\n",
        ),
        (
            "`env`; a value with blanks, which Capstan refuses",
            "runtime: native\nconfig_set:\n  a: {bootcmd: /a, env: {PORT: 80, TEXT: two words}}\n",
        ),
        (
            "node: `main`, `node_args`, `args`",
            "runtime: node\nconfig_set:\n  a: {main: /a.js, node_args: [--inspect], args: [x, two words]}\n",
        ),
        (
            "node: nothing but `main`; Capstan writes `--` for no `node_args`",
            "runtime: node\nconfig_set:\n  a: {main: /a.js}\n",
        ),
        (
            "node: `shell`",
            "runtime: node\nconfig_set:\n  a: {shell: true}\n",
        ),
        (
            "node: a `base` of one's own, which Capstan overwrites",
            "runtime: node\nconfig_set:\n  a: {main: /a.js, base: \"python-2.7:python\"}\n",
        ),
        (
            "java: `main`; the class path is `/` when it is not said",
            "runtime: java\nconfig_set:\n  a: {main: main.Hello}\n",
        ),
        (
            "java: a jar",
            "runtime: java\nconfig_set:\n  a: {main: /app.jar}\n",
        ),
        (
            "java: `xms`, `xmx`, `classpath`, `jvm_args`, `args`",
            "runtime: java\nconfig_set:\n  a:\n    main: Hello\n    xms: 64m\n    xmx: 1g\n    classpath: [/, /lib]\n    jvm_args: [-Da=b, -Dc=d]\n    args: [x, y]\n",
        ),
        (
            "java: `base`",
            "runtime: java\nconfig_set:\n  a: {base: \"openjdk7:java\", main: Hello}\n",
        ),
        (
            "python: `main`, `python_args`, `args`",
            "runtime: python\nconfig_set:\n  a: {main: /a.py, python_args: [-u], args: [x]}\n",
        ),
        (
            "python: nothing but `main`; Capstan writes `-O` for no `python_args`",
            "runtime: python\nconfig_set:\n  a: {main: /a.py}\n",
        ),
        (
            "python: `shell`",
            "runtime: python\nconfig_set:\n  a: {shell: true}\n",
        ),
        (
            "`config_set_default`: several, left to right",
            "runtime: native\nconfig_set:\n  a: {bootcmd: /a &}\n  b: {bootcmd: /b}\nconfig_set_default: b,a\n",
        ),
        (
            "no default, one configuration: Capstan runs /run/default all the same",
            "runtime: native\nconfig_set:\n  a: {bootcmd: /a}\n",
        ),
        (
            "no default, `default` is there",
            "runtime: native\nconfig_set:\n  a: {bootcmd: /a}\n  default: {bootcmd: /d}\n",
        ),
        (
            "no default, several",
            "runtime: native\nconfig_set:\n  a: {bootcmd: /a}\n  b: {bootcmd: /b}\n",
        ),
    ] {
        table.row(what, text, boots(text));
    }
}

fn boot_command(table: &mut Table) {
    table.section("The boot command");
    let run = "runtime: native\nconfig_set:\n  a: {bootcmd: /a}\n  b: {bootcmd: /b}\nconfig_set_default: a\n";
    let settings = |configuration: &str, command: &str, env: &[(&str, &str)]| BuildSettings {
        configuration: Some(configuration.to_owned()).filter(|text| !text.is_empty()),
        command: Some(command.to_owned()).filter(|text| !text.is_empty()),
        env: env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..BuildSettings::default()
    };
    for (what, settings) in [
        ("`config_set_default`", settings("", "", &[])),
        ("`--boot b`", settings("b", "", &[])),
        (
            "`--boot b --boot a`: left to right",
            settings("b,a", "", &[]),
        ),
        ("`--run '/c --flag'`", settings("", "/c --flag", &[])),
        (
            "`--env A=b --env TEXT='two words'`",
            settings("", "", &[("A", "b"), ("TEXT", "two words")]),
        ),
    ] {
        table.row(what, "", boots_with(&[("app", run)], &settings));
    }
    table.row(
        "a name that several packages have: the last one wins in silence; here it is said, and the other stays a base",
        "below: {server: /below}\napp: {server: base below:server}",
        boots_with(
            &[
                ("below", "runtime: native\nconfig_set:\n  server: {bootcmd: /below}\n"),
                ("app", "runtime: native\nconfig_set:\n  server: {base: \"below:server\", env: {A: b}}\n"),
            ],
            &BuildSettings::default(),
        ),
    );
}

fn ignore_file(table: &mut Table) {
    table.section(".capstanignore");
    let always = Ignore::default();
    let patterns: Vec<&str> = always.patterns().collect();
    table.row("always", "", patterns.join(" "));
    let paths = [
        "a.o",
        "build/a.o",
        "build/b/a.o",
        "src/a/b/test.js",
        "src/test.js",
        "cache",
        "cache/x",
        "cache/x/y",
        "meta/run.yaml",
        ".git/HEAD",
        "volumes/v",
    ];
    for (what, pattern) in [
        ("a comment", "# all of it"),
        ("a leading slash, or none", "a.o"),
        ("`*` within one level", "/build/*.o"),
        ("`/**/` at any depth", "/src/**/test.js"),
        ("`/*` at the end: all beneath, the folder stays", "/cache/*"),
        ("no negation", "!/a"),
        ("`/meta` is refused", "/meta"),
    ] {
        let here = match Ignore::parse(pattern) {
            Ok(rules) => {
                let out: Vec<&str> = paths
                    .into_iter()
                    .filter(|path| rules.is_ignored(path.as_bytes()))
                    .collect();
                format!("left out: {}", out.join(" "))
            }
            Err(error) => told(&error.into()),
        };
        table.row(what, pattern, here);
    }
}

fn home(table: &mut Table) {
    table.section("~/.capstan");
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (file, content) in [
        (
            "config.yaml",
            "repo_url: https://example.org/\ndisable_kvm: true\nqemu_aio_type: threads\nrelease_tag: v0.57.0\n",
        ),
        ("packages/osv.cli.mpm", "archive"),
        (
            "packages/osv.cli.yaml",
            "name: osv.cli\ntitle: CLI\nauthor: OSv\nversion: 0.24\n",
        ),
        ("packages/broken.mpm", "archive"),
        ("packages/broken.yaml", "name: [\n"),
        ("packages/alone.mpm", "archive"),
        ("packages/we ird.mpm", "archive"),
        ("packages/notes.txt", "no package"),
        ("repository/osv-loader/osv-loader.qemu", "disk"),
        (
            "repository/osv-loader/index.yaml",
            "format_version: \"1\"\nversion: v0.57.0\ncreated: 2023-05-02 10:11\ndescription: OSv\nbuild: make\n",
        ),
        ("repository/mike/osv-loader/osv-loader.qemu", "disk"),
        ("repository/app/app.qemu", "disk with an app"),
        ("repository/app/app.qemu.cache", "{}"),
        ("repository/app/index.yaml", "- no\n"),
        ("instances/qemu/app/disk.qcow2", "not looked at"),
    ] {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let home = capstan_home::read(root).unwrap();
    table.row("`config.yaml`", "", format!("{:?}", home.config));
    for package in &home.packages {
        let what = package
            .manifest
            .as_ref()
            .map_or("no description", |manifest| manifest.title.as_str());
        table.row(
            &format!("`packages/{}.mpm`", package.name),
            "",
            format!("{what}, {} bytes", package.size_bytes),
        );
    }
    for image in &home.images {
        let version = image
            .index
            .as_ref()
            .and_then(|index| index.version.as_deref())
            .unwrap_or("no version");
        let kind = if image.is_loader {
            "a loader"
        } else {
            "an image"
        };
        table.row(
            &format!("`repository/{}`", image.name),
            "",
            format!("{kind}, {version}, {} bytes", image.size_bytes),
        );
    }
    for finding in &home.findings {
        let text = finding.to_string();
        table.row(
            "found on the way",
            "",
            text.lines().next().unwrap_or_default(),
        );
    }
    let gone = capstan_home::read(&root.join("gone")).unwrap_err();
    table.row(
        "no such folder",
        "",
        told(&gone).replace(&root.display().to_string(), "…"),
    );
}

fn index_yaml(table: &mut Table) {
    table.section("index.yaml");
    for text in [
        "format_version: \"1\"\nversion: v0.57.0\ncreated: 2023-05-02 10:11\ndescription: OSv loader\nbuild: make\n",
        "",
        "format_version: [1]\n",
    ] {
        let here = match ImageIndex::parse(text, "index.yaml") {
            Ok(parsed) => {
                let again = parsed.value.to_yaml().unwrap();
                assert_eq!(ImageIndex::parse(&again, "x").unwrap().value, parsed.value);
                again
            }
            Err(error) => told(&error),
        };
        table.row(
            "`format_version`, `version`, `created`, `description`, `build`",
            text,
            here,
        );
    }
}

fn mpm(table: &mut Table) {
    table.section(".mpm");
    let folder = tempfile::tempdir().unwrap();
    let app = package(folder.path(), "app", "");
    fs::create_dir(app.root.join("bin")).unwrap();
    fs::write(app.root.join("bin/x"), "x").unwrap();
    std::os::unix::fs::symlink("x", app.root.join("bin/y")).unwrap();
    let archive = folder.path().join("app.mpm");
    write_mpm(&app.root, &mut fs::File::create(&archive).unwrap(), &mut ()).unwrap();
    // As Capstan's reader sees it: a tar in gzip.
    let names = |bytes: &[u8]| -> String {
        let mut tar = tar::Archive::new(bytes);
        let entries = tar.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            format!(
                "{} {:?}\n",
                String::from_utf8_lossy(&entry.path_bytes()),
                entry.header().entry_type()
            )
        });
        entries.collect()
    };
    let bytes = fs::read(&archive).unwrap();
    let mut plain = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(bytes.as_slice()),
        &mut plain,
    )
    .unwrap();
    table.row(
        "a gzip tar, names with a slash before them; folders, files, links",
        "",
        names(&plain),
    );
    let bare = folder.path().join("bare.mpm");
    fs::write(&bare, &plain).unwrap();
    let unpacked = unpack(
        &bare,
        &folder.path().join("out"),
        &Limits::default(),
        &mut (),
    )
    .unwrap();
    let link = fs::read_link(folder.path().join("out/bin/y")).unwrap();
    table.row(
        "a plain tar is read as well",
        "",
        format!("{} files, bin/y -> {}", unpacked.file_count, link.display()),
    );
    table.row(
        "other kinds, and `../`, which leaves the folder with Capstan",
        "",
        "refused whole: see the tests of hostile archives",
    );
}

fn resolution(table: &mut Table) {
    table.section("Requirements");
    let packages = [
        ("top", "left right"),
        ("left", "bottom"),
        ("right", "bottom"),
        ("bottom", ""),
        ("ring", "rung"),
        ("rung", "ring"),
    ];
    let source = |name: &str| -> Vec<Candidate> {
        let found = packages.iter().filter(|(other, _)| *other == name);
        found
            .map(|(name, require)| Candidate {
                name: (*name).into(),
                version: None,
                require: require.split_whitespace().map(Requirement::any).collect(),
                origin: "library".into(),
                digest: None,
            })
            .collect()
    };
    for (what, root) in [
        ("depth first; a diamond, which Capstan lays twice", "top"),
        ("`--require` last", "right left"),
        ("a circle, in which Capstan never returns", "ring"),
        ("a package that is not there", "gone"),
    ] {
        let require: Vec<Requirement> = root.split_whitespace().map(Requirement::any).collect();
        let here = match solve(&require, &source, None) {
            Ok(solution) => {
                let names: Vec<&str> = solution
                    .order
                    .iter()
                    .map(|candidate| candidate.name.as_str())
                    .collect();
                names.join(", then ")
            }
            Err(error) => error.to_string(),
        };
        table.row(what, &format!("require: {root}"), here);
    }
    table.row(
        "implicit `osv.bootstrap`",
        "",
        "not added: what it had is part of the boot plan",
    );
    table.row(
        "implicit `node-4.4.5`, `python-2.7`",
        "",
        boots_without_base(),
    );
}

fn boots_without_base() -> String {
    let folder = tempfile::tempdir().unwrap();
    let app = package(
        folder.path(),
        "app",
        "runtime: node\nconfig_set:\n  a: {main: /a.js}\n",
    );
    told(&boot::plan(&[&app], GuestOs::Osv, &BuildSettings::default()).unwrap_err())
}
