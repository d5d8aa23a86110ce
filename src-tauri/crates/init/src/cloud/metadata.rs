//! OpenStack's metadata service, which each network of it has at an address of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use windlass_guest::user_data::LIMIT_BYTES;

const SERVICE: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const PORT: u16 = 80;
const PATH: &str = "/openstack/latest/user_data";

/// The service is slow to notice a new machine: it is asked so often, with so much time between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);

/// What an answer may have before its body.
const HEAD_LIMIT_BYTES: u64 = 16 << 10;

/// The machine's user data; none where it was given none.
pub(super) fn fetch() -> Result<Option<String>, String> {
    let mut reason = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            sleep(PAUSE);
        }
        match ask() {
            Ok(answer) => match read(&answer) {
                Some((200, body)) => return Ok(Some(String::from_utf8_lossy(body).into_owned())),
                Some((404, _)) => return Ok(None),
                Some((status, _)) => reason = format!("{SERVICE} answers with status {status}"),
                None => reason = format!("{SERVICE} answers with something else than HTTP"),
            },
            Err(error) => reason = format!("{SERVICE}: {error}"),
        }
    }
    Err(reason)
}

fn ask() -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((SERVICE, PORT)), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {PATH} HTTP/1.0\r\nHost: {SERVICE}\r\n\r\n")?;
    let mut answer = Vec::new();
    let limit = HEAD_LIMIT_BYTES + u64::try_from(LIMIT_BYTES).unwrap_or(u64::MAX);
    stream.take(limit).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Status and body of an answer.
fn read(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n")?;
    let (head, body) = answer.split_at(end);
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let status = words
        .next()
        .filter(|it| it.starts_with("HTTP/1."))
        .and(words.next())?
        .parse()
        .ok()?;
    Some((status, body.get(4..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n#windlass";
        assert_eq!(read(answer), Some((200, b"#windlass".as_slice())));
        assert_eq!(
            read(b"HTTP/1.1 404 Not Found\r\n\r\n"),
            Some((404, b"".as_slice()))
        );
        for wrong in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 many\r\n\r\n",
        ] {
            assert_eq!(read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
