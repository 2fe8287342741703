//! `publish` and `batch`, in slices: what does not get done in one turn of the loop goes on in the next.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use icomet_engine::Publication as EnginePublication;
use icomet_protocol::api::Problem;
use icomet_protocol::api::answer::{self, Ended, Outcome, Published};
use icomet_protocol::api::publication::Publication;
use icomet_protocol::resume::Epoch;
use nginx_sys::ngx_int_t;

use super::{JSON, no_worker, problem, refused};
use crate::answer::Answer;
use crate::config::hub::Hub;
use crate::context::{Context, Owner};
use crate::ffi::guard::guarded;
use crate::ffi::log;
use crate::ffi::request::{Request, code};
use crate::worker::with;

/// How long one turn goes on before nginx looks for I/O again.
const TURN: Duration = Duration::from_millis(2);

/// The clock is looked at once in so many publishes, and after a large one.
const BETWEEN_LOOKS: usize = 16;

/// Content from so many bytes on is a large one.
const LARGE: usize = 16 << 10;

/// Publishes of one request, and how far they have come.
pub struct Job<'a> {
    publications: Vec<Publication<'a>>,
    is_batch: bool,
    /// The next: which message, which of its channels.
    at: (usize, usize),
    ended: Vec<Result<Published, Problem>>,
}

/// A job that goes on in a later turn.
pub struct Waiting {
    job: Job<'static>,
    hub: Rc<Hub>,
    /// None when the publisher has gone.
    request: Option<Request>,
}

impl<'a> Job<'a> {
    /// The job of a `publish`.
    pub fn of_publish(publication: Publication<'a>) -> Job<'a> {
        Job {
            publications: vec![publication],
            is_batch: false,
            at: (0, 0),
            ended: Vec::new(),
        }
    }

    /// The job of a `batch`.
    pub fn of_batch(publications: Vec<Publication<'a>>) -> Job<'a> {
        Job {
            publications,
            is_batch: true,
            at: (0, 0),
            ended: Vec::new(),
        }
    }

    /// Does what can be done now, and answers if that is all.
    pub fn begin(mut self, request: Request, context: &Context) -> ngx_int_t {
        if let [one] = self.publications.as_slice()
            && let [name] = one.channels.as_slice()
        {
            context.set_channel(&request, name);
        }
        let mut done = self.step(&context.hub);
        // A subrequest is not held; what it publishes is bounded by its body and max_batch.
        while !done && !request.is_main() {
            done = self.step(&context.hub);
        }
        if done {
            return self.answer(context).send(request, context);
        }
        let waiting = Waiting {
            job: self.into_owned(),
            hub: Rc::clone(&context.hub),
            request: Some(request),
        };
        let held = with(|worker| {
            let index = worker.publishing.insert(waiting);
            worker.keep_ticking();
            worker.publish.post();
            index
        });
        let Some(index) = held else {
            return code::INTERNAL_ERROR;
        };
        context.owner.set(Owner::Publisher(index));
        request.hold(false);
        code::DONE
    }

    /// Publishes until the turn is over; whether all is done.
    fn step(&mut self, hub: &Rc<Hub>) -> bool {
        let start = Instant::now();
        let mut looked = 0;
        while let Some(publication) = self.publications.get(self.at.0) {
            let Some(channel) = publication.channels.get(self.at.1) else {
                self.at = (self.at.0 + 1, 0);
                continue;
            };
            self.ended.push(publish(hub, publication, channel));
            self.at.1 += 1;
            looked += 1;
            if looked == BETWEEN_LOOKS || publication.content.len() >= LARGE {
                looked = 0;
                if start.elapsed() >= TURN {
                    return self.is_done();
                }
            }
        }
        true
    }

    fn is_done(&self) -> bool {
        let all: usize = self.publications.iter().map(|p| p.channels.len()).sum();
        self.ended.len() >= all
    }

    fn into_owned(self) -> Job<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        let publications = self.publications.into_iter().map(|p| Publication {
            channels: p.channels.into_iter().map(owned).collect(),
            is_single: p.is_single,
            content: p.content,
            id: p.id.map(owned),
            ttl: p.ttl,
            event: p.event.map(owned),
            exclude: p.exclude.map(owned),
        });
        Job {
            publications: publications.collect(),
            is_batch: self.is_batch,
            at: self.at,
            ended: self.ended,
        }
    }

    fn answer(self, context: &Context) -> Answer {
        let epoch = context.hub.zone.get().map_or(0, |zone| zone.epoch());
        if let [one] = self.publications.as_slice()
            && one.is_single
            && !self.is_batch
            && let ([name], [ended]) = (one.channels.as_slice(), self.ended.as_slice())
        {
            return match ended {
                Ok(done) => {
                    context.seq.set(Some(done.seq));
                    Answer::new(200, JSON, answer::published(name, done))
                }
                Err(what) => problem(what),
            };
        }
        let names = self.publications.iter().enumerate().flat_map(|(n, p)| {
            let message = self.is_batch.then_some(n);
            p.channels.iter().map(move |channel| (message, channel))
        });
        let results: Vec<_> = names
            .zip(self.ended)
            .map(|((message, channel), ended)| Outcome {
                message,
                channel,
                epoch: ended.as_ref().ok().map(|done| done.epoch.to_string()),
                ended: match ended {
                    Ok(done) => Ended::Done(done),
                    Err(what) => what.into(),
                },
            })
            .collect();
        let (status, body) = answer::outcomes(epoch, &results);
        Answer::new(status, JSON, body)
    }
}

/// One publish to one channel.
fn publish(
    hub: &Rc<Hub>,
    publication: &Publication<'_>,
    channel: &str,
) -> Result<Published, Problem> {
    let tag = |user: &str| hub.zone.get().map(|zone| zone.user_tag(user.as_bytes()));
    let message = EnginePublication {
        content: &publication.content,
        event: publication.event.as_deref().unwrap_or_default().as_bytes(),
        exclude: publication
            .exclude
            .as_deref()
            .and_then(tag)
            .unwrap_or_default(),
        ttl: publication.ttl,
        once: publication.id.as_deref().map(|id| hub.once(id)),
    };
    publish_to(hub, channel, &message)
}

/// Publishes, and says what may be wrong with the hub in the log.
pub fn publish_to(
    hub: &Rc<Hub>,
    channel: &str,
    publication: &EnginePublication<'_>,
) -> Result<Published, Problem> {
    let done = with(|worker| worker.publish(hub, channel, publication));
    let done = done.flatten().ok_or_else(no_worker)?;
    let done = done.map_err(|error| refused(hub, channel, &error))?;
    if done.crowded {
        log::ids_crowded(&hub.name, hub.max_idempotency_ids);
    }
    Ok(Published {
        seq: done.seq,
        epoch: Epoch {
            zone: hub.zone.get().map_or(0, |zone| zone.epoch()),
            incarnation: done.incarnation,
        },
        subscribers: done.subscribers,
        duplicate: done.repeated,
    })
}

/// The publisher has gone; its job goes on.
pub fn gone(index: u32) {
    with(|worker| {
        worker.publishing.get_mut(index)?.request = None;
        Some(())
    });
}

/// Goes on with the jobs that wait, each by a turn's slice.
pub unsafe extern "C" fn icomet_on_publishing(_event: *mut nginx_sys::ngx_event_t) {
    guarded("publishing", (), turn);
}

fn turn() {
    let Some(end) = with(|worker| worker.publishing.capacity()) else {
        return;
    };
    let start = Instant::now();
    for index in 0..end {
        let Some(mut waiting) = with(|worker| worker.publishing.remove(index)).flatten() else {
            continue;
        };
        if waiting.job.step(&waiting.hub) {
            finish(waiting);
        } else {
            let again = with(|worker| worker.publishing.insert(waiting));
            // Its place is the one that was just left, but that is the table's to say.
            retarget(again);
        }
        if start.elapsed() >= TURN {
            break;
        }
    }
    with(|worker| {
        if !worker.publishing.is_empty() {
            worker.publish.post();
        }
    });
}

fn retarget(index: Option<u32>) {
    let owner = with(|worker| {
        let index = index?;
        let request = worker.publishing.get_mut(index)?.request?;
        Some((request, index))
    });
    if let Some((request, index)) = owner.flatten()
        && let Some(context) = request.context()
    {
        context.owner.set(Owner::Publisher(index));
    }
}

fn finish(waiting: Waiting) {
    let Some(request) = waiting.request else {
        return;
    };
    let Some(context) = request.context() else {
        return;
    };
    context.owner.set(Owner::None);
    let answer = waiting.job.answer(context);
    request.finalize(answer.send(request, context));
}
