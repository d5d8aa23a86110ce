//! Bytes to lines, and what the lines add up to.

use std::collections::BTreeMap;

use super::history::History;
use super::line::{self, Line};
use super::outcome::{Failure, FailureKind};

/// The longest line that is looked at; what is beyond it is passed over.
const LINE_BYTES: usize = 16 << 10;
/// The most programs of one log, fields, warnings and so on that are kept.
const KEPT: usize = 128;
/// The most lines of an error's text.
const DETAIL_LINES: usize = 40;

/// The last residuals of a field.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// The solver of the equations, such as `GAMG`.
    pub solver: String,
    /// How often the field was solved.
    pub count: u64,
    /// Before the last solution.
    pub initial: f64,
    /// After it.
    pub last: f64,
    /// The iterations that it took.
    pub iterations: u64,
}

/// The Courant number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Courant {
    /// Mean over the cells.
    pub mean: f64,
    /// Of the cell where it is largest.
    pub max: f64,
}

/// Errors of continuity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Continuity {
    /// Sum of the cells' errors without their sign.
    pub local: f64,
    /// With it.
    pub global: f64,
    /// All of the run's.
    pub cumulative: f64,
}

/// What a solver wants reached: its `residualControl`.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// A field, or the pattern of several.
    pub field: String,
    /// The initial residual at which it counts as converged.
    pub tolerance: f64,
}

/// Programs that cut a case into parts and put it together, and solve nothing.
const CUTTING: [&str; 4] = [
    "decomposePar",
    "reconstructPar",
    "reconstructParMesh",
    "redistributePar",
];

/// A program that spoke in the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Program {
    /// Its name, without folder and arguments.
    pub name: String,
    /// The case, where it found it.
    pub case: Option<String>,
    /// Of how many processes.
    pub processes: Option<u32>,
    /// Whether it said `End`.
    pub ended: bool,
}

/// What a log says so far.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// The programs, in order.
    pub programs: Vec<Program>,
    /// Steps in time, or iterations.
    pub steps: u64,
    /// The first time.
    pub first_time: Option<f64>,
    /// The last time.
    pub last_time: Option<f64>,
    /// The fields and their last residuals.
    pub residuals: BTreeMap<String, Residual>,
    /// Points over time: per field `NAME` and `NAME final`, `Courant`, `continuity`, `NAME.Cl`.
    pub history: History,
    /// The last Courant number.
    pub courant: Option<Courant>,
    /// The last errors of continuity.
    pub continuity: Option<Continuity>,
    /// Processor time, in seconds.
    pub execution_seconds: Option<f64>,
    /// Time of the clock, in seconds.
    pub clock_seconds: Option<f64>,
    /// The residuals at which the solver is content.
    pub targets: Vec<Target>,
    /// After how many iterations it was.
    pub converged: Option<u64>,
    /// The force coefficients of the last step.
    pub coefficients: BTreeMap<String, f64>,
    /// Libraries that could not be loaded. The solver goes on without them.
    pub missing_libraries: Vec<String>,
    /// How many warnings there were.
    pub warnings: u64,
    /// Where a residual was no number for the first time: time and field.
    pub not_a_number: Option<(f64, String)>,
    /// What ended a program before its time.
    pub failure: Option<Failure>,
    /// What OSv said of the program's end.
    pub exit_status: Option<i32>,
}

/// Reads a log as it comes.
#[derive(Debug, Clone, Default)]
pub struct LogReader {
    log: Log,
    pub(super) partial: Vec<u8>,
    region: String,
    coefficients: Option<String>,
    in_criteria: bool,
    /// Whether the last program has solved nothing yet.
    is_new: bool,
    /// Lines of an error's text that are still wanted.
    detail: usize,
}

impl LogReader {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads on. The bytes may end anywhere.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            if self.partial.is_empty() {
                self.line(&head[..head.len().min(LINE_BYTES)]);
            } else {
                self.keep(head);
                let line = std::mem::take(&mut self.partial);
                self.line(&line);
            }
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.partial.len());
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What it says so far; of the step that is being calculated only what was before it.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The log is at its end.
    pub fn finish(mut self) -> Log {
        let line = std::mem::take(&mut self.partial);
        if !line.is_empty() {
            self.line(&line);
        }
        self.log.history.commit();
        self.log
    }

    fn line(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let text = line::without_rank(text.trim_end_matches('\r'));
        let read = line::read(text);
        if self.detail > 0 && self.explanation(text, &read) {
            return;
        }
        if self.in_criteria && !matches!(read, Line::Criterion { .. }) {
            self.in_criteria = false;
        }
        if self.coefficients.is_some() && !text.starts_with([' ', '\t']) {
            self.coefficients = None;
        }
        match read {
            Line::Time(time) => self.time(time),
            Line::Solve {
                solver,
                field,
                initial,
                last,
                iterations,
            } => self.solve(solver, field, (initial, last), iterations),
            Line::Criteria => {
                self.in_criteria = true;
                self.log.targets.clear();
            }
            Line::Criterion { field, tolerance } if self.in_criteria => keep_one(
                &mut self.log.targets,
                Target {
                    field: field.into(),
                    tolerance,
                },
            ),
            Line::Coefficients(name) => self.coefficients = Some(name.to_owned()),
            Line::Coefficient { name, value } => self.coefficient(name, value),
            Line::Region(region) => region.clone_into(&mut self.region),
            Line::Exec(command) => self.program(command),
            Line::Fatal { io } => {
                self.detail = DETAIL_LINES;
                self.fail(FailureKind::Fatal { io });
            }
            Line::FloatingPoint => self.fail(FailureKind::FloatingPoint),
            Line::Segmentation => self.fail(FailureKind::Crashed),
            Line::OutOfMemory => self.fail(FailureKind::OutOfMemory),
            Line::DiskFull => self.fail(FailureKind::DiskFull),
            read => self.note(&read),
        }
    }

    /// The lines that have nothing to do with each other.
    fn note(&mut self, line: &Line<'_>) {
        let log = &mut self.log;
        match line {
            Line::Courant { mean, max } => {
                log.courant = Some(Courant {
                    mean: *mean,
                    max: *max,
                });
                log.history.put("Courant", *max);
            }
            Line::Continuity {
                local,
                global,
                cumulative,
            } => {
                log.continuity = Some(Continuity {
                    local: *local,
                    global: *global,
                    cumulative: *cumulative,
                });
                log.history.put("continuity", local.abs());
            }
            Line::Execution { seconds, clock } => {
                log.execution_seconds = Some(*seconds);
                log.clock_seconds = Some(*clock);
            }
            Line::Converged(iterations) => log.converged = Some(*iterations),
            Line::Warning => log.warnings += 1,
            Line::MissingLibrary(library) => {
                keep_one(&mut log.missing_libraries, (*library).to_owned());
            }
            Line::Exit(status) => log.exit_status = Some(*status),
            Line::Case(case) => {
                if let Some(program) = log.programs.last_mut() {
                    program.case = Some((*case).to_owned());
                }
            }
            Line::Processes(processes) => {
                if let Some(program) = log.programs.last_mut() {
                    program.processes = Some(*processes);
                }
            }
            Line::End => {
                log.history.commit();
                if let Some(program) = log.programs.last_mut() {
                    program.ended = true;
                }
            }
            _ => {}
        }
    }

    fn time(&mut self, time: f64) {
        // They go through times that were written already.
        let is_cutting = |program: &Program| CUTTING.contains(&program.name.as_str());
        if self.log.programs.last().is_some_and(is_cutting) {
            return;
        }
        let log = &mut self.log;
        log.steps += 1;
        log.first_time.get_or_insert(time);
        log.last_time = Some(time);
        log.history.begin(time);
        self.region.clear();
    }

    fn program(&mut self, command: &str) {
        let path = command.split_whitespace().next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or(path);
        keep_one(
            &mut self.log.programs,
            Program {
                name: name.to_owned(),
                ..Program::default()
            },
        );
        self.is_new = true;
        self.region.clear();
    }

    fn solve(&mut self, solver: &str, field: &str, residuals: (&str, &str), iterations: u64) {
        // What an earlier program came to is over once another one solves; those that only look at it change nothing.
        if std::mem::take(&mut self.is_new) {
            self.log.converged = None;
        }
        let parts = |text: &str| -> Vec<f64> {
            let inner = text.trim_matches(['(', ')']);
            inner
                .split(' ')
                .map(|part| line::number(part).unwrap_or(f64::NAN))
                .collect()
        };
        let (initial, last) = (parts(residuals.0), parts(residuals.1));
        let is_vector = residuals.0.starts_with('(');
        for (component, (initial, last)) in initial.into_iter().zip(last).take(9).enumerate() {
            let mut name = String::new();
            if !self.region.is_empty() {
                name.push_str(&self.region);
                name.push('.');
            }
            name.push_str(field);
            if is_vector {
                name.push_str(["x", "y", "z"].get(component).copied().unwrap_or("'"));
            }
            self.residual(&name, solver, initial, last, iterations);
        }
    }

    fn residual(&mut self, name: &str, solver: &str, initial: f64, last: f64, iterations: u64) {
        let log = &mut self.log;
        if !log.residuals.contains_key(name) && log.residuals.len() >= KEPT {
            return;
        }
        let residual = log
            .residuals
            .entry(name.to_owned())
            .or_insert_with(|| Residual {
                solver: String::new(),
                count: 0,
                initial,
                last,
                iterations,
            });
        solver.clone_into(&mut residual.solver);
        residual.count += 1;
        residual.initial = initial;
        residual.last = last;
        residual.iterations = iterations;
        if !(initial.is_finite() && last.is_finite()) && log.not_a_number.is_none() {
            log.not_a_number = Some((log.last_time.unwrap_or_default(), name.to_owned()));
        }
        log.history.put(name, initial);
        log.history.put(&format!("{name} final"), last);
    }

    fn coefficient(&mut self, name: &str, value: f64) {
        let Some(of) = &self.coefficients else { return };
        let name = format!("{of}.{name}");
        if self.log.coefficients.len() < KEPT || self.log.coefficients.contains_key(&name) {
            self.log.coefficients.insert(name.clone(), value);
        }
        self.log.history.put(&name, value);
    }

    fn fail(&mut self, kind: FailureKind) {
        let failure = Failure::new(
            kind,
            self.log.programs.last().map(|program| program.name.clone()),
        );
        // The first error is the cause; what comes after it follows from it. But a full disk explains an error.
        match &self.log.failure {
            Some(before) if !(kind == FailureKind::DiskFull && before.kind.is_fatal()) => {}
            _ => self.log.failure = Some(failure),
        }
    }

    /// A line of an error's text; whether it was one.
    fn explanation(&mut self, text: &str, line: &Line<'_>) -> bool {
        let Some(failure) = &mut self.log.failure else {
            self.detail = 0;
            return false;
        };
        match line {
            Line::Exiting | Line::Exec(_) => {
                self.detail = 0;
                return matches!(line, Line::Exiting);
            }
            Line::DiskFull => {
                self.fail(FailureKind::DiskFull);
                return true;
            }
            _ => {}
        }
        self.detail -= 1;
        failure.explain(text);
        true
    }
}

fn keep_one<T>(list: &mut Vec<T>, one: T) {
    if list.len() < KEPT {
        list.push(one);
    }
}
