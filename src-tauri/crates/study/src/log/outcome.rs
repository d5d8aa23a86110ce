//! How a run came out: converged, not converged, diverged, failed and lost are told apart.

use super::reader::Log;

/// What is known of a program's end apart from its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It is still running.
    Running,
    /// It ended with this status.
    Status(i32),
    /// Its machine is gone, and nobody saw how the program ended.
    Vanished,
}

/// How a run came out.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is still being calculated.
    Running,
    /// The solver stopped by itself: all residuals are below their targets.
    Converged {
        /// After so many.
        iterations: u64,
    },
    /// The solver came to the end of its steps, and the targets were not reached.
    NotConverged,
    /// It came to its end; there was nothing to converge to.
    Completed,
    /// Numbers grew beyond all bounds.
    Diverged {
        /// At which time.
        time: Option<f64>,
        /// The field that was first.
        field: Option<String>,
    },
    /// A program ended with an error.
    Failed(Failure),
    /// The machine vanished: what there is of results is incomplete. Never the same as done.
    Lost,
}

/// The kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// OpenFOAM said so.
    Fatal {
        /// In reading or writing a file.
        io: bool,
    },
    /// A division by zero, an overflow: OpenFOAM ends its program there.
    FloatingPoint,
    /// The program touched memory that is not its own.
    Crashed,
    /// The machine had too little memory.
    OutOfMemory,
    /// The disk is full.
    DiskFull,
    /// It ended with a status that is not zero, and said nothing.
    Status(i32),
    /// It ended without its last word, though its status is zero.
    Silent,
}

impl FailureKind {
    pub(super) fn is_fatal(self) -> bool {
        matches!(self, Self::Fatal { .. })
    }
}

/// An error of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// The program.
    pub program: Option<String>,
    /// What it said, one line; empty where it said nothing.
    pub message: String,
    /// What could have been there instead, where it says so.
    pub choices: Vec<String>,
    /// The file it complains of, with the place in it.
    pub file: Option<String>,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, program: Option<String>) -> Self {
        Self {
            kind,
            program,
            message: String::new(),
            choices: Vec::new(),
            file: None,
        }
    }

    /// One more line of its text.
    pub(super) fn explain(&mut self, line: &str) {
        let text = line.trim();
        if let Some(file) = text.strip_prefix("file: ") {
            self.file = Some(file.to_owned());
        } else if text.is_empty()
            || text.starts_with("From function")
            || text.starts_with("in file ")
        {
        } else if self.message.is_empty() {
            text.clone_into(&mut self.message);
        } else if let Some((count, list)) =
            text.strip_suffix(')').and_then(|text| text.split_once('('))
            && !count.is_empty()
            && count.bytes().all(|byte| byte.is_ascii_digit())
        {
            self.choices = list
                .split_whitespace()
                .take(100)
                .map(ToOwned::to_owned)
                .collect();
        }
    }

    /// What happened, for somebody who does not know OpenFOAM's messages.
    pub fn summary(&self) -> String {
        let program = self.program.as_deref().unwrap_or("the program");
        match self.kind {
            FailureKind::Fatal { .. } => self.explained(),
            FailureKind::FloatingPoint => {
                format!("{program} divided by zero, or a number grew beyond all bounds")
            }
            FailureKind::Crashed => format!("{program} crashed"),
            FailureKind::OutOfMemory => "the machine ran out of memory".into(),
            FailureKind::DiskFull => "the disk for the results is full".into(),
            FailureKind::Status(status) => {
                format!("{program} ended with status {status}, and said nothing")
            }
            FailureKind::Silent => format!("{program} ended before its end"),
        }
    }

    fn explained(&self) -> String {
        let message = self.message.as_str();
        if let Some(rest) = message.strip_prefix("cannot find file ") {
            return format!("the file {} is missing", rest.trim_matches('"'));
        }
        if message.starts_with("Cannot find file \"points\" in directory \"polyMesh\"") {
            return "there is no mesh in constant/polyMesh".into();
        }
        if let Some(rest) = message.strip_prefix("Unknown ") {
            return format!("unknown {rest}");
        }
        if message.contains("should not be executed by someone with administrator rights") {
            return "the case has code in it that must be compiled, which is not possible in an appliance".into();
        }
        if message.is_empty() {
            return "OpenFOAM ended with an error".into();
        }
        message.to_owned()
    }

    /// What to do about it, where something can be said.
    pub fn hint(&self) -> Option<String> {
        Some(match self.kind {
            FailureKind::Fatal { .. } if self.message.contains("polyMesh") => {
                "Have blockMesh make the mesh before the solver runs, or bring constant/polyMesh"
                    .into()
            }
            FailureKind::Fatal { .. } if !self.choices.is_empty() => {
                format!("Choose one of {}", self.choices.join(", "))
            }
            FailureKind::Fatal { .. } => {
                return self.file.as_ref().map(|file| format!("Look at {file}"));
            }
            FailureKind::FloatingPoint => "Take smaller time steps, or more relaxation".into(),
            FailureKind::OutOfMemory => {
                "Give the machine more memory, or take a coarser mesh".into()
            }
            FailureKind::DiskFull => {
                "Write less often (writeInterval, purgeWrite), or give the run more space".into()
            }
            _ => return None,
        })
    }
}

impl Log {
    /// How the run came out, as far as the log and the end of the program say.
    pub fn outcome(&self, exit: Exit) -> Outcome {
        let diverged = |field| Outcome::Diverged {
            time: self.last_time,
            field,
        };
        if let Some((time, field)) = &self.not_a_number {
            return Outcome::Diverged {
                time: Some(*time),
                field: Some(field.clone()),
            };
        }
        if let Some(failure) = &self.failure {
            // An overflow while time goes on is physics, or numerics; before that it is a mistake in the case.
            return match failure.kind {
                FailureKind::FloatingPoint if self.steps > 0 => diverged(self.largest()),
                _ => Outcome::Failed(failure.clone()),
            };
        }
        let ended = !self.programs.is_empty() && self.programs.iter().all(|program| program.ended);
        let program = self.programs.iter().rfind(|program| !program.ended);
        let failed = |kind| {
            Outcome::Failed(Failure::new(
                kind,
                program
                    .or(self.programs.last())
                    .map(|program| program.name.clone()),
            ))
        };
        let status = match exit {
            Exit::Running => return Outcome::Running,
            Exit::Vanished if ended => 0,
            Exit::Vanished => return Outcome::Lost,
            Exit::Status(status) => self.exit_status.filter(|_| status == 0).unwrap_or(status),
        };
        match status {
            0 if !ended => failed(FailureKind::Silent),
            // 128 + SIGFPE, as a shell tells it.
            136 if self.steps > 0 => diverged(self.largest()),
            0 => match self.converged {
                Some(iterations) => Outcome::Converged { iterations },
                None if self.targets.is_empty() => Outcome::Completed,
                None => Outcome::NotConverged,
            },
            status => failed(FailureKind::Status(status)),
        }
    }

    /// The field whose equations were solved worst, where one was not solved at all.
    fn largest(&self) -> Option<String> {
        let worst = self
            .residuals
            .iter()
            .max_by(|(_, a), (_, b)| a.last.total_cmp(&b.last));
        worst
            .filter(|(_, residual)| residual.last > 1.0)
            .map(|(name, _)| name.clone())
    }

    /// The target of a field: a name or a pattern. A vector's components have their field's.
    pub fn target(&self, field: &str) -> Option<f64> {
        let bare = field.strip_suffix(['x', 'y', 'z']).unwrap_or(field);
        let is_of =
            |name: &str, target: &str| target == name || crate::dictionary::fits(target, name);
        let found = |name: &str| {
            self.targets
                .iter()
                .find(|target| is_of(name, &target.field))
        };
        found(field)
            .or_else(|| found(bare))
            .map(|target| target.tolerance)
    }
}
