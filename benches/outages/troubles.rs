//! What readers see of a replica in trouble.

use std::fmt;
use std::time::Duration;

use crate::story::trouble::{BOUND, MAX_REPLICA_LAG, Trouble, Troubled};

/// What came of each.
pub(crate) struct Troubles(Vec<(&'static str, Vec<Troubled>)>);

/// Tells each of these so many times. `in_thread`: runs a story on a thread of its own.
pub(crate) fn measure(
    runs: usize,
    wanted: impl Fn(&str) -> bool,
    in_thread: impl Fn(Trouble) -> Option<Troubled>,
) -> Troubles {
    let told = |trouble: Trouble| {
        let once = |_| {
            let told = in_thread(trouble)?;
            eprintln!("{}: {told}, broken: {:?}", trouble.name(), told.broken);
            Some(told)
        };
        (0..runs).map_while(once).collect::<Vec<_>>()
    };
    let all = Trouble::ALL.into_iter().filter(|(name, _)| wanted(name));
    Troubles(all.map(|(name, trouble)| (name, told(trouble))).collect())
}

impl Troubles {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, told)| told.is_empty())
    }
}

impl fmt::Display for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## A replica in trouble\n")?;
        writeln!(
            f,
            "One of two replicas; `max_replica_lag = {}`, `slow_start = 0`. The worst reader of 4 may wait for {} ms. Age: for how \
             long what a read did not see had been acknowledged, at most. Back: from the end of the trouble until it had an even share \
             of the reads. Share: of the reads, what it had before, once the trouble was seen, and after it. Promises: no connection dropped, none older than `max_replica_lag`, no \
             reads there meanwhile, its share of them again afterwards.\n",
            MAX_REPLICA_LAG.as_secs(),
            BOUND.as_millis()
        )?;
        writeln!(
            f,
            "| trouble | worst reader, ms | seen after, ms | back after, ms | errors | age, ms | share, % | promises |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for (name, told) in self.0.iter().filter(|(_, told)| !told.is_empty()) {
            let times = |of: &dyn Fn(&Troubled) -> Duration| {
                let mut times: Vec<_> = told.iter().map(|told| of(told).as_millis()).collect();
                times.sort_unstable();
                (times[times.len() / 2], times[times.len() - 1])
            };
            let (worst, most) = times(&|told| told.readers.worst);
            let (noticed, last) = times(&|told| told.noticed);
            let (back, longest) = times(&|told| told.back);
            let (age, oldest) = times(&|told| told.oldest);
            let mean = |of: &dyn Fn(&Troubled) -> f64| {
                told.iter().map(of).sum::<f64>() / told.len() as f64
            };
            let [before, during, after] =
                [0, 1, 2].map(|part: usize| mean(&|told| told.shares[part] * 100.0));
            let errors = mean(&|told| told.errors as f64);
            let mut broken: Vec<_> = told.iter().flat_map(|told| told.broken.clone()).collect();
            if worst > BOUND.as_millis() {
                broken.push("the worst reader waits too long".to_owned());
            }
            let kept = if broken.is_empty() { "all".to_owned() } else { format!("{broken:?}") };
            writeln!(
                f,
                "| {name} | {worst} (most {most}) | {noticed} (most {last}) | {back} (most {longest}) | {errors:.1} | {age} (most {oldest}) | \
                 {before:.0}, {during:.0}, {after:.0} | {kept} |"
            )?;
        }
        Ok(())
    }
}
