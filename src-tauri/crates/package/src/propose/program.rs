//! Is there one program, or one script, that it is all about?

use windlass_guest::command_line::quote_word;

use super::Recognised;
use super::walk::{Program, Survey};
use crate::Finding;
use crate::closure::is_supplied_by_osv;
use crate::run_file::Settings;

/// What scripts are called that start all the rest.
const USUAL_SCRIPTS: [&str; 5] = ["/run.sh", "/start.sh", "/entrypoint.sh", "/main.sh", "/run"];
/// So many names are listed in a sentence.
const NAMES_SHOWN: usize = 5;

pub(super) fn recognise(survey: &Survey) -> Option<Recognised> {
    program(survey).or_else(|| script(survey))
}

fn program(survey: &Survey) -> Option<Recognised> {
    let depth = |program: &&Program| program.guest.matches('/').count();
    let program = survey.programs.iter().min_by_key(depth)?;
    let mut recognised = native(&quote_word(&program.guest));
    recognised.reasons.push(match survey.programs.len() {
        1 => format!("{} is the only program in it.", program.guest),
        count => format!(
            "{} is the first of the {count} programs in it.",
            program.guest
        ),
    });
    let kind = if program.elf.is_static() {
        "stands on its own"
    } else {
        "needs shared libraries"
    };
    recognised.reasons.push(format!("It {kind}."));

    let is_absent = |name: &&String| !survey.libraries.contains(*name);
    let absent: Vec<&String> = program.elf.needed.iter().filter(is_absent).collect();
    let (supplied, lacking): (Vec<&String>, Vec<&String>) = absent
        .into_iter()
        .partition(|name| is_supplied_by_osv(name));
    let remedy = "Drop the program itself rather than its folder: then its libraries come along.";
    let list = |names: &[&String]| {
        let shown: Vec<&str> = names
            .iter()
            .take(NAMES_SHOWN)
            .map(|name| name.as_str())
            .collect();
        let more = if names.len() > NAMES_SHOWN {
            ", …"
        } else {
            ""
        };
        format!("{}{more}", shown.join(", "))
    };
    let at = program.guest.trim_start_matches('/');
    if !lacking.is_empty() {
        let message = format!("it needs {}, not in the folder", list(&lacking));
        recognised
            .problems
            .push(Finding::warning(message).at(at).remedy(remedy));
    }
    if !supplied.is_empty() {
        let message = format!(
            "it needs {}, which OSv supplies and a Linux guest does not",
            list(&supplied)
        );
        recognised
            .problems
            .push(Finding::note(message).at(at).remedy(remedy));
    }
    Some(recognised)
}

fn script(survey: &Survey) -> Option<Recognised> {
    let is_shell = |interpreter: &str| {
        let program = interpreter
            .split_whitespace()
            .find(|word| !word.ends_with("/env"))
            .unwrap_or_default();
        matches!(
            program.rsplit('/').next(),
            Some("sh" | "bash" | "dash" | "ash")
        )
    };
    let scripts: Vec<&(String, String)> = survey
        .scripts
        .iter()
        .filter(|(_, interpreter)| is_shell(interpreter))
        .collect();
    let usual = scripts
        .iter()
        .find(|(guest, _)| USUAL_SCRIPTS.contains(&guest.as_str()));
    let (guest, interpreter) = match (usual, scripts.as_slice()) {
        (Some(usual), _) => usual,
        (None, [only]) => only,
        _ => return None,
    };
    let shell = interpreter
        .split_whitespace()
        .next()
        .filter(|path| !path.ends_with("/env"))
        .unwrap_or("/bin/sh");
    let mut recognised = native(&format!("{} {}", quote_word(shell), quote_word(guest)));
    recognised
        .reasons
        .push(format!("{guest} is a shell script that starts it."));
    recognised.problems.push(
        Finding::warning("a shell script runs in a Linux guest only, and there is a shell only if a package has one")
            .at(guest.trim_start_matches('/'))
            .remedy("Choose Linux as the guest kernel, and pack a shell such as busybox; or name the program that the script starts."),
    );
    Some(recognised)
}

fn native(command: &str) -> Recognised {
    Recognised {
        command: command.to_owned(),
        settings: Some(Settings::Native {
            bootcmd: Some(command.to_owned()),
            by_guest: Vec::new(),
        }),
        ..Recognised::default()
    }
}
