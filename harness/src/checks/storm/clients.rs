//! The clients of a storm, in a process of their own: the limit of open files counts for each.
//!
//! The check writes the next stage to their standard input, a line each; they say on their standard
//! output that they were `told`, when all listen (`open`), when all have heard the next message (`heard`), and what went wrong.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, stdin};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{HUB, channel};
use crate::crowd::Gate;
use crate::feed::Transport;
use crate::hub::HubAddress;
use crate::subscriber::{Step, Subscriber};
use crate::wait;

/// What the clients do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// They listen.
    Calm,
    /// The network broke: they come back at once.
    Broken,
    /// Their workers are killed, which they notice themselves: they come back at once.
    Killed,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Stage::Calm => "calm",
            Stage::Broken => "broken",
            Stage::Killed => "killed",
        }
    }
}

/// A process with clients.
pub struct Part {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Part {
    /// Starts so many.
    pub fn start(address: SocketAddr, part: usize, count: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["--storm-clients", &format!("{address} {part} {count}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("a process with clients")?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let output = BufReader::new(output).lines();
        Ok(Self {
            child,
            input,
            output,
        })
    }

    /// Tells them what to do.
    pub async fn tell(&mut self, stage: Stage) -> Result<()> {
        let line = format!("{}\n", stage.word());
        self.input.write_all(line.as_bytes()).await?;
        // A kill must not be quicker than the word of it.
        self.said("told").await
    }

    /// Waits until they say so; anything else is what went wrong.
    pub async fn said(&mut self, word: &str) -> Result<()> {
        let line = wait::within(word, self.output.next_line()).await?;
        let line = line.unwrap_or_else(|| "nothing more".to_owned());
        ensure!(line == word, "clients: {line}, not {word}");
        Ok(())
    }

    /// Lets them go.
    pub async fn end(self) -> Result<()> {
        let Self {
            mut child, input, ..
        } = self;
        drop(input);
        let status = wait::within("clients end", child.wait()).await?;
        ensure!(status.success(), "clients ended with {status}");
        Ok(())
    }
}

/// What the process does; `what` is address, number of the part and count.
pub async fn main(what: &str) -> Result<()> {
    let mut words = what.split(' ');
    let mut word = || words.next().context("--storm-clients ADDRESS PART COUNT");
    let address: SocketAddr = word()?.parse()?;
    let (part, count): (u8, usize) = (word()?.parse()?, word()?.parse()?);
    let hub = HubAddress { address, name: HUB };
    let (stage, stages) = watch::channel(Stage::Calm);
    let (tell, mut told) = mpsc::unbounded_channel();
    let gate = Gate::new();
    let mut clients = JoinSet::new();
    for index in 0..count {
        let subscriber =
            Subscriber::new(hub, &channel(index), Transport::of(index), 1).by_id(index % 8 < 4);
        let (gate, stages, tell) = (gate.clone(), stages.clone(), tell.clone());
        clients.spawn(client(subscriber, part, gate, stages, tell));
    }
    let mut input = BufReader::new(stdin()).lines();
    let mut heard = 0;
    let mut next = "open";
    loop {
        tokio::select! {
            Some(()) = told.recv() => {
                heard += 1;
                if heard == count {
                    println!("{next}");
                    (heard, next) = (0, "heard");
                }
            }
            Some(ended) = clients.join_next() => ended.context("a client panicked")??,
            line = input.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let stages = [Stage::Calm, Stage::Broken, Stage::Killed];
                let told = stages.into_iter().find(|stage| stage.word() == line);
                stage.send_replace(told.with_context(|| line)?);
                println!("told");
            }
        }
    }
}

/// Listens, and comes back once in each storm; any error beside is a fault.
async fn client(
    mut subscriber: Subscriber,
    part: u8,
    gate: Gate,
    mut stages: watch::Receiver<Stage>,
    tell: mpsc::UnboundedSender<()>,
) -> Result<()> {
    subscriber.come_from(address(0, part));
    gate.open(&mut subscriber).await?;
    tell.send(())?;
    let mut killed = false;
    loop {
        let step = tokio::select! {
            step = subscriber.next() => Some(step?),
            changed = stages.changed() => {
                changed?;
                None
            }
        };
        match step {
            None if *stages.borrow_and_update() == Stage::Broken => {
                // Ports that are closed on this side are not to be had for a while.
                subscriber.come_from(address(1, part));
                subscriber.leave();
            }
            None => {}
            Some(Step::Message(message)) if message.kind == "data" => tell.send(())?,
            Some(Step::Message(_)) => {}
            Some(Step::Cut(..)) if *stages.borrow() == Stage::Killed && !killed => {
                killed = true;
                subscriber.come_from(address(2, part));
            }
            Some(step) => bail!("{}: {step:?}", subscriber.name()),
        }
    }
}

/// A loopback address of each part's own in each storm, with all its ports.
fn address(storm: u8, part: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1 + storm, 1 + part)
}
