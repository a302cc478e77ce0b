use super::*;
use proptest::prelude::*;

type Books = State<u32, &'static str>;

#[expect(clippy::disallowed_methods, reason = "any moment will do")]
fn start() -> Instant {
    Instant::now()
}

fn sized(size: Option<u32>) -> Sizes {
    Sizes { size, ..Sizes::default() }
}

/// Begins to open a connection, if one is wanted for somebody who waits.
fn begin<C, W>(state: &mut State<C, W>, now: Instant) -> bool {
    let wanted = state.wants(now).is_some();
    if wanted {
        state.begin_opening();
    }
    wanted
}

fn opened(state: &mut Books, connection: u32) -> Placed<u32, &'static str> {
    state.opened();
    state.release(connection)
}

#[test]
fn who_came_first_is_served_first_and_nobody_is_overtaken() {
    let now = start();
    let mut state = Books::new(sized(Some(1)), false);
    state.enqueue("first", now);
    state.enqueue("second", now);
    assert!(begin(&mut state, now));
    assert!(!begin(&mut state, now), "the size is reached");
    assert!(matches!(opened(&mut state, 7), Placed::To("first", 7)));
    assert_eq!(
        state.take(|_| Duration::ZERO, |_| true),
        None,
        "a newcomer must queue behind the second"
    );
    assert!(matches!(state.release(7), Placed::To("second", 7)));
    assert!(matches!(state.release(7), Placed::Idle));
    assert_eq!(state.take(|_| Duration::ZERO, |_| true), Some(7));
}

#[test]
fn who_queues_learns_of_a_connection_that_came_to_rest_in_the_meantime() {
    let now = start();
    let unused = |_: &u32| Duration::ZERO;
    let mut state = Books::new(sized(Some(1)), false);
    assert!(!state.has_for_taking(unused));
    state.enqueue("first", now);
    assert!(begin(&mut state, now));
    assert!(matches!(opened(&mut state, 7), Placed::To("first", 7)));
    assert!(!state.has_for_taking(unused), "the second looks");
    assert!(matches!(state.release(7), Placed::Idle));
    assert!(state.has_for_taking(unused), "and looks again before queueing");
    state.enqueue("second", now);
    assert!(!state.has_for_taking(unused), "nobody overtakes who queues");
}

#[test]
fn a_near_connection_is_preferred_and_else_the_one_used_last() {
    let mut state = Books::new(sized(None), false);
    for connection in [1, 2, 3] {
        state.enqueue("x", start());
        assert!(begin(&mut state, start()));
        assert!(matches!(opened(&mut state, connection), Placed::To(..)));
    }
    for connection in [1, 2, 3] {
        assert!(matches!(state.release(connection), Placed::Idle));
    }
    assert_eq!(state.take(|_| Duration::ZERO, |connection| *connection == 2), Some(2));
    assert_eq!(state.take(|_| Duration::ZERO, |connection| *connection == 9), Some(3));
    state.resize(sized(None), true);
    assert!(matches!(state.release(3), Placed::Idle));
    assert_eq!(
        state.take(|_| Duration::ZERO, |_| true),
        Some(1),
        "round robin: idle longest first"
    );
}

#[test]
fn until_one_has_succeeded_only_one_is_tried_and_after_a_failure_not_before_its_time() {
    let now = start();
    let mut state = Books::new(sized(Some(9)), false);
    for _ in 0..9 {
        state.enqueue("x", now);
    }
    assert!(begin(&mut state, now) && !begin(&mut state, now));
    let later = now + Duration::from_secs(15);
    state.open_failed(later);
    assert!(!begin(&mut state, now) && begin(&mut state, later));
    state.opened();
    let attempts = (0..9).filter(|_| begin(&mut state, later)).count();
    assert_eq!(attempts, OPENING_AT_ONCE as usize);
}

#[test]
fn a_paused_pool_takes_back_to_close_and_lets_wait() {
    let now = start();
    let mut state = Books::new(sized(Some(2)), false);
    state.enqueue("x", now);
    assert!(begin(&mut state, now));
    assert!(matches!(opened(&mut state, 1), Placed::To(..)));
    state.set_paused(true);
    state.enqueue("y", now);
    assert!(!begin(&mut state, now));
    assert!(matches!(state.release(1), Placed::Close(1)));
    assert_eq!((state.total(), state.waiting()), (0, 1));
    state.set_paused(false);
    assert!(begin(&mut state, now));
}

#[test]
fn those_who_waited_too_long_leave_in_order_and_a_ticket_is_good_once() {
    let now = start();
    let mut state = Books::new(sized(Some(1)), false);
    state.enqueue("a", now);
    let ticket = state.enqueue("b", now + Duration::from_secs(1));
    state.enqueue("c", now + Duration::from_secs(2));
    assert!(state.leave(ticket) && !state.leave(ticket));
    let limit = Duration::from_secs(10);
    let expired = state.expire(now + Duration::from_secs(11), limit);
    assert_eq!(expired, [("a", Duration::from_secs(11))]);
    assert_eq!(state.waiting(), 1);
    state.enqueue("d", now + Duration::from_secs(11));
    let mut told = |seconds| {
        let now = now + Duration::from_secs(seconds);
        state.untold(now, Duration::from_secs(5)).copied().collect::<Vec<_>>()
    };
    assert_eq!((told(11), told(12), told(16)), (vec!["c"], vec![], vec!["d"]), "each once");
}

#[test]
fn a_lowered_size_takes_effect_on_idle_ones_and_at_release() {
    let now = start();
    let mut state = Books::new(sized(Some(3)), false);
    for connection in 0..3 {
        state.enqueue("x", now);
        assert!(begin(&mut state, now));
        assert!(matches!(opened(&mut state, connection), Placed::To(..)));
    }
    assert!(matches!(state.release(0), Placed::Idle));
    state.resize(sized(Some(1)), false);
    assert_eq!(state.surplus(), [0]);
    assert!(matches!(state.release(1), Placed::Close(1)));
    assert!(matches!(state.release(2), Placed::Idle));
}

#[test]
fn what_was_unused_for_long_is_checked_first_one_for_each_who_waits() {
    let now = start();
    let mut state = Books::new(sized(Some(3)), false);
    for connection in [1, 2, 3] {
        state.enqueue("x", now);
        assert!(begin(&mut state, now));
        assert!(matches!(opened(&mut state, connection), Placed::To(..)));
    }
    for connection in [1, 2, 3] {
        assert!(matches!(state.release(connection), Placed::Idle));
    }
    // Number 3 is the only one that was used of late.
    let unused = |c: &u32| Duration::from_secs(if *c == 3 { 30 } else { 31 });
    state.check_after(Some(Duration::from_secs(30)));
    assert_eq!(state.take(unused, |c| *c == 1), Some(3), "a fresh one, though far");
    assert_eq!(state.take(unused, |_| true), None, "none is fresh");
    assert_eq!(state.take_for_check(), None, "nobody waits");
    state.enqueue("first", now);
    assert_eq!((state.take_for_check(), state.take_for_check()), (Some(2), None));
    assert_eq!((state.testing(), state.wants(now)), (1, None), "it is on its way");
    state.enqueue("second", now);
    state.tested();
    state.closed();
    assert_eq!(state.take_for_check(), Some(1), "the next one, as that one failed");
    assert_eq!(state.wants(now), Some(Need::Waiter), "and a new one for the second");
    state.tested();
    assert!(matches!(state.release(1), Placed::To("first", 1)));
    state.resize(sized(Some(3)), true);
    assert!(matches!(state.release(3), Placed::To("second", 3)));
    for connection in [1, 3] {
        assert!(matches!(state.release(connection), Placed::Idle));
    }
    assert_eq!(state.take(unused, |_| true), Some(3), "round robin asks as well");
    assert_eq!(state.take(unused, |_| true), None);
    state.check_after(None);
    assert_eq!(state.take(unused, |_| false), Some(1));
}

#[test]
fn the_reserve_is_for_those_who_have_waited_too_long() {
    let (now, patience) = (start(), Duration::from_secs(5));
    let reserve_after = Some(patience);
    let sizes = Sizes { size: Some(1), reserve: 2, reserve_after, ..Sizes::default() };
    let mut state = Books::new(sizes, false);
    state.enqueue("served", now);
    assert_eq!(state.wants(now), Some(Need::Waiter));
    state.begin_opening();
    assert!(matches!(opened(&mut state, 1), Placed::To(..)));
    state.enqueue("first", now);
    state.enqueue("second", now + Duration::from_secs(1));
    assert_eq!(state.wants(now + Duration::from_secs(4)), None);
    assert_eq!(state.wants(now + patience), Some(Need::Reserve));
    state.begin_opening();
    assert_eq!(state.wants(now + patience), None, "the second has not waited long enough");
    assert_eq!(state.wants(now + Duration::from_secs(6)), Some(Need::Reserve));
    state.begin_opening();
    state.enqueue("third", now);
    assert_eq!(state.wants(now + Duration::from_secs(9)), None, "that was the reserve");
    assert!(matches!(opened(&mut state, 2), Placed::To("first", 2)));
    assert!(matches!(opened(&mut state, 3), Placed::To("second", 3)));
    state.resize(Sizes { reserve_after: None, reserve: 9, ..sizes }, false);
    assert_eq!(state.wants(now + Duration::from_secs(99)), None, "the reserve is off");
    state.resize(Sizes { reserve: 0, ..sizes }, false);
    assert!(matches!(state.release(1), Placed::Close(1)), "the reserve is gone");
}

/// A pool of this size whose only connection is number 1, just opened.
fn with_one_kept(size: u32, now: Instant) -> Books {
    let mut state = Books::new(sized(Some(size)), false);
    assert!(state.may_open_to_keep(now));
    state.begin_opening();
    assert!(!state.may_open_to_keep(now), "none has succeeded yet");
    state.opened();
    assert!(matches!(state.keep(1, now), Placed::Idle));
    assert_eq!((state.idle(), state.attached(), state.total()), (1, 0, 1));
    state
}

#[test]
fn what_is_kept_goes_to_its_client_and_to_others_only_when_nothing_else_is_on_its_way() {
    let (now, unused) = (start(), |_: &u32| Duration::ZERO);
    let mut state = with_one_kept(2, now);
    assert_eq!(state.take(unused, |_| true), None, "others are not given it at once");
    assert!(!state.free_kept(false, now), "nobody waits");
    state.enqueue("first", now);
    assert!(!state.free_kept(false, now), "one can be opened for him");
    assert!(begin(&mut state, now));
    assert!(!state.free_kept(true, now), "one is being opened for him");
    assert_eq!((state.take_kept(|c| *c == 9), state.take_kept(|c| *c == 1)), (None, Some(1)));
    assert_eq!(state.attached(), 1);
    assert!(matches!(state.keep(1, now), Placed::Idle));
    assert!(matches!(opened(&mut state, 2), Placed::To("first", 2)));
    state.enqueue("second", now);
    state.enqueue("third", now);
    state.enqueue("fourth", now);
    assert!(matches!(state.keep(2, now), Placed::To("second", 2)), "who waits goes first");
    assert!(!begin(&mut state, now) && state.free_kept(false, now));
    assert!(!state.free_kept(false, now), "that was all");
    assert_eq!(state.take_kept(|c| *c == 1), None, "it is kept for nobody any more");
    assert_eq!((state.take_for_check(), state.take_for_check()), (Some(1), None));
    assert_eq!(state.take(unused, |_| true), None);
    assert!(!state.may_open_to_keep(now), "two wait");
}

#[test]
fn what_is_kept_is_let_go_when_none_can_be_opened_for_who_waits() {
    let now = start();
    for reason in ["other pools", "a failure"] {
        let mut state = with_one_kept(2, now);
        state.enqueue("waits", now);
        if reason == "a failure" {
            assert!(begin(&mut state, now));
            state.open_failed(now + Duration::from_secs(15));
        }
        assert!(state.free_kept(reason == "other pools", now), "{reason}");
        assert_eq!(state.take_for_check(), Some(1), "{reason}");
    }
}

#[test]
fn what_is_kept_is_closed_like_anything_idle() {
    let now = start();
    let mut state = with_one_kept(1, now);
    assert!(!state.may_open_to_keep(now) && !state.has_none(), "that is the size");
    state.resize(sized(None), false);
    assert!(!state.may_open_to_keep(now), "there would be no end to it");
    assert_eq!(state.take_idle(|_| Some(())), [(1, ())]);
    let mut state = with_one_kept(1, now);
    assert_eq!(state.longest_idle().copied(), Some(1));
    assert_eq!(state.take_longest_idle(), Some(1));
    assert!(state.has_none());
    let mut state = with_one_kept(1, now);
    let (age, lifetime) = (Duration::from_secs(9), Duration::from_secs(8));
    assert_eq!(state.take_oldest(|_| age, age + age, now), None);
    assert_eq!(state.take_oldest(|_| age, lifetime, now), Some(1));
    let mut state = with_one_kept(1, now);
    state.resize(sized(Some(0)), false);
    assert_eq!(state.surplus(), [1]);
    let mut state = with_one_kept(1, now);
    state.set_paused(true);
    state.enqueue("waits", now);
    assert!(!state.free_kept(true, now), "nothing is given out in a pause");
    assert_eq!(state.take_kept(|_| true), Some(1));
    assert!(matches!(state.keep(1, now), Placed::Close(1)));
}

#[test]
fn the_minimum_is_opened_one_at_a_time_and_never_above_the_size() {
    let now = start();
    let mut state = Books::new(Sizes { size: Some(2), min: 5, ..Sizes::default() }, false);
    for connection in [1, 2] {
        assert_eq!(state.wants_minimum(now), Some(Need::Minimum));
        state.begin_opening();
        assert_eq!(state.wants_minimum(now), None, "one is on its way");
        assert!(matches!(opened(&mut state, connection), Placed::Idle));
    }
    assert_eq!((state.wants_minimum(now), state.spare()), (None, 0));
    state.set_paused(true);
    assert_eq!(state.take_longest_idle(), Some(1));
    assert_eq!(state.wants_minimum(now), None, "not in a pause");
    state.set_paused(false);
    state.resize(Sizes { min: 1, ..Sizes::default() }, false);
    assert_eq!((state.wants_minimum(now), state.spare()), (None, 0));
    state.resize(Sizes::default(), false);
    assert_eq!(state.spare(), 1);
}

#[test]
fn connections_of_one_age_are_not_retired_all_at_once() {
    let now = start();
    let mut state = Books::new(sized(Some(10)), false);
    let (age, lifetime) = (Duration::from_secs(101), Duration::from_secs(100));
    assert!(state.retire(age, lifetime, now));
    assert!(!state.retire(age, lifetime, now + Duration::from_secs(9)));
    assert!(state.retire(age, lifetime, now + Duration::from_secs(10)));
    assert!(state.retire(Duration::ZERO, Duration::ZERO, now), "a lifetime of 0 means: use once");
}

proptest! {
    /// Random events: the size is never exceeded, nothing that could be given out is idle while somebody waits,
    /// nothing gets lost. `stale`: whatever is idle has to be checked first. What is kept is idle only while as many
    /// others can be had as wait. `full`: none can be opened for these.
    #[test]
    fn the_rules_hold_whatever_happens(
        size in 1_u32..5,
        stale: bool,
        full: bool,
        events in proptest::collection::vec(0_u8..12, 0..200),
    ) {
        let now = start();
        let mut state: State<u32, u32> = State::new(sized(Some(size)), false);
        state.check_after(stale.then_some(Duration::ZERO));
        let unused = |_: &u32| Duration::from_secs(1);
        let (mut held, mut named, mut queued, mut checked) = (Vec::new(), 0, Vec::new(), Vec::new());
        for event in events {
            // A connection that is fit for use.
            let mut back = None;
            match event {
                0 => match state.take(unused, |_| true) {
                    Some(connection) => held.push(connection),
                    None => queued.push(state.enqueue(0, now)),
                },
                1 => back = held.pop(),
                2 => { begin(&mut state, now); }
                9 => if let Some(connection) = held.pop() {
                    match state.keep(connection, now) {
                        Placed::To(_, connection) => { held.push(connection); queued.remove(0); }
                        Placed::Idle => {}
                        Placed::Close(_) => prop_assert!(false, "nothing was paused or shrunk"),
                    }
                },
                10 => held.extend(state.take_kept(|_| true)),
                11 if state.may_open_to_keep(now) => state.begin_opening(),
                3 if state.opening() > 0 => {
                    state.opened();
                    named += 1;
                    back = Some(named);
                }
                4 if state.opening() > 0 => state.open_failed(now),
                5 if held.pop().is_some() => state.closed(),
                6 => if let Some(ticket) = queued.pop() { prop_assert!(state.leave(ticket)); },
                7 => {
                    back = checked.pop();
                    if back.is_some() { state.tested(); }
                }
                8 if checked.pop().is_some() => {
                    state.tested();
                    state.closed();
                }
                _ => {}
            }
            if let Some(connection) = back {
                match state.release(connection) {
                    Placed::To(_, connection) => { held.push(connection); queued.remove(0); }
                    Placed::Idle => {}
                    Placed::Close(_) => prop_assert!(false, "nothing was paused or shrunk"),
                }
            }
            let freed = state.free_kept(full, now);
            while let Some(connection) = state.take_for_check() {
                prop_assert!(stale || freed, "what is fresh is given out");
                checked.push(connection);
            }
            prop_assert!(state.total() <= size);
            prop_assert_eq!(state.attached() as usize, held.len() + checked.len());
            prop_assert_eq!(state.testing() as usize, checked.len());
            prop_assert_eq!(state.waiting() as usize, queued.len());
            let (kept, coming) = (state.all_kept().count(), state.opening() + state.testing());
            let room = if full { 0 } else { size - state.total() };
            let served = if stale { coming } else { 0 };
            prop_assert!(state.idle() as usize == kept || state.waiting() <= served);
            prop_assert!(kept == 0 || state.waiting() <= coming + room);
        }
    }
}
