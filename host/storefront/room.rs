//! How many shoppers' requests may be under way, and how many of them may ask the other systems at a time: of one shop, and of all. A
//! shop whose systems hang takes its own share, and neither the places of webhooks nor those of other shops. Knows counts alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The part of a listener's connections that may be of requests under way here: one in so many.
const PART: usize = 4;
/// The part of those that one shop may have.
const SHOPS_PART: usize = 4;
/// What one shop may have at least.
const SHOP_MIN: usize = 2;
/// Tokens that are asked for at a time, of all shops and of one.
const ASKS: usize = 128;
const SHOPS_ASKS: usize = 8;

pub struct Room {
    all: Arc<Semaphore>,
    asks: Arc<Semaphore>,
    of_shop: usize,
    /// Of the shops that have requests under way.
    shops: Mutex<HashMap<String, Weak<Share>>>,
}

struct Share {
    seats: Arc<Semaphore>,
    asks: Arc<Semaphore>,
}

/// The place of one request. To drop it is to free it.
pub struct Seat {
    share: Arc<Share>,
    _of_all: OwnedSemaphorePermit,
    _of_shop: OwnedSemaphorePermit,
}

/// The permission to ask the other systems.
pub struct Turn {
    _of_shop: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Room {
    /// For requests that come through a listener with so many connections.
    pub fn new(connections: usize) -> Self {
        let all = (connections / PART).max(SHOP_MIN);
        Self {
            all: Arc::new(Semaphore::new(all)),
            asks: Arc::new(Semaphore::new(ASKS)),
            of_shop: (all / SHOPS_PART).max(SHOP_MIN),
            shops: Mutex::default(),
        }
    }

    /// A place for a request of a shop; `None`: there are as many as may be.
    pub fn enter(&self, shop: &str) -> Option<Seat> {
        let of_all = self.all.clone().try_acquire_owned().ok()?;
        let mut shops = self.shops.lock().unwrap_or_else(PoisonError::into_inner);
        let share = match shops.get(shop).and_then(Weak::upgrade) {
            Some(share) => share,
            None => {
                shops.retain(|_, share| share.strong_count() > 0);
                let (seats, asks) = (Semaphore::new(self.of_shop), Semaphore::new(SHOPS_ASKS));
                let share = Arc::new(Share { seats: Arc::new(seats), asks: Arc::new(asks) });
                shops.insert(shop.to_owned(), Arc::downgrade(&share));
                share
            }
        };
        drop(shops);
        let of_shop = share.seats.clone().try_acquire_owned().ok()?;
        Some(Seat { share, _of_all: of_all, _of_shop: of_shop })
    }

    /// Waits for the permission to ask. The shop's own comes first, so that nobody waits in the queue of all for a shop whose asks
    /// hang.
    pub async fn turn(&self, seat: &Seat) -> Option<Turn> {
        let of_shop = seat.share.asks.clone().acquire_owned().await.ok()?;
        let of_all = self.asks.clone().acquire_owned().await.ok()?;
        Some(Turn { _of_shop: of_shop, _of_all: of_all })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    fn enter(room: &Room, shop: &str, times: usize) -> Vec<Seat> {
        (0..times).filter_map(|_| room.enter(shop)).collect()
    }

    #[test]
    fn a_shop_takes_its_own_share_of_the_places_and_all_shops_a_part_of_the_listeners() {
        for (connections, of_shop, of_all) in [(1_024, 64, 256), (128, 8, 32), (16, 2, 4), (1, 2, 2)] {
            let room = Room::new(connections);
            let acmes = enter(&room, "acme", 2_000);
            assert_eq!(acmes.len(), of_shop, "{connections}");
            let others: Vec<_> = (0..2_000).flat_map(|n| enter(&room, &n.to_string(), 1)).collect();
            assert_eq!(acmes.len() + others.len(), of_all, "{connections}");
            drop((acmes, others));
            assert_eq!(enter(&room, "acme", 2_000).len(), of_shop, "{connections}");
        }
    }

    #[test]
    fn shops_without_requests_are_forgotten() {
        let room = Room::new(1_024);
        for n in 0..1_000 {
            drop(room.enter(&n.to_string()));
        }
        assert_eq!(room.shops.lock().unwrap().len(), 1);
    }

    /// What a turn gives at once.
    async fn at_once(room: &Room, seat: &Seat) -> Option<Turn> {
        let mut turn = Box::pin(room.turn(seat));
        std::future::poll_fn(|context| match turn.as_mut().poll(context) {
            Poll::Ready(turn) => Poll::Ready(turn),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn a_shop_whose_asks_hang_leaves_the_asks_of_the_others() {
        let room = Room::new(4_096);
        let (acmes, zeta) = (enter(&room, "acme", 100), room.enter("zeta").unwrap());
        let mut turns = vec![];
        for seat in &acmes {
            turns.extend(at_once(&room, seat).await);
        }
        assert_eq!(turns.len(), SHOPS_ASKS);
        assert!(at_once(&room, &zeta).await.is_some());
        // Those who wait have nothing of what is for all.
        let waiting: Vec<_> = acmes.iter().map(|seat| Box::pin(room.turn(seat))).collect();
        assert_eq!(room.asks.available_permits(), ASKS - SHOPS_ASKS);
        drop(waiting);
        turns.pop();
        assert!(at_once(&room, &acmes[0]).await.is_some());
    }
}
