//! What places a transaction: BEGIN that is held back, the session's route and defaults.

use super::*;
use crate::routing::Target;
use crate::routing::causal::Token;
use crate::session::own::{Whereabouts, Wishes};

/// The server has begun, unseen by the client.
#[track_caller]
fn begins(scene: &mut Scene) {
    assert_eq!(scene.made_for_server(), "PBE", "BEGIN goes ahead of the statement, without a Sync");
    for hidden in [backend::PARSE_COMPLETE, backend::BIND_COMPLETE, &complete("BEGIN")] {
        assert_eq!(scene.server(hidden), FromServer::Swallow(Then::GoOn));
    }
}

#[test]
fn a_bare_begin_waits_for_the_statement_that_places_its_transaction() {
    let mut scene = Scene::new(PoolMode::Transaction);
    assert_eq!(scene.client(&query("BEGIN")), FromClient::Swallow);
    assert_eq!(scene.made_for_client(), "CZ");
    assert!(scene.session.in_transaction());
    let first = query("SET TRANSACTION READ ONLY");
    assert_eq!(scene.client(&first), FromClient::Attach(Intent::ReadOnly));
    scene.attach_at(Place::Replica, fresh_server(9));
    assert_eq!(scene.client(&first), FromClient::Forward { skip: 0 }, "in the same write");
    begins(&mut scene);
    scene.passes(&complete("SET"));
    assert_eq!(scene.server(&ready(Active)), FromServer::Forward(Then::Ready));
    scene.goes_on(&query("COMMIT"));
    scene.passes(&complete("COMMIT"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
}

#[test]
fn what_a_begin_is_answered_by_is_what_postgresql_says() {
    for text in ["BEGIN", "start transaction", "begin isolation level read committed"] {
        let mut scene = Scene::new(PoolMode::Transaction);
        assert_eq!(scene.client(&query(text)), FromClient::Swallow);
        let tag = if text.starts_with("start") { "START TRANSACTION" } else { "BEGIN" };
        let told = [complete(tag), ready(Active)].concat();
        assert_eq!(scene.out.to_client, told, "{text}");
    }
}

/// A BEGIN by the extended protocol, under this name, up to its Execute.
fn extended_begin(name: &str) -> [BytesMut; 3] {
    [parse(name, "BEGIN"), bind(name), execute()]
}

#[test]
fn a_begin_by_the_extended_protocol_is_placed_by_what_follows_in_its_batch_or_behind_it() {
    for (name, synced) in [("", false), ("", true), ("s1", false), ("s1", true)] {
        let mut scene = Scene::new(PoolMode::Transaction);
        for message in extended_begin(name) {
            assert_eq!(scene.client(&message), FromClient::Swallow, "{name} {synced}");
        }
        if synced {
            assert_eq!(scene.client(&sync()), FromClient::Swallow);
            assert_eq!(scene.made_for_client(), "12CZ");
        }
        let first = parse("", "/* pgweir: route=replica */ SELECT 1");
        let replica = FromClient::Attach(Intent::Hint(Target::Replica));
        assert_eq!(scene.client(&first), replica);
        scene.attach_at(Place::Replica, fresh_server(9));
        for message in [first, bind(""), execute(), sync()] {
            scene.goes_on(&message);
        }
        begins(&mut scene);
        if !synced {
            assert_eq!(scene.made_for_client(), "12C", "in its turn");
        }
        for reply in [backend::PARSE_COMPLETE, backend::BIND_COMPLETE, &complete("SELECT 1")] {
            scene.passes(reply);
        }
        assert_eq!(scene.server(&ready(Active)), FromServer::Forward(Then::Ready));
        // Drivers prepare their BEGIN once, and bind it again in later transactions, or in this one.
        if name == "s1" {
            scene.goes_on(&bind(name));
            assert!(scene.made_for_server().starts_with('P'), "now the server has to know it");
        }
    }
}

#[test]
fn a_batch_that_begins_is_offered_again_while_nothing_of_it_has_left() {
    let mut scene = Scene::new(PoolMode::Transaction);
    for message in extended_begin("") {
        assert_eq!(scene.client(&message), FromClient::Swallow);
    }
    let first = parse("", "SELECT 1");
    for _ in 0..2 {
        assert_eq!(scene.client(&first), FromClient::Attach(Intent::Unstated));
        scene.attach_at(Place::Primary, fresh_server(9));
        assert_eq!(scene.made_for_server(), "PBE");
        let head = Head::peek(&first).unwrap().unwrap();
        let _ = scene.session.client_message(head, &first, scene.server.as_mut(), &mut scene.out);
        assert!(scene.session.rewind());
        scene.server = None;
    }
    assert_eq!(scene.client(&sync()), FromClient::Swallow);
    assert_eq!(scene.made_for_client(), "12CZ", "what was answered before is still due");
}

#[test]
fn set_local_places_the_transaction_that_was_just_begun_and_no_other() {
    let mut scene = Scene::new(PoolMode::Transaction);
    let local = query("SET LOCAL pgweir.route = replica");
    assert_eq!(scene.client(&local), FromClient::Swallow);
    assert_eq!(scene.made_for_client(), "NCZ", "there is no transaction");
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::Unstated));
    assert_eq!(scene.client(&query("BEGIN")), FromClient::Swallow);
    assert_eq!(scene.client(&local), FromClient::Swallow);
    assert_eq!(scene.made_for_client(), "CZCZ");
    let replica = FromClient::Attach(Intent::Hint(Target::Replica));
    assert_eq!(scene.client(&query("SELECT 1")), replica);
    assert_eq!(scene.client(&query("ROLLBACK")), FromClient::Swallow);
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::Unstated));
}

#[test]
fn a_transaction_that_asks_for_nothing_needs_no_server() {
    let mut scene = Scene::new(PoolMode::Transaction);
    for end in ["COMMIT", "ROLLBACK"] {
        assert_eq!(scene.client(&query("begin")), FromClient::Swallow);
        assert_eq!(scene.client(&query(end)), FromClient::Swallow);
        assert_eq!(scene.made_for_client(), "CZCZ");
        assert!(!scene.session.in_transaction());
    }
    // In session mode, and where nothing is routed, BEGIN goes on as it is.
    let mut scene = Scene::new(PoolMode::Session);
    assert_eq!(scene.client(&query("begin")), FromClient::Attach(Intent::Unstated));
}

#[test]
fn a_held_begin_is_told_to_the_next_server_when_the_first_is_no_primary_any_more() {
    let mut scene = Scene::new(PoolMode::Transaction);
    assert_eq!(scene.client(&query("BEGIN")), FromClient::Swallow);
    let insert = query("INSERT INTO t VALUES (1)");
    for again in [true, false] {
        assert_eq!(scene.client(&insert), FromClient::Attach(Intent::Unstated));
        let mut server = fresh_server(9);
        server.note(b"in_hot_standby", if again { b"on" } else { b"off" });
        scene.out.to_server.clear();
        scene.attach_at(Place::Primary, server);
        scene.goes_on(&insert);
        begins(&mut scene);
        if again {
            let verdict = scene.server(&refusal(SqlState::READ_ONLY_SQL_TRANSACTION));
            assert_eq!(verdict, FromServer::Elsewhere(Elsewhere::Demoted));
            scene.session.take_back();
            scene.server = None;
        }
    }
    scene.passes(&complete("INSERT 0 1"));
    assert_eq!(scene.server(&ready(Active)), FromServer::Forward(Then::Ready));
}

#[test]
fn where_a_session_wants_its_transactions_is_its_own_affair_and_needs_no_server() {
    let mut scene = Scene::new(PoolMode::Transaction);
    assert_eq!(scene.client(&query("SET pgweir.route = replica")), FromClient::Swallow);
    assert_eq!(scene.made_for_client(), "CZ");
    let replica = Intent::Hint(Target::Replica);
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(replica));
    let hinted = query("/* pgweir: route=primary */ SELECT 1");
    assert_eq!(scene.client(&hinted), FromClient::Attach(Intent::Hint(Target::Primary)));
    assert_eq!(scene.client(&query("SHOW pgweir.route")), FromClient::Swallow);
    assert_eq!(scene.made_for_client(), "TDCZ");
    assert_eq!(scene.client(&query("SET pgweir.route = nowhere")), FromClient::Swallow);
    assert_eq!(scene.made_for_client(), "EZ");
    // By the extended protocol.
    for message in [parse("", "RESET pgweir.route"), bind(""), execute(), sync()] {
        assert_eq!(scene.client(&message), FromClient::Swallow);
    }
    assert_eq!(scene.made_for_client(), "12CZ");
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::Unstated));
}

#[test]
fn a_session_that_is_read_only_by_default_reads_on_replicas_and_finds_its_servers_so() {
    let mut scene = Scene::new(PoolMode::Transaction);
    let known = |value: &'static [u8]| {
        let mut server = fresh_server(9);
        server.note(b"default_transaction_read_only", value);
        server.logged_in();
        server
    };
    let name = "default_transaction_read_only";
    scene.attach_at(Place::Primary, known(b"off"));
    scene.goes_on(&query("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"));
    scene.passes(&complete("SET"));
    scene.passes(&reported(name, "on"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    let used = scene.server.take().unwrap();
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::ReadOnly));
    scene.out.to_server.clear();
    scene.attach_at(Place::Replica, known(b"off"));
    let sql = String::from_utf8_lossy(&scene.out.to_server).into_owned();
    assert!(sql.contains("SET default_transaction_read_only=on"), "{sql}");
    // The next client has the server as it was.
    let mut other = Scene::new(PoolMode::Transaction);
    other.attach_at(Place::Primary, used);
    let sql = String::from_utf8_lossy(&other.out.to_server).into_owned();
    assert!(sql.contains("RESET default_transaction_read_only"), "{sql}");
}

#[test]
fn a_statement_whose_begin_fails_is_not_run_and_told_why() {
    let mut scene = Scene::new(PoolMode::Transaction);
    assert_eq!(scene.client(&query("BEGIN")), FromClient::Swallow);
    let insert = query("INSERT INTO t VALUES (1)");
    assert_eq!(scene.client(&insert), FromClient::Attach(Intent::Unstated));
    scene.attach_at(Place::Primary, fresh_server(9));
    scene.goes_on(&insert);
    let refused = refusal(SqlState::FEATURE_NOT_SUPPORTED);
    assert!(matches!(scene.server(&refused), FromServer::CannotBegin(_)));
    scene.made_for_client();
    assert_eq!(scene.lose(), AfterLoss::GoesOn);
    assert_eq!(scene.made_for_client(), "EZ");
    for (text, told) in [("SELECT 1", "EZ"), ("ROLLBACK", "CZ")] {
        assert_eq!(scene.client(&query(text)), FromClient::Swallow);
        assert_eq!(scene.made_for_client(), told);
    }
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::Unstated));
}

#[test]
fn a_stale_statement_is_not_run_again_in_a_transaction_that_was_just_begun() {
    let mut scene = Scene::with(PoolMode::Transaction, PrepareUnnamed::On);
    scene.attach(fresh_server(9));
    for message in unnamed_batch() {
        scene.goes_on(&message);
    }
    for reply in [backend::PARSE_COMPLETE, backend::BIND_COMPLETE, &complete("SELECT 1")] {
        scene.passes(reply);
    }
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    let server = scene.server.take().unwrap();
    scene.made_for_server();
    assert_eq!(scene.client(&query("BEGIN")), FromClient::Swallow);
    scene.attach_at(Place::Primary, server);
    for message in unnamed_batch() {
        scene.goes_on(&message);
    }
    for hidden in [backend::PARSE_COMPLETE, backend::BIND_COMPLETE, &complete("BEGIN")] {
        assert_eq!(scene.server(hidden), FromServer::Swallow(Then::GoOn));
    }
    scene.passes(&stale_plan());
    assert_eq!(scene.server(&ready(Failed)), FromServer::Forward(Then::Ready));
}

#[test]
fn commands_for_us_are_answered_in_their_turn_while_a_server_is_attached() {
    for mode in [PoolMode::Transaction, PoolMode::Session] {
        let mut scene = Scene::new(mode);
        scene.attach(fresh_server(9));
        scene.goes_on(&query("BEGIN; SELECT 1"));
        let show = query("SHOW pgweir.route");
        assert_eq!(scene.client(&show), FromClient::Wait, "until all before it was answered");
        scene.passes(&complete("SELECT 1"));
        assert_eq!(scene.server(&ready(Active)), FromServer::Forward(Then::Ready));
        assert_eq!(scene.client(&show), FromClient::Swallow);
        assert_eq!(&scene.out.to_client[scene.out.to_client.len() - 6..], &ready(Active)[..]);
        assert_eq!(scene.made_for_client(), "TDCZ");
        // In a batch, under a name, between statements of the server's.
        let describe = bytes(|out| frontend::describe::write(out, Named::Statement, b"mine"));
        let batch = [
            parse("", "SELECT 1"),
            parse("mine", "SET pgweir.route = replica"),
            describe,
            bind("mine"),
            execute(),
            sync(),
        ];
        for message in batch {
            scene.goes_on(&message);
        }
        assert_eq!(scene.made_for_client(), "");
        scene.passes(backend::PARSE_COMPLETE);
        assert_eq!(scene.server(&ready(Active)), FromServer::Forward(Then::Ready));
        assert_eq!(scene.made_for_client(), "1tn2C");
        assert_eq!(scene.client(&show), FromClient::Swallow);
        let told = scene.out.to_client.split();
        assert!(told.windows(7).any(|bytes| bytes == b"replica"), "{told:?}");
    }
}

#[test]
fn a_command_for_us_behind_a_failing_statement_of_its_batch_is_not_carried_out() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    for message in [parse("", "SELEKT"), parse("mine", "SET pgweir.route = replica")] {
        scene.goes_on(&message);
    }
    for message in [bind("mine"), execute(), sync()] {
        scene.goes_on(&message);
    }
    scene.passes(&error(Severity::Error));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    assert_eq!(scene.made_for_client(), "");
    scene.server = None;
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::Unstated));
}

#[test]
fn reset_all_and_discard_all_return_to_the_route_asked_for_at_startup_and_other_resets_do_not() {
    for (text, tag, back) in [
        ("RESET ALL", "RESET", true),
        ("DISCARD ALL", "DISCARD ALL", true),
        ("RESET timezone", "RESET", false),
    ] {
        let mut scene = Scene::new(PoolMode::Transaction);
        scene.session = scene.session.with_wishes(Wishes::asked(Some(Target::Replica), None));
        assert_eq!(scene.client(&query("SET pgweir.route = primary")), FromClient::Swallow);
        scene.attach(fresh_server(9));
        scene.goes_on(&query(text));
        scene.passes(&complete(tag));
        assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
        scene.server = None;
        let target = if back { Target::Replica } else { Target::Primary };
        let hint = FromClient::Attach(Intent::Hint(target));
        assert_eq!(scene.client(&query("SELECT 1")), hint, "{text}");
    }
}

fn token(text: &str) -> Option<Token> {
    Token::read(text.as_bytes())
}

/// Messages made for the client: tags, and whether this is among their bytes.
fn told(scene: &mut Scene, what: &str) -> String {
    let bytes = scene.out.to_client.clone();
    let found = bytes.windows(what.len()).any(|window| window == what.as_bytes());
    assert!(found, "{what} in {:?}", String::from_utf8_lossy(&bytes));
    scene.made_for_client()
}

#[test]
fn where_the_primary_is_has_to_be_told_before_it_is_shown() {
    let mut scene = Scene::new(PoolMode::Transaction);
    let show = query("SHOW pgweir.lsn");
    let there = Whereabouts::At(token("3/16/B374D848").unwrap());
    for _ in 0..2 {
        assert_eq!(scene.client(&show), FromClient::Locate);
        scene.session.locate(there);
        assert_eq!(scene.client(&show), FromClient::Swallow);
        assert_eq!(told(&mut scene, "3/16/B374D848"), "TDCZ");
    }
    // An answer that nobody took is no answer to a later question.
    scene.session.locate(there);
    scene.session.forget_whereabouts();
    assert_eq!(scene.client(&show), FromClient::Locate);
    scene.session.locate(Whereabouts::NotFollowed);
    assert_eq!(scene.client(&show), FromClient::Swallow);
    assert_eq!(told(&mut scene, "0A000"), "EZ");
    // It is no setting.
    assert_eq!(scene.client(&query("SET pgweir.lsn = '1/1'")), FromClient::Swallow);
    assert_eq!(told(&mut scene, "55P02"), "EZ");
}

#[test]
fn in_a_batch_it_is_asked_where_the_primary_is_when_all_before_was_answered() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    let insert = [parse("", "INSERT INTO t VALUES (1)"), bind(""), execute(), sync()];
    for message in insert {
        scene.goes_on(&message);
    }
    for message in [parse("", "SHOW pgweir.lsn"), bind("")] {
        assert_eq!(scene.client(&message), FromClient::Swallow);
    }
    assert_eq!(scene.client(&execute()), FromClient::Wait, "it is not committed yet");
    for reply in [backend::PARSE_COMPLETE, backend::BIND_COMPLETE, &complete("INSERT 0 1")] {
        scene.passes(reply);
    }
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Ready));
    assert_eq!(scene.client(&execute()), FromClient::Locate);
    scene.session.locate(Whereabouts::At(token("1/0/64").unwrap()));
    assert_eq!(scene.client(&execute()), FromClient::Swallow);
    scene.goes_on(&sync());
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    assert_eq!(told(&mut scene, "1/0/64"), "12DC");
    // What comes behind a statement of its own batch does not wait for that: it commits with the batch.
    for message in [parse("", "INSERT INTO t VALUES (1)"), bind(""), execute()] {
        scene.goes_on(&message);
    }
    for message in [parse("mine", "SHOW pgweir.lsn"), bind("mine")] {
        scene.goes_on(&message);
    }
    assert_eq!(scene.client(&execute()), FromClient::Locate);
}

#[test]
fn behind_a_commit_in_the_same_batch_nobody_can_tell_where_the_primary_is() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    for message in [parse("", "INSERT INTO t VALUES (1)"), bind(""), execute()] {
        scene.goes_on(&message);
    }
    for message in [parse("", "COMMIT"), bind(""), execute()] {
        scene.goes_on(&message);
    }
    for message in [parse("mine", "SHOW pgweir.lsn"), bind("mine")] {
        scene.goes_on(&message);
    }
    assert_eq!(scene.client(&execute()), FromClient::Swallow);
    // The rest of the batch is skipped, as behind any error.
    assert_eq!(scene.client(&execute()), FromClient::Swallow);
    scene.goes_on(&sync());
    let replies = [
        backend::PARSE_COMPLETE,
        backend::BIND_COMPLETE,
        &complete("INSERT 0 1"),
        backend::PARSE_COMPLETE,
        backend::BIND_COMPLETE,
        &complete("COMMIT"),
    ];
    for reply in replies {
        scene.passes(reply);
    }
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    assert_eq!(told(&mut scene, "0A000"), "12E");
}

#[test]
fn what_its_reads_have_to_see_is_the_sessions_own_affair() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.session = scene.session.with_wishes(Wishes::asked(None, token("1/0/1")));
    let mut says = |text: &str, tags: &str, shown: &str, min_lsn: &str| {
        assert_eq!(scene.client(&query(text)), FromClient::Swallow, "{text}");
        assert_eq!(told(&mut scene, shown), tags, "{text}");
        assert_eq!(scene.session.min_lsn(), token(min_lsn), "{text}");
    };
    says("SHOW pgweir.min_lsn", "TDCZ", "1/0/1", "1/0/1");
    says("SET pgweir.min_lsn = '3/16/B374D848'", "CZ", "SET", "3/16/B374D848");
    says("SHOW pgweir.min_lsn", "TDCZ", "3/16/B374D848", "3/16/B374D848");
    says("SET pgweir.min_lsn = 'x'", "EZ", "22023", "3/16/B374D848");
    says("SET pgweir.min_lsn = ''", "CZ", "SET", "");
    says("SET pgweir.min_lsn TO DEFAULT", "CZ", "RESET", "1/0/1");
    // For one transaction.
    says("SET LOCAL pgweir.min_lsn = '1/2'", "NCZ", "25P01", "1/0/1");
    says("BEGIN", "CZ", "BEGIN", "1/0/1");
    says("SET LOCAL pgweir.min_lsn = '1/2'", "CZ", "SET", "1/2");
    says("SET LOCAL pgweir.min_lsn TO DEFAULT", "CZ", "SET", "1/0/1");
    says("SET LOCAL pgweir.min_lsn = '1/2'", "CZ", "SET", "1/2");
    says("COMMIT", "CZ", "COMMIT", "1/0/1");
    // A value that makes no sense does not fail the transaction.
    says("BEGIN", "CZ", "BEGIN", "1/0/1");
    says("SET pgweir.min_lsn = 'x'", "EZ", "22023", "1/0/1");
    says("ROLLBACK", "CZ", "ROLLBACK", "1/0/1");
    says("SET pgweir.min_lsn = '1/3'", "CZ", "SET", "1/3");
    for (text, tag) in [("DISCARD ALL", "DISCARD ALL"), ("RESET ALL", "RESET")] {
        assert_eq!(scene.client(&query("SET pgweir.min_lsn = '1/3'")), FromClient::Swallow);
        scene.attach(fresh_server(9));
        scene.goes_on(&query(text));
        scene.passes(&complete(tag));
        assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
        assert_eq!(scene.session.min_lsn(), token("1/0/1"), "{text}");
        scene.server = None;
    }
}

#[test]
fn what_reads_have_to_see_is_as_before_if_the_batch_fails_before_it() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    for message in [parse("", "SELEKT"), parse("mine", "SET pgweir.min_lsn = '1/2'")] {
        scene.goes_on(&message);
    }
    for message in [bind("mine"), execute(), sync()] {
        scene.goes_on(&message);
    }
    assert_eq!(scene.session.min_lsn(), token("1/2"));
    scene.passes(&error(Severity::Error));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    assert_eq!(scene.session.min_lsn(), None);
}

#[test]
fn where_no_roles_are_followed_a_position_cannot_be_asked_for() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.session.follow(Rules { outlives_server: false, ..scene.session.rules });
    for text in ["SET pgweir.min_lsn = '1/2'", "SET LOCAL pgweir.min_lsn = '1/2'"] {
        assert_eq!(scene.client(&query(text)), FromClient::Swallow);
        assert_eq!(told(&mut scene, "target_session_attrs"), "EZ");
    }
    for text in ["SET pgweir.min_lsn = ''", "RESET pgweir.min_lsn"] {
        assert_eq!(scene.client(&query(text)), FromClient::Swallow);
        assert_eq!(scene.made_for_client(), "CZ");
    }
    assert_eq!(scene.session.min_lsn(), None);
}
