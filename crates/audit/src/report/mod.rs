//! A document for a privacy office, from the logs and the program: the questions of NIST SP 800-226,
//! answered from the record.
//!
//! [`document`] says what is in it, in [`block`]s; [`render`] makes Markdown and HTML of them, which prints well; [`plot`]
//! draws the budget spent over time, and [`registry`] writes an entry for the Differential Privacy Deployments Registry.

pub mod block;
mod dates;
pub mod document;
pub mod plot;
pub mod registry;
pub mod render;

#[cfg(test)]
mod tests;
