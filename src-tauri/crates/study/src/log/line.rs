//! One line of a log, told for what it is. Pure: what a line means depends on itself alone.

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line<'a> {
    /// `Exec   : simpleFoam -case /case`.
    Exec(&'a str),
    Case(&'a str),
    Processes(u32),
    /// `Time = 0.005`, at the beginning of the line: `ExecutionTime = ` and `ClockTime = ` hold it as well.
    Time(f64),
    /// `DICPCG:  Solving for p, Initial residual = 1, Final residual = 0.05, No Iterations 12`.
    Solve {
        solver: &'a str,
        field: &'a str,
        initial: &'a str,
        last: &'a str,
        iterations: u64,
    },
    Courant {
        mean: f64,
        max: f64,
    },
    Continuity {
        local: f64,
        global: f64,
        cumulative: f64,
    },
    Execution {
        seconds: f64,
        clock: f64,
    },
    /// `SIMPLE solution converged in 282 iterations`.
    Converged(u64),
    /// `SIMPLE: convergence criteria`.
    Criteria,
    /// `    field p  tolerance 1e-05`, below it.
    Criterion {
        field: &'a str,
        tolerance: f64,
    },
    /// `Solving for fluid region bottomAir`.
    Region(&'a str),
    /// `forceCoeffs forces execute:`.
    Coefficients(&'a str),
    /// `        Cd       : 0.0645 (pressure: …`.
    Coefficient {
        name: &'a str,
        value: f64,
    },
    /// `--> FOAM FATAL ERROR:` and `--> FOAM FATAL IO ERROR:`.
    Fatal {
        io: bool,
    },
    Exiting,
    Warning,
    /// `    Could not load "libx.so"`.
    MissingLibrary(&'a str),
    /// `#1  Foam::sigFpe::sigHandler(int)`.
    FloatingPoint,
    /// `#1  Foam::sigSegv::sigHandler(int)`.
    Segmentation,
    End,
    /// OSv: `program exited with status 1`.
    Exit(i32),
    /// The kernel ended a program for want of memory.
    OutOfMemory,
    DiskFull,
    /// Anything else.
    Other,
}

/// Reads a line without its end.
pub(super) fn read(line: &str) -> Line<'_> {
    known(line).unwrap_or(Line::Other)
}

/// Without `[0] `, which Open MPI's output has where a rank speaks; a kernel's `[  1.23] ` is left.
pub(super) fn without_rank(line: &str) -> &str {
    let rest = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    match rest {
        Some((rank, rest))
            if !rank.is_empty() && rank.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            rest
        }
        _ => line,
    }
}

fn known(line: &str) -> Option<Line<'_>> {
    let first = line.bytes().next()?;
    match first {
        b' ' | b'\t' => return indented(line),
        b'#' if line.contains("Foam::sigFpe::sig") => return Some(Line::FloatingPoint),
        b'#' if line.contains("Foam::sigSegv::sig") => return Some(Line::Segmentation),
        b'-' => return arrow(line),
        b'[' if line.contains("Out of memory") => return Some(Line::OutOfMemory),
        _ => {}
    }
    if let Some(rest) = line.strip_prefix("Time = ") {
        return Some(Line::Time(number(rest.trim_end_matches('s'))?));
    }
    if line == "End" {
        return Some(Line::End);
    }
    if let Some(solve) = solve(line) {
        return Some(solve);
    }
    if let Some(rest) = line.strip_prefix("ExecutionTime = ") {
        let (seconds, rest) = rest.split_once(" s")?;
        let clock = rest.split_once("ClockTime = ")?.1.split(' ').next()?;
        return Some(Line::Execution {
            seconds: number(seconds)?,
            clock: number(clock)?,
        });
    }
    if let Some(rest) = line.strip_prefix("Courant Number mean: ") {
        let (mean, max) = rest.split_once(" max: ")?;
        return Some(Line::Courant {
            mean: number(mean)?,
            max: number(max)?,
        });
    }
    if let Some(rest) = line.strip_prefix("time step continuity errors : sum local = ") {
        let (local, rest) = rest.split_once(", global = ")?;
        let (global, cumulative) = rest.split_once(", cumulative = ")?;
        return Some(Line::Continuity {
            local: number(local)?,
            global: number(global)?,
            cumulative: number(cumulative)?,
        });
    }
    rare(line)
}

fn rare(line: &str) -> Option<Line<'_>> {
    if let Some((_, rest)) = line.split_once(" solution converged in ") {
        return Some(Line::Converged(
            rest.strip_suffix(" iterations")?.parse().ok()?,
        ));
    }
    if let Some(rest) = line.strip_prefix("Solving for ") {
        let (_, region) = rest.split_once(" region ")?;
        return Some(Line::Region(region.trim()));
    }
    if let Some((name, value)) = line.split_once(" : ") {
        match name.trim_end() {
            "Exec" => return Some(Line::Exec(value)),
            "Case" => return Some(Line::Case(value)),
            "nProcs" => return Some(Line::Processes(value.trim().parse().ok()?)),
            _ => {}
        }
    }
    if let Some(rest) = line.strip_suffix(" execute:") {
        let (kind, name) = rest.split_once(' ')?;
        return (kind == "forceCoeffs").then_some(Line::Coefficients(name));
    }
    if let Some(status) = line.strip_prefix("program exited with status ") {
        return Some(Line::Exit(status.trim().parse().ok()?));
    }
    if line.ends_with("convergence criteria") && !line.contains(" no ") {
        return Some(Line::Criteria);
    }
    if line.starts_with("FOAM exiting")
        || line.starts_with("FOAM aborting")
        || line.starts_with("FOAM parallel run")
    {
        return Some(Line::Exiting);
    }
    if line == "Floating point exception"
        || line.starts_with("Floating point exception (core dumped")
    {
        return Some(Line::FloatingPoint);
    }
    line.contains("No space left on device")
        .then_some(Line::DiskFull)
}

fn arrow(line: &str) -> Option<Line<'_>> {
    let rest = line.strip_prefix("--> FOAM ")?;
    if rest.starts_with("FATAL IO ERROR") {
        Some(Line::Fatal { io: true })
    } else if rest.starts_with("FATAL ERROR") {
        Some(Line::Fatal { io: false })
    } else {
        rest.starts_with("Warning").then_some(Line::Warning)
    }
}

fn indented(line: &str) -> Option<Line<'_>> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("Could not load \"") {
        return Some(Line::MissingLibrary(rest.split('"').next()?));
    }
    if let Some(rest) = line.strip_prefix("field ") {
        let (field, tolerance) = rest.split_once(" tolerance ")?;
        return Some(Line::Criterion {
            field: field.trim().trim_matches('"'),
            tolerance: number(tolerance)?,
        });
    }
    if line.contains("No space left on device") {
        return Some(Line::DiskFull);
    }
    let (name, rest) = line.split_once(':')?;
    let value = number(rest.split_whitespace().next()?)?;
    let name = name.trim();
    let is_name = name.starts_with('C')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"()".contains(&byte));
    is_name.then_some(Line::Coefficient { name, value })
}

fn solve(line: &str) -> Option<Line<'_>> {
    let (solver, rest) = line.split_once(":  Solving for ")?;
    let (field, rest) = rest.split_once(", Initial residual = ")?;
    let (initial, rest) = rest.split_once(", Final residual = ")?;
    let (last, iterations) = rest.split_once(", No Iterations ")?;
    // A vector that is solved at once has one count for each of its components.
    let iterations = iterations
        .trim_matches(['(', ')'])
        .split(' ')
        .map(str::parse::<u64>);
    Some(Line::Solve {
        solver,
        field,
        initial,
        last,
        iterations: iterations.map(Result::ok).max()??,
    })
}

/// A number as C++ prints it: `nan`, `-nan` and `inf` are some.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}
