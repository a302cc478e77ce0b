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
mod elsewhere;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod placing;
#[cfg(test)]
mod settings;
#[cfg(test)]
mod statements;

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

fn refusal(code: SqlState) -> BytesMut {
    bytes(|out| ErrorResponse::new(Severity::Error, code, "no").encode(out))
}

fn reported(name: &str, value: &str) -> BytesMut {
    bytes(|out| backend::parameter_status::write(out, name.as_bytes(), value.as_bytes()))
}

/// One use of an unnamed statement, as drivers send it.
fn unnamed_batch() -> [BytesMut; 4] {
    [parse("", "SELECT 1"), bind(""), execute(), sync()]
}

fn stale_plan() -> BytesMut {
    bytes(|out| {
        out.extend_from_slice(b"E\0\0\0\0SERROR\0VERROR\0C0A000\0Mcached plan must not change result type\0RRevalidateCachedQuery\0\0");
        let len = u32::try_from(out.len() - 1).unwrap();
        out[1..5].copy_from_slice(&len.to_be_bytes());
    })
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
