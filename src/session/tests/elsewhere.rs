//! What one host has refused, run again on another; and what waits for its place.

use super::*;

#[test]
fn a_host_that_is_no_primary_any_more_gets_no_second_chance_but_the_client_does() {
    let mut scene = Scene::new(PoolMode::Transaction);
    let mut demoted = fresh_server(9);
    demoted.note(b"in_hot_standby", b"on");
    scene.attach_at(Place::Primary, demoted);
    scene.goes_on(&query("INSERT INTO t VALUES (1)"));
    let verdict = scene.server(&refusal(SqlState::READ_ONLY_SQL_TRANSACTION));
    assert_eq!(verdict, FromServer::Elsewhere(Elsewhere::Demoted));
    scene.session.take_back();
    assert!(scene.session.is_quiet());
    // The next one says the same, and says that it is a primary: then the session is read-only, and the client is told.
    scene.attach_at(Place::Primary, fresh_server(9));
    scene.goes_on(&query("INSERT INTO t VALUES (1)"));
    scene.passes(&refusal(SqlState::READ_ONLY_SQL_TRANSACTION));
}

#[test]
fn what_only_looked_like_a_read_is_run_elsewhere_and_what_asked_for_a_replica_is_not() {
    for (place, code, elsewhere) in [
        (Place::Guessed, SqlState::READ_ONLY_SQL_TRANSACTION, Some(Elsewhere::Refused)),
        (Place::Guessed, SqlState::FEATURE_NOT_SUPPORTED, Some(Elsewhere::Refused)),
        (Place::Guessed, SqlState::SYNTAX_ERROR, Some(Elsewhere::Unknown)),
        (Place::Guessed, SqlState::SERIALIZATION_FAILURE, Some(Elsewhere::Conflict)),
        (Place::Replica, SqlState::SERIALIZATION_FAILURE, Some(Elsewhere::Conflict)),
        (Place::Replica, SqlState::READ_ONLY_SQL_TRANSACTION, None),
        (Place::Primary, SqlState::SERIALIZATION_FAILURE, None),
        (Place::Unknown, SqlState::SERIALIZATION_FAILURE, None),
    ] {
        let mut scene = Scene::new(PoolMode::Transaction);
        scene.attach_at(place, fresh_server(9));
        scene.goes_on(&query("SELECT f()"));
        let verdict = scene.server(&refusal(code));
        let wanted = elsewhere.map_or(FromServer::Forward(Then::GoOn), FromServer::Elsewhere);
        assert_eq!(verdict, wanted, "{place:?} {code}");
    }
}

#[test]
fn nothing_is_run_again_once_the_client_was_told_something_or_has_sent_more() {
    let conflict = refusal(SqlState::SERIALIZATION_FAILURE);
    let begun = || {
        let mut scene = Scene::new(PoolMode::Transaction);
        scene.attach_at(Place::Replica, fresh_server(9));
        scene.goes_on(&parse("", "SELECT 1"));
        scene.goes_on(&bind(""));
        scene
    };
    // An announcement that is still here can be taken back.
    let mut scene = begun();
    scene.passes(&BytesMut::from(backend::PARSE_COMPLETE));
    assert_eq!(scene.server(&conflict), FromServer::Elsewhere(Elsewhere::Conflict));
    // One that has left cannot.
    let mut scene = begun();
    scene.passes(&BytesMut::from(backend::PARSE_COMPLETE));
    scene.session.told();
    scene.passes(&conflict);
    // Nor can what stands before a second batch.
    let mut scene = begun();
    scene.goes_on(&sync());
    assert_eq!(scene.client(&parse("", "SELECT 2")), FromClient::Wait, "placed anew later");
    scene.session.told();
    scene.passes(&conflict);
}

#[test]
fn a_transaction_behind_one_on_a_replica_waits_until_it_can_be_placed() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach_at(Place::Replica, fresh_server(9));
    scene.goes_on(&query("BEGIN READ ONLY; SELECT 1; COMMIT"));
    assert_eq!(scene.client(&query("INSERT INTO t VALUES (1)")), FromClient::Wait);
    scene.passes(&complete("COMMIT"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    scene.server = None;
    scene.session.detached();
    let insert = query("INSERT INTO t VALUES (1)");
    assert_eq!(scene.client(&insert), FromClient::Attach(Intent::Unstated));
    // On the primary it need not wait.
    scene.attach_at(Place::Primary, fresh_server(9));
    scene.goes_on(&insert);
    scene.goes_on(&insert);
}
