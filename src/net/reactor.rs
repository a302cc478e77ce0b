//! Which reactor (tokio runtime) the calling thread drives. A socket works best on the thread that uses it, so
//! connections remember the reactor that they are registered with.

use std::cell::Cell;

/// A thread's reactor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reactor(u16);

impl Reactor {
    /// The control runtime's.
    pub const CONTROL: Self = Self(0);

    /// Worker `index`'s.
    pub fn worker(index: usize) -> Self {
        Self(u16::try_from(index + 1).unwrap_or(u16::MAX))
    }

    /// The calling thread's.
    pub fn here() -> Self {
        HERE.get()
    }

    /// Declares the calling thread to be this reactor's.
    pub fn enter(self) {
        HERE.set(self);
    }
}

thread_local! {
    static HERE: Cell<Reactor> = const { Cell::new(Reactor::CONTROL) };
}
