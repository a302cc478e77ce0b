//! Which of several hosts that would do: of two picked at random, the one with less to do.
//!
//! Two at random rather than the least busy of all: the numbers are a moment old, and everybody who picks "the least
//! busy" by the same old numbers picks the same host (M. Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing", 2001).

/// How busy a candidate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Transactions that run on it or wait for it.
    pub outstanding: u32,
}

/// The index of the host to use; `None` without candidates. `random`: 64 even bits.
pub fn pick(candidates: &[Load], random: u64) -> Option<usize> {
    let count = candidates.len();
    if count < 2 {
        return count.checked_sub(1);
    }
    let first = below(count, random & 0xFFFF_FFFF);
    // Any but the first.
    let second = (first + 1 + below(count - 1, random >> 32)) % count;
    let (a, b) = (candidates.get(first)?, candidates.get(second)?);
    Some(if b.outstanding < a.outstanding { second } else { first })
}

/// An even 32-bit number mapped to `0..limit` without a division (D. Lemire, "Fast Random Integer Generation in an
/// Interval", 2019; the bias, below `limit / 2^32`, does not matter here).
fn below(limit: usize, random: u64) -> usize {
    ((random * limit as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn loads(outstanding: &[u32]) -> Vec<Load> {
        outstanding.iter().map(|outstanding| Load { outstanding: *outstanding }).collect()
    }

    #[test]
    fn without_candidates_there_is_nothing_to_pick() {
        assert_eq!(pick(&[], u64::MAX), None);
        assert_eq!(pick(&loads(&[7]), u64::MAX), Some(0));
    }

    #[test]
    fn of_two_the_less_busy_is_picked_and_idle_ones_get_an_even_share() {
        let mut rng = proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        );
        let mut picked = [0; 3];
        for _ in 0..3000 {
            assert_eq!(pick(&loads(&[5, 4]), rng.next_u64()), Some(1));
            picked[pick(&loads(&[1, 1, 1]), rng.next_u64()).unwrap()] += 1;
        }
        assert!(picked.iter().all(|count| (900..1100).contains(count)), "{picked:?}");
    }

    proptest! {
        #[test]
        fn the_busiest_is_never_picked_when_it_stands_alone(
            others in proptest::collection::vec(0_u32..100, 1..8), random: u64
        ) {
            let mut outstanding = others;
            outstanding.push(1000);
            let picked = pick(&loads(&outstanding), random).unwrap();
            prop_assert!(picked < outstanding.len() - 1);
        }
    }
}
