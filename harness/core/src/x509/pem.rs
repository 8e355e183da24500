//! A PEM scanner that never fails: damaged blocks are returned with a description of the damage.

use base64::{Engine, engine::general_purpose::STANDARD};

const PRIVATE_KEY: &str = "PRIVATE KEY";
/// The longest label in use has 21 characters.
const LONGEST_LABEL: usize = 40;

/// One PEM block. It may hold a private key, so it is neither `Debug` nor stored.
#[derive(Default)]
pub struct Block {
    /// The label of the BEGIN line; empty when there is none.
    pub label: String,
    /// The lines between BEGIN and END, without header lines and blanks.
    pub lines: Vec<String>,
    /// What is wrong with the frame around the lines.
    pub error: Option<String>,
}

impl Block {
    /// Is it a private key, in any format (PKCS#8, SEC1, PKCS#1, encrypted)?
    pub fn is_private_key(&self) -> bool {
        self.label.ends_with(PRIVATE_KEY)
    }

    /// The decoded body, or what is wrong with the block.
    pub fn der(&self) -> Result<Vec<u8>, String> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if self.lines.is_empty() {
            return Err("the block is empty".into());
        }
        STANDARD.decode(self.lines.concat()).map_err(|e| format!("bad base64: {e}"))
    }

    fn broken(label: &str, error: impl Into<String>) -> Self {
        Self { label: label.into(), lines: Vec::new(), error: Some(error.into()) }
    }
}

/// Splits a file into its PEM blocks. Text between blocks is skipped, as other PEM readers do, but a damaged boundary
/// is not. A file without any block gives one nameless block that says so.
pub fn blocks(bytes: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(bytes);
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in text.lines().map(str::trim) {
        if let Some(label) = boundary(line, "BEGIN") {
            blocks.extend(open.take().map(unfinished));
            open = Some(Block { label: label.into(), ..Block::default() });
        } else if let Some(label) = boundary(line, "END") {
            blocks.push(match open.take() {
                Some(block) if block.label == label => block,
                Some(block) => {
                    Block { error: Some(format!("END {label:?} does not match BEGIN {:?}", block.label)), ..block }
                }
                None => Block::broken("", format!("END {label:?} without BEGIN")),
            });
        } else if let Some(block) = &mut open {
            // RFC 1421 header lines ("Proc-Type: 4,ENCRYPTED"); a colon is not in the base64 alphabet.
            if !line.is_empty() && !line.contains(':') {
                block.lines.push(line.into());
            }
        } else if line.contains("-----") {
            blocks.push(damaged(line));
        }
    }
    blocks.extend(open.map(unfinished));
    if blocks.is_empty() {
        let why = if bytes.is_empty() { "the file is empty" } else { "no PEM block" };
        blocks.push(Block::broken("", why));
    }
    blocks
}

/// A damaged boundary. If it may belong to a key, it is kept as one, so that it counts as secret.
fn damaged(line: &str) -> Block {
    let label = if line.contains(PRIVATE_KEY) { PRIVATE_KEY } else { "" };
    Block {
        lines: line.split("-----").map(str::to_owned).collect(),
        ..Block::broken(label, "damaged BEGIN or END line")
    }
}

fn unfinished(block: Block) -> Block {
    Block { error: Some("truncated: no END line".into()), ..block }
}

fn boundary<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let inner = line.strip_prefix("-----")?.strip_suffix("-----")?;
    let label = inner.strip_prefix(word)?.strip_prefix(' ')?;
    // Anything else may be a key whose file lost its line breaks, and labels are recorded.
    let is_label = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    (label.len() <= LONGEST_LABEL && label.bytes().all(is_label)).then_some(label)
}

/// Writes one PEM block with lines of 64 characters.
pub fn write(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem + &format!("-----END {label}-----\n")
}
