//! `.capstanignore`: which files of a package stay out of the image.
//!
//! One pattern a line, matched against the path within the package, with a leading slash:
//!
//! ```text
//! # a comment
//! /build/*.o        "*" matches within one level
//! /src/**/test.js   "/**/" matches any number of levels, none too
//! /cache/*          a trailing "/*" matches all beneath, at any depth; the folder itself stays
//! /notes.txt        a file, or a folder with all that is in it
//! ```
//!
//! A missing leading slash is added. There is no negation, and `/meta` may not be named. Always
//! left out, as by Capstan: `/meta` with its content, `/mpm-pkg`, `/.git`, `/.capstanignore`,
//! `/.gitignore`, `/volumes`.

/// Where the rules are, within a package.
pub const FILE: &str = ".capstanignore";

/// What is left out of every image.
pub const ALWAYS: [&str; 6] = [
    "/meta/*",
    "/mpm-pkg",
    "/.git",
    "/.capstanignore",
    "/.gitignore",
    "/volumes",
];

/// More patterns than this are refused.
const PATTERNS_MAX: usize = 10_000;

/// A line of `.capstanignore` that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(".capstanignore:{line}: `{pattern}` {problem}")]
pub struct PatternError {
    /// 1-based line.
    pub line: usize,
    /// The line's text.
    pub pattern: String,
    /// What is wrong with it, as the rest of a sentence.
    pub problem: &'static str,
}

impl PatternError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(format!(
            "Change or remove line {} of .capstanignore.",
            self.line
        ))
    }
}

/// Which files of a package stay out of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

impl Default for Ignore {
    /// Only what is always left out.
    fn default() -> Self {
        Self {
            patterns: ALWAYS.iter().map(|pattern| Pattern::new(pattern)).collect(),
        }
    }
}

impl Ignore {
    /// Reads the text of a `.capstanignore`.
    ///
    /// # Errors
    ///
    /// When a line negates, names `/meta`, or there are absurdly many.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut ignore = Self::default();
        for (at, line) in text.lines().enumerate() {
            let pattern = line.trim();
            if pattern.is_empty() || pattern.starts_with('#') {
                continue;
            }
            let error = |problem| PatternError {
                line: at + 1,
                pattern: pattern.into(),
                problem,
            };
            if pattern.starts_with('!') {
                return Err(error("negates, and there is no negation in these rules"));
            }
            if ignore.patterns.len() >= PATTERNS_MAX {
                return Err(error("is one pattern too many"));
            }
            let slashed = format!("/{}", pattern.trim_start_matches('/'));
            if slashed.trim_end_matches('/') == "/meta" {
                return Err(error(
                    "leaves out the manifest, which never is in the image anyway",
                ));
            }
            if slashed == "/" {
                return Err(error("leaves out everything"));
            }
            ignore.patterns.push(Pattern::new(&slashed));
        }
        Ok(ignore)
    }

    /// The patterns in force, those that always hold first.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|pattern| pattern.text.as_str())
    }

    /// Whether this path is left out: relative to the package, as bytes, with `/` between names.
    ///
    /// What is beneath a folder that is left out is left out as well, also when only it is asked
    /// for.
    pub fn is_ignored(&self, path: &[u8]) -> bool {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let names = path
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty());
        let Some(first) = names.clone().next() else {
            return false;
        };
        self.patterns
            .iter()
            .any(|pattern| pattern.may_start_with(first) && pattern.covers(names.clone()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
    levels: Vec<Level>,
    /// It ended in `/*`: what is beneath the levels is meant, and they are not.
    beneath: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Any,
    Name(String),
}

impl Pattern {
    fn new(text: &str) -> Self {
        let trimmed = text.trim_end_matches('/');
        let (body, beneath) = match trimmed.strip_suffix("/*") {
            Some(body) => (body, true),
            None => (trimmed, false),
        };
        let mut levels: Vec<Level> = Vec::new();
        for name in body.split('/').filter(|name| !name.is_empty()) {
            let level = if name == "**" {
                Level::Any
            } else {
                Level::Name(name.to_owned())
            };
            // Two in a row mean the same as one, and would only make matching slower.
            if level != Level::Any || levels.last() != Some(&Level::Any) {
                levels.push(level);
            }
        }
        Self {
            text: text.to_owned(),
            levels,
            beneath,
        }
    }

    /// Whether a path that starts so can be meant. Most cannot, and a scan asks for each file.
    fn may_start_with(&self, first: &[u8]) -> bool {
        match self.levels.first() {
            Some(Level::Name(pattern)) => matches(pattern.as_bytes(), first),
            _ => true,
        }
    }

    /// Whether the path, or a folder that it is in, is meant.
    fn covers<'a>(&self, names: impl Iterator<Item = &'a [u8]>) -> bool {
        let mut reachable = vec![false; self.levels.len() + 1];
        reachable[0] = true;
        self.spread(&mut reachable);
        for name in names {
            let mut next = vec![false; self.levels.len() + 1];
            for (at, level) in self.levels.iter().enumerate() {
                if reachable[at] {
                    match level {
                        Level::Any => next[at] = true,
                        Level::Name(pattern) if matches(pattern.as_bytes(), name) => {
                            next[at + 1] = true;
                        }
                        Level::Name(_) => {}
                    }
                }
            }
            self.spread(&mut next);
            if self.beneath && reachable[self.levels.len()] {
                return true;
            }
            if !self.beneath && next[self.levels.len()] {
                return true;
            }
            reachable = next;
        }
        false
    }

    /// `**` also matches no level at all.
    fn spread(&self, reachable: &mut [bool]) {
        for (at, level) in self.levels.iter().enumerate() {
            if reachable[at] && *level == Level::Any {
                reachable[at + 1] = true;
            }
        }
    }
}

/// Matches one name against a pattern with `*`, in time linear in both but for the stars.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p, n));
            p += 1;
        } else if p < pattern.len() && pattern[p] == name[n] {
            p += 1;
            n += 1;
        } else if let Some((star, at)) = retry {
            retry = Some((star, at + 1));
            p = star + 1;
            n = at + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The patterns of Capstan's documentation and of its tests, with what they mean.
    #[test]
    fn patterns_mean_what_capstan_means() {
        for (pattern, ignored, kept) in [
            (
                "/myfolder",
                "myfolder myfolder/a myfolder/b/c",
                "myfolder2 b/myfolder",
            ),
            ("/myfolder/*", "myfolder/a myfolder/b/c", "myfolder"),
            (
                "/myfolder/**/*",
                "myfolder/a/b myfolder/a myfolder/a/b/c",
                "myfolder",
            ),
            ("/a*.txt", "a.txt abc.txt", "a/b.txt xa.txt"),
            ("/src/*/x", "src/a/x src/a/x/y", "src/x src/a/b/x"),
            (
                "/src/**/x",
                "src/x src/a/x src/a/b/x src/a/b/x/y",
                "x src/a/y",
            ),
            ("/**/*.o", "a.o b/a.o b/c/a.o", "a.c"),
            ("notes", "notes notes/a", "a/notes"),
            (
                "/**/node_modules/*",
                "node_modules/a b/node_modules/c",
                "node_modules b/node_modules",
            ),
        ] {
            let ignore = Ignore::parse(pattern).unwrap();
            for path in ignored.split(' ') {
                assert!(
                    ignore.is_ignored(path.as_bytes()),
                    "`{pattern}` leaves out {path}"
                );
            }
            for path in kept.split(' ') {
                assert!(
                    !ignore.is_ignored(path.as_bytes()),
                    "`{pattern}` keeps {path}"
                );
            }
        }
    }

    #[test]
    fn what_is_always_left_out() {
        let ignore = Ignore::default();
        for path in [
            "meta/package.yaml",
            "meta/a/b",
            "mpm-pkg/x",
            ".git/config",
            ".capstanignore",
            ".gitignore",
            "volumes/v",
        ] {
            assert!(ignore.is_ignored(path.as_bytes()), "{path}");
        }
        for path in ["", "/", "meta.js", "a/meta/b", "lib/.git", "server.js"] {
            assert!(!ignore.is_ignored(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn lines_that_are_no_pattern() {
        let told: Vec<String> = ["/a\n!/b", "# fine\n\n/meta", "/"]
            .map(|text| Ignore::parse(text).unwrap_err().to_string())
            .to_vec();
        assert_eq!(
            told,
            [
                ".capstanignore:2: `!/b` negates, and there is no negation in these rules",
                ".capstanignore:3: `/meta` leaves out the manifest, which never is in the image anyway",
                ".capstanignore:1: `/` leaves out everything",
            ]
        );
    }

    /// Matching by trying every way, as slow as it is plain.
    fn plainly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                plainly(rest, name)
                    || name
                        .split_first()
                        .is_some_and(|(_, name)| plainly(pattern, name))
            }
            (Some((p, pattern)), Some((n, name))) => p == n && plainly(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_match_as_the_plain_way(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), plainly(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn no_rules_panic(text in "[a-c/*.#!\n ]{0,60}", path in "[a-c/.]{0,30}") {
            if let Ok(ignore) = Ignore::parse(&text) {
                let _ = ignore.is_ignored(path.as_bytes());
            }
        }
    }
}
