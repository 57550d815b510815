//! `tandem events`: lists journalled events, or shows one. Knows no other command.

use anyhow::bail;

use super::Place;
use crate::journal::{Filter, Reader};
use crate::model::EventId;
use crate::paint::Paint;
use crate::{config, events};

#[derive(clap::Args)]
pub struct Arguments {
    /// The number of an event to show.
    event: Option<i64>,
    #[command(flatten)]
    place: Place,
    /// Only this tenant's.
    #[arg(long)]
    tenant: Option<String>,
    /// Only those that ended so; `dead` for every dead letter, `waiting` for those that are not over.
    #[arg(long, value_parser = ["waiting", "done", "skipped", "refused", "invalid", "failed", "discarded", "dead"])]
    outcome: Option<String>,
    /// Only this topic's.
    #[arg(long)]
    topic: Option<String>,
    /// The newest so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { event, place, tenant, outcome, topic, limit } = arguments;
    let path = place.path()?;
    let reader = Reader::open(&path)?;
    let paint = Paint::for_stdout(config::no_color());
    match event {
        Some(id) => match reader.show(EventId(id))? {
            Some((event, runs)) => print!("{}", events::show(&event, &runs, paint)),
            None => bail!("there is no event {id} in `{}`\nhint: `tandem events` lists them", path.display()),
        },
        None => {
            let filter = Filter { tenant, outcome, topic, after: None, limit };
            print!("{}", events::list(&reader.events(&filter)?, paint));
        }
    }
    Ok(())
}
