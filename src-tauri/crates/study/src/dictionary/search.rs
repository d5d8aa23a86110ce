//! Finding entries: by path, by OpenFOAM's own rules, and all of them.

use std::borrow::Cow;
use std::ops::Range;

use super::error::DictionaryError;
use super::lexer::TokenKind;
use super::parse::{Body, Entry, Item};
use super::path::EntryPath;
use super::{Dictionary, unquoted};

/// The most of a value that is listed by [`Dictionary::leaves`]; fields of a whole mesh are longer.
const LISTED_BYTES: usize = 200;

/// An entry that has a value, as a person picks it from a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its path.
    pub path: EntryPath,
    /// Its value; none where it is too long to be shown.
    pub value: Option<String>,
    /// Its line, from 1.
    pub line: usize,
}

/// What a path leads to.
enum Found {
    Entries(Vec<Entry>),
    Value(Range<usize>),
}

impl Dictionary {
    /// The value at a path, as text: without `uniform`, without dimensions.
    ///
    /// # Errors
    ///
    /// There is no such entry, or it is a dictionary.
    pub fn value(&self, path: &EntryPath) -> Result<Cow<'_, str>, DictionaryError> {
        Ok(self.at(self.find(path)?))
    }

    /// The value at a path given as text.
    pub fn get(&self, path: &str) -> Option<Cow<'_, str>> {
        self.value(&path.parse().ok()?).ok()
    }

    /// Where the value of a path stands: without `uniform`, without dimensions.
    ///
    /// # Errors
    ///
    /// There is no such entry, or it is a dictionary.
    pub fn find(&self, path: &EntryPath) -> Result<Range<usize>, DictionaryError> {
        let whole = self.find_whole(path)?;
        if path.indices.is_empty() {
            return Ok(self.significant(&whole));
        }
        let missing = || self.missing(path);
        let mut items = self.items(whole).map_err(|_| missing())?;
        let mut span = None;
        for index in &path.indices {
            if *index >= items.len() {
                return Err(missing());
            }
            let item = items.swap_remove(*index);
            span = Some(item.span());
            items = match item {
                Item::List { items, .. } => items,
                _ => Vec::new(),
            };
        }
        span.ok_or_else(missing)
    }

    /// Where all of an entry's value stands.
    ///
    /// # Errors
    ///
    /// There is no such entry, or it is a dictionary.
    pub fn find_whole(&self, path: &EntryPath) -> Result<Range<usize>, DictionaryError> {
        match self.descend(&self.entries, &path.names) {
            Some(Found::Value(span)) => Ok(span),
            Some(Found::Entries(_)) => Err(DictionaryError::IsDictionary {
                path: path.to_string(),
            }),
            None => Err(self.missing(path)),
        }
    }

    /// The entries of the dictionary at a path; of the whole file where it is empty.
    pub fn dictionary(&self, names: &[&str]) -> Option<Vec<Entry>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        match self.descend(&self.entries, &names)? {
            Found::Entries(entries) => Some(entries),
            Found::Value(_) => None,
        }
    }

    fn descend(&self, entries: &[Entry], names: &[String]) -> Option<Found> {
        let Some((name, rest)) = names.split_first() else {
            return Some(Found::Entries(entries.to_vec()));
        };
        // The last of equal keywords is the one that counts; dictionaries of the same name are merged.
        entries.iter().rev().find_map(|entry| match &entry.body {
            Body::Dictionary(inner) if self.is_called(entry, name) => self.descend(inner, rest),
            Body::Value(value) if self.is_called(entry, name) && rest.is_empty() => {
                Some(Found::Value(value.clone()))
            }
            Body::Value(value) if self.is_called(entry, name) => self.descend_list(value, rest),
            Body::Value(value) if entry.keyword.is_empty() => self.descend_list(value, names),
            _ => None,
        })
    }

    /// `( inlet { … } outlet { … } )`: dictionaries of a list, each after its name.
    fn descend_list(&self, value: &Range<usize>, names: &[String]) -> Option<Found> {
        let (name, rest) = names.split_first()?;
        let items = self.items(value.clone()).ok()?;
        let list = items.into_iter().find_map(|item| match item {
            Item::List {
                open: b'(', items, ..
            } => Some(items),
            _ => None,
        })?;
        let (_, entries) = self
            .named(&list)
            .filter(|(called, _)| called == name)
            .last()?;
        self.descend(entries, rest)
    }

    /// The dictionaries of a list, with the word before each.
    pub(crate) fn named<'a>(
        &'a self,
        list: &'a [Item],
    ) -> impl Iterator<Item = (Cow<'a, str>, &'a [Entry])> {
        list.windows(2).filter_map(|pair| match pair {
            [Item::Token(token), Item::Dictionary { entries, .. }] => {
                Some((self.at(token.span.clone()), entries.as_slice()))
            }
            _ => None,
        })
    }

    fn is_called(&self, entry: &Entry, name: &str) -> bool {
        !entry.keyword.is_empty() && self.keyword(entry) == unquoted(name)
    }

    /// Of `uniform (1 0 0)` the vector, of `nu [0 2 -1 0 0 0 0] 0.01` the number, of all else all.
    pub(super) fn significant(&self, whole: &Range<usize>) -> Range<usize> {
        let start = whole.start;
        // Only what begins like one of the two is worth the splitting: a field may have millions of items.
        let head = &self.text[start..whole.end.min(start + LISTED_BYTES)];
        let Ok(items) = (if head.starts_with(b"uniform") || head.contains(&b'[') {
            self.items(whole.clone())
        } else {
            return whole.clone();
        }) else {
            return whole.clone();
        };
        let from = match items.as_slice() {
            [Item::Token(token), _] if self.text[token.span.clone()] == *b"uniform" => 1,
            [Item::List { open: b'[', .. }, _, ..] => 1,
            [Item::Token(word), Item::List { open: b'[', .. }, _, ..]
                if word.kind == TokenKind::Word =>
            {
                2
            }
            _ => return whole.clone(),
        };
        items[from].span().start..whole.end
    }

    /// The entry that OpenFOAM takes for a keyword: the one of that name, or else the last whose pattern fits.
    pub fn lookup<'a>(&self, entries: &'a [Entry], keyword: &str) -> Option<&'a Entry> {
        let is_pattern = |entry: &&Entry| self.text.get(entry.keyword.start) == Some(&b'"');
        let plain = entries.iter().rev().filter(|entry| !is_pattern(entry));
        let patterns = entries.iter().rev().filter(is_pattern);
        plain
            .clone()
            .find(|entry| !entry.keyword.is_empty() && self.keyword(entry) == keyword)
            .or_else(|| {
                patterns
                    .clone()
                    .find(|entry| fits(&self.keyword(entry), keyword))
            })
    }

    /// All entries that have a value, in the order of the file.
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        // Lines are counted on, rather than for each entry from the beginning.
        let mut counted = (0, 1);
        self.collect(&self.entries, &mut Vec::new(), &mut counted, &mut leaves);
        leaves
    }

    fn collect(
        &self,
        entries: &[Entry],
        names: &mut Vec<String>,
        counted: &mut (usize, usize),
        leaves: &mut Vec<Leaf>,
    ) {
        for entry in entries {
            names.push(self.at(entry.keyword.clone()).into_owned());
            match &entry.body {
                Body::Dictionary(inner) => self.collect(inner, names, counted, leaves),
                Body::Value(value) if entry.keyword.is_empty() => {
                    names.pop();
                    self.collect_list(value, names, counted, leaves);
                    continue;
                }
                Body::Value(value) => {
                    let passed = self
                        .text
                        .get(counted.0..entry.span.start)
                        .unwrap_or_default();
                    counted.1 += passed
                        .iter()
                        .fold(0, |count, byte| count + usize::from(*byte == b'\n'));
                    counted.0 = counted.0.max(entry.span.start);
                    let shown = self.significant(value);
                    leaves.push(Leaf {
                        path: EntryPath::new(names.iter()),
                        value: (shown.len() <= LISTED_BYTES).then(|| self.at(shown).into_owned()),
                        line: counted.1,
                    });
                    if value.len() < LISTED_BYTES * LISTED_BYTES {
                        self.collect_list(value, names, counted, leaves);
                    }
                }
                Body::Directive(_) | Body::Macro => {}
            }
            names.pop();
        }
    }

    fn collect_list(
        &self,
        value: &Range<usize>,
        names: &mut Vec<String>,
        counted: &mut (usize, usize),
        leaves: &mut Vec<Leaf>,
    ) {
        if !self.text[value.clone()].contains(&b'{') {
            return;
        }
        for item in self.items(value.clone()).unwrap_or_default() {
            let Item::List {
                open: b'(', items, ..
            } = item
            else {
                continue;
            };
            for (name, entries) in self.named(&items) {
                names.push(name.into_owned());
                self.collect(entries, names, counted, leaves);
                names.pop();
            }
        }
    }

    pub(super) fn missing(&self, path: &EntryPath) -> DictionaryError {
        // The pattern that stands for it, or the same keyword elsewhere.
        let leaves: Vec<EntryPath> = self.leaves().into_iter().map(|leaf| leaf.path).collect();
        let stands_for_it = |leaf: &&EntryPath| {
            leaf.names.len() == path.names.len()
                && leaf.names.iter().zip(&path.names).all(|(theirs, ours)| {
                    unquoted(theirs) == unquoted(ours)
                        || theirs.starts_with('"') && fits(unquoted(theirs), ours)
                })
        };
        let same_keyword = |leaf: &&EntryPath| leaf.names.last() == path.names.last();
        let near = leaves
            .iter()
            .find(stands_for_it)
            .or_else(|| leaves.iter().find(same_keyword));
        DictionaryError::NoEntry {
            path: path.to_string(),
            near: near
                .filter(|near| near.names != path.names)
                .map(ToString::to_string),
        }
    }

    /// Every token of this kind in the file, however deep: macros, directives, code.
    pub fn tokens(&self, kind: TokenKind) -> Vec<Range<usize>> {
        let mut lexer = super::Lexer::new(&self.text, 0..self.text.len());
        let mut found = Vec::new();
        while let Ok(Some(token)) = lexer.token() {
            if token.kind == kind {
                found.push(token.span);
            }
        }
        found
    }

    /// The files that `#include` and its like name, with the directive; of `#includeFunc` the function's name.
    pub fn includes(&self) -> Vec<(String, String)> {
        let mut lexer = super::Lexer::new(&self.text, 0..self.text.len());
        let mut found = Vec::new();
        while let Ok(Some(token)) = lexer.token() {
            let directive = self.at(token.span);
            if token.kind == TokenKind::Directive && directive.starts_with("#include") {
                let directive = directive.into_owned();
                if let Ok(Some(argument)) = lexer.token() {
                    let argument = self.at(argument.span);
                    let name = match directive.as_str() {
                        "#includeFunc" => argument.split('(').next().unwrap_or_default(),
                        _ => unquoted(&argument),
                    };
                    found.push((directive, name.to_owned()));
                }
            }
        }
        found
    }
}

/// Whether a pattern of a keyword stands for a word. OpenFOAM's are POSIX extended; what is none fits nothing.
pub(crate) fn fits(pattern: &str, word: &str) -> bool {
    regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(1 << 20)
        .build()
        .is_ok_and(|pattern| pattern.is_match(word))
}
