use loona_hpack::Encoder;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const PATH: &str = "/runtime.v1.RuntimeService/Version";
const AUTHORITY: &str = "/run/tlsboot/n1/cri.sock";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A frame that the server sent: type, flags, stream, payload.
type Sent = (u8, u8, u32, Vec<u8>);

fn answer(path: &str) -> Option<Vec<u8>> {
    (path == PATH).then(|| b"hello".to_vec())
}

/// "hello" in gRPC's framing.
const HELLO: &[u8] = b"\0\0\0\0\x05hello";

/// A client of a [`Connection`] without sockets.
struct Client<A> {
    connection: Connection<A>,
    encoder: Encoder<'static>,
}

fn client() -> Client<impl FnMut(&str) -> Option<Vec<u8>>> {
    let mut connection = Connection::new(answer);
    connection.out.clear();
    Client { connection, encoder: Encoder::new() }
}

impl<A: FnMut(&str) -> Option<Vec<u8>>> Client<A> {
    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), Violation> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, kind, flags, stream, payload);
        let head = Head::parse(bytes[..HEAD].try_into().unwrap())?;
        self.connection.receive(Frame::parse(head, payload)?)
    }

    /// The header block of a call, as grpc-go sends it on a Unix socket; the dynamic table makes each one differ.
    fn block(&mut self, path: &str) -> Vec<u8> {
        block(&mut self.encoder, path)
    }

    fn call(&mut self, stream: u32, path: &str) -> Result<(), Violation> {
        let block = self.block(path);
        self.frame(HEADERS, END_HEADERS, stream, &block)?;
        self.frame(DATA, END_STREAM, stream, b"\0\0\0\0\0")
    }

    fn sent(&mut self) -> Vec<Sent> {
        frames(&mem::take(&mut self.connection.out))
    }

    /// The frames without the windows that are given back.
    fn answered(&mut self) -> Vec<Sent> {
        let mut sent = self.sent();
        sent.retain(|&(kind, ..)| kind != WINDOW_UPDATE);
        sent
    }
}

fn block(encoder: &mut Encoder<'_>, path: &str) -> Vec<u8> {
    encoder.encode([
        (&b":method"[..], &b"POST"[..]),
        (b":scheme", b"http"),
        (b":path", path.as_bytes()),
        (b":authority", AUTHORITY.as_bytes()),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    ])
}

/// All that a client sends for one call, from the preface on.
pub(in crate::node::cri) fn request(path: &str) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    frame::write(&mut bytes, SETTINGS, 0, 0, &[]);
    frame::write(&mut bytes, HEADERS, END_HEADERS, 1, &block(&mut Encoder::new(), path));
    frame::write(&mut bytes, DATA, END_STREAM, 1, b"\0\0\0\0\0");
    bytes
}

fn frames(mut bytes: &[u8]) -> Vec<Sent> {
    let mut frames = Vec::new();
    while let [l0, l1, l2, kind, flags, s0, s1, s2, s3, rest @ ..] = bytes {
        let (payload, next) = rest.split_at(u32::from_be_bytes([0, *l0, *l1, *l2]) as usize);
        frames.push((*kind, *flags, u32::from_be_bytes([*s0, *s1, *s2, *s3]), payload.to_vec()));
        bytes = next;
    }
    assert_eq!(bytes, b"", "half a frame");
    frames
}

fn decoded(block: &[u8]) -> Vec<(String, String)> {
    let headers = Decoder::new().decode(block).unwrap();
    headers.into_iter().map(|(n, v)| (String::from_utf8(n).unwrap(), String::from_utf8(v).unwrap())).collect()
}

fn complete(stream: u32) -> Vec<Sent> {
    vec![
        (HEADERS, END_HEADERS, stream, RESPONSE.to_vec()),
        (DATA, 0, stream, HELLO.to_vec()),
        (HEADERS, END_HEADERS | END_STREAM, stream, OK.to_vec()),
    ]
}

#[tokio::test]
async fn a_call_with_a_path_as_authority_is_answered() {
    let (mut near, far) = UnixStream::pair().unwrap();
    let server = tokio::spawn(serve(far, answer));
    near.write_all(&request(PATH)).await.unwrap();
    near.shutdown().await.unwrap();
    let mut received = Vec::new();
    near.read_to_end(&mut received).await.unwrap();
    server.await.unwrap().unwrap();

    let mut expected = vec![
        (SETTINGS, 0, 0, vec![0, 3, 0, 0, 0, MAX_STREAMS as u8]),
        (SETTINGS, ACK, 0, vec![]),
        (WINDOW_UPDATE, 0, 0, vec![0, 0, 0, 5]),
    ];
    expected.extend(complete(1));
    assert_eq!(frames(&received), expected);
}

#[test]
fn the_fixed_header_blocks_are_hpack() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let response = [pair(":status", "200"), pair("content-type", "application/grpc")];
    assert_eq!(decoded(RESPONSE), response);
    assert_eq!(decoded(OK), [pair("grpc-status", "0")]);
    assert_eq!(decoded(UNIMPLEMENTED)[..2], response);
    let status = [pair("grpc-status", "12"), pair("grpc-message", "tlsboot's CRI endpoint lacks this method")];
    assert_eq!(decoded(UNIMPLEMENTED)[2..], status);
}

#[test]
fn an_unknown_method_is_unimplemented() {
    let mut client = client();
    client.call(1, "/runtime.v1.RuntimeService/RunPodSandbox").unwrap();
    assert_eq!(client.answered(), [(HEADERS, END_HEADERS | END_STREAM, 1, UNIMPLEMENTED.to_vec())]);
    assert!(client.connection.streams.is_empty());
}

#[test]
fn a_padded_and_continued_header_block_is_one() {
    let mut client = client();
    let block = client.block(PATH);
    let (start, rest) = block.split_at(7);
    let (middle, end) = rest.split_at(9);
    let padded = [&[3, 0, 0, 0, 0, 16], start, &[0; 3]].concat();
    client.frame(HEADERS, PADDED | PRIORITY | END_STREAM, 1, &padded).unwrap();
    client.frame(CONTINUATION, 0, 1, middle).unwrap();
    assert_eq!(client.sent(), []);
    client.frame(CONTINUATION, END_HEADERS, 1, end).unwrap();
    assert_eq!(client.answered(), complete(1));
}

#[test]
fn calls_in_a_row_share_the_dynamic_table() {
    let mut client = client();
    for stream in [1, 3, 5] {
        client.call(stream, PATH).unwrap();
        assert_eq!(client.answered(), complete(stream));
    }
}

#[test]
fn trailers_end_a_request() {
    let mut client = client();
    let block = client.block(PATH);
    client.frame(HEADERS, END_HEADERS, 1, &block).unwrap();
    client.frame(HEADERS, END_HEADERS | END_STREAM, 1, &[]).unwrap();
    assert_eq!(client.answered(), complete(1));
}

#[test]
fn pings_and_settings_are_acknowledged() {
    let mut client = client();
    client.frame(PING, 0, 0, b"12345678").unwrap();
    client.frame(PING, ACK, 0, b"12345678").unwrap();
    client.frame(SETTINGS, 0, 0, &[]).unwrap();
    client.frame(SETTINGS, ACK, 0, &[]).unwrap();
    assert_eq!(client.sent(), [(PING, ACK, 0, b"12345678".to_vec()), (SETTINGS, ACK, 0, vec![])]);
}

#[test]
fn data_gives_its_window_back() {
    let mut client = client();
    let block = client.block(PATH);
    client.frame(HEADERS, END_HEADERS, 1, &block).unwrap();
    client.frame(DATA, 0, 1, &[0; 300]).unwrap();
    let window = vec![0, 0, 1, 44];
    assert_eq!(client.sent(), [(WINDOW_UPDATE, 0, 0, window.clone()), (WINDOW_UPDATE, 0, 1, window)]);
}

#[test]
fn an_answer_waits_for_its_window() {
    let mut client = client();
    client.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 4]).unwrap();
    client.sent();
    client.call(1, PATH).unwrap();
    let first = [complete(1)[0].clone(), (DATA, 0, 1, HELLO[..4].to_vec())];
    assert_eq!(client.answered(), first);

    client.frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 5]).unwrap();
    let one_more = [(SETTINGS, ACK, 0, vec![]), (DATA, 0, 1, HELLO[4..5].to_vec())];
    assert_eq!(client.answered(), one_more);

    client.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 1, 0]).unwrap();
    assert_eq!(client.answered(), [(DATA, 0, 1, HELLO[5..].to_vec()), complete(1)[2].clone()]);
    assert!(client.connection.streams.is_empty());
}

#[test]
fn a_reset_stream_is_forgotten() {
    let mut client = client();
    let block = client.block(PATH);
    client.frame(HEADERS, END_HEADERS, 1, &block).unwrap();
    client.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]).unwrap();
    client.frame(DATA, END_STREAM, 1, &[]).unwrap();
    assert_eq!(client.sent(), []);
}

#[test]
fn streams_over_the_limit_are_refused_and_the_connection_goes_on() {
    let mut client = client();
    for stream in (1..).step_by(2).take(MAX_STREAMS) {
        let block = client.block(PATH);
        client.frame(HEADERS, END_HEADERS, stream, &block).unwrap();
    }
    assert_eq!(client.sent(), []);
    client.call(901, "/runtime.v1.RuntimeService/Status").unwrap();
    assert_eq!(client.answered(), [(RST_STREAM, 0, 901, vec![0, 0, 0, 7])]);
    client.frame(DATA, END_STREAM, 1, &[]).unwrap();
    assert_eq!(client.answered(), complete(1));
    client.call(903, PATH).unwrap();
    assert_eq!(client.answered(), complete(903));
}

/// A frame as a test sends it: type, flags, stream, payload.
type Raw = (u8, u8, u32, &'static [u8]);

fn raw(kind: u8, flags: u8, stream: u32, payload: &'static [u8]) -> Raw {
    (kind, flags, stream, payload)
}

#[rstest]
#[case::data_on_an_idle_stream(&[raw(DATA, 0, 1, b"")], Code::Protocol)]
#[case::window_of_an_idle_stream(&[raw(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")], Code::Protocol)]
#[case::reset_of_an_idle_stream(&[raw(RST_STREAM, 0, 1, b"\0\0\0\0")], Code::Protocol)]
#[case::a_server_stream(&[raw(HEADERS, END_HEADERS, 2, b"\x82")], Code::Protocol)]
#[case::a_stream_twice(&[raw(HEADERS, END_HEADERS, 1, b"\x82"), raw(HEADERS, END_HEADERS, 1, b"\x82")], Code::Protocol)]
#[case::not_continued(&[raw(HEADERS, 0, 1, b"\x82"), raw(PING, 0, 0, b"12345678")], Code::Protocol)]
#[case::continued_elsewhere(&[raw(HEADERS, 0, 1, b"\x82"), raw(CONTINUATION, 0, 3, b"\x82")], Code::Protocol)]
#[case::continuation_of_nothing(&[raw(CONTINUATION, END_HEADERS, 1, b"\x82")], Code::Protocol)]
#[case::not_hpack(&[raw(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff")], Code::Compression)]
#[case::a_table_of_a_mebibyte(&[raw(HEADERS, END_HEADERS, 1, b"\x3f\xe1\xff\x3f\x82")], Code::Compression)]
#[case::no_increment(&[raw(WINDOW_UPDATE, 0, 0, b"\0\0\0\0")], Code::Protocol)]
#[case::window_too_large(&[raw(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")], Code::FlowControl)]
#[case::initial_window_too_large(&[raw(SETTINGS, 0, 0, b"\0\x04\x80\0\0\0")], Code::FlowControl)]
fn a_client_that_breaks_the_rules_is_refused(#[case] sent: &[Raw], #[case] code: Code) {
    let mut client = client();
    let mut results = sent.iter().map(|&(kind, flags, stream, payload)| client.frame(kind, flags, stream, payload));
    let last = results.by_ref().find(Result::is_err).unwrap();
    assert_eq!(last.unwrap_err().code, code);
    assert_eq!(results.next(), None, "refused too early");
}

#[test]
fn a_header_block_has_a_limit() {
    let mut client = client();
    client.frame(HEADERS, 0, 1, &[0x82; MAX_PAYLOAD]).unwrap();
    let refused = (0..5).find_map(|_| client.frame(CONTINUATION, 0, 1, &[0x82; MAX_PAYLOAD]).err());
    assert_eq!(refused.unwrap().code, Code::EnhanceYourCalm);
}

#[tokio::test]
async fn a_violation_ends_the_connection_with_goaway() {
    let (mut near, far) = UnixStream::pair().unwrap();
    let server = tokio::spawn(serve(far, answer));
    near.write_all(&[request(PATH), vec![0xff; HEAD]].concat()).await.unwrap();
    let mut received = Vec::new();
    near.read_to_end(&mut received).await.unwrap();
    assert!(matches!(server.await.unwrap(), Err(Error::Violation(_))));
    let (kind, _, stream, payload) = frames(&received).pop().unwrap();
    assert_eq!((kind, stream), (GOAWAY, 0));
    assert_eq!(payload[..8], [0, 0, 0, 1, 0, 0, 0, Code::FrameSize as u8]);
}

fn any_frame() -> impl Strategy<Value = (u8, u8, u32, Vec<u8>)> {
    let header_like = prop_oneof![any::<u8>(), 0x80..0xbf_u8];
    (0..11_u8, any::<u8>(), 0..12_u32, proptest::collection::vec(header_like, 0..40))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_frames_make_it_panic_or_keep_much(frames in proptest::collection::vec(any_frame(), 0..60)) {
        let mut client = client();
        for (kind, flags, stream, payload) in frames {
            // Frames after a violation would not be read; here they are, to go deeper.
            let _ = client.frame(kind, flags, stream, &payload);
            client.sent();
            prop_assert!(client.connection.streams.len() <= MAX_STREAMS);
        }
    }

    #[test]
    fn no_header_block_makes_the_decoder_panic(blocks in proptest::collection::vec(
        proptest::collection::vec(any::<u8>(), 0..200), 1..4,
    )) {
        let mut client = client();
        for block in blocks {
            let _ = client.connection.path(&block);
        }
    }
}
