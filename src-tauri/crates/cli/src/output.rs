//! Text and JSON on stdout, notes on stderr.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::Global;
use crate::failure::Failure;

/// Where to say things, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether what is asked for is said as JSON.
    pub(crate) json: bool,
    /// Whether progress and notes are left out.
    pub(crate) quiet: bool,
}

impl Output {
    pub(crate) fn new(global: Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
        }
    }

    /// Says a value: as JSON, or as the text that `render` makes of it.
    pub(crate) fn show<T: Serialize + ?Sized>(
        self,
        value: &T,
        render: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        let mut text = if self.json {
            serde_json::to_string_pretty(value)?
        } else {
            render(value)
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Self::raw(text.as_bytes())
    }

    /// Says bytes as they are.
    pub(crate) fn raw(bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// Says a line beside what was asked for.
    pub(crate) fn note(self, line: &str) {
        if !self.quiet {
            Self::warn(line);
        }
    }

    /// Says a line that `--quiet` does not leave out.
    pub(crate) fn warn(line: &str) {
        // Whoever closed stderr does not want to know.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

/// Rows below their headings, in columns; or what is said when there are none.
pub(crate) fn table<const N: usize>(
    headings: [&str; N],
    rows: &[[String; N]],
    none: &str,
) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; N]| {
        let mut shown = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(shown, "{cell:width$}  ");
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    };
    line(headings);
    for row in rows {
        line(std::array::from_fn(|column| row[column].as_str()));
    }
    text
}

/// `NAME: value` lines, values in one column.
pub(crate) fn fields(rows: &[(&str, String)]) -> String {
    let width = rows
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0)
        + 1;
    let mut text = String::new();
    for (name, value) in rows {
        let mut lines = value.lines();
        let first = lines.next().unwrap_or("-");
        let _ = writeln!(text, "{:width$}  {first}", format!("{name}:"));
        for line in lines {
            let _ = writeln!(text, "{:width$}  {line}", "");
        }
    }
    text
}

/// A line each.
pub(crate) fn lines<T>(items: &[T], line: impl FnMut(&T) -> String) -> String {
    items.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A size for people.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    if unit == 0 || tenths >= 1000 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

/// A time (RFC 3339) as a clock on this wall shows it.
pub(crate) fn time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%Y-%m-%d %H:%M")
            .to_string(),
        Err(_) => text.to_owned(),
    }
}

/// An enum's word as JSON has it.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The number, and the thing it counts.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {many}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(300 << 20), "300 MiB");
        assert_eq!(size(u64::MAX), "16777215 TiB");
    }

    #[test]
    fn tables_line_up() {
        let rows = [["hello".into(), "running".into()], ["ä".into(), "x".into()]];
        insta::assert_snapshot!(table(["NAME", "STATE"], &rows, "None"), @r"
        NAME   STATE
        hello  running
        ä      x
        ");
    }
}
