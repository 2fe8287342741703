//! Who of a worker's WebSockets is read from, and how much.
//!
//! All of them share one budget of time in each turn of the loop, as all subscribers share the fan-out's.
//! They stand in a line: each is read from once, then the next; where the time is over the rest waits for
//! the next turn. Whoever has sent more than `ws_rate` allows is not read from until it may again: it is in
//! no line meanwhile, and TCP makes its client wait.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use icomet_websocket::rate::{Bucket, Rate};
use nginx_sys::ngx_event_t;
use rustc_hash::FxHashMap;

use super::leaving::Leaving;
use super::websocket::{self, Input};
use super::{Worker, parking, shutdown, with};
use crate::ffi::connection::Received;
use crate::ffi::event;
use crate::ffi::guard::guarded;
use crate::ffi::log;

/// How long one turn goes on before nginx looks for other I/O.
const TURN: Duration = Duration::from_millis(2);

/// Bytes of incomplete messages that a worker holds for all clients together, unless four of its hub's
/// longest are more.
const HELD: usize = 64 << 20;

/// How much may be done for a client at a time.
pub struct Budget {
    ends: Instant,
    rate: Option<Rate>,
    bucket: Bucket,
    /// In microseconds of nginx's clock.
    now: u64,
}

impl Budget {
    /// Whether the turn's time is over.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// Whether the client has sent all that it may for now.
    pub fn is_spent(&self) -> bool {
        self.rate
            .is_some_and(|rate| !rate.allows(self.bucket, self.now))
    }

    /// A command was done, which has inflated by, and was answered by, so many bytes.
    pub fn charge(&mut self, bytes: usize) {
        if let Some(rate) = self.rate {
            self.bucket = rate.charge(self.bucket, self.now, bytes);
        }
    }

    /// What is left of the client's own part.
    pub fn bucket(&self) -> Bucket {
        self.bucket
    }
}

/// Input that is not complete, or not looked at yet, of all who have some; it has a bound.
#[derive(Default)]
pub struct Inputs {
    by_index: FxHashMap<u32, Box<Input>>,
    /// By the number of its beginning, so that the oldest is first.
    by_age: BTreeMap<u64, u32>,
    begun: u64,
    bytes: usize,
}

impl Inputs {
    /// What is kept of that client, taken out.
    pub fn take(&mut self, index: u32) -> Option<Box<Input>> {
        let input = self.by_index.remove(&index)?;
        self.by_age.remove(&input.age);
        self.bytes -= input.counted;
        Some(input)
    }

    /// Keeps something of a client of which nothing is kept. Without an age it has just begun.
    pub fn put(&mut self, index: u32, mut input: Box<Input>) {
        if input.age == 0 {
            self.begun += 1;
            input.age = self.begun;
        }
        input.counted = input.held();
        self.bytes += input.counted;
        self.by_age.insert(input.age, index);
        self.by_index.insert(index, input);
    }

    /// What is kept of that client.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut Input> {
        self.by_index.get_mut(&index).map(|input| &mut **input)
    }

    /// Whose has begun first, if all together are more than that.
    fn oldest_above(&self, most: usize) -> Option<u32> {
        let is_more = self.bytes > most;
        let (_, index) = self.by_age.first_key_value().filter(|_| is_more)?;
        Some(*index)
    }
}

/// The client may have sent something, or has left; or the worker begins to exit.
pub fn readable(index: u32) {
    let sink = with(|worker| worker.subscribers.get(index).map(|it| it.sink));
    let Some(sink) = sink.flatten() else { return };
    // nginx tells of its exit outside of its loop.
    match sink.receive(&mut []) {
        Received::Gone => parking::gone(index),
        Received::Exiting => shutdown::begin(),
        Received::Nothing | Received::Bytes(_) => {
            with(|worker| {
                worker.listening.ready(index);
                if !worker.listening.is_idle() {
                    worker.input.post_now();
                }
            });
        }
    }
}

/// Reads from those who have sent something; nginx calls it at the end of a turn of the loop.
pub unsafe extern "C" fn icomet_on_input(_event: *mut ngx_event_t) {
    guarded("WebSocket input", (), turn);
}

/// nginx calls it when somebody may send again.
pub unsafe extern "C" fn icomet_on_input_timer(_event: *mut ngx_event_t) {
    guarded("WebSocket input timer", (), || {
        with(|worker| worker.input.post_now());
    });
}

fn turn() {
    let ends = Instant::now() + TURN;
    with(|worker| worker.listening.wake(event::now()));
    while let Some(index) = with(|worker| worker.listening.take()).flatten() {
        if serve(index, ends) {
            with(|worker| worker.listening.ready(index));
        }
        if Instant::now() >= ends {
            break;
        }
    }
    with(|worker| {
        if !worker.listening.is_idle() {
            worker.input.post();
        }
        if let Some(due) = worker.listening.due() {
            let delay = due.saturating_sub(event::now()).max(1);
            worker.input_timer.set_timer_exactly(delay);
        }
    });
}

/// Reads once from a client; whether more may be read.
fn serve(index: u32, ends: Instant) -> bool {
    let Some(mut budget) = with(|worker| worker.budget(index, ends)).flatten() else {
        return false;
    };
    websocket::read(index, &mut budget)
}

impl Worker {
    /// What a client may have done in this turn; nothing if it has to wait, which is seen to.
    fn budget(&mut self, index: u32, ends: Instant) -> Option<Budget> {
        let subscriber = self.subscribers.get(index)?;
        let hub = &self.hubs.get(usize::from(subscriber.hub))?.hub;
        let now = event::now();
        let budget = Budget {
            ends,
            rate: hub
                .ws_rate
                .filter(|_| subscriber.socket().is_some_and(|socket| !socket.echoes())),
            bucket: subscriber.bucket(),
            now: now * 1000,
        };
        // One that leaves this worker is not read from in any case.
        let rate = budget.rate.filter(|_| self.drain.is_none());
        let Some(rate) = rate.filter(|_| budget.is_spent()) else {
            return Some(budget);
        };
        let pause = rate.pause(budget.bucket, budget.now).div_ceil(1000);
        self.listening.pause(index, now + pause.max(1));
        // Otherwise it may have sent no more than it may.
        let waits = self.inputs.get_mut(index).is_some_and(|it| it.is_early());
        if waits {
            log::too_fast(&hub.name, rate);
        }
        None
    }

    /// Takes the client out whose incomplete message has begun first, if those of all take too much memory:
    /// how it is ended.
    pub fn end_oldest_input(&mut self, longest: usize) -> Option<(Leaving, bool)> {
        let most = HELD.max(longest.saturating_mul(4));
        let index = self.inputs.oldest_above(most)?;
        let subscriber = self.subscribers.get(index)?;
        let is_sending = self.is_sending(index, subscriber);
        log::inputs_full(most);
        let leaving = self.remove_subscriber(index)?;
        Some((leaving, is_sending))
    }
}
