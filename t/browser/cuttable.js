// A TCP proxy that can be told to do what networks do.
'use strict';

const net = require('node:net');

/** Starts one before a port, on a free one. */
async function start(to) {
    const server = net.createServer();
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Cuttable(server, to);
}

class Cuttable {
    constructor(server, to) {
        this.server = server;
        this.port = server.address().port;
        this.connections = new Set();
        this.refusing = false;
        /** Answers what the proxy does with a connection's bytes; undefined: it passes them on. */
        this.rule = undefined;
        server.on('connection', (client) => this.pass(client, to));
    }

    pass(client, to) {
        if (this.refusing) return client.destroy();
        const upstream = net.connect(to, '127.0.0.1');
        const connection = { client, upstream };
        this.connections.add(connection);
        const end = () => {
            this.connections.delete(connection);
            client.destroy();
            upstream.destroy();
        };
        for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
        const rule = this.rule?.(connection);
        client.on('data', (data) => (rule?.request ? rule.request(data) : upstream.write(data)));
        upstream.on('data', (data) => (rule?.response ? rule.response(data) : client.write(data)));
        return undefined;
    }

    /** Cuts all connections. Those that come meanwhile are refused until `allow`. */
    cut() {
        this.refusing = true;
        for (const { client, upstream } of this.connections) {
            client.resetAndDestroy();
            upstream.destroy();
        }
        this.connections.clear();
    }

    allow() {
        this.refusing = false;
    }

    url(rest) {
        return `http://127.0.0.1:${this.port}${rest}`;
    }

    async end() {
        this.cut();
        await new Promise((resolve) => this.server.close(resolve));
    }
}

module.exports = { start };
