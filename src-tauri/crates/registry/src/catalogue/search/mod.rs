//! Search as one types.
//!
//! All that can be found lies in one text, lower-case, entry after entry:
//!
//! ```text
//! node-20 \0 node.js runtime \0 javascript for appliances \n osv.httpserver \0 …
//! └ name       └ title            └ description and author
//! ```
//!
//! The longest word that was typed is looked for from the text's one end to the other, which memory's speed bounds; the
//! other words only in the entries where it was found. What was found is ranked by where the words are, and only the
//! part that is asked for is put in order. Where nothing was found, names that are one slip of the finger away are.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use memchr::memmem::Finder;

use crate::{Catalogue, Entry};

const FIELD_END: char = '\0';
const ENTRY_END: char = '\n';
/// Shorter words are not corrected: too much is near to them.
const CORRECTED_MIN_BYTES: usize = 4;
const WORDS_MAX: usize = 8;
const TEXT_MAX_BYTES: usize = 200;
/// What of a description can be found.
const DESCRIPTION_MAX_CHARACTERS: usize = 400;

/// Catalogues, in order, ready to be searched.
#[derive(Debug, Clone, Default)]
pub struct Search {
    catalogues: Vec<Arc<Catalogue>>,
    text: String,
    rows: Vec<Row>,
}

/// One entry, in the order of names.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Where it begins in the text.
    start: u32,
    name_bytes: u16,
    shadowed: bool,
    catalogue: u16,
    entry: u32,
}

/// One entry that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Which of the catalogues it is in.
    pub catalogue: usize,
    /// Which of its entries it is.
    pub entry: usize,
    /// Whether an earlier catalogue has the same name and version, so that this one is not what a pull takes.
    pub shadowed: bool,
}

/// A part of what was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// How many there are in all.
    pub total: usize,
    /// Those that were asked for, best first.
    pub hits: Vec<Hit>,
}

/// How good a hit is; less is better.
type Rank = (u8, bool, u32);

impl Search {
    /// Makes catalogues ready to be searched. The order is that of the registries: where two have the same name and
    /// version, the first one's counts.
    pub fn over(catalogues: impl IntoIterator<Item = Arc<Catalogue>>) -> Self {
        let catalogues: Vec<_> = catalogues.into_iter().take(usize::from(u16::MAX)).collect();
        let mut order: Vec<(u16, u32)> = Vec::new();
        for (at, catalogue) in catalogues.iter().enumerate() {
            let numbers = 0..u32::try_from(catalogue.entries.len()).unwrap_or(u32::MAX);
            order.extend(numbers.map(|entry| (u16::try_from(at).unwrap_or(u16::MAX), entry)));
        }
        let entry = |&(catalogue, entry): &(u16, u32)| {
            &catalogues[usize::from(catalogue)].entries[entry as usize]
        };
        // Each catalogue is in order already, and a stable sort makes use of that.
        order.sort_by(|left, right| Entry::order(entry(left), entry(right)));
        let mut first: HashMap<(&str, Option<&str>), u16> = HashMap::with_capacity(order.len());
        for at in &order {
            let entry = entry(at);
            let key = (entry.name.as_str(), entry.version.as_deref());
            first
                .entry(key)
                .and_modify(|first| *first = (*first).min(at.0))
                .or_insert(at.0);
        }
        let mut text = String::new();
        let mut rows = Vec::with_capacity(order.len());
        for at in &order {
            let entry = entry(at);
            let Ok(start) = u32::try_from(text.len()) else {
                // Four gigabytes of names: what is beyond is not found.
                break;
            };
            add(&mut text, &entry.name, usize::MAX);
            let name_bytes = text.len() - start as usize;
            text.push(FIELD_END);
            add(
                &mut text,
                entry.title.as_deref().unwrap_or(""),
                DESCRIPTION_MAX_CHARACTERS,
            );
            text.push(FIELD_END);
            add(
                &mut text,
                entry.description.as_deref().unwrap_or(""),
                DESCRIPTION_MAX_CHARACTERS,
            );
            text.push(FIELD_END);
            add(
                &mut text,
                entry.author.as_deref().unwrap_or(""),
                DESCRIPTION_MAX_CHARACTERS,
            );
            text.push(ENTRY_END);
            let key = (entry.name.as_str(), entry.version.as_deref());
            rows.push(Row {
                start,
                name_bytes: u16::try_from(name_bytes).unwrap_or(u16::MAX),
                shadowed: first.get(&key).is_some_and(|first| *first < at.0),
                catalogue: at.0,
                entry: at.1,
            });
        }
        drop(first);
        Self {
            catalogues,
            text,
            rows,
        }
    }

    /// The entry of a hit.
    pub fn entry(&self, hit: &Hit) -> &Entry {
        &self.catalogues[hit.catalogue].entries[hit.entry]
    }

    /// The catalogue of a hit.
    pub fn catalogue(&self, hit: &Hit) -> &Arc<Catalogue> {
        &self.catalogues[hit.catalogue]
    }

    /// The catalogues.
    pub fn catalogues(&self) -> &[Arc<Catalogue>] {
        &self.catalogues
    }

    /// The best hits.
    pub fn find(&self, text: &str, limit: usize) -> Vec<Hit> {
        self.page(text, 0, limit, |_, _| true).hits
    }

    /// A part of the hits among what `wanted` (catalogue and entry) lets through. No text finds all, by name.
    pub fn page(
        &self,
        text: &str,
        offset: usize,
        limit: usize,
        wanted: impl Fn(usize, &Entry) -> bool,
    ) -> Found {
        let words = words(text);
        let let_through = |number: u32| {
            let row = &self.rows[number as usize];
            let catalogue = usize::from(row.catalogue);
            wanted(
                catalogue,
                &self.catalogues[catalogue].entries[row.entry as usize],
            )
        };
        let all = 0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let mut ranked: Vec<(Rank, u32)> = if words.is_empty() {
            all.map(|number| ((0, false, 0), number)).collect()
        } else {
            self.matches(&words)
        };
        ranked.retain(|(_, number)| let_through(*number));
        if ranked.is_empty()
            && let [word] = words.as_slice()
        {
            ranked = self.near(word);
            ranked.retain(|(_, number)| let_through(*number));
        }
        let total = ranked.len();
        let end = offset.saturating_add(limit).min(total);
        if end < total && end > 0 {
            ranked.select_nth_unstable(end - 1);
        }
        let part = &mut ranked[..end];
        part.sort_unstable();
        let hits = part.iter().skip(offset).map(|(_, number)| {
            let row = &self.rows[*number as usize];
            Hit {
                catalogue: usize::from(row.catalogue),
                entry: row.entry as usize,
                shadowed: row.shadowed,
            }
        });
        Found {
            total,
            hits: hits.collect(),
        }
    }

    /// The entries that have all words.
    fn matches(&self, words: &[String]) -> Vec<(Rank, u32)> {
        let mut longest: Vec<&String> = words.iter().collect();
        longest.sort_by_key(|word| Reverse(word.len()));
        let finders: Vec<Finder<'_>> = longest
            .iter()
            .map(|word| Finder::new(word.as_str()))
            .collect();
        let Some((scan, others)) = finders.split_first() else {
            return Vec::new();
        };
        let text = self.text.as_bytes();
        let mut ranked = Vec::new();
        let mut number = 0;
        let mut from = 0;
        while let Some(at) = scan.find(&text[from..]) {
            let at = from + at;
            number += self.rows[number..]
                .iter()
                .take(64)
                .take_while(|row| row.start as usize <= at)
                .count();
            if self
                .rows
                .get(number)
                .is_some_and(|row| row.start as usize <= at)
            {
                number += self.rows[number..].partition_point(|row| row.start as usize <= at);
            }
            // `number` is the row after that which it was found in.
            let row = number - 1;
            let (name, rest) = self.line(row);
            let mut worst = place(name, rest, scan);
            for other in others {
                match (worst, place(name, rest, other)) {
                    (Some(so_far), Some(here)) => worst = Some(so_far.max(here)),
                    _ => worst = None,
                }
            }
            if let (Some(rank), Ok(row_number)) = (worst, u32::try_from(row)) {
                let row = &self.rows[row];
                ranked.push(((rank, row.shadowed, u32::from(row.name_bytes)), row_number));
            }
            from = self
                .rows
                .get(number)
                .map_or(text.len(), |row| row.start as usize);
        }
        ranked
    }

    /// The entries with a part of their name one slip away from this word.
    fn near(&self, word: &str) -> Vec<(Rank, u32)> {
        if word.len() < CORRECTED_MIN_BYTES {
            return Vec::new();
        }
        let word = word.as_bytes();
        let rows = (0..self.rows.len()).filter_map(|number| {
            let (name, _) = self.line(number);
            let near = name
                .split(|byte| is_between(*byte))
                .any(|part| one_slip(word, part));
            let rank = (
                PLACES,
                self.rows[number].shadowed,
                u32::from(self.rows[number].name_bytes),
            );
            near.then_some((rank, u32::try_from(number).ok()?))
        });
        rows.collect()
    }

    /// A row's name, and what comes after it.
    fn line(&self, number: usize) -> (&[u8], &[u8]) {
        let row = &self.rows[number];
        let end = self
            .rows
            .get(number + 1)
            .map_or(self.text.len(), |next| next.start as usize);
        let line = &self.text.as_bytes()[row.start as usize..end];
        line.split_at(usize::from(row.name_bytes).min(line.len()))
    }
}

/// How many places [`place`] tells apart.
const PLACES: u8 = 5;

/// Where a word is: the name is it, begins with it, has a part that does, has it; or it is elsewhere.
fn place(name: &[u8], rest: &[u8], finder: &Finder<'_>) -> Option<u8> {
    let word = finder.needle();
    let mut best = None;
    let mut from = 0;
    while let Some(at) = name.get(from..).and_then(|name| finder.find(name)) {
        let at = from + at;
        if at == 0 {
            return Some(u8::from(name.len() != word.len()));
        }
        if is_between(name[at - 1]) {
            return Some(2);
        }
        best = Some(3);
        from = at + 1;
    }
    best.or_else(|| finder.find(rest).map(|_| PLACES - 1))
}

/// Whether a byte of a name is between its parts.
fn is_between(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && byte.is_ascii()
}

/// Whether a text, or its beginning of about that length, becomes the word by one letter more, less, other, or two
/// exchanged.
fn one_slip(word: &[u8], text: &[u8]) -> bool {
    let same = word
        .iter()
        .zip(text)
        .take_while(|(left, right)| left == right)
        .count();
    let (word, text) = (&word[same..], &text[same..]);
    let begins = |rest: &[u8], text: &[u8]| text.starts_with(rest);
    match (word, text) {
        // Nothing of the word is left, or one letter too many.
        ([], _) | ([_], []) => true,
        ([first, rest @ ..], [other, text_rest @ ..]) => {
            // Other, too many, forgotten.
            begins(rest, text_rest)
                || begins(rest, text)
                || begins(word, text_rest)
                || matches!((rest, text_rest), ([second, rest @ ..], [another, text_rest @ ..])
                    if second == other && first == another && begins(rest, text_rest))
        }
        _ => false,
    }
}

fn words(text: &str) -> Vec<String> {
    let text: String = text.chars().take(TEXT_MAX_BYTES).collect();
    text.to_lowercase()
        .split(|sign: char| sign.is_whitespace() || sign.is_control())
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX)
        .map(str::to_owned)
        .collect()
}

/// Adds a field, lower-case and without what ends fields.
fn add(text: &mut String, field: &str, most: usize) {
    for sign in field.chars().take(most) {
        if sign.is_control() {
            text.push(' ');
        } else {
            text.extend(sign.to_lowercase());
        }
    }
}
