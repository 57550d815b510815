//! Hands out turns to ask rules, as [`crate::shares`] decides.
//!
//! Knows who waits; not what for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::shares::{Shares, Ticket};

/// A handle; cheap to clone.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Mutex<Queue>>);

#[derive(Debug)]
struct Queue {
    shares: Shares,
    waiting: HashMap<Ticket, oneshot::Sender<Turn>>,
}

/// Leave to ask a tenant's rules. It is over when this is dropped, and what it took is counted.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    tenant: String,
    began: Instant,
}

/// Whoever does not wait any more leaves the queue.
struct Waiting<'a> {
    turns: &'a Turns,
    tenant: &'a str,
    ticket: Ticket,
}

impl Turns {
    /// So many at a time, of all tenants.
    pub fn new(at_once_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue { shares: Shares::new(at_once_max), waiting: HashMap::new() })))
    }

    /// Waits for a turn of this tenant.
    pub async fn turn(&self, tenant: &str) -> Turn {
        let (send, turn) = oneshot::channel();
        let ticket = {
            let mut queue = self.queue();
            let ticket = queue.shares.wait(tenant);
            queue.waiting.insert(ticket, send);
            ticket
        };
        let waiting = Waiting { turns: self, tenant, ticket };
        self.hand_out();
        let turn = turn.await;
        drop(waiting);
        turn.unwrap_or_else(|_| unreachable!("a sender leaves the queue with a turn"))
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.queue().waiting.len()
    }

    fn hand_out(&self) {
        loop {
            let (sender, turn) = {
                let mut queue = self.queue();
                let Some((tenant, ticket)) = queue.shares.hand_out() else { return };
                let turn = Turn { turns: self.clone(), tenant, began: Instant::now() };
                (queue.waiting.remove(&ticket), turn)
            };
            // Whoever has just left gives it back, outside of the lock.
            drop(sender.map(|sender| sender.send(turn)));
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// How long it has lasted.
    pub fn took(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let took = u64::try_from(self.took().as_micros()).unwrap_or(u64::MAX);
        self.turns.queue().shares.done(&self.tenant, took);
        self.turns.hand_out();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = self.turns.queue();
        if queue.waiting.remove(&self.ticket).is_some() {
            queue.shares.leave(self.tenant, self.ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_comes_back_whoever_waited_for_it() {
        let turns = Turns::new(2);
        let (one, two) = (turns.turn("a").await, turns.turn("b").await);
        let mut given_up = Box::pin(turns.turn("c"));
        assert!(futures_now(&mut given_up).await.is_none());
        assert_eq!(turns.waiting(), 1);
        drop(given_up);
        assert_eq!(turns.waiting(), 0);
        drop(one);
        drop(turns.turn("d").await);
        drop(two);
        let _both = (turns.turn("e").await, turns.turn("f").await);
    }

    /// What a future gives if it is polled once.
    async fn futures_now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(done) => Some(done),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
