//! Those who hold servers: how to wake a client from outside, and what to tell it.
//!
//! A client's task sleeps until one of its sockets wakes it. Whoever wants something of it from outside (its server's
//! host died, KILL, shutdown) finds it here by its id, leaves an order and wakes it.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use dashmap::DashMap;

/// What a client is to do when it is next awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Look at the server held, or kept for it: it may be doomed, or have ended.
    LookAtServer,
    /// End: `KILL_CLIENT`.
    Kill,
    /// End: its database is gone (`KILL`, RELOAD).
    DatabaseGone,
    /// End: the process does.
    Shutdown,
    /// One of its limits is exceeded (`query_timeout`, …): its clock says which.
    Overdue,
    /// Part with the server held if it is to be replaced and nothing runs on it (`server_fast_close`).
    CloseServer,
    /// Tell it that it waits (`query_wait_notify`).
    NotifyWait,
    /// End: it could not be brought to rest in time (`suspend_timeout`).
    SuspendTimeout,
    /// Move to another worker when idle.
    Move(u16),
}

impl Order {
    fn encode(self) -> u32 {
        match self {
            Self::LookAtServer => 1,
            Self::Kill => 2,
            Self::DatabaseGone => 3,
            Self::Shutdown => 4,
            Self::Overdue => 5,
            Self::NotifyWait => 6,
            Self::CloseServer => 7,
            Self::SuspendTimeout => 8,
            Self::Move(worker) => 0x1_0000 | u32::from(worker),
        }
    }

    fn decode(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::LookAtServer),
            2 => Some(Self::Kill),
            3 => Some(Self::DatabaseGone),
            4 => Some(Self::Shutdown),
            5 => Some(Self::Overdue),
            6 => Some(Self::NotifyWait),
            7 => Some(Self::CloseServer),
            8 => Some(Self::SuspendTimeout),
            _ => (code > 0xFFFF).then(|| Self::Move(u16::try_from(code & 0xFFFF).unwrap_or(0))),
        }
    }
}

/// Whether a client is to come to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// No.
    None,
    /// It is to read from nobody (`SUSPEND`).
    Wanted,
    /// It reads from nobody, and has nothing left to send.
    Still,
    /// It is to go on in another process as soon as it can.
    Leaving,
}

impl Rest {
    fn decode(code: u8) -> Self {
        match code {
            1 => Self::Wanted,
            2 => Self::Still,
            3 => Self::Leaving,
            _ => Self::None,
        }
    }
}

/// One client as others can reach it.
#[derive(Debug)]
pub struct Holder {
    /// The client's id.
    pub id: u64,
    order: AtomicU32,
    rest: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Holder {
    /// A client nobody can wake yet.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            order: AtomicU32::new(0),
            rest: AtomicU8::new(Rest::None as u8),
            waker: Mutex::new(None),
        }
    }

    /// How it is woken from now on.
    pub fn listen(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// `SUSPEND` and `RESUME`: whether it is to read from nobody.
    pub fn suspend(&self, suspend: bool) {
        let rest = if suspend { Rest::Wanted } else { Rest::None };
        self.rest.store(rest as u8, Ordering::Release);
        self.wake();
    }

    /// Whether it is to come to rest.
    pub fn rest(&self) -> Rest {
        Rest::decode(self.rest.load(Ordering::Acquire))
    }

    /// It is to go on in another process as soon as it can, unless it is suspended.
    pub fn leave(&self) {
        if self.swap_rest(Rest::None, Rest::Leaving) {
            self.wake();
        }
    }

    /// It is to stay after all.
    pub fn stay(&self) {
        self.swap_rest(Rest::Leaving, Rest::None);
    }

    fn swap_rest(&self, from: Rest, to: Rest) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.rest.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// It is suspended, and has nothing left to send.
    pub fn is_still(&self) {
        self.swap_rest(Rest::Wanted, Rest::Still);
    }

    /// Whether it has said so.
    pub fn has_come_to_rest(&self) -> bool {
        self.rest() == Rest::Still
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.lock().unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    /// Leaves an order and wakes the client. A later order replaces an earlier one, but nothing replaces an end.
    pub fn order(&self, order: Order) {
        let ends = |code| {
            use Order::{DatabaseGone, Kill, Shutdown, SuspendTimeout};
            matches!(Order::decode(code), Some(Kill | DatabaseGone | Shutdown | SuspendTimeout))
        };
        let _ = self.order.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
            (!ends(old)).then(|| order.encode())
        });
        self.wake();
    }

    /// Takes the order off.
    pub fn take_order(&self) -> Option<Order> {
        // The common case costs one load.
        if self.order.load(Ordering::Acquire) == 0 {
            return None;
        }
        Order::decode(self.order.swap(0, Ordering::AcqRel))
    }
}

/// All clients by id.
pub type Holders = DashMap<u64, Arc<Holder>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_taken_once_and_nothing_replaces_an_end() {
        let holder = Holder::new(1);
        assert_eq!(holder.take_order(), None);
        for order in [
            Order::LookAtServer,
            Order::Overdue,
            Order::NotifyWait,
            Order::CloseServer,
            Order::SuspendTimeout,
            Order::Move(0),
            Order::Move(7),
            Order::Kill,
        ] {
            holder.order(order);
            assert_eq!(holder.take_order(), Some(order));
            assert_eq!(holder.take_order(), None);
        }
        holder.order(Order::Shutdown);
        holder.order(Order::LookAtServer);
        assert_eq!(holder.take_order(), Some(Order::Shutdown));
    }
}
