//! Which of several hosts that would do: of two picked at random, the one that is likely to answer sooner.
//!
//! Two at random rather than the best of all: the numbers are a moment old, and everybody who picks "the best" by the
//! same old numbers picks the same host (M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
//! What a host is likely to need is its average latency times what is already asked of it, by its weight (a *peak*
//! average: it rises at once and falls with time, so that a host in trouble is left alone before it drags many down).
//!
//! - `weight`: how often a host is picked, and how much may be asked of it, beside the others.
//! - `zone`: hosts of our own zone are taken while one of them has a server to spare.
//! - Slow start: a host that has just come is picked more and more often; its caches are cold.
//! - Ejection: a host that is far slower than the best, or fails far more often, is hardly picked, but never more than half
//!   of them. How long its queue is does not count: a busy pool is no sick host. One that fails at once would else look
//!   like the fastest of all.

/// Latencies below this are all the same, microseconds: what differs there is chance.
const FLOOR: u64 = 1000;

/// A host this many times slower than the best, and at least this slow (microseconds), is ejected …
const OUTLIER: (u64, u64) = (10, 100_000);

/// A host is ejected as well of whose answers at least this part are failures ([`blames_host`]), if that is this many times
/// what the best has …
const FAILING: (u32, u32) = (ALL_FAIL / 2, 4);

/// … but for one pick in this many, by which it is measured again.
const PROBE: u64 = 64;

/// A full share: what a host gets that is there for long.
pub const FULL: u32 = 256;

/// The share of failures of a host that does nothing but fail.
pub const ALL_FAIL: u32 = 256;

/// Whether an error of this SQLSTATE says that something is wrong with the host rather than with what it was asked: it lacks
/// a resource (class 53, but for limits of its own configuration), its system fails it (58), it is ending (57P01 to 57P03),
/// or its data or its code is broken (XX). Extensions raise XX000 for errors of their own making, but on all hosts.
pub fn blames_host(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    match class {
        "53" => code != "53400",
        "57" => matches!(code, "57P01" | "57P02" | "57P03"),
        "58" | "XX" => true,
        _ => false,
    }
}

/// One host that would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Transactions that run on it or wait for it.
    pub outstanding: u32,
    /// How many it can run at a time; 0: no limit.
    pub size: u32,
    /// Average time of a query, microseconds.
    pub latency: u32,
    /// How much of what it answers of late are failures, of [`ALL_FAIL`].
    pub failing: u32,
    /// Setting `weight`.
    pub weight: u32,
    /// Of [`FULL`], while it starts slowly.
    pub share: u32,
    /// Whether it is in our zone.
    pub near: bool,
}

impl Default for Candidate {
    fn default() -> Self {
        Self { outstanding: 0, size: 0, latency: 0, failing: 0, weight: 1, share: FULL, near: true }
    }
}

impl Candidate {
    fn latency(&self) -> u64 {
        u64::from(self.latency).max(FLOOR)
    }

    /// How often it is picked, beside the others.
    fn part(&self) -> u64 {
        u64::from(self.weight) * u64::from(self.share)
    }

    /// Whether everything that it has is in use.
    fn is_full(&self) -> bool {
        self.size > 0 && self.outstanding >= self.size
    }

    /// How long the next one is likely to take.
    fn cost(&self) -> u64 {
        let others = u64::from(self.outstanding) * 16 / u64::from(self.weight.max(1));
        // What fails has to be asked again: four times as much if it all does, and more where that is ejected.
        let again = u64::from(ALL_FAIL + 3 * self.failing.min(ALL_FAIL));
        self.latency() * (16 + others) * again / u64::from(ALL_FAIL)
    }
}

/// The number of the host to use, out of `count`; `None` if none would do. `at`: what is known of a host; `None` for one
/// that would not do. `random`: 64 even bits.
pub fn pick(count: usize, at: impl Fn(usize) -> Option<Candidate>, random: u64) -> Option<usize> {
    let all = || (0..count).filter_map(|number| Some((number, at(number)?)));
    let best = Best::of(|| all().map(|(_, host)| host))?;
    let (total, outliers) = all().fold((0, 0), |(total, outliers), (_, host)| {
        (total + 1, outliers + usize::from(best.makes_outlier(&host)))
    });
    let eject = outliers * 2 <= total && !(random >> 58).is_multiple_of(PROBE);
    let sound = |host: &Candidate| !eject || !best.makes_outlier(host);
    let near = all().any(|(_, host)| host.near && sound(&host) && !host.is_full());
    let taken = |host: &Candidate| sound(host) && (!near || host.near);
    let sum: u64 = all().filter(|(_, host)| taken(host)).map(|(_, host)| host.part()).sum();
    let sample = |bits: u64| -> Option<(usize, Candidate)> {
        let mut left = below(sum, bits & 0xFFFF_FFFF);
        let mut last = None;
        for (number, host) in all().filter(|(_, host)| taken(host)) {
            last = Some((number, host));
            if left < host.part() {
                break;
            }
            left -= host.part();
        }
        last
    };
    let (first, one) = sample(random)?;
    let (second, other) = sample(random >> 26)?;
    // A little better is not better: averages are rough, and then the parts decide.
    Some(if other.cost() * 5 < one.cost() * 4 { second } else { first })
}

/// What the others are measured by.
struct Best {
    failing: u32,
    latency: u64,
}

impl Best {
    /// Of these; `None` if there is none.
    fn of<I: Iterator<Item = Candidate>>(all: impl Fn() -> I) -> Option<Self> {
        let failing = all().map(|host| host.failing).min()?;
        // To fail is fast: how long that takes is no measure.
        let sound = all().filter(|host| !fails(host, failing));
        Some(Self { failing, latency: sound.map(|host| host.latency()).min()? })
    }

    fn makes_outlier(&self, host: &Candidate) -> bool {
        let slow = host.latency() > self.latency * OUTLIER.0 && host.latency() > OUTLIER.1;
        slow || fails(host, self.failing)
    }
}

/// Whether a host fails far more often than the one that does so least.
fn fails(host: &Candidate, least: u32) -> bool {
    host.failing >= FAILING.0 && host.failing > least.saturating_mul(FAILING.1)
}

/// An even 32-bit number mapped to `0..limit` without a division (D. Lemire, "Fast Random Integer Generation in an
/// Interval", 2019; the bias does not matter here).
fn below(limit: u64, random: u64) -> u64 {
    ((u128::from(random) * u128::from(limit)) >> 32) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SplitMix64, from a fixed seed.
    fn dice() -> impl FnMut() -> u64 {
        let mut state = 7_u64;
        move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }
    }

    /// How often each was picked of 10,000 times, in percent.
    fn shares(hosts: &[Candidate]) -> Vec<usize> {
        let mut dice = dice();
        let mut counts = vec![0; hosts.len()];
        for _ in 0..10_000 {
            counts[pick(hosts.len(), |number| Some(hosts[number]), dice()).unwrap()] += 1;
        }
        counts.into_iter().map(|count| (count + 50) / 100).collect()
    }

    fn host() -> Candidate {
        Candidate { latency: 2000, size: 20, ..Candidate::default() }
    }

    #[test]
    fn hosts_that_are_alike_get_the_same_and_weights_are_kept() {
        let even = shares(&[host(), host()]);
        assert!(even.iter().all(|share| (48..=52).contains(share)), "{even:?}");
        let weighted = shares(&[Candidate { weight: 3, ..host() }, host()]);
        assert!((73..=77).contains(&weighted[0]), "{weighted:?}");
        assert_eq!(shares(&[Candidate { weight: 0, ..host() }, host()]), [0, 100]);
    }

    #[test]
    fn the_busier_and_the_slower_host_gets_less() {
        let busy = shares(&[Candidate { outstanding: 10, ..host() }, host(), host()]);
        assert!(busy[0] < 15, "{busy:?}");
        let slow = shares(&[Candidate { latency: 40_000, ..host() }, host(), host()]);
        assert!(slow[0] > 5 && slow[0] < 15, "{slow:?}: it is not forgotten");
        // By what it can carry: ten on a host of weight 10 are as one on a host of weight 1.
        let heavy = Candidate { outstanding: 10, weight: 10, ..host() };
        let alike = shares(&[heavy, Candidate { outstanding: 1, ..host() }]);
        assert!(alike[0] > 85, "{alike:?}");
    }

    #[test]
    fn a_host_that_is_far_slower_is_ejected_but_never_more_than_half() {
        let sick = Candidate { latency: 900_000, ..host() };
        let shares_of = shares(&[sick, host(), host()]);
        assert!(shares_of[0] <= 1, "{shares_of:?}");
        let mut dice = dice();
        let tried = (0..100_000).any(|_| {
            pick(2, |number| Some(if number == 0 { sick } else { host() }), dice()) == Some(0)
        });
        assert!(tried, "it is measured again now and then");
        let most = shares(&[sick, sick, host()]);
        assert!(most[0] + most[1] > 10, "{most:?}: two of three are not ejected");
    }

    #[test]
    fn a_long_queue_does_not_eject() {
        let full = Candidate { outstanding: 1000, ..host() };
        assert!(!Best { failing: 0, latency: 200 }.makes_outlier(&full));
        assert_eq!(pick(1, |_| Some(full), 1 << 63), Some(0));
    }

    #[test]
    fn a_host_that_fails_at_once_is_ejected_although_it_is_the_fastest() {
        let broken = Candidate { failing: 200, latency: 1, ..host() };
        let shares_of = shares(&[broken, host(), Candidate { outstanding: 15, ..host() }]);
        assert!(shares_of[0] <= 2, "{shares_of:?}");
        // Those that are sound, and slow because what they are asked is, are no outliers beside it.
        let slow = Candidate { latency: 300_000, ..host() };
        let shares_of = shares(&[broken, slow, slow]);
        assert!(shares_of[0] <= 2 && shares_of[1] > 40, "{shares_of:?}");
        let mut dice = dice();
        let hosts = [broken, host()];
        let tried = (0..1000).filter(|_| pick(2, |number| Some(hosts[number]), dice()) == Some(0));
        let tried = tried.count();
        assert!((1..=40).contains(&tried), "{tried} of 1000: it is tried now and then");
        // A few failures cost it a part of its share.
        let shaky = Candidate { failing: 64, latency: 1, ..host() };
        let shares_of = shares(&[shaky, Candidate { latency: 1, ..host() }]);
        assert!((15..40).contains(&shares_of[0]), "{shares_of:?}");
    }

    #[test]
    fn where_all_fail_alike_or_more_than_half_do_none_is_ejected() {
        let broken = |failing| Candidate { failing, ..host() };
        for failing in [ALL_FAIL, 150, 64] {
            let even = shares(&[broken(failing), broken(failing), broken(failing * 3 / 4)]);
            assert!(even.iter().all(|share| *share > 15), "{even:?}: it is what they are asked");
        }
        let most = shares(&[broken(250), broken(250), host()]);
        assert!(most[0] + most[1] > 10, "{most:?}: two of three are not ejected");
        assert_eq!(pick(1, |_| Some(broken(ALL_FAIL)), 1 << 63), Some(0), "better than none");
    }

    #[test]
    fn what_an_application_does_wrong_is_not_the_hosts_fault() {
        for code in [
            "53100", "53200", "53300", "58030", "58P01", "XX000", "XX001", "XX002", "57P01",
            "57P03",
        ] {
            assert!(blames_host(code), "{code}");
        }
        for code in [
            "42P01", "57014", "57P05", "53400", "40001", "40P01", "25006", "23505", "0A000", "",
            "X", "58",
        ] {
            assert_eq!(blames_host(code), code == "58", "{code}");
        }
    }

    #[test]
    fn our_zone_is_taken_while_it_has_a_server_to_spare() {
        let far = Candidate { near: false, ..host() };
        assert_eq!(shares(&[host(), far]), [100, 0]);
        let full = Candidate { outstanding: 20, ..host() };
        let spilled = shares(&[full, far]);
        assert!(spilled[1] > 60, "{spilled:?}");
        assert_eq!(shares(&[far, far])[0] + shares(&[far, far])[1], 100, "none is near");
    }

    #[test]
    fn one_that_has_just_come_starts_slowly() {
        let new = Candidate { share: FULL / 10, ..host() };
        let shares = shares(&[new, host()]);
        assert!((5..=14).contains(&shares[0]), "{shares:?}");
    }

    proptest! {
        #[test]
        fn one_that_would_do_is_picked_if_there_is_any(
            hosts in proptest::collection::vec(
                (any::<bool>(), 0_u32..2000, 0_u32..30, any::<u32>(), 0_u32..5, 0_u32..=FULL, any::<bool>(), 0..=ALL_FAIL), 0..12),
            random in any::<u64>(),
        ) {
            let host = |number: usize| {
                let (fit, outstanding, size, latency, weight, share, near, failing) = hosts[number];
                fit.then_some(Candidate { outstanding, size, latency, failing, weight, share, near })
            };
            match pick(hosts.len(), host, random) {
                Some(picked) => prop_assert!(hosts[picked].0),
                None => prop_assert!(hosts.iter().all(|host| !host.0)),
            }
        }

        #[test]
        fn of_sound_hosts_and_some_that_fail_the_sound_ones_get_nearly_all(
            failing in proptest::collection::vec(FAILING.0..=ALL_FAIL, 1..5),
            sound in proptest::collection::vec((0_u32..20, 1_u32..50_000), 5..8),
        ) {
            let broken = failing.iter().map(|failing| {
                Candidate { failing: *failing, latency: 0, ..host() }
            });
            let sound = sound.iter().map(|(outstanding, latency)| {
                Candidate { outstanding: *outstanding, latency: *latency, ..host() }
            });
            let hosts: Vec<_> = broken.chain(sound).collect();
            let mut dice = dice();
            let wrong = (0..2000).filter(|_| {
                pick(hosts.len(), |number| Some(hosts[number]), dice()).unwrap() < failing.len()
            });
            let wrong = wrong.count();
            prop_assert!(wrong < 100, "{wrong} of 2000");
        }
    }
}
