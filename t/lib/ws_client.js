// npm's ws against a ws endpoint: what it agrees on, and some messages; each step is a line on stdout.
//
// usage: node ws_client.js URL
'use strict';

const WebSocket = require('ws');

const socket = new WebSocket(process.argv[2], ['icomet.v1'], { perMessageDeflate: { threshold: 0 } });
let left = 3;
socket.on('open', () => {
    console.log('subprotocol', socket.protocol);
    console.log('extensions', socket.extensions.split(';')[0]);
});
socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.type === 'error') {
        console.log('reply', message.id);
        socket.close(1000);
        return;
    }
    console.log(message.type, message.seq, message.content.length);
    left -= 1;
    if (left === 0) {
        socket.ping('', undefined, () => {});
    }
});
socket.on('pong', () => {
    console.log('pong');
    socket.send(JSON.stringify({ type: 'subscribe', id: 5, channel: 'x'.repeat(1000) }));
});
socket.on('close', (code) => console.log('closed', code));
socket.on('error', (error) => console.log('error', error.message));
