//! Formulas: one number, or a vector of them, from other variables of a run.
//!
//! ```text
//!   26*cos(alpha*degree)                              a number
//!   (26*cos(alpha*degree) 26*sin(alpha*degree) 0)     a vector: numbers between spaces
//! ```
//!
//! Beside the variables there are `pi` and `degree` (pi/180). Operators and functions are those of the `exmex` crate:
//! `+ - * / ^`, `sin cos tan asin acos atan atan2 exp ln log10 sqrt abs min max floor round` and more.

use exmex::Express as _;

use crate::StudyError;

/// The longest formula.
const CHARACTERS: usize = 1000;
/// The deepest brackets.
const DEPTH: usize = 32;

type Expression = exmex::FlatEx<f64>;

/// A formula that was understood.
#[derive(Debug, Clone)]
pub struct Formula {
    text: String,
    parts: Vec<Expression>,
    is_vector: bool,
}

impl Formula {
    /// Reads a formula.
    ///
    /// # Errors
    ///
    /// It is none; it is too long or too deep.
    pub fn parse(text: &str) -> Result<Self, StudyError> {
        let text = text.trim();
        let refuse = |reason: String| StudyError::Formula {
            formula: text.chars().take(CHARACTERS).collect(),
            reason,
        };
        let mut depth = 0_usize;
        for char in text.chars() {
            match char {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEPTH {
                return Err(refuse(format!("brackets are more than {DEPTH} deep")));
            }
        }
        if text.len() > CHARACTERS {
            return Err(refuse(format!("it is longer than {CHARACTERS} characters")));
        }
        let whole = exmex::parse::<f64>(text);
        let (parts, is_vector) = match (whole, vector(text)) {
            (Ok(whole), _) => (vec![whole], false),
            (Err(_), Some(parts)) => {
                let parts = parts.into_iter().map(|part| {
                    exmex::parse::<f64>(part)
                        .map_err(|error| refuse(format!("{part}: {}", error.msg())))
                });
                (parts.collect::<Result<Vec<_>, _>>()?, true)
            }
            (Err(error), None) => return Err(refuse(error.msg().to_owned())),
        };
        Ok(Self {
            text: text.to_owned(),
            parts,
            is_vector,
        })
    }

    /// The variables that it needs.
    pub fn variables(&self) -> Vec<&str> {
        let names = self.parts.iter().flat_map(exmex::Express::var_names);
        let mut names: Vec<&str> = names
            .map(String::as_str)
            .filter(|name| constant(name).is_none())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Its value, as text.
    ///
    /// # Errors
    ///
    /// A variable is missing, or the value is no number.
    pub fn evaluate(&self, value: impl Fn(&str) -> Option<f64>) -> Result<String, StudyError> {
        let refuse = |reason: String| StudyError::Formula {
            formula: self.text.clone(),
            reason,
        };
        let mut numbers = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let values = part.var_names().iter().map(|name| {
                let found = constant(name).or_else(|| value(name));
                found.ok_or_else(|| refuse(format!("{name} is no variable that is a number")))
            });
            let values = values.collect::<Result<Vec<f64>, _>>()?;
            let number = part
                .eval(&values)
                .map_err(|error| refuse(error.msg().to_owned()))?;
            if !number.is_finite() {
                return Err(refuse(format!("its value is {number}")));
            }
            numbers.push(written(number));
        }
        Ok(if self.is_vector {
            format!("({})", numbers.join(" "))
        } else {
            numbers.concat()
        })
    }
}

fn constant(name: &str) -> Option<f64> {
    match name {
        "pi" => Some(std::f64::consts::PI),
        "degree" => Some(std::f64::consts::PI / 180.0),
        _ => None,
    }
}

/// The parts of `(a b c)`, between spaces that are in no further brackets.
fn vector(text: &str) -> Option<Vec<&str>> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let mut depth = 0_usize;
    let mut parts = inner.split(|char: char| {
        match char {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        char.is_whitespace() && depth == 0
    });
    let parts: Vec<&str> = parts.by_ref().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then_some(parts)
}

/// A number with twelve significant digits: enough for any dictionary, and 0.1 + 0.2 is 0.3.
pub(crate) fn written(number: f64) -> String {
    let rounded = format!("{number:.11e}").parse::<f64>().unwrap_or(number);
    // There is no minus zero in a table.
    let rounded = if rounded == 0.0 { 0.0 } else { rounded };
    if (1e-6..1e15).contains(&rounded.abs()) || rounded == 0.0 {
        format!("{rounded}")
    } else {
        format!("{rounded:e}")
    }
}
