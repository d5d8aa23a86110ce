//! The clusters of a disk, compressed side by side and handed over in their order.

use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::{Compress, FlushCompress, Status};

use super::{Chunk, chunks, is_zero, length};
use crate::Error;
use crate::disk::ReadAt;

const DEFLATE_LEVEL: u32 = 6;
const DEFLATE_WINDOW_BITS: u8 = 12;
const ZSTD_LEVEL: i32 = 3;

/// A cluster is compressed in a millisecond, which is worth a thread but not more of them than cores.
const COMPRESSORS_MAX: usize = 8;
/// How many clusters wait at each compressor.
const QUEUE: usize = 8;

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Read by every QEMU and every cloud.
    Deflate,
    /// Faster and smaller; read by QEMU 5.1 and newer.
    Zstd,
}

/// By what a cluster is compressed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Method {
    /// Bare, with the window that QEMU's decoder of qcow2 takes.
    Deflate,
    /// With zlib's header and checksum.
    Zlib,
    Zstd,
}

impl Method {
    pub(super) fn of(compression: Compression) -> Self {
        match compression {
            Compression::Deflate => Self::Deflate,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// The clusters of a disk that may hold data, the last one filled up with zeros.
pub(super) fn clusters(
    disk: &dyn ReadAt,
    cluster_bytes: u64,
) -> impl Iterator<Item = Result<Cluster, Error>> {
    chunks(disk, cluster_bytes).map(move |chunk| {
        let Chunk { range, skipped } = chunk?;
        let mut bytes = vec![0; usize::try_from(cluster_bytes).unwrap_or(usize::MAX)];
        disk.read_at(range.start, &mut bytes[..length(&range)])?;
        Ok(Cluster {
            number: range.start / cluster_bytes,
            advanced: skipped + range.end - range.start,
            bytes,
        })
    })
}

/// A cluster of the disk.
pub(super) struct Cluster {
    pub(super) number: u64,
    /// How far the work has come with it, in bytes of the disk.
    pub(super) advanced: u64,
    pub(super) bytes: Vec<u8>,
}

/// What of a cluster gets into the file.
pub(super) enum Body {
    Zero,
    Plain(Vec<u8>),
    Compressed(Vec<u8>),
}

pub(super) fn plain(bytes: Vec<u8>) -> Body {
    if is_zero(&bytes) {
        Body::Zero
    } else {
        Body::Plain(bytes)
    }
}

/// Compresses clusters side by side and hands them over in their order.
pub(super) fn compress_all(
    clusters: impl Iterator<Item = Result<Cluster, Error>>,
    method: Method,
    mut take: impl FnMut(Cluster, Body) -> Result<(), Error>,
) -> Result<(), Error> {
    type Done = (Cluster, Body);
    let count = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(COMPRESSORS_MAX);
    thread::scope(|scope| {
        let compressors: Vec<(SyncSender<Cluster>, Receiver<Done>)> = (0..count)
            .map(|_| {
                let (to_do, jobs) = sync_channel::<Cluster>(QUEUE);
                let (done, results) = sync_channel(QUEUE);
                scope.spawn(move || {
                    let mut compressor = Compressor::new(method);
                    for mut cluster in jobs {
                        let body = compressor.compress(std::mem::take(&mut cluster.bytes));
                        if done.send((cluster, body)).is_err() {
                            return;
                        }
                    }
                });
                (to_do, results)
            })
            .collect();
        let (mut sent, mut taken) = (0_usize, 0_usize);
        let mut take_next = |taken: &mut usize| -> Result<(), Error> {
            let result = compressors[*taken % count].1.recv();
            let (cluster, body) = result.map_err(|_| Error::reader_died())?;
            *taken += 1;
            take(cluster, body)
        };
        for cluster in clusters {
            if sent - taken == count * QUEUE {
                take_next(&mut taken)?;
            }
            let sender = &compressors[sent % count].0;
            sender.send(cluster?).map_err(|_| Error::reader_died())?;
            sent += 1;
        }
        while taken < sent {
            take_next(&mut taken)?;
        }
        Ok(())
    })
}

/// Compresses one cluster after the other.
enum Compressor {
    Deflate(Compress),
    Zlib(Compress),
    /// The encoder, unless it could not be had; then clusters stay as they are.
    Zstd(Option<zstd::bulk::Compressor<'static>>),
}

impl Compressor {
    fn new(method: Method) -> Self {
        let level = flate2::Compression::new(DEFLATE_LEVEL);
        match method {
            Method::Deflate => Self::Deflate(Compress::new_with_window_bits(
                level,
                false,
                DEFLATE_WINDOW_BITS,
            )),
            Method::Zlib => Self::Zlib(Compress::new(level, true)),
            Method::Zstd => Self::Zstd(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok()),
        }
    }

    /// What does not get smaller stays as it is; but zlib's is always taken.
    fn compress(&mut self, bytes: Vec<u8>) -> Body {
        if is_zero(&bytes) {
            return Body::Zero;
        }
        let mut packed = vec![0; bytes.len() - 1];
        let length = match self {
            Self::Deflate(deflate) => run(deflate, &bytes, &mut packed),
            Self::Zlib(deflate) => {
                // Stored blocks have five bytes more for each 64 KiB or less, and zlib some around them.
                packed.resize(bytes.len() + bytes.len() / 16 + 64, 0);
                run(deflate, &bytes, &mut packed)
            }
            Self::Zstd(encoder) => encoder
                .as_mut()
                .and_then(|encoder| encoder.compress_to_buffer(&bytes, &mut packed).ok()),
        };
        match length {
            Some(length) => {
                packed.truncate(length);
                Body::Compressed(packed)
            }
            None => Body::Plain(bytes),
        }
    }
}

fn run(deflate: &mut Compress, bytes: &[u8], packed: &mut [u8]) -> Option<usize> {
    deflate.reset();
    match deflate.compress(bytes, packed, FlushCompress::Finish) {
        Ok(Status::StreamEnd) => usize::try_from(deflate.total_out()).ok(),
        _ => None,
    }
}
