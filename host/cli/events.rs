//! `tandem events`: lists journalled events, follows them, or shows one, of a journal or of a host. Knows no other command.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{anyhow, bail};

use super::access::{self, Access};
use super::operations::{ANY_EVENT, EVENT, EVENTS};
use super::replay::since;
use super::{Place, wrong_command};
use crate::events::{self, Event, EventInFull};
use crate::journal::{Filter, Reader};
use crate::model::{EventId, Millis};
use crate::output::{note, noteln, out, outln};
use crate::paint::Paint;
use crate::remote::{Body, Remote};
use crate::serve::stop_signal;
use crate::{clock, config, topics};

/// How often new events are looked for.
const EVERY: Duration = Duration::from_secs(1);
/// Events of one look, and events whose end is waited for.
const LOOK_MAX: usize = 1_000;

#[derive(clap::Args)]
pub struct Arguments {
    /// The number of an event to show.
    event: Option<i64>,
    #[command(flatten)]
    place: Place,
    /// Only this tenant's. A host is asked about one tenant at a time.
    #[arg(long)]
    tenant: Option<String>,
    /// Only events that ended so; `dead` for every dead letter, `waiting` for events that are not over.
    #[arg(long, value_parser = ["waiting", "done", "skipped", "refused", "invalid", "failed", "discarded", "dead"])]
    outcome: Option<String>,
    /// Only this topic's.
    #[arg(long)]
    topic: Option<String>,
    /// Only events about whoever has this name: `customer/706405506`, `order/4501`, `profile/2b1c…`.
    #[arg(long, value_name = "NAME")]
    about: Option<String>,
    /// Only events received since: `2026-01-02`, `2026-01-02T03:04:05Z`, or `90m`, `36h`, `7d` ago.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Millis>,
    /// Only events received before: as `--since`.
    #[arg(long, value_name = "TIME", value_parser = since)]
    until: Option<Millis>,
    /// Only events with a lower number: the page before.
    #[arg(long, value_name = "EVENT")]
    before: Option<i64>,
    /// The newest so many.
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Go on with the events that come: each is shown when it arrives and when it is over.
    #[arg(long, short, conflicts_with_all = ["event", "until", "before"])]
    follow: bool,
    /// As JSON, as a host answers it; with `--follow`, a line for each event.
    #[arg(long)]
    json: bool,
}

/// Where events are read.
enum Origin<'a> {
    Journal(Reader),
    Host(&'a Remote, String),
}

pub async fn run(arguments: Arguments, access: &Access) -> anyhow::Result<()> {
    let host = access.unless_journal(&arguments.place)?;
    if let Some(id) = arguments.event {
        return match &host {
            Some(host) => show_asked(host, id, &arguments).await,
            None => show_read(id, arguments),
        };
    }
    let Arguments { place, tenant, outcome, topic, about, since, until, before, limit, follow, json, event: _ } =
        arguments;
    let mut from = match &host {
        Some(host) => Origin::Host(host, access::tenant(host, tenant.clone()).await?),
        None => Origin::Journal(Reader::open(&place.path()?)?),
    };
    let before = before.map(EventId);
    let filter = Filter { tenant, outcome, topic, after: None, before, since, until, about, limit };
    let paint = Paint::for_stdout(config::no_color());
    let found = from.events(&filter).await?;
    if let (true, Some(topic)) = (found.is_empty(), &filter.topic)
        && let Some(meant) = topics::meant(topic, std::iter::empty())
    {
        return Err(wrong_command(anyhow!("there is no topic `{topic}`\nhint: did you mean `{meant}`?")));
    }
    if follow {
        out!("{}", events::head(paint))?;
        return tokio::select! {
            followed = shown_as_they_come(&mut from, filter, found, json, paint) => followed,
            stopped = stop_signal() => stopped,
        };
    }
    match json {
        true => outln!("{}", serde_json::to_string(&found)?)?,
        false => out!("{}", events::list(&found, paint))?,
    }
    if let Some(first) = found.first().filter(|_| !json && found.len() == limit) {
        note!("the newest {limit} are shown: `--before {}` shows the page before, `--limit` more of them\n", first.id);
    }
    Ok(())
}

impl Origin<'_> {
    async fn events(&mut self, filter: &Filter) -> anyhow::Result<Vec<Event>> {
        match self {
            Self::Journal(reader) => Ok(reader.events(filter)?.iter().map(Event::from).collect()),
            Self::Host(host, tenant) => {
                let Filter { tenant: _, outcome, topic, after, before, since, until, about, limit } = filter.clone();
                let mut query = vec![("limit", limit.to_string())];
                query.extend(outcome.map(|outcome| ("outcome", outcome)));
                query.extend(topic.map(|topic| ("topic", topic)));
                query.extend(about.map(|about| ("about", about)));
                query.extend(after.map(|event| ("after", event.to_string())));
                query.extend(before.map(|event| ("before", event.to_string())));
                query.extend(since.map(|since| ("since", clock::rfc3339(since))));
                query.extend(until.map(|until| ("until", clock::rfc3339(until))));
                host.ask(EVENTS, &[tenant], &query, Body::Nothing).await?.json()
            }
        }
    }
}

/// Shows events when they come and when they are over, until whoever reads has seen enough.
async fn shown_as_they_come(
    from: &mut Origin<'_>,
    filter: Filter,
    found: Vec<Event>,
    json: bool,
    paint: Paint,
) -> anyhow::Result<()> {
    let mut seen = Seen::default();
    let mut found = found;
    loop {
        for event in seen.news(found) {
            match json {
                true => outln!("{}", serde_json::to_string(&event)?)?,
                false => outln!("{}", events::dated(&event, paint))?,
            }
        }
        tokio::time::sleep(EVERY).await;
        found = from.events(&Filter { after: Some(EventId(seen.before())), limit: LOOK_MAX, ..filter.clone() }).await?;
        if found.len() == LOOK_MAX {
            noteln!("more than {LOOK_MAX} events came or wait: some are left out here");
        }
    }
}

/// What was shown so far.
#[derive(Default)]
struct Seen {
    last: i64,
    /// Events that were not over when they were shown.
    waiting: BTreeMap<i64, ()>,
}

impl Seen {
    /// The event before the first one that there may be news of.
    fn before(&self) -> i64 {
        self.waiting.keys().next().map_or(self.last, |first| (first - 1).min(self.last))
    }

    /// Those that are new, or over since.
    fn news(&mut self, found: Vec<Event>) -> Vec<Event> {
        let mut news = vec![];
        for event in found {
            let is_over = event.outcome.is_some();
            let is_news = event.id > self.last || is_over && self.waiting.contains_key(&event.id);
            self.last = self.last.max(event.id);
            match is_over {
                true => drop(self.waiting.remove(&event.id)),
                false => drop(self.waiting.insert(event.id, ())),
            }
            while self.waiting.len() > LOOK_MAX {
                self.waiting.pop_first();
            }
            news.extend(is_news.then_some(event));
        }
        news
    }
}

fn show_read(id: i64, arguments: Arguments) -> anyhow::Result<()> {
    let path = arguments.place.path()?;
    let Some((row, runs)) = Reader::open(&path)?.show(EventId(id))? else {
        bail!("there is no event {id} in `{}`\nhint: `tandem events` lists them", path.display());
    };
    let event = EventInFull::of(row, runs);
    match arguments.json {
        true => outln!("{}", serde_json::to_string(&event)?),
        false => out!("{}", events::show(&event, Paint::for_stdout(config::no_color()))),
    }
}

async fn show_asked(host: &Remote, id: i64, arguments: &Arguments) -> anyhow::Result<()> {
    let id = id.to_string();
    let answer = match &arguments.tenant {
        Some(tenant) => host.ask(EVENT, &[tenant, &id], &[], Body::Nothing).await?,
        None => host.ask(ANY_EVENT, &[&id], &[], Body::Nothing).await?,
    };
    match arguments.json {
        true => outln!("{}", answer.text),
        false => out!("{}", events::show(&answer.json()?, Paint::for_stdout(config::no_color()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: i64, outcome: Option<&str>) -> Event {
        Event {
            id,
            tenant: "acme".into(),
            source: "shopify".into(),
            topic: "orders/paid".into(),
            delivery_id: None,
            occurred_at: String::new(),
            received_at: String::new(),
            names: vec![],
            outcome: outcome.map(str::to_owned),
            blame: None,
            reason: None,
            version: None,
            ended_at: None,
            redacted_at: None,
            calls: 0,
        }
    }

    #[test]
    fn an_event_is_shown_when_it_comes_and_when_it_is_over_and_not_again() {
        let mut seen = Seen::default();
        let mut news = |found: Vec<Event>| -> (Vec<(i64, bool)>, i64) {
            let news = seen.news(found).iter().map(|event| (event.id, event.outcome.is_some())).collect();
            (news, seen.before())
        };
        assert_eq!(news(vec![event(1, Some("done")), event(2, None)]), (vec![(1, true), (2, false)], 1));
        assert_eq!(news(vec![event(2, None), event(3, Some("done"))]), (vec![(3, true)], 1));
        assert_eq!(news(vec![event(2, Some("failed")), event(3, Some("done"))]), (vec![(2, true)], 3));
        assert_eq!(news(vec![]), (vec![], 3));
    }
}
