// The legacy script, on a page from which everything was taken that came after IE6; and the line that every user of icomet.js knows.
'use strict';

const assert = require('node:assert/strict');
const { open } = require('./chromium');
const cuttable = require('./cuttable');
const { freePort, start } = require('./nginx');
const signer = require('./signer');
const { main } = require('./suite');

const GONE = ['EventSource', 'WebSocket', 'fetch', 'XMLHttpRequest', 'JSON', 'Promise', 'addEventListener', 'BroadcastChannel', 'URL'];
const STRIP = `for (const name of ${JSON.stringify(GONE)}) self[name] = undefined`;

/** The line, verbatim but for what the callback does. */
const LINE = `var comet = new iComet({channel: 'abc', signUrl: '', subUrl: '', callback: function(content){ heard.push(content); }});`;

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** A stripped page with one client, behind a proxy that can be cut. */
class Old {
    static async start({ browser, nginx, signer: sign }, transport, name) {
        const old = Object.assign(new Old(), { nginx, signer: sign, transport, channel: `${transport}.${name}` });
        old.proxy = await cuttable.start(nginx.port);
        old.context = await browser.newContext();
        await old.context.addInitScript(STRIP);
        old.page = await open(old.context, old.proxy.url('/legacy.html'));
        return old;
    }

    async listen({ subUrl = '/icomet/sub', signUrl = '', channel = this.channel, admin = 'icomet-admin' } = {}) {
        const config = JSON.stringify({ channel, signUrl, subUrl, transport: this.transport, seq: 1, silenceTimeout: 3000 });
        await this.page(`(function (config) {
            config.callback = function (content, message) { told.contents.push(content); told.events.push('message ' + message.seq); };
            config.onLost = function (count) { told.events.push('lost ' + count); };
            config.onState = function (state, transport) { told.states.push(state + ' ' + transport); };
            comet = new iComet(config);
        }(${config}))`);
        await this.nginx.subscribers(channel, 1, admin);
    }

    /** Playwright's own scripts in the page need what was taken from it: it is asked from here. */
    async until(condition) {
        for (let tries = 0; !(await this.page(`(function () { var contents = told.contents, events = told.events; return ${condition}; }())`)); tries += 1) {
            if (tries > 1000) throw new Error(`${condition}: did not come about; events: ${await this.events()}`);
            await new Promise((done) => setTimeout(done, 20));
        }
    }

    async events() {
        return (await this.page(`told.events.join()`)).split(',').filter(Boolean);
    }

    async end() {
        await this.context.close();
        await this.proxy.end();
    }
}

const list = {
    async 'messages come whole'(old) {
        const contents = ['short', 'long '.repeat(20_000), 'Grüße, 世界', '"quoted"\n</script><!--'];
        await old.listen();
        for (const content of contents) await old.nginx.push(old.channel, content);
        await old.until('contents.length === 4');
        for (const [index, content] of contents.entries()) assert.equal(await old.page(`told.contents[${index}]`), content);
    },

    async 'after a cut it goes on: nothing is lost, nothing comes twice'(old) {
        await old.listen();
        await old.nginx.push(old.channel, 'before');
        await old.until('contents.length === 1');
        old.proxy.cut();
        for (let count = 0; count < 3; count += 1) await old.nginx.push(old.channel, 'meanwhile');
        old.proxy.allow();
        await old.until('contents.length === 4');
        assert.deepEqual(await old.events(), range(1, 4).map((seq) => `message ${seq}`));
    },

    async 'what the server no longer has is told, with its count'(old) {
        const channel = `small.${old.channel}`;
        await old.listen({ channel });
        await old.nginx.push(channel, 'had');
        await old.until('contents.length === 1');
        old.proxy.cut();
        for (let count = 0; count < 10; count += 1) await old.nginx.push(channel, 'meanwhile');
        old.proxy.allow();
        await old.until('contents.length === 6');
        assert.deepEqual(await old.events(), ['message 1', 'lost 5', ...range(7, 11).map((seq) => `message ${seq}`)]);
    },

    async 'a refused token is renewed by signUrl'(old) {
        const channel = `stale.${old.channel}`;
        await old.listen({ channel, subUrl: '/tokens/sub', signUrl: '/sign', admin: 'tokens-admin' });
        await old.nginx.push(channel, 'secret', 'tokens-admin');
        await old.until('contents.length === 1');
        assert.equal(old.signer.asked(channel), 2);
    },

    async 'a reload and killed workers: nothing is lost, nothing comes twice'(old) {
        await old.listen();
        const done = old.nginx.reload();
        for (const content of range(1, 5)) await old.nginx.push(old.channel, content);
        await done();
        await old.nginx.push(old.channel, 'between');
        await old.until('contents.length === 6');
        await old.nginx.kill();
        await old.nginx.push(old.channel, 'last');
        await old.until('contents.length >= 7');
        assert.deepEqual(await old.events(), range(1, 7).map((seq) => `message ${seq}`));
    },

    async 'it publishes, stops, and starts where it was'(old) {
        await old.listen();
        await old.page(`comet.pubUrl = '/icomet-admin/push'; comet.pub('one', function (answer) { told.events.push(answer.type); })`);
        await old.until('events.length === 2');
        await old.page('comet.stop()');
        await old.nginx.push(old.channel, 'meanwhile');
        await old.page('comet.start()');
        await old.until('contents.length === 2');
        assert.deepEqual((await old.events()).sort(), ['message 1', 'message 2', 'ok']);
    },
};

const tests = {};

for (const transport of ['jsonp', 'iframe']) {
    for (const [name, test] of Object.entries(list)) {
        tests[`${transport}: ${name}`] = async (env) => {
            const old = await Old.start(env, transport, Object.keys(list).indexOf(name));
            try {
                await test(old);
                const states = await old.page(`told.states.join()`);
                assert.ok(!states.includes(transport === 'iframe' ? 'jsonp' : 'iframe'), states);
                assert.deepEqual(old.page.errors, []);
            } finally {
                await old.end();
            }
        };
    }
}

for (const [html, strip] of [['legacy.html', STRIP], ['client.html', ';']]) {
    tests[`the line of icomet.js works verbatim: ${html}`] = async ({ browser, nginx }) => {
        const context = await browser.newContext();
        await context.addInitScript(strip);
        const page = await open(context, nginx.url(`/${html}`));
        await page(`heard = []; ${LINE}`);
        // From now on, once its first question is answered.
        await nginx.subscribers('abc', 1);
        for (const content of ['first', 'second']) await nginx.push('abc', content);
        const heard = () => page('heard.join()');
        for (let tries = 0; (await heard()) !== 'first,second'; tries += 1) {
            assert.ok(tries < 500, `heard: ${await heard()}`);
            await new Promise((done) => setTimeout(done, 20));
        }
        await page('comet.stop()');
        await context.close();
        await nginx.subscribers('abc', 0);
    };
}

main(tests, async (folder) => {
    const port = await freePort();
    const sign = await signer.start(port);
    const nginx = await start(folder, `
        location = /sign { proxy_pass http://127.0.0.1:${port}; }
    `);
    sign.use(nginx);
    return { nginx, signer: sign };
});
