//! The table of runs: which value each variable has in each of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::StudyError;
use crate::formula::{Formula, written};
use crate::study::{Combine, Study, Target, Values};

/// The most runs of a study.
pub const RUNS: usize = 10_000;

/// One run: its number, and the values of its variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// From 1.
    pub number: usize,
    /// Of each variable, in the order of the study; those of the table that the study does not name come last.
    pub values: Vec<(String, String)>,
}

impl Run {
    /// What it is called on disk: `007`.
    pub fn name(&self) -> String {
        format!("{:03}", self.number)
    }

    /// The value of a variable.
    pub fn value(&self, variable: &str) -> Option<&str> {
        self.values
            .iter()
            .find(|(name, _)| name == variable)
            .map(|(_, value)| value.as_str())
    }

    /// The environment that the study gives this run's program.
    pub fn environment<'a>(&'a self, study: &'a Study) -> impl Iterator<Item = (&'a str, &'a str)> {
        study
            .variables
            .iter()
            .filter_map(|variable| match &variable.target {
                Some(Target::Environment { name }) => {
                    Some((name.as_str(), self.value(&variable.name)?))
                }
                _ => None,
            })
    }
}

/// The values of `from:to:step`, ends included.
///
/// # Errors
///
/// It is no range, has no end, or has more than [`RUNS`] values.
pub fn range(text: &str) -> Result<Vec<String>, StudyError> {
    let refuse = |reason| StudyError::Range {
        text: text.into(),
        reason,
    };
    let numbers = text.split(':').map(|part| part.trim().parse::<f64>());
    let numbers = numbers
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| refuse("these are not three numbers with colons between them"))?;
    let (from, to, step) = match numbers.as_slice() {
        [from, to] => (*from, *to, if to < from { -1.0 } else { 1.0 }),
        [from, to, step] => (*from, *to, *step),
        _ => {
            return Err(refuse(
                "these are not three numbers with colons between them",
            ));
        }
    };
    if !(from.is_finite() && to.is_finite() && step.is_finite()) {
        return Err(refuse("its numbers have to be finite"));
    }
    if step == 0.0 || (to - from) * step < 0.0 {
        return Err(refuse("its step never reaches its end"));
    }
    // A little more than the end, so that 0:1:0.1 has its last value.
    let count = ((to - from) / step + 1e-9).floor() + 1.0;
    if !(1.0..=1e4).contains(&count) {
        return Err(refuse("these are more than 10,000 values"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 10,000, as was just seen"
    )]
    let count = count as u32;
    Ok((0..count)
        .map(|index| written(f64::from(index).mul_add(step, from)))
        .collect())
}

/// The table of a CSV file: the variables, and their values line by line.
fn csv(path: &Path) -> Result<(Vec<String>, Vec<Vec<String>>), StudyError> {
    let refuse = |reason: String| StudyError::Csv {
        path: path.into(),
        reason,
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_path(path)
        .map_err(|error| refuse(error.to_string()))?;
    let names: Vec<String> = reader
        .headers()
        .map_err(|error| refuse(error.to_string()))?
        .iter()
        .map(ToOwned::to_owned)
        .collect();
    let mut rows = Vec::new();
    for record in reader.into_records() {
        let record = record.map_err(|error| refuse(error.to_string()))?;
        if rows.len() == RUNS {
            return Err(refuse(format!("it has more than {RUNS} lines")));
        }
        rows.push(record.iter().map(ToOwned::to_owned).collect());
    }
    if rows.is_empty() {
        return Err(refuse("it has no values".into()));
    }
    Ok((names, rows))
}

/// The names of the columns of a CSV file of values, which has at least one line of them.
///
/// # Errors
///
/// It cannot be read, or is no table.
pub fn columns(path: &Path) -> Result<Vec<String>, StudyError> {
    Ok(csv(path)?.0)
}

impl Study {
    /// The table of its runs. `folder` is the study's own, for its CSV file.
    ///
    /// # Errors
    ///
    /// The table cannot be read; lists are not of the same length; a formula cannot be calculated; too many runs.
    pub fn runs(&self, folder: &Path) -> Result<Vec<Run>, StudyError> {
        let mut rows: Vec<BTreeMap<String, String>> = vec![BTreeMap::new()];
        if let Some(table) = &self.table {
            let (names, lines) = csv(&folder.join(table))?;
            rows = lines
                .into_iter()
                .map(|line| names.iter().cloned().zip(line).collect())
                .collect();
        }
        rows = self.combined(rows)?;
        let order = self.order()?;
        rows.into_iter()
            .enumerate()
            .map(|(index, mut row)| {
                for (name, formula) in &order {
                    let value = formula.evaluate(|other| row.get(other)?.trim().parse().ok())?;
                    row.insert((*name).to_owned(), value);
                }
                self.run(index + 1, row)
            })
            .collect()
    }

    fn run(&self, number: usize, mut row: BTreeMap<String, String>) -> Result<Run, StudyError> {
        let mut values = Vec::with_capacity(row.len());
        for variable in &self.variables {
            let value = row.remove(&variable.name).ok_or_else(|| StudyError::Csv {
                path: self.table.clone().unwrap_or_default(),
                reason: format!(
                    "it has no column for {}, which has no values of its own",
                    variable.name
                ),
            })?;
            values.push((variable.name.clone(), value));
        }
        values.extend(row);
        Ok(Run { number, values })
    }

    fn combined(
        &self,
        rows: Vec<BTreeMap<String, String>>,
    ) -> Result<Vec<BTreeMap<String, String>>, StudyError> {
        let mut lists = Vec::new();
        for variable in &self.variables {
            match &variable.values {
                Values::List(values) => lists.push((&variable.name, values.clone())),
                Values::Range(text) => lists.push((&variable.name, range(text)?)),
                Values::Formula(_) | Values::Table => {}
            }
        }
        let too_many = |count| StudyError::TooMany { count, limit: RUNS };
        match self.combine {
            Combine::Grid => {
                let mut rows = rows;
                for (name, values) in lists {
                    let count = rows.len().saturating_mul(values.len());
                    if count > RUNS {
                        return Err(too_many(count));
                    }
                    rows = rows
                        .into_iter()
                        .flat_map(|row| {
                            values.iter().map(move |value| {
                                let mut row = row.clone();
                                row.insert(name.clone(), value.clone());
                                row
                            })
                        })
                        .collect();
                }
                Ok(rows)
            }
            Combine::Zip => {
                let Some((first, values)) = lists.first() else {
                    return Ok(rows);
                };
                let table = self
                    .table
                    .is_some()
                    .then(|| ("the table".to_owned(), rows.len()));
                let (name, length) = table.unwrap_or_else(|| ((*first).clone(), values.len()));
                if length > RUNS {
                    return Err(too_many(length));
                }
                if let Some((other, values)) =
                    lists.iter().find(|(_, values)| values.len() != length)
                {
                    return Err(StudyError::Lengths {
                        first: name,
                        first_count: length,
                        second: (*other).clone(),
                        second_count: values.len(),
                    });
                }
                let rows = (0..length).map(|index| {
                    let mut row = rows.get(index).cloned().unwrap_or_default();
                    row.extend(
                        lists
                            .iter()
                            .map(|(name, values)| ((*name).clone(), values[index].clone())),
                    );
                    row
                });
                Ok(rows.collect())
            }
        }
    }

    /// The formulas, each after those that it needs.
    fn order(&self) -> Result<Vec<(&str, Formula)>, StudyError> {
        let mut open = Vec::new();
        for variable in &self.variables {
            if let Values::Formula(text) = &variable.values {
                open.push((variable.name.as_str(), Formula::parse(text)?));
            }
        }
        let mut order = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let names: Vec<&str> = open.iter().map(|(name, _)| *name).collect();
            let ready = open.iter().position(|(_, formula)| {
                formula.variables().iter().all(|name| !names.contains(name))
            });
            let Some(ready) = ready else {
                let names = names.into_iter().map(ToOwned::to_owned).collect();
                return Err(StudyError::Circle { names });
            };
            order.push(open.remove(ready));
        }
        Ok(order)
    }
}
