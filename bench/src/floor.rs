//! The floor: what delivery costs when nothing is done but one `send` a subscriber.
//!
//! Each thread has a listener of its own on the shared port and a descriptor table of its own. It
//! accepts, reads a request's head, answers with an SSE head or by opening a WebSocket, and keeps the
//! socket; or it takes a publish, hands prebuilt frames to every thread, and answers. A frame has the
//! bytes that icomet sends. There is no log, no buffer, no limit, and nothing that a client sends is read.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, Result};

use crate::http;
use crate::sys::{self, Bell, Epoll, Events};
use crate::websocket;

const LISTENER: u64 = u64::MAX;
const BELL: u64 = u64::MAX - 1;

const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: floor\r\nContent-Type: text/event-stream; \
                    charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\
                    Expires: 0\r\nCache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\n\
                    X-Accel-Buffering: no\r\n\r\n";

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: floor\r\nContent-Length: 14\r\n\r\n{\"type\":\"ok\"}\n";

/// A message in the framing of each transport.
#[derive(Clone)]
struct Frames {
    event: Arc<[u8]>,
    socket: Arc<[u8]>,
}

/// A message on its way to one channel.
struct Job {
    channel: u32,
    frames: Frames,
}

/// How other threads reach one.
struct Mailbox {
    jobs: Mutex<Vec<Job>>,
    /// Its bell and the descriptor of that in the table of the main thread, from which all others
    /// have inherited it.
    bell: Bell,
}

type Mailboxes = Arc<Vec<Mailbox>>;

/// Which threads have subscribers of a channel: a bit each.
type Directory = Arc<RwLock<HashMap<u32, u128>>>;

/// Serves until the process is ended.
pub fn serve(address: SocketAddrV4, threads: usize) -> Result<()> {
    let mailboxes: Mailboxes = Arc::new(
        (0..threads)
            .map(|_| {
                Ok(Mailbox {
                    jobs: Mutex::default(),
                    bell: Bell::new()?,
                })
            })
            .collect::<Result<_>>()?,
    );
    let directory = Directory::default();
    let mut handles = Vec::new();
    for index in 0..threads {
        let (mailboxes, directory) = (mailboxes.clone(), directory.clone());
        handles.push(std::thread::spawn(move || -> Result<()> {
            // The inherited bells are wanted here, so nothing is closed.
            sys::unshare_files()?;
            Server::new(index, address, mailboxes, directory)?.run()
        }));
    }
    for handle in handles {
        handle
            .join()
            .map_err(|_| anyhow::anyhow!("a floor thread panicked"))??;
    }
    Ok(())
}

/// A connection.
struct Client {
    fd: OwnedFd,
    /// The channel that it listens to.
    channel: Option<u32>,
    /// Whether by a WebSocket.
    socket: bool,
}

struct Server {
    index: usize,
    mailboxes: Mailboxes,
    directory: Directory,
    listener: OwnedFd,
    epoll: Epoll,
    /// By descriptor.
    clients: Vec<Option<Client>>,
    /// The descriptors that listen, by channel.
    channels: HashMap<u32, Vec<RawFd>>,
    buffer: Vec<u8>,
}

impl Server {
    fn new(
        index: usize,
        address: SocketAddrV4,
        mailboxes: Mailboxes,
        directory: Directory,
    ) -> Result<Self> {
        let listener = sys::listen(address).context("floor listens")?;
        let epoll = Epoll::new()?;
        epoll.add(listener.as_raw_fd(), LISTENER)?;
        epoll.add(mailboxes[index].bell.fd(), BELL)?;
        Ok(Self {
            index,
            mailboxes,
            directory,
            listener,
            epoll,
            clients: Vec::new(),
            channels: HashMap::new(),
            buffer: vec![0; 16 * 1024],
        })
    }

    fn run(mut self) -> Result<()> {
        let mut events = Events::new(512);
        loop {
            let mut tokens = [0u64; 512];
            let mut count = 0;
            for event in self.epoll.wait(&mut events, -1) {
                tokens[count] = event.u64;
                count += 1;
            }
            for token in &tokens[..count] {
                match *token {
                    LISTENER => self.accept(),
                    BELL => self.deliver(),
                    token => {
                        if let Ok(index) = usize::try_from(token) {
                            self.read(index);
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self) {
        // Bounded: what is left is told again.
        for _ in 0..64 {
            let Ok(fd) = sys::accept(&self.listener) else {
                return;
            };
            let number = fd.as_raw_fd();
            let Ok(index) = usize::try_from(number) else {
                return;
            };
            if sys::no_delay(&fd).is_err() || self.epoll.add(number, number as u64).is_err() {
                continue;
            }
            if self.clients.len() <= index {
                self.clients.resize_with(index + 1, || None);
            }
            self.clients[index] = Some(Client {
                fd,
                channel: None,
                socket: false,
            });
        }
    }

    fn read(&mut self, index: usize) {
        let Some(client) = self.clients.get(index).and_then(Option::as_ref) else {
            return;
        };
        // A request of the bench always arrives in one piece.
        let length = match sys::receive(&client.fd, &mut self.buffer) {
            Ok(length) if length > 0 => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            _ => return self.close(index),
        };
        let Some(request) = request(&self.buffer[..length]) else {
            return self.close(index);
        };
        match request {
            Request::Subscribe { channel, socket } => self.subscribe(index, channel, socket),
            Request::Publish(channel, frames) => {
                // The answer goes first: whoever is woken below may take the core.
                let _ = sys::send(&client.fd, ANSWER);
                self.publish(channel, &frames);
            }
        }
    }

    fn subscribe(&mut self, index: usize, channel: u32, socket: bool) {
        let Some(client) = &mut self.clients[index] else {
            return;
        };
        (client.channel, client.socket) = (Some(channel), socket);
        let _ = match socket {
            true => sys::send(&client.fd, upgraded().as_bytes()),
            false => sys::send(&client.fd, HEAD.as_bytes()),
        };
        let listeners = self.channels.entry(channel).or_default();
        listeners.push(client.fd.as_raw_fd());
        if listeners.len() == 1 {
            let mut directory = self
                .directory
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            *directory.entry(channel).or_default() |= 1 << self.index;
        }
    }

    fn publish(&self, channel: u32, frames: &Frames) {
        let threads = {
            let directory = self
                .directory
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            directory.get(&channel).copied().unwrap_or(0)
        };
        for (index, mailbox) in self.mailboxes.iter().enumerate() {
            if index == self.index || threads & (1 << index) == 0 {
                continue;
            }
            let mut jobs = mailbox.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.push(Job {
                channel,
                frames: frames.clone(),
            });
            if jobs.len() == 1 {
                Bell::ring(mailbox.bell.fd());
            }
        }
        // What is its own needs no bell.
        self.send(channel, frames);
    }

    fn deliver(&self) {
        let mailbox = &self.mailboxes[self.index];
        mailbox.bell.silence();
        let jobs =
            std::mem::take(&mut *mailbox.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        for job in jobs {
            self.send(job.channel, &job.frames);
        }
    }

    fn send(&self, channel: u32, frames: &Frames) {
        for fd in self.channels.get(&channel).into_iter().flatten() {
            let index = usize::try_from(*fd).unwrap_or(usize::MAX);
            if let Some(Some(client)) = self.clients.get(index) {
                let frame = if client.socket {
                    &frames.socket
                } else {
                    &frames.event
                };
                // A reader that takes no more misses it: this is only the floor.
                let _ = sys::send(&client.fd, frame);
            }
        }
    }

    fn close(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(index).and_then(Option::take) else {
            return;
        };
        // Not quick with many, but the bench closes only when it is through.
        if let Some(channel) = client.channel
            && let Some(listeners) = self.channels.get_mut(&channel)
            && listeners.len() < 1000
        {
            listeners.retain(|fd| *fd != client.fd.as_raw_fd());
        }
    }
}

enum Request {
    Subscribe { channel: u32, socket: bool },
    Publish(u32, Frames),
}

fn request(bytes: &[u8]) -> Option<Request> {
    let end = http::find(bytes, b" HTTP/1.1\r\n")?;
    let line = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let (path, query) = line.strip_prefix("GET ")?.split_once('?')?;
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|part| part.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
    };
    let channel_name = parameter("cname")?;
    let channel = channel_name.rsplit('-').next()?.parse().ok()?;
    if !path.ends_with("/push") {
        let socket = path.ends_with("/ws");
        return Some(Request::Subscribe { channel, socket });
    }
    let message = message(channel_name, parameter("content")?);
    let frames = Frames {
        event: event(&message).into(),
        socket: socket(&message).into(),
    };
    Some(Request::Publish(channel, frames))
}

/// The answer that opens a WebSocket; all clients of the bench send the same key.
fn upgraded() -> String {
    let key = icomet_websocket::handshake::accept_key(websocket::KEY.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nServer: floor\r\nUpgrade: websocket\r\n\
         Connection: upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
    )
}

/// A message of as many bytes as icomet's.
fn message(channel: &str, content: &str) -> String {
    format!("{{\"type\":\"data\",\"cname\":\"{channel}\",\"seq\":1,\"content\":\"{content}\"}}")
}

/// A frame with it.
fn socket(message: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    icomet_websocket::frame::text(message.as_bytes(), &mut frame);
    frame
}

/// A chunk with one event in it.
fn event(message: &str) -> Vec<u8> {
    let event = format!("id: 0123456789abcdef-1\ndata: {message}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscribe_and_a_publish_are_told_apart() {
        let subscribe = b"GET /icomet/sse?cname=bench-c-00000012&seq=0 HTTP/1.1\r\n\r\n";
        assert!(matches!(
            request(subscribe),
            Some(Request::Subscribe {
                channel: 12,
                socket: false
            })
        ));
        let publish = b"GET /icomet-admin/push?cname=bench-c-00000003&content=hi HTTP/1.1\r\n\r\n";
        let Some(Request::Publish(3, frames)) = request(publish) else {
            panic!("no publish");
        };
        let event = "id: 0123456789abcdef-1\ndata: {\"type\":\"data\",\
                     \"cname\":\"bench-c-00000003\",\"seq\":1,\"content\":\"hi\"}\n\n";
        let expected = format!("{:x}\r\n{event}\r\n", event.len());
        assert_eq!(&*frames.event, expected.as_bytes());
        let expected =
            "{\"type\":\"data\",\"cname\":\"bench-c-00000003\",\"seq\":1,\"content\":\"hi\"}";
        assert_eq!(&frames.socket[2..], expected.as_bytes());
    }
}
