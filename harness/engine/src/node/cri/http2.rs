//! The server side of an HTTP/2 connection (RFC 9113), as much of it as unary gRPC calls need.
//!
//! [`Connection`] does no IO: frames go in, bytes to send pile up in a buffer. [`serve`] moves the bytes.
//! What a client may make it keep is bounded: one frame, one header block, [`MAX_STREAMS`] short answers.

use std::collections::BTreeMap;
use std::{io, mem};

use loona_hpack::Decoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::frame::{self, Code, Frame, HEAD, Head, MAX_PAYLOAD, Violation};

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Calls in progress on a connection; a kubelet has a handful.
const MAX_STREAMS: usize = 100;
/// Bytes of a header block; gRPC's are some hundreds.
const MAX_HEADER_BLOCK: usize = 64 * 1024;
/// Bytes of a `:path`; a longer one can't be a CRI method.
const MAX_PATH: usize = 256;
/// HPACK's dynamic table, and a flow-control window, before any SETTINGS.
const HEADER_TABLE: usize = 4096;
const DEFAULT_WINDOW: i64 = 65_535;
const MAX_WINDOW: i64 = 0x7fff_ffff;

/// HPACK, with static-table names and literals only, so that nothing depends on the client's decoder:
/// `:status: 200`, `content-type: application/grpc`.
const RESPONSE: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`, as trailers.
const OK: &[u8] = b"\x00\x0bgrpc-status\x010";
/// A whole answer: [`RESPONSE`] with `grpc-status: 12`.
const UNIMPLEMENTED: &[u8] =
    b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x0212\x00\x0cgrpc-message\x28tlsboot's CRI endpoint lacks this method";

/// Why a connection ended before the client closed it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the connection to the CRI client broke: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// Serves one connection until the client closes it. `answer` gets the `:path` of each call and gives
/// the message to send back, or `None` for a method that isn't there.
pub(super) async fn serve(mut stream: UnixStream, answer: impl FnMut(&str) -> Option<Vec<u8>>) -> Result<(), Error> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut connection = Connection::new(answer);
    let served = async {
        writer.write_all(&mem::take(&mut connection.out)).await?;
        let mut preface = [0; PREFACE.len()];
        reader.read_exact(&mut preface).await?;
        if preface != *PREFACE {
            return Err(Violation::new(Code::Protocol, "it doesn't speak HTTP/2").into());
        }
        let mut payload = Vec::with_capacity(MAX_PAYLOAD);
        loop {
            let mut head = [0; HEAD];
            reader.read_exact(&mut head).await?;
            let head = Head::parse(head)?;
            payload.resize(head.length, 0);
            reader.read_exact(&mut payload).await?;
            connection.receive(Frame::parse(head, &payload)?)?;
            writer.write_all(&mem::take(&mut connection.out)).await?;
        }
    }
    .await;
    match served {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        Err(Error::Violation(violation)) => {
            frame::write_goaway(&mut connection.out, connection.last_stream, violation);
            writer.write_all(&connection.out).await?;
            Err(violation.into())
        }
        other => other,
    }
}

/// The state of a connection.
struct Connection<A> {
    answer: A,
    /// Bytes to send, whole frames.
    out: Vec<u8>,
    decoder: Decoder<'static>,
    /// A header block whose CONTINUATION frames are still to come; nothing else may come before them.
    block: Option<HeaderBlock>,
    streams: BTreeMap<u32, Stream>,
    last_stream: u32,
    /// Bytes of DATA that the client lets us send, on the connection and at first on each stream.
    window: i64,
    initial_window: i64,
}

struct HeaderBlock {
    stream: u32,
    bytes: Vec<u8>,
    end_stream: bool,
}

struct Stream {
    path: String,
    /// Bytes of DATA that the client lets us send here.
    window: i64,
    /// What is left of the answer, once the request has ended.
    answer: Option<Vec<u8>>,
}

impl<A: FnMut(&str) -> Option<Vec<u8>>> Connection<A> {
    fn new(answer: A) -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(HEADER_TABLE);
        let mut out = Vec::new();
        frame::write_settings(&mut out, frame::SETTINGS_MAX_CONCURRENT_STREAMS, MAX_STREAMS as u32);
        Self {
            answer,
            out,
            decoder,
            block: None,
            streams: BTreeMap::new(),
            last_stream: 0,
            window: DEFAULT_WINDOW,
            initial_window: DEFAULT_WINDOW,
        }
    }

    fn receive(&mut self, frame: Frame<'_>) -> Result<(), Violation> {
        if self.block.is_some() && !matches!(frame, Frame::Continuation { .. }) {
            return Err(Violation::new(Code::Protocol, "a header block was not continued"));
        }
        match frame {
            Frame::Headers { stream, block, end_stream, end_headers } => {
                self.block = Some(HeaderBlock { stream, bytes: block.to_vec(), end_stream });
                self.end_of_headers(end_headers)
            }
            Frame::Continuation { stream, block, end_headers } => {
                self.continued(stream, block)?;
                self.end_of_headers(end_headers)
            }
            Frame::Data { stream, window, end_stream } => self.data(stream, window, end_stream),
            Frame::RstStream { stream } => {
                self.known(stream)?;
                self.streams.remove(&stream);
                Ok(())
            }
            Frame::Settings(payload) => self.settings(payload),
            Frame::Ping(data) => {
                frame::write_ping_ack(&mut self.out, data);
                Ok(())
            }
            Frame::WindowUpdate { stream, increment } => self.window_update(stream, increment),
            Frame::Ignored => Ok(()),
        }
    }

    fn continued(&mut self, stream: u32, more: &[u8]) -> Result<(), Violation> {
        let block = self.block.as_mut().filter(|block| block.stream == stream);
        let block = block.ok_or(Violation::new(Code::Protocol, "a CONTINUATION of nothing"))?;
        if block.bytes.len() + more.len() > MAX_HEADER_BLOCK {
            return Err(Violation::new(Code::EnhanceYourCalm, "a header block of more than 64 KiB"));
        }
        block.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Once a header block is whole, it opens a stream, or ends one (trailers).
    fn end_of_headers(&mut self, end_headers: bool) -> Result<(), Violation> {
        let Some(HeaderBlock { stream, bytes, end_stream }) = self.block.take_if(|_| end_headers) else {
            return Ok(());
        };
        // Also of a stream that is then refused: the decoder's table must follow the client's.
        let path = self.path(&bytes)?;
        if stream > self.last_stream && !stream.is_multiple_of(2) {
            self.last_stream = stream;
            if self.streams.len() == MAX_STREAMS {
                frame::write_rst_stream(&mut self.out, stream, Code::RefusedStream);
                return Ok(());
            }
            self.streams.insert(stream, Stream { path, window: self.initial_window, answer: None });
        } else if !end_stream || !self.is_open(stream) {
            return Err(Violation::new(Code::Protocol, "HEADERS that neither open nor end a request"));
        }
        if end_stream {
            self.end_of_request(stream);
        }
        Ok(())
    }

    /// The `:path` of a header block, the only header that matters; empty where there is none.
    fn path(&mut self, block: &[u8]) -> Result<String, Violation> {
        let mut path = String::new();
        let decoded = self.decoder.decode_with_cb(block, |name, value| {
            if *name == *b":path" && value.len() <= MAX_PATH {
                path = String::from_utf8_lossy(&value).into_owned();
            }
        });
        decoded.map_err(|_| Violation::new(Code::Compression, "a header block that is not HPACK"))?;
        Ok(path)
    }

    fn data(&mut self, stream: u32, window: u32, end_stream: bool) -> Result<(), Violation> {
        self.known(stream)?;
        // The bytes are gone already, so the client gets its window back at once.
        if window > 0 {
            frame::write_window_update(&mut self.out, 0, window);
        }
        // A stream that was reset or refused may have had DATA under way.
        if self.is_open(stream) {
            if end_stream {
                self.end_of_request(stream);
            } else if window > 0 {
                frame::write_window_update(&mut self.out, stream, window);
            }
        }
        Ok(())
    }

    /// True while a request's end is still to come.
    fn is_open(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.answer.is_none())
    }

    fn end_of_request(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match (self.answer)(&stream.path) {
            Some(message) => {
                frame::write_headers(&mut self.out, id, RESPONSE, false);
                stream.answer = Some(grpc_message(&message));
                self.send();
            }
            None => {
                frame::write_headers(&mut self.out, id, UNIMPLEMENTED, true);
                self.streams.remove(&id);
            }
        }
    }

    /// Sends of every answer what the windows allow, and forgets the streams that are done.
    fn send(&mut self) {
        let (out, window) = (&mut self.out, &mut self.window);
        self.streams.retain(|&id, stream| {
            let Some(answer) = &mut stream.answer else {
                return true;
            };
            while !answer.is_empty() {
                let allowed = stream.window.min(*window).clamp(0, MAX_PAYLOAD as i64) as usize;
                let size = answer.len().min(allowed);
                if size == 0 {
                    return true;
                }
                frame::write_data(out, id, &answer[..size]);
                answer.drain(..size);
                stream.window -= size as i64;
                *window -= size as i64;
            }
            frame::write_headers(out, id, OK, true);
            false
        });
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), Violation> {
        for (id, value) in frame::settings(payload) {
            if id == frame::SETTINGS_INITIAL_WINDOW_SIZE {
                self.initial_window(i64::from(value))?;
            }
        }
        frame::write_settings_ack(&mut self.out);
        self.send();
        Ok(())
    }

    /// A new initial window moves the windows of all streams by the difference (RFC 9113, section 6.9.2).
    fn initial_window(&mut self, value: i64) -> Result<(), Violation> {
        let difference = value - self.initial_window;
        self.initial_window = checked_window(value)?;
        for stream in self.streams.values_mut() {
            stream.window = checked_window(stream.window + difference)?;
        }
        Ok(())
    }

    fn window_update(&mut self, stream: u32, increment: u32) -> Result<(), Violation> {
        if increment == 0 {
            return Err(Violation::new(Code::Protocol, "a WINDOW_UPDATE by nothing"));
        }
        let increment = i64::from(increment);
        if stream == 0 {
            self.window = checked_window(self.window + increment)?;
        } else {
            self.known(stream)?;
            if let Some(stream) = self.streams.get_mut(&stream) {
                stream.window = checked_window(stream.window + increment)?;
            }
        }
        self.send();
        Ok(())
    }

    /// Fails for a stream that the client never opened.
    fn known(&self, stream: u32) -> Result<(), Violation> {
        if stream > self.last_stream || stream.is_multiple_of(2) {
            return Err(Violation::new(Code::Protocol, "a frame on a stream that was never opened"));
        }
        Ok(())
    }
}

fn checked_window(window: i64) -> Result<i64, Violation> {
    if window > MAX_WINDOW {
        return Err(Violation::new(Code::FlowControl, "a window of more than 2^31-1 bytes"));
    }
    Ok(window)
}

/// A message in gRPC's framing: not compressed, length, bytes.
fn grpc_message(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    [&[0], &length[..], message].concat()
}

#[cfg(test)]
pub(super) mod tests;
