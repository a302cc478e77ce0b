//! Prepared statements in transaction mode: names that follow a client over servers which come and go.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]

mod common;

use bytes::BytesMut;
use common::{Postgres, Setup, Weir, WeirSetup, Wire};
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

fn pooled(server: &Postgres, pool_size: u32) -> WeirSetup {
    Weir::setup()
        .server(server)
        .setting("pool_mode", "transaction")
        .setting("default_pool_size", pool_size)
}

fn client(weir: &Weir) -> Wire {
    Wire::tcp(weir.port(), "app", "app").unwrap()
}

/// Messages of the extended protocol, to be sent in one piece.
#[derive(Default)]
struct Batch(BytesMut);

impl Batch {
    fn parse(mut self, name: &str, sql: &str) -> Self {
        frontend::parse(name, sql, [], &mut self.0).unwrap();
        self
    }

    /// Bind and Execute, with one text parameter or none.
    fn run(mut self, name: &str, parameter: Option<&str>) -> Self {
        let put = |value: &str, out: &mut BytesMut| {
            out.extend_from_slice(value.as_bytes());
            Ok(IsNull::No)
        };
        frontend::bind("", name, [0], parameter, put, [0], &mut self.0).ok().unwrap();
        frontend::execute("", 0, &mut self.0).unwrap();
        self
    }

    fn describe(mut self, name: &str) -> Self {
        frontend::describe(b'S', name, &mut self.0).unwrap();
        self
    }

    fn close(mut self, name: &str) -> Self {
        frontend::close(b'S', name, &mut self.0).unwrap();
        self
    }

    fn sync(mut self) -> Self {
        frontend::sync(&mut self.0);
        self
    }

    /// Its single value.
    #[track_caller]
    fn one(self, client: &mut Wire) -> String {
        client.send(&self.sync().0).unwrap();
        client.answer().unwrap().one().to_owned()
    }

    #[track_caller]
    fn done(self, client: &mut Wire) {
        client.send(&self.sync().0).unwrap();
        client.answer().unwrap();
    }

    /// The SQLSTATE that it fails with.
    #[track_caller]
    fn fails(self, client: &mut Wire) -> String {
        client.send(&self.sync().0).unwrap();
        client.answer().unwrap_err().code().to_owned()
    }
}

fn batch() -> Batch {
    Batch::default()
}

#[test]
fn two_clients_have_the_same_name_for_different_statements_on_one_server() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let (mut first, mut second) = (client(&weir), client(&weir));
    batch().parse("s", "SELECT 'first ' || $1").done(&mut first);
    batch().parse("s", "SELECT 'second ' || $1").done(&mut second);
    for turn in ["1", "2", "3"] {
        assert_eq!(batch().run("s", Some(turn)).one(&mut first), format!("first {turn}"));
        assert_eq!(batch().run("s", Some(turn)).one(&mut second), format!("second {turn}"));
    }
    weir.stop();
}

#[test]
fn clients_with_the_same_statement_share_one_on_the_server() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    for number in 0..5 {
        let mut client = client(&weir);
        let name = format!("name_{number}");
        batch().parse(&name, "SELECT 'shared ' || $1").done(&mut client);
        assert_eq!(batch().run(&name, Some("x")).one(&mut client), "shared x");
    }
    let mut client = client(&weir);
    let count = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%shared%'";
    assert_eq!(client.query(count).unwrap().one(), "1");
    weir.stop();
}

#[test]
fn a_statement_follows_its_client_to_a_server_that_lacks_it() {
    let server = Setup::new().start();
    let weir = pooled(&server, 2).start();
    let (mut mover, mut blocker) = (client(&weir), client(&weir));
    batch().parse("s", "SELECT pg_backend_pid()").done(&mut mover);
    let pid = batch().run("s", None).one(&mut mover);
    // Whoever asks now gets the only idle server.
    blocker.query("BEGIN").unwrap();
    assert_eq!(blocker.query("SELECT pg_backend_pid()").unwrap().one(), pid);
    assert_ne!(batch().run("s", None).one(&mut mover), pid);
    blocker.query("COMMIT").unwrap();
    weir.stop();
}

#[test]
fn more_statements_than_max_prepared_statements_all_work() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).setting("max_prepared_statements", 3).start();
    let mut client = client(&weir);
    for number in 0..10 {
        batch().parse(&format!("s{number}"), &format!("SELECT {number}")).done(&mut client);
    }
    for round in 0..3 {
        for number in 0..10 {
            // Forth and back, so that some are at hand and most were evicted.
            let number = if round % 2 == 0 { number } else { 9 - number };
            let got = batch().run(&format!("s{number}"), None).one(&mut client);
            assert_eq!(got, number.to_string());
        }
    }
    // All in one pipeline too.
    let all = (0..10).fold(batch(), |all, number| all.run(&format!("s{number}"), None));
    client.send(&all.sync().0).unwrap();
    let values: Vec<_> = client.answer().unwrap().rows.into_iter().flatten().flatten().collect();
    assert_eq!(values.join(" "), "0 1 2 3 4 5 6 7 8 9");
    let count = "SELECT count(*) <= 3 FROM pg_prepared_statements";
    assert_eq!(client.query(count).unwrap().one(), "t");
    weir.stop();
}

#[test]
fn a_parse_that_fails_does_not_stick() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let mut client = client(&weir);
    assert_eq!(batch().parse("s", "SELECT x FROM later").fails(&mut client), "42P01");
    assert_eq!(batch().run("s", None).fails(&mut client), "26000");
    client.query("CREATE TABLE later AS SELECT 5 AS x").unwrap();
    batch().parse("s", "SELECT x FROM later").done(&mut client);
    assert_eq!(batch().run("s", None).one(&mut client), "5");
    weir.stop();
}

#[test]
fn a_closed_name_is_free_again() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let mut client = client(&weir);
    batch().parse("s", "SELECT 1").done(&mut client);
    batch().close("s").done(&mut client);
    assert_eq!(batch().run("s", None).fails(&mut client), "26000");
    batch().parse("s", "SELECT 2").done(&mut client);
    assert_eq!(batch().run("s", None).one(&mut client), "2");
    batch().close("s").parse("s", "SELECT 3").done(&mut client);
    assert_eq!(batch().run("s", None).one(&mut client), "3");
    weir.stop();
}

#[test]
fn deallocate_all_and_discard_all_end_the_statements_of_this_client_alone() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    for statement in ["DEALLOCATE ALL", "DISCARD ALL"] {
        let (mut first, mut second) = (client(&weir), client(&weir));
        batch().parse("s", "SELECT 'mine'").done(&mut first);
        batch().parse("s", "SELECT 'yours'").done(&mut second);
        assert_eq!(batch().run("s", None).one(&mut first), "mine");
        assert_eq!(batch().run("s", None).one(&mut second), "yours");
        first.query(statement).unwrap();
        assert_eq!(batch().run("s", None).one(&mut second), "yours", "{statement}");
        assert_eq!(batch().run("s", None).fails(&mut first), "26000", "{statement}");
        batch().parse("s", "SELECT 'again'").done(&mut first);
        assert_eq!(batch().run("s", None).one(&mut first), "again", "{statement}");
        assert_eq!(batch().run("s", None).one(&mut second), "yours", "{statement}");
    }
    weir.stop();
}

#[test]
fn statements_go_on_when_the_server_was_replaced() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let mut client = client(&weir);
    batch().parse("s", "SELECT pg_backend_pid() || ' ' || $1").done(&mut client);
    let before = batch().run("s", Some("x")).one(&mut client);
    weir.console("RECONNECT");
    let after = batch().run("s", Some("x")).one(&mut client);
    assert_ne!(before, after);
    assert!(after.ends_with(" x"), "{after}");
    weir.stop();
}

#[test]
fn describe_of_a_statement_works_on_a_server_that_lacks_it() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let mut client = client(&weir);
    batch().parse("s", "SELECT 1 AS number").done(&mut client);
    weir.console("RECONNECT");
    client.send(&batch().describe("s").run("s", None).sync().0).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.get(0, "number"), answer.columns.len()), ("1", 1));
    weir.stop();
}

#[test]
fn after_an_error_in_a_pipeline_everything_is_skipped_up_to_sync() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let mut client = client(&weir);
    client.query("CREATE TABLE ran (what text)").unwrap();
    batch().parse("log", "INSERT INTO ran VALUES ($1)").done(&mut client);
    let pipeline = batch()
        .run("log", Some("before"))
        .parse("bad", "SELECT nonsense")
        .run("log", Some("skipped"))
        .parse("never", "SELECT 1")
        .sync()
        .run("log", Some("after"))
        .sync();
    client.send(&pipeline.0).unwrap();
    assert_eq!(client.answer().unwrap_err().code(), "42703");
    client.answer().unwrap();
    // The first half was one implicit transaction.
    let ran = client.query("SELECT string_agg(what, ' ') FROM ran").unwrap();
    assert_eq!(ran.one(), "after");
    assert_eq!(batch().run("bad", None).fails(&mut client), "26000");
    assert_eq!(batch().run("never", None).fails(&mut client), "26000");
    batch().parse("never", "SELECT 7").done(&mut client);
    assert_eq!(batch().run("never", None).one(&mut client), "7");
    weir.stop();
}

#[test]
fn every_message_of_a_pipeline_is_answered_in_order() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let mut client = client(&weir);
    batch().parse("known", "SELECT 1").done(&mut client);
    let pipeline = batch()
        .parse("a", "SELECT 2")
        .parse("b", "SELECT 2")
        .run("known", None)
        .run("a", None)
        .close("a")
        .run("b", None)
        .sync();
    client.send(&pipeline.0).unwrap();
    let mut answers = String::new();
    loop {
        answers.push(match client.message().unwrap() {
            Message::ParseComplete => '1',
            Message::BindComplete => '2',
            Message::CloseComplete => '3',
            Message::DataRow(_) => 'D',
            Message::CommandComplete(_) => 'C',
            Message::ReadyForQuery(_) => break,
            Message::ErrorResponse(_) => panic!("an error after {answers}"),
            _ => '?',
        });
    }
    assert_eq!(answers, "112DC2DC32DC");
    weir.stop();
}

#[test]
fn a_driver_goes_through_many_statements_and_servers() {
    let server = Setup::new().start();
    let weir = pooled(&server, 2).setting("max_prepared_statements", 5).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for number in 0..6_i32 {
            let url = weir.url("app", "app");
            tasks.push(tokio::spawn(async move {
                let (client, connection) =
                    tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                let mut statements = Vec::new();
                for plus in 0..8 {
                    let sql = format!("SELECT $1::int4 + {plus}");
                    statements.push(client.prepare(&sql).await.unwrap());
                }
                for _ in 0..5 {
                    for (plus, statement) in (0..).zip(&statements) {
                        let row = client.query_one(statement, &[&number]).await.unwrap();
                        assert_eq!(row.get::<_, i32>(0), number + plus);
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    weir.stop();
}

/// An unnamed statement with one text parameter or none, as drivers send it.
fn unnamed(sql: &str, parameter: Option<&str>) -> Batch {
    batch().parse("", sql).run("", parameter)
}

const KEPT: &str = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%often%'";

#[test]
fn an_unnamed_text_that_is_used_often_is_kept_on_the_server() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let mut client = client(&weir);
    for (turn, kept) in ["0", "0", "1", "1"].into_iter().enumerate() {
        let turn = turn.to_string();
        assert_eq!(unnamed("SELECT $1::text AS often", Some(&turn)).one(&mut client), turn);
        assert_eq!(client.query(KEPT).unwrap().one(), kept, "after turn {turn}");
    }
    assert_eq!(batch().run("", Some("x")).fails(&mut client), "26000", "a simple query ends it");
    weir.stop();
}

#[test]
fn prepare_unnamed_off_and_texts_whose_meaning_moves_leave_no_statement_behind() {
    let server = Setup::new().start();
    for (rule, sql) in [("off", "SELECT 1 AS often"), ("on", "SELECT 'now'::timestamptz AS often")]
    {
        let weir = pooled(&server, 1).setting("prepare_unnamed", rule).start();
        let mut client = client(&weir);
        for _ in 0..5 {
            unnamed(sql, None).done(&mut client);
        }
        assert_eq!(client.query(KEPT).unwrap().one(), "0", "{rule}");
        weir.stop();
    }
}

#[test]
fn a_kept_statement_whose_table_has_changed_is_run_as_it_was_sent_unseen() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).setting("prepare_unnamed", "on").start();
    let mut client = client(&weir);
    client.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(unnamed("SELECT * FROM t", None).one(&mut client), "1");
    client.query("ALTER TABLE t ALTER a TYPE text USING 'text ' || a").unwrap();
    for _ in 0..3 {
        assert_eq!(unnamed("SELECT * FROM t", None).one(&mut client), "text 1");
    }

    // Inside a transaction nothing can be run again; the next one works.
    assert_eq!(unnamed("SELECT a FROM t", None).one(&mut client), "text 1");
    client.query("ALTER TABLE t ALTER a TYPE int USING 2").unwrap();
    client.query("BEGIN").unwrap();
    assert_eq!(unnamed("SELECT a FROM t", None).fails(&mut client), "0A000");
    client.query("ROLLBACK").unwrap();
    client.query("BEGIN").unwrap();
    assert_eq!(unnamed("SELECT a FROM t", None).one(&mut client), "2");
    client.query("COMMIT").unwrap();
    weir.stop();
}

#[test]
fn copy_data_may_be_sent_before_the_server_asks_for_it() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let mut client = client(&weir);
    client.query("CREATE TABLE t (a int)").unwrap();
    for round in 1..=3 {
        let mut copy = batch().parse("", "COPY t FROM STDIN").run("", None);
        frontend::CopyData::new(&b"1\n2\n"[..]).unwrap().write(&mut copy.0);
        frontend::copy_done(&mut copy.0);
        let copy = copy.sync().parse("", "SELECT count(*) FROM t").run("", None).sync();
        client.send(&copy.0).unwrap();
        client.answer().unwrap();
        assert_eq!(client.answer().unwrap().one(), (2 * round).to_string());
    }
    weir.stop();
}

#[test]
fn a_kept_statement_takes_values_of_the_type_that_its_table_has_now() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).setting("prepare_unnamed", "on").start();
    let mut client = client(&weir);
    client.query("CREATE TABLE t (a int)").unwrap();
    let insert = |value| unnamed("INSERT INTO t VALUES ($1) RETURNING a", Some(value));
    assert_eq!(insert("1").one(&mut client), "1");
    assert_eq!(insert("x").fails(&mut client), "22P02", "PostgreSQL's own refusal, once");
    client.query("ALTER TABLE t ALTER a TYPE bigint").unwrap();
    assert_eq!(insert("3000000000").one(&mut client), "3000000000");
    weir.stop();
}

#[test]
fn a_batch_of_kept_statements_is_run_again_whole() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).setting("prepare_unnamed", "on").start();
    let mut client = client(&weir);
    client.query("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(unnamed("SELECT * FROM t", None).one(&mut client), "1");
    client.query("ALTER TABLE t ALTER a TYPE text").unwrap();
    for _ in 0..2 {
        let both =
            unnamed("SELECT * FROM t", None).parse("", "SELECT a FROM t").run("", None).sync();
        client.send(&both.0).unwrap();
        client.answer().unwrap();
        assert_eq!(unnamed("SELECT a FROM t", None).one(&mut client), "1");
    }
    // As lib/pq and pgx ask: the shape first.
    client.query("ALTER TABLE t ALTER a TYPE int USING 2").unwrap();
    let describe = || batch().parse("", "SELECT a FROM t").describe("");
    assert_eq!(describe().fails(&mut client), "0A000", "once, for the shape had begun to be told");
    describe().done(&mut client);
    assert_eq!(unnamed("SELECT a FROM t", None).one(&mut client), "2");
    weir.stop();
}

#[test]
fn a_copy_that_fails_in_the_middle_of_a_message_keeps_its_server_until_the_message_is_whole() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).start();
    let (mut copier, mut next) = (client(&weir), client(&weir));
    copier.query("CREATE TABLE t (a int)").unwrap();
    copier.start("COPY t FROM STDIN").unwrap();
    assert!(matches!(copier.message().unwrap(), Message::CopyInResponse(_)));
    let mut data = BytesMut::new();
    frontend::CopyData::new(&b"no number\n"[..]).unwrap().write(&mut data);
    let bad_row = data.len();
    frontend::CopyData::new(&[b'1'; 100][..]).unwrap().write(&mut data);
    let (first, rest) = data.split_at(bad_row + 50);
    copier.send(first).unwrap();
    assert!(matches!(copier.message().unwrap(), Message::ErrorResponse(_)));
    assert!(matches!(copier.message().unwrap(), Message::ReadyForQuery(_)));
    next.start("SELECT 42").unwrap();
    copier.send(rest).unwrap();
    assert_eq!(next.answer().unwrap().one(), "42", "not swallowed as the rest of the data");
    assert_eq!(copier.query("SELECT 43").unwrap().one(), "43");
    weir.stop();
}

/// What each batch of a pipeline comes to: its single value, or the SQLSTATE that it fails with.
#[track_caller]
fn outcomes(client: &mut Wire, batches: Vec<Batch>) -> Vec<String> {
    let count = batches.len();
    let all: BytesMut = batches.into_iter().flat_map(|batch| batch.sync().0).collect();
    client.send(&all).unwrap();
    let outcome = |_| match client.answer() {
        Ok(rows) if rows.rows.is_empty() => "nothing".to_owned(),
        Ok(rows) => rows.one().to_owned(),
        Err(error) => error.code().to_owned(),
    };
    (0..count).map(outcome).collect()
}

/// Runs the same batches in one pipeline through pgweir and on PostgreSQL itself.
#[track_caller]
fn goes_as_on_the_server(client: &mut Wire, bare: &mut Wire, batches: impl Fn() -> Vec<Batch>) {
    assert_eq!(outcomes(client, batches()), outcomes(bare, batches()));
}

#[test]
fn a_batch_behind_one_that_fails_runs_as_if_it_were_alone() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).setting("prepare_unnamed", "on").start();
    let (mut client, mut bare) = (client(&weir), server.connect("app").unwrap());
    let fails = || batch().parse("", "SELECT 1 / $1::int").run("", Some("0"));
    // The failing batch was to prepare what the next one uses: unnamed, and by another name.
    goes_as_on_the_server(&mut client, &mut bare, || {
        vec![fails().parse("", "SELECT 5").run("", None), unnamed("SELECT 5", None)]
    });
    goes_as_on_the_server(&mut client, &mut bare, || {
        let other = batch().parse("b", "SELECT 6").run("b", None);
        vec![fails().parse("a", "SELECT 6"), other, batch().run("a", None)]
    });
    // What was not closed is still there, what was not prepared is not.
    goes_as_on_the_server(&mut client, &mut bare, || {
        vec![
            fails().close("b").parse("c", "SELECT 7"),
            batch().parse("b", "SELECT 8"),
            batch().run("b", None),
            batch().parse("c", "SELECT 9").run("c", None),
            batch().parse("c", "SELECT 10").run("c", None),
            batch().close("c").parse("c", "SELECT 11").run("c", None),
        ]
    });
    assert_eq!(batch().run("c", None).one(&mut client), "11");
    // All of them in flight at once, and none fails.
    goes_as_on_the_server(&mut client, &mut bare, || {
        (0..50).map(|number| unnamed(&format!("SELECT {}", number % 7), None)).collect()
    });
    weir.stop();
}

#[test]
fn an_eviction_that_a_failing_batch_was_to_bring_is_not_counted_on() {
    let server = Setup::new().start();
    let weir = pooled(&server, 1).setting("max_prepared_statements", 1).start();
    let (mut client, mut bare) = (client(&weir), server.connect("app").unwrap());
    for wire in [&mut client, &mut bare] {
        batch().parse("a", "SELECT 1").done(wire);
        batch().parse("b", "SELECT 2").done(wire);
        assert_eq!(batch().run("a", None).one(wire), "1");
    }
    goes_as_on_the_server(&mut client, &mut bare, || {
        let fails = batch().parse("", "SELECT 1 / $1::int").run("", Some("0"));
        vec![fails.run("b", None), batch().run("a", None), batch().run("b", None)]
    });
    weir.stop();
}
