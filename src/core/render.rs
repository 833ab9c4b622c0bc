//! From the model's Markdown to what a Matrix client shows.
