//! Bytes to tokens, as OpenFOAM's `ISstream::read(token&)` and `read(word&)` have it.
//!
//! A word may hold brackets, as in `div(phi,U)`, as long as they balance; a number may not, so that
//! `4((0 0 0) …)` is a count and a list.

use std::ops::Range;

use super::error::{SyntaxError, SyntaxErrorKind};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// `inlet`, `div(phi,U)`, `List<vector>`.
    Word,
    /// `0.01`, `-1e-6`, `nan` is a word.
    Number,
    /// `"a string"`, its quotes included.
    String,
    /// `#{ code #}`.
    Verbatim,
    /// `$name`, `${name}`, `$..name`.
    Variable,
    /// `#include`, `#calc`.
    Directive,
    /// `(`, `[` or `{`.
    Open(u8),
    /// `)`, `]` or `}`.
    Close(u8),
    /// `;`.
    Semicolon,
    /// Any other single byte.
    Other,
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Its bytes.
    pub span: Range<usize>,
}

/// Reads the tokens of a text, one after the other; comments and space are passed over.
#[derive(Debug, Clone)]
pub struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Lexer<'a> {
    /// Of this part of a text.
    pub fn new(text: &'a [u8], part: Range<usize>) -> Self {
        let end = part.end.min(text.len());
        Self {
            text,
            at: part.start.min(end),
            end,
        }
    }

    /// Where the next token is looked for.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Goes on from here.
    pub fn seek(&mut self, offset: usize) {
        self.at = offset.min(self.end);
    }

    fn byte(&self, at: usize) -> Option<u8> {
        (at < self.end).then(|| self.text[at])
    }

    fn error(&self, offset: usize, kind: SyntaxErrorKind) -> SyntaxError {
        error_at(self.text, offset, kind)
    }

    fn find(&self, from: usize, what: [u8; 2]) -> Option<usize> {
        let rest = self.text.get(from..self.end)?;
        rest.windows(2)
            .position(|pair| *pair == what)
            .map(|at| from + at)
    }

    fn skip(&mut self) -> Result<(), SyntaxError> {
        loop {
            match (self.byte(self.at), self.byte(self.at + 1)) {
                (Some(byte), _) if byte.is_ascii_whitespace() || byte == 0x0b => self.at += 1,
                (Some(b'/'), Some(b'/')) => {
                    while self.byte(self.at).is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                (Some(b'/'), Some(b'*')) => {
                    let end = self.find(self.at + 2, *b"*/");
                    self.at =
                        end.ok_or_else(|| self.error(self.at, SyntaxErrorKind::OpenComment))? + 2;
                }
                _ => return Ok(()),
            }
        }
    }

    /// The next token, or none at the end.
    ///
    /// # Errors
    ///
    /// A comment, string or code that has no end; bytes that are no text.
    pub fn token(&mut self) -> Result<Option<Token>, SyntaxError> {
        self.skip()?;
        let start = self.at;
        let Some(first) = self.byte(start) else {
            return Ok(None);
        };
        let kind = match first {
            b'(' | b'[' | b'{' => self.single(TokenKind::Open(first)),
            b')' | b']' | b'}' => self.single(TokenKind::Close(first)),
            b';' => self.single(TokenKind::Semicolon),
            b'"' => self.string()?,
            b'#' if self.byte(start + 1) == Some(b'{') => {
                let end = self.find(start + 2, *b"#}");
                self.at = end.ok_or_else(|| self.error(start, SyntaxErrorKind::OpenVerbatim))? + 2;
                TokenKind::Verbatim
            }
            b'#' => self.directive()?,
            b'$' => self.variable()?,
            b'0'..=b'9' | b'-' | b'+' | b'.' => self.number(),
            byte if is_control(byte) => return Err(self.error(start, SyntaxErrorKind::Binary)),
            byte if is_word(byte) => {
                self.word();
                TokenKind::Word
            }
            _ => self.single(TokenKind::Other),
        };
        Ok(Some(Token {
            kind,
            span: start..self.at,
        }))
    }

    fn single(&mut self, kind: TokenKind) -> TokenKind {
        self.at += 1;
        kind
    }

    fn string(&mut self) -> Result<TokenKind, SyntaxError> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.byte(self.at) {
                Some(b'\\') => self.at += 2,
                Some(b'"') => return Ok(self.single(TokenKind::String)),
                Some(b'\n') | None => return Err(self.error(start, SyntaxErrorKind::OpenString)),
                Some(_) => self.at += 1,
            }
        }
    }

    /// `#calc`; `#eval{ … }` with all that is in its braces, which is no dictionary.
    fn directive(&mut self) -> Result<TokenKind, SyntaxError> {
        let start = self.at;
        self.at += 1;
        while self
            .byte(self.at)
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
        {
            self.at += 1;
        }
        if self.text[start..self.at] == *b"#eval" {
            let spaces = self.text[self.at..self.end]
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace())
                .count();
            if self.byte(self.at + spaces) == Some(b'{') {
                self.at += spaces;
                self.braces(start)?;
            }
        }
        Ok(TokenKind::Directive)
    }

    /// From a `{` to behind its `}`.
    fn braces(&mut self, start: usize) -> Result<(), SyntaxError> {
        let mut depth = 0_usize;
        loop {
            match self.byte(self.at) {
                Some(b'{') => depth += 1,
                Some(b'}') => depth -= 1,
                None => return Err(self.error(start, SyntaxErrorKind::OpenBracket('{'))),
                Some(_) => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn variable(&mut self) -> Result<TokenKind, SyntaxError> {
        let start = self.at;
        self.at += 1;
        if self.byte(self.at) == Some(b'{') {
            self.braces(start)?;
        }
        self.word();
        Ok(TokenKind::Variable)
    }

    fn number(&mut self) -> TokenKind {
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') = self.byte(self.at) {
            self.at += 1;
        }
        match self.byte(self.at) {
            Some(b'(' | b')' | b'[' | b']') => TokenKind::Number,
            Some(byte) if is_word(byte) => {
                self.word();
                TokenKind::Word
            }
            _ => TokenKind::Number,
        }
    }

    fn word(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte(self.at) {
            match byte {
                b'(' => depth += 1,
                b')' if depth == 0 => break,
                b')' => depth -= 1,
                byte if is_word(byte) => {}
                _ => break,
            }
            self.at += 1;
        }
    }
}

/// As OpenFOAM's `word::valid`, without the square brackets that only dimensions have.
fn is_word(byte: u8) -> bool {
    !byte.is_ascii_whitespace()
        && !is_control(byte)
        && !matches!(byte, b'"' | b'\'' | b'/' | b';' | b'{' | b'}' | b'[' | b']')
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 && !byte.is_ascii_whitespace() && byte != 0x0b || byte == 0x7f
}

/// The same with its line.
pub(super) fn error_at(text: &[u8], offset: usize, kind: SyntaxErrorKind) -> SyntaxError {
    SyntaxError {
        offset,
        line: line_of(text, offset),
        kind,
    }
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &[u8], offset: usize) -> usize {
    let before = &text[..offset.min(text.len())];
    1 + before
        .iter()
        .fold(0_usize, |count, byte| count + usize::from(*byte == b'\n'))
}
