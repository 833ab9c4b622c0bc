//! MCP servers in the config.

use std::collections::BTreeMap;

/// A configured MCP server (`mcp_servers:`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name, which begins its tools' names.
    pub name: String,
    /// How to reach it.
    pub transport: Transport,
}

/// How to reach an MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A local program, over its standard input and output.
    Stdio {
        /// The program and its arguments; the program is looked up in `PATH`.
        command: Vec<String>,
        /// Its whole environment besides `PATH` and `HOME`.
        env: BTreeMap<String, Setting>,
    },
    /// Streamable HTTP.
    Http {
        /// The endpoint.
        url: url::Url,
        /// Headers for every request.
        headers: BTreeMap<String, Setting>,
    },
}

/// A value in a server's environment or headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A value written in the config.
    Plain(String),
    /// A credential by label, prefixed with `Bearer ` in an `Authorization` header.
    Credential(String),
}
