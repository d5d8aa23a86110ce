//! Tokens to entries. Only where things stand is kept: the text itself is never written anew.

use std::ops::Range;

use super::MAXIMUM_DEPTH;
use super::error::{SyntaxError, SyntaxErrorKind};
use super::lexer::{Lexer, Token, TokenKind, error_at};

/// One entry of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its keyword, quotes included; empty for a list without a name, as in `polyMesh/boundary`.
    pub keyword: Range<usize>,
    /// All of it, up to and with its `;` or `}`.
    pub span: Range<usize>,
    /// What it holds.
    pub body: Body,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// `{ … }`.
    Dictionary(Vec<Entry>),
    /// From the first token to the last one before `;`.
    Value(Range<usize>),
    /// `#include "file"`: what follows the directive.
    Directive(Range<usize>),
    /// `$name;`: the entries of another dictionary.
    Macro,
}

/// A part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A single token.
    Token(Token),
    /// `( … )`, `[ … ]`, or the `{ … }` of a list of equals such as `4{0.5}`.
    List {
        /// With its brackets.
        span: Range<usize>,
        /// The opening bracket.
        open: u8,
        /// What is in it.
        items: Vec<Item>,
    },
    /// `{ … }` with entries.
    Dictionary {
        /// With its brackets.
        span: Range<usize>,
        /// What is in it.
        entries: Vec<Entry>,
    },
}

impl Item {
    /// Where it stands.
    pub fn span(&self) -> Range<usize> {
        match self {
            Self::Token(token) => token.span.clone(),
            Self::List { span, .. } | Self::Dictionary { span, .. } => span.clone(),
        }
    }
}

fn closing(open: u8) -> u8 {
    match open {
        b'(' => b')',
        b'[' => b']',
        _ => b'}',
    }
}

pub(super) struct Parser<'a> {
    text: &'a [u8],
    lexer: Lexer<'a>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a [u8], part: Range<usize>) -> Self {
        Self {
            text,
            lexer: Lexer::new(text, part),
        }
    }

    fn error<T>(&self, offset: usize, kind: SyntaxErrorKind) -> Result<T, SyntaxError> {
        Err(error_at(self.text, offset, kind))
    }

    fn peek(&self) -> Result<Option<Token>, SyntaxError> {
        self.lexer.clone().token()
    }

    /// Entries up to the end of the text, or, after a `{` at `opened`, up to its `}`.
    pub(super) fn entries(
        &mut self,
        opened: Option<usize>,
        depth: usize,
    ) -> Result<Vec<Entry>, SyntaxError> {
        let mut entries = Vec::new();
        loop {
            let Some(token) = self.lexer.token()? else {
                return match opened {
                    Some(offset) => self.error(offset, SyntaxErrorKind::OpenBracket('{')),
                    None => Ok(entries),
                };
            };
            match token.kind {
                TokenKind::Close(b'}') if opened.is_some() => return Ok(entries),
                TokenKind::Close(byte) => {
                    return self.error(
                        token.span.start,
                        SyntaxErrorKind::StrayBracket(char::from(byte)),
                    );
                }
                TokenKind::Semicolon => {}
                TokenKind::Directive => entries.push(self.directive(&token)?),
                TokenKind::Open(_) if opened.is_none() => {
                    entries.push(self.unnamed(token.span.start)?);
                }
                TokenKind::Number if opened.is_none() && self.opens_list()? => {
                    entries.push(self.unnamed(token.span.start)?);
                }
                TokenKind::Word | TokenKind::Number | TokenKind::String | TokenKind::Variable => {
                    entries.push(self.entry(token, depth, opened.is_some())?);
                }
                TokenKind::Open(_) | TokenKind::Verbatim | TokenKind::Other => {
                    return self.error(token.span.start, SyntaxErrorKind::NoKeyword);
                }
            }
        }
    }

    fn opens_list(&self) -> Result<bool, SyntaxError> {
        Ok(matches!(
            self.peek()?,
            Some(Token {
                kind: TokenKind::Open(_),
                ..
            })
        ))
    }

    /// A list that is the whole file, or what follows its header.
    fn unnamed(&mut self, start: usize) -> Result<Entry, SyntaxError> {
        self.lexer.seek(start);
        let (value, end) = self.value(start, Ending::Text)?;
        Ok(Entry {
            keyword: start..start,
            span: start..end,
            body: Body::Value(value),
        })
    }

    fn directive(&mut self, token: &Token) -> Result<Entry, SyntaxError> {
        // The argument ends with its line, but not within brackets.
        let start = token.span.end;
        if self.text[token.span.clone()] == *b"#includeFunc" {
            return Ok(self.function(token));
        }
        let mut end = start;
        let mut depth = 0_usize;
        loop {
            let before = self.lexer.offset();
            let Some(next) = self.lexer.token()? else {
                break;
            };
            let gap = &self.text[end..next.span.start];
            let ended =
                depth == 0 && (gap.contains(&b'\n') || matches!(next.kind, TokenKind::Semicolon));
            if ended || depth == 0 && matches!(next.kind, TokenKind::Close(_)) {
                self.lexer
                    .seek(if ended && next.kind == TokenKind::Semicolon {
                        next.span.end
                    } else {
                        before
                    });
                break;
            }
            match next.kind {
                TokenKind::Open(_) => depth += 1,
                TokenKind::Close(_) => depth -= 1,
                _ => {}
            }
            end = next.span.end;
        }
        if depth > 0 {
            return self.error(start, SyntaxErrorKind::OpenBracket('('));
        }
        let argument = start
            + self.text[start..end]
                .iter()
                .take_while(|byte| **byte == b' ')
                .count();
        Ok(Entry {
            keyword: token.span.clone(),
            span: token.span.start..end,
            body: Body::Directive(argument..end),
        })
    }

    /// `#includeFunc residuals(p, U)`: the rest of the line, spaces and all.
    fn function(&mut self, token: &Token) -> Entry {
        let start = token.span.end;
        let rest = &self.text[start..];
        let line = &rest[..rest
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(rest.len())];
        let text = &line[..line
            .windows(2)
            .position(|pair| pair == b"//")
            .unwrap_or(line.len())];
        let end = start + text.trim_ascii_end().len();
        self.lexer.seek(start + line.len());
        Entry {
            keyword: token.span.clone(),
            span: token.span.start..end,
            body: Body::Directive(start + text.len() - text.trim_ascii_start().len()..end),
        }
    }

    fn entry(&mut self, keyword: Token, depth: usize, inside: bool) -> Result<Entry, SyntaxError> {
        let start = keyword.span.start;
        let next = self.peek()?;
        match next.as_ref().map(|token| token.kind) {
            Some(TokenKind::Open(b'{')) => {
                if depth >= MAXIMUM_DEPTH {
                    return self.error(start, SyntaxErrorKind::TooDeep);
                }
                let opened = self.lexer.token()?.map_or(start, |token| token.span.start);
                let entries = self.entries(Some(opened), depth + 1)?;
                Ok(Entry {
                    keyword: keyword.span,
                    span: start..self.lexer.offset(),
                    body: Body::Dictionary(entries),
                })
            }
            Some(TokenKind::Semicolon) if keyword.kind == TokenKind::Variable => {
                self.lexer.token()?;
                Ok(Entry {
                    keyword: keyword.span,
                    span: start..self.lexer.offset(),
                    body: Body::Macro,
                })
            }
            Some(TokenKind::Close(b'}')) if keyword.kind == TokenKind::Variable => Ok(Entry {
                span: keyword.span.clone(),
                keyword: keyword.span,
                body: Body::Macro,
            }),
            _ => {
                let ending = if inside {
                    Ending::Bracket
                } else {
                    Ending::Semicolon
                };
                let (value, end) = self.value(start, ending)?;
                Ok(Entry {
                    keyword: keyword.span,
                    span: start..end,
                    body: Body::Value(value),
                })
            }
        }
    }

    /// What stands between the keyword at `start` and its end, and where that end is.
    fn value(
        &mut self,
        start: usize,
        ending: Ending,
    ) -> Result<(Range<usize>, usize), SyntaxError> {
        let mut open: Vec<(u8, usize)> = Vec::new();
        let mut value: Option<Range<usize>> = None;
        loop {
            let before = self.lexer.offset();
            let Some(token) = self.lexer.token()? else {
                return match open.last() {
                    Some((bracket, offset)) => {
                        self.error(*offset, SyntaxErrorKind::OpenBracket(char::from(*bracket)))
                    }
                    None if ending == Ending::Text => Ok((value.unwrap_or(before..before), before)),
                    None => self.error(start, SyntaxErrorKind::NoSemicolon),
                };
            };
            match token.kind {
                TokenKind::Semicolon if open.is_empty() => {
                    let at = token.span.start;
                    return Ok((value.unwrap_or(at..at), token.span.end));
                }
                TokenKind::Open(bracket) => {
                    if open.len() >= MAXIMUM_DEPTH {
                        return self.error(token.span.start, SyntaxErrorKind::TooDeep);
                    }
                    open.push((bracket, token.span.start));
                }
                TokenKind::Close(bracket) => match open.pop() {
                    Some((opening, _)) if closing(opening) == bracket => {}
                    None if bracket == b'}' && ending == Ending::Bracket => {
                        // OpenFOAM lets the last entry of a dictionary go without.
                        self.lexer.seek(before);
                        return Ok((value.unwrap_or(before..before), before));
                    }
                    _ => {
                        return self.error(
                            token.span.start,
                            SyntaxErrorKind::StrayBracket(char::from(bracket)),
                        );
                    }
                },
                _ => {}
            }
            let from = value.map_or(token.span.start, |value| value.start);
            value = Some(from..token.span.end);
        }
    }

    /// The items up to the end of the text, or up to the bracket that closes `opened`.
    pub(super) fn items(
        &mut self,
        opened: Option<(u8, usize)>,
        depth: usize,
    ) -> Result<Vec<Item>, SyntaxError> {
        let mut items: Vec<Item> = Vec::new();
        loop {
            let Some(token) = self.lexer.token()? else {
                return match opened {
                    Some((bracket, offset)) => {
                        self.error(offset, SyntaxErrorKind::OpenBracket(char::from(bracket)))
                    }
                    None => Ok(items),
                };
            };
            let start = token.span.start;
            match token.kind {
                TokenKind::Open(_) if depth >= MAXIMUM_DEPTH => {
                    return self.error(start, SyntaxErrorKind::TooDeep);
                }
                TokenKind::Open(b'{') if !after_count(&items) => {
                    let entries = self.entries(Some(start), depth + 1)?;
                    let span = start..self.lexer.offset();
                    items.push(Item::Dictionary { span, entries });
                }
                TokenKind::Open(open) => {
                    let inner = self.items(Some((open, start)), depth + 1)?;
                    items.push(Item::List {
                        span: start..self.lexer.offset(),
                        open,
                        items: inner,
                    });
                }
                TokenKind::Close(bracket) => {
                    return match opened {
                        Some((open, _)) if closing(open) == bracket => Ok(items),
                        _ => self.error(start, SyntaxErrorKind::StrayBracket(char::from(bracket))),
                    };
                }
                _ => items.push(Item::Token(token)),
            }
        }
    }
}

fn after_count(items: &[Item]) -> bool {
    matches!(items.last(), Some(Item::Token(token)) if token.kind == TokenKind::Number)
}

/// What may end a value besides `;`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Semicolon,
    /// The `}` of the dictionary around it.
    Bracket,
    /// The end of the text.
    Text,
}
