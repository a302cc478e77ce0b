//! The session machine, told in messages: what a client and its servers say, and what becomes of it.

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{self, ErrorResponse, Severity, TransactionStatus};
use pgweir_codec::frontend::{self, Target as Named};
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;

use super::loss::Fate;
use super::parameters::{Parameters, Tracked};
use super::prepared::StatementCache;
use super::startup::{Setting, Startup};
use super::{
    AfterLoss, Elsewhere, FromClient, FromServer, Outbox, Place, Refusal, Rules, ServerState,
    Session, Then,
};
use crate::config::{PoolMode, PrepareUnnamed};
use crate::routing::Intent;

use TransactionStatus::{Active, Failed, Idle};

#[cfg(test)]
mod placing;

/// A client's session and the server that it holds, if it does.
struct Scene {
    session: Session,
    server: Option<ServerState>,
    out: Outbox,
}

fn bytes(encode: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out);
    out
}

fn query(text: &str) -> BytesMut {
    bytes(|out| frontend::query::write(out, text.as_bytes()))
}

fn parse(name: &str, text: &str) -> BytesMut {
    bytes(|out| frontend::parse::write(out, name.as_bytes(), text.as_bytes(), &[0, 0]))
}

fn bind(statement: &str) -> BytesMut {
    let bind = frontend::Bind {
        portal: Bytes::new(),
        statement: Bytes::copy_from_slice(statement.as_bytes()),
        parameter_formats: vec![],
        parameters: vec![],
        result_formats: vec![],
    };
    bytes(|out| bind.encode(out))
}

fn execute() -> BytesMut {
    bytes(|out| frontend::execute::write(out, b"", 0))
}

fn sync() -> BytesMut {
    bytes(frontend::sync::write)
}

fn ready(status: TransactionStatus) -> BytesMut {
    bytes(|out| backend::ready_for_query::write(out, status))
}

fn complete(tag: &'static str) -> BytesMut {
    bytes(|out| backend::CommandComplete { tag: Bytes::from_static(tag.as_bytes()) }.encode(out))
}

fn error(severity: Severity) -> BytesMut {
    bytes(|out| ErrorResponse::new(severity, SqlState::SYNTAX_ERROR, "no").encode(out))
}

fn fresh_server(limit: u32) -> ServerState {
    ServerState::new(Tracked::new(&[]), limit)
}

/// Tags of the messages in `bytes`, in order.
fn tags(bytes: &[u8]) -> String {
    let (mut rest, mut tags) = (bytes, String::new());
    while let Some(head) = Head::peek(rest).unwrap() {
        tags.push(char::from(head.tag));
        // The rest of a renamed Bind comes from the original.
        rest = rest.get(head.len..).unwrap_or_default();
    }
    tags
}

impl Scene {
    fn new(mode: PoolMode) -> Self {
        Self::with(mode, PrepareUnnamed::Off)
    }

    fn with(mode: PoolMode, prepare_unnamed: PrepareUnnamed) -> Self {
        let rules = Rules {
            mode,
            follow_statements: mode != PoolMode::Session,
            prepare_unnamed,
            realm: 0,
            outlives_server: true,
            holds_begin: true,
        };
        let parameters = Parameters::new(Tracked::new(&[]));
        let session = Session::new(rules, StatementCache::default().into(), parameters);
        Self { session, server: None, out: Outbox::default() }
    }

    fn attach(&mut self, server: ServerState) {
        self.attach_at(Place::Unknown, server);
    }

    fn attach_at(&mut self, place: Place, mut server: ServerState) {
        self.session.attached(&mut server, place, true, &mut self.out);
        self.server = Some(server);
    }

    fn client(&mut self, message: &[u8]) -> FromClient {
        let head = Head::peek(message).unwrap().unwrap();
        let verdict =
            self.session.client_message(head, message, self.server.as_mut(), &mut self.out);
        if let FromClient::Forward { .. } = verdict {
            self.session.committed();
        }
        verdict
    }

    /// The client's message goes on, or is replaced by what went to the server's outbox.
    #[track_caller]
    fn goes_on(&mut self, message: &[u8]) {
        let verdict = self.client(message);
        assert!(matches!(verdict, FromClient::Forward { .. } | FromClient::Swallow), "{verdict:?}");
    }

    fn server(&mut self, message: &[u8]) -> FromServer {
        let head = Head::peek(message).unwrap().unwrap();
        let server = self.server.as_mut().expect("a server is attached");
        let verdict = self.session.server_message(head, message, server, &mut self.out);
        if verdict == FromServer::Forward(Then::Release) {
            assert!(self.session.is_quiet());
        }
        verdict
    }

    #[track_caller]
    fn passes(&mut self, message: &[u8]) {
        assert_eq!(self.server(message), FromServer::Forward(Then::GoOn));
    }

    fn made_for_client(&mut self) -> String {
        tags(&self.out.to_client.split())
    }

    fn made_for_server(&mut self) -> String {
        tags(&self.out.to_server.split())
    }

    fn lose(&mut self) -> AfterLoss {
        self.server = None;
        let words = ErrorResponse::new(Severity::Error, SqlState::CONNECTION_FAILURE, "gone");
        self.session.server_lost(&words, false, &mut self.out)
    }
}

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
fn a_query_wants_a_server_and_gives_it_back_when_idle() {
    let mut scene = Scene::new(PoolMode::Transaction);
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Attach(Intent::Unstated));
    scene.attach(fresh_server(9));
    assert_eq!(scene.client(&query("SELECT 1")), FromClient::Forward { skip: 0 });
    scene.passes(&complete("SELECT 1"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
}

#[test]
fn a_transaction_keeps_its_server_until_it_ends() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    for (text, status, then) in [
        ("BEGIN", Active, Then::Ready),
        ("SELECT 1/0", Failed, Then::Ready),
        ("ROLLBACK", Idle, Then::Release),
    ] {
        scene.goes_on(&query(text));
        scene.passes(&complete("X"));
        assert_eq!(scene.server(&ready(status)), FromServer::Forward(then), "{text}");
    }
}

#[test]
fn the_modes_differ_in_when_a_server_goes_back() {
    let mut scene = Scene::new(PoolMode::Session);
    scene.attach(fresh_server(9));
    scene.goes_on(&query("SELECT 1"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Ready));

    let mut scene = Scene::new(PoolMode::Statement);
    scene.attach(fresh_server(9));
    scene.goes_on(&query("BEGIN"));
    assert_eq!(
        scene.server(&ready(Active)),
        FromServer::Refuse(Refusal::TransactionInStatementMode)
    );
}

#[test]
fn with_several_syncs_under_way_only_the_last_answer_releases() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    for _ in 0..2 {
        for message in [parse("", "SELECT 1"), bind(""), execute(), sync()] {
            scene.goes_on(&message);
        }
    }
    for then in [Then::Ready, Then::Release] {
        scene.passes(backend::PARSE_COMPLETE);
        scene.passes(backend::BIND_COMPLETE);
        scene.passes(&complete("SELECT 1"));
        assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(then));
    }
}

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

fn copy_in() -> BytesMut {
    bytes(|out| backend::CopyInResponse { format: 0, column_formats: vec![] }.encode(out))
}

#[test]
fn copy_data_and_sync_sent_before_the_server_asks_are_the_copys() {
    let data = bytes(|out| frontend::CopyData { data: Bytes::from_static(b"1\n") }.encode(out));
    let done = bytes(|out| frontend::CopyDone.encode(out));
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    let copy = [parse("", "COPY t FROM STDIN"), bind(""), execute()];
    for message in copy.into_iter().chain([data.clone(), sync(), data, done, sync()]) {
        scene.goes_on(&message);
    }
    scene.passes(backend::PARSE_COMPLETE);
    scene.passes(backend::BIND_COMPLETE);
    scene.passes(&copy_in());
    scene.goes_on(&query("SELECT 1"));
    scene.passes(&complete("COPY 2"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Ready), "one Sync counts");
    scene.passes(&complete("SELECT 1"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
}

#[test]
fn a_request_sent_into_a_copy_is_consumed_by_it() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    scene.goes_on(&query("COPY t FROM STDIN"));
    scene.goes_on(&query("SELECT 1"));
    scene.passes(&copy_in());
    scene.passes(&error(Severity::Error));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
}

/// One use of an unnamed statement, as drivers send it.
fn unnamed_batch() -> [BytesMut; 4] {
    [parse("", "SELECT 1"), bind(""), execute(), sync()]
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

fn stale_plan() -> BytesMut {
    bytes(|out| {
        out.extend_from_slice(b"E\0\0\0\0SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0RRevalidateCachedQuery\0\0");
        let len = u32::try_from(out.len() - 1).unwrap();
        out[1..5].copy_from_slice(&len.to_be_bytes());
    })
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

#[test]
fn a_server_in_copy_is_not_given_back_and_hears_no_sync() {
    let data = bytes(|out| frontend::CopyData { data: Bytes::from_static(b"1\n") }.encode(out));
    let done = bytes(|out| frontend::CopyDone.encode(out));
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    scene.goes_on(&query("COPY t FROM STDIN"));
    scene.passes(&copy_in());
    assert_eq!(scene.client(&data), FromClient::Forward { skip: 0 });
    assert_eq!(scene.client(&sync()), FromClient::Swallow);
    assert!(!scene.session.is_quiet());
    assert_eq!(scene.client(&done), FromClient::Forward { skip: 0 });
    scene.passes(&complete("COPY 1"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
    assert_eq!(
        {
            scene.server = None;
            scene.client(&data)
        },
        FromClient::Swallow,
        "too late, ignored"
    );
}

#[test]
fn a_server_is_brought_to_its_clients_settings_unseen() {
    let mut scene = Scene::new(PoolMode::Transaction);
    let status = bytes(|out| backend::parameter_status::write(out, b"TimeZone", b"UTC"));
    let mut first = fresh_server(9);
    first.parameters.note(b"TimeZone", b"Europe/Berlin");
    scene.attach(first);
    scene.goes_on(&query("SET timezone = 'UTC'"));
    scene.passes(&complete("SET"));
    scene.passes(&status);
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));

    let mut second = fresh_server(9);
    second.parameters.note(b"TimeZone", b"Asia/Tokyo");
    scene.attach(second);
    assert_eq!(&scene.out.to_server[5..], b"SET TimeZone='UTC';\0");
    let _ = scene.made_for_server();
    scene.goes_on(&query("SELECT 1"));
    for hidden in [complete("SET"), status, ready(Idle)] {
        assert_eq!(scene.server(&hidden), FromServer::Swallow(Then::GoOn));
    }
    scene.passes(&complete("SELECT 1"));
    assert_eq!(scene.server(&ready(Idle)), FromServer::Forward(Then::Release));
}

#[test]
fn a_fatal_error_is_the_servers_good_bye() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    scene.goes_on(&query("SELECT 1"));
    assert!(matches!(scene.server(&error(Severity::Fatal)), FromServer::LastWords(_)));
}

#[test]
fn a_reply_that_nobody_asked_for_is_refused() {
    let mut scene = Scene::new(PoolMode::Transaction);
    scene.attach(fresh_server(9));
    let verdict = scene.server(&complete("SELECT 1"));
    assert_eq!(verdict, FromServer::Refuse(Refusal::UnexpectedServerMessage(b'C')));
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

fn startup(settings: &[(&str, &str)]) -> std::sync::Arc<Startup> {
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| Setting::new(name.as_bytes(), value.as_bytes(), false))
        .collect();
    let spelling = settings.iter().map(|setting| setting.value.clone()).collect();
    Startup::new(settings, spelling, |name| Tracked::new(&[]).index(name))
}

fn reported(name: &str, value: &str) -> BytesMut {
    bytes(|out| backend::parameter_status::write(out, name.as_bytes(), value.as_bytes()))
}

/// A scene whose client asked for these settings, and a server whose TimeZone is UTC.
fn asked_for(mode: PoolMode, settings: &[(&str, &str)]) -> (Scene, ServerState) {
    let mut scene = Scene::new(mode);
    let startup = startup(settings);
    for (index, value) in startup.tracked() {
        scene.session.parameters.set(*index, value.clone());
    }
    scene.session.startup = Some(startup);
    let mut server = fresh_server(2);
    server.parameters.note(b"TimeZone", b"UTC");
    server.logged_in();
    (scene, server)
}

fn answers(scene: &mut Scene, messages: &[BytesMut]) {
    for message in messages {
        scene.server(message);
    }
}

#[test]
fn a_reset_returns_to_the_startup_value_and_the_client_is_told_before_it_may_go_on() {
    let (mut scene, server) = asked_for(PoolMode::Transaction, &[("timezone", "Asia/Tokyo")]);
    scene.attach(server);
    assert_eq!(tags(&scene.out.to_server), "Q", "SET TimeZone");
    answers(&mut scene, &[reported("TimeZone", "Asia/Tokyo"), ready(Idle)]);
    scene.client(&query("RESET ALL"));
    scene.out.to_client.clear();
    answers(&mut scene, &[complete("RESET"), reported("TimeZone", "UTC")]);
    let verdict = scene.server(&ready(Idle));
    assert_eq!(verdict, FromServer::Forward(Then::Release));
    assert_eq!(scene.out.to_client, reported("TimeZone", "Asia/Tokyo"));
    assert_eq!(scene.session.parameters.value(b"TimeZone").unwrap(), "Asia/Tokyo");
}

#[test]
fn in_session_mode_what_a_reset_took_away_is_set_again_once_before_the_next_message() {
    let (mut scene, server) = asked_for(PoolMode::Session, &[("work_mem", "1MB")]);
    scene.attach(server);
    answers(&mut scene, &[ready(Idle)]);
    scene.client(&query("DISCARD ALL"));
    scene.out.to_server.clear();
    answers(&mut scene, &[complete("DISCARD ALL"), ready(Idle)]);
    assert!(scene.out.to_server.is_empty());
    scene.client(&query("SELECT 1"));
    let sent = String::from_utf8_lossy(&scene.out.to_server).into_owned();
    assert!(tags(&scene.out.to_server) == "Q" && sent.contains("'work_mem','1MB'"), "{sent}");
    scene.out.to_server.clear();
    // All of its answer is hidden; then comes the client's own.
    for hidden in [complete("SELECT 1"), ready(Idle)] {
        assert_eq!(scene.server(&hidden), FromServer::Swallow(Then::GoOn));
    }
    answers(&mut scene, &[complete("SELECT 1"), ready(Idle)]);
    scene.client(&query("SELECT 2"));
    assert!(scene.out.to_server.is_empty(), "once is enough");
}

#[test]
fn a_client_without_extras_costs_a_server_without_extras_nothing() {
    let (mut scene, server) = asked_for(PoolMode::Transaction, &[]);
    scene.attach(server);
    assert!(scene.out.is_empty());
    let mut server = scene.server.take().unwrap();
    server.in_force.now_of(&startup(&[("work_mem", "1MB")]));
    scene.attach(server);
    let sent = String::from_utf8_lossy(&scene.out.to_server).into_owned();
    assert!(sent.contains("'work_mem',NULL"), "{sent}");
}

fn refusal(code: SqlState) -> BytesMut {
    bytes(|out| ErrorResponse::new(Severity::Error, code, "no").encode(out))
}

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
