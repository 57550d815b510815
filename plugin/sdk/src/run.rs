//! Runs `async` rules over recorded replies, in passes. Knows nothing of what the calls are about.
//!
//! A pass polls the whole future once. A call belongs to the pass in which it is first polled and gets its reply in a
//! later one, so `join`ed branches of different lengths never take each other's replies.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use crate::{Answer, Call, CallTo, Effect, End, Event, Names, Next, Reply, Rules, Send, get, refused, segment};

/// How many times in all a call is sent while its 2xx responses are not answers to it.
const ASKS_MAX: usize = 3;

/// What rules can use while they handle an event: a way to make calls, and what was remembered.
#[derive(Debug)]
pub struct Cx {
    memory: Vec<String>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    /// The pass that is being polled.
    pass: usize,
    /// The replies of each pass. Each reply is taken once.
    replies: Vec<Vec<Option<Reply>>>,
    /// The calls first polled in this pass.
    calls: Vec<Call>,
    names: Names,
}

/// One ask: given the replies so far, says what to do next about the event.
///
/// Panics when the replies do not belong to these rules, and when the rules wait for something that is not a call. In a
/// component, a panic is a trap.
pub fn step<R: Rules>(rules: &R, event: &Event, memory: &[String], replies: Vec<Vec<Reply>>) -> Next {
    let passes = replies.len();
    let cx = Cx {
        memory: memory.to_vec(),
        state: RefCell::new(State {
            pass: 0,
            replies: replies.into_iter().map(|pass| pass.into_iter().map(Some).collect()).collect(),
            calls: vec![],
            names: Names::default(),
        }),
    };
    let mut future = pin!(rules.handle(&cx, event));
    let mut context = Context::from_waker(Waker::noop());
    for pass in 0..=passes {
        cx.state.borrow_mut().pass = pass;
        let polled = future.as_mut().poll(&mut context);
        let mut state = cx.state.borrow_mut();
        let calls = std::mem::take(&mut state.calls);
        match polled {
            Poll::Ready(ending) => {
                assert!(
                    pass == passes && calls.is_empty(),
                    "the rules ended after {pass} of {passes} passes: these are the replies of other rules"
                );
                let mut end = ending.unwrap_or_else(|early| early);
                end.names.learned.append(&mut state.names.learned);
                end.names.retired.append(&mut state.names.retired);
                return Next::End(end);
            }
            Poll::Pending if calls.is_empty() => {
                panic!("the rules wait for something that is not a call")
            }
            Poll::Pending if pass == passes => {
                let names = state.names.clone();
                return Next::Send(Send { calls, names });
            }
            Poll::Pending => assert!(
                calls.len() == state.replies[pass].len(),
                "pass {pass} asks {} calls but has {} replies: these are the replies of other rules",
                calls.len(),
                state.replies[pass].len()
            ),
        }
    }
    unreachable!("the last pass returns or panics")
}

impl Cx {
    /// The memory that earlier events left behind, the newest first.
    pub fn memory(&self) -> &[String] {
        &self.memory
    }

    /// Adds a name of the entity. The host claims the name together with the next calls, or with the end.
    pub fn learn(&self, name: impl Into<String>) {
        let Names { learned, retired } = &mut self.state.borrow_mut().names;
        change_list(name.into(), retired, learned);
    }

    /// Declares that the thing with this name is gone for good, so that another can take its place.
    pub fn retire(&self, name: impl Into<String>) {
        let Names { learned, retired } = &mut self.state.borrow_mut().names;
        change_list(name.into(), learned, retired);
    }

    /// The rest of the first name learned in this run that has this beginning: after `omneo/profile/`, the id of the
    /// profile that the rules have found or created.
    pub fn learned(&self, beginning: &str) -> Option<String> {
        let state = self.state.borrow();
        state.names.learned.iter().find_map(|name| name.strip_prefix(beginning)).map(str::to_owned)
    }

    /// Sends a call to Omneo as [`Cx::ask`] does. If the fate of the call is unknown, ends the event as refused.
    pub async fn omneo(&self, call: CallTo) -> Result<Answer, End> {
        self.ask("omneo", call).await?.answer()
    }

    /// Sends a call to Shopify as [`Cx::ask`] does. If the fate of the call is unknown, ends the event as refused.
    pub async fn shopify(&self, call: CallTo) -> Result<Answer, End> {
        self.ask("shopify", call).await?.answer()
    }

    /// Asks the host for the names that the entity with this name has now, the name itself among them. Empty if the host
    /// does not know the name, or if it was retired.
    pub async fn names_of(&self, name: &str) -> Result<Vec<String>, End> {
        let parts: Vec<_> = name.splitn(3, '/').map(segment).collect();
        let call = get(format!("/names/{}", parts.join("/"))).needs("/data");
        let json = self.ask("tandem", call).await?.answer()?.json()?;
        let names: Result<_, _> =
            json.view().list("/data")?.iter().map(|name| name.text("").map(str::to_owned)).collect();
        Ok(names?)
    }

    /// Sends a call and gives its reply. Any answer returned either has a status other than 2xx or holds what the call
    /// needs: see [`CallTo`].
    ///
    /// A 2xx that lacks what the call needs does not count as an answer. If the call only reads or may be repeated, it
    /// is sent again, three times in all; then the event ends as refused. If the call must not be sent twice, it may
    /// have been carried out: the reply is `unknown`, and the rules should look at the target before they send it
    /// again.
    pub async fn ask(&self, target: &str, call: CallTo) -> Result<Reply, End> {
        let mut last = String::new();
        for _ in 0..ASKS_MAX {
            let sent = call.clone().to(target);
            let (effect, line) = (sent.effect, sent.line());
            let answer = match self.call(sent).await {
                Reply::Answer(answer) => answer,
                unknown => return Ok(unknown),
            };
            let Some(lacking) = call.lacking(&answer) else { return Ok(Reply::Answer(answer)) };
            last = format!("{target} answered `{line}` with {} and {lacking}", answer.status);
            if effect == Effect::Once {
                return Ok(Reply::Unknown(last));
            }
        }
        Err(refused(format!("given up: {last}, {ASKS_MAX} times; retry the event when {target} answers again")))
    }

    /// Runs a future, and changes each call that the future makes before it is sent. Use it to send what other rules
    /// send, with changes. `change` sees each call once in every ask, so it must make the same change every time.
    ///
    /// See [`crate::Wrap`] for an example.
    pub async fn edit<T>(&self, future: impl Future<Output = T>, mut change: impl FnMut(&mut Call)) -> T {
        let mut future = pin!(future);
        poll_fn(|context| {
            let first = self.state.borrow().calls.len();
            let polled = future.as_mut().poll(context);
            // The calls are taken out of the state first, because `change` may use this `Cx`.
            let mut new = self.state.borrow_mut().calls.split_off(first);
            new.iter_mut().for_each(&mut change);
            self.state.borrow_mut().calls.append(&mut new);
            polled
        })
        .await
    }

    /// Sends a call and gives its reply as it is. A 2xx may hold anything here; [`Cx::ask`] checks what it holds.
    pub async fn call(&self, call: Call) -> Reply {
        let mut asked = Some(call);
        let mut place = (0, 0);
        poll_fn(|_| {
            let mut state = self.state.borrow_mut();
            if let Some(call) = asked.take() {
                place = (state.pass, state.calls.len());
                state.calls.push(call);
                return Poll::Pending;
            }
            let (pass, n) = place;
            if pass == state.pass {
                return Poll::Pending;
            }
            let reply = state.replies[pass].get_mut(n).and_then(Option::take);
            Poll::Ready(reply.expect("each reply is there and taken once"))
        })
        .await
    }
}

/// The latest statement about a name counts.
fn change_list(name: String, from: &mut Vec<String>, to: &mut Vec<String>) {
    from.retain(|other| *other != name);
    if !to.contains(&name) {
        to.push(name);
    }
}

/// Runs two futures at the same time, so that their calls go out together.
pub async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        poll_into(a.as_mut(), &mut first, cx);
        poll_into(b.as_mut(), &mut second, cx);
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

/// Runs any number of futures at the same time. Gives their results in the order of the futures.
pub async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    poll_fn(|cx| {
        for (future, result) in &mut futures {
            poll_into(future.as_mut(), result, cx);
        }
        if futures.iter().any(|(_, result)| result.is_none()) {
            return Poll::Pending;
        }
        Poll::Ready(futures.iter_mut().filter_map(|(_, result)| result.take()).collect())
    })
    .await
}

fn poll_into<F: Future>(future: Pin<&mut F>, result: &mut Option<F::Output>, cx: &mut Context) {
    if result.is_none()
        && let Poll::Ready(value) = future.poll(cx)
    {
        *result = Some(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ending, Entity, Manifest, Outcome, converse, done, event, get, json, post, reply};

    #[derive(Default)]
    struct Uneven;

    impl Rules for Uneven {
        fn describe(&self) -> Manifest {
            Manifest::new("uneven", "0")
        }
        fn key(&self, _: &Event) -> Result<Entity, String> {
            Ok(Entity::named("shopify/customer/1"))
        }
        async fn handle(&self, cx: &Cx, _: &Event) -> Ending {
            let long = async {
                let a = cx.omneo(get("/a").needs_nothing()).await?.body;
                let b = cx.omneo(get("/b").needs_nothing()).await?.body;
                Ok::<_, End>((a, b))
            };
            let (ab, c) = join(long, cx.omneo(get("/c").needs_nothing())).await;
            Ok(done(format!("{:?} {}", ab?, c?.body)))
        }
    }

    fn answers(bodies: &[&str]) -> Vec<Reply> {
        let answer = |body: &&str| Reply::Answer(Answer { status: 200, headers: vec![], body: (*body).into() });
        bodies.iter().map(answer).collect()
    }

    fn paths(next: &Next) -> Vec<String> {
        let Next::Send(send) = next else { panic!("ended: {next:?}") };
        send.calls.iter().map(Call::line).collect()
    }

    #[test]
    fn branches_of_different_lengths_keep_their_replies() {
        let ask = |replies| step(&Uneven, &event(), &[], replies);
        assert_eq!(paths(&ask(vec![])), ["GET omneo /a", "GET omneo /c"]);
        assert_eq!(paths(&ask(vec![answers(&["A", "C"])])), ["GET omneo /b"]);
        let Next::End(end) = ask(vec![answers(&["A", "C"]), answers(&["B"])]) else { panic!() };
        assert_eq!(end.reason, r#"("A", "B") C"#);
    }

    /// First makes a write that may be repeated, then one that must not be.
    #[derive(Default)]
    struct Writes;

    impl Rules for Writes {
        fn describe(&self) -> Manifest {
            Manifest::new("writes", "0")
        }
        fn key(&self, _: &Event) -> Result<Entity, String> {
            Ok(Entity::named("shopify/customer/1"))
        }
        async fn handle(&self, cx: &Cx, _: &Event) -> Ending {
            cx.omneo(post("/sale", json!({})).repeatable().needs("/data/id")).await?.ok("selling")?;
            Ok(match cx.ask("omneo", post("/order", json!({})).needs("/data/id")).await? {
                Reply::Answer(answer) => done(answer.body),
                Reply::Unknown(why) => done(format!("unknown: {why}")),
            })
        }
    }

    #[test]
    fn a_2xx_that_is_no_answer_is_asked_again_and_then_given_up_or_unknown() {
        let page = || Reply::Answer(Answer { status: 200, headers: vec![], body: "<html>".into() });
        let good = || reply(200, json!({"data": {"id": 7}}));
        let hold = |script: Vec<Reply>| {
            let mut script = script.into_iter();
            converse(&Writes, &event(), &[], |_| script.next().expect("no more is asked"))
        };
        let (calls, end) = hold(vec![page(), reply(200, json!({"data": {}})), good(), good()]);
        assert_eq!((calls.len(), end), (4, done(r#"{"data":{"id":7}}"#)));
        let (calls, end) = hold(vec![page(), page(), page()]);
        assert_eq!((calls.len(), end.outcome), (3, Outcome::Refused));
        let why = "omneo answered `POST omneo /sale` with 200 and a body that is not JSON";
        assert_eq!(end.reason, format!("given up: {why}, 3 times; retry the event when omneo answers again"));
        // A call that must not be sent twice is sent once.
        let (calls, end) = hold(vec![good(), page()]);
        let why = why.replace("/sale", "/order");
        assert_eq!((calls.len(), end), (2, done(format!("unknown: {why}"))));
    }

    #[test]
    #[should_panic(expected = "replies of other rules")]
    fn a_wrong_number_of_replies_is_found() {
        step(&Uneven, &event(), &[], vec![answers(&["A"])]);
    }

    #[test]
    #[should_panic(expected = "replies of other rules")]
    fn replies_that_nobody_asked_for_are_found() {
        step(&Uneven, &event(), &[], vec![answers(&["A", "C"]), answers(&["B"]), answers(&["D"])]);
    }
}
