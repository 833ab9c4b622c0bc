//! Every fixed text that people see.
