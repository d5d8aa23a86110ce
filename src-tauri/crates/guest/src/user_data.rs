//! What a cloud tells a Linux guest of ours when it starts: its *user data*.
//!
//! An image says by itself what it runs. On a cloud the same image can be told something else, and who its neighbours are,
//! without another one being built:
//!
//! ```text
//! #windlass
//! command-line: --env=DATABASE=db /usr/bin/node /app/server.js
//! host: 10.77.0.11 db db-1
//! ```
//!
//! Writer and reader are this one module. User data of other kinds (`#cloud-config`, scripts) are for other guests.

use std::fmt;
use std::net::IpAddr;

/// How user data of ours begin.
pub const MARK: &str = "#windlass";

/// No cloud gives more than this, in bytes.
pub const LIMIT_BYTES: usize = 65535;

/// What a guest is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserData {
    /// What it runs instead of what its image says.
    pub command_line: Option<String>,
    /// Names that it finds at these addresses.
    pub hosts: Vec<Host>,
}

/// Names of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The address; in a template, what stands for one.
    pub address: String,
    /// Its names, at least one.
    pub names: Vec<String>,
}

/// User data that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserDataError {
    /// They are for another kind of guest.
    #[error("they do not begin with `{MARK}`")]
    OfOthers,
    /// A line says nothing that is known.
    #[error("line {line} is neither `command-line: …` nor `host: ADDRESS NAME…`")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
}

impl UserData {
    /// Reads user data.
    ///
    /// # Errors
    ///
    /// [`UserDataError`], with the line.
    pub fn parse(text: &str) -> Result<Self, UserDataError> {
        let mut lines = (1..).zip(text.lines());
        if lines
            .next()
            .is_none_or(|(_, first)| first.trim_end() != MARK)
        {
            return Err(UserDataError::OfOthers);
        }
        let mut read = Self::default();
        for (line, text) in lines {
            let text = text.trim_end_matches('\r');
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            match text.split_once(": ") {
                Some(("command-line", said)) => read.command_line = Some(said.to_owned()),
                Some(("host", said)) => {
                    read.hosts
                        .push(host(said).ok_or(UserDataError::Line { line })?);
                }
                _ => return Err(UserDataError::Line { line }),
            }
        }
        Ok(read)
    }
}

fn host(said: &str) -> Option<Host> {
    let mut words = said.split_ascii_whitespace().map(str::to_owned);
    let address = words.next()?;
    address.parse::<IpAddr>().ok()?;
    let names: Vec<String> = words.collect();
    let plain = |name: &String| {
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
    };
    (!names.is_empty() && names.iter().all(plain)).then_some(Host { address, names })
}

impl fmt::Display for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MARK}")?;
        if let Some(line) = &self.command_line {
            // A command line is one line; what would break it is a blank to its grammar.
            writeln!(f, "command-line: {}", line.replace(['\n', '\r'], " "))?;
        }
        for host in &self.hosts {
            writeln!(f, "host: {} {}", host.address, host.names.join(" "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let data = UserData {
            command_line: Some("--env=A=b /usr/bin/serve --port 80".to_owned()),
            hosts: vec![Host {
                address: "10.77.0.11".to_owned(),
                names: vec!["db".to_owned(), "db-1".to_owned()],
            }],
        };
        let text = data.to_string();
        insta::assert_snapshot!(text, @r"
        #windlass
        command-line: --env=A=b /usr/bin/serve --port 80
        host: 10.77.0.11 db db-1
        ");
        assert_eq!(UserData::parse(&text), Ok(data));
    }

    #[test]
    fn those_of_others_are_left_alone_and_mistakes_have_a_line() {
        let read = |text: &str| UserData::parse(text).map_err(|error| error.to_string());
        assert_eq!(
            UserData::parse("#cloud-config\n"),
            Err(UserDataError::OfOthers)
        );
        assert_eq!(UserData::parse(""), Err(UserDataError::OfOthers));
        assert!(read("#windlass\r\n\r\n# a note\r\n").is_ok());
        for wrong in [
            "run: ls",
            "host: db 10.0.0.1",
            "host: 10.0.0.1",
            "host: 10.0.0.1 a\tb;c",
            "command-line",
        ] {
            let error = read(&format!("#windlass\n{wrong}\n")).unwrap_err();
            assert!(error.starts_with("line 2 is neither"), "{wrong}: {error}");
        }
    }
}
