//! A blocking client that costs little: it looks at message heads only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::BytesMut;
use pgweir_codec::head::Head;
use postgres_protocol::message::frontend;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::tls::Certificate;

trait Socket: Read + Write {}
impl Socket for TcpStream {}
impl Socket for StreamOwned<ClientConnection, TcpStream> {}

/// A connection as `app` to the database `app`, logged in without a password.
pub(crate) struct Client {
    socket: Box<dyn Socket>,
    scan: Scan,
}

impl Client {
    /// Without TLS.
    pub(crate) fn plain(port: u16) -> Self {
        Self::log_in(Box::new(connect(port)))
    }

    /// With TLS, asked for as libpq does.
    pub(crate) fn tls(port: u16, config: &Arc<ClientConfig>) -> Self {
        let mut socket = connect(port);
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        socket.write_all(&request).unwrap();
        let mut answer = [0];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"S", "the answer to SSLRequest");
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(config.clone(), name).unwrap();
        Self::log_in(Box::new(StreamOwned::new(connection, socket)))
    }

    fn log_in(socket: Box<dyn Socket>) -> Self {
        let mut client = Self { socket, scan: Scan::default() };
        let mut startup = BytesMut::new();
        frontend::startup_message([("user", "app"), ("database", "app")], &mut startup).unwrap();
        client.send(&startup);
        client.until(b'Z', &mut [0; 2048]);
        client
    }

    /// Sends a Query.
    pub(crate) fn query(&mut self, sql: &str) {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message).unwrap();
        self.send(&message);
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
        self.socket.flush().unwrap();
    }

    /// Reads up to the end of a message with this tag, a block at a time; returns how many bytes that were.
    pub(crate) fn until(&mut self, tag: u8, block: &mut [u8]) -> u64 {
        let mut bytes = 0;
        loop {
            let read = self.socket.read(block).unwrap();
            assert!(read > 0, "the pooler closed a connection");
            bytes += read as u64;
            if self.scan.feed(&block[..read], tag) {
                return bytes;
            }
        }
    }
}

fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Trusts the authority that signed what the poolers show. No resumption: libpq has none.
pub(crate) fn tls_config(certificate: &Certificate) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.authority.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// Where in the stream of messages we are.
#[derive(Default)]
struct Scan {
    /// A head of which not all has arrived.
    head: Vec<u8>,
    tag: u8,
    /// What is still to come of the body.
    left: usize,
}

impl Scan {
    /// Whether a message with tag `wanted` ends with these bytes.
    fn feed(&mut self, mut bytes: &[u8], wanted: u8) -> bool {
        while !bytes.is_empty() {
            if self.left == 0 {
                let missing = (Head::SIZE - self.head.len()).min(bytes.len());
                self.head.extend_from_slice(&bytes[..missing]);
                bytes = &bytes[missing..];
                let Some(head) = Head::peek(&self.head).unwrap() else { return false };
                self.head.clear();
                (self.tag, self.left) = (head.tag, head.len - Head::SIZE);
                assert!(head.tag != b'E', "the pooler said {}", String::from_utf8_lossy(bytes));
            }
            let body = self.left.min(bytes.len());
            self.left -= body;
            bytes = &bytes[body..];
            if self.left == 0 && self.tag == wanted && bytes.is_empty() {
                return true;
            }
        }
        false
    }
}
