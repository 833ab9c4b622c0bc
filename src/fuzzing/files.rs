//! Configuration files, and the files that people attach.

use std::panic;

use super::{shape, size};
use crate::{
    config,
    core::{
        event::{MediaSource, MessageKind},
        media::{self, Claims},
    },
};

pub(super) const CONFIG_WORDS: &[&str] = &[
    "homeserver:\n",
    "  url: http://127.0.0.1:8008\n",
    "  server_name: hs\n",
    "appservice:\n",
    "  as_token: ",
    "claude:\n",
    "limits:\n",
    "  file_bytes_max: ",
    "assistants:\n",
    "  tools:\n    - ",
    "mcp_servers:\n",
    "credentials:\n",
    "workspace:\n",
    "  admins: [\"@a:hs\"]\n",
    "audit:\n",
    "coworkers_dir: ",
    "id: ci\n",
    "name: ",
    "purpose: ",
    "instructions: |\n",
    "tools:\n",
    "approval: ",
    "&a ",
    "*a",
    "!!binary ",
    "---\n",
    "...\n",
    "? ",
    "<<: ",
    "{",
    "}",
    "[",
    "]",
    "\t",
    "\u{feff}",
    "~",
    "0x1f",
    "1e9",
    ".inf",
    "'",
    "\"",
    "# ",
    ": ",
    "- ",
    "\u{85}",
];
pub(super) const MEDIA_WORDS: &[&str] = &[
    "%PDF-1.7\n",
    "1 0 obj\n<<",
    ">>\nendobj\n",
    "/Type /XRef",
    "/Type /ObjStm",
    "/Filter /FlateDecode",
    "/W [1 2 1]",
    "/Size 9",
    "/Index [0 9]",
    "/Root 1 0 R",
    "/Prev 9",
    "/Encrypt",
    "stream\r\n",
    "\nendstream",
    "startxref\n9\n%%EOF",
    "xref\n0 1\n",
    "trailer<<",
    "/Kids [2 0 R]",
    "/Count 1",
    "/Length ",
    "IHDR",
    "IDAT",
    "iCCP",
    "zTXt",
    "PLTE",
    "tRNS",
    "acTL",
    "GIF89a",
    "NETSCAPE2.0",
    "RIFF",
    "WEBPVP8 ",
    "VP8L",
    "VP8X",
    "ANMF",
    "Exif",
    "JFIF",
    "\0\0\0\u{1}",
];

/// Checks that a configuration is either accepted or refused with faults, each naming a line that exists.
pub(super) fn config(bytes: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(bytes);
    // YAML's line breaks, and the ones that editors count.
    let lines = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count() + 2;
    let faults = config::faults_in(&text);
    for fault in faults.as_slice() {
        assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "line {:?} of {lines}", fault.line);
    }
    let keys: Vec<_> = faults.as_slice().iter().take(8).map(|fault| fault.key.clone()).collect();
    shape(&(size(faults.as_slice().len()), keys))
}

/// Checks that a file is what its bytes say and that the result keeps its limits. A decoder may panic: that ends its
/// child.
pub(super) fn media(bytes: &[u8]) -> u64 {
    let name = ["a.png", "a.pdf", "a.txt", "a"][bytes.len() % 4];
    let kind = MessageKind::Attachment {
        msgtype: "m.file".to_owned(),
        name: name.to_owned(),
        mime: None,
        size: None,
        voice: false,
        media: Some(MediaSource::new("somewhere".to_owned())),
    };
    let Some(claims) = Claims::of(&kind) else { return 0 };
    let kind = match claims.kind_of(bytes) {
        Ok(kind) => kind,
        Err(why) => return shape(&why.key()),
    };
    let Ok(decoded) = panic::catch_unwind(|| media::decode(kind, bytes)) else { return shape(&"panicked") };
    match decoded.and_then(|decoded| decoded.prepared(bytes)) {
        Ok(prepared) => {
            assert!(prepared.tokens <= media::TOKENS_MAX, "more tokens than any file may have");
            shape(&(
                format!("{kind:?}"),
                size(prepared.tokens as usize),
                size(usize::try_from(prepared.bytes).unwrap_or(0)),
            ))
        }
        Err(why) => shape(&(format!("{kind:?}"), why.key())),
    }
}
