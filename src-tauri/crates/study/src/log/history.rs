//! Points over time, of as many columns as the solver has fields; bounded.

use std::collections::HashMap;

/// The most points that are kept of a column.
pub const HISTORY_POINTS: usize = 16_384;

/// The most columns: fields, coefficients and the like.
const COLUMNS: usize = 128;

/// Columns over a common time, as a plot wants them. Where a column has nothing there is `nan`.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The times (or iterations) of the points.
    pub times: Vec<f64>,
    names: Vec<String>,
    columns: Vec<Vec<f64>>,
    index: HashMap<String, usize>,
    row: Vec<Option<f64>>,
    time: Option<f64>,
    /// Every how many-th step is kept, as a power of two.
    shift: u32,
    steps: u64,
}

impl History {
    /// A step begins; the one before it is complete.
    pub(super) fn begin(&mut self, time: f64) {
        self.commit();
        self.time = Some(time);
    }

    /// A value of the current step. The first of equal names counts, as in OpenFOAM's `foamLog`.
    pub(super) fn put(&mut self, name: &str, value: f64) {
        if self.time.is_none() {
            return;
        }
        let column = if let Some(column) = self.index.get(name) {
            *column
        } else if self.columns.len() < COLUMNS {
            let column = self.columns.len();
            self.index.insert(name.to_owned(), column);
            self.names.push(name.to_owned());
            self.columns.push(vec![f64::NAN; self.times.len()]);
            self.row.push(None);
            column
        } else {
            return;
        };
        self.row[column].get_or_insert(value);
    }

    /// The current step is complete.
    pub(super) fn commit(&mut self) {
        let Some(time) = self.time.take() else { return };
        let kept = self.steps & ((1 << self.shift) - 1) == 0;
        self.steps += 1;
        if kept {
            if self.times.len() == HISTORY_POINTS {
                self.halve();
            }
            self.times.push(time);
            for (column, value) in self.columns.iter_mut().zip(&self.row) {
                column.push(value.unwrap_or(f64::NAN));
            }
        }
        self.row.fill(None);
    }

    fn halve(&mut self) {
        let halve = |values: &mut Vec<f64>| {
            let mut keep = false;
            values.retain(|_| {
                keep = !keep;
                keep
            });
        };
        halve(&mut self.times);
        self.columns.iter_mut().for_each(halve);
        self.shift += 1;
    }

    /// The names of the columns, in the order of their appearance: `p`, `p final`, `Courant`, `forces.Cl`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        Some(&self.columns[*self.index.get(name)?])
    }

    /// Every how many-th step of the solver has a point.
    pub fn stride(&self) -> u64 {
        1 << self.shift
    }
}
