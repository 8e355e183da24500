//! HTTP/2 frames (RFC 9113, sections 4 and 6): bytes to frames, and the few frames that a server writes.

/// The largest payload that anyone must accept, and all that we accept or send: we never raise SETTINGS_MAX_FRAME_SIZE.
pub(super) const MAX_PAYLOAD: usize = 16_384;
/// Bytes of a frame's head: length (3), type, flags, stream (4).
pub(super) const HEAD: usize = 9;

pub(super) const SETTINGS_MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// HTTP/2 error codes, those that this server sends (RFC 9113, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Code {
    Protocol = 0x1,
    FlowControl = 0x3,
    FrameSize = 0x6,
    RefusedStream = 0x7,
    Compression = 0x9,
    EnhanceYourCalm = 0xb,
}

/// The client broke HTTP/2. Stream errors are treated as connection errors too, which RFC 9113, section 5.4 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the CRI client broke HTTP/2 ({code:?}): {reason}")]
pub(super) struct Violation {
    pub(super) code: Code,
    pub(super) reason: &'static str,
}

impl Violation {
    pub(super) fn new(code: Code, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Bytes of payload, at most [`MAX_PAYLOAD`].
    pub(super) length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    pub(super) fn parse(bytes: [u8; HEAD]) -> Result<Self, Violation> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if length > MAX_PAYLOAD {
            return Err(Violation::new(Code::FrameSize, "a frame of more than 16384 bytes"));
        }
        let stream = u31([s0, s1, s2, s3]);
        Ok(Self { length, kind, flags, stream })
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A frame from the client, as far as this server cares.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// A piece of a request. Its bytes don't matter here, only what they take of the flow-control windows.
    Data {
        stream: u32,
        window: u32,
        end_stream: bool,
    },
    Headers {
        stream: u32,
        block: &'a [u8],
        end_stream: bool,
        end_headers: bool,
    },
    Continuation {
        stream: u32,
        block: &'a [u8],
        end_headers: bool,
    },
    RstStream {
        stream: u32,
    },
    Settings(&'a [u8]),
    Ping([u8; 8]),
    /// `stream` 0 is the connection.
    WindowUpdate {
        stream: u32,
        increment: u32,
    },
    /// PRIORITY, GOAWAY, acknowledgements and unknown types: nothing to do.
    Ignored,
}

impl<'a> Frame<'a> {
    /// Reads the payload that came after `head`.
    pub(super) fn parse(head: Head, payload: &'a [u8]) -> Result<Self, Violation> {
        let stream = head.stream;
        match head.kind {
            DATA => {
                on_a_stream(stream)?;
                unpad(head, payload)?;
                let window = payload.len() as u32;
                Ok(Self::Data { stream, window, end_stream: head.has(END_STREAM) })
            }
            HEADERS => {
                on_a_stream(stream)?;
                let mut block = unpad(head, payload)?;
                if head.has(PRIORITY) {
                    block = block.get(5..).ok_or(BAD_SIZE)?;
                }
                let (end_stream, end_headers) = (head.has(END_STREAM), head.has(END_HEADERS));
                Ok(Self::Headers { stream, block, end_stream, end_headers })
            }
            CONTINUATION => {
                on_a_stream(stream)?;
                Ok(Self::Continuation { stream, block: payload, end_headers: head.has(END_HEADERS) })
            }
            RST_STREAM => {
                on_a_stream(stream)?;
                fixed::<4>(payload)?;
                Ok(Self::RstStream { stream })
            }
            SETTINGS => {
                on_the_connection(stream)?;
                if !payload.len().is_multiple_of(6) {
                    return Err(BAD_SIZE);
                }
                Ok(if head.has(ACK) { Self::Ignored } else { Self::Settings(payload) })
            }
            PING => {
                on_the_connection(stream)?;
                let data = fixed(payload)?;
                Ok(if head.has(ACK) { Self::Ignored } else { Self::Ping(data) })
            }
            WINDOW_UPDATE => Ok(Self::WindowUpdate { stream, increment: u31(fixed(payload)?) }),
            PUSH_PROMISE => Err(Violation::new(Code::Protocol, "a client may not push")),
            _ => Ok(Self::Ignored),
        }
    }
}

const BAD_SIZE: Violation = Violation { code: Code::FrameSize, reason: "a payload of the wrong size for its type" };

fn fixed<const N: usize>(payload: &[u8]) -> Result<[u8; N], Violation> {
    payload.try_into().map_err(|_| BAD_SIZE)
}

/// The payload of a DATA or HEADERS frame without its padding.
fn unpad(head: Head, payload: &[u8]) -> Result<&[u8], Violation> {
    if !head.has(PADDED) {
        return Ok(payload);
    }
    let (&padding, rest) = payload.split_first().ok_or(BAD_SIZE)?;
    let kept = rest.len().checked_sub(usize::from(padding));
    let kept = kept.ok_or(Violation::new(Code::Protocol, "more padding than payload"))?;
    Ok(&rest[..kept])
}

fn on_a_stream(stream: u32) -> Result<(), Violation> {
    match stream {
        0 => Err(Violation::new(Code::Protocol, "a frame without the stream it needs")),
        _ => Ok(()),
    }
}

fn on_the_connection(stream: u32) -> Result<(), Violation> {
    match stream {
        0 => Ok(()),
        _ => Err(Violation::new(Code::Protocol, "a connection's frame on a stream")),
    }
}

/// A number of 31 bits; the first bit is reserved and ignored.
fn u31(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

/// The settings of a SETTINGS payload: identifier and value.
pub(super) fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload
        .as_chunks()
        .0
        .iter()
        .map(|&[i0, i1, v0, v1, v2, v3]| (u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3])))
}

/// Writes any frame; `payload` has at most [`MAX_PAYLOAD`] bytes.
pub(super) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

pub(super) fn write_settings(out: &mut Vec<u8>, id: u16, value: u32) {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    write(out, SETTINGS, 0, 0, &payload);
}

pub(super) fn write_settings_ack(out: &mut Vec<u8>) {
    write(out, SETTINGS, ACK, 0, &[]);
}

pub(super) fn write_ping_ack(out: &mut Vec<u8>, data: [u8; 8]) {
    write(out, PING, ACK, 0, &data);
}

pub(super) fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    write(out, WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
}

/// A whole header block, at most [`MAX_PAYLOAD`] bytes.
pub(super) fn write_headers(out: &mut Vec<u8>, stream: u32, block: &[u8], end_stream: bool) {
    let flags = END_HEADERS | if end_stream { END_STREAM } else { 0 };
    write(out, HEADERS, flags, stream, block);
}

pub(super) fn write_data(out: &mut Vec<u8>, stream: u32, data: &[u8]) {
    write(out, DATA, 0, stream, data);
}

pub(super) fn write_rst_stream(out: &mut Vec<u8>, stream: u32, code: Code) {
    write(out, RST_STREAM, 0, stream, &(code as u32).to_be_bytes());
}

pub(super) fn write_goaway(out: &mut Vec<u8>, last_stream: u32, violation: Violation) {
    let payload =
        [&last_stream.to_be_bytes()[..], &(violation.code as u32).to_be_bytes(), violation.reason.as_bytes()].concat();
    write(out, GOAWAY, 0, 0, &payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn parse(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<Frame<'_>, Violation> {
        let mut bytes = Vec::new();
        write(&mut bytes, kind, flags, stream, payload);
        let head = Head::parse(bytes[..HEAD].try_into().unwrap())?;
        assert_eq!(head.length, payload.len());
        Frame::parse(head, payload)
    }

    fn headers(block: &[u8]) -> Result<Frame<'_>, Violation> {
        Ok(Frame::Headers { stream: 1, block, end_stream: false, end_headers: true })
    }

    #[rstest]
    #[case::plain(END_HEADERS, b"block")]
    #[case::padded(END_HEADERS | PADDED, b"\x02block..")]
    #[case::priority(END_HEADERS | PRIORITY, b"\0\0\0\0\x10block")]
    #[case::both(END_HEADERS | PADDED | PRIORITY, b"\x01\0\0\0\0\x10block.")]
    fn padding_and_priority_are_no_part_of_a_header_block(#[case] flags: u8, #[case] payload: &[u8]) {
        assert_eq!(parse(HEADERS, flags, 1, payload), headers(b"block"));
    }

    #[test]
    fn padding_counts_for_flow_control() {
        let data = parse(DATA, PADDED | END_STREAM, 3, b"\x02ab..");
        assert_eq!(data, Ok(Frame::Data { stream: 3, window: 5, end_stream: true }));
    }

    #[rstest]
    #[case::data_on_the_connection(DATA, 0, 0, b"", Code::Protocol)]
    #[case::headers_on_the_connection(HEADERS, 0, 0, b"", Code::Protocol)]
    #[case::settings_on_a_stream(SETTINGS, 0, 1, b"", Code::Protocol)]
    #[case::ping_on_a_stream(PING, 0, 1, b"12345678", Code::Protocol)]
    #[case::too_much_padding(DATA, PADDED, 1, b"\x03ab", Code::Protocol)]
    #[case::push(PUSH_PROMISE, 0, 1, b"", Code::Protocol)]
    #[case::no_pad_length(HEADERS, PADDED, 1, b"", Code::FrameSize)]
    #[case::short_priority(HEADERS, PRIORITY, 1, b"1234", Code::FrameSize)]
    #[case::odd_settings(SETTINGS, 0, 0, b"12345", Code::FrameSize)]
    #[case::short_ping(PING, 0, 0, b"1234567", Code::FrameSize)]
    #[case::long_reset(RST_STREAM, 0, 1, b"12345", Code::FrameSize)]
    #[case::short_window_update(WINDOW_UPDATE, 0, 1, b"123", Code::FrameSize)]
    fn a_frame_that_breaks_the_rules_is_refused(
        #[case] kind: u8,
        #[case] flags: u8,
        #[case] stream: u32,
        #[case] payload: &[u8],
        #[case] code: Code,
    ) {
        assert_eq!(parse(kind, flags, stream, payload).map_err(|violation| violation.code), Err(code));
    }

    #[test]
    fn a_payload_over_the_limit_is_refused_before_it_is_read() {
        let head = Head::parse([0, 0x40, 0x01, DATA, 0, 0, 0, 0, 1]);
        assert_eq!(head.map(|head| head.length).map_err(|violation| violation.code), Err(Code::FrameSize));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_a_violation(
            kind in 0..12_u8,
            rest in any::<[u8; HEAD - 4]>(),
            payload in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let [flags, s0, s1, s2, s3] = rest;
            let head = Head::parse([0, 0, payload.len() as u8, kind, flags, s0, s1, s2, s3]).unwrap();
            if let Ok(Frame::Settings(pairs)) = Frame::parse(head, &payload) {
                prop_assert_eq!(settings(pairs).count(), payload.len() / 6);
            }
        }
    }
}
