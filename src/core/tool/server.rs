//! MCP servers, as the config has them.

use std::collections::BTreeMap;

/// An MCP server of the config (`mcp_servers:`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name: what its tools' names begin with.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
}

/// How an MCP server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A program of ours, over its standard input and output.
    Stdio {
        /// The program and its arguments; the first is looked up in `PATH`.
        command: Vec<String>,
        /// All of its environment, beside `PATH` and `HOME`.
        env: BTreeMap<String, Setting>,
    },
    /// Streamable HTTP.
    Http {
        /// The endpoint.
        url: url::Url,
        /// Headers of every request.
        headers: BTreeMap<String, Setting>,
    },
}

/// A value of a server's environment or headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// As it stands in the config.
    Plain(String),
    /// A credential by its label, with `Bearer ` in front where it is an `Authorization` header.
    Credential(String),
}
