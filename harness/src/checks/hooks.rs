//! Hooks: a back end that is slow, away, mute or failing loses no event, and nobody else notices.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::backend::{BackEnd, Mood};
use crate::config::{Config, Hub};
use crate::feed::Transport;
use crate::follow::{FINAL, Watch, follow};
use crate::hub::{Admin, HubAddress};
use crate::latency::Latencies;
use crate::ledger::Publisher;
use crate::nginx::Setup;
use crate::subscriber::Subscriber;
use crate::traffic::{Traffic, progress};
use crate::wait;

const WORKERS: usize = 2;
const SUBSCRIBERS: usize = 40;
const CHANNEL: &str = "busy";
/// What requests are signed with.
pub const SECRET: &str = "what the back end knows as well";

/// Publishes timed in each mood.
const PROBES: usize = 100;

/// An address of loopback at which nobody listens.
fn nobody() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A hook with a secret of its own, and the file that this is in.
pub fn hook(url: &str, options: &str) -> Result<(tempfile::NamedTempFile, String)> {
    let secret = tempfile::NamedTempFile::new()?;
    std::fs::write(secret.path(), SECRET)?;
    let hook = format!("{url} secret={} {options}", secret.path().display());
    Ok((secret, hook))
}

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let address = nobody()?;
    let (_secret, hook) = hook(
        &format!("http://{address}/hook"),
        "events=online,offline,subscribe,unsubscribe,publish timeout=2s batch=50 queue=50000",
    )?;
    let hub = Hub::new("main")
        .set("zone", "64m")
        .set("max_subscribers_per_channel", 1000)
        .set("channel_buffer_size", 10_000)
        .set("channel_timeout", "300s")
        .set("polling_timeout", "300s")
        .set("node", "harness")
        .set("hook", hook);
    let mut nginx = setup.start(Config::new(WORKERS, [hub])).await?;
    let hub = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let watch = Arc::new(Watch::default());
    watch.must_stay(true);
    let mut crowd = JoinSet::new();
    for index in 0..SUBSCRIBERS {
        // Of those that stay: each is told of once when it comes, and once when it goes.
        let transport = [Transport::Stream, Transport::Sse][index % 2];
        crowd.spawn(follow(
            Subscriber::new(hub, CHANNEL, transport, 1),
            Arc::clone(&watch),
        ));
    }
    let mut admin = Admin::new(hub);
    let counted = admin.await_subscribers(Some(CHANNEL), SUBSCRIBERS);
    wait::first_error(&mut crowd, counted).await?;
    let publishers = ["p0", "p1"].map(|name| Publisher::new(hub, CHANNEL, name));
    let traffic = Traffic::start(publishers, Duration::from_millis(5));

    let mut figures = Vec::new();
    let mut probes = 0;
    // Nobody listens there yet.
    let mut probe = async |name: &str| {
        // A reload ends idle connections.
        let mut admin = Admin::new(hub);
        let mut latencies = Latencies::default();
        for _ in 0..PROBES {
            let start = Instant::now();
            admin.must_push("probe", name).await?;
            latencies.add(start.elapsed());
        }
        probes += PROBES;
        figures.push(format!("{name} {:.2}", latencies.percentile(99.0)));
        progress(&watch.transcript, 100).await
    };
    wait::first_error(&mut crowd, probe("refused")).await?;
    wait::until("the refusal is logged", || async {
        Ok((nginx.logged("no connection: Connection refused") == 0).then(|| "not".to_owned()))
    })
    .await?;
    let back_end = BackEnd::start(address, SECRET, None).await?;
    back_end.await_count("subscribe", SUBSCRIBERS).await?;
    let moods = [
        ("well", Mood::Well),
        ("slow", Mood::Slow(Duration::from_millis(300))),
        ("failing", Mood::Failing(500)),
        ("away", Mood::Away),
        ("mute", Mood::Mute),
    ];
    for (name, mood) in moods {
        back_end.be(mood);
        let step = async {
            probe(name).await?;
            if mood != Mood::Away {
                back_end.await_posts(2).await?;
            }
            back_end.check()
        };
        wait::first_error(&mut crowd, step).await.context(name)?;
    }
    // The old workers have a queue that has to leave with them; streams move, and are not told of.
    back_end.be(Mood::Slow(Duration::from_millis(50)));
    let before = nginx.serving_workers();
    let step = async {
        nginx.send("reload").await?;
        nginx.reloaded(&before).await?;
        nginx.renewed(&before).await?;
        probe("after a reload").await
    };
    wait::first_error(&mut crowd, step)
        .await
        .context("reload")?;
    back_end.be(Mood::Well);
    let attempts = traffic.finish().await?;
    let mut admin = Admin::new(hub);
    admin.must_push(CHANNEL, FINAL).await?;
    let crowd = wait::within("the final message", wait::all("following", crowd)).await?;
    watch.transcript.verify(&attempts, &[FINAL])?;
    back_end
        .await_count("publish", watch.transcript.len() + probes)
        .await?;
    ensure!(
        back_end.count("subscribe") == SUBSCRIBERS,
        "a reload made subscribers"
    );
    ensure!(
        back_end.count("unsubscribe") == 0,
        "a reload ended subscribers"
    );
    ensure!(
        back_end.count("online") == 2,
        "{} online",
        back_end.count("online")
    );
    let by_worker = back_end.published(CHANNEL);
    let in_order = by_worker.values().all(|seqs| seqs.is_sorted());
    ensure!(
        in_order,
        "a worker's messages of a channel came out of order"
    );
    let all: BTreeSet<u64> = by_worker.values().flatten().copied().collect();
    ensure!(
        all.into_iter().eq(1..=watch.transcript.len() as u64),
        "not each message was told of once"
    );
    let detail = admin.detail().await?;
    let hooks = &detail["hooks"];
    ensure!(hooks["dropped"] == 0, "hooks: {hooks}");
    ensure!(hooks["failed"].as_u64() > Some(0), "hooks: {hooks}");

    // What is queued at the end leaves, and with it what the end itself makes.
    back_end.be(Mood::Slow(Duration::from_millis(50)));
    for _ in 0..300 {
        admin.must_push("probe", "last").await?;
    }
    nginx.send("quit").await?;
    nginx.exited().await?;
    nginx.check_log(&[])?;
    back_end.await_count("unsubscribe", SUBSCRIBERS).await?;
    back_end
        .await_count("publish", watch.transcript.len() + probes + 300)
        .await?;
    let workers = back_end.check_whole()?;
    drop(crowd);
    Ok(format!(
        "{} publishes of {workers} workers told, {} posts, {} doubles; ms of 99 % of publishes, back end {}",
        back_end.count("publish"),
        back_end.posts(),
        back_end.doubles(),
        figures.join(", ")
    ))
}

/// An authority, as PEM, and what a server of 127.0.0.1 needs that has its certificate.
fn authority(name: &str) -> Result<(String, TlsAcceptor)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?;
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate()?;
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&own, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(own.serialize_der()).map_err(anyhow::Error::msg)?,
        )?;
    Ok((authority.pem(), TlsAcceptor::from(Arc::new(config))))
}

pub async fn tls(setup: Arc<Setup>) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem)?;
        anyhow::Ok(path.display().to_string())
    };
    let (pem, acceptor) = authority("right")?;
    let (other, _) = authority("other")?;
    let back_end = BackEnd::start((Ipv4Addr::LOCALHOST, 0).into(), SECRET, Some(acceptor)).await?;
    let port = back_end.address.port();
    let mut kept = Vec::new();
    let mut hub = |name, host: &str, ca: &str| {
        let options = format!("events=publish ca={ca}");
        let (secret, hook) = hook(&format!("https://{host}:{port}/{name}"), &options)?;
        kept.push(secret);
        anyhow::Ok(Hub::new(name).set("zone", "4m").set("hook", hook))
    };
    let right = file("right.pem", &pem)?;
    let hubs = [
        hub("right", "127.0.0.1", &right)?,
        hub("untrusted", "127.0.0.1", &file("other.pem", &other)?)?,
        hub("misnamed", "localhost", &right)?,
    ];
    let nginx = setup.start(Config::new(1, hubs)).await?;
    for name in ["untrusted", "misnamed", "right"] {
        let address = nginx.address;
        Admin::new(HubAddress { address, name })
            .must_push("x", "y")
            .await?;
    }
    back_end.await_count("publish", 1).await?;
    for (name, why) in [
        ("untrusted", "UnknownIssuer"),
        ("misnamed", "not valid for name"),
    ] {
        let text = format!("/{name} cannot be told: its certificate is not accepted: ");
        wait::until(&format!("{name} is logged"), || async {
            let log = nginx.log_from(0)?;
            let found = log
                .lines()
                .any(|line| line.contains(&text) && line.contains(why));
            Ok((!found).then(|| log.lines().last().unwrap_or_default().to_owned()))
        })
        .await?;
    }
    ensure!(
        back_end.published("x").len() == 1,
        "a back end with a wrong certificate was told"
    );
    ensure!(nginx.logged(SECRET) == 0, "the secret is in the log");
    nginx.stop(&[]).await?;
    Ok("told over TLS; an unknown authority and a wrong name are refused, and logged".to_owned())
}
