//! What a scheduler orders of the journal: each verb says what it expects, and writes nothing where that is not so.

use std::collections::BTreeMap;
use std::thread::JoinHandle;

use tandem::journal::{Activation, Appended, Asked, At, Cause, Due, Fact, Feeds, Journal, Known, Orders, With};
use tandem::model::{
    Answer, Blame, Call, Effect, End, Entity, EventId, Failure, Method, Names, Outcome, Reply, Request, RunId, Webhook,
};
use tandem::scheduler::{
    Beginning, Closer, Ending, Input, Opened, Place, Sending, System, Ticket, Try, Verdict, Which,
};
use tempfile::TempDir;

const TENANT: &str = "acme";
const QUIET_MS: u64 = 60_000;

struct Desk {
    journal: Journal,
    orders: Orders,
    feeds: Feeds,
    thread: JoinHandle<()>,
    folder: TempDir,
    tickets: u64,
}

impl Desk {
    async fn open() -> Self {
        let desk = Self::on(tempfile::tempdir().unwrap());
        desk.activate("one", None).await;
        desk
    }

    fn on(folder: TempDir) -> Self {
        let (journal, feeds, thread) = Journal::open(&folder.path().join("orders.db")).unwrap();
        let orders = journal.orders(TENANT, QUIET_MS);
        Self { journal, orders, feeds, thread, folder, tickets: 0 }
    }

    fn reopen(self) -> Self {
        let Self { journal, orders, feeds, thread, folder, .. } = self;
        drop((journal, orders, feeds));
        thread.join().unwrap();
        Self::on(folder)
    }

    async fn activate(&self, digest: &str, failures_max: Option<u32>) {
        self.journal.activate(activation(digest, Cause::Configured, failures_max)).await.unwrap().unwrap();
    }

    async fn append(&self, source: &str) -> EventId {
        let webhook = Webhook {
            tenant: TENANT.into(),
            source: source.into(),
            topic: "say".into(),
            delivery_id: None,
            occurred_at: "2026-01-02T03:04:05Z".into(),
            received_at: 0,
            api_version: "2026-07".into(),
            payload: "{}".into(),
        };
        match self.journal.append(webhook).await.unwrap() {
            Appended::Accepted(event) | Appended::Duplicate(event) | Appended::Differs { event, .. } => event,
        }
    }

    /// What the scheduler is told next that is of this kind.
    async fn told<T>(&mut self, pick: impl Fn(&Input, &With) -> Option<T>) -> T {
        loop {
            let Fact { input, with, .. } = self.feeds.facts.recv().await.unwrap();
            if let Some(found) = pick(&input, &with) {
                return found;
            }
        }
    }

    /// An event about this name, and the lane it is in.
    async fn event(&mut self, name: &str) -> At {
        let event = self.append("shopify").await;
        self.tickets += 1;
        let (ticket, entity) = (Ticket(self.tickets), Entity { names: vec![name.into()], after: vec![] });
        self.orders.declare(ticket, "one".into(), vec![(event, Known::Entity(entity))]).await.unwrap();
        let lane = self
            .told(|input, _| match input {
                Input::Declared { keyed, .. } => Some(keyed[0].lane.entity),
                _ => None,
            })
            .await;
        At { event, of: Try(event.0 as u64), lane }
    }

    async fn begin(&mut self, at: At) -> (Beginning, Option<Vec<String>>) {
        self.orders.begin(at).await.unwrap();
        self.told(|input, with| match (input, with) {
            (Input::Began { is, .. }, With::Begun(begun)) => Some((*is, Some(begun.memory.clone()))),
            (Input::Began { is, .. }, _) => Some((*is, None)),
            _ => None,
        })
        .await
    }

    async fn asks(&mut self, at: At) -> (RunId, u32) {
        match self.begin(at).await.0 {
            Beginning::Ask { run, passes } => (run, passes),
            other => panic!("{other:?}"),
        }
    }

    async fn send(&mut self, at: At, run: (RunId, u32), names: &[&str]) -> Sending {
        let names = Names { learned: names.iter().map(|name| (*name).to_owned()).collect(), retired: vec![] };
        self.orders.send(at, run, vec![put("/a")], Some(names), Asked::default()).await.unwrap();
        self.told(|input, _| match input {
            Input::Sent { is, .. } => Some(is.clone()),
            _ => None,
        })
        .await
    }

    async fn end(&mut self, at: At, run: (RunId, u32), memory: Option<&str>, names: &[&str]) -> Ending {
        let names = Names { learned: names.iter().map(|name| (*name).to_owned()).collect(), retired: vec![] };
        let end = End { outcome: Outcome::Done, reason: "it is so".into(), memory: memory.map(str::to_owned), names };
        self.orders.end(at, run, end, Asked::default()).await.unwrap();
        self.ended().await
    }

    async fn ended(&mut self) -> Ending {
        self.told(|input, _| match input {
            Input::Ended { is, .. } => Some(is.clone()),
            _ => None,
        })
        .await
    }

    async fn fail(&mut self, at: At, blame: Blame) -> Ending {
        let failure = Failure::new(blame, "it is not so");
        self.orders.close((at.event, at.of), Closer::Host, failure, None).await.unwrap();
        self.ended().await
    }

    async fn dropped(&mut self, event: EventId) -> bool {
        self.tickets += 1;
        self.orders.drop_run(Ticket(self.tickets), event).await.unwrap();
        self.told(|input, _| match input {
            Input::Dropped { in_flight, .. } => Some(*in_flight),
            _ => None,
        })
        .await
    }

    async fn read(&mut self, which: Which, after: Place) -> Vec<Opened> {
        self.tickets += 1;
        self.orders.read(Ticket(self.tickets), which, (after, Place(i64::MAX)), 100).await.unwrap();
        self.told(|input, _| match input {
            Input::Read { opened, .. } => Some(opened.clone()),
            _ => None,
        })
        .await
    }

    async fn due(&mut self) -> Due {
        self.feeds.calls.recv().await.unwrap()
    }
}

fn activation(digest: &str, cause: Cause, failures_max: Option<u32>) -> Activation {
    Activation {
        tenant: TENANT.into(),
        digest: digest.into(),
        cause,
        fixed: BTreeMap::new(),
        relink: false,
        expected: None,
        failures_max,
        configured: None,
    }
}

fn put(path: &str) -> (Call, String) {
    let request = Request::Rest { method: Method::Put, path: path.into(), query: vec![], body: None };
    (Call { target: "omneo".into(), request, effect: Effect::Repeatable }, String::new())
}

fn ok() -> Reply {
    Reply::Answer(Answer { status: 200, headers: vec![], body: "{}".into() })
}

fn is_over(ending: &Ending) -> bool {
    matches!(ending, Ending::Over { .. })
}

/// Giving up is a row: whoever begins the event later finds it, after a restart too.
#[tokio::test]
async fn a_call_that_is_given_up_before_its_event_begins_again_is_found() {
    let mut desk = Desk::open().await;
    let at = desk.event("shopify/thing/1").await;
    let run = desk.asks(at).await;
    assert_eq!(desk.send(at, run, &[]).await, Sending::Waits);
    let due = desk.due().await;
    let attempt = desk.journal.attempt(&due).await.unwrap().unwrap();
    let failure = Failure::new(Blame::Peer, "nobody answers");
    desk.journal.give_up(&due, attempt, "404".into(), true, failure.clone()).await.unwrap();
    let mut desk = desk.reopen();
    assert!(desk.feeds.calls.try_recv().is_err(), "it is not sent again");
    desk.orders.begin(at).await.unwrap();
    let found = desk.told(|input, with| match (input, with) {
        (Input::Began { is, .. }, With::Failure(failure)) => Some((*is, failure.clone())),
        (Input::Began { is, .. }, _) => panic!("{is:?}"),
        _ => None,
    });
    assert_eq!(found.await, (Beginning::GivenUp { run: run.0 }, failure));
}

/// An end that learned a name made two lanes one. Whoever has not heard of it writes nothing.
#[tokio::test]
async fn a_verb_with_a_lane_that_is_gone_is_refused_and_says_where_its_event_is() {
    let mut desk = Desk::open().await;
    let (one, two) = (desk.event("shopify/customer/1").await, desk.event("omneo/profile/1").await);
    let (first, second) = (desk.asks(one).await, desk.asks(two).await);
    let ended = desk.end(one, first, Some("remembered"), &["omneo/profile/1"]).await;
    assert!(is_over(&ended), "{ended:?}");
    // Had it begun in its old lane, it would not know what is remembered.
    assert_eq!(desk.begin(two).await.0, Beginning::Moved(one.lane));
    assert_eq!(desk.send(two, second, &["shopify/customer/2"]).await, Sending::Moved(one.lane));
    assert_eq!(desk.end(two, second, Some("stale"), &[]).await, Ending::Moved(one.lane));
    assert!(desk.feeds.calls.try_recv().is_err());
    let here = At { lane: one.lane, ..two };
    let (began, memory) = desk.begin(here).await;
    let Beginning::Ask { run, passes: 0 } = began else { panic!("{began:?}") };
    assert_eq!((memory, run == second.0), (Some(vec!["remembered".into()]), false));
    // Two of a kind are looked for among all names of the entity that it is of by now.
    assert_eq!(desk.send(here, (run, 0), &["shopify/customer/2"]).await, Sending::Two);
    assert!(desk.feeds.calls.try_recv().is_err());
}

/// A claim that joins writes no call; what is remembered by then may be more than the run was told.
#[tokio::test]
async fn calls_and_their_claim_are_written_together_or_not_at_all() {
    let mut desk = Desk::open().await;
    let old = desk.event("omneo/profile/1").await;
    let run = desk.asks(old).await;
    assert!(is_over(&desk.end(old, run, Some("theirs"), &[]).await));
    let at = desk.event("shopify/customer/1").await;
    let run = desk.asks(at).await;
    let joins = desk.send(at, run, &["omneo/profile/1"]).await;
    assert!(
        matches!(&joins, Sending::Joins(joined) if joined.entity == at.lane && joined.from == [old.lane]),
        "{joins:?}"
    );
    assert!(desk.feeds.calls.try_recv().is_err());
    assert_eq!(desk.send(at, run, &["omneo/profile/1"]).await, Sending::Stale);
    assert_eq!(desk.end(at, run, None, &[]).await, Ending::Stale);
    let (again, memory) = desk.begin(at).await;
    let Beginning::Ask { run, .. } = again else { panic!("{again:?}") };
    assert_eq!(memory, Some(vec!["theirs".into()]));
    assert_eq!(desk.send(at, (run, 0), &["omneo/profile/1"]).await, Sending::Waits);
}

/// Asked twice, for whatever reason: each pass is written once.
#[tokio::test]
async fn a_pass_is_written_once() {
    let mut desk = Desk::open().await;
    let at = desk.event("shopify/thing/1").await;
    let run = desk.asks(at).await;
    assert_eq!(desk.send(at, run, &[]).await, Sending::Waits);
    assert_eq!(desk.send(at, run, &[]).await, Sending::NotOpen);
    assert_eq!(desk.end(at, run, None, &[]).await, Ending::NotOpen);
    let due = desk.due().await;
    assert!(desk.feeds.calls.try_recv().is_err());
    desk.journal.reply(&due, None, ok()).await.unwrap();
    let run = desk.asks(at).await;
    assert_eq!(run.1, 1);
    assert!(is_over(&desk.end(at, run, None, &[]).await));
    // Over is over, whatever comes late.
    assert!(is_over(&desk.end(at, run, None, &[]).await));
}

/// A run that is dropped while its write is under way: told of, and told when that is over.
#[tokio::test]
async fn a_dropped_run_says_whether_a_write_of_it_may_still_take_effect() {
    let mut desk = Desk::open().await;
    let at = desk.event("shopify/thing/1").await;
    let run = desk.asks(at).await;
    assert_eq!(desk.send(at, run, &[]).await, Sending::Waits);
    let due = desk.due().await;
    assert!(!desk.dropped(at.event).await, "nothing of it was sent");
    assert_eq!(desk.journal.attempt(&due).await.unwrap(), None, "nor will be");

    for (is_settled, is_quiet) in [(true, true), (false, false)] {
        let run = desk.asks(at).await;
        assert_eq!(desk.send(at, run, &[]).await, Sending::Waits);
        let due = desk.due().await;
        let attempt = desk.journal.attempt(&due).await.unwrap().unwrap();
        assert!(desk.dropped(at.event).await);
        let opened = desk.read(Which::All, Place(0)).await;
        assert!(opened[0].in_flight, "a restart of the host knows of it, too");
        desk.journal.attempted(&due, attempt, "said".into(), is_settled).await.unwrap();
        assert_eq!(!desk.dropped(at.event).await, is_quiet, "an answer settles it, a closed connection does not");
    }
}

/// What a person takes up again stands behind all that is there; what a roll back takes up, where it stood.
#[tokio::test]
async fn order_is_the_place_and_not_the_number() {
    let mut desk = Desk::open().await;
    let (first, second) = (desk.event("shopify/thing/1").await, desk.event("shopify/thing/1").await);
    desk.asks(first).await;
    desk.fail(first, Blame::Plugin).await;
    assert!(desk.journal.retry(first.event).await.unwrap());
    let third = desk.append("shopify").await;
    let order = |opened: &[Opened]| opened.iter().map(|opened| opened.event).collect::<Vec<_>>();
    let opened = desk.read(Which::All, Place(0)).await;
    assert_eq!(order(&opened), [second.event, first.event, third]);

    desk.activate("two", Some(1)).await;
    desk.asks(first).await;
    let failed = desk.fail(first, Blame::Plugin).await;
    let Ending::Over { verdict: Some(Verdict { failed: Some(version), failures_max: Some(1), .. }), .. } = failed
    else {
        panic!("{failed:?}");
    };
    assert_eq!(version, "two");
    desk.asks(second).await;
    let back = activation("one", Cause::Failing, None);
    desk.journal.roll_back(back).await.unwrap().unwrap();
    let again = desk.told(|input, _| match input {
        Input::RolledBack { again } => Some(again.clone()),
        _ => None,
    });
    // The retried one does not jump ahead.
    assert_eq!(order(&again.await), [second.event, first.event]);
    assert_eq!(order(&desk.read(Which::All, opened[0].place).await), [first.event, third]);
}

/// Those under way are read first, and by their source.
#[tokio::test]
async fn what_is_not_over_is_read_in_part() {
    let mut desk = Desk::open().await;
    let asked = desk.event("shopify/thing/1").await;
    let run = desk.asks(asked).await;
    assert_eq!(desk.send(asked, run, &[]).await, Sending::Waits);
    let other = desk.append("omneo").await;
    let mut order = async |which| {
        let opened = desk.read(which, Place(0)).await;
        opened.iter().map(|opened| (opened.event, opened.has_asked)).collect::<Vec<_>>()
    };
    assert_eq!(order(Which::Asked).await, [(asked.event, true)]);
    assert_eq!(order(Which::From(System::Omneo)).await, [(other, false)]);
    assert_eq!(order(Which::All).await, [(asked.event, true), (other, false)]);
}
