//! The command line from outside: the compiled program, its words, its JSON and its exit codes. No server is
//! needed; what a running pipeline prints is shown by the end-to-end tests.

mod errors;
mod help;
mod program;
mod records;
mod sink;
