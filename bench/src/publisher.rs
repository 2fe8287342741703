//! Publishers: one message at a time, as many as are answered, or so many a second.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;

use crate::crowd::Crowd;
use crate::http;
use crate::subscriber::histogram;
use crate::sys::{self, Epoll, Events};
use crate::target::Target;

/// A back end with one connection, which waits for each answer.
#[derive(Debug)]
pub struct Single {
    stream: TcpStream,
    target: Target,
    /// Bytes of the JSON texts that are published, and whether for compressing subscribers.
    json: Option<(usize, bool)>,
}

impl Single {
    /// Connects.
    pub fn open(target: Target) -> Result<Self> {
        let stream = TcpStream::connect(target.address).context("publisher connects")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream,
            target,
            json: None,
        })
    }

    /// Publishes JSON texts of so many bytes from now on; `deflates`: to subscribers who compress.
    pub fn with_json(mut self, length: usize, deflates: bool) -> Self {
        self.json = Some((length, deflates));
        self
    }

    /// Publishes, and answers when it was sent and how long the answer took.
    pub fn publish(&mut self, crowd: &Crowd, channel: u32) -> Result<(u64, Duration)> {
        sys::run_first(true);
        let result = self.exchange(crowd, channel);
        sys::run_first(false);
        result
    }

    fn exchange(&mut self, crowd: &Crowd, channel: u32) -> Result<(u64, Duration)> {
        let content = crowd.next(channel);
        let mut request = Vec::with_capacity(256);
        match self.json {
            Some((length, deflates)) => {
                self.target
                    .publish_json(&mut request, content, length, deflates);
            }
            None => self.target.publish(&mut request, content),
        }
        let start = Instant::now();
        self.stream.write_all(&request)?;
        let mut buffer = [0; 4096];
        let mut length = 0;
        while answered(&buffer[..length])?.is_none() {
            match self.stream.read(&mut buffer[length..])? {
                0 => bail!("the publisher's connection ended"),
                more => length += more,
            }
        }
        Ok((content.time, start.elapsed()))
    }
}

/// Where the answer to a publish ends, when it is all here and says success.
fn answered(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(response) = http::response(bytes) else {
        return Ok(None);
    };
    let status = response.status;
    ensure!(
        (200..300).contains(&status),
        "publish answered with {status}"
    );
    Ok(response.end)
}

/// How messages are published.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections.
    pub connections: usize,
    /// Messages a second; without it, each connection publishes when it was answered.
    pub rate: Option<f64>,
    /// For how long.
    pub time: Duration,
    /// How many at most.
    pub count: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Messages published and answered.
    pub count: u64,
    /// When the first was sent.
    pub start: u64,
    /// From sending to the answer, in nanoseconds.
    pub answers: Histogram<u64>,
    /// How much later than planned they were sent (with a rate).
    pub lag: Histogram<u64>,
}

/// Publishes to the channels of a crowd, in an order that looks random but comes to each equally
/// often.
pub fn publish(crowd: &Crowd, load: &Load) -> Result<Outcome> {
    let publishing = Publishing::new(crowd, load)?;
    // With a rate, messages are to be sent when they are due.
    sys::run_first(load.rate.is_some());
    let outcome = publishing.run();
    sys::run_first(false);
    outcome
}

struct Publishing<'a> {
    crowd: &'a Crowd,
    load: &'a Load,
    epoll: Epoll,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    /// How far apart in the channels two messages are.
    step: u64,
    sent: u64,
    request: Vec<u8>,
    outcome: Outcome,
}

struct Connection {
    fd: OwnedFd,
    sent: u64,
    input: Vec<u8>,
}

impl<'a> Publishing<'a> {
    fn new(crowd: &'a Crowd, load: &'a Load) -> Result<Self> {
        let epoll = Epoll::new()?;
        let mut connections = Vec::new();
        for index in 0..load.connections {
            let fd = sys::connect(Ipv4Addr::LOCALHOST, crowd.target().address)?;
            sys::no_delay(&fd)?;
            epoll.add(fd.as_raw_fd(), index as u64)?;
            connections.push(Connection {
                fd,
                sent: 0,
                input: Vec::new(),
            });
        }
        Ok(Self {
            crowd,
            load,
            epoll,
            idle: (0..connections.len()).collect(),
            connections,
            step: step(u64::from(crowd.channels())),
            sent: 0,
            request: Vec::with_capacity(512),
            outcome: Outcome {
                count: 0,
                start: 0,
                answers: histogram(),
                lag: histogram(),
            },
        })
    }

    fn run(mut self) -> Result<Outcome> {
        let start = sys::now();
        self.outcome.start = start;
        let end = start + u64::try_from(self.load.time.as_nanos())?;
        let mut events = Events::new(256);
        let mut heard = start;
        loop {
            let now = sys::now();
            let over = now >= end || self.sent >= self.load.count;
            if over && self.idle.len() == self.connections.len() {
                return Ok(self.outcome);
            }
            ensure!(
                now < heard + 30_000_000_000 || self.idle.len() == self.connections.len(),
                "a publish was not answered within 30 s"
            );
            let wait = if over {
                50_000_000
            } else {
                self.send_due(start)?
            };
            self.epoll.wait_nanoseconds(wait);
            let mut tokens = [0u64; 256];
            let mut count = 0;
            for event in self.epoll.wait(&mut events, 0) {
                tokens[count] = event.u64;
                count += 1;
            }
            for token in &tokens[..count] {
                heard = sys::now();
                self.read(usize::try_from(*token)?)?;
            }
        }
    }

    /// Sends what is due, and answers for how many nanoseconds nothing will be.
    fn send_due(&mut self, start: u64) -> Result<u64> {
        while self.sent < self.load.count {
            let now = sys::now();
            if let Some(rate) = self.load.rate {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let planned = start + (self.sent as f64 * 1e9 / rate) as u64;
                if planned > now {
                    return Ok(planned - now);
                }
                if self.idle.is_empty() {
                    break;
                }
                self.outcome.lag.saturating_record(now - planned);
            }
            let Some(index) = self.idle.pop() else {
                break;
            };
            self.send(index)?;
        }
        Ok(50_000_000)
    }

    fn send(&mut self, index: usize) -> Result<()> {
        let channels = u64::from(self.crowd.channels());
        let channel = u32::try_from(self.sent.wrapping_mul(self.step) % channels)?;
        self.sent += 1;
        self.request.clear();
        let content = self.crowd.next(channel);
        let connection = &mut self.connections[index];
        connection.sent = content.time;
        self.crowd.target().publish(&mut self.request, content);
        let sent = sys::send(&connection.fd, &self.request)?;
        ensure!(sent == self.request.len(), "a publish did not fit");
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        let mut buffer = [0; 4096];
        match sys::receive(&connection.fd, &mut buffer)? {
            0 => bail!("a publisher's connection ended"),
            length => connection.input.extend_from_slice(&buffer[..length]),
        }
        if answered(&connection.input)?.is_some() {
            connection.input.clear();
            let taken = sys::now() - connection.sent;
            self.outcome.answers.saturating_record(taken);
            self.outcome.count += 1;
            self.idle.push(index);
        }
        Ok(())
    }
}

/// A step through so many channels that comes to each of them: about the golden section, and
/// coprime.
fn step(channels: u64) -> u64 {
    let mut step = channels * 618 / 1000 + 1;
    while gcd(step, channels) != 1 {
        step += 1;
    }
    step
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_its_turn() {
        for channels in [1u64, 2, 7, 100, 10_000] {
            let step = step(channels);
            let mut seen: Vec<_> = (0..channels).map(|i| i * step % channels).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len() as u64, channels);
        }
    }

    #[test]
    fn a_refused_publish_is_an_error() {
        assert!(answered(b"HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n").is_err());
        assert_eq!(answered(b"HTTP/1.1 200 OK\r\n").unwrap(), None);
        let created = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(answered(created).unwrap(), Some(created.len()));
    }
}
