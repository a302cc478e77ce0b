//! Prepared statements, named and kept ones.

use super::*;

#[test]
fn a_named_statement_is_prepared_unseen_on_a_server_that_lacks_it() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    scene.goes_on(&parse("mine", "SELECT 1"));
    scene.goes_on(&sync());
    assert_eq!(scene.made_for_server(), "P", "sent under the shared name");
    scene.passes(backend::PARSE_COMPLETE);
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));

    scene.attach(fresh_server(9));
    scene.goes_on(&bind("mine"));
    assert_eq!(scene.made_for_server().chars().next(), Some('P'), "before the renamed Bind");
    scene.goes_on(&execute());
    scene.goes_on(&sync());
    assert_eq!(scene.server(backend::PARSE_COMPLETE), FromServer::Swallow(Then::GoOn));
    scene.passes(backend::BIND_COMPLETE);
    scene.passes(&complete("SELECT 1"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
}

#[test]
fn what_a_server_already_holds_is_answered_by_us_in_its_turn() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    scene.goes_on(&parse("a", "SELECT 1"));
    scene.goes_on(&sync());
    scene.passes(backend::PARSE_COMPLETE);
    let _ = scene.server(&ready(Idle));
    let _ = scene.made_for_server();

    scene.goes_on(&bind("a"));
    scene.goes_on(&parse("b", "SELECT 1"));
    scene.goes_on(&sync());
    assert_eq!(scene.made_for_client(), "", "the Bind is not answered yet");
    scene.passes(backend::BIND_COMPLETE);
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    assert_eq!(scene.made_for_client(), "1", "before the ReadyForQuery");
}

#[test]
fn a_parse_that_fails_is_forgotten_and_the_rest_is_skipped_until_sync() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    scene.goes_on(&parse("bad", "SELEKT"));
    scene.passes(&error(Severity::Error));
    assert_eq!(scene.client(&bind("bad")), FromClient::Swallow);
    assert_eq!(scene.client(&execute()), FromClient::Swallow);
    scene.goes_on(&sync());
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    assert_eq!(scene.session.prepared_statements(), 0);
}

#[test]
fn a_full_server_closes_a_statement_unseen() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(1));
    scene.goes_on(&parse("a", "SELECT 1"));
    scene.goes_on(&parse("b", "SELECT 2"));
    scene.goes_on(&sync());
    assert_eq!(scene.made_for_server(), "PCP");
    scene.passes(backend::PARSE_COMPLETE);
    assert_eq!(scene.server(backend::CLOSE_COMPLETE), FromServer::Swallow(Then::GoOn));
    scene.passes(backend::PARSE_COMPLETE);
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    assert_eq!(scene.session.prepared_statements(), 2, "the client knows both");
}

#[test]
fn closing_a_name_needs_no_server() {
    let mut scene = Scene::new(PoolMode::Transaction);
    let close = bytes(|out| frontend::close::write(out, Named::Statement, b"unknown"));
    assert_eq!(scene.client(&close), FromClient::Swallow);
    assert_eq!(scene.client(&sync()), FromClient::Swallow);
    assert_eq!(scene.made_for_client(), "3Z");
}

#[test]
fn discard_all_forgets_every_statement() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    scene.goes_on(&parse("a", "SELECT 1"));
    scene.goes_on(&sync());
    scene.passes(backend::PARSE_COMPLETE);
    let _ = scene.server(&ready(Idle));
    scene.goes_on(&query("DISCARD ALL"));
    scene.passes(&complete("DISCARD ALL"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    assert_eq!(scene.session.prepared_statements(), 0);
    assert!(scene.server.unwrap().statements.is_empty());
}

#[test]
fn an_unnamed_text_seen_often_is_parsed_once_per_server() {
    let mut scene = Scene::with(PoolMode::Transaction, PrepareUnnamed::Auto);
    scene.attach(fresh_server(9));
    for (time, sent) in [(1, ""), (2, ""), (3, "PB"), (4, "B"), (5, "B")] {
        for message in unnamed_batch() {
            scene.goes_on(&message);
        }
        assert_eq!(scene.made_for_server(), sent, "time {time}");
        if time < 4 {
            scene.passes(backend::PARSE_COMPLETE);
        }
        scene.passes(backend::BIND_COMPLETE);
        scene.passes(&complete("SELECT 1"));
        assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
        assert_eq!(scene.made_for_client(), if time < 4 { "" } else { "1" }, "time {time}");
    }
    scene.goes_on(&query("SELECT 2"));
    scene.passes(&complete("SELECT 1"));
    let _ = scene.server(&ready(Idle));
    assert_eq!(
        scene.client(&bind("")),
        FromClient::Forward { skip: 0 },
        "gone: the server says so"
    );
}

#[test]
fn a_kept_statement_that_the_server_refuses_is_run_again_as_it_was_sent() {
    let mut scene = Scene::with(PoolMode::Transaction, PrepareUnnamed::On);
    scene.attach(fresh_server(9));
    for message in unnamed_batch() {
        scene.goes_on(&message);
    }
    for reply in [backend::PARSE_COMPLETE, backend::BIND_COMPLETE] {
        scene.passes(reply);
    }
    scene.passes(&complete("SELECT 1"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    let _ = scene.made_for_server();

    let server = scene.server.take().unwrap();
    scene.attach(server);
    for message in unnamed_batch() {
        scene.goes_on(&message);
    }
    assert_eq!(scene.made_for_server(), "B");
    assert!(scene.session.may_replay());
    assert_eq!(scene.server(&stale_plan()), FromServer::Swallow(Then::GoOn));
    assert_eq!(scene.client(&query("x")), FromClient::Wait, "not now");
    assert_eq!(scene.server(&ready(Idle)), FromServer::Swallow(Then::Replay));
    assert_eq!(scene.made_for_client(), "", "the client has seen nothing");
    for message in unnamed_batch() {
        assert_eq!(scene.client(&message), FromClient::Forward { skip: 0 }, "as it was sent");
    }
}

#[test]
fn a_kept_statement_refused_inside_a_transaction_is_the_clients_error_and_not_kept_again() {
    let mut scene = Scene::with(PoolMode::Transaction, PrepareUnnamed::On);
    scene.attach(fresh_server(9));
    scene.goes_on(&query("BEGIN"));
    scene.passes(&complete("BEGIN"));
    let _ = scene.server(&ready(Active));
    for message in unnamed_batch() {
        scene.goes_on(&message);
    }
    scene.passes(backend::PARSE_COMPLETE);
    scene.passes(&stale_plan());
    assert_eq!(scene.server(&ready(Failed)), FromServer::Forward(Then::Ready));
    assert_eq!(scene.client(&unnamed_batch()[0]), FromClient::Forward { skip: 0 }, "as it is");
}
