//! What must hold for every message: it survives a round trip, a broken one is refused, a stream may be cut anywhere,
//! the ways to read in place agree with the full decoders, and `postgres-protocol` sees the same things.

mod agreement;

mod in_place;
mod round_trip;
mod startup;
mod strategies;
mod stream;
mod words;
