//! Chaos: publishers and subscribers of all transports at work, while workers are killed, stopped and
//! replaced, the zone is full and clients go away; after each round everything must be right.

mod disturb;
mod follower;
mod ledger;
pub mod memory;
mod options;
mod quiet;
mod scramble;
mod traffic;
mod world;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use tokio::task::JoinSet;

use crate::config::{Config, Hub};
use crate::feed::Transport;
use crate::hub::{Admin, HubAddress};
use crate::nginx::Setup;
use crate::wait;

use disturb::{Disturber, Event};
use follower::Follower;
use ledger::{Ledger, Totals};
pub use options::Options;
use quiet::Quiet;
use world::{Channel, ROOMY, TIGHT, World};

/// All hubs: one whose subscribers lose nothing, one where they lose what they are told of, and one whose
/// channels come and go.
const HUBS: [&str; 3] = ["roomy", "tight", "brief"];

/// Channels of a follower that has several.
const TOGETHER: usize = 3;

/// Channels of the tight hub, for each of the roomy one's.
const TIGHT_SHARE: usize = 4;

/// Runs it all; answers the summary line. `say` is told how each round went.
pub async fn run(setup: &Setup, options: &Options, say: impl Fn(&str)) -> Result<String> {
    say(&format!(
        "seed {}: {} workers, {} channels with {} subscribers each, {}",
        options.seed,
        options.workers,
        options.channels,
        options.subscribers,
        names(&options.events()).join(", ")
    ));
    seeded(setup, options, &say)
        .await
        .with_context(|| format!("seed {}", options.seed))
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.name()).collect()
}

async fn seeded(setup: &Setup, options: &Options, say: &impl Fn(&str)) -> Result<String> {
    let mut rng = Rng::with_seed(options.seed);
    let hub = |name, zone, buffer: u64, polling| {
        Hub::new(name)
            .set("zone", zone)
            .set("max_subscribers_per_channel", 100_000)
            .set("channel_buffer_size", buffer)
            .set("channel_timeout", "3600s")
            .set("polling_timeout", polling)
    };
    // No noop helps a deaf subscriber of the roomy hub within the time that is waited for it.
    let hubs = [
        hub("roomy", "64m", ROOMY, "600s"),
        hub("tight", "8m", TIGHT, "2s"),
        hub("brief", "1m", 20, "2s")
            .set("on_full", "evict")
            .set("channel_timeout", "1s"),
    ];
    let mut config = Config::new(options.workers, hubs);
    if !options.park {
        config.http = "icomet_park off;\n";
    }
    let nginx = Arc::new(setup.start(config).await?);
    let [roomy, tight, brief] = HUBS.map(|name| HubAddress {
        address: nginx.address,
        name,
    });
    let channel = |hub: HubAddress, index: usize| Channel {
        name: format!("{}-{index}", hub.name),
        hub,
        lossy: hub.name == "tight",
        ledger: Mutex::new(Ledger::new(traffic::PUBLISHERS + 1)),
    };
    let few = options.channels.div_ceil(TIGHT_SHARE);
    let channels = (0..options.channels).map(|index| channel(roomy, index));
    let channels = channels.chain((0..few).map(|index| channel(tight, index)));
    let world = Arc::new(World::new(channels.collect()));

    // They end with this function, and never by themselves unless something is wrong.
    let mut tasks = JoinSet::new();
    let mut followers = Vec::new();
    for place in 0..world.channels.len() {
        for index in 0..options.subscribers {
            followers.push(Follower::start(&world, place..place + 1, index, &mut tasks));
        }
    }
    // Some have several channels, of one hub; one of each transport.
    let mut subscribers = [options.channels, few].map(|count| count * options.subscribers);
    for (hub, (start, count)) in [(0, options.channels), (options.channels, few)]
        .into_iter()
        .enumerate()
    {
        let together = count.min(TOGETHER);
        for first in (0..count - together + 1)
            .step_by(TOGETHER)
            .filter(|_| together > 1)
        {
            let channels = start + first..start + first + together;
            for index in 0..Transport::ALL.len() * 2 {
                followers.push(Follower::start(&world, channels.clone(), index, &mut tasks));
                subscribers[hub] += together;
            }
        }
    }
    let mut quiet = Quiet::new(subscribers, brief);
    let counted = quiet.counts(&world, Admin::new(roomy), Admin::new(tight));
    wait::first_error(&mut tasks, counted).await?;
    traffic::start(&world, &mut rng, &mut tasks);
    scramble::start(&world, brief, &mut rng, &mut tasks);

    let mut disturber = Disturber::new(Arc::clone(&nginx), Arc::clone(&world), followers, rng);
    let (start, mut told) = (Instant::now(), Instant::now());
    let mut sums = Totals::default();
    while start.elapsed() < options.time && world.round.load(Relaxed) < options.rounds {
        let round = world.round.fetch_add(1, Relaxed) + 1;
        let step = async {
            disturber.round(options).await?;
            quiet.check(&disturber, options, round).await
        };
        let totals = wait::first_error(&mut tasks, step)
            .await
            .with_context(|| format!("round {round}"))?;
        sums.acknowledged += totals.acknowledged;
        sums.unknown += totals.unknown;
        sums.refused += totals.refused;
        sums.unseen += totals.unseen;
        if told.elapsed() >= options.tell || round == 1 {
            told = Instant::now();
            say(&row(start.elapsed(), round, &disturber, &quiet, &sums));
        }
    }
    let line = row(
        start.elapsed(),
        world.round.load(Relaxed),
        &disturber,
        &quiet,
        &sums,
    );
    tasks.shutdown().await;
    drop(disturber);
    let nginx = Arc::into_inner(nginx).context("somebody still uses nginx")?;
    nginx.stop(&quiet::allowed(&world)).await?;
    Ok(line)
}

/// How it stands.
fn row(time: Duration, round: u64, disturber: &Disturber, quiet: &Quiet, sums: &Totals) -> String {
    let happened: Vec<_> = Event::ALL
        .iter()
        .zip(disturber.happened)
        .filter(|(_, times)| *times > 0)
        .map(|(event, times)| format!("{} {times}", event.name()))
        .collect();
    let counts = &disturber.world.counts;
    format!(
        "{:>5.0} s, {round} rounds: {}; repaired {}; published {} (unknown {}, refused {}), delivered {}; \
         connections cut {}, ended {}, refused {}; lost where 5 are kept {}, all told; memory {} KiB a worker, {} KiB the master",
        time.as_secs_f64(),
        happened.join(", "),
        quiet.repairs,
        sums.acknowledged,
        sums.unknown,
        sums.refused,
        counts.delivered.load(Relaxed),
        counts.cut.load(Relaxed),
        counts.ended.load(Relaxed),
        counts.refused.load(Relaxed),
        counts.lost.load(Relaxed),
        quiet.memory.worker / 1024,
        quiet.memory.master / 1024,
    )
}
