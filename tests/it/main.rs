//! The integration tests: one binary.

mod standin_sdks;
