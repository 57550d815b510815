//! `tandem data-request`: writes what is held on a person. Knows no other command.

use std::path::PathBuf;

use super::Place;
use crate::compliance;
use crate::files;
use crate::journal::Reader;
use crate::model::EventId;
use crate::output::{out, outln};

#[derive(clap::Args)]
pub struct Arguments {
    /// The number of that event.
    event: i64,
    /// Where to write it; without this, to standard output.
    #[arg(short, long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { event, output, place } = arguments;
    let document = compliance::document(&Reader::open(&place.path()?)?, EventId(event))?;
    let text = format!("{document:#}\n");
    let Some(output) = output else {
        out!("{text}")?;
        return Ok(());
    };
    files::write_private(&output, text.as_bytes())?;
    let events = document["events"].as_array().map_or(0, Vec::len);
    outln!("{}: {events} events; delete it when it has been handed over", output.display())?;
    Ok(())
}
