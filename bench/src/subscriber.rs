//! One generator thread: some thousands of subscribers, an epoll and a descriptor table of its own.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::content::{self, Content};
use crate::http::{self, Client};
use crate::sys::{self, Epoll, Events};
use crate::target::{self, Kind, Resume, Target, Transport};
use crate::websocket::{self, Frame, Frames};

/// Requests under way at once while a thread opens its connections.
const WINDOW: usize = 200;

/// Connections from one source address: well below the ports of one parity, after which the
/// kernel's search for a free one becomes slow.
const PER_SOURCE: usize = 10_000;

/// How often a refused or timed out connect is tried again.
const CONNECT_TRIES: u32 = 5;

/// What one thread is to open.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// How they listen.
    pub transport: Transport,
    /// Whose header fields they send.
    pub client: Client,
    /// The number of the thread.
    pub thread: usize,
    /// How many subscribers.
    pub count: usize,
    /// The channel of the first one; the others follow, or share it.
    pub first_channel: u32,
    /// Whether each has a channel of its own.
    pub own_channels: bool,
}

/// What a thread tells the others. Only the thread writes, so that plain stores do.
#[derive(Debug, Default)]
pub struct Tally {
    /// Subscribers that listen: the head, or a long poll's starting point, is here.
    pub live: AtomicU64,
    /// Subscribers that could not connect or were answered with an error.
    pub failed: AtomicU64,
    /// Subscribers whose connection ended.
    pub gone: AtomicU64,
    /// Messages received.
    pub received: AtomicU64,
    /// Messages left out when a later one came.
    pub skipped: AtomicU64,
    /// Messages that came again, or after a later one.
    pub repeated: AtomicU64,
    /// Messages of another channel.
    pub foreign: AtomicU64,
    /// Bytes received, heads included.
    pub bytes: AtomicU64,
    /// When the last message came.
    pub last: AtomicU64,
    /// An error number, for the report.
    pub errno: AtomicU32,
    /// From publishing to receiving, in nanoseconds.
    latency: Mutex<Option<Histogram<u64>>>,
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed) + more, Relaxed);
}

/// A histogram of nanoseconds up to two minutes, with three digits.
pub fn histogram() -> Histogram<u64> {
    // The bounds are right, so that this is never the fallback.
    Histogram::new_with_bounds(1000, 120_000_000_000, 3).unwrap_or_else(|_| unreachable!())
}

impl Tally {
    fn latency(&self) -> MutexGuard<'_, Option<Histogram<u64>>> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the histogram out.
    pub fn take_latency(&self) -> Option<Histogram<u64>> {
        self.latency().take()
    }
}

/// A subscriber.
struct Subscriber {
    fd: OwnedFd,
    channel: u32,
    /// The number of the message that is due; 0 before the first.
    due: u32,
    /// icomet's seq to ask for next.
    seq: u32,
    /// Whether it listens.
    live: bool,
}

/// A generator thread at work.
pub struct Thread {
    plan: Plan,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    epoll: Epoll,
    /// By descriptor.
    subscribers: Vec<Option<Subscriber>>,
    opened: usize,
    /// Requests sent whose head is not here.
    waiting: usize,
    /// Bytes that wait for the rest of a head, a response or a content; few have any.
    carry: HashMap<usize, Vec<u8>>,
    /// nchan's ids of long polls.
    resume: HashMap<usize, Vec<u8>>,
    request: Vec<u8>,
    buffer: Vec<u8>,
    frames: Frames,
}

impl Thread {
    /// Opens the subscribers and serves them until it is stopped; the connections end with it.
    pub fn run(plan: Plan, tally: Arc<Tally>, stop: Arc<AtomicBool>) -> std::io::Result<()> {
        sys::own_files()?;
        let mut thread = Self {
            epoll: Epoll::new()?,
            subscribers: Vec::with_capacity(plan.count + 8),
            plan,
            tally,
            stop,
            opened: 0,
            waiting: 0,
            carry: HashMap::new(),
            resume: HashMap::new(),
            request: Vec::with_capacity(1024),
            buffer: vec![0; 64 * 1024],
            frames: Frames::new(),
        };
        let mut events = Events::new(256);
        while !thread.stop.load(Relaxed) {
            while thread.opened < thread.plan.count && thread.waiting < WINDOW {
                thread.open();
            }
            thread.turn(&mut events);
        }
        Ok(())
    }

    fn turn(&mut self, events: &mut Events) {
        let mut tokens = [0u64; 256];
        let mut count = 0;
        // The pause is how soon it notices that it is to stop.
        for event in self.epoll.wait(events, 50) {
            tokens[count] = event.u64;
            count += 1;
        }
        if count == 0 {
            return;
        }
        let tally = self.tally.clone();
        let mut latency = tally.latency();
        let latency = latency.get_or_insert_with(histogram);
        for token in &tokens[..count] {
            self.read(usize::try_from(*token).unwrap_or(usize::MAX), latency);
        }
    }

    fn open(&mut self) {
        let index = self.opened;
        self.opened += 1;
        let channel = if self.plan.own_channels {
            self.plan.first_channel + u32::try_from(index).unwrap_or(0)
        } else {
            self.plan.first_channel
        };
        let Some(fd) = self.connect(source(self.plan.thread, index)) else {
            add(&self.tally.failed, 1);
            return;
        };
        let number = usize::try_from(fd.as_raw_fd()).unwrap_or(0);
        if self.epoll.add(fd.as_raw_fd(), number as u64).is_err() {
            add(&self.tally.failed, 1);
            return;
        }
        if self.subscribers.len() <= number {
            self.subscribers.resize_with(number + 1, || None);
        }
        self.subscribers[number] = Some(Subscriber {
            fd,
            channel,
            due: 0,
            seq: 0,
            live: false,
        });
        self.waiting += 1;
        self.ask(number);
        let told = self.plan.target.tells_where_to_begin();
        if self.plan.transport == Transport::LongPoll && !told {
            // It hears nothing before the first message.
            self.is_live(number);
        }
    }

    fn connect(&self, source: Ipv4Addr) -> Option<OwnedFd> {
        for _ in 0..CONNECT_TRIES {
            match sys::connect(source, self.plan.target.address) {
                Ok(fd) => return Some(fd),
                Err(error) => {
                    let number = error.raw_os_error().unwrap_or(-1);
                    self.tally.errno.store(number.cast_unsigned(), Relaxed);
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
        None
    }

    /// Sends the request of a subscriber.
    fn ask(&mut self, number: usize) {
        let Some(Some(subscriber)) = self.subscribers.get(number) else {
            return;
        };
        let resume = match (self.plan.target.kind, self.resume.get(&number)) {
            (Kind::Nchan, Some(headers)) => Resume::Headers(headers),
            (Kind::Nchan, None) => Resume::Now,
            _ if subscriber.seq > 0 => Resume::Seq(subscriber.seq),
            _ => Resume::Now,
        };
        self.request.clear();
        self.plan.target.subscribe(
            &mut self.request,
            self.plan.transport,
            subscriber.channel,
            resume,
            self.plan.client,
        );
        // It always fits into a socket that nothing else is waiting in.
        if !matches!(sys::send(&subscriber.fd, &self.request), Ok(sent) if sent == self.request.len())
        {
            self.lose(number);
        }
    }

    fn is_live(&mut self, number: usize) {
        if let Some(Some(subscriber)) = self.subscribers.get_mut(number)
            && !subscriber.live
        {
            subscriber.live = true;
            self.waiting -= 1;
            add(&self.tally.live, 1);
        }
    }

    /// Forgets a subscriber whose connection has ended.
    fn lose(&mut self, number: usize) {
        if let Some(subscriber) = self.subscribers[number].take() {
            self.carry.remove(&number);
            self.resume.remove(&number);
            if subscriber.live {
                add(&self.tally.gone, 1);
            } else {
                self.waiting -= 1;
                add(&self.tally.failed, 1);
            }
        }
    }

    fn read(&mut self, number: usize, latency: &mut Histogram<u64>) {
        let Some(Some(subscriber)) = self.subscribers.get(number) else {
            return;
        };
        let live = subscriber.live;
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut length = 0;
        if !self.carry.is_empty()
            && let Some(carried) = self.carry.remove(&number)
        {
            buffer[..carried.len()].copy_from_slice(&carried);
            length = carried.len();
        }
        match sys::receive(&subscriber.fd, &mut buffer[length..]) {
            Ok(0) => self.lose(number),
            Ok(more) => {
                add(&self.tally.bytes, more as u64);
                let all = &buffer[..length + more];
                let used = if self.plan.transport == Transport::LongPoll {
                    self.answer(number, all, latency)
                } else if live {
                    self.take(number, all, latency)
                } else {
                    self.head(number, all, latency)
                };
                if used < all.len() && self.subscribers[number].is_some() {
                    let rest = &all[used..];
                    if rest.len() > 32 * 1024 {
                        self.lose(number);
                    } else {
                        self.carry.insert(number, rest.to_vec());
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if length > 0 {
                    self.carry.insert(number, buffer[..length].to_vec());
                }
            }
            Err(_) => self.lose(number),
        }
        self.buffer = buffer;
    }

    /// The head of a stream; answers how many bytes are done with.
    fn head(&mut self, number: usize, bytes: &[u8], latency: &mut Histogram<u64>) -> usize {
        match http::response(bytes) {
            Some(response) if self.opens(&response, bytes) => {
                self.is_live(number);
                response.head + self.take(number, &bytes[response.head..], latency)
            }
            Some(_) => {
                self.lose(number);
                bytes.len()
            }
            None => 0,
        }
    }

    /// Whether a head is that of a stream.
    fn opens(&self, response: &http::Response, bytes: &[u8]) -> bool {
        match self.plan.transport {
            Transport::WebSocket { deflates } => {
                response.status == 101 && websocket::opens(&bytes[..response.head], deflates)
            }
            _ => response.status == 200,
        }
    }

    /// The answer to a long poll, after which the next one is sent.
    fn answer(&mut self, number: usize, bytes: &[u8], latency: &mut Histogram<u64>) -> usize {
        let Some(response) = http::response(bytes) else {
            return 0;
        };
        if response.status != 200 {
            self.lose(number);
            return bytes.len();
        }
        let Some(end) = response.end else {
            return 0;
        };
        self.take(number, &bytes[response.head..end], latency);
        if self.plan.target.kind == Kind::Nchan {
            if let Some(headers) = target::nchan_resume(&bytes[..response.head]) {
                self.resume.insert(number, headers);
            }
        } else if let Some(seq) = http::next_seq(&bytes[response.head..end])
            && let Some(subscriber) = &mut self.subscribers[number]
        {
            subscriber.seq = u32::try_from(seq).unwrap_or(0);
        }
        self.ask(number);
        self.is_live(number);
        end
    }

    /// Messages of a body; answers how many bytes are done with.
    fn take(&mut self, number: usize, bytes: &[u8], latency: &mut Histogram<u64>) -> usize {
        let Some(Some(subscriber)) = self.subscribers.get_mut(number) else {
            return bytes.len();
        };
        let tally = &self.tally;
        let now = sys::now();
        if !matches!(self.plan.transport, Transport::WebSocket { .. }) {
            return content::scan(bytes, |content| {
                subscriber.has(content, now, tally, latency)
            });
        }
        let mut from = 0;
        while let Some((frame, used)) = self.frames.next(&bytes[from..]) {
            from += used;
            let goes_on = match frame {
                Frame::Message(text) => {
                    content::scan(text, |content| subscriber.has(content, now, tally, latency));
                    true
                }
                Frame::Answer(answer) => {
                    matches!(sys::send(&subscriber.fd, &answer), Ok(sent) if sent == answer.len())
                }
                Frame::End => false,
            };
            if !goes_on {
                self.lose(number);
                return bytes.len();
            }
        }
        from
    }
}

impl Subscriber {
    /// A message has come.
    fn has(&mut self, content: Content, now: u64, tally: &Tally, latency: &mut Histogram<u64>) {
        if content.channel != self.channel {
            add(&tally.foreign, 1);
            return;
        }
        add(&tally.received, 1);
        if content.number < self.due {
            add(&tally.repeated, 1);
        } else {
            if self.due > 0 {
                add(&tally.skipped, u64::from(content.number - self.due));
            }
            self.due = content.number + 1;
        }
        latency.saturating_record(now.saturating_sub(content.time));
        tally.last.store(now, Relaxed);
    }
}

/// The source address of a thread's subscriber: an address of its own for each [`PER_SOURCE`].
fn source(thread: usize, index: usize) -> Ipv4Addr {
    let number = thread * 4 + index / PER_SOURCE;
    let [.., high, low] = u32::try_from(number).unwrap_or(0).to_be_bytes();
    Ipv4Addr::new(127, 16 + high, low, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_differ_between_threads_and_within_one() {
        let mut all: Vec<_> = (0..80)
            .flat_map(|thread| [source(thread, 0), source(thread, 10_000)])
            .collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 160);
        assert_eq!(source(0, 0), source(0, 9_999));
        assert_ne!(source(0, 9_999), source(0, 10_000));
    }
}
