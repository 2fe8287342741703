//! A client that behaves as icomet.js 0.2.x does, written from its description.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};

use crate::config::{Config, Hub};
use crate::feed::{Event, Feed, Transport};
use crate::http::{Connection, encode};
use crate::hub::{Admin, HubAddress};
use crate::message::Message;
use crate::nginx::Setup;
use crate::wait;

const WORKERS: usize = 2;
const NOOPS: u64 = 3;
const BATCH: u64 = 3;
const CHANNEL: &str = "old friends";

pub async fn run(setup: Arc<Setup>) -> Result<String> {
    let hub = || {
        Hub::new("main")
            .set("polling_timeout", "1s")
            .set("channel_timeout", "300s")
    };
    let signed = Hub::new("signed")
        .set("auth", "token")
        .set("polling_timeout", "1s");
    let nginx = setup.start(Config::new(WORKERS, [hub(), signed])).await?;
    let open = HubAddress {
        address: nginx.address,
        name: "main",
    };
    let signed = HubAddress {
        address: nginx.address,
        name: "signed",
    };
    jsonp(open, None).await.context("JSONP")?;
    let token = sign(signed).await.context("sign")?;
    jsonp(signed, Some(&token))
        .await
        .context("JSONP with a token")?;
    wrong_token(signed).await.context("wrong token")?;
    event_source(open).await.context("EventSource")?;
    nginx.stop(&[]).await?;
    Ok("JSONP with and without token, and EventSource, as icomet.js 0.2.x".into())
}

/// The JSONP client: a script tag at a time, never two.
struct Jsonp {
    hub: HubAddress,
    connection: Connection,
    token: String,
    data_seq: u64,
    noop_seq: u64,
    loads: u64,
    /// What the page was given: contents in order.
    heard: Vec<String>,
    noops: u64,
    polling: bool,
}

impl Jsonp {
    async fn new(hub: HubAddress, token: &str) -> Result<Self> {
        Ok(Self {
            hub,
            connection: Connection::open(hub.address).await?,
            token: token.to_owned(),
            data_seq: 0,
            noop_seq: 0,
            loads: 0,
            heard: Vec::new(),
            noops: 0,
            polling: false,
        })
    }

    /// Adds the script tag.
    async fn load(&mut self) -> Result<()> {
        self.loads += 1;
        let target = format!(
            "/{}/sub?cb=icomet_cb_0&cname={}&seq={}&noop={}&token={}&_={}",
            self.hub.name,
            encode(CHANNEL),
            self.data_seq,
            self.noop_seq,
            self.token,
            self.loads
        );
        self.connection.get(&target, "").await?;
        self.polling = true;
        Ok(())
    }

    /// The script has come: the browser runs it.
    async fn run_script(&mut self) -> Result<()> {
        let response = wait::within("script", self.connection.response()).await?;
        let kind = response.head.header("content-type");
        ensure!(
            kind == Some("text/javascript; charset=utf-8"),
            "content type {kind:?}"
        );
        let text = response.text();
        let argument = text
            .strip_prefix("/**/icomet_cb_0(")
            .and_then(|rest| rest.strip_suffix(");\n"))
            .with_context(|| format!("script {text:?}"))?;
        self.polling = false;
        for message in
            Message::parse_batch(format!("{argument}\n").as_bytes()).map_err(anyhow::Error::msg)?
        {
            self.callback(message)?;
        }
        Ok(())
    }

    fn callback(&mut self, message: Message) -> Result<()> {
        match message.kind.as_str() {
            "data" => {
                ensure!(
                    message.seq == self.data_seq,
                    "seq {} is not {}",
                    message.seq,
                    self.data_seq
                );
                self.data_seq += 1;
                self.heard.push(message.content);
            }
            // Shown but not counted: the next_seq that follows does that.
            "broadcast" => self.heard.push(message.content),
            "next_seq" => self.data_seq = message.seq,
            // With any other counter the old client would poll no more.
            "noop" => {
                ensure!(
                    message.seq == self.noop_seq,
                    "noop {} is not {}",
                    message.seq,
                    self.noop_seq
                );
                self.noop_seq += 1;
                self.noops += 1;
            }
            other => bail!("{other} came: {:?}", message.content),
        }
        Ok(())
    }

    /// Polls until the page has been given `count` contents.
    async fn hear(&mut self, count: usize) -> Result<()> {
        while self.heard.len() < count {
            if !self.polling {
                self.load().await?;
            }
            self.run_script().await?;
        }
        Ok(())
    }
}

async fn jsonp(hub: HubAddress, token: Option<&str>) -> Result<()> {
    let mut admin = Admin::new(hub);
    let mut client = Jsonp::new(hub, token.unwrap_or("")).await?;
    // The first load asks seq 0 and is told the next one.
    client.load().await?;
    client.run_script().await?;
    ensure!(
        client.data_seq == 1 && client.heard.is_empty(),
        "told seq {}",
        client.data_seq
    );
    // Nothing happens: noops, each with the client's own counter.
    while client.noops < NOOPS {
        client.load().await?;
        client.run_script().await?;
    }
    // A message while it polls.
    client.load().await?;
    admin.await_subscribers(Some(CHANNEL), 1).await?;
    admin
        .must_push(CHANNEL, "live \"quoted\" </script>")
        .await?;
    client.hear(1).await?;
    // Several while it does not: a batch.
    for number in 1..=BATCH {
        admin.must_push(CHANNEL, &format!("batch {number}")).await?;
    }
    let loads = client.loads;
    client.hear(1 + BATCH as usize).await?;
    ensure!(
        client.loads == loads + 1,
        "the batch took {} loads",
        client.loads - loads
    );
    // A broadcast, live and then buffered, and data after it.
    client.load().await?;
    admin.await_subscribers(Some(CHANNEL), 1).await?;
    admin.broadcast("live broadcast").await?;
    client.hear(2 + BATCH as usize).await?;
    admin.broadcast("old broadcast").await?;
    admin.must_push(CHANNEL, "after").await?;
    client.hear(4 + BATCH as usize).await?;
    let want = [
        "live \"quoted\" </script>",
        "batch 1",
        "batch 2",
        "batch 3",
        "live broadcast",
        "old broadcast",
        "after",
    ];
    ensure!(client.heard == want, "heard {:?}", client.heard);
    Ok(())
}

/// What the page's back end passes through as signUrl.
async fn sign(hub: HubAddress) -> Result<String> {
    let mut admin = Admin::new(hub);
    let target = format!(
        "{}?cb=icomet_cb_0&cname={}",
        hub.admin("sign"),
        encode(CHANNEL)
    );
    let text = admin.ask(&target).await?.text();
    let argument = text
        .strip_prefix("/**/icomet_cb_0(")
        .and_then(|rest| rest.strip_suffix(");\n"))
        .with_context(|| format!("sign {text:?}"))?;
    let value: serde_json::Value = serde_json::from_str(argument)?;
    ensure!(
        value["type"] == "sign" && value["cname"] == CHANNEL && value["sub_timeout"] == 1,
        "sign {value}"
    );
    let token = value["token"].as_str().context("no token")?;
    ensure!(token.len() == 32, "token {token:?}");
    let again = admin.sign(CHANNEL).await?;
    ensure!(
        again["token"] == token,
        "a second sign brings another token"
    );
    Ok(token.to_owned())
}

async fn wrong_token(hub: HubAddress) -> Result<()> {
    let mut admin = Admin::new(hub);
    for token in ["", "00000000000000000000000000000000"] {
        let target = format!(
            "{}&cb=icomet_cb_0&seq=0&token={token}",
            hub.front("sub", CHANNEL)
        );
        let response = admin.ask(&target).await?;
        let text = response.text();
        ensure!(
            response.head.status == 200
                && text.starts_with("/**/icomet_cb_0({\"type\":\"401\"")
                && text.contains("Token error"),
            "{} {text:?}",
            response.head.status
        );
    }
    Ok(())
}

/// With EventSource the url's `/sub?` becomes `/sse?`, and messages below its counter are dropped.
async fn event_source(hub: HubAddress) -> Result<()> {
    const NAME: &str = "event-source";
    let mut admin = Admin::new(hub);
    for number in 1..=2 {
        admin.must_push(NAME, &format!("early {number}")).await?;
    }
    let url = format!("{}&seq=1&noop=0&token=", hub.front("sub", NAME)).replace("/sub?", "/sse?");
    let connection = Connection::open(hub.address).await?;
    let mut feed = wait::within("head", Feed::open(connection, Transport::Sse, &url, "")).await?;
    let (mut counter, mut noop, mut heard) = (1, 0, Vec::new());
    while heard.len() < 5 {
        let message = match wait::within("event", feed.next()).await? {
            Event::Message(message) => message,
            other => bail!("{other:?}"),
        };
        match message.kind.as_str() {
            "data" | "broadcast" if message.seq < counter => bail!("{message:?} came again"),
            "data" | "broadcast" => {
                ensure!(message.seq == counter, "{message:?}, {counter} was due");
                counter += 1;
                heard.push(message.content);
            }
            "next_seq" => {
                ensure!(message.seq == counter, "{message:?}, {counter} was due");
                counter = message.seq;
            }
            "noop" => {
                ensure!(message.seq == noop, "noop {} is not {noop}", message.seq);
                noop += 1;
                match noop {
                    1 => admin.must_push(NAME, "late").await?,
                    2 => admin.broadcast("to all").await?,
                    3 => admin.must_push(NAME, "last").await?,
                    _ => {}
                }
            }
            other => bail!("{other}: {:?}", message.content),
        }
    }
    ensure!(
        heard == ["early 1", "early 2", "late", "to all", "last"],
        "heard {heard:?}"
    );
    Ok(())
}
