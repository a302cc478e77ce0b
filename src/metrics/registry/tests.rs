use std::sync::atomic::Ordering;
use std::time::Duration;

use metrics::atomics::AtomicU64;

use super::*;
use crate::metrics::timing::Timing;

fn rendered(registry: &Registry) -> String {
    let mut out = String::new();
    registry.render(&mut out);
    out
}

fn labels(user: &str) -> Arc<str> {
    text::labels(names::POOL_WAITS.labels, &["app", user, "pg1:5432"]).into()
}

fn total(registry: &Registry, user: &str, lease: &Arc<()>) -> Arc<AtomicU64> {
    let total = Arc::new(AtomicU64::new(0));
    let cell = Cell::Total(total.clone());
    registry.register(&names::POOL_WAITS, &labels(user), Arc::downgrade(lease), cell);
    total
}

fn timing(registry: &Registry, lease: &Arc<()>) -> Arc<Timing> {
    let timing = Arc::new(Timing::default());
    let cell = Cell::Timing(timing.clone());
    let lease = Arc::downgrade(lease);
    registry.register(&names::POOL_WAIT_SECONDS, &labels("alice"), lease, cell);
    timing
}

#[test]
fn the_owners_of_a_series_are_added_up_and_its_past_is_kept() {
    let registry = Registry::default();
    let (first, second) = (Arc::new(()), Arc::new(()));
    let timings = [timing(&registry, &first), timing(&registry, &second)];
    let totals = [total(&registry, "alice", &first), total(&registry, "alice", &second)];
    for (timing, total) in timings.iter().zip(&totals) {
        timing.record(Duration::from_millis(2));
        total.fetch_add(3, Ordering::Relaxed);
    }
    drop(first);
    let alice = labels("alice");
    for _ in 0..3 {
        let text = rendered(&registry);
        for line in [
            format!("pgweir_pool_wait_seconds_count{{{alice}}} 2\n"),
            format!("pgweir_pool_wait_seconds_sum{{{alice}}} 0.004\n"),
            format!("pgweir_pool_waits_total{{{alice}}} 6\n"),
        ] {
            assert!(text.contains(&line), "{line} in\n{text}");
        }
    }
}

#[test]
fn a_series_without_an_owner_is_shown_once_more_and_then_forgotten() {
    let registry = Registry::default();
    let lease = Arc::new(());
    timing(&registry, &lease).record(Duration::from_millis(1));
    total(&registry, "alice", &lease).fetch_add(1, Ordering::Relaxed);
    drop(lease);
    let last = rendered(&registry);
    assert!(last.contains("pgweir_pool_wait_seconds_count{database=\"app\""), "{last}");
    assert!(last.contains("pgweir_pool_waits_total{database=\"app\""), "{last}");
    assert_eq!(rendered(&registry), "");
}

#[test]
fn owners_that_come_and_go_do_not_pile_up_while_nobody_asks() {
    let registry = Registry::default();
    for _ in 0..100 {
        total(&registry, "alice", &Arc::new(())).fetch_add(1, Ordering::Relaxed);
    }
    let owners = registry.families()[names::POOL_WAITS.name].series[&labels("alice")].owned.len();
    assert!(owners <= 2, "{owners} are kept");
    // Half of these are gone when the bound is met.
    let lease = Arc::new(());
    for user in 0..MOST_SERIES {
        total(&registry, &format!("gone {user}"), &Arc::new(()));
        total(&registry, &format!("here {user}"), &lease);
    }
    let families = registry.families();
    let family = &families[names::POOL_WAITS.name];
    assert_eq!(family.series.len(), MOST_SERIES);
    assert!(!family.series.contains_key(&others(names::POOL_WAITS.labels)));
}

#[test]
fn what_is_beyond_the_bound_is_added_up() {
    let registry = Registry::default();
    let lease = Arc::new(());
    for user in 0..MOST_SERIES + 2 {
        total(&registry, &user.to_string(), &lease).fetch_add(1, Ordering::Relaxed);
    }
    // One that is known already is found again.
    total(&registry, "0", &lease).fetch_add(1, Ordering::Relaxed);
    let users: Vec<String> = (0..MOST_SERIES + 2).map(|user| user.to_string()).collect();
    let users: Vec<[&str; 1]> = users.iter().map(|user| [user.as_str()]).collect();
    let rows = users.iter().map(|user| (user.as_slice(), 1.0));
    registry.replace(&names::USER_CLIENTS, rows);
    let text = rendered(&registry);
    let others = r#"database="(others)",user="(others)",host="(others)""#;
    for line in [
        format!("pgweir_pool_waits_total{{{others}}} 2\n"),
        format!("pgweir_pool_waits_total{{{}}} 2\n", labels("0")),
        "pgweir_user_clients{user=\"(others)\"} 2\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}");
    }
    assert_eq!(text.lines().count(), 2 * (MOST_SERIES + 1 + 2));
}

#[test]
fn rows_are_replaced_as_a_whole() {
    let registry = Registry::default();
    registry.replace(&names::DATABASE_CLIENTS, [(["old"].as_slice(), 1.0)]);
    registry.replace(&names::DATABASE_CLIENTS, [(["new"].as_slice(), 2.0)]);
    let text = rendered(&registry);
    assert!(text.contains("pgweir_database_clients{database=\"new\"} 2\n"), "{text}");
    assert!(!text.contains("old"), "{text}");
}
