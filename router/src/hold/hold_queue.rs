//! Hold queues: requests wait here while their app is paused or has no instance, and leave oldest first.
//!
//! Owns who may go on, who waits for how long, who is turned away. Must never read a body: a held request costs its head and
//! nothing more, and the client's own socket holds the rest back.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use std::sync::{Mutex, PoisonError};

use model::Hostname;
use tokio::sync::oneshot;

/// How many requests are held per route, over all workers. Locked only by requests that are held.
#[derive(Debug, Default)]
pub(crate) struct HeldCounts(Mutex<HashMap<Hostname, u32>>);

impl HeldCounts {
    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(|count| u64::from(*count)).sum()
    }

    fn enter(&self, host: &Hostname, max: u32) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(host.clone()).or_default();
        let room = *count < max;
        *count += u32::from(room);
        room
    }

    fn leave(&self, host: &Hostname) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(host) {
            *count -= 1;
            if *count == 0 {
                held.remove(host);
            }
        }
    }
}

/// The queues of one worker.
#[derive(Debug, Default)]
pub(crate) struct HoldQueues {
    queues: RefCell<HashMap<Hostname, Queue>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<oneshot::Sender<()>>,
    /// Let go, and not yet in flight.
    going: usize,
}

/// A place in a queue; dropping it, for whatever reason, gives the place up.
pub(crate) struct Ticket<'a> {
    hold_queues: &'a HoldQueues,
    held: &'a HeldCounts,
    host: Hostname,
    turn: oneshot::Receiver<()>,
    had_turn: bool,
}

impl Ticket<'_> {
    /// Waits for its turn.
    pub(crate) async fn turn(&mut self) {
        // The sender lives in the queue until it is used, or goes with the whole worker.
        let _ = (&mut self.turn).await;
        self.had_turn = true;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.held.leave(&self.host);
        if self.had_turn || self.turn.try_recv().is_ok() {
            self.hold_queues.gone(&self.host);
        }
    }
}

impl HoldQueues {
    /// Whether anyone waits for this host: who comes later must queue behind.
    pub(crate) fn is_waiting(&self, host: &Hostname) -> bool {
        let queues = self.queues.borrow();
        !queues.is_empty() && queues.get(host).is_some_and(|queue| !queue.waiting.is_empty())
    }

    /// Takes the last place; none when too many wait.
    pub(crate) fn enter<'a>(&'a self, host: &Hostname, held: &'a HeldCounts, max: u32) -> Option<Ticket<'a>> {
        if !held.enter(host, max) {
            return None;
        }
        let (sender, turn) = oneshot::channel();
        self.queues.borrow_mut().entry(host.clone()).or_default().waiting.push_back(sender);
        Some(Ticket { hold_queues: self, held, host: host.clone(), turn, had_turn: false })
    }

    /// Lets go whom `may_go` allows: it gives how many of the requests for this host may be in flight more than are now.
    pub(crate) fn release(&self, may_go: impl Fn(&Hostname) -> usize) {
        self.queues.borrow_mut().retain(|host, Queue { waiting, going }| {
            waiting.retain(|one| !one.is_closed());
            let mut left = may_go(host).saturating_sub(*going);
            while left > 0 {
                match waiting.pop_front().map(|one| one.send(())) {
                    Some(Ok(())) => (left, *going) = (left - 1, *going + 1),
                    // The client left while it waited.
                    Some(Err(())) => {}
                    None => break,
                }
            }
            !waiting.is_empty() || *going > 0
        });
    }

    /// One that was let go is in flight now, or has left.
    fn gone(&self, host: &Hostname) {
        if let Some(queue) = self.queues.borrow_mut().get_mut(host) {
            queue.going = queue.going.saturating_sub(1);
        }
    }

    /// Whether nobody waits at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.borrow().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_first_bounded_and_who_leaves_gives_up_the_place() {
        let (hold_queues, held) = (HoldQueues::default(), HeldCounts::default());
        let host: Hostname = "shop.acme.localhost".parse().expect("a host name");
        let mut tickets: Vec<_> = (0..3).map(|_| hold_queues.enter(&host, &held, 3).expect("room")).collect();
        assert!(hold_queues.enter(&host, &held, 3).is_none());
        drop(tickets.remove(0));
        tickets.push(hold_queues.enter(&host, &held, 3).expect("room again"));
        hold_queues.release(|_| 2);
        let has_turn = |ticket: &mut Ticket| {
            ticket.had_turn = ticket.turn.try_recv().is_ok();
            ticket.had_turn
        };
        assert_eq!(tickets.iter_mut().map(has_turn).collect::<Vec<_>>(), [true, true, false]);
        assert!(hold_queues.is_waiting(&host));
        hold_queues.release(|_| 2);
        assert!(hold_queues.is_waiting(&host), "two are on their way already");
        drop(tickets);
        hold_queues.release(|_| 0);
        assert!(hold_queues.is_empty() && held.0.lock().expect("not poisoned").is_empty());
    }
}
