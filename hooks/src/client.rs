//! One HTTP/1.1 connection to a back end, kept alive and made anew when it has ended.

use core::fmt;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Hook;
use crate::sign::{SIGNATURE, TIMESTAMP, signature};
use crate::tls::Authorities;

/// Bytes of an answer that are read so that its connection can be used again; nobody looks at them.
const ANSWER: usize = 64 << 10;

/// Why a batch was not taken.
#[derive(Debug)]
pub enum PostError {
    /// No connection.
    Connect(io::Error),
    /// A connection, but no TLS on it.
    Tls(io::Error),
    /// What this machine lacks for TLS.
    Setup(String),
    /// The exchange broke off, or was not HTTP.
    Http(hyper::Error),
    /// The back end says no.
    Status(StatusCode),
    /// It took longer than it may.
    Timeout,
}

impl PostError {
    /// The back end says that the batch itself is wrong: it will not like it better later.
    pub fn is_final(&self) -> bool {
        matches!(self, PostError::Status(status) if [400, 413, 415, 422].contains(&status.as_u16()))
    }
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PostError::Connect(error) => write!(f, "no connection: {error}"),
            PostError::Tls(error) => {
                let inner = error
                    .get_ref()
                    .and_then(|e| e.downcast_ref::<rustls::Error>());
                match inner {
                    Some(rustls::Error::InvalidCertificate(why)) => write!(
                        f,
                        "its certificate is not accepted: {why} (ca=FILE names who must have signed it)"
                    ),
                    _ => write!(f, "no TLS: {error}"),
                }
            }
            PostError::Setup(text) => f.write_str(text),
            PostError::Http(error) => {
                let source = std::error::Error::source(error).map(|e| format!(": {e}"));
                write!(f, "{error}{}", source.unwrap_or_default())
            }
            PostError::Status(status) if status.is_redirection() => {
                write!(
                    f,
                    "it answered {}, and redirections are not followed",
                    status.as_u16()
                )
            }
            PostError::Status(status) => write!(f, "it answered {}", status.as_u16()),
            PostError::Timeout => f.write_str("no answer in time"),
        }
    }
}

/// A connection, which is closed when this is dropped, whatever is under way on it: one that waited for an
/// answer, or for TLS to take what is left, would stay open for each try.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Reads and writes for the sender.
    work: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// The client of one hook.
pub struct Client {
    hook: Arc<Hook>,
    agent: String,
    node: String,
    tls: Option<Arc<ClientConfig>>,
    connection: Option<Connection>,
}

impl Client {
    /// A client that connects when it has something to send.
    pub fn new(hook: Arc<Hook>, node: String) -> Client {
        Client {
            hook,
            agent: concat!("icomet/", env!("CARGO_PKG_VERSION")).to_owned(),
            node,
            tls: None,
            connection: None,
        }
    }

    /// Posts a batch; `Ok` when the back end took it.
    pub async fn post(&mut self, body: Bytes) -> Result<(), PostError> {
        let limit = self.hook.timeout;
        let Ok(result) = timeout(limit, self.exchange(body)).await else {
            return Err(PostError::Timeout);
        };
        match result? {
            status if status.is_success() => Ok(()),
            status => Err(PostError::Status(status)),
        }
    }

    async fn exchange(&mut self, body: Bytes) -> Result<StatusCode, PostError> {
        // Taken out, so that one that is given up is closed.
        if let Some(mut connection) = self.connection.take()
            && connection.sender.ready().await.is_ok()
        {
            match self.send(connection, body.clone()).await {
                // A kept connection may have ended while nobody looked; the next one says how it is.
                Err(PostError::Http(error)) if !error.is_parse() => {}
                result => return result,
            }
        }
        let connection = self.connect().await?;
        self.send(connection, body).await
    }

    async fn send(
        &mut self,
        mut connection: Connection,
        body: Bytes,
    ) -> Result<StatusCode, PostError> {
        let answer = connection
            .sender
            .send_request(self.request(body)?)
            .await
            .map_err(PostError::Http)?;
        let status = answer.status();
        let rest = Limited::new(answer.into_body(), ANSWER).collect().await;
        if rest.is_ok() {
            self.connection = Some(connection);
        }
        Ok(status)
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, PostError> {
        let target = &self.hook.target;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let timestamp = now.as_secs().to_string();
        let mut request = Request::post(target.path.as_str())
            .header(header::HOST, target.authority.as_str())
            .header(header::USER_AGENT, self.agent.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header("icomet-node", self.node.as_str())
            .header(TIMESTAMP, timestamp.as_str());
        if let Some(secret) = &self.hook.secret {
            request = request.header(SIGNATURE, signature(secret.bytes(), &timestamp, &body));
        }
        request
            .body(Full::new(body))
            .map_err(|error| PostError::Setup(error.to_string()))
    }

    async fn connect(&mut self) -> Result<Connection, PostError> {
        let target = &self.hook.target;
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.map_err(PostError::Connect)?;
        stream.set_nodelay(true).map_err(PostError::Connect)?;
        if !target.secure {
            return handshake(stream).await;
        }
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| PostError::Setup("its name can stand in no certificate".to_owned()))?;
        let connector = TlsConnector::from(self.tls()?);
        handshake(
            connector
                .connect(name, stream)
                .await
                .map_err(PostError::Tls)?,
        )
        .await
    }

    fn tls(&mut self) -> Result<Arc<ClientConfig>, PostError> {
        if let Some(tls) = &self.tls {
            return Ok(Arc::clone(tls));
        }
        let authorities = match &self.hook.authorities {
            Some(authorities) => authorities.clone(),
            None => Authorities::of_system().map_err(PostError::Setup)?,
        };
        let tls = authorities
            .client()
            .map_err(|error| PostError::Setup(error.to_string()))?;
        Ok(Arc::clone(self.tls.insert(tls)))
    }
}

async fn handshake<S>(stream: S) -> Result<Connection, PostError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(PostError::Http)?;
    // Whoever sends on it learns of its end.
    let work = tokio::spawn(connection).abort_handle();
    Ok(Connection { sender, work })
}
