//! The door of one connection: its place among all, whether it is logged in, and whether anything runs on it.
//!
//! Ends connections that do not log in, or that sit idle. The counts are in `caps`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::caps::{Doors, Full, Seat};
use crate::config::Caps;
use crate::strangers::Strangers;

/// What all doors share.
pub(crate) struct Hall {
    doors: Mutex<Doors>,
    strangers: Mutex<Strangers>,
}

impl Hall {
    pub(crate) fn new(caps: Caps, now: Instant) -> Arc<Self> {
        Arc::new(Self { doors: Mutex::new(Doors::new(caps, now)), strangers: Mutex::default() })
    }

    /// A door for a new connection, or why there is none.
    pub(crate) fn open(self: &Arc<Self>, from: IpAddr, now: Instant) -> Result<Arc<Door>, Full> {
        let seat = self.doors().open(from, now)?;
        let (busy, _) = watch::channel(0);
        Ok(Arc::new(Door {
            hall: self.clone(),
            seat: Mutex::new(seat),
            logged_in: CancellationToken::new(),
            busy,
            cut: CancellationToken::new(),
        }))
    }

    fn doors(&self) -> MutexGuard<'_, Doors> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Door {
    hall: Arc<Hall>,
    seat: Mutex<Seat>,
    logged_in: CancellationToken,
    busy: watch::Sender<usize>,
    /// Cutting it ends the connection.
    pub cut: CancellationToken,
}

impl Door {
    /// How long to wait before the first byte.
    pub(crate) fn wait(&self) -> Duration {
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).wait
    }

    pub(crate) fn logged_in(&self, from: IpAddr) {
        self.hall.doors().logged_in(&mut self.seat.lock().unwrap_or_else(PoisonError::into_inner));
        self.hall.strangers().accepted(from);
        self.logged_in.cancel();
    }

    pub(crate) fn stranger(&self, from: IpAddr, fingerprint: String, now: Instant) {
        self.hall.strangers().refused(from, fingerprint, now);
    }

    pub(crate) fn banner(&self, from: IpAddr, now: Instant) -> Option<String> {
        self.hall.strangers().banner(from, now)
    }

    /// Counts a command until the answer is dropped.
    pub(crate) fn busy(&self) -> Busy {
        self.busy.send_modify(|count| *count += 1);
        Busy { count: self.busy.clone() }
    }

    /// Watches over the connection; returns when it is to end.
    pub(crate) async fn watch(&self, login: Duration, idle: Duration, closing: CancellationToken) {
        if tokio::time::timeout(login, self.logged_in.cancelled()).await.is_err() {
            return;
        }
        let mut busy = self.busy.subscribe();
        loop {
            let began = tokio::select! {
                began = tokio::time::timeout(idle, busy.wait_for(|count| *count > 0)) => matches!(began, Ok(Ok(_))),
                () = closing.cancelled() => false,
            };
            if !began || busy.wait_for(|count| *count == 0).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner);
        self.hall.doors().close(&seat);
    }
}

/// A running command.
pub(crate) struct Busy {
    count: watch::Sender<usize>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}
