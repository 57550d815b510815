//! What a person types and reads: the commands, the documents, what `tandem new` writes. One program, linked once.

mod host;

mod cli;
mod docs;
mod sandbox_cli;
mod scaffold;
mod tidy;
