//! How much of a backlog a scheduler has in memory: its driver answers at once, and some events are never over.

use std::collections::VecDeque;

use tandem::model::{EntityId, EventId, RunId};
use tandem::scheduler::{
    Answer, Beginning, Effect, Ending, Input, Joined, Keyed, Limits, Opened, Place, Scheduler, System, Which,
};

const STUCK: EntityId = EntityId(1);

struct Desk {
    scheduler: Scheduler,
    /// What each event is of, by place; those that are over are gone.
    entities: Vec<Option<EntityId>>,
    over: usize,
    /// The most that were in memory.
    most: usize,
    full: usize,
    reads: usize,
}

impl Desk {
    fn with(limits: Limits, entities: impl IntoIterator<Item = EntityId>) -> Self {
        let entities = entities.into_iter().map(Some).collect();
        let mut desk = Self { scheduler: Scheduler::new(limits), entities, over: 0, most: 0, full: 0, reads: 0 };
        desk.drive(Input::Activated);
        desk
    }

    fn drive(&mut self, first: Input) {
        let mut inputs = VecDeque::from([first]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.scheduler.step(input) {
                inputs.extend(self.answer(effect));
            }
            self.most = self.most.max(self.scheduler.len());
        }
    }

    fn answer(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Read { ticket, which, after, upto, most } => {
                self.reads += 1;
                let is_meant = |place: &usize| which != Which::Asked && self.entities[*place - 1].is_some();
                let places = (after.0 as usize + 1..=self.entities.len()).filter(is_meant);
                let places = places.take_while(|place| Place(*place as i64) <= upto);
                let opened: Vec<_> = places.take(most).map(opened).collect();
                let is_all = opened.len() < most;
                let upto = opened.last().map_or(after, |last| last.place);
                Some(Input::Read { ticket, opened, upto, is_all })
            }
            Effect::Name { ticket, .. } => Some(Input::Named { ticket, has_version: true }),
            Effect::Declare { ticket, events } => {
                let keyed = events.into_iter().map(|event| {
                    let entity = self.entities[event.0 as usize - 1].unwrap();
                    Keyed { event, lane: Joined { entity, from: vec![] }, after: vec![] }
                });
                Some(Input::Declared { ticket, keyed: keyed.collect(), over: vec![], again: vec![] })
            }
            Effect::Begin { event, of, lane } => {
                let run = RunId(event.0);
                let is = if lane == STUCK { Beginning::Waits { run } } else { Beginning::Ask { run, passes: 0 } };
                Some(Input::Began { event, of, is })
            }
            Effect::Ask { event, of, .. } => Some(Input::Asked { event, of, next: Answer::End }),
            Effect::End { event, of, .. } => {
                self.entities[event.0 as usize - 1] = None;
                self.over += 1;
                Some(Input::Ended { event, of, is: Ending::Over { joined: None, verdict: None } })
            }
            Effect::Full { .. } => {
                self.full += 1;
                None
            }
            other => panic!("{other:?}"),
        }
    }
}

fn opened(place: usize) -> Opened {
    Opened {
        event: EventId(place as i64),
        place: Place(place as i64),
        source: System::Shopify,
        is_duty: false,
        has_asked: false,
        in_flight: false,
    }
}

#[test]
fn of_a_backlog_little_is_in_memory() {
    let desk = Desk::with(Limits::default(), (2..50_002).map(EntityId));
    let Limits { ready_max, read_at_once_max, .. } = Limits::default();
    assert_eq!(desk.over, 50_000);
    assert!(desk.most < ready_max + read_at_once_max, "{} events were in memory", desk.most);
    assert!(desk.scheduler.is_empty());
}

/// However many of one person's events wait, others' go on behind them.
#[test]
fn one_stuck_person_stops_nobody_else() {
    let theirs = std::iter::repeat_n(STUCK, 5_000);
    let desk = Desk::with(Limits::default(), theirs.chain((2..5_002).map(EntityId)));
    assert_eq!((desk.over, desk.scheduler.len()), (5_000, 5_000));
}

#[test]
fn reading_stops_at_its_bound_and_says_so() {
    let limits = Limits { passed_over_max: 1_000, ..Limits::default() };
    let desk = Desk::with(limits, std::iter::repeat_n(STUCK, 100_000));
    assert_eq!((desk.over, desk.full), (0, 1));
    assert!(desk.scheduler.len() < 1_000 + limits.read_at_once_max, "{}", desk.scheduler.len());
    assert!(desk.reads < 30, "{} reads", desk.reads);
}

/// What arrives while there is enough to do stays on disk, and is read later.
#[test]
fn what_arrives_beside_a_backlog_waits_on_disk() {
    let limits = Limits { ready_max: 10, ..Limits::default() };
    let mut desk = Desk::with(limits, []);
    for place in 1..=1_000 {
        desk.entities.push(Some(STUCK));
        desk.drive(Input::Arrived(opened(place)));
    }
    desk.entities.push(Some(EntityId(2)));
    desk.drive(Input::Arrived(opened(1_001)));
    assert_eq!((desk.over, desk.scheduler.len()), (1, 1_000));
}
