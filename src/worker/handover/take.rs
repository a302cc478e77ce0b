//! The new process's side: clients and servers are taken in on a worker, as if they had logged in there.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use bytes::BytesMut;
use pgweir_codec::backend::{ErrorResponse, Severity};
use pgweir_codec::sqlstate::SqlState;

use super::carried::{CarriedClient, CarriedConnection};
use super::lock;
use super::wire::{self, ToNew, ToOld};
use crate::auth::credentials::{CarriedCredentials, Credentials};
use crate::auth::secret::Secret;
use crate::config::{Config, Database};
use crate::net::stream::{Socket, Stream};
use crate::net::{clock, id};
use crate::pool::Lease;
use crate::pool::holder::Holder;
use crate::server::{Connection, Origin, Welcome};
use crate::session::carry::CarriedStartup;
use crate::session::queries::Named;
use crate::worker::access::Access;
use crate::worker::client::{CancelKey, ClientInfo, Identity, Replication};
use crate::worker::relay::Relay;
use crate::worker::seats::{Limits, Seats};
use crate::worker::service::{Service, forced_credentials};
use crate::worker::shared::{Live, Shared};
use crate::worker::thread::{Client, Job, Workers};

/// What a worker is sent.
#[derive(Debug)]
pub struct Carried {
    number: u64,
    what: What,
    sockets: Vec<OwnedFd>,
    answers: mpsc::Sender<ToOld>,
}

#[derive(Debug)]
enum What {
    Client(Box<CarriedClient>),
    Server(Box<CarriedConnection>),
}

/// What is to be said to the old process once we serve; cancel requests may be among it from the first client on.
#[derive(Debug)]
pub struct Unsaid {
    answers: mpsc::Sender<ToOld>,
    said: mpsc::Receiver<ToOld>,
}

/// Before clients are accepted: some of them may ask for what the old process alone can do.
pub fn prepare(shared: &Shared) -> Unsaid {
    let (answers, said) = mpsc::channel();
    *lock(&shared.handover.old) = Some(answers.clone());
    Unsaid { answers, said }
}

/// Says that we serve, and takes over whatever comes, on threads of its own.
///
/// # Errors
/// The system's: no thread.
pub fn begin(
    shared: &Arc<Shared>,
    workers: &Workers,
    stream: UnixStream,
    unsaid: Unsaid,
) -> io::Result<()> {
    let Unsaid { answers, said } = unsaid;
    wire::send(&stream, &ToOld::Serving, &[])?;
    let writer = stream.try_clone()?;
    std::thread::Builder::new().name("takeover-writer".to_owned()).spawn(move || {
        for message in said {
            if wire::send(&writer, &message, &[]).is_err() {
                return;
            }
        }
    })?;
    let (shared, next, workers) = (shared.clone(), workers.next().clone(), workers.all().to_vec());
    std::thread::Builder::new().name("takeover".to_owned()).spawn(move || {
        let mut taken = [0_u64; 2];
        let ended = loop {
            let (what, number, sockets) = match wire::receive(&stream) {
                Ok(Some((ToNew::Client(number, client), sockets))) => {
                    taken[0] += 1;
                    (What::Client(client), number, sockets)
                }
                Ok(Some((ToNew::Server(number, server), sockets))) => {
                    taken[1] += 1;
                    (What::Server(server), number, sockets)
                }
                Ok(Some((ToNew::Done, _))) => break None,
                Ok(Some((ToNew::Hello(_) | ToNew::Over, _))) => {
                    break Some("it says what makes no sense now".to_owned());
                }
                Ok(None) => break Some("it has ended".to_owned()),
                Err(error) => break Some(error.to_string()),
            };
            let carried = Carried { number, what, sockets, answers: answers.clone() };
            let Some(worker) = workers.get(next.index()) else { continue };
            if worker.send_blocking(Job::Carried(Box::new(carried))).is_err() {
                return;
            }
        };
        *lock(&shared.handover.old) = None;
        let [clients, servers] = taken;
        match ended {
            None => tracing::info!(
                "takeover complete: {clients} clients and {servers} idle servers were offered"
            ),
            Some(why) => tracing::error!(
                "takeover ended early: the old process cannot be heard any more: {why}; {clients} clients were taken"
            ),
        }
    })?;
    Ok(())
}

/// Takes in what came, on the calling worker: a client to go on with, if it is one.
pub(in crate::worker) fn take_in(shared: &Arc<Shared>, carried: Carried) -> Option<Box<Client>> {
    let Carried { number, what, sockets, answers } = carried;
    let mut sockets = sockets.into_iter();
    let (taken, client) = match what {
        What::Client(client) => match take_client(shared, *client, &mut sockets) {
            Ok(client) => (true, client),
            Err(Refused) => (false, None),
        },
        What::Server(server) => (take_server(shared, *server, &mut sockets).is_ok(), None),
    };
    // Before it is read from: until then it is the other process's.
    let _ = answers.send(if taken { ToOld::Taken(number) } else { ToOld::Refused(number) });
    client
}

/// The other process goes on with it.
struct Refused;

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        tracing::warn!("a socket of the old process is of no use: {error}");
        Self
    }
}

fn take_client(
    shared: &Arc<Shared>,
    carried: CarriedClient,
    sockets: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Option<Box<Client>>, Refused> {
    let live = shared.live();
    let socket = sockets.next().ok_or(Refused)?;
    let Some(database) = live.config.database(&carried.database) else {
        dismiss(socket);
        return Ok(None);
    };
    let service = service(shared, &live, &database, &carried.user, carried.credentials);
    let socket = Socket::adopt(socket)?;
    let lease = match carried.server {
        Some(server) => Some(adopt(shared, &service, server, sockets)?),
        None => None,
    };
    let (now, id) = (clock::now(), id::next());
    let mut access = Access::new(&service, id);
    let rules = access.offer().rules();
    let session = carried.session.revive(rules, &shared.statements, &shared.tracked, &mut |one| {
        startup(shared, &service, one)
    });
    let (Some(session), Some(key)) = (session, CancelKey::of(carried.key.0, &carried.key.1)) else {
        // The server, if it had one, is still the other process's as well.
        lease.into_iter().for_each(Lease::hand_over);
        return Err(Refused);
    };
    let session = session.with_owner(service.owner().clone());
    if carried.wrote {
        access.wrote();
    }
    let seat = Seats::take(&shared.seats, &database.name, &carried.user, Limits::default());
    let place = shared.take_place_regardless().sit(seat.map_err(|_| Refused)?);
    let identity = Identity {
        holder: Arc::new(Holder::new(id)),
        user: place.user().clone(),
        remote: socket.peer_addr(),
        local: socket.local_addr(),
        peer_pid: socket.peer_pid(),
        tls: String::new(),
        accepted: ago(now, carried.age),
        accepted_wall: carried.accepted,
        // Such clients are never carried.
        replication: Replication::None,
        key,
        service,
    };
    let info = Arc::new(ClientInfo::new(identity, carried.application_name.as_bytes()));
    let registered = shared.register(info.clone());
    let mut relay = Relay::new(Stream::Plain(socket), info, access, session, &carried.early);
    if let Some(lease) = lease {
        relay = relay.with_server(lease);
    }
    Ok(Some(Box::new(Client { relay, registered, place })))
}

fn take_server(
    shared: &Arc<Shared>,
    carried: CarriedConnection,
    sockets: &mut impl Iterator<Item = OwnedFd>,
) -> Result<(), Refused> {
    let live = shared.live();
    let database = live.config.database(&carried.database).ok_or(Refused)?;
    let credentials = carried.credentials.clone();
    let service = service(shared, &live, &database, &carried.user, credentials);
    if service.user != carried.user {
        return Err(Refused);
    }
    adopt(shared, &service, carried, sockets)?.give_back(clock::now());
    Ok(())
}

/// The service of a client that logged in as this user: what the configuration says of him counts before what the old
/// process knew.
fn service(
    shared: &Arc<Shared>,
    live: &Live,
    database: &Arc<Database>,
    user: &str,
    carried: CarriedCredentials,
) -> Arc<Service> {
    match &database.user {
        Some(forced) => {
            let credentials = forced_credentials(&live.config, database, forced);
            shared.service(live, database, forced, credentials)
        }
        None => shared.service(live, database, user, best(&live.config, user, carried.revive())),
    }
}

fn best(config: &Config, user: &str, carried: Credentials) -> Credentials {
    let listed = config.userlist.users.get(user).map(|text| Secret::parse(text.reveal()));
    match Credentials::from_secret(listed.as_ref()) {
        password @ Credentials::Password(_) => password,
        _ => carried,
    }
}

fn adopt(
    shared: &Arc<Shared>,
    service: &Arc<Service>,
    carried: CarriedConnection,
    sockets: &mut impl Iterator<Item = OwnedFd>,
) -> Result<Lease, Refused> {
    let offer = service.offer();
    let pool = offer.pools.iter().find(|pool| pool.name().host == carried.hosts);
    let pool = pool.ok_or(Refused)?;
    let rules = pool.rules();
    let target = rules.targets.iter().find(|target| target.host.to_string() == carried.host);
    let host = target.ok_or(Refused)?.host.clone();
    let socket = Socket::adopt(sockets.next().ok_or(Refused)?)?;
    let mut state = carried.state.revive(
        &shared.statements,
        &shared.tracked,
        offer.max_prepared_statements,
        &mut |one| startup(shared, service, one),
    );
    state.host = Named::new(&carried.host);
    let origin = Origin {
        id: id::next(),
        host,
        pid: carried.pid,
        key: carried.key,
        opened: ago(clock::now(), carried.age),
        opened_wall: carried.opened,
    };
    pool.was_welcomed(Welcome { parameters: carried.welcome });
    pool.adopt(Connection::adopt(socket, state, origin)).map_err(|_| Refused)
}

fn startup(
    shared: &Arc<Shared>,
    service: &Service,
    carried: &CarriedStartup,
) -> Arc<crate::session::startup::Startup> {
    service.startups.adopt(carried.wanted(), || carried.revive(&shared.tracked))
}

fn ago(now: Instant, age: std::time::Duration) -> Instant {
    now.checked_sub(age).unwrap_or(now)
}

/// Its database is not in our configuration.
fn dismiss(socket: OwnedFd) {
    let mut out = BytesMut::new();
    ErrorResponse::new(Severity::Fatal, SqlState::ADMIN_SHUTDOWN, "database removed")
        .encode(&mut out);
    // Whatever kind of socket it is: a few bytes leave at once, or not at all.
    let _ = TcpStream::from(socket).write_all(&out);
}
