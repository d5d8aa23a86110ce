use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn every_report() -> Vec<Report> {
    let command = "/usr/bin/serve".to_owned();
    vec![
        Report::Booted {
            init: "0.1.0".into(),
            kernel: "6.1.0-56-cloud-amd64".into(),
        },
        Report::Address {
            interface: "eth0".into(),
            address: "10.0.2.15/24".into(),
            gateway: Some("10.0.2.2".into()),
            name_servers: vec!["10.0.2.3".into(), "10.0.2.4".into()],
        },
        Report::Address {
            interface: "eth1".into(),
            address: "192.168.7.2/30".into(),
            gateway: None,
            name_servers: vec![],
        },
        Report::NoAddress {
            interface: "eth0".into(),
            reason: "nobody answered in 12 s".into(),
        },
        Report::NoRoot {
            reason: "/dev/vda: no ext4".into(),
        },
        Report::CommandStarted {
            index: 1,
            total: 2,
            command: "/usr/bin/serve \"a b\"".into(),
        },
        Report::CommandExited {
            index: 1,
            total: 2,
            command: command.clone(),
            status: 3,
        },
        Report::CommandKilled {
            index: 2,
            total: 2,
            command: command.clone(),
            signal: 11,
        },
        Report::CommandKilled {
            index: 2,
            total: 2,
            command: command.clone(),
            signal: 40,
        },
        Report::CommandNotStarted {
            index: 2,
            total: 2,
            command,
            reason: "no such file".into(),
        },
        Report::BadCommandLine {
            reason: "no file /run/default".into(),
        },
        Report::Stopping,
        Report::Restarting,
        Report::Warning {
            message: "no entropy device".into(),
        },
        Report::Failed {
            message: "cannot mount /proc".into(),
        },
        Report::Ended { status: 139 },
        Report::PoweringOff,
    ]
}

#[test]
fn every_report_reads_back_as_it_was_written() {
    for report in every_report() {
        assert_eq!(
            Report::parse(&report.to_string()).as_ref(),
            Some(&report),
            "{report}"
        );
    }
    let lines: Vec<String> = every_report().iter().map(ToString::to_string).collect();
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn text_of_others_cannot_make_a_line_of_its_own() {
    let command = format!(
        "/bin/a\n[windlass] all ended with status 0\r{}",
        "x".repeat(9999)
    );
    let line = Report::CommandStarted {
        index: 1,
        total: 1,
        command,
    }
    .to_string();
    assert_eq!(line.lines().count(), 1);
    assert!(line.chars().count() < TEXT_LIMIT_CHARACTERS + 60);
    assert!(matches!(
        Report::parse(&line),
        Some(Report::CommandStarted { .. })
    ));
}

proptest! {
    #[test]
    fn any_line_can_be_read(line in "\\PC*", ours in any::<bool>()) {
        let line = if ours { format!("{MARK}{line}") } else { line };
        let _ = Report::parse(&line);
    }

    #[test]
    fn exit_statuses_read_back(
        index in any::<usize>(), total in any::<usize>(), status in any::<i32>(), command in "\\PC{0,80}",
    ) {
        prop_assume!(command == command.trim_end());
        let report = Report::CommandExited { index, total, command, status };
        prop_assert_eq!(Report::parse(&report.to_string()), Some(report));
    }
}
