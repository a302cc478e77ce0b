//! One side of a conversation: connections to one pooler, and the transcript of what was said on them.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;

use crate::common::wire::Socket;
use crate::common::{Postgres, Signal, Weir, Wire, wait};
use crate::house::Ground;
use crate::transcript::{Line, lines, log_line, names, normalised, values};

/// Longer than any answer takes that the conversations wait for.
const PATIENCE: Duration = Duration::from_secs(10);

type Transcript = Rc<RefCell<Vec<Line>>>;

/// The database that only pgbouncer uses, and the one that only pgweir does.
pub const PGBOUNCERS_OWN: &str = "own_a";
pub const PGWEIRS_OWN: &str = "own_b";

/// What a conversation is led with.
pub struct Talk<'a> {
    ground: &'a Ground,
    weir: &'a Weir,
    own: &'static str,
    transcript: Transcript,
    log_start: usize,
    /// Where its clients come from.
    ports: RefCell<Vec<u16>>,
}

impl<'a> Talk<'a> {
    /// A talk with this pooler.
    pub fn new(ground: &'a Ground, weir: &'a Weir, own: &'static str) -> Self {
        Self {
            ground,
            weir,
            own,
            transcript: Transcript::default(),
            log_start: weir.log().len(),
            ports: RefCell::default(),
        }
    }

    /// What has been said. The order of ParameterStatus in a row is nobody's business.
    pub fn transcript(self) -> Vec<Line> {
        let mut lines = self.transcript.take();
        for line in &mut lines {
            line.text = line.text.replace(self.own, "own");
        }
        let is_status = |line: &Line| line.text.contains("< ParameterStatus ");
        for run in lines.chunk_by_mut(|left, right| is_status(left) && is_status(right)) {
            run.sort_by(|left, right| left.text.cmp(&right.text));
        }
        lines
    }

    /// The server behind both.
    pub fn server(&self) -> &Postgres {
        &self.ground.server
    }

    /// A database that the other pooler does not touch.
    pub fn own(&self) -> &'static str {
        self.own
    }

    /// Replaces words in one of the pooler's files; `@` stands for the server's port.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.weir.dir().join(file);
        let port = self.server().port().to_string();
        let (from, to) = (from.replace('@', &port), to.replace('@', &port));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(&from), "no {from:?} in {text}");
        std::fs::write(&path, text.replacen(&from, &to, 1)).unwrap();
    }

    /// Sends the pooler a signal.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.weir.pid(), signal).unwrap();
    }

    /// Logs in and asks again and again until there is an answer.
    pub fn retried(&self, name: &'static str, database: &str) {
        let port = self.weir.port();
        wait::ok("an answer", PATIENCE, || Wire::tcp(port, "app", database)?.query("SELECT 1"));
        self.login(name, "app", database).query("SELECT 1");
    }

    /// What the conversation is led on.
    pub fn ground(&self) -> &Ground {
        self.ground
    }

    /// Writes something down.
    pub fn note(&self, text: impl Into<String>) {
        self.transcript.borrow_mut().push(Line::new(text));
    }

    /// A new connection, which says nothing yet.
    pub fn connect(&self, name: &'static str) -> Conn {
        let socket = TcpStream::connect(("127.0.0.1", self.weir.port())).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let twin = socket.try_clone().unwrap();
        self.ports.borrow_mut().push(socket.local_addr().unwrap().port());
        self.conn(name, Box::new(socket), Some(twin))
    }

    /// The same over the Unix socket.
    pub fn connect_unix(&self, name: &'static str) -> Conn {
        let path = self.weir.dir().join(format!(".s.PGSQL.{}", self.weir.port()));
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        self.conn(name, Box::new(socket), None)
    }

    fn conn(&self, name: &'static str, socket: Box<dyn Socket>, tcp: Option<TcpStream>) -> Conn {
        let transcript = Rc::clone(&self.transcript);
        let input = BytesMut::new();
        Conn { name, socket: Some(socket), tcp, input, transcript, key: Vec::new(), ended: false }
    }

    /// A login that needs no password.
    pub fn login(&self, name: &'static str, user: &str, database: &str) -> Conn {
        self.login_with(name, &[("user", user), ("database", database)])
    }

    /// The same with these startup parameters.
    pub fn login_with(&self, name: &'static str, parameters: &[(&str, &str)]) -> Conn {
        let mut conn = self.connect(name);
        conn.startup(parameters);
        conn.ready();
        conn
    }

    /// A login of `app` whose words are not written down.
    pub fn app(&self, name: &'static str) -> Conn {
        self.quiet_login(name, "app", "app")
    }

    /// A login to the console whose words are not written down.
    pub fn console(&self, name: &'static str) -> Conn {
        self.quiet_login(name, "admin", "pgbouncer")
    }

    /// A login whose words are not written down.
    pub fn quiet_login(&self, name: &'static str, user: &str, database: &str) -> Conn {
        self.quiet_login_with(name, &[("user", user), ("database", database)])
    }

    /// The same with these startup parameters.
    pub fn quiet_login_with(&self, name: &'static str, parameters: &[(&str, &str)]) -> Conn {
        let said = self.transcript.take();
        let conn = self.login_with(name, parameters);
        let login = self.transcript.replace(said);
        let last = login.last().map_or("nothing", |line| &line.text);
        if !last.contains("ReadyForQuery") {
            self.note(format!("{name}: the login failed: {last}"));
        }
        conn
    }

    /// A cancel request for a client; ends when it has been dealt with.
    pub fn cancel(&self, name: &'static str, key: &[u8]) {
        let mut conn = self.connect(name);
        let mut out = BytesMut::new();
        out.put_i32(8 + i32::try_from(key.len()).unwrap());
        out.put_i32(80_877_102);
        out.put_slice(key);
        conn.bytes("CancelRequest", &out);
        conn.end();
    }

    /// Waits until a row of a SHOW has this value in this column. Where the console trusts `admin`.
    pub fn wait_show(&self, show: &str, column: &str, value: &str) {
        let mut console = Wire::tcp(self.weir.port(), "admin", "pgbouncer").unwrap();
        wait::until(&format!("{column} = {value} in {show}"), PATIENCE, || {
            console.query(show).unwrap().find(column, value).is_some()
        });
    }

    /// What a console command gives in a column of the row where another column has a value.
    pub fn look_up(&self, show: &str, column: &str, value: &str, wanted: &str) -> String {
        let mut console = Wire::tcp(self.weir.port(), "admin", "pgbouncer").unwrap();
        let rows = console.query(show).unwrap();
        let row = rows.find(column, value).unwrap_or_else(|| panic!("no {value} in {rows:?}"));
        rows.get(row, wanted).to_owned()
    }

    /// Runs a console command whose answer matters to nobody.
    pub fn command(&self, sql: &str) {
        let mut console = Wire::tcp(self.weir.port(), "admin", "pgbouncer").unwrap();
        if let Err(error) = console.query(sql) {
            self.note(format!("{sql}: {error}"));
        }
    }

    /// Waits until a query of the server as superuser gives this.
    pub fn wait_server(&self, sql: &str, value: &str) {
        wait::until(&format!("{value} of {sql}"), PATIENCE, || {
            let rows = self.server().query(sql).rows;
            rows.first().and_then(|row| row[0].as_deref()) == Some(value)
        });
    }

    /// Waits until no client is there any more, not even one of the console: pgbouncer counts those, too.
    pub fn alone(&self) {
        let mut console = self.console("console");
        wait::until("the clients to be gone", PATIENCE, || {
            let clients = console.users("SHOW CLIENTS");
            clients.is_ok_and(|users| users.iter().all(|user| user == "admin") && users.len() <= 1)
        });
        drop(console);
        let port = self.ports.borrow_mut().pop().unwrap();
        if self.is_pgbouncer() {
            wait::until("the console to be gone", PATIENCE, || {
                self.weir.log().contains(&format!(":{port} closing because"))
            });
        }
    }

    fn is_pgbouncer(&self) -> bool {
        self.own == PGBOUNCERS_OWN
    }

    /// Takes back whatever a conversation may have paused.
    pub fn resume(&self) {
        let mut console = Wire::tcp(self.weir.port(), "admin", "pgbouncer").unwrap();
        for command in ["RESUME", "RESUME app", "RESUME second", "ENABLE app"] {
            drop(console.query(command));
        }
    }

    /// Waits for a line of the log with these words since the talk began, about its clients or about nobody, and writes
    /// down all such lines.
    pub fn log(&self, words: &str) {
        let ports: Vec<_> = self.ports.borrow().iter().map(|port| format!(":{port} ")).collect();
        self.log_of(words, |line| {
            !line.contains(" S-0x")
                && (!line.contains(" C-0x") || ports.iter().any(|port| line.contains(port)))
        });
    }

    /// The same for lines about servers.
    pub fn log_server(&self, words: &str) {
        self.log_of(words, |line| line.contains(" S-0x"));
    }

    fn log_of(&self, words: &str, is_ours: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE / 10;
        loop {
            let log = self.weir.log();
            let new = log.get(self.log_start..).unwrap_or_default().lines();
            let found = new.filter(|line| line.contains(words) && is_ours(line));
            let mut found: Vec<_> = found.filter_map(log_line).collect();
            if !found.is_empty() {
                found.dedup();
                return found.into_iter().for_each(|line| self.note(format!("log: {line}")));
            }
            if Instant::now() > end {
                return self.note(format!("log: nothing of {words:?}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A message of the extended protocol.
pub enum Ask<'a> {
    /// Name, text.
    Parse(&'a str, &'a str),
    /// Portal, statement, values.
    Bind(&'a str, &'a str, &'a [&'a str]),
    /// `S` or `P`, name.
    Describe(u8, &'a str),
    /// Portal, rows.
    Execute(&'a str, i32),
    /// `S` or `P`, name.
    Close(u8, &'a str),
    Sync,
    Flush,
    /// A simple query.
    Query(&'a str),
}

/// A connection.
pub struct Conn {
    name: &'static str,
    socket: Option<Box<dyn Socket>>,
    tcp: Option<TcpStream>,
    input: BytesMut,
    transcript: Transcript,
    /// The body of BackendKeyData.
    pub key: Vec<u8>,
    ended: bool,
}

impl Conn {
    fn write_down(&self, sign: char, what: &str) {
        self.transcript.borrow_mut().push(Line::new(format!("{}{sign} {what}", self.name)));
    }

    /// Sends bytes, which are called `what`; nothing when the other side is known to have closed.
    pub fn bytes(&mut self, what: &str, bytes: &[u8]) {
        if self.ended {
            return;
        }
        self.write_down('>', what);
        // The other side may have closed already: what it said before is read afterwards.
        if let Some(socket) = &mut self.socket {
            let _ = socket.write_all(bytes);
            let _ = socket.flush();
        }
    }

    /// Sends one message.
    pub fn message(&mut self, what: &str, tag: u8, body: &[u8]) {
        let mut out = BytesMut::new();
        out.put_u8(tag);
        out.put_u32(4 + u32::try_from(body.len()).unwrap());
        out.put_slice(body);
        self.bytes(what, &out);
    }

    /// Sends a startup packet of protocol 3.0.
    pub fn startup(&mut self, parameters: &[(&str, &str)]) {
        self.startup_of(0x0003_0000, parameters);
    }

    /// Sends a startup packet of any protocol.
    pub fn startup_of(&mut self, version: u32, parameters: &[(&str, &str)]) {
        let mut body = BytesMut::new();
        body.put_u32(version);
        for (name, value) in parameters {
            for text in [name, value] {
                body.put_slice(text.as_bytes());
                body.put_u8(0);
            }
        }
        body.put_u8(0);
        self.packet(&format!("startup {version:x} {parameters:.60?}"), &body);
    }

    /// Sends a packet without a tag.
    pub fn packet(&mut self, what: &str, body: &[u8]) {
        let mut out = BytesMut::new();
        out.put_u32(4 + u32::try_from(body.len()).unwrap());
        out.put_slice(body);
        self.bytes(what, &out);
    }

    /// Asks for TLS or GSSAPI, and reads the byte that answers.
    pub fn ask_for(&mut self, what: &str) -> u8 {
        let code: u32 = if what == "SSL" { 80_877_103 } else { 80_877_104 };
        self.packet(&format!("{what}Request"), &code.to_be_bytes());
        self.one_byte()
    }

    /// Reads a byte that is no message.
    pub fn one_byte(&mut self) -> u8 {
        while self.input.is_empty() && self.receive() {}
        if self.input.is_empty() {
            return 0;
        }
        let byte = self.input.split_to(1)[0];
        self.write_down('<', &format!("the byte {:?}", char::from(byte)));
        byte
    }

    /// Speaks TLS from here on.
    pub fn tls(&mut self, config: Arc<rustls::ClientConfig>) {
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let tls = rustls::ClientConnection::new(config, name).unwrap();
        let tcp = self.tcp.as_ref().unwrap().try_clone().unwrap();
        self.socket = Some(Box::new(rustls::StreamOwned::new(tls, tcp)));
    }

    /// Sends a password in clear.
    pub fn password(&mut self, password: &str) {
        let mut body = password.as_bytes().to_vec();
        body.push(0);
        self.message("the password", b'p', &body);
    }

    /// Reads the question for an md5 hash, and answers it.
    pub fn md5(&mut self, user: &str, password: &str) {
        if let Some((b'R', body)) = self.next()
            && let Some(salt) = body.get(4..8)
        {
            let hash = md5_hash(user.as_bytes(), password.as_bytes(), salt.try_into().unwrap());
            self.password(&hash);
        }
    }

    /// Reads the question for SCRAM, and goes through it; ends before AuthenticationOk.
    pub fn scram(&mut self, password: &str) {
        let Some((b'R', _)) = self.next() else { return };
        let binding = sasl::ChannelBinding::unsupported();
        let mut scram = sasl::ScramSha256::new(password.as_bytes(), binding);
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), &mut out).unwrap();
        self.bytes("SASLInitialResponse", &out);
        let Some((b'R', body)) = self.next() else { return };
        if scram.update(body.get(4..).unwrap_or_default()).is_err() {
            return self.write_down('!', "nothing to go on with");
        }
        let mut out = BytesMut::new();
        frontend::sasl_response(scram.message(), &mut out).unwrap();
        self.bytes("SASLResponse", &out);
        if let Some((b'R', body)) = self.next() {
            let proved = scram.finish(body.get(4..).unwrap_or_default()).is_ok();
            self.write_down('!', if proved { "the server proved itself" } else { "no proof" });
        }
    }

    /// Runs a simple query and reads up to ReadyForQuery, or to the end.
    pub fn query(&mut self, sql: &str) {
        self.start(sql);
        self.ready();
    }

    /// Sends a simple query.
    pub fn start(&mut self, sql: &str) {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.message(&format!("Query {:.100}", normalised(sql)), b'Q', &body);
    }

    /// Runs a query that is not written down, and returns its first value.
    pub fn quietly(&mut self, sql: &str) -> String {
        let said = self.transcript.take();
        self.start(sql);
        let mut value = String::new();
        while let Some((tag, body)) = self.next() {
            match tag {
                b'D' => value = values(&body).remove(0),
                b'Z' => break,
                _ => {}
            }
        }
        self.transcript.replace(said);
        value
    }

    /// Runs a console command; writes down all columns, and of the rows these ones.
    pub fn show(&mut self, sql: &str, columns: &[&str]) {
        self.table(sql, columns, true);
    }

    /// The same without the columns.
    pub fn rows(&mut self, sql: &str, columns: &[&str]) {
        self.table(sql, columns, false);
    }

    fn table(&mut self, sql: &str, columns: &[&str], heads: bool) {
        self.start(sql);
        let mut all = Vec::new();
        loop {
            let before = self.transcript.borrow().len();
            let Some((tag, body)) = self.next() else { return };
            match tag {
                b'T' => {
                    all = names(&body);
                    if !heads {
                        self.transcript.borrow_mut().truncate(before);
                    }
                }
                b'D' => {
                    self.transcript.borrow_mut().truncate(before);
                    if columns.is_empty() {
                        continue;
                    }
                    let values = values(&body);
                    let shown = all.iter().zip(&values);
                    let shown = shown.filter(|(name, _)| columns.contains(&&name[..]));
                    let shown: Vec<_> =
                        shown.map(|(name, value)| format!("{name}={value}")).collect();
                    self.write_down('<', &format!("  row {}", shown.join(" ")));
                }
                b'Z' => return,
                _ => {}
            }
        }
    }

    /// The values of the column `user`, without a word in the transcript; an error if it was not shown.
    fn users(&mut self, show: &str) -> Result<Vec<String>, ()> {
        let said = self.transcript.take();
        self.start(show);
        let (mut names_of, mut users) = (Vec::new(), Vec::new());
        while let Some((tag, body)) = self.next() {
            match tag {
                b'T' => names_of = names(&body),
                b'D' => {
                    let at = names_of.iter().position(|name| name == "user").ok_or(())?;
                    users.push(values(&body).swap_remove(at));
                }
                b'Z' => break,
                _ => {}
            }
        }
        self.transcript.replace(said);
        if self.ended { Err(()) } else { Ok(users) }
    }

    /// Sends messages of the extended protocol in one write, and reads nothing.
    pub fn send(&mut self, asks: &[Ask<'_>]) {
        let (mut out, mut said) = (BytesMut::new(), Vec::new());
        for ask in asks {
            said.push(encode(ask, &mut out));
        }
        self.bytes(&said.join(", "), &out);
    }

    /// The same, and reads up to ReadyForQuery.
    pub fn ask(&mut self, asks: &[Ask<'_>]) {
        self.send(asks);
        self.ready();
    }

    /// Reads up to ReadyForQuery, or to the end.
    pub fn ready(&mut self) {
        while let Some((tag, _)) = self.next() {
            if tag == b'Z' {
                return;
            }
        }
    }

    /// Reads up to a message with this tag, or to the end.
    pub fn until(&mut self, wanted: u8) {
        while let Some((tag, _)) = self.next() {
            if tag == wanted {
                return;
            }
        }
    }

    /// Says that nothing more will come, and reads the byte that answers a request for encryption, or else all up to
    /// the end.
    pub fn either(&mut self) {
        let _ = self.tcp.as_ref().unwrap().shutdown(Shutdown::Write);
        while self.input.is_empty() && self.receive() {}
        if matches!(self.input.first(), Some(b'S' | b'N')) && self.input.get(1) != Some(&0) {
            self.one_byte();
        } else {
            self.end();
        }
    }

    /// Reads to the end, and writes down whether anything came that is no message: an alert of TLS.
    pub fn bytes_come(&mut self) {
        while self.receive() {}
        let first = self.input.first().copied();
        let what = match first {
            None => "no bytes".to_owned(),
            Some(0x15) => "an alert".to_owned(),
            Some(b'E') => return self.end(),
            Some(other) => format!("bytes from {other:#x} on"),
        };
        self.input.clear();
        self.write_down('<', &what);
    }

    /// Says that nothing more will come, and reads until the other side closes. So one that waits for more closes, too.
    pub fn finish(&mut self) {
        let _ = self.tcp.as_ref().unwrap().shutdown(Shutdown::Write);
        self.end();
    }

    /// Reads until the other side closes.
    pub fn end(&mut self) {
        while self.next().is_some() {}
    }

    /// Reads and writes down the next message; `None` at the end.
    pub fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(length) = self.input.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.input.len() > length {
                    let message = self.input.split_to(1 + length);
                    let (tag, body) = (message[0], message[5..].to_vec());
                    if tag == b'K' {
                        self.key.clone_from(&body);
                    }
                    self.transcript.borrow_mut().extend(lines(self.name, tag, &body));
                    return Some((tag, body));
                }
            }
            if !self.receive() {
                return None;
            }
        }
    }

    /// Reads once; the end is written down.
    fn receive(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let mut block = [0; 8192];
        let Some(socket) = &mut self.socket else { return false };
        let what = match socket.read(&mut block) {
            Ok(count) if count > 0 => {
                self.input.extend_from_slice(&block[..count]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => "says nothing more",
            // A reset, or TLS without its goodbye, is an end as well.
            Ok(_) | Err(_) if self.input.is_empty() => "closed",
            Ok(_) | Err(_) => "closed amid a message",
        };
        self.ended = true;
        self.write_down('<', what);
        false
    }

    /// Writes down whether something comes within a moment.
    pub fn silent(&mut self) {
        self.silent_for(Duration::from_millis(100));
    }

    /// Writes down whether something comes before a timeout of a second would have struck.
    pub fn stays(&mut self) {
        self.silent_for(Duration::from_millis(1600));
    }

    fn silent_for(&mut self, time: Duration) {
        let tcp = self.tcp.as_ref().unwrap();
        tcp.set_read_timeout(Some(time)).unwrap();
        let mut block = [0; 8192];
        let read = self.socket.as_mut().map(|socket| socket.read(&mut block));
        let what = match read {
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => "nothing yet",
            Some(Ok(count)) => {
                self.input.extend_from_slice(&block[..count]);
                "something already"
            }
            _ => "closed already",
        };
        self.write_down('<', what);
        self.tcp.as_ref().unwrap().set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Says goodbye, and closes.
    pub fn terminate(mut self) {
        self.message("Terminate", b'X', b"");
    }

    /// Closes without a word.
    pub fn leave(self) {
        self.write_down('>', "gone");
    }
}

fn encode(ask: &Ask<'_>, out: &mut BytesMut) -> String {
    match ask {
        Ask::Parse(name, sql) => {
            frontend::parse(name, sql, [], out).unwrap();
            format!("Parse {name:?} {sql}")
        }
        Ask::Bind(portal, statement, values) => {
            let values = values.iter().copied();
            let text = |value: &str, out: &mut BytesMut| {
                out.put_slice(value.as_bytes());
                Ok(postgres_protocol::IsNull::No)
            };
            let bound = frontend::bind(portal, statement, [], values, text, [0], out);
            assert!(bound.is_ok(), "a Bind");
            format!("Bind {portal:?} {statement:?}")
        }
        Ask::Describe(kind, name) => {
            frontend::describe(*kind, name, out).unwrap();
            format!("Describe {} {name:?}", char::from(*kind))
        }
        Ask::Execute(portal, rows) => {
            frontend::execute(portal, *rows, out).unwrap();
            format!("Execute {portal:?} {rows}")
        }
        Ask::Close(kind, name) => {
            frontend::close(*kind, name, out).unwrap();
            format!("Close {} {name:?}", char::from(*kind))
        }
        Ask::Sync => {
            frontend::sync(out);
            "Sync".to_owned()
        }
        Ask::Flush => {
            frontend::flush(out);
            "Flush".to_owned()
        }
        Ask::Query(sql) => {
            frontend::query(sql, out).unwrap();
            format!("Query {sql}")
        }
    }
}
