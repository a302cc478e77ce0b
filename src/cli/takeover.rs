//! `-R`: taking over from the process that serves now, by its console on the Unix socket. See [`crate::worker::handover`].

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pgweir_codec::backend::{ErrorResponse, ReadyForQuery};
use pgweir_codec::frontend;
use pgweir_codec::head::Head;
use pgweir_codec::startup::StartupMessage;

use super::run::StartError;
use crate::config::Settings;
use crate::net::{clock, listen};
use crate::topology::Topology;
use crate::worker::handover::take::{self, Unsaid};
use crate::worker::handover::wire::{self, Hello, Switchover, ToNew, ToOld, VERSION};
use crate::worker::shared::Shared;
use crate::worker::thread::Workers;

/// How long the old process may take to answer, before clients come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest answer to the login that is believed, bytes.
const LONGEST: usize = 64 * 1024;

/// A process that is ready to hand over.
#[derive(Debug)]
pub(super) struct Takeover {
    stream: UnixStream,
    hello: Hello,
    /// When it said that.
    begun: Instant,
    sockets: Vec<OwnedFd>,
    unsaid: Option<Unsaid>,
}

/// Asks the process that listens on our Unix socket to hand over; `None` if there is none.
///
/// # Errors
/// It does not, and says why; it cannot be understood.
pub(super) fn begin(settings: &Settings) -> Result<Option<Takeover>, StartError> {
    let refused = |text: String| StartError::Takeover(text);
    let Some(dir) = &settings.unix_socket_dir else {
        return Err(refused("it needs unix_socket_dir in [pgbouncer]".to_owned()));
    };
    let stream = match listen::connect_unix(dir, settings.listen_port) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!("unix:{}: {error}", dir.display());
            tracing::info!("old process not found, try to continue normally");
            return Ok(None);
        }
    };
    let asked = ask(&stream);
    let (hello, sockets) = asked.map_err(|error| {
        refused(format!(
            "the process that listens in {} does not hand over: {error}",
            dir.display()
        ))
    })?;
    tracing::info!("taking over from process {} ({})", hello.pid, hello.program);
    Ok(Some(Takeover { stream, hello, begun: clock::now(), sockets, unsaid: None }))
}

fn ask(stream: &UnixStream) -> io::Result<(Hello, Vec<OwnedFd>)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let parameters = vec![
        (text("user"), text("pgbouncer")),
        (text("database"), text("pgbouncer")),
        (text("application_name"), text("pgweir -R")),
    ];
    let mut out = BytesMut::new();
    StartupMessage { major: 3, minor: 0, parameters }.encode(&mut out);
    let mut socket = stream;
    socket.write_all(&out)?;
    until_ready(socket)?;
    out.clear();
    frontend::query::write(&mut out, b"HANDOVER");
    socket.write_all(&out)?;
    until_ready(socket)?;
    match wire::receive(stream)? {
        Some((ToNew::Hello(hello), sockets)) if hello.version == VERSION => Ok((hello, sockets)),
        Some((ToNew::Hello(hello), _)) => Err(io::Error::other(format!(
            "it hands over by version {}, and we take over by version {VERSION}",
            hello.version
        ))),
        _ => Err(io::Error::other("it says nothing")),
    }
}

/// Reads messages up to ReadyForQuery, and no byte more: what comes then is none of PostgreSQL's.
fn until_ready(mut socket: &UnixStream) -> io::Result<()> {
    loop {
        let mut head = [0; Head::SIZE];
        socket.read_exact(&mut head)?;
        let known = Head::peek(&head).map_err(io::Error::other)?;
        let head = known.filter(|head| head.len <= LONGEST);
        let head = head.ok_or_else(|| io::Error::other("it is no PostgreSQL console"))?;
        let mut body = vec![0; head.len - Head::SIZE];
        socket.read_exact(&mut body)?;
        match head.tag {
            ReadyForQuery::TAG => return Ok(()),
            ErrorResponse::TAG => {
                let response = ErrorResponse::decode(body.into()).map_err(io::Error::other)?;
                return Err(io::Error::other(response.message()));
            }
            b'R' if body != [0; 4] => {
                return Err(io::Error::other(
                    "it wants a password: it runs as another system user than we do",
                ));
            }
            _ => {}
        }
    }
}

impl Takeover {
    /// The socket that the old process listens on at this address.
    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<std::net::TcpListener> {
        let here = |socket: &socket2::Socket| {
            socket.local_addr().ok().and_then(|at| at.as_socket()) == Some(address)
        };
        self.find(here).map(Into::into)
    }

    /// The socket that it listens on at this path; what begins with `@` is in the abstract namespace.
    pub(super) fn unix(&mut self, path: &Path) -> Option<std::os::unix::net::UnixListener> {
        let name = path.to_str().and_then(|path| path.strip_prefix('@')).map(str::as_bytes);
        let here = |socket: &socket2::Socket| {
            socket.local_addr().is_ok_and(|at| match name {
                Some(name) => at.as_abstract_namespace() == Some(name),
                None => at.as_pathname() == Some(path),
            })
        };
        let socket = self.find(here)?;
        Some(OwnedFd::from(socket).into())
    }

    fn find(&mut self, here: impl Fn(&socket2::Socket) -> bool) -> Option<socket2::Socket> {
        let all = self.sockets.drain(..).map(socket2::Socket::from).collect::<Vec<_>>();
        let (mut found, others): (Vec<_>, Vec<_>) = all.into_iter().partition(here);
        self.sockets = others.into_iter().map(OwnedFd::from).collect();
        found.pop()
    }

    /// What holds in the old process and is in no file.
    pub(super) fn adopt_state(&mut self, shared: &Arc<Shared>) {
        self.unsaid = Some(take::prepare(shared));
        shared.statements.begin_at(self.hello.statements);
        shared.all_paused.store(self.hello.all_paused, Ordering::Release);
        for name in &self.hello.paused {
            shared.paused.insert(name.clone(), ());
        }
        for name in &self.hello.disabled {
            shared.disabled.insert(name.clone(), ());
        }
    }

    /// A switchover that was announced to the old process holds here as well, unless it is done by now. After the first look at
    /// the hosts.
    pub(super) fn adopt_switchovers(&self, topology: &Topology) {
        for Switchover { database, from, left } in &self.hello.switchovers {
            let until = self.begun + Duration::from_millis(*left);
            let snapshot = topology.watch(database).map(|watch| watch.borrow().clone());
            let primary = snapshot.and_then(|snapshot| Some(snapshot.primary()?.addr.to_string()));
            match primary {
                Some(primary) if primary == *from => {
                    topology.announce_switchover(database, until);
                }
                Some(primary) => {
                    tracing::info!(
                        "the switchover of {database} from {from} is done: {primary} is the primary"
                    );
                }
                // Nobody can be served before there is one.
                None => {
                    tracing::info!(
                        "the switchover of {database} from {from} goes on: there is no primary"
                    );
                }
            }
        }
    }

    /// All is built: when this returns, the old process has let go of the sockets, of its pidfile and of its HTTP port.
    ///
    /// # Errors
    /// It has changed its mind, or ended.
    pub(super) fn ready(&mut self) -> Result<(), StartError> {
        // At other addresses than ours: nobody is to be accepted there any more.
        self.sockets.clear();
        let pid = std::process::id();
        let agreed = wire::send(&self.stream, &ToOld::Ready { pid }, &[])
            .and_then(|()| wire::receive(&self.stream))
            .and_then(|answer| match answer {
                Some((ToNew::Over, _)) => Ok(()),
                _ => Err(io::Error::other("it has changed its mind")),
            })
            .and_then(|()| self.stream.set_read_timeout(None));
        agreed.map_err(|error| StartError::Takeover(format!("the old process: {error}")))
    }

    /// We serve: clients may come.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn serve(self, shared: &Arc<Shared>, workers: &Workers) -> io::Result<()> {
        let unsaid = self.unsaid.unwrap_or_else(|| take::prepare(shared));
        take::begin(shared, workers, self.stream, unsaid)
    }
}
