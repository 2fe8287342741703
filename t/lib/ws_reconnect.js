// npm's reconnecting-websocket, on npm's ws, as an application uses it: each time that it connects it asks for what comes after
// the last message that it has. What happens is told on stdout, a line each; the message "end" ends it.
//
// usage: node ws_reconnect.js URL    (of a ws endpoint, with cname)
'use strict';

const ReconnectingWebSocket = require('reconnecting-websocket');
const WebSocket = require('ws');

let next = 1;
const socket = new ReconnectingWebSocket(() => `${process.argv[2]}&seq=${next}`, ['icomet.v1'], {
    WebSocket,
    minReconnectionDelay: 10,
    maxReconnectionDelay: 200,
});
socket.addEventListener('open', () => console.log('open'));
socket.addEventListener('message', (event) => {
    const message = JSON.parse(event.data);
    console.log(message.type, message.seq, message.content);
    next = message.seq + 1;
    if (message.content === 'end') {
        socket.close();
    }
});
// A connect that is refused while no worker lives is an event "error" and a "close" without a code of the protocol's.
socket.addEventListener('close', (event) => console.log('closed', event.code));
