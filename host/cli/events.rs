//! `tandem events`: lists journalled events, or shows one, of a journal or of a host. Knows no other command.

use anyhow::bail;

use super::Place;
use super::access::{self, Access};
use super::operations::{ANY_EVENT, EVENT, EVENTS};
use crate::config;
use crate::events::{self, Event, EventInFull};
use crate::journal::{Filter, Reader};
use crate::model::EventId;
use crate::paint::Paint;
use crate::remote::{Body, Remote};

#[derive(clap::Args)]
pub struct Arguments {
    /// The number of an event to show.
    event: Option<i64>,
    #[command(flatten)]
    place: Place,
    /// Only this tenant's. A host is asked about one tenant at a time.
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
    /// As JSON, as a host answers it.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments, access: &Access) -> anyhow::Result<()> {
    let text = match access.unless_journal(&arguments.place)? {
        Some(host) => asked(&host, arguments).await?,
        None => read(arguments)?,
    };
    print!("{text}");
    Ok(())
}

fn read(arguments: Arguments) -> anyhow::Result<String> {
    let Arguments { event, place, tenant, outcome, topic, limit, json } = arguments;
    let path = place.path()?;
    let reader = Reader::open(&path)?;
    let paint = Paint::for_stdout(config::no_color());
    if let Some(id) = event {
        let Some((row, runs)) = reader.show(EventId(id))? else {
            bail!("there is no event {id} in `{}`\nhint: `tandem events` lists them", path.display());
        };
        let event = EventInFull::of(row, runs);
        return Ok(if json { format!("{}\n", serde_json::to_string(&event)?) } else { events::show(&event, paint) });
    }
    let filter = Filter { tenant, outcome, topic, after: None, limit };
    let list: Vec<_> = reader.events(&filter)?.iter().map(Event::from).collect();
    Ok(if json { format!("{}\n", serde_json::to_string(&list)?) } else { events::list(&list, paint) })
}

async fn asked(host: &Remote, arguments: Arguments) -> anyhow::Result<String> {
    let Arguments { event, place: _, tenant, outcome, topic, limit, json } = arguments;
    let paint = Paint::for_stdout(config::no_color());
    if let Some(id) = event {
        let id = id.to_string();
        let answer = match &tenant {
            Some(tenant) => host.ask(EVENT, &[tenant, &id], &[], Body::Nothing).await?,
            None => host.ask(ANY_EVENT, &[&id], &[], Body::Nothing).await?,
        };
        return Ok(if json { format!("{}\n", answer.text) } else { events::show(&answer.json()?, paint) });
    }
    let tenant = access::tenant(host, tenant).await?;
    let mut query = vec![("limit", limit.to_string())];
    query.extend(outcome.map(|outcome| ("outcome", outcome)));
    query.extend(topic.map(|topic| ("topic", topic)));
    let answer = host.ask(EVENTS, &[&tenant], &query, Body::Nothing).await?;
    Ok(if json { format!("{}\n", answer.text) } else { events::list(&answer.json::<Vec<Event>>()?, paint) })
}
