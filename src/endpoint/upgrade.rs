//! A request that opens a WebSocket (RFC 6455, section 4.2).

use icomet_websocket::handshake::{self, Acceptance, HandshakeError, VERSION};
use nginx_sys::ngx_int_t;

use super::{Side, front, input, method_not_allowed, origin};
use crate::answer::{Answer, FieldValue, send_head};
use crate::context::Context;
use crate::ffi::request::{HTTP_11, Method, Request, code};
use crate::worker::websocket;

/// Serves the endpoints `ws` and `ws_echo`.
pub fn serve(request: Request, context: &Context, echoes: bool) -> ngx_int_t {
    if request.method() != Method::Get {
        return method_not_allowed(request, context, Side::Front, "GET");
    }
    let rc = request.discard_body();
    if rc != code::OK {
        return rc;
    }
    if request.is_discarding() {
        return input::late_body(request, context);
    }
    let answered = negotiate(&request, context).and_then(|acceptance| {
        let transport = websocket::transport(echoes, acceptance.extension.is_some());
        front::subscribe(request, context, transport, Some(&acceptance))
    });
    answered.unwrap_or_else(|answer| answer.uncached().send(request, context))
}

fn negotiate(request: &Request, context: &Context) -> Result<Acceptance, Answer> {
    // By HTTP/2 and later a WebSocket is opened by CONNECT (RFC 8441), which nginx does not take.
    if request.http_version() > HTTP_11 {
        return Err(Answer::error(
            400,
            "",
            "a WebSocket is opened by HTTP/1.1 here",
        ));
    }
    let list = |name| input::header_list(request, name);
    let (upgrade, connection) = (list("upgrade")?, list("connection")?);
    let (version, key) = (list("sec-websocket-version")?, list("sec-websocket-key")?);
    let protocols = list("sec-websocket-protocol")?;
    let extensions = list("sec-websocket-extensions")?;
    let asked = handshake::Request {
        // HTTP/1.0 knows no Upgrade (RFC 9110, section 7.8).
        upgrade: upgrade
            .as_deref()
            .filter(|_| request.http_version() == HTTP_11),
        connection: connection.as_deref(),
        version: version.as_deref(),
        key: key.as_deref(),
        protocols: protocols.as_deref(),
        extensions: extensions.as_deref(),
    };
    let acceptance = handshake::accept(&asked).map_err(refusal)?;
    input::header_list(request, "origin")?;
    if !context.hub.allowed_origins.allow_socket(&request.page()) {
        return Err(origin::refused(context));
    }
    Ok(acceptance)
}

fn refusal(error: HandshakeError) -> Answer {
    let answer = Answer::error(error.status(), "", &error.to_string());
    if error.status() != 426 {
        return answer;
    }
    answer
        .header("Upgrade", "websocket")
        .header("Connection", "upgrade")
        .header("Sec-WebSocket-Version", VERSION)
}

/// Sends the head that opens the connection.
pub fn send_opening(request: Request, acceptance: &Acceptance) -> ngx_int_t {
    let mut headers = vec![
        ("Upgrade", "websocket".into_value()),
        (
            "Sec-WebSocket-Accept",
            acceptance.key.as_bytes().into_value(),
        ),
    ];
    if let Some(protocol) = acceptance.protocol {
        headers.push(("Sec-WebSocket-Protocol", protocol.into_value()));
    }
    if let Some(extension) = acceptance.extension {
        headers.push(("Sec-WebSocket-Extensions", extension.into_value()));
    }
    request.upgrade();
    send_head(request, 101, None, "", &headers)
}
