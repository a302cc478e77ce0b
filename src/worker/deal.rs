//! Which worker a client lives on: pack first, spread when a worker is busy.
//!
//! A light load is cheapest on one worker: no hand-over between threads, large epoll batches. So new clients go to the
//! first worker that is not busy. Load shows only after clients have begun to work, so a worker that turns out too
//! busy gives some of its clients to one that is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::shared::Shared;
use super::thread::Worker;
use crate::metrics::WorkerMetrics;
use crate::net::clock;
use crate::pool::holder::Order;

/// From here on a worker gets no new clients while another has less to do.
const BUSY: f64 = 0.7;
/// From here on a worker gives clients away.
const TOO_BUSY: f64 = 0.85;
/// A worker takes clients over only below this.
const HAS_ROOM: f64 = 0.5;
/// A client that did something within this time is at work.
const OF_LATE: Duration = Duration::from_secs(1);

/// Measures, deals and moves.
pub struct Dealer {
    workers: Vec<Worker>,
    loads: Vec<Load>,
    next: Arc<Next>,
    measured: Instant,
}

/// The worker that new clients go to.
#[derive(Debug, Default)]
pub struct Next(AtomicUsize);

impl Next {
    /// Its number.
    pub fn index(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct Load {
    busy: Duration,
    /// Part of the last round that the worker was not asleep.
    ratio: f64,
    metrics: WorkerMetrics,
}

impl Dealer {
    /// For these workers, who look at `next` when a client comes.
    pub fn new(workers: Vec<Worker>, next: Arc<Next>, shared: &Shared) -> Self {
        let load = |worker: &Worker| Load {
            busy: worker.busy(),
            ratio: 0.0,
            metrics: shared.metrics.worker(worker.index),
        };
        let loads = workers.iter().map(load).collect();
        Self { workers, loads, next, measured: clock::now() }
    }

    fn ratios(&self) -> Vec<f64> {
        self.loads.iter().map(|load| load.ratio).collect()
    }

    /// Measures the load of the round that ends now, chooses where new clients go from here on, and moves clients if
    /// one worker has too much to do.
    pub fn round(&mut self, shared: &Arc<Shared>, now: Instant) {
        let elapsed = now.saturating_duration_since(self.measured).as_secs_f64();
        self.measured = now;
        for (worker, load) in self.workers.iter().zip(&mut self.loads) {
            let busy = worker.busy();
            let spent = busy.saturating_sub(load.busy).as_secs_f64();
            load.busy = busy;
            load.ratio = if elapsed > 0.0 { (spent / elapsed).min(1.0) } else { 0.0 };
            load.metrics.set_busy(busy);
        }
        let ratios = self.ratios();
        if let Some(next) = first_with_room(&ratios) {
            self.next.0.store(next, Ordering::Relaxed);
        }
        if let Some((from, to)) = relief(&ratios) {
            self.relieve(shared, now, from, to);
        }
    }

    /// Sets how many clients live where.
    pub fn publish(&self, shared: &Shared) {
        let mut counts = vec![0_u32; self.loads.len()];
        for client in shared.clients.iter() {
            let worker = client.worker.load(Ordering::Relaxed) as usize;
            if let Some(count) = counts.get_mut(worker) {
                *count += 1;
            }
        }
        for (load, count) in self.loads.iter().zip(counts) {
            load.metrics.clients.set(count);
        }
    }

    /// Moves a third of the clients of `from` that did something of late: moving those that sleep would not help.
    fn relieve(&self, shared: &Arc<Shared>, now: Instant, from: usize, to: usize) {
        let recent = now.checked_sub(OF_LATE);
        let mut active: Vec<_> = shared
            .clients
            .iter()
            .filter(|client| client.worker.load(Ordering::Relaxed) as usize == from)
            .filter(|client| {
                recent.is_none_or(|recent| client.accepted + client.last_request() >= recent)
            })
            .map(|client| client.holder.clone())
            .collect();
        if active.len() < 2 {
            return;
        }
        active.truncate((active.len() / 3).max(1));
        let to = u16::try_from(to).unwrap_or(u16::MAX);
        for holder in active {
            holder.order(Order::Move(to));
        }
    }
}

/// The first that is not busy, else the least busy.
fn first_with_room(ratios: &[f64]) -> Option<usize> {
    let least = ratios.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map(|(index, _)| index);
    ratios.iter().position(|ratio| *ratio < BUSY).or(least)
}

/// Who should give clients to whom.
fn relief(ratios: &[f64]) -> Option<(usize, usize)> {
    let (from, most) = ratios.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    let (to, least) = ratios.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?;
    (*most > TOO_BUSY && *least < HAS_ROOM).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_packed_until_a_worker_is_busy_and_then_spread() {
        assert_eq!(first_with_room(&[0.0, 0.0, 0.0]), Some(0));
        assert_eq!(first_with_room(&[0.6, 0.0, 0.0]), Some(0));
        assert_eq!(first_with_room(&[0.8, 0.1, 0.0]), Some(1));
        assert_eq!(first_with_room(&[0.9, 0.8, 0.95]), Some(1));
        assert_eq!(first_with_room(&[]), None);
    }

    #[test]
    fn only_a_worker_with_too_much_to_do_gives_clients_away_and_only_to_one_with_room() {
        assert_eq!(relief(&[0.9, 0.1]), Some((0, 1)));
        assert_eq!(relief(&[0.8, 0.0]), None);
        assert_eq!(relief(&[0.95, 0.6]), None);
        assert_eq!(relief(&[0.95]), None);
    }
}
