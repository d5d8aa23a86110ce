//! Any bytes as what host and guest say to each other: frames, requests, answers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use windlass_guest::agent::{Answer, Decoder, Request};

fuzz_target!(|bytes: &[u8]| {
    let _ = (Request::parse(bytes), Answer::parse(bytes));
    let mut decoder = Decoder::new();
    for piece in bytes.chunks(97) {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => {
                    if let Ok(request) = Request::parse(&frame.body) {
                        let again = Request::parse(&request.to_frame(frame.number)[9..]);
                        assert_eq!(again, Ok(request));
                    }
                    let _ = Answer::parse(&frame.body);
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
    }
});
