//! A minimal HTTP/1.1 client connection: requests out, heads and bodies in.
//!
//! Every read keeps what it has got in the connection, so that a read that is given up (by a
//! timeout or a `select!`) loses nothing.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::body::Decoder;

/// A head longer than this is not one of ours.
const MAX_HEAD: usize = 64 * 1024;

/// Why an exchange failed.
#[derive(Debug)]
pub enum HttpError {
    /// The connection was refused, reset, or ended before the response did.
    Cut(io::Error),
    /// The server said that it has no room for this now (507).
    Refused(u16),
    /// The server sent something that is not a right answer.
    Malformed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::Cut(error) => write!(f, "connection cut: {error}"),
            HttpError::Refused(status) => write!(f, "refused with {status}"),
            HttpError::Malformed(what) => write!(f, "malformed response: {what}"),
        }
    }
}

impl std::error::Error for HttpError {}

impl From<io::Error> for HttpError {
    fn from(error: io::Error) -> Self {
        HttpError::Cut(error)
    }
}

/// The head of a response.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Names in lower case, values trimmed.
    headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of the header of this (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The process id of the worker that answered: the configuration adds it as `X-Worker`.
    pub fn worker(&self) -> Option<i32> {
        self.header("x-worker")?.parse().ok()
    }

    fn parse(text: &str) -> Result<Head, HttpError> {
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap_or("");
        let code = status
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| HttpError::Malformed(format!("status line {status:?}")))?;
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| HttpError::Malformed(format!("header line {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Head {
            status: code,
            headers,
        })
    }
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Response {
    /// Its head.
    pub head: Head,
    /// Its body, decoded from its transfer coding.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text, for messages and comparisons.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection to the server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Bytes received and not yet used.
    pub input: BytesMut,
    partial: Option<(Head, Decoder, Vec<u8>)>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::from_stream(TcpStream::connect(address).await?)
    }

    /// Connects with a receive buffer of about `bytes`, for a reader that is to fall behind.
    pub async fn open_narrow(address: SocketAddr, bytes: u32) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(bytes)?;
        Self::from_stream(socket.connect(address).await?)
    }

    /// Connects from an address of this machine's own.
    pub async fn open_from(address: SocketAddr, from: Ipv4Addr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        Self::from_stream(socket.connect(address).await?)
    }

    /// Takes over a connected stream.
    pub fn from_stream(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            partial: None,
        })
    }

    /// The socket, for tests of what a client may do to it.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Closes it with a reset, whatever is under way.
    pub fn reset(self) {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the descriptor is open, the structure valid for the call and as long as said.
        unsafe {
            libc::setsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
    }

    /// Sends a GET with more headers (each `Name: value\r\n`).
    pub async fn get(&mut self, target: &str, headers: &str) -> io::Result<()> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: harness\r\n{headers}\r\n");
        self.stream.write_all(request.as_bytes()).await
    }

    /// Sends a POST with a form body.
    pub async fn post(&mut self, target: &str, form: &str) -> io::Result<()> {
        let mut request = format!(
            "POST {target} HTTP/1.1\r\nHost: harness\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            form.len()
        );
        request.push_str(form);
        self.stream.write_all(request.as_bytes()).await
    }

    /// Reads once from the socket; an end of file is a cut.
    pub async fn fill(&mut self) -> io::Result<()> {
        if self.input.capacity() - self.input.len() < 2048 {
            self.input.reserve(4096);
        }
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Waits for the end of file that a server's close brings; anything else is an error.
    pub async fn closed(&mut self) -> Result<(), HttpError> {
        if !self.input.is_empty() {
            return Err(HttpError::Malformed(format!(
                "{} bytes too many",
                self.input.len()
            )));
        }
        match self.fill().await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error.into()),
            Ok(()) => Err(HttpError::Malformed("bytes after the last response".into())),
        }
    }

    /// Reads a response's head.
    pub async fn head(&mut self) -> Result<Head, HttpError> {
        loop {
            if let Some(end) = find(&self.input, b"\r\n\r\n") {
                let raw = self.input.split_to(end + 4);
                let text = std::str::from_utf8(&raw[..end])
                    .map_err(|_| HttpError::Malformed("head is not UTF-8".into()))?;
                return Head::parse(text);
            }
            if self.input.len() > MAX_HEAD {
                return Err(HttpError::Malformed("endless head".into()));
            }
            self.fill().await?;
        }
    }

    /// Reads a whole response.
    pub async fn response(&mut self) -> Result<Response, HttpError> {
        let (mut head, mut decoder, mut body) = match self.partial.take() {
            Some(partial) => partial,
            None => {
                let head = self.head().await?;
                let decoder = Decoder::new(&head)?;
                (head, decoder, Vec::new())
            }
        };
        loop {
            decoder.decode(&mut self.input, &mut body)?;
            if decoder.is_done() {
                return Ok(Response { head, body });
            }
            // Put away while waiting: the wait may be given up.
            self.partial = Some((head, decoder, body));
            self.fill().await?;
            match self.partial.take() {
                Some(partial) => (head, decoder, body) = partial,
                None => return Err(HttpError::Malformed("no response under way".into())),
            }
        }
    }
}

/// Where `needle` first begins in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len())
        .position(|window| window == needle)
}

/// Percent-encodes a value for a query string or a form.
pub fn encode(value: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
