//! What the agent's thread wants of the supervisor, and the answer's way back.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use windlass_guest::agent::{Answer, Refusal};

/// Programs have some seconds to end, and more under load.
const RESTART_TIMEOUT: Duration = Duration::from_secs(30);

/// That the commands begin again.
#[derive(Debug)]
pub(crate) struct Wish {
    /// The boot command line from now on, if it is another.
    pub command_line: Option<String>,
    answer: mpsc::Sender<Result<u32, Refused>>,
}

type Refused = (Refusal, String);

impl Wish {
    /// It was done; there are so many commands.
    pub(crate) fn grant(self, commands: usize) {
        let _ = self
            .answer
            .send(Ok(u32::try_from(commands).unwrap_or(u32::MAX)));
    }

    /// It was not done.
    pub(crate) fn refuse(self, reason: Refusal, message: String) {
        let _ = self.answer.send(Err((reason, message)));
    }
}

/// The agent's end.
#[derive(Debug)]
pub(super) struct Sender {
    wishes: mpsc::Sender<Wish>,
    bell: UnixStream,
}

/// The supervisor's end: the wishes, and a socket that can be polled for them.
#[derive(Debug)]
pub(crate) struct Wishes {
    wishes: mpsc::Receiver<Wish>,
    pub(crate) bell: UnixStream,
}

pub(super) fn pair() -> io::Result<(Sender, Wishes)> {
    let (bell, ring) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    let (sender, receiver) = mpsc::channel();
    let sender = Sender {
        wishes: sender,
        bell: ring,
    };
    Ok((
        sender,
        Wishes {
            wishes: receiver,
            bell,
        },
    ))
}

impl Sender {
    /// Asks, and waits until it was done.
    pub(super) fn restart(&mut self, command_line: Option<String>) -> Answer {
        let (answer, done) = mpsc::channel();
        let wish = Wish {
            command_line,
            answer,
        };
        let refused = |reason, message: &str| Answer::Refused {
            reason,
            message: message.to_owned(),
        };
        if self.wishes.send(wish).is_err() || self.bell.write_all(&[1]).is_err() {
            return refused(Refusal::Ending, "the guest is about to end");
        }
        match done.recv_timeout(RESTART_TIMEOUT) {
            Ok(Ok(commands)) => Answer::Restarted { commands },
            Ok(Err((reason, message))) => Answer::Refused { reason, message },
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                refused(Refusal::Ending, "the guest is about to end")
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                refused(Refusal::Other, "the programs do not end")
            }
        }
    }
}

impl Wishes {
    /// The next wish, if there is one.
    pub(crate) fn take(&mut self) -> Option<Wish> {
        let mut rung = [0; 64];
        while matches!(self.bell.read(&mut rung), Ok(count) if count > 0) {}
        self.wishes.try_recv().ok()
    }
}
