//! A switchover that the cluster manager has planned: new transactions are held just before it begins, so that none is
//! under way when the primary stops. PURE.

use std::time::{Duration, SystemTime};

use crate::config::HostAddr;

/// How long before it new transactions are held: those under way are to end meanwhile, and clocks differ.
const LEAD: Duration = Duration::from_millis(500);

/// A plan that is older than this was never carried out.
const STALE: Duration = Duration::from_secs(10);

/// A manager that has dropped its plan, with the primary still in office so long after the time, has called it off.
const GRACE: Duration = Duration::from_secs(5);

/// How often it is looked, while transactions are held, whether it was called off.
const LOOK: Duration = Duration::from_millis(250);

/// What is known of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Planned {
    /// There is none. A plan -> `For`.
    #[default]
    Nothing,
    /// For this time. Nearly then -> `Begun`; dropped -> `Nothing`.
    For(SystemTime),
    /// Transactions are held. Another leader, or called off -> `Nothing`.
    Begun {
        /// The time.
        at: SystemTime,
        /// Who is to hand over.
        leader: Option<HostAddr>,
    },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// Hold new transactions.
    Hold,
    /// It was called off: let them go on.
    LetGo,
}

/// What the manager says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Its plan; `None`: the one who knows could not be asked.
    pub(super) plan: Option<Option<SystemTime>>,
    /// Who leads.
    pub(super) leader: Option<HostAddr>,
}

impl Planned {
    /// Goes on by what was said, if anything was, and by the time.
    pub(super) fn step(&mut self, word: Option<&Word>, now: SystemTime) -> Step {
        let plan = word.and_then(|word| word.plan);
        let leads = word.and_then(|word| word.leader.as_ref());
        match self {
            Self::Nothing | Self::For(_) => {
                match plan {
                    Some(Some(at)) if now < at + STALE => *self = Self::For(at),
                    Some(_) => *self = Self::Nothing,
                    None => {}
                }
                let Self::For(at) = *self else { return Step::Nothing };
                if now + LEAD < at {
                    return Step::Nothing;
                }
                *self = Self::Begun { at, leader: leads.cloned() };
                Step::Hold
            }
            Self::Begun { at, leader } => {
                if leader.is_none() {
                    *leader = leads.cloned();
                }
                if leads.is_some() && leads != leader.as_ref() {
                    *self = Self::Nothing;
                    return Step::Nothing;
                }
                let called_off = leads.is_some() && plan == Some(None) && *at + GRACE < now;
                if called_off {
                    *self = Self::Nothing;
                    return Step::LetGo;
                }
                Step::Nothing
            }
        }
    }

    /// When it is to be looked again, if that is not to wait.
    pub(super) fn next(&self, now: SystemTime) -> Option<Duration> {
        match self {
            Self::Nothing => None,
            Self::For(at) => Some((*at - LEAD).duration_since(now).unwrap_or_default()),
            Self::Begun { at, .. } if now < *at + 4 * STALE => Some(LOOK),
            Self::Begun { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000 + millis)
    }

    fn word(plan: Option<Option<SystemTime>>, leader: &str) -> Word {
        Word { plan, leader: Some(HostAddr::new(leader, 5432)) }
    }

    #[test]
    fn transactions_are_held_just_before_the_time_and_until_another_leads() {
        let mut planned = Planned::default();
        let plan = word(Some(Some(at(10_000))), "a");
        assert_eq!(planned.step(Some(&plan), at(0)), Step::Nothing);
        assert_eq!(planned.next(at(0)), Some(Duration::from_millis(9500)));
        assert_eq!(planned.step(None, at(9_499)), Step::Nothing);
        assert_eq!(planned.step(None, at(9_500)), Step::Hold);
        assert_eq!(planned.step(Some(&plan), at(9_600)), Step::Nothing, "once");
        assert_eq!(planned.step(Some(&word(Some(None), "b")), at(12_000)), Step::Nothing);
        assert_eq!(planned, Planned::Nothing, "b leads; the monitors have seen it, too");
    }

    #[test]
    fn a_plan_can_be_changed_and_dropped_before_its_time() {
        let mut planned = Planned::default();
        planned.step(Some(&word(Some(Some(at(10_000))), "a")), at(0));
        planned.step(Some(&word(None, "a")), at(1));
        assert_eq!(planned, Planned::For(at(10_000)), "who could not be asked has dropped nothing");
        planned.step(Some(&word(Some(Some(at(20_000))), "a")), at(2));
        assert_eq!(planned, Planned::For(at(20_000)));
        planned.step(Some(&word(Some(None), "a")), at(3));
        assert_eq!(planned.step(None, at(20_000)), Step::Nothing);
    }

    #[test]
    fn a_plan_that_was_called_off_at_the_last_moment_lets_them_go_on() {
        let mut planned = Planned::default();
        assert_eq!(planned.step(Some(&word(Some(Some(at(100))), "a")), at(0)), Step::Hold);
        let dropped = word(Some(None), "a");
        assert_eq!(planned.step(Some(&dropped), at(3_000)), Step::Nothing, "it may be under way");
        assert_eq!(planned.step(Some(&dropped), at(5_200)), Step::LetGo);
        assert_eq!(planned, Planned::Nothing);
    }

    #[test]
    fn an_old_plan_holds_nobody() {
        let mut planned = Planned::default();
        let old = word(Some(Some(at(0))), "a");
        assert_eq!(planned.step(Some(&old), at(10_001)), Step::Nothing);
        assert_eq!(planned, Planned::Nothing);
    }
}
