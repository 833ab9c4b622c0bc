//! Properties of core as a whole; each part's own tests are beside it.

mod sequences;
