// A page with clients that use one transport, behind a proxy that can be cut.
'use strict';

const { open } = require('./chromium');
const cuttable = require('./cuttable');

/** How soon a client takes a silent connection for dead: a few of the server's noops, of one second each. In milliseconds. */
const SILENCE = 4000;

class Bench {
    /** Opens the page, from an nginx, for a transport of the client. */
    static async start({ browser, nginx, signer }, transport, row = transport, prepare = undefined) {
        const proxy = await cuttable.start(nginx.port);
        const context = await browser.newContext();
        if (prepare) await context.addInitScript(prepare);
        const page = await open(context, proxy.url('/client.html'));
        return Object.assign(new Bench(), { nginx, signer, proxy, context, page, transport, row, tests: 0 });
    }

    /** Another page of the same browser. */
    async tab() {
        return Object.assign(new Bench(), this, { page: await open(this.context, this.proxy.url('/client.html')) });
    }

    /** A channel's name of this test alone. */
    channel(name) {
        return `${this.row}.${this.tests}.${name}`.replace(/ /g, '-');
    }

    /** Makes a client, whose name is that of the test, and waits until it listens. */
    async listen({ url = '/icomet', channels, expected = 1, ...options } = {}) {
        this.tests += 1;
        this.name = `client ${this.tests}`;
        const channel = this.channel('c');
        const all = channels ?? { [channel]: { seq: 1 } };
        const settings = { url, transports: [this.transport], silenceTimeout: SILENCE, pollInterval: 50, ...options };
        await this.page(`listen(${JSON.stringify(this.name)}, ${JSON.stringify(settings)}, ${JSON.stringify(all)}), 0`);
        await this.until(`states.some((state) => /^open/.test(state))`);
        if (url !== '/tokens') for (const name of Object.keys(all)) await this.subscribed(name, 'icomet-admin', expected);
        return { channel };
    }

    /** Waits until the server has the client as a subscriber; by short polling it never waits there. */
    async subscribed(channel, admin = 'icomet-admin', expected = 1) {
        if (this.transport !== 'short-poll') await this.nginx.subscribers(channel, expected, admin);
    }

    /** Waits for a condition on what the client has told. */
    async until(condition) {
        const expression = `(({ messages, contents, seqs, events, states, problems }) => ${condition})(told[${JSON.stringify(this.name)}])`;
        await this.page.page.waitForFunction(expression, undefined, { polling: 20, timeout: 20_000 }).catch(async (error) => {
            throw new Error(`${condition}: ${error.message}; told: ${JSON.stringify(await this.page(`told[${JSON.stringify(this.name)}]`))}`);
        });
    }

    told(what) {
        return this.page(`told[${JSON.stringify(this.name)}].${what}`);
    }

    /** Ends the clients of a test. */
    async clear() {
        this.proxy.allow();
        await this.page('Object.values(clients).forEach((client) => client.stop())');
    }

    async end() {
        await this.context.close();
        await this.proxy.end();
    }
}

module.exports = { Bench };
