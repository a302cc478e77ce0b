//! A server that died under a transaction.

use super::*;

#[test]
fn what_is_known_of_a_lost_transaction_is_no_more_and_no_less_than_can_be() {
    let lost_at = |place: Place, messages: &[&[u8]]| {
        let mut scene = Scene::new(PoolMode::Transaction);
        scene.attach_at(place, fresh_server(9));
        for message in messages {
            scene.goes_on(message);
        }
        scene.session.fate()
    };
    let begun = |further: &[&[u8]]| {
        let mut scene = Scene::new(PoolMode::Transaction);
        scene.attach(fresh_server(9));
        scene.goes_on(&query("BEGIN"));
        scene.passes(&complete("BEGIN"));
        scene.server(&ready(Active));
        for message in further {
            scene.goes_on(message);
        }
        scene.session.fate()
    };
    assert_eq!(begun(&[]), Fate::RolledBack);
    assert_eq!(begun(&[&query("INSERT INTO t VALUES (1)")]), Fate::Open);
    assert_eq!(begun(&[&query("COMMIT")]), Fate::Committing);
    assert_eq!(lost_at(Place::Primary, &[&query("INSERT INTO t VALUES (1)")]), Fate::Alone);
    assert_eq!(lost_at(Place::Replica, &[&query("SELECT 1")]), Fate::Read);
}

#[test]
fn an_autocommit_statement_on_a_lost_server_gets_one_error_and_the_client_goes_on() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    scene.goes_on(&query("INSERT"));
    assert_eq!(scene.lose(), AfterLoss::GoesOn);
    assert_eq!(scene.made_for_client(), "EZ");
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::Unstated));
}

#[test]
fn a_lost_transaction_must_be_ended_before_anything_else_runs_and_its_commit_is_an_error() {
    for (end, answer) in [("ROLLBACK", "CZ"), ("COMMIT", "EZ")] {
        let mut scene = Scene::new(PoolMode::Transaction);
        scene.attach(fresh_server(9));
        scene.goes_on(&query("BEGIN"));
        scene.passes(&complete("BEGIN"));
        assert_eq!(scene.server(&ready(Active)), FromServer::Forward(Then::Ready));
        assert_eq!(scene.lose(), AfterLoss::GoesOn);
        assert_eq!(scene.made_for_client(), "", "nothing is under way: the next request is told");
        if end == "ROLLBACK" {
            assert_eq!(scene.client(&query("INSERT")), FromClient::Swallow);
            assert_eq!(scene.made_for_client(), "EZ");
        }
        assert_eq!(scene.client(&query(end)), FromClient::Swallow);
        assert_eq!(scene.made_for_client(), answer, "{end}");
        assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::Unstated));
    }
}

#[test]
fn what_had_not_left_is_offered_again() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    let message = parse("a", "SELECT 1");
    let head = Head::peek(&message).unwrap().unwrap();
    let _ = scene.session.client_message(head, &message, scene.server.as_mut(), &mut scene.out);
    assert!(scene.session.rewind());
    assert_eq!(scene.session.prepared_statements(), 0);
    scene.server = None;
    assert_eq!(scene.client(&message), FromClient::Attach(Intent::Unstated));
}

#[test]
fn a_commit_that_was_under_way_ends_the_transaction_with_an_error() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    scene.goes_on(&query("BEGIN"));
    scene.passes(&complete("BEGIN"));
    assert_eq!(scene.server(&ready(Active)), FromServer::Forward(Then::Ready));
    scene.goes_on(&query("COMMIT"));
    assert_eq!(scene.lose(), AfterLoss::GoesOn);
    assert_eq!(&scene.out.to_client[scene.out.to_client.len() - 6..], &ready(Idle)[..]);
    assert_eq!(scene.made_for_client(), "EZ");
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::Unstated));
}
