//! What must not allocate: a look at a text, whatever it is, and counting a statement that was seen before.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use pgweir::routing::own::{own_command, resets_all};
use pgweir::routing::{bare_begin, ends_transaction, first_statement, intent};
use pgweir::session::queries::{Execution, Named, Owner, Queries};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator cannot be made without")]
// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_look_at_a_text_allocates() {
    let long = format!("SELECT {} FROM t", "a, ".repeat(1000));
    for text in [
        "SELECT abalance FROM pgbench_accounts WHERE aid = 17",
        "SET LOCAL statement_timeout = 5000",
        "SHOW server_version",
        "RESET search_path",
        "BEGIN",
        "begin isolation level repeatable read, read only; select 1; commit",
        "START TRANSACTION READ WRITE",
        "SET TRANSACTION READ ONLY",
        "/* pgweir: route=replica */ SELECT 1 -- done",
        "SET pgweir.route = replica",
        "COMMIT",
        "RESET ALL",
        &long,
    ] {
        let text = text.as_bytes();
        let before = COUNT.with(Cell::get);
        let _ = (intent(text), first_statement(text), bare_begin(text), ends_transaction(text));
        let _ = (own_command(text), resets_all(text));
        let after = COUNT.with(Cell::get);
        assert_eq!(after - before, 0, "{}", String::from_utf8_lossy(text));
    }
    // The count counts.
    let before = COUNT.with(Cell::get);
    drop(std::hint::black_box(vec![1]));
    assert_eq!(COUNT.with(Cell::get) - before, 1);
}

#[test]
fn a_statement_that_was_seen_is_found_and_counted_without_allocating() {
    let queries = Arc::new(Queries::default());
    queries.remember(10);
    let (owner, host) = (Owner::new(&queries, "app", "alice"), Named::new("pg1:5432"));
    let run = |text: &str| {
        let number = queries.number(text.as_bytes());
        let mark = owner.mark(&host, number, text.as_bytes()).unwrap();
        queries.count(mark, Execution { failed: true, rows: 1, bytes: 100, us: 1000 });
    };
    run("SELECT abalance FROM pgbench_accounts WHERE aid IN (1)");
    let before = COUNT.with(Cell::get);
    for text in [
        "SELECT abalance FROM pgbench_accounts WHERE aid IN (17, 18, 19)",
        "SELECT abalance /* a comment */ FROM pgbench_accounts WHERE aid IN ('a string');",
    ] {
        run(text);
    }
    assert_eq!(COUNT.with(Cell::get) - before, 0);
    assert_eq!(queries.rows()[0].calls, 3);
}
