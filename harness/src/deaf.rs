//! What one killed worker does to the subscribers of the others: icomet and nchan, measured the same way.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::config::{Config, Hub};
use crate::http::{Connection, HttpError, find};
use crate::nginx::{Nginx, Setup};
use crate::process::signal;
use crate::wait::until;

/// Nobody has heard anything more for so long: who has not heard it by then is deaf.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a publish may take.
const PUBLISH: Duration = Duration::from_secs(5);

/// Files of nginx that are not written here, but must not be looked for elsewhere.
const PATHS: &str = "client_body_temp_path logs/body;\nproxy_temp_path logs/proxy;\n\
    fastcgi_temp_path logs/fastcgi;\nuwsgi_temp_path logs/uwsgi;\nscgi_temp_path logs/scgi;\n";

/// A server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// This module.
    Icomet,
    /// Debian's nchan on Debian's nginx.
    Nchan,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Server::Icomet => "icomet",
            Server::Nchan => "nchan",
        })
    }
}

/// How large it is.
#[derive(Debug, Clone)]
pub struct Options {
    servers: Vec<Server>,
    rounds: usize,
    workers: usize,
    channels: usize,
    subscribers: usize,
    nginx: PathBuf,
    module: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: vec![Server::Icomet, Server::Nchan],
            rounds: 5,
            workers: 2,
            channels: 200,
            subscribers: 5,
            nginx: "/usr/sbin/nginx".into(),
            module: "/usr/lib/nginx/modules/ngx_nchan_module.so".into(),
        }
    }
}

impl Options {
    /// Takes one option of the command line.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "rounds" => self.rounds = value.parse()?,
            "workers" => self.workers = value.parse()?,
            "channels" => self.channels = value.parse()?,
            "subscribers" => self.subscribers = value.parse()?,
            "nchan-nginx" => self.nginx = value.into(),
            "nchan-module" => self.module = value.into(),
            "servers" => {
                let server = |name| match name {
                    "icomet" => Ok(Server::Icomet),
                    "nchan" => Ok(Server::Nchan),
                    _ => bail!("{name} is neither icomet nor nchan"),
                };
                self.servers = value.split(',').map(server).collect::<Result<_>>()?;
            }
            _ => bail!("there is no such option"),
        }
        ensure!(self.workers > 1, "one worker is killed and one must live");
        Ok(())
    }
}

/// Measures each server in turn; answers the summary line.
pub async fn run(setup: &Setup, options: &Options, say: impl Fn(&str)) -> Result<String> {
    let mut lines = Vec::new();
    for server in &options.servers {
        let (mut survivors, mut deaf) = (0, 0);
        for round in 1..=options.rounds {
            let found = measure(setup, options, *server)
                .await
                .with_context(|| format!("{server}, round {round}"))?;
            say(&format!("{server}, round {round}: {found}"));
            survivors += found.survivors;
            deaf += found.deaf;
        }
        lines.push(format!(
            "{server}: {deaf} of {survivors} surviving subscribers deaf ({:.1} %)",
            100.0 * deaf as f64 / survivors as f64
        ));
    }
    Ok(lines.join("; "))
}

/// What one kill did.
struct Found {
    cut: usize,
    survivors: usize,
    deaf: usize,
    unpublished: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections cut with their worker, {} left, {} of them deaf ({:.1} %); {} publishes failed",
            self.cut,
            self.survivors,
            self.deaf,
            100.0 * self.deaf as f64 / self.survivors as f64,
            self.unpublished
        )
    }
}

/// A subscriber as it is seen from outside.
#[derive(Debug, Default)]
struct Listener {
    /// The last round of messages that it heard.
    heard: AtomicU64,
    gone: AtomicBool,
}

async fn measure(setup: &Setup, options: &Options, server: Server) -> Result<Found> {
    let nginx = start(setup, options, server).await?;
    let listeners: Vec<Arc<Listener>> = (0..options.channels * options.subscribers)
        .map(|_| Arc::default())
        .collect();
    let mut tasks = JoinSet::new();
    for (index, listener) in listeners.iter().enumerate() {
        let channel = index % options.channels;
        let connection = open(&nginx, server, channel).await?;
        tasks.spawn(listen(connection, Arc::clone(listener)));
    }
    ensure!(
        publish(&nginx, options, server, 1).await == 0,
        "a publish failed before anything happened"
    );
    let count = |wanted: &dyn Fn(&Listener) -> bool| {
        listeners.iter().filter(|listener| wanted(listener)).count()
    };
    until("everybody hears before the kill", || async {
        let waiting = count(&|listener| listener.heard.load(Relaxed) < 1);
        Ok((waiting > 0).then(|| format!("{waiting} have not")))
    })
    .await?;
    let victim = *fastrand::choice(&nginx.serving_workers()).context("no worker")?;
    ensure!(signal(victim, libc::SIGKILL), "no worker to kill");
    nginx.renewed(&[victim]).await?;
    let unpublished = publish(&nginx, options, server, 2).await;
    let deaf =
        || count(&|listener| !listener.gone.load(Relaxed) && listener.heard.load(Relaxed) < 2);
    let (mut now, mut since) = (deaf(), Instant::now());
    while now > 0 && since.elapsed() < PATIENCE {
        sleep(Duration::from_millis(20)).await;
        let left = deaf();
        if left != now {
            (now, since) = (left, Instant::now());
        }
    }
    let cut = count(&|listener| listener.gone.load(Relaxed));
    ensure!(cut > 0, "the killed worker had no subscriber");
    tasks.shutdown().await;
    Ok(Found {
        cut,
        survivors: listeners.len() - cut,
        deaf: now,
        unpublished,
    })
}

async fn start(setup: &Setup, options: &Options, server: Server) -> Result<Nginx> {
    match server {
        Server::Icomet => {
            let hub = Hub::new("main").set("polling_timeout", "300s");
            setup.start(Config::new(options.workers, [hub])).await
        }
        Server::Nchan => {
            let mut config = Config::new(options.workers, []);
            config.http = PATHS;
            config.server = "location = /pub { nchan_publisher http; nchan_channel_id $arg_id; }\n\
                 location = /sse { nchan_subscriber eventsource; nchan_channel_id $arg_id; }\n";
            let setup = Setup {
                nginx: options.nginx.clone(),
                module: options.module.clone(),
                keep: setup.keep,
                full: false,
                faults: false,
                files: setup.files,
            };
            setup.start(config).await
        }
    }
}

async fn open(nginx: &Nginx, server: Server, channel: usize) -> Result<Connection> {
    let mut connection = Connection::open(nginx.address).await?;
    let target = match server {
        Server::Icomet => format!("/main/sse?cname=channel-{channel}&seq=0"),
        Server::Nchan => format!("/sse?id=channel-{channel}"),
    };
    connection
        .get(&target, "Accept: text/event-stream\r\n")
        .await?;
    let head = timeout(PUBLISH, connection.head()).await??;
    ensure!(head.status == 200, "subscribe: {}", head.status);
    Ok(connection)
}

/// Reads until the connection ends.
async fn listen(mut connection: Connection, listener: Arc<Listener>) {
    loop {
        for round in [1, 2] {
            if find(&connection.input, mark(round).as_bytes()).is_some() {
                listener.heard.fetch_max(round, Relaxed);
            }
        }
        if connection.fill().await.is_err() {
            listener.gone.store(true, Relaxed);
            return;
        }
    }
}

fn mark(round: u64) -> String {
    format!("mark-{round}")
}

/// Publishes to every channel; how many publishes failed.
async fn publish(nginx: &Nginx, options: &Options, server: Server, round: u64) -> usize {
    let mut failed = 0;
    for channel in 0..options.channels {
        let exchange = exchange(nginx, server, channel, round);
        if !matches!(timeout(PUBLISH, exchange).await, Ok(Ok(200..=299))) {
            failed += 1;
        }
    }
    failed
}

async fn exchange(
    nginx: &Nginx,
    server: Server,
    channel: usize,
    round: u64,
) -> Result<u16, HttpError> {
    let mut connection = Connection::open(nginx.address).await?;
    let mark = mark(round);
    match server {
        Server::Icomet => {
            let form = format!("cname=channel-{channel}&content={mark}");
            connection.post("/main-admin/push", &form).await?;
        }
        Server::Nchan => {
            let target = format!("/pub?id=channel-{channel}");
            connection.post(&target, &mark).await?;
        }
    }
    Ok(connection.response().await?.head.status)
}
