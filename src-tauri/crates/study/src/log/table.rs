//! The tables of `postProcessing`: a head of comments, the last of which names the columns, and numbers.

/// A table of numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The names of the columns; the first is the time.
    pub names: Vec<String>,
    /// The columns, all of the same length.
    pub columns: Vec<Vec<f64>>,
}

/// Why a text is no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A row that is longer or shorter than the first.
    #[error("line {line} has {found} numbers, where those before it have {expected}")]
    Width {
        /// From 1.
        line: usize,
        /// In this line.
        found: usize,
        /// In the first.
        expected: usize,
    },
    /// Something that is no number.
    #[error("line {line}: {text:?} is not a number")]
    Number {
        /// From 1.
        line: usize,
        /// What is there.
        text: String,
    },
}

/// The widest table that is read.
const WIDTH: usize = 1024;

impl Table {
    /// Reads a table. Brackets around vectors are passed over: `((1 2 3) (4 5 6))` are six columns.
    /// A last line without its end is left out, for it may be half written.
    ///
    /// # Errors
    ///
    /// A row of another width; something that is no number.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        let mut table = Self::default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut head = "";
        for (index, line) in whole.lines().enumerate() {
            let (line, number) = (line.trim(), index + 1);
            if line.is_empty() {
                continue;
            }
            if let Some(comment) = line.strip_prefix('#') {
                head = comment;
                continue;
            }
            let parts = line.split(|char: char| char.is_whitespace() || "()".contains(char));
            let values = parts
                .filter(|part| !part.is_empty())
                .take(WIDTH)
                .map(|part| {
                    part.parse::<f64>().map_err(|_| TableError::Number {
                        line: number,
                        text: part.chars().take(40).collect(),
                    })
                })
                .collect::<Result<Vec<_>, _>>()?;
            if table.columns.is_empty() {
                table.columns = vec![Vec::new(); values.len()];
            }
            if table.columns.len() != values.len() {
                return Err(TableError::Width {
                    line: number,
                    found: values.len(),
                    expected: table.columns.len(),
                });
            }
            for (column, value) in table.columns.iter_mut().zip(values) {
                column.push(value);
            }
        }
        table.names = names(head, table.columns.len());
        Ok(table)
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&[f64]> {
        let at = self.names.iter().position(|other| other == name)?;
        self.columns.get(at).map(Vec::as_slice)
    }

    /// The last value of a column.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.column(name)?.last().copied()
    }
}

/// The names of a head, or, where they are not as many as the columns, numbers.
fn names(head: &str, width: usize) -> Vec<String> {
    let names: Vec<String> = head.split_whitespace().map(ToOwned::to_owned).collect();
    if names.len() == width {
        return names;
    }
    (0..width)
        .map(|column| match column {
            0 => "Time".into(),
            column => format!("column {column}"),
        })
        .collect()
}
