//! The addresses of a hub, and its admin side as a back end uses it.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::http::{Connection, HttpError, Response, encode};
use crate::wait::{until, within};

/// A hub of a running nginx.
#[derive(Debug, Clone, Copy)]
pub struct HubAddress {
    /// Where nginx listens.
    pub address: SocketAddr,
    /// The hub's name, which is its path too.
    pub name: &'static str,
}

impl HubAddress {
    /// A subscriber's URL without further parameters.
    pub fn front(&self, endpoint: &str, channel: &str) -> String {
        self.front_many(endpoint, [channel])
    }

    /// The same of several channels.
    pub fn front_many<'a>(
        &self,
        endpoint: &str,
        channels: impl IntoIterator<Item = &'a str>,
    ) -> String {
        let names: Vec<_> = channels.into_iter().map(encode).collect();
        format!("/{}/{endpoint}?cname={}", self.name, names.join(","))
    }

    /// A back end's URL.
    pub fn admin(&self, endpoint: &str) -> String {
        format!("/{}-admin/{endpoint}", self.name)
    }
}

/// A back end with one keepalive connection, renewed when it is cut.
#[derive(Debug)]
pub struct Admin {
    hub: HubAddress,
    connection: Option<Connection>,
}

impl Admin {
    /// Connects at the first request.
    pub fn new(hub: HubAddress) -> Self {
        Self {
            hub,
            connection: None,
        }
    }

    /// Its hub.
    pub fn hub(&self) -> HubAddress {
        self.hub
    }

    /// How many channels and subscribers the hub counts.
    pub async fn info(&mut self) -> Result<(u64, u64)> {
        let response = self.ask(&self.hub.admin("info")).await?;
        let value: Value = serde_json::from_slice(&response.body)
            .with_context(|| format!("info: {:?}", response.text()))?;
        let count = |name: &str| {
            value[name]
                .as_u64()
                .with_context(|| format!("info: {value}"))
        };
        Ok((count("channels")?, count("subscribers")?))
    }

    /// One exchange, tried once; after an error the next one uses a fresh connection.
    pub async fn get(&mut self, target: &str) -> Result<Response, HttpError> {
        let mut connection = self.take().await?;
        connection.get(target, "").await?;
        let response = connection.response().await?;
        self.keep(connection, &response);
        Ok(response)
    }

    /// One publish by POST, tried once: whether it was acknowledged, or how it failed.
    pub async fn push(&mut self, channel: &str, content: &str) -> Result<(), HttpError> {
        let form = format!("cname={}&content={}", encode(channel), encode(content));
        let mut connection = self.take().await?;
        connection.post(&self.hub.admin("push"), &form).await?;
        let response = connection.response().await?;
        self.keep(connection, &response);
        if response.head.status == 200 && response.body == b"{\"type\":\"ok\"}\n" {
            Ok(())
        } else {
            Err(failed("push", &response))
        }
    }

    /// One broadcast, tried once, as with `push`.
    pub async fn broadcast(&mut self, content: &str) -> Result<(), HttpError> {
        let target = format!(
            "{}?content={}",
            self.hub.admin("broadcast"),
            encode(content)
        );
        let response = self.get(&target).await?;
        if response.head.status == 200 && response.body == b"ok\n" {
            Ok(())
        } else {
            Err(failed("broadcast", &response))
        }
    }

    /// A publish whose client goes away as soon as it has sent it.
    pub async fn push_and_reset(&mut self, channel: &str, content: &str) {
        let form = format!("cname={}&content={}", encode(channel), encode(content));
        // Whether it got there nobody knows.
        if let Ok(mut connection) = self.take().await {
            let _ = connection.post(&self.hub.admin("push"), &form).await;
            connection.reset();
        }
    }

    /// Publishes, with a deadline and no second try.
    pub async fn must_push(&mut self, channel: &str, content: &str) -> Result<()> {
        within("push", self.push(channel, content)).await
    }

    /// A GET that may be repeated without harm; it is, when the connection is cut.
    pub async fn ask(&mut self, target: &str) -> Result<Response> {
        let mut last = None;
        for _ in 0..20 {
            match within(target, async { Ok::<_, HttpError>(self.get(target).await) }).await? {
                Ok(response) => return Ok(response),
                Err(HttpError::Cut(error)) => last = Some(error),
                Err(error) => return Err(error).context(target.to_owned()),
            }
        }
        bail!("{target}: cut 20 times: {last:?}")
    }

    /// The number of subscribers of a channel, or of the hub.
    pub async fn subscribers(&mut self, channel: Option<&str>) -> Result<u64> {
        let mut target = self.hub.admin("info");
        if let Some(channel) = channel {
            target = format!("{target}?cname={}", encode(channel));
        }
        let response = self.ask(&target).await?;
        let value: Value = serde_json::from_slice(&response.body)
            .with_context(|| format!("info: {:?}", response.text()))?;
        value["subscribers"]
            .as_u64()
            .with_context(|| format!("info: {value}"))
    }

    /// What `info` tells with `detail=1`.
    pub async fn detail(&mut self) -> Result<Value> {
        let target = format!("{}?detail=1", self.hub.admin("info"));
        let response = self.ask(&target).await?;
        serde_json::from_slice(&response.body).with_context(|| response.text())
    }

    /// One publish by POST, tried once: the status of the answer.
    pub async fn try_push(&mut self, channel: &str, content: &str) -> Result<u16, HttpError> {
        let form = format!("cname={}&content={content}", encode(channel));
        let mut connection = self.take().await?;
        connection.post(&self.hub.admin("push"), &form).await?;
        let response = connection.response().await?;
        self.keep(connection, &response);
        Ok(response.head.status)
    }

    /// Waits until `info` counts exactly so many subscribers.
    pub async fn await_subscribers(&mut self, channel: Option<&str>, count: usize) -> Result<()> {
        let cell = tokio::sync::Mutex::new(self);
        until(&format!("{count} subscribers counted"), || async {
            let now = cell.lock().await.subscribers(channel).await?;
            Ok((now != count as u64).then(|| now.to_string()))
        })
        .await
    }

    /// Creates a channel and its token.
    pub async fn sign(&mut self, channel: &str) -> Result<Value> {
        let target = format!("{}?cname={}", self.hub.admin("sign"), encode(channel));
        let response = self.ask(&target).await?;
        ensure!(
            response.head.status == 200,
            "sign: {} {}",
            response.head.status,
            response.text()
        );
        serde_json::from_slice(&response.body).with_context(|| response.text())
    }

    async fn take(&mut self) -> Result<Connection, HttpError> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Ok(Connection::open(self.hub.address).await?),
        }
    }

    fn keep(&mut self, connection: Connection, response: &Response) {
        if response.head.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
    }
}

fn failed(what: &str, response: &Response) -> HttpError {
    match response.head.status {
        507 => HttpError::Refused(507),
        status => HttpError::Malformed(format!("{what}: {status} {:?}", response.text())),
    }
}
