//! Handles the bytes of a server's program as a function, for `fuzzing`.

use std::io::Cursor;

use futures_util::FutureExt as _;
use rmcp::{
    RoleClient,
    model::{JsonRpcMessage, ServerResult},
    transport::{Transport as _, async_rw::AsyncRwTransport},
};

use super::{
    listing::Taking,
    result,
    stdio::MESSAGE_BYTES_MAX,
    watched::{Metered, Watched},
};
use crate::core::{mask::Mask, tool::Offer};

/// How many messages were taken, and what was found in them.
pub(crate) struct Taken {
    /// Messages passed on to the client.
    pub(crate) messages: usize,
    /// The offered tools.
    pub(crate) offers: Vec<Offer>,
    /// The results' texts.
    pub(crate) outputs: Vec<String>,
}

/// Handles the bytes like a program's output, up to their end.
pub(crate) fn taken_in(bytes: &[u8], mask: &Mask) -> Taken {
    let pipe =
        AsyncRwTransport::<RoleClient, _, _>::new_client(Metered::new(Cursor::new(bytes.to_vec())), tokio::io::sink());
    let (mut watched, _watch) = Watched::new(pipe.with_max_line_length(MESSAGE_BYTES_MAX));
    let mut taken = Taken { messages: 0, offers: Vec::new(), outputs: Vec::new() };
    // Nothing has to be awaited: all bytes are here.
    while let Some(Some(message)) = watched.receive().now_or_never() {
        taken.messages += 1;
        let JsonRpcMessage::Response(response) = message else { continue };
        match response.result {
            ServerResult::ListToolsResult(page) => {
                let mut taking = Taking::new("fs", mask);
                page.tools.into_iter().for_each(|tool| taking.take(tool));
                taken.offers.extend(taking.done().offers.iter().cloned());
            }
            ServerResult::CallToolResult(result) => taken.outputs.push(result::output(result).text),
            _ => {}
        }
    }
    taken
}
