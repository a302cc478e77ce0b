//! The codec from outside: what was encoded decodes to itself, and nothing that a peer can send upsets it.

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod peek;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod startup;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod stream;
