//! The service against a back end on loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use icomet_hooks::{
    About, Authorities, Event, Hook, Kind, Kinds, Level, Names, Report, Secret, Service, Target,
    verify,
};
use serde_json::Value;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const SECRET: &[u8] = b"0123456789abcdef";
const WAIT: Duration = Duration::from_secs(30);

/// A request as the back end got it.
struct Post {
    head: String,
    body: Vec<u8>,
}

impl Post {
    fn field(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .into_iter()
            .find(|(n, _)| *n == name)
            .map_or("", |(_, value)| value)
    }

    fn seqs(&self) -> Vec<u64> {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let events = value["events"].as_array().cloned().unwrap_or_default();
        events
            .iter()
            .filter_map(|event| event["seq"].as_u64())
            .collect()
    }
}

/// Answers one request after the other with the statuses that the test says; each on the connection it
/// came on, until that ends. A status of 0 closes the connection instead.
fn serve(listener: TcpListener, statuses: Receiver<u16>, posts: Sender<Post>) {
    while let Ok((stream, _)) = listener.accept() {
        if connection(stream, &statuses, &posts).is_none() {
            return;
        }
    }
}

/// `None` when the test has ended.
fn connection(mut stream: TcpStream, statuses: &Receiver<u16>, posts: &Sender<Post>) -> Option<()> {
    loop {
        let Some(post) = read(&mut stream) else {
            return Some(());
        };
        posts.send(post).ok()?;
        let status = statuses.recv().ok()?;
        if status == 0 {
            return Some(());
        }
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nhi");
        if stream.write_all(answer.as_bytes()).is_err() {
            return Some(());
        }
    }
}

fn read(stream: &mut TcpStream) -> Option<Post> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).ok()?;
    let mut post = Post {
        head,
        body: Vec::new(),
    };
    let length = post.field("content-length").parse().ok()?;
    post.body.resize(length, 0);
    stream.read_exact(&mut post.body).ok()?;
    Some(post)
}

/// A service with one hook, and its back end.
struct World {
    service: Service,
    posts: Receiver<Post>,
    statuses: Sender<u16>,
    next: u64,
}

impl World {
    fn new(batch: usize, queue: usize) -> Result<World> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (posts, came) = channel();
        let (statuses, answers) = channel();
        std::thread::spawn(move || serve(listener, answers, posts));
        Ok(World {
            service: start(address, batch, queue)?,
            posts: came,
            statuses,
            next: 1,
        })
    }

    fn offer(&mut self, count: u64) -> usize {
        let seqs = self.next..self.next + count;
        self.next += count;
        seqs.filter(|seq| {
            let event = Event {
                kind: Kind::Online,
                channel: Some(format!("c{seq}").into()),
                user: None,
                time: 1,
                seq: *seq,
                about: About::Channel { order: *seq },
            };
            self.service.offer(0, event)
        })
        .count()
    }

    /// The next POST, which is answered so.
    fn post(&self, status: u16) -> Result<Post> {
        let post = self.posts.recv_timeout(WAIT)?;
        self.statuses.send(status)?;
        Ok(post)
    }
}

fn start(address: SocketAddr, batch: usize, queue: usize) -> Result<Service> {
    start_with(address, batch, queue, Duration::from_secs(10))
}

fn start_with(
    address: SocketAddr,
    batch: usize,
    queue: usize,
    timeout: Duration,
) -> Result<Service> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("secret");
    std::fs::write(&file, [SECRET, b"\n"].concat())?;
    let hook = Hook {
        target: Target::parse(&format!("http://{address}/hook?key=1"))?,
        kinds: Kinds::parse("online").map_err(str::to_owned)?,
        secret: Some(Secret::read(&file)?),
        authorities: None,
        timeout,
        batch,
        queue,
    };
    let names = Names {
        node: "n1".into(),
        hub: "main".into(),
        epoch: "0".into(),
        worker: "w".into(),
    };
    let ring: OwnedFd = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK)?;
    Ok(Service::start(vec![(hook, names)], ring)?)
}

/// Ends a service; events sent and rejected, failed POSTs, and lines.
fn finish(service: Service, grace: Duration) -> (u64, u64, u64, Vec<(Level, String)>) {
    let (mut sent, mut rejected, mut failed, mut lines) = (0, 0, 0, Vec::new());
    let ended = service.finish(grace, |report| match report {
        Report::Counts(_, counts) => {
            sent += counts.sent;
            rejected += counts.rejected;
            failed += counts.failed;
        }
        Report::Line(level, text) => lines.push((level, text)),
    });
    assert!(ended, "the thread did not end");
    (sent, rejected, failed, lines)
}

#[test]
fn batches_come_in_order_signed_and_on_one_connection() -> Result {
    let mut world = World::new(10, 100)?;
    assert_eq!(world.offer(25), 25);
    let mut seqs = Vec::new();
    while seqs.len() < 25 {
        let post = world.post(204)?;
        assert!(post.seqs().len() <= 10);
        assert!(
            post.head.starts_with("POST /hook?key=1 HTTP/1.1\r\n"),
            "{}",
            post.head
        );
        assert_eq!(post.field("icomet-node"), "n1");
        let (time, signature) = (
            post.field("icomet-timestamp"),
            post.field("icomet-signature"),
        );
        assert!(verify(SECRET, time, &post.body, signature), "{}", post.head);
        seqs.extend(post.seqs());
    }
    assert_eq!(seqs, (1..=25).collect::<Vec<_>>());
    let (sent, rejected, failed, lines) = finish(world.service, WAIT);
    assert_eq!((sent, rejected, failed, lines), (25, 0, 0, Vec::new()));
    Ok(())
}

#[test]
fn what_fails_is_sent_again_unchanged_and_first() -> Result {
    let mut world = World::new(10, 100)?;
    world.offer(3);
    let first = world.post(500)?;
    world.offer(3);
    let again = world.post(0)?;
    let third = world.post(200)?;
    assert_eq!(first.body, again.body);
    assert_eq!(first.body, third.body);
    let mut seqs = first.seqs();
    while seqs.len() < 6 {
        seqs.extend(world.post(200)?.seqs());
    }
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
    let (sent, _, failed, lines) = finish(world.service, WAIT);
    // The one that was cut off was tried again at once, on a new connection.
    assert_eq!((sent, failed), (6, 1));
    let texts: Vec<_> = lines.iter().map(|(_, text)| text.as_str()).collect();
    assert!(
        matches!(texts[..], [down, up] if down.contains("it answered 500") && up.contains("again")),
        "{texts:?}"
    );
    assert!(
        texts.iter().all(|text| !text.contains("key=1")),
        "{texts:?}"
    );
    Ok(())
}

#[test]
fn a_kept_connection_that_has_ended_is_no_failure() -> Result {
    let mut world = World::new(10, 100)?;
    world.offer(1);
    world.post(200)?;
    world.offer(1);
    // The second one gets no answer on its connection, and comes again on a new one at once.
    let lost = world.post(0)?;
    let again = world.post(200)?;
    assert_eq!(lost.body, again.body);
    let (sent, _, failed, lines) = finish(world.service, WAIT);
    assert_eq!((sent, failed, lines), (2, 0, Vec::new()));
    Ok(())
}

#[test]
fn a_full_queue_takes_no_more_and_loses_nothing_that_it_took() -> Result {
    let mut world = World::new(5, 20)?;
    world.offer(1);
    // Not answered yet: the first batch is under way, and the queue fills behind it.
    let held = world.posts.recv_timeout(WAIT)?;
    let taken = world.offer(100);
    assert_eq!(taken, 20);
    world.statuses.send(200)?;
    let mut seqs = held.seqs();
    while seqs.len() < 21 {
        seqs.extend(world.post(200)?.seqs());
    }
    assert_eq!(seqs, (1..=21).collect::<Vec<_>>());
    assert_eq!(finish(world.service, WAIT).0, 21);
    Ok(())
}

#[test]
fn a_batch_that_is_refused_for_good_does_not_stand_in_the_way() -> Result {
    let mut world = World::new(1, 100)?;
    world.offer(2);
    assert_eq!(world.post(422)?.seqs(), [1]);
    assert_eq!(world.post(200)?.seqs(), [2]);
    let (sent, rejected, failed, lines) = finish(world.service, WAIT);
    assert_eq!((sent, rejected, failed, lines.len()), (1, 1, 1, 1));
    Ok(())
}

#[test]
fn refusals_do_not_fill_the_log() -> Result {
    let mut world = World::new(1, 100)?;
    world.offer(50);
    for seq in 1..=50 {
        assert_eq!(world.post(400)?.seqs(), [seq]);
    }
    let (sent, rejected, _, lines) = finish(world.service, WAIT);
    assert_eq!((sent, rejected), (0, 50));
    let texts: Vec<_> = lines.iter().map(|(_, text)| text.as_str()).collect();
    assert!(
        matches!(texts[..], [first, rest] if first.contains("refuses 1 events") && rest.contains("refused 49 events more")),
        "{texts:?}"
    );
    Ok(())
}

#[test]
fn a_connection_without_an_answer_is_given_up() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let service = start_with(listener.local_addr()?, 10, 100, Duration::from_millis(100))?;
    let mut world = World {
        service,
        posts: channel().1,
        statuses: channel().0,
        next: 1,
    };
    world.offer(1);
    for _ in 0..3 {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(WAIT))?;
        assert_eq!(read(&mut stream).map(|post| post.seqs()), Some(vec![1]));
        // The end, while the next try is on a connection of its own.
        let ended = stream.read(&mut [0; 1]);
        assert!(
            matches!(&ended, Ok(0))
                || matches!(&ended, Err(error) if error.kind() == ErrorKind::ConnectionReset),
            "{ended:?}"
        );
    }
    let (sent, _, failed, lines) = finish(world.service, Duration::ZERO);
    assert!(sent == 0 && failed >= 2, "{sent} {failed}");
    assert!(lines[0].1.contains("no answer in time"), "{lines:?}");
    Ok(())
}

#[test]
fn a_redirection_is_not_followed() -> Result {
    let mut world = World::new(10, 100)?;
    world.offer(1);
    let first = world.post(307)?;
    let again = world.post(200)?;
    assert!(
        again.head.starts_with("POST /hook?key=1 "),
        "{}",
        again.head
    );
    assert_eq!(first.body, again.body);
    let (sent, _, failed, lines) = finish(world.service, WAIT);
    assert_eq!((sent, failed), (1, 1));
    assert!(
        lines[0].1.contains("redirections are not followed"),
        "{lines:?}"
    );
    Ok(())
}

#[test]
fn an_answer_without_an_end_is_cut() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut world = World {
        service: start(listener.local_addr()?, 10, 100)?,
        posts: channel().1,
        statuses: channel().0,
        next: 1,
    };
    world.offer(1);
    let (mut stream, _) = listener.accept()?;
    stream.set_write_timeout(Some(WAIT))?;
    assert_eq!(read(&mut stream).map(|post| post.seqs()), Some(vec![1]));
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let chunk = [b'x'; 64 << 10];
    let written = (0..10_000).take_while(|_| stream.write_all(&chunk).is_ok());
    assert!(written.count() < 1_000, "nobody ended it");
    world.offer(1);
    let (mut stream, _) = listener.accept()?;
    assert_eq!(read(&mut stream).map(|post| post.seqs()), Some(vec![2]));
    stream.write_all(b"HTTP/1.1 204 OK\r\n\r\n")?;
    let (sent, _, failed, lines) = finish(world.service, WAIT);
    assert_eq!((sent, failed, lines), (2, 0, Vec::new()));
    Ok(())
}

#[test]
fn a_file_without_an_end_is_no_secret_and_no_authority() {
    let endless = std::path::Path::new("/dev/zero");
    let secret = Secret::read(endless).err().map(|error| error.to_string());
    assert_eq!(
        secret.as_deref(),
        Some("holds more than 4096 bytes: use 16 to 4096")
    );
    let authorities = Authorities::read(endless).err();
    let authorities = authorities.map(|error| error.to_string());
    assert_eq!(authorities.as_deref(), Some("has more than 4 MB"));
}

#[test]
fn the_end_waits_for_what_is_queued() -> Result {
    let mut world = World::new(7, 1000)?;
    assert_eq!(world.offer(500), 500);
    for _ in 0..500 {
        world.statuses.send(200)?;
    }
    assert_eq!(finish(world.service, WAIT).0, 500);
    let came: Vec<u64> = world
        .posts
        .try_iter()
        .flat_map(|post| post.seqs())
        .collect();
    assert_eq!(came, (1..=500).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn the_end_does_not_wait_for_a_back_end_that_is_away() -> Result {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let service = start(address, 10, 100)?;
    let mut world = World {
        service,
        posts: channel().1,
        statuses: channel().0,
        next: 1,
    };
    assert_eq!(world.offer(5), 5);
    let (sent, _, failed, lines) = finish(world.service, Duration::from_millis(300));
    assert_eq!(sent, 0);
    assert!(failed > 0);
    assert!(lines[0].1.contains("no connection"), "{lines:?}");
    Ok(())
}
