//! `tandem data-request`: writes what is held on a person. Knows no other command.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::Place;
use crate::clock;
use crate::compliance;
use crate::files;
use crate::journal::{Answering, Journal, Reader};
use crate::model::EventId;
use crate::output::{out, outln};

#[derive(clap::Args)]
pub struct Arguments {
    /// The number of that event.
    event: i64,
    /// Where to write it; without this, to standard output.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Say that the person was answered, for good: no alert tells of it any more, and the event leaves the journal by its age.
    #[arg(long, conflicts_with = "output")]
    answered: bool,
    #[command(flatten)]
    place: Place,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { event, output, answered, place } = arguments;
    if answered {
        return say_answered(&place.path()?, EventId(event)).await;
    }
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

async fn say_answered(journal: &Path, event: EventId) -> anyhow::Result<()> {
    // Which must be there already.
    drop(Reader::open(journal)?);
    let (journal, feeds, thread) = Journal::open(journal)?;
    let answering = journal.answer(event, "command line").await;
    drop((journal, feeds));
    if thread.join().is_err() {
        bail!("the journal's thread ended in a panic");
    }
    match answering? {
        Answering::Answered => outln!("event {event} is answered"),
        Answering::Before(at, by) => outln!("event {event} was answered on {}, as {by} said", clock::date(at)),
        Answering::NoRequest => bail!(
            "there is no event {event} that is a `customers/data_request`, or not any more\nhint: `tandem events --topic customers/data_request` lists requests"
        ),
    }
}
