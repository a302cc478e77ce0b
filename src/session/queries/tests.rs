use super::*;

const HOST: &str = "pg1:5432";

fn queries(most: u32) -> (Arc<Queries>, Owner) {
    let queries = Arc::new(Queries::default());
    queries.remember(most);
    let owner = Owner::new(&queries, "app", "alice");
    (queries, owner)
}

fn run(owner: &Owner, host: &str, text: &str, execution: Execution) {
    let number = owner.queries().number(text.as_bytes());
    if let Some(mark) = owner.mark(&Named::new(host), number, text.as_bytes()) {
        owner.queries().count(mark, execution);
    }
}

fn took(us: u64) -> Execution {
    Execution { us, ..Execution::default() }
}

#[test]
fn executions_add_up_by_text_owner_and_host() {
    let (queries, alice) = queries(10);
    let bob = Owner::new(&queries, "app", "bob");
    run(&alice, HOST, "select 1", Execution { failed: false, rows: 3, bytes: 40, us: 100 });
    run(&alice, HOST, "select 22", Execution { failed: true, rows: 0, bytes: 20, us: 300 });
    run(&alice, "pg2:5432", "select 1", took(7));
    run(&bob, HOST, "select 1", took(6));
    run(&alice, HOST, "select a", took(5));
    let rows = queries.rows();
    let first = &rows[0];
    assert_eq!(
        (&*first.database, &*first.user, &*first.host, &*first.text),
        ("app", "alice", HOST, "select $1")
    );
    assert_eq!((first.calls, first.errors, first.rows, first.sent_bytes), (2, 1, 3, 60));
    assert_eq!((first.total_us, first.mean_us()), (400, 200));
    let others: Vec<_> = rows[1..].iter().map(|row| (&*row.user, &*row.host, &*row.text)).collect();
    assert_eq!(
        others,
        [
            ("alice", "pg2:5432", "select $1"),
            ("bob", HOST, "select $1"),
            ("alice", HOST, "select a")
        ]
    );
}

#[test]
fn nothing_is_counted_while_it_is_off_and_a_new_size_or_a_reset_begins_anew() {
    let (queries, owner) = queries(0);
    run(&owner, HOST, "select 1", took(1));
    assert!(!queries.is_on() && queries.rows().is_empty());
    queries.remember(4);
    run(&owner, HOST, "select 1", took(1));
    queries.remember(4);
    assert_eq!(queries.rows().len(), 1);
    let number = queries.number(b"select 1");
    let before = owner.mark(&Named::new(HOST), number, b"select 1").unwrap();
    queries.reset();
    assert!(queries.is_on() && queries.rows().is_empty());
    run(&owner, HOST, "select a", took(1));
    queries.count(before, took(1000));
    assert_eq!((queries.rows().len(), queries.rows()[0].total_us), (1, 1), "not for another");
}

#[test]
fn a_flood_of_texts_takes_no_more_room_and_leaves_what_is_called_often() {
    let (queries, owner) = queries(100);
    for n in 0..10_000 {
        for often in 0..50 {
            if n % 10 == 0 {
                run(&owner, HOST, &format!("select often_{often}"), took(1));
            }
        }
        run(&owner, HOST, &format!("select once_{n}"), took(1));
    }
    let rows = queries.rows();
    assert_eq!(rows.len(), 100);
    for often in 0..50 {
        let text = format!("select often_{often}");
        let row = rows.iter().find(|row| row.text == text);
        assert_eq!(row.map(|row| row.calls), Some(1000), "{text}");
    }
}

#[test]
fn threads_count_all_there_is_and_texts_that_come_and_go_do_not_disturb_them() {
    let (queries, owner) = queries(64);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let owner = &owner;
            scope.spawn(move || {
                for n in 0..20_000 {
                    run(owner, HOST, "select often", Execution { rows: 2, ..took(3) });
                    if n % 4 == 0 {
                        run(owner, HOST, &format!("select once_{thread}_{n}"), took(0));
                    }
                }
            });
        }
    });
    let rows = queries.rows();
    let often = rows.iter().find(|row| row.text == "select often").unwrap();
    // A call of a text that makes room in that very moment may be counted here.
    assert!((80_000..80_100).contains(&often.calls), "{}", often.calls);
    assert!((160_000..160_100).contains(&often.rows), "{}", often.rows);
    assert!(rows.len() <= 64);
}
