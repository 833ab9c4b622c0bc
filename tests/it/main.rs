//! The integration tests: one binary.

mod claude_and_standin;
mod standin_sdks;
