//! What the contract promises of a host: lanes for entities, memory, claims, restarts. Knows nothing of shops.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tandem_rules::DefaultRules;
use tandem_sdk::{Answer, Call, Effect, End, Event, Names, Next, Outcome, Reply, Rules, Value, json, step};

use super::World;

#[derive(Default)]
pub struct Host {
    entities: BTreeMap<u64, Entity>,
    names: BTreeMap<String, u64>,
    /// The names of things that are gone. They do not count as names of their kind.
    retired: BTreeSet<String>,
    runs: BTreeMap<u64, Run>,
    pub ended: Vec<Ended>,
    pub restarts: usize,
    count: u64,
}

#[derive(Default)]
struct Entity {
    names: BTreeSet<String>,
    /// The memories, the newest first, each with an ascending number.
    memory: Vec<(u64, String)>,
    queue: VecDeque<Queued>,
    running: Option<u64>,
}

#[derive(Clone)]
struct Queued {
    event: Event,
    arrival: u64,
    /// Answered calls that must not be sent twice, with their answers.
    once: Vec<(Call, Answer)>,
}

struct Run {
    queued: Queued,
    entity: u64,
    memory: Vec<String>,
    replies: Vec<Vec<Reply>>,
    /// The calls of each send so far.
    sent: Vec<Vec<Call>>,
    /// The calls of the send that is under way.
    calls: Vec<Call>,
    open: Vec<Option<Reply>>,
    has_written: bool,
}

/// An event that is over, with everything that the rules were given.
pub struct Ended {
    pub event: Event,
    pub memory: Vec<String>,
    /// The calls of each send; below, the replies to them.
    pub sent: Vec<Vec<Call>>,
    pub replies: Vec<Vec<Reply>>,
    pub end: End,
}

impl Host {
    pub fn memory(&self, name: &str) -> Option<String> {
        self.entities[self.names.get(name)?].memory.first().map(|(_, memory)| memory.clone())
    }

    pub fn memories(&self) -> impl Iterator<Item = &str> {
        self.entities.values().filter_map(|entity| entity.memory.first()).map(|(_, memory)| memory.as_str())
    }

    /// Answers a question for the names of an entity.
    pub fn answer(&self, path: &str) -> Value {
        let asked = path.strip_prefix("/names/").expect("the host is asked for names");
        let entity = self.names.get(asked).filter(|_| !self.retired.contains(asked));
        let counts = |name: &&String| !self.retired.contains(*name);
        json!({ "data": entity.map_or(vec![], |entity| self.entities[entity].names.iter().filter(counts).collect()) })
    }

    /// Empties the memory of every entity.
    pub fn forget(&mut self) {
        self.entities.values_mut().for_each(|entity| entity.memory.clear());
    }

    pub fn dead_letters(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter().filter(|ended| matches!(ended.end.outcome, Outcome::Refused | Outcome::Invalid))
    }

    fn entity(&mut self, name: &str) -> u64 {
        if let Some(entity) = self.names.get(name) {
            return *entity;
        }
        self.count += 1;
        self.names.insert(name.to_owned(), self.count);
        self.entities.insert(self.count, Entity { names: [name.to_owned()].into(), ..Entity::default() });
        self.count
    }

    /// Checks that these names would not give an entity two names of one kind.
    fn may_have<'a>(&self, entity: u64, names: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
        let kind = |name: &str| name.rsplit_once('/').map(|(kind, _)| kind.to_owned());
        let counts = |name: &&String| !self.retired.contains(*name);
        let kinds: BTreeSet<_> = self.entities[&entity].names.iter().filter(counts).map(|name| kind(name)).collect();
        match names.into_iter().filter(counts).find(|name| kinds.contains(&kind(name))) {
            Some(name) => Err(format!("`{name}` would be a second name of its kind")),
            None => Ok(()),
        }
    }

    /// Joins two entities into one.
    fn join(&mut self, into: u64, from: u64) -> Result<(), String> {
        self.may_have(into, &self.entities[&from].names)?;
        self.unite(into, from);
        Ok(())
    }

    fn unite(&mut self, into: u64, from: u64) {
        let rivals = (self.entities[&into].running, self.entities[&from].running);
        if let (Some(a), Some(b)) = rivals {
            let (first, second) = (&self.runs[&a], &self.runs[&b]);
            let a_loses = second.has_written && (!first.has_written || first.queued.arrival > second.queued.arrival);
            self.restart(if a_loses { a } else { b });
        }
        let other = self.entities.remove(&from).expect("it is there");
        self.names.values_mut().filter(|entity| **entity == from).for_each(|entity| *entity = into);
        let running = other.running;
        let entity = self.entities.get_mut(&into).expect("it is there");
        entity.names.extend(other.names);
        entity.memory.extend(other.memory);
        entity.memory.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
        entity.queue.extend(other.queue);
        entity.queue.make_contiguous().sort_by_key(|queued| queued.arrival);
        entity.running = entity.running.or(running);
        for run in self.runs.values_mut().filter(|run| run.entity == from) {
            run.entity = into;
        }
    }

    /// Puts a run's event back to the front of its queue.
    fn restart(&mut self, run: u64) {
        let run = self.runs.remove(&run).expect("it is there");
        let entity = self.entities.get_mut(&run.entity).expect("it is there");
        entity.queue.push_front(run.queued);
        entity.running = None;
        self.restarts += 1;
    }

    /// Stops as a host that is killed does: every running event begins anew, after the events that have arrived
    /// meanwhile.
    pub fn kill(&mut self) {
        for (_, run) in std::mem::take(&mut self.runs) {
            let entity = self.entities.get_mut(&run.entity).expect("it is there");
            entity.queue.push_back(run.queued);
            entity.running = None;
        }
    }

    /// Claims names for a run. Returns false if the run has to start again.
    fn claim(&mut self, run: u64, names: &Names) -> Result<bool, String> {
        self.retired.extend(names.retired.iter().cloned());
        self.retired.retain(|name| !names.learned.contains(name));
        for name in &names.learned {
            let own = self.runs[&run].entity;
            let Some(other) = self.names.get(name).copied() else {
                self.may_have(own, [name])?;
                self.names.insert(name.clone(), own);
                self.entities.get_mut(&own).expect("it is there").names.insert(name.clone());
                continue;
            };
            if other == own {
                continue;
            }
            self.may_have(own, &self.entities[&other].names)?;
            let rival = self.entities[&other].running;
            let loser = rival.map(|rival| {
                let (a, b) = (&self.runs[&run], &self.runs[&rival]);
                let own_loses = b.has_written && (!a.has_written || a.queued.arrival > b.queued.arrival);
                if own_loses { run } else { rival }
            });
            if let Some(loser) = loser {
                self.restart(loser);
            }
            self.join(own, other)?;
            if loser == Some(run) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl World {
    pub fn accept(&mut self, event: Event) {
        let names = match self.rules.key(&event) {
            Ok(entity) => entity.names,
            Err(why) => panic!("no key: {why} {event:?}"),
        };
        let host = &mut self.host;
        let entity = host.entity(&names[0]);
        for name in &names[1..] {
            // The names that one event declares are one entity, whichever entities had them before.
            let other = host.entity(name);
            if other != entity {
                host.unite(entity, other);
            }
        }
        host.count += 1;
        let queued = Queued { event, arrival: host.count, once: vec![] };
        host.entities.get_mut(&entity).expect("it is there").queue.push_back(queued);
        self.begin();
    }

    /// Starts the first event of every entity without a running event.
    fn begin(&mut self) {
        let host = &mut self.host;
        let mut started = vec![];
        for (id, entity) in &mut host.entities {
            if entity.running.is_none()
                && let Some(queued) = entity.queue.pop_front()
            {
                host.count += 1;
                entity.running = Some(host.count);
                let memory = entity.memory.iter().map(|(_, memory)| memory.clone()).collect();
                let run = Run {
                    queued,
                    entity: *id,
                    memory,
                    replies: vec![],
                    sent: vec![],
                    calls: vec![],
                    open: vec![],
                    has_written: false,
                };
                host.runs.insert(host.count, run);
                started.push(host.count);
            }
        }
        for run in started {
            self.ask(run);
        }
    }

    fn ask(&mut self, id: u64) {
        let run = &self.host.runs[&id];
        match step::<DefaultRules>(&self.rules, &run.queued.event, &run.memory, run.replies.clone()) {
            Next::Send(send) => {
                let names = if self.manners.without_claims { Names::default() } else { send.names };
                match self.host.claim(id, &names) {
                    Ok(true) => self.dispatch(id, send.calls),
                    Ok(false) => {}
                    Err(why) => self.finish(id, tandem_sdk::refused(why)),
                }
                self.begin();
            }
            Next::End(end) => self.finish(id, end),
        }
    }

    fn dispatch(&mut self, id: u64, calls: Vec<Call>) {
        let run = self.host.runs.get_mut(&id).expect("it is there");
        run.has_written |= calls.iter().any(|call| call.effect != Effect::Read);
        run.open = vec![None; calls.len()];
        run.sent.push(calls.clone());
        run.calls = calls;
        for n in 0..run.calls.len() {
            let delay = if self.manners.is_wild { self.random.pick(&[1, 20, 150, 700]) } else { 10 };
            self.after(delay, move |world| world.reply(id, n, false));
        }
    }

    pub fn go_on(&mut self) {
        self.begin();
    }

    fn reply(&mut self, id: u64, n: usize, is_again: bool) {
        // A run that was restarted meanwhile sends nothing more.
        let Some(run) = self.host.runs.get(&id) else {
            self.unanswered -= usize::from(is_again);
            return;
        };
        let call = run.calls[n].clone();
        let known = run.queued.once.iter().find(|(once, _)| *once == call).map(|(_, answer)| answer.clone());
        let reply = match known {
            Some(answer) => Some(Reply::Answer(answer)),
            None => self.carry_out(&call, is_again),
        };
        let Some(reply) = reply else {
            let delay = if self.manners.is_wild { self.random.pick(&[0, 0, 500, 2500]) } else { 5000 };
            return self.after(delay, move |world| world.reply(id, n, true));
        };
        let Some(run) = self.host.runs.get_mut(&id) else {
            return;
        };
        if let (Effect::Once, Reply::Answer(answer)) = (call.effect, &reply)
            && answer.is_success()
        {
            run.queued.once.push((call, answer.clone()));
        }
        run.open[n] = Some(reply);
        if run.open.iter().all(Option::is_some) {
            let replies = std::mem::take(&mut run.open);
            run.replies.push(replies.into_iter().flatten().collect());
            self.ask(id);
        }
    }

    fn finish(&mut self, id: u64, mut end: End) {
        self.say(|| format!("{:?}: {} names {:?}", end.outcome, end.reason, end.names));
        let names = std::mem::take(&mut end.names);
        self.host.retired.extend(names.retired);
        let own = self.host.runs[&id].entity;
        for name in names.learned.iter().filter(|_| !self.manners.without_claims) {
            let other = self.host.entity(name);
            if other != own
                && let Err(why) = self.host.join(own, other)
            {
                end = tandem_sdk::refused(why);
            }
        }
        let run = self.host.runs.remove(&id).expect("it is there");
        let entity = self.host.entities.get_mut(&run.entity).expect("it is there");
        entity.running = None;
        if let Some(memory) = end.memory.clone() {
            self.host.count += 1;
            entity.memory = if memory.is_empty() { vec![] } else { vec![(self.host.count, memory)] };
        }
        let Run { queued, memory, sent, replies, .. } = run;
        self.host.ended.push(Ended { event: queued.event, memory, sent, replies, end });
        self.begin();
    }
}
