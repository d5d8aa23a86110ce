use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> CommandLine {
    CommandLine::parse(line).unwrap()
}

/// The commands as `[a|b c] &`, so that the borders of words are seen.
fn commands(line: &str) -> String {
    let show = |command: &Command| {
        let end = match command.end {
            Terminator::Sequential => ";",
            Terminator::Background => "&",
            Terminator::Detached => "&!",
            Terminator::Abandon => "!",
        };
        format!("[{}]{end}", command.words.join("|").escape_debug())
    };
    parse(line)
        .commands
        .iter()
        .map(show)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn options_come_first_and_blanks_in_them_are_escaped() {
    let line =
        parse(r"--env=A=b\ c --env=D=\\ --verbose  --cwd=/srv /usr/bin/serve --env=not=mine");
    assert_eq!(
        line.env(),
        [
            ("A".into(), "b c".into(), EnvMode::Set),
            ("D".into(), "\\".into(), EnvMode::Set)
        ]
    );
    assert_eq!(line.cwd(), Some("/srv"));
    assert!(line.has_option("verbose"));
    assert_eq!(
        line.commands,
        [Command::new(["/usr/bin/serve", "--env=not=mine"])]
    );
}

#[test]
fn words_and_terminators_as_osv_has_them() {
    let rows = [
        "a b; c &  d &! e ! f",
        "a;b&c&!d!e",
        r#"a "x ; y & z ! w" b"#,
        r#""/my program" """#,
        r#"a"b c" d"#,
        r#""a b"c"#,
        r"a \n\t\\\'\q b\;c",
        r#"a \"never "a \" b""#,
        "a b;;; ",
        " ; ;",
        "\ta \tb\tc\n",
        "$A x$B",
    ];
    let text: Vec<String> = rows
        .iter()
        .map(|row| format!("{row:32?} {}", commands(row)))
        .collect();
    assert_snapshot!(text.join("\n"));
}

#[test]
fn faults_are_shown_at_their_place() {
    let rows = [
        "-x /a",
        "--=v /a",
        "--cwd= /a",
        "--env=A=b --env /a",
        "--verbose --verbose=1 /a",
        r"--env=A=\",
        "; /a",
        "/a ; & /b",
        r#"/a b "never closed"#,
        "/a\0b",
    ];
    let show = |row: &&str| {
        let error = CommandLine::parse(row).unwrap_err();
        let caret = " ".repeat(error.position()) + "^";
        let row = row.escape_default();
        format!("{row}\n{caret}\n{error}\nhint: {}\n", error.hint().unwrap())
    };
    assert_snapshot!(rows.iter().map(show).collect::<Vec<_>>().join("\n"));
}

#[test]
fn what_osv_would_stumble_over() {
    let line = parse(
        "--verbose --trace --bootchart=1 --hostname=a --env=A --env=B?=c --console=tty /bin/größe",
    );
    let show = |problem: &Problem| format!("{}\n  {}", problem.message, problem.remedy);
    assert_snapshot!(
        line.problems()
            .iter()
            .map(show)
            .collect::<Vec<_>>()
            .join("\n")
    );
    assert_eq!(parse("--rootfs=rofs --env=A=b --nopci /a").problems(), []);
}

#[test]
fn variables_are_replaced_from_the_first_dollar_to_the_end_of_the_word() {
    let lookup = |name: &str| (name == "PORT").then(|| "80 80".to_owned());
    let line = parse("serve $PORT x$PORT $PORT$PORT ${PORT} a$GONE").expand(lookup);
    assert_eq!(
        line.commands[0].words,
        ["serve", "80 80", "x80 80", "", "", "a"]
    );
}

#[test]
fn a_variable_set_again_replaces_the_first() {
    let line = parse("--env=A=1 --env=B=2 /a")
        .with_env("A", "x y\\")
        .with_option("verbose", None);
    assert_eq!(line.to_string(), r"--env=B=2 --env=A=x\ y\\ --verbose /a");
}

#[test]
fn a_program_whose_name_begins_with_a_dash_is_no_option() {
    let line = CommandLine {
        options: vec![],
        commands: vec![Command::new(["-x", "-y"])],
    };
    assert_eq!(line.to_string(), r#""-x" -y"#);
    assert_eq!(parse(&line.to_string()), line);
}

#[test]
fn scripts_have_variables_before_each_command() {
    let script = script::parse("--env=PORT?=80 --env=A=b=c /a $PORT; --env=X=y\n\n/b &\n").unwrap();
    assert_eq!(script.len(), 3);
    assert_eq!(
        script[0].env,
        [
            ("PORT".into(), "80".into(), EnvMode::SetIfUnset),
            ("A".into(), "b=c".into(), EnvMode::Set)
        ]
    );
    assert_eq!(script[1].command, None);
    assert_eq!(
        script[2].command.as_ref().unwrap().end,
        Terminator::Background
    );
    let error = script::parse("/a\n--cwd=/b /a\n").unwrap_err();
    assert_eq!(error.to_string(), "line 2 of the script cannot be read");
    assert_eq!(
        error.source.to_string(),
        "`--cwd=/b` at byte 0 is not an option that a script can have"
    );
}

#[test]
fn a_scripts_line_reads_back_as_it_was_written() {
    let line = script::ScriptCommand {
        env: vec![
            (
                "GREETING".into(),
                "hi; \"there\"".into(),
                EnvMode::SetIfUnset,
            ),
            ("A".into(), "b".into(), EnvMode::Set),
        ],
        command: Some(Command {
            words: vec!["/a".into(), "b c".into()],
            end: Terminator::Background,
        }),
    };
    let text = line.to_string();
    assert_eq!(
        text,
        r#""--env=GREETING?=hi; \"there\"" --env=A=b /a "b c" &"#
    );
    assert_eq!(script::parse_line(&text), Ok(vec![line]));
}

fn terminator() -> impl Strategy<Value = Terminator> {
    prop::sample::select(vec![
        Terminator::Sequential,
        Terminator::Background,
        Terminator::Detached,
        Terminator::Abandon,
    ])
}

prop_compose! {
    fn command()(
        words in prop::collection::vec("[^\0]{0,12}|[-a-z /;&!\"\\\\$\t\n]{0,8}", 1..5), end in terminator(),
    ) -> Command {
        Command { words, end }
    }
}

prop_compose! {
    fn any_line()(
        flags in prop::collection::vec("[a-m][a-z-]{0,8}", 0..3),
        values in prop::collection::vec(("[n-z][a-z-]{0,8}", "[^\0]{1,12}|[ \\\\\t\n=]{1,6}"), 0..4),
        commands in prop::collection::vec(command(), 0..5),
    ) -> CommandLine {
        let flags = flags.into_iter().map(|key| BootOption { key, value: None });
        let values = values.into_iter().map(|(key, value)| BootOption { key, value: Some(value) });
        CommandLine { options: flags.chain(values).collect(), commands }
    }
}

proptest! {
    #[test]
    fn a_line_reads_back_as_it_was_written(line in any_line()) {
        let text = line.to_string();
        prop_assert_eq!(CommandLine::parse(&text), Ok(line), "{}", text);
    }

    #[test]
    fn any_text_can_be_read_and_what_is_read_can_be_written(
        text in "[^\0]{0,40}|[-a-z =/;&!\"\\\\$\t\n]{0,30}",
    ) {
        if let Ok(line) = CommandLine::parse(&text) {
            prop_assert_eq!(CommandLine::parse(&line.to_string()), Ok(line));
        }
        let _ = script::parse(&text);
    }
}
