//! Is it a Python project?

use std::path::Path;

use super::Recognised;
use super::walk::Survey;
use crate::Finding;
use crate::package::read_small_text;
use crate::run_file::Settings;

/// What Python projects call the file that is run, the likeliest first.
const USUAL_MAINS: [&str; 5] = ["__main__.py", "main.py", "app.py", "server.py", "run.py"];
const REQUIREMENTS: &str = "requirements.txt";

pub(super) fn recognise(folder: &Path, survey: &Survey) -> Option<Recognised> {
    let mut recognised = Recognised::default();
    let main = if let Some(main) = USUAL_MAINS.iter().find(|name| survey.top.contains(**name)) {
        recognised.reasons.push(format!(
            "There is {main}, as Python projects usually call it."
        ));
        (*main).to_owned()
    } else {
        let mut scripts = survey
            .top
            .iter()
            .filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "py"))
            .filter(|name| *name != "setup.py");
        let only = scripts.next().filter(|_| scripts.next().is_none())?;
        recognised
            .reasons
            .push(format!("{only} is the only Python file in it."));
        only.clone()
    };
    let requirements = read_small_text(&folder.join(REQUIREMENTS))
        .ok()
        .flatten()
        .unwrap_or_default();
    let needs = requirements
        .lines()
        .map(str::trim)
        .any(|line| !line.is_empty() && !line.starts_with('#'));
    if needs {
        recognised.problems.push(
            Finding::warning(
                "what it requires has to be in the folder as well: a guest installs nothing",
            )
            .at(REQUIREMENTS)
            .remedy(
                "Run `python3 -m pip install --target . -r requirements.txt` in the folder, once.",
            ),
        );
    }
    let environment = ["venv", ".venv", "env"]
        .iter()
        .find(|name| folder.join(name).join("pyvenv.cfg").is_file());
    if let Some(environment) = environment {
        recognised.problems.push(
            Finding::warning(
                "a virtual environment names paths of this computer, and is of no use in a guest",
            )
            .at(*environment)
            .remedy(format!(
                "Leave it out by a line `/{environment}` in .capstanignore."
            )),
        );
    }
    recognised.command = format!("python3 /{main}");
    recognised.settings = Some(Settings::Python {
        main: Some(format!("/{main}")),
        python_args: Vec::new(),
        args: Vec::new(),
        shell: false,
    });
    Some(recognised)
}
