//! A request's parameters, and what is said of bad ones.

use std::borrow::Cow;

use icomet_protocol::Callback;
use icomet_protocol::params::{
    ChannelNames, ParameterError, Params, check_channel_name, check_user,
};
use nginx_sys::ngx_int_t;

use crate::answer::Answer;
use crate::config::location::ChannelSource;
use crate::context::Context;
use crate::ffi::log;
use crate::ffi::request::{MAX_EQUAL_HEADERS, Request};

/// The JSONP callback, where the hub has JSONP.
pub fn callback<'a>(
    context: &Context,
    params: &Params<'a>,
) -> Result<Option<Callback<'a>>, Answer> {
    let callback = params.callback().map_err(bad)?;
    if callback.is_some() && !context.hub.jsonp {
        log::jsonp_is_off(&context.hub.name);
        return Err(Answer::error(403, "", "JSONP is off here: ask without cb"));
    }
    Ok(callback)
}

/// The channels that a subscriber names, at most `max`; noted for the log.
pub fn channel_names<'a>(
    request: &'a Request,
    context: &Context,
    params: &Params<'a>,
    max: usize,
) -> Result<ChannelNames<'a>, Answer> {
    let location = request.location();
    if let Some(ChannelSource::Parameter(parameter)) = location.map(|l| l.channel())
        && let many @ ChannelNames::Many(_) = params.channel_names(parameter, max).map_err(bad)?
    {
        if let ChannelNames::Many(names) = &many {
            context.set_channel(request, &names.join(","));
        }
        return Ok(many);
    }
    channel_name(request, context, params).map(ChannelNames::One)
}

/// The channel's name, from where the location says it comes; noted for the log.
pub fn channel_name<'a>(
    request: &'a Request,
    context: &Context,
    params: &Params<'a>,
) -> Result<Cow<'a, str>, Answer> {
    let source = request
        .location()
        .map_or(ChannelSource::Parameter("cname"), |l| l.channel());
    let name = match source {
        ChannelSource::Parameter("cname") => params.channel_name().map_err(bad)?,
        ChannelSource::Parameter(name) => match params.get(name).unwrap_or_default() {
            Cow::Borrowed(name) => Cow::Borrowed(check_channel_name(name).map_err(bad)?),
            Cow::Owned(name) => Cow::Owned(check_channel_name(&name).map_err(bad)?.to_owned()),
        },
        ChannelSource::Value(value) => {
            let no_memory = || Answer::error(500, "", "the channel's name cannot be evaluated");
            let name = request.evaluate(value).ok_or_else(no_memory)?;
            Cow::Borrowed(check_channel_name(name).map_err(bad)?)
        }
    };
    context.set_channel(request, &name);
    Ok(name)
}

/// Who the subscriber is: what the location says (`icomet_user`), and else what it says itself; noted for
/// the log.
pub fn user<'a>(
    request: &'a Request,
    context: &Context,
    params: &Params<'a>,
) -> Result<Option<Cow<'a, str>>, Answer> {
    let user = match request.location().and_then(|location| location.user()) {
        None => params.user().map_err(bad)?,
        Some(value) => {
            let no_memory = || Answer::error(500, "", "the user cannot be evaluated");
            match request.evaluate(value).ok_or_else(no_memory)? {
                b"" => None,
                user => Some(Cow::Borrowed(check_user(user).map_err(bad)?)),
            }
        }
    };
    if let Some(user) = &user {
        context.set_user(request, user);
    }
    Ok(user)
}

/// Whether the request names a channel at all, where the location says the name comes from.
pub fn names_channel<'a>(request: &'a Request, params: &Params<'a>) -> bool {
    match request.location().map(|location| location.channel()) {
        Some(ChannelSource::Value(value)) => {
            request.evaluate(value).is_some_and(|name| !name.is_empty())
        }
        Some(ChannelSource::Parameter(name)) => {
            params.get(name).is_some_and(|name| !name.is_empty())
        }
        None => false,
    }
}

/// What a bad parameter gets.
pub fn bad(error: ParameterError) -> Answer {
    Answer::error(400, "", &error.to_string())
}

/// The values of all header fields of that name, joined by commas.
pub fn header_list<'a>(request: &'a Request, name: &str) -> Result<Option<Cow<'a, [u8]>>, Answer> {
    request.header_list(name).map_err(|()| {
        let text = format!("more than {MAX_EQUAL_HEADERS} header fields are named {name}");
        Answer::error(400, "", &text)
    })
}

/// What a subscriber gets whose body is not there with its head. It must not wait meanwhile: nginx
/// reads the connection as that body until it is through, and would not see the client leave.
pub fn late_body(request: Request, context: &Context) -> ngx_int_t {
    request.close_after();
    Answer::error(400, "", "a subscription takes no body")
        .uncached()
        .send(request, context)
}
