//! SHA-256 of a stream, in chunks: a history or an executable is too large to hold in memory.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

const PIECE: usize = 1 << 16;

/// The SHA-256, in lower-case hex, and the length in bytes of all that is left to read.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn sha256(mut from: impl Read) -> io::Result<(String, u64)> {
    let (mut digest, mut length, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok((hex::encode(digest.finalize()), length)),
            Ok(count) => {
                digest.update(&piece[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_whole() {
        for length in [0, 1, PIECE, 3 * PIECE + 7] {
            let bytes = vec![7; length];
            assert_eq!(sha256(&*bytes).unwrap(), (hex::encode(Sha256::digest(&bytes)), length as u64));
        }
    }
}
