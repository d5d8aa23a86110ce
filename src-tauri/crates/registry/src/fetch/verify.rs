//! Signatures, and what comes compressed.

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use minisign_verify::PublicKey;

use super::part::Part;
use super::{Job, file};
use crate::kinds::listing;
use crate::{Control, Error};

const CHUNK_BYTES: usize = 512 << 10;

/// A signature, and the key that it should be by.
pub(super) struct Signature {
    key: PublicKey,
    signature: minisign_verify::Signature,
}

/// Fetches the signature of an entry, where the registry has a key.
pub(super) async fn signature(job: &Job<'_>) -> Result<Option<Signature>, Error> {
    let Some(key) = &job.config.minisign_key else {
        return Ok(None);
    };
    let key = public_key(key).ok_or_else(|| wrong_key(&job.config.name))?;
    let place = job.entry.locator.place.clone();
    let Some(locator) = &job.entry.signature else {
        return Err(Error::Unsigned { place });
    };
    let text = match listing::small_text(job.kind, locator, job.limits, job.control).await {
        Err(Error::Status {
            status: 404 | 410, ..
        }) => return Err(Error::Unsigned { place }),
        other => other?,
    };
    let signature =
        minisign_verify::Signature::decode(&text).map_err(|error| Error::Signature {
            place,
            found: error.to_string(),
        })?;
    Ok(Some(Signature { key, signature }))
}

/// A key as a person gives it: the line, or the whole file with its comment.
pub(crate) fn public_key(text: &str) -> Option<PublicKey> {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    PublicKey::from_base64(line).ok()
}

/// That a registry's key is none.
pub(crate) fn wrong_key(registry: &str) -> Error {
    Error::Config {
        registry: registry.to_owned(),
        found: "its key is no minisign public key".to_owned(),
        remedy: "Write the line of the .pub file that begins with RW.".to_owned(),
    }
}

/// Verifies the signature of a part; its trusted comment.
pub(super) async fn check(
    job: &Job<'_>,
    part: &Part,
    signature: Signature,
) -> Result<String, Error> {
    let place = job.entry.locator.place.clone();
    let mut input = Input::open(part, job.control)?;
    let work = tokio::task::spawn_blocking(move || {
        let wrong = |error: minisign_verify::Error| Error::Signature {
            place: place.clone(),
            found: error.to_string(),
        };
        let Signature { key, signature } = signature;
        let mut verifier = key.verify_stream(&signature).map_err(wrong)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = input
                .read(&mut buffer)
                .map_err(|source| input.failed(source))?;
            if count == 0 {
                break;
            }
            verifier.update(&buffer[..count]);
        }
        verifier.finalize().map_err(wrong)?;
        Ok(signature.trusted_comment().to_owned())
    });
    work.await.unwrap_or(Err(Error::Cancelled))
}

/// Unpacks a part to its name, whole or not at all; how many bytes that are.
pub(super) async fn unpack(job: &Job<'_>, part: &Part, path: &Path) -> Result<u64, Error> {
    let place = job.entry.locator.place.clone();
    let limit = job.limits.file_bytes;
    let input = Input::open(part, job.control)?;
    let control = job.control.clone();
    let path = path.to_path_buf();
    let work = tokio::task::spawn_blocking(move || {
        let mut decoder = MultiGzDecoder::new(BufReader::with_capacity(CHUNK_BYTES, input));
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut length = 0;
        let mut trouble = None;
        let written = file::write_with(&path, |out| {
            loop {
                let count = match decoder.read(&mut buffer) {
                    Ok(count) => count,
                    Err(error) => {
                        trouble = Some(if control.is_cancelled() {
                            Error::Cancelled
                        } else {
                            Error::Gzip {
                                place: place.clone(),
                                source: error,
                            }
                        });
                        return Err(io::Error::other("unpacking ended"));
                    }
                };
                if count == 0 {
                    return Ok(());
                }
                length += count as u64;
                if length > limit {
                    trouble = Some(Error::TooLarge {
                        place: place.clone(),
                        limit_bytes: limit,
                    });
                    return Err(io::Error::other("unpacking ended"));
                }
                out.write_all(&buffer[..count])?;
            }
        });
        match trouble {
            Some(trouble) => Err(trouble),
            None => written.map(|()| length),
        }
    });
    work.await.unwrap_or(Err(Error::Cancelled))
}

/// A part that is read from its beginning, until that is cancelled.
struct Input {
    file: std::fs::File,
    path: std::path::PathBuf,
    control: Control,
}

impl Input {
    fn open(part: &Part, control: &Control) -> Result<Self, Error> {
        let mut file = part.handle()?;
        file.seek(SeekFrom::Start(0))
            .map_err(|source| part.failed("read", source))?;
        Ok(Self {
            file,
            path: part.path().to_path_buf(),
            control: control.clone(),
        })
    }

    fn failed(&self, source: io::Error) -> Error {
        if self.control.is_cancelled() {
            Error::Cancelled
        } else {
            Error::io("read", &self.path, source)
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.control.is_cancelled() {
            // Not `Interrupted`, after which readers try again.
            return Err(io::Error::other("cancelled"));
        }
        self.file.read(buffer)
    }
}
