//! What a request of ours carries: for the log's variables, and to find what belongs to it.

use core::cell::Cell;
use std::rc::Rc;

use nginx_sys::ngx_str_t;

use crate::config::hub::Hub;
use crate::endpoint::Endpoint;
use crate::endpoint::api::publish;
use crate::ffi::output::Output;
use crate::ffi::request::Request;
use crate::worker::{broadcast, delivery, presence};

/// What in the worker's tables refers to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nothing: the request is answered at once.
    None,
    /// A subscriber of a channel, by its index.
    Subscriber(u32),
    /// A listener of presence events, by hub and index.
    Listener(usize, u32),
    /// A broadcast on its way, by hub and index.
    Broadcast(usize, u32),
    /// Publishes of the API that are on their way, by their index.
    Publisher(u32),
}

/// The context of one request; it stands in the request's pool, and lives until nginx has logged and
/// freed the request. A plain publish allocates nothing for it.
pub struct Context {
    /// The hub of the request's location.
    pub hub: Rc<Hub>,
    /// The endpoint, once it is known.
    pub endpoint: Cell<Option<Endpoint>>,
    /// The seq of the message published, or the next that the subscriber had not been sent.
    pub seq: Cell<Option<u64>>,
    /// Who is told when the request ends or can take more.
    pub owner: Cell<Owner>,
    /// The bytes under way to the client.
    pub output: Output,
    channel: Cell<ngx_str_t>,
    user: Cell<ngx_str_t>,
}

impl Context {
    /// A context for a request to that hub.
    pub fn new(hub: Rc<Hub>) -> Context {
        Context {
            hub,
            endpoint: Cell::new(None),
            seq: Cell::new(None),
            owner: Cell::new(Owner::None),
            output: Output::default(),
            channel: Cell::new(ngx_str_t::empty()),
            user: Cell::new(ngx_str_t::empty()),
        }
    }

    /// The channel's name, in the request's pool; empty until it is known.
    pub fn channel(&self) -> ngx_str_t {
        self.channel.get()
    }

    /// Notes the channel's name. Without memory for it the log lacks it.
    pub fn set_channel(&self, request: &Request, name: &str) {
        if let Some(name) = request.keep_text(name) {
            self.channel.set(name);
        }
    }

    /// The subscriber's user, in the request's pool; empty if it is nobody's.
    pub fn user(&self) -> ngx_str_t {
        self.user.get()
    }

    /// Notes the user. Without memory for it the log lacks it.
    pub fn set_user(&self, request: &Request, user: &str) {
        if let Some(user) = request.keep_text(user) {
            self.user.set(user);
        }
    }

    /// nginx frees the request: whoever refers to it forgets it.
    pub fn close(&self) {
        match self.owner.replace(Owner::None) {
            Owner::None => {}
            Owner::Subscriber(index) => {
                if let Some(next) = delivery::gone(index) {
                    self.seq.set(Some(next));
                }
            }
            Owner::Listener(hub, index) => presence::gone(hub, index),
            Owner::Broadcast(hub, index) => broadcast::gone(hub, index),
            Owner::Publisher(index) => publish::gone(index),
        }
    }

    /// The client has taken all that was sent to it.
    pub fn drained(&self, _request: Request) {
        match self.owner.get() {
            Owner::Subscriber(index) => delivery::drained(index),
            Owner::Listener(hub, index) => presence::drained(hub, index),
            Owner::None | Owner::Broadcast(..) | Owner::Publisher(_) => {}
        }
    }
}
