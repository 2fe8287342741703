//! Clients whose network is gone without a word: no end of file, no reset, no acknowledgement.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::time::sleep;

use crate::backend::{BackEnd, Mood};
use crate::config::{Config, Hub};
use crate::feed::{Feed, Transport};
use crate::http::Connection;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

use super::attacks::bystander::{Bystander, Noted};
use super::attacks::rounds;
use super::hooks::{SECRET, hook};

const WORKERS: usize = 2;

/// `polling_timeout`; what the issue allows is twice as much.
const POLLING: Duration = Duration::from_secs(4);

/// What a hook, a look and a busy machine may add to it.
const SLACK: Duration = Duration::from_millis(1500);

/// A channel in which something is published all the time, so that no noop is ever due.
const BUSY: &str = "busy";

/// Who is there: one of each transport alone, and endless answers on the busy channel.
fn places() -> Vec<(String, Transport)> {
    let alone = Transport::ALL.map(|one| (format!("quiet-{}", one.endpoint()), one));
    let busy = [Transport::Stream, Transport::Sse, Transport::WebSocket];
    let busy = busy.map(|one| (BUSY.to_owned(), one));
    alone.into_iter().chain(busy).collect()
}

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let Some(mut far) = Far::start()? else {
        return Ok("NOT RUN: a network namespace needs root".to_owned());
    };
    let port = TcpListener::bind((far.near, 0))?.local_addr()?.port();
    let away = SocketAddr::from((far.near, port));
    let back_end = BackEnd::start((Ipv4Addr::LOCALHOST, 0).into(), SECRET, None).await?;
    back_end.be(Mood::Well);
    let (_secret, hook) = hook(
        &format!("http://{}/hook", back_end.address),
        "events=subscribe,unsubscribe",
    )?;
    let hub = Hub::new("main")
        .set("polling_timeout", format!("{}s", POLLING.as_secs()))
        .set("node", "harness")
        .set("hook", hook);
    let mut config = Config::new(WORKERS, [hub]);
    let more = format!("listen {away};\nlocation = /file {{ alias conf/nginx.conf; }}\n");
    config.server = Box::leak(more.into_boxed_str());
    let nginx = setup.start(config).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let mut admin = Admin::new(hub);

    // One whose network is well, and who has no more to say than the others.
    let mut survivor = Subscriber::new(hub, "survivor", Transport::Sse, 1);
    survivor.open().await?;

    let bystander = Bystander::start(hub, None).await?;

    let places = places();
    let mut feeds = Vec::new();
    let mut polls = Vec::new();
    for ((channel, transport), stream) in places.iter().zip(far.connect(away, places.len())?) {
        stream.set_nonblocking(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let mut connection = Connection::from_stream(stream)?;
        let callback = match transport {
            Transport::Jsonp => "&cb=f",
            _ => "",
        };
        let target = format!(
            "{}&seq=1{callback}",
            hub.front(transport.endpoint(), channel)
        );
        if transport.is_poll() {
            connection.get(&target, "").await?;
            polls.push(connection);
        } else {
            feeds.push(Feed::open(connection, *transport, &target, "").await?);
        }
    }
    let all = places.len();
    admin.await_subscribers(None, all + 2).await?;
    back_end.await_count("subscribe", all + 2).await?;
    ensure!(
        back_end.count("unsubscribe") == 0,
        "somebody left before its time"
    );

    let before = bystander.measure(120).await?;
    far.go_down()?;
    let start = Instant::now();
    let gone = async {
        admin.await_subscribers(None, 2).await?;
        let counted = start.elapsed();
        back_end.await_count("unsubscribe", all).await?;
        Ok::<_, anyhow::Error>((counted, start.elapsed()))
    };
    let alive = async {
        loop {
            match survivor.next().await? {
                Step::Message(_) | Step::Retry(_) => {}
                step => bail!("who is well: {step:?}"),
            }
        }
    };
    let both = async { tokio::try_join!(gone, bystander.measure(120)) };
    let ((counted, told), meanwhile) = tokio::select! {
        both = both => both?,
        ended = keep_busy(hub) => ended?,
        ended = alive => ended?,
    };
    let bound = POLLING * 2 + SLACK;
    ensure!(
        told <= bound,
        "gone after {counted:?}, told after {told:?}: later than {bound:?}"
    );
    back_end.check()?;
    let others = rounds::pair(&before.way, &meanwhile.way, 50.0);
    drop((feeds, polls, far));
    wait::within("who is well", async {
        admin.await_subscribers(None, 2).await
    })
    .await?;
    nginx.stop(&[]).await?;
    Ok(format!(
        "{all} clients without a network: off after {:.1} s and told after {:.1} s, at polling_timeout {} s; who was well stayed; others' median {others} ms",
        counted.as_secs_f64(),
        told.as_secs_f64(),
        POLLING.as_secs()
    ))
}

/// Publishes without an end.
async fn keep_busy(hub: HubAddress) -> Result<((Duration, Duration), Noted)> {
    let mut admin = Admin::new(hub);
    loop {
        admin.must_push(BUSY, "still here?").await?;
        // How often is the load: nothing is waited for.
        sleep(Duration::from_millis(100)).await;
    }
}

/// What the far side is told.
enum Order {
    /// So many connections to that address.
    Connect(SocketAddr, usize),
    /// Its link goes down.
    Down,
}

/// A network namespace behind a pair of veth devices. It has no name: it goes with its thread and the
/// sockets in it, and the devices with it.
struct Far {
    /// Our address of the pair.
    near: Ipv4Addr,
    /// Our device of it.
    device: String,
    orders: Option<mpsc::Sender<Order>>,
    answers: mpsc::Receiver<Result<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Far {
    /// Makes it; `None` when we are not allowed to.
    fn start() -> Result<Option<Far>> {
        // 198.18.0.0/15 is for tests of networks (RFC 2544).
        let (x, y) = (fastrand::u8(..), fastrand::u8(..64) * 4);
        let [near, there] = [1, 2].map(|host| Ipv4Addr::new(198, 18, x, y + host));
        let (orders, taken) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let (begun, begin) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            // SAFETY: takes an integer; only this thread moves, which nothing else runs on.
            let moved = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
            // SAFETY: gettid has no preconditions and cannot fail.
            let id = unsafe { libc::gettid() };
            let moved = moved.then_some(id).ok_or_else(io::Error::last_os_error);
            let stays = moved.is_ok();
            if begun.send(moved).is_ok() && stays {
                serve(there, &taken, &answer);
            }
        });
        let id = match begin.recv()? {
            Ok(id) => id,
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(None),
            Err(error) => return Err(error).context("a network namespace"),
        };
        let device = format!("icomet{id}");
        ip(&format!(
            "link add {device} type veth peer name far netns {id}"
        ))?;
        ip(&format!("addr add {near}/30 dev {device}"))?;
        ip(&format!("link set {device} up"))?;
        let far = Far {
            near,
            device,
            orders: Some(orders),
            answers,
            thread: Some(thread),
        };
        Ok(Some(far))
    }

    fn order(&mut self, order: Order) -> Result<Vec<TcpStream>> {
        let orders = self.orders.as_ref().context("the far side has ended")?;
        orders
            .send(order)
            .map_err(|_| anyhow::anyhow!("the far side has ended"))?;
        self.answers.recv_timeout(wait::DEADLINE)?
    }

    /// So many connections from there.
    fn connect(&mut self, to: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
        self.order(Order::Connect(to, count))
    }

    /// From now on nothing comes from there, and nothing gets there.
    fn go_down(&mut self) -> Result<()> {
        self.order(Order::Down).map(drop)
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.orders = None;
        // Sockets that still wait for their last acknowledgement would keep it for a while.
        let _ = ip(&format!("link del {}", self.device));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs in the namespace until nobody orders anything more.
fn serve(
    address: Ipv4Addr,
    orders: &mpsc::Receiver<Order>,
    answer: &mpsc::Sender<Result<Vec<TcpStream>>>,
) {
    let obey = |order| match order {
        Order::Connect(to, count) => {
            ip(&format!("addr add {address}/30 dev far"))?;
            ip("link set far up")?;
            let connect = |_| TcpStream::connect_timeout(&to, wait::DEADLINE).context("far away");
            (0..count).map(connect).collect()
        }
        Order::Down => ip("link set far down").map(|()| Vec::new()),
    };
    while let Ok(order) = orders.recv() {
        if answer.send(obey(order)).is_err() {
            return;
        }
    }
}

/// `ip` in the namespace of this thread.
fn ip(arguments: &str) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments.split(' '))
        .stdin(Stdio::null())
        .output()
        .context("ip (package iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {arguments}: {said}");
    Ok(())
}
