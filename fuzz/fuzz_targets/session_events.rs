//! The session machine between a client that sends anything and a server that answers as PostgreSQL does, or sends
//! anything as well; messages arrive in pieces, servers die at any moment.
//!
//! Input: a byte of rules, then events of an opcode and what belongs to it; see [`World::event`].
#![no_main]

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use pgweir::config::{PoolMode, PrepareUnnamed};
use pgweir::routing::causal::Token;
use pgweir::session::own::Whereabouts;
use pgweir::session::parameters::{Parameters, Tracked};
use pgweir::session::{
    AfterLoss, FromClient, FromServer, Outbox, Place, Refusal, Rules, ServerState, Session, Then,
};
use pgweir_codec::backend::{self, ErrorResponse, ReadyForQuery, Severity, TransactionStatus};
use pgweir_codec::frontend::{self, Target};
use pgweir_codec::head::Head;
use pgweir_codec::sqlstate::SqlState;

fuzz_target!(|data: &[u8]| {
    let Some((rules, rest)) = data.split_first() else { return };
    let mut input = Input(rest);
    let mut world = World::new(*rules);
    while let Some(opcode) = input.byte() {
        if world.event(opcode, &mut input) == Course::Over {
            break;
        }
    }
});

/// The input, read from its front.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// A message with a true length: tag, length of the body, body.
    fn message(&mut self) -> Option<Bytes> {
        let (tag, length) = (self.byte()?, usize::from(self.byte()?));
        let (body, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Some(message(tag, body))
    }
}

fn message(tag: u8, body: &[u8]) -> Bytes {
    let length = u32::try_from(body.len() + 4).expect("small");
    [&[tag][..], &length.to_be_bytes(), body].concat().into()
}

fn head_of(message: &[u8]) -> Head {
    Head::peek(message).expect("a sound head").expect("a whole head")
}

/// Takes whole messages off the front; what is left must be none.
fn messages(mut bytes: Bytes) -> Vec<(u8, Bytes)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let head = head_of(&bytes);
        assert!(head.len <= bytes.len(), "a message that ends in another: {bytes:?}");
        all.push((head.tag, bytes.split_to(head.len).slice(Head::SIZE..)));
    }
    all
}

#[derive(PartialEq)]
enum Course {
    GoesOn,
    Over,
}

/// A connected server: what the session knows of it, and what it really is.
struct Attached {
    state: ServerState,
    model: Postgres,
    /// Requests up to a ReadyForQuery that were forwarded to it, and how many of those came back.
    asked: usize,
    told: usize,
    /// It failed something or read COPY data: then requests are left out on purpose.
    disturbed: bool,
    /// Where in the client's messages it was attached, and the count of requests then.
    since: usize,
    requests_before: Counts,
    /// What the client was told when it was attached, and whether more has left for it since.
    told_before: Counts,
    wrote: bool,
}

struct World {
    rules: Rules,
    honest: bool,
    tracked: Arc<Tracked>,
    session: Session,
    out: Outbox,
    /// All that the client sent; `next` is the first that the session has not dealt with.
    client: Vec<Bytes>,
    next: usize,
    server: Option<Attached>,
    idle: Option<(ServerState, Postgres)>,
    /// A COPY FROM STDIN took place: a request sent into one that fails at the same moment may be taken for part of it.
    copied: bool,
    /// What the client asked for, and what it was told.
    requests: Counts,
    told: Counts,
    /// What kind of host it is given, and how often it had to leave one.
    place: Place,
    moves: usize,
}

/// How many there were of what is counted one by one: ReadyForQuery, ParseComplete, BindComplete, CloseComplete, and
/// the requests that lead to them.
#[derive(Clone, Copy, Debug, Default)]
struct Counts([usize; 4]);

impl Counts {
    fn request(&mut self, tag: u8) {
        self.add([b"QSF", b"PPP", b"BBB", b"CCC"].iter().position(|tags| tags.contains(&tag)));
    }

    fn reply(&mut self, tag: u8) {
        self.add(b"Z123".iter().position(|known| *known == tag));
    }

    fn add(&mut self, which: Option<usize>) {
        if let Some(count) = which.and_then(|which| self.0.get_mut(which)) {
            *count += 1;
        }
    }

    fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(mine, theirs)| mine <= theirs)
    }
}

impl World {
    fn new(bits: u8) -> Self {
        let mode = match bits & 3 {
            0 | 3 => PoolMode::Transaction,
            1 => PoolMode::Session,
            _ => PoolMode::Statement,
        };
        let follow_statements = bits & 4 != 0 && mode != PoolMode::Session;
        let prepare_unnamed = if bits & 64 != 0 { PrepareUnnamed::On } else { PrepareUnnamed::Off };
        let outlives_server = bits & 8 != 0;
        let rules = Rules {
            mode,
            follow_statements,
            prepare_unnamed,
            realm: 0,
            outlives_server,
            holds_begin: outlives_server,
        };
        let tracked = Tracked::new(&[]);
        let mut parameters = Parameters::new(tracked.clone());
        parameters.note(b"TimeZone", if bits & 32 != 0 { b"Mars/Olympus" } else { b"UTC" });
        Self {
            rules,
            honest: bits & 16 != 0,
            session: Session::new(rules, Arc::default(), parameters),
            tracked,
            out: Outbox::default(),
            client: Vec::new(),
            next: 0,
            server: None,
            idle: None,
            copied: false,
            requests: Counts::default(),
            told: Counts::default(),
            place: match bits >> 3 & 0b1001 {
                _ if bits & 128 != 0 => Place::Primary,
                0 => Place::Primary,
                1 => Place::Unknown,
                8 => Place::Guessed,
                _ => Place::Replica,
            },
            moves: 0,
        }
    }

    fn event(&mut self, opcode: u8, input: &mut Input<'_>) -> Course {
        match opcode % 8 {
            // The client sends; more often than anything else happens.
            0..3 => {
                let Some(message) = input.message() else { return Course::Over };
                self.client.push(message);
                self.look_at_client(usize::from(opcode >> 3))
            }
            // The server answers one request, well or with an error; or says anything.
            3 | 4 => match self.answer(opcode, input) {
                Some(messages) => self.look_at_server(&messages, usize::from(opcode >> 3)),
                None => Course::GoesOn,
            },
            5 => {
                self.session.committed();
                if let Some(server) = &mut self.server {
                    server.wrote = true;
                }
                Course::GoesOn
            }
            6 => {
                let text = "server closed the connection";
                let error = ErrorResponse::new(Severity::Error, SqlState::CONNECTION_FAILURE, text);
                self.lose_server(&error, opcode & 8 != 0)
            }
            _ => {
                self.session.end_of_batch(&mut self.out);
                self.drain();
                let _ = (self.session.take_tally(), self.session.prepared_statements());
                Course::GoesOn
            }
        }
    }

    fn answer(&mut self, opcode: u8, input: &mut Input<'_>) -> Option<Vec<Bytes>> {
        if !self.honest {
            return Some(vec![input.message()?]);
        }
        let model = &mut self.server.as_mut()?.model;
        let answer = model.answer(opcode & 8 != 0, opcode & 16 != 0);
        Some(messages(answer).into_iter().map(|(tag, body)| message(tag, &body)).collect())
    }

    /// Offers the session all that it has not dealt with, each message first cut at `cut`.
    fn look_at_client(&mut self, cut: usize) -> Course {
        // The message that wanted to know where the primary is.
        let mut asked_at = None;
        while let Some(message) = self.client.get(self.next).cloned() {
            asked_at = asked_at.filter(|at| *at == self.next);
            let head = head_of(&message);
            let mut have = cut.clamp(Head::SIZE, message.len());
            let verdict = loop {
                let state = self.server.as_mut().map(|server| &mut server.state);
                let part = message.get(..have).expect("within the message");
                match self.session.client_message(head, part, state, &mut self.out) {
                    FromClient::Wait => {
                        assert!(self.session.awaits_answer(), "stands still");
                        assert!(self.out.is_empty(), "said something about a message that waits");
                        return Course::GoesOn;
                    }
                    FromClient::NeedMore(want) => {
                        assert!(have < want && want <= head.len, "{have} {want} of {message:?}");
                        assert!(self.out.is_empty(), "said something about half a message");
                        have = want;
                    }
                    verdict => break verdict,
                }
            };
            match verdict {
                FromClient::NeedMore(_) | FromClient::Wait => unreachable!("dealt with above"),
                FromClient::Attach(_) => {
                    assert!(self.server.is_none(), "a second server");
                    self.attach();
                    continue;
                }
                FromClient::Locate => {
                    assert!(self.out.is_empty(), "said something before it was told");
                    assert_eq!(asked_at.replace(self.next), None, "asks twice");
                    self.session.locate(match cut % 2 {
                        0 => Whereabouts::At(Token { timeline: NonZeroU32::new(3), lsn: 7 }),
                        _ => Whereabouts::NotFollowed,
                    });
                    continue;
                }
                FromClient::Forward { skip } => {
                    assert!(skip <= have, "skips what has not arrived");
                    let rest = message.slice(skip..);
                    self.drain_with(Some(rest));
                    let server = self.server.as_mut().expect("forwards to no server");
                    server.asked += usize::from(matches!(head.tag, b'Q' | b'S' | b'F'));
                }
                FromClient::Swallow => self.drain(),
                FromClient::Terminate => return Course::Over,
                FromClient::Refuse(refusal) => return self.refused(&refusal),
            }
            self.requests.request(head.tag);
            self.next += 1;
            self.check_told();
        }
        self.session.end_of_batch(&mut self.out);
        self.drain();
        self.check_told();
        Course::GoesOn
    }

    fn attach(&mut self) {
        let (mut state, model) = self.idle.take().unwrap_or_else(|| {
            let mut state = ServerState::new(self.tracked.clone(), 2);
            state.parameters.note(b"TimeZone", b"UTC");
            (state, Postgres::default())
        });
        self.session.attached(&mut state, self.place, self.moves < 3, &mut self.out);
        self.server = Some(Attached {
            state,
            model,
            asked: 0,
            told: 0,
            disturbed: false,
            since: self.next,
            requests_before: self.requests,
            told_before: self.told,
            wrote: false,
        });
        self.drain();
    }

    fn look_at_server(&mut self, messages: &[Bytes], cut: usize) -> Course {
        // The relay writes before it reads: what a server says, it says after the first byte reached it.
        if let Some(server) = &mut self.server {
            server.wrote = true;
            self.session.committed();
        }
        for message in messages {
            let Some(server) = &mut self.server else { return Course::GoesOn };
            let head = head_of(message);
            let mut have = cut.clamp(Head::SIZE, message.len());
            server.disturbed |= matches!(head.tag, b'E' | b'G');
            self.copied |= head.tag == b'G';
            let verdict = loop {
                let part = message.get(..have).expect("within the message");
                match self.session.server_message(head, part, &mut server.state, &mut self.out) {
                    FromServer::NeedMore(want) => {
                        assert!(have < want && want <= head.len, "{have} {want} of {message:?}");
                        have = want;
                    }
                    verdict => break verdict,
                }
            };
            let then = match verdict {
                FromServer::NeedMore(_) => unreachable!("dealt with above"),
                FromServer::Forward(then) => {
                    server.told += usize::from(head.tag == ReadyForQuery::TAG);
                    self.told.reply(head.tag);
                    then
                }
                FromServer::Swallow(then) => then,
                FromServer::LastWords(words) => {
                    self.drain();
                    return self.lose_server(&words, false);
                }
                FromServer::CannotBegin(words) => {
                    assert!(server.model.status == TransactionStatus::Idle || !self.honest);
                    self.drain();
                    return self.lose_server(&words, false);
                }
                FromServer::Elsewhere(_) => return self.move_on(),
                FromServer::Refuse(refusal) => {
                    let ours = matches!(
                        refusal,
                        Refusal::TransactionInStatementMode | Refusal::InvalidParameter(_)
                    );
                    assert!(
                        !self.honest || self.copied || ours,
                        "refuses {message:?} of a server that does nothing wrong: {refusal:?}"
                    );
                    return self.refused(&refusal);
                }
            };
            self.drain();
            self.check_told();
            match then {
                Then::Release => self.release(),
                Then::Replay => self.replay(),
                Then::GoOn | Then::Ready => {}
            }
        }
        // The relay writes to the client what it has looked at.
        if self.server.as_ref().is_some_and(|server| server.told_before.0 != self.told.0) {
            self.session.told();
        }
        Course::GoesOn
    }

    /// What was sent since the attachment is offered again, to another server.
    fn move_on(&mut self) -> Course {
        let server = self.server.take().expect("moves on from a server");
        self.moves += 1;
        self.out.to_client.clear();
        self.session.take_back();
        assert!(!self.session.awaits_answer(), "moves on in the middle of something");
        self.next = server.since;
        self.requests = server.requests_before;
        self.told = server.told_before;
        self.look_at_client(0)
    }

    fn release(&mut self) {
        assert!(self.session.is_quiet(), "released in the middle of something");
        assert!(!self.session.in_transaction(), "released in a transaction");
        assert_ne!(self.rules.mode, PoolMode::Session, "released in the middle of a session");
        let server = self.server.take().expect("released without a server");
        assert!(server.disturbed || server.asked == server.told, "released with answers to come");
        if self.honest && !self.copied {
            assert!(server.model.is_idle(), "released a server that is not idle");
        }
        self.idle = Some((server.state, server.model));
    }

    /// What was sent since the attachment is offered again, to the same server.
    fn replay(&mut self) {
        let server = self.server.as_mut().expect("a replay without a server");
        assert!(self.session.is_quiet(), "replays in the middle of something");
        (server.asked, server.told) = (0, 0);
        self.next = server.since;
        self.requests = server.requests_before;
        self.told = server.told_before;
        self.look_at_client(0);
    }

    fn lose_server(&mut self, error: &ErrorResponse, mid_message: bool) -> Course {
        let Some(server) = self.server.take() else { return Course::GoesOn };
        if !server.wrote && self.session.rewind() {
            self.next = server.since;
            self.requests = server.requests_before;
            return self.look_at_client(0);
        }
        match self.session.server_lost(error, mid_message, &mut self.out) {
            AfterLoss::GoesOn => {
                assert!(self.rules.outlives_server && !mid_message);
                self.drain();
                self.check_told();
                assert!(self.out.to_server.is_empty(), "speaks to the dead");
                Course::GoesOn
            }
            AfterLoss::Close => Course::Over,
        }
    }

    fn refused(&mut self, refusal: &Refusal) -> Course {
        assert!(refusal.response().is_fatal());
        Course::Over
    }

    fn drain(&mut self) {
        self.drain_with(None);
    }

    /// Delivers what the session made, and behind it what is forwarded to the server.
    fn drain_with(&mut self, forwarded: Option<Bytes>) {
        for (tag, body) in messages(self.out.to_client.split().freeze()) {
            let message = backend::Message::decode(tag, body);
            assert!(message.is_ok(), "tells the client {message:?}");
            self.told.reply(tag);
        }
        let made = self.out.to_server.split().freeze();
        if forwarded.is_none() {
            for (tag, body) in messages(made.clone()) {
                let message = frontend::Message::decode(tag, body);
                assert!(message.is_ok(), "tells the server {message:?}");
            }
        }
        let all = Bytes::from([made, forwarded.unwrap_or_default()].concat());
        if all.is_empty() {
            return;
        }
        let server = self.server.as_mut().expect("words for no server");
        server.model.requests.extend(messages(all));
    }

    fn check_told(&self) {
        assert!(
            self.told.is_within(&self.requests),
            "more answers than requests: {:?} to {:?}",
            self.told,
            self.requests
        );
    }
}

/// What a PostgreSQL does with its requests, as far as the order of its answers goes (manual, "Message Flow").
struct Postgres {
    requests: std::collections::VecDeque<(u8, Bytes)>,
    statements: HashSet<Bytes>,
    status: TransactionStatus,
    /// An extended request failed: all is skipped until Sync.
    skipping: bool,
    /// It reads COPY data, asked for by Execute (`true`) or Query.
    copying: Option<bool>,
    /// Whether the unnamed statement, and the unnamed portal, begin a transaction.
    begins: [bool; 2],
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            requests: Default::default(),
            statements: HashSet::new(),
            status: TransactionStatus::Idle,
            skipping: false,
            copying: None,
            begins: [false; 2],
        }
    }
}

impl Postgres {
    fn is_idle(&self) -> bool {
        self.requests.iter().all(|(tag, _)| matches!(tag, b'H' | b'd' | b'c' | b'f'))
            && self.status == TransactionStatus::Idle
            && !self.skipping
            && self.copying.is_none()
    }

    /// The answer to the next request; `fail` and `special` choose among those that are possible.
    fn answer(&mut self, fail: bool, special: bool) -> Bytes {
        let mut out = BytesMut::new();
        let Some((tag, body)) = self.requests.pop_front() else { return out.freeze() };
        if let Some(extended) = self.copying {
            self.copy(extended, tag, fail, &mut out);
            return out.freeze();
        }
        if tag == frontend::Sync::TAG {
            self.skipping = false;
            self.ready(&mut out);
            return out.freeze();
        }
        if self.skipping || matches!(tag, b'd' | b'c' | b'f' | b'H') {
            return out.freeze();
        }
        let extended = !matches!(tag, b'Q' | b'F');
        match frontend::Message::decode(tag, body) {
            Ok(message) if !fail => self.carry_out(message, special, &mut out),
            _ => self.fail(extended, &mut out),
        }
        if !extended && self.copying.is_none() {
            self.ready(&mut out);
        }
        out.freeze()
    }

    fn carry_out(&mut self, message: frontend::Message, special: bool, out: &mut BytesMut) {
        use frontend::Message as M;
        match message {
            M::Query(query) => self.run(&query.text, special, out),
            M::FunctionCall(_) => backend::FunctionCallResponse { value: None }.encode(out),
            M::Parse(parse) => {
                if parse.name.is_empty() {
                    self.begins[0] = parse.query.first() == Some(&b'B');
                } else if !self.statements.insert(parse.name) {
                    return self.fail(true, out);
                }
                backend::ParseComplete.encode(out);
            }
            M::Bind(bind) => {
                if !self.knows(&bind.statement) {
                    return self.fail(true, out);
                }
                if special && !bind.statement.is_empty() {
                    return self.fail_stale(out);
                }
                self.begins[1] = bind.statement.is_empty() && self.begins[0];
                backend::BindComplete.encode(out);
            }
            M::Describe(describe) => {
                if describe.target == Target::Statement {
                    if !self.knows(&describe.name) {
                        return self.fail(true, out);
                    }
                    backend::ParameterDescription { types: vec![] }.encode(out);
                }
                match special {
                    true => backend::RowDescription { fields: vec![] }.encode(out),
                    false => backend::NoData.encode(out),
                }
            }
            M::Execute(execute) if execute.portal.first() == Some(&b'c') => {
                self.copying = Some(true);
                backend::CopyInResponse { format: 0, column_formats: vec![] }.encode(out);
            }
            M::Execute(execute) if execute.portal.is_empty() && self.begins[1] => {
                self.status = TransactionStatus::Active;
                self.done(b"BEGIN", out);
            }
            M::Execute(_) if special => backend::PortalSuspended.encode(out),
            M::Execute(_) => self.done(b"SELECT 0", out),
            M::Close(close) => {
                if close.target == Target::Statement {
                    self.statements.remove(&close.name);
                }
                backend::CloseComplete.encode(out);
            }
            _ => {}
        }
    }

    fn knows(&self, statement: &Bytes) -> bool {
        statement.is_empty() || self.statements.contains(statement)
    }

    fn run(&mut self, text: &[u8], special: bool, out: &mut BytesMut) {
        match text.first() {
            None => backend::EmptyQueryResponse.encode(out),
            Some(b'B') => {
                self.status = TransactionStatus::Active;
                self.done(b"BEGIN", out);
            }
            Some(b'C' | b'R') => {
                self.status = TransactionStatus::Idle;
                self.done(b"ROLLBACK", out);
            }
            Some(b'D') => {
                self.statements.clear();
                self.done(b"DISCARD ALL", out);
            }
            Some(b'c') => {
                self.copying = Some(false);
                backend::CopyInResponse { format: 0, column_formats: vec![] }.encode(out);
            }
            _ => {
                if special {
                    backend::parameter_status::write(out, b"TimeZone", b"Mars/Olympus");
                    backend::DataRow { columns: vec![None] }.encode(out);
                }
                self.done(b"SELECT 1", out);
            }
        }
    }

    fn copy(&mut self, extended: bool, tag: u8, fail: bool, out: &mut BytesMut) {
        match tag {
            b'H' | b'S' => return,
            b'd' if !fail => return,
            b'c' if !fail => self.done(b"COPY 0", out),
            _ => self.fail(extended, out),
        }
        self.copying = None;
        if !extended {
            self.ready(out);
        }
    }

    fn done(&self, tag: &'static [u8], out: &mut BytesMut) {
        backend::CommandComplete { tag: Bytes::from_static(tag) }.encode(out);
    }

    fn fail(&mut self, extended: bool, out: &mut BytesMut) {
        self.abort(extended);
        ErrorResponse::new(Severity::Error, SqlState::SYNTAX_ERROR, "no").encode(out);
    }

    /// The stored form of a statement cannot be run: its table has changed.
    fn fail_stale(&mut self, out: &mut BytesMut) {
        self.abort(true);
        let body = b"SERROR\0C0A000\0Mcached plan must not change result type\0\
            RRevalidateCachedQuery\0\0";
        out.extend_from_slice(&message(ErrorResponse::TAG, body));
    }

    fn abort(&mut self, extended: bool) {
        self.skipping = extended;
        if self.status == TransactionStatus::Active {
            self.status = TransactionStatus::Failed;
        }
    }

    fn ready(&self, out: &mut BytesMut) {
        ReadyForQuery { status: self.status }.encode(out);
    }
}
