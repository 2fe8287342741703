// The JavaScript client in a browser, when the network is not what it should be; and tabs that share a connection.
'use strict';

const assert = require('node:assert/strict');
const { Bench } = require('./bench');
const { freePort, start } = require('./nginx');
const signer = require('./signer');
const { main } = require('./suite');

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** A client that comes again only when it is told that it may: after a minute at the soonest. */
const PATIENT = { retry: { min: 60_000, max: 60_000 } };

/** What a proxy of a company does: it knows no WebSockets, and hands an answer on when it is complete. */
function buffering() {
    let endless = false;
    return ({ client, upstream }) => ({
        request(data) {
            const text = data.toString('latin1');
            if (/^upgrade: *websocket/im.test(text)) return client.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
            endless = /^GET \S*\/(sse|stream|iframe)\?/.test(text);
            return upstream.write(data);
        },
        response(data) {
            if (!endless) client.write(data);
        },
    });
}

/** A bench for one test, whose client may use all transports. */
async function withBench(env, use, options = {}) {
    const bench = await Bench.start(env, options.transport ?? 'all', options.name ?? `n${Math.random().toString(36).slice(2)}`, options.prepare);
    try {
        await use(bench);
        assert.deepEqual(bench.page.errors, []);
    } finally {
        await bench.end();
    }
}

const all = { transports: undefined };

const tests = {
    async 'a browser that has all takes the WebSocket'(env) {
        await withBench(env, async (bench) => {
            await bench.listen(all);
            assert.deepEqual(await bench.told('states'), ['connecting', 'open websocket']);
        });
    },

    async 'what a browser has not is passed over'(env) {
        const order = [['WebSocket', 'sse'], ['EventSource', 'stream'], ['ReadableStream', 'stream'], ['XMLHttpRequest', 'poll'], ['fetch', 'jsonp']];
        const gone = [];
        for (const [name, next] of order) {
            gone.push(name);
            const prepare = `for (const name of ${JSON.stringify(gone)}) self[name] = undefined`;
            await withBench(env, async (bench) => {
                const { channel } = await bench.listen(all);
                await bench.nginx.push(channel, 'heard');
                await bench.until('contents.length === 1');
                assert.equal((await bench.told('states')).at(-1), `open ${next}`, gone.join());
            }, { prepare });
        }
    },

    async 'behind a proxy that buffers and knows no WebSockets it polls, and the next page begins so'(env) {
        await withBench(env, async (bench) => {
            bench.proxy.rule = (connection) => buffering()(connection);
            // Those that were there before are under no rule.
            bench.proxy.cut();
            bench.proxy.allow();
            const { channel } = await bench.listen({ ...all, openTimeout: 700 });
            await bench.nginx.push(channel, 'heard');
            await bench.until('contents.length === 1');
            assert.deepEqual(await bench.told('states'), ['connecting', 'open poll']);
            assert.equal((await bench.told('problems')).length, 3);
            await bench.page.page.reload();
            const next = await bench.listen({ ...all, openTimeout: 700 });
            await bench.nginx.push(next.channel, 'heard');
            await bench.until('contents.length === 1');
            assert.deepEqual(await bench.told('problems'), []);
            assert.deepEqual(await bench.told('states'), ['connecting', 'open poll']);
        });
    },

    async 'a server that is away for a while does not make it take another transport'(env) {
        await withBench(env, async (bench) => {
            const { channel } = await bench.listen({ ...all, betterAfter: 300 });
            bench.proxy.cut();
            // Each of them has failed: the server may come back when the last of them is tried.
            await bench.until('problems.length >= 8');
            bench.proxy.allow();
            await bench.nginx.push(channel, 'heard');
            await bench.until(`contents.length === 1 && states.at(-1) === 'open websocket'`);
        });
    },

    async 'when the browser is online again it comes at once'(env) {
        for (const transport of ['websocket', 'sse', 'poll']) {
            await withBench(env, async (bench) => {
                const { channel } = await bench.listen(PATIENT);
                await bench.context.setOffline(true);
                await bench.until(`states.at(-1) === 'reconnecting'`);
                await bench.nginx.push(channel, 'meanwhile');
                await bench.context.setOffline(false);
                await bench.until('contents.length === 1');
                assert.deepEqual(await bench.told('states'), ['connecting', `open ${transport}`, 'reconnecting', `open ${transport}`]);
            }, { transport });
        }
    },

    async 'when the page is looked at again it comes at once'(env) {
        await withBench(env, async (bench) => {
            const { channel } = await bench.listen(PATIENT);
            bench.proxy.cut();
            await bench.until(`states.at(-1) === 'reconnecting'`);
            bench.proxy.allow();
            await bench.nginx.push(channel, 'meanwhile');
            assert.deepEqual(await bench.told('contents'), []);
            await bench.page(`document.dispatchEvent(new Event('visibilitychange'))`);
            await bench.until('contents.length === 1');
        }, { transport: 'sse' });
    },

    async 'a WebSocket that is cut right behind its 101, each time, gives way to another transport'(env) {
        await withBench(env, async (bench) => {
            bench.proxy.rule = ({ client, upstream }) => {
                let websocket = false;
                return {
                    request(data) {
                        websocket ||= /^upgrade: *websocket/im.test(data.toString('latin1'));
                        upstream.write(data);
                    },
                    response(data) {
                        if (websocket) client.end(data.subarray(0, data.indexOf('\r\n\r\n') + 4));
                        else client.write(data);
                    },
                };
            };
            bench.proxy.cut();
            bench.proxy.allow();
            const { channel } = await bench.listen(all);
            await bench.nginx.push(channel, 'heard');
            await bench.until('contents.length === 1');
            assert.equal((await bench.told('states')).at(-1), 'open sse');
            assert.equal((await bench.told('problems')).length, 1);
        });
    },

    async 'a WebSocket that another network has made deaf is made again when the page is looked at'(env) {
        await withBench(env, async (bench) => {
            const before = [];
            bench.proxy.rule = (connection) => void before.push(connection);
            bench.proxy.cut();
            bench.proxy.allow();
            const { channel } = await bench.listen({ silenceTimeout: 60_000 });
            bench.proxy.rule = undefined;
            // Nothing comes through any more, nor that the other side has ended.
            for (const { client, upstream } of before) {
                client.removeAllListeners('data').resume();
                upstream.removeAllListeners('close').destroy();
            }
            await bench.nginx.push(channel, 'meanwhile');
            await bench.page(`dispatchEvent(new Event('focus'))`);
            await bench.until('contents.length === 1');
            assert.match((await bench.told('problems')).join(), /no answer to a ping/);
        }, { transport: 'websocket' });
    },

    async 'by events with a name, whatever the transport'(env) {
        for (const transport of ['websocket', 'sse', 'stream']) {
            await withBench(env, async (bench) => {
                const { channel } = await bench.listen({ events: ['price'] });
                await bench.nginx.get('/icomet-admin/push', { cname: channel, content: '1', event: 'price' });
                await bench.until('contents.length === 1');
                assert.equal((await bench.told('messages'))[0].event, 'price');
            }, { transport });
        }
    },

    async 'it publishes over the WebSocket, and by a pubUrl'(env) {
        await withBench(env, async (bench) => {
            const { channel } = await bench.listen({ url: '/publish' });
            await bench.page(`clients['${bench.name}'].publish('${channel}', 'by WebSocket')`);
            await bench.listen({ pubUrl: '/icomet-admin/push', channels: { [channel]: { seq: 1 } }, expected: 2 });
            await bench.page(`clients['${bench.name}'].publish('${channel}', 'by form')`);
            await bench.until('contents.length === 2');
            assert.deepEqual(await bench.told('contents'), ['by WebSocket', 'by form']);
            const refused = await bench.page(`clients['${bench.name}'].publish('', 'x').catch((error) => error.message)`);
            assert.match(refused, /pubUrl answered 400/);
        }, { transport: 'websocket' });
    },

    async 'a tab that is looked at wakes the one with the connection'(env) {
        await withBench(env, async (bench) => {
            const shared = { ...all, ...PATIENT, shareTabs: true };
            const { channel } = await bench.listen(shared);
            const other = await bench.tab();
            await other.listen({ ...shared, channels: { [channel]: { seq: 1 } } });
            bench.proxy.cut();
            for (const tab of [bench, other]) await tab.until(`states.at(-1) === 'reconnecting'`);
            bench.proxy.allow();
            await bench.nginx.push(channel, 'meanwhile');
            await other.page(`document.dispatchEvent(new Event('visibilitychange'))`);
            for (const tab of [bench, other]) await tab.until('contents.length === 1');
        });
    },

    async 'a tab publishes through the one with the connection'(env) {
        await withBench(env, async (bench) => {
            const shared = { ...all, shareTabs: true, url: '/publish' };
            const { channel } = await bench.listen(shared);
            const other = await bench.tab();
            await other.listen({ ...shared, channels: { [channel]: { seq: 1 } } });
            await other.page(`clients['${other.name}'].publish('${channel}', 'by the other')`);
            for (const tab of [bench, other]) await tab.until(`contents[0] === 'by the other'`);
            const refused = await other.page(`clients['${other.name}'].publish('', 'x').catch((error) => error.message)`);
            assert.match(refused, /not published: .*bad_member/);
        });
    },

    async 'two tabs share one connection; when one is closed the other goes on'(env) {
        await withBench(env, async (bench) => {
            const shared = { ...all, shareTabs: true };
            const { channel } = await bench.listen(shared);
            const [second, third] = [await bench.tab(), await bench.tab()];
            await bench.nginx.push(channel, 'before');
            await bench.until('contents.length === 1');
            await second.listen({ ...shared, channels: { [channel]: { seq: 1 } } });
            await third.listen({ ...shared, channels: { [channel]: { seq: 0 } } });
            await bench.nginx.push(channel, 'to all');
            for (const tab of [bench, second]) await tab.until('seqs.length === 2');
            await third.until('seqs.length === 1');
            await bench.nginx.subscribers(channel, 1);
            // The tab with the connection goes; the browser gives it to another one.
            await bench.page.page.close();
            for (const content of range(3, 12)) await bench.nginx.push(channel, content);
            for (const tab of [second, third]) await tab.until('seqs.includes(12)');
            assert.deepEqual(await second.told('events'), range(1, 12).map((seq) => `message ${seq}`));
            assert.deepEqual(await third.told('events'), range(2, 12).map((seq) => `message ${seq}`));
            await bench.nginx.subscribers(channel, 1);
            await second.page(`clients['${second.name}'].stop()`);
            await bench.nginx.push(channel, 'last');
            await third.until('seqs.includes(13)');
            assert.deepEqual(await third.told('events'), range(2, 13).map((seq) => `message ${seq}`));
            bench.page = third.page;
        });
    },
};

main(tests, async (folder) => {
    const port = await freePort();
    const sign = await signer.start(port);
    const nginx = await start(folder, `
        location = /sign { proxy_pass http://127.0.0.1:${port}; }
        location /publish/ { icomet_sub main; icomet_ws_publish on; }
    `);
    sign.use(nginx);
    return { nginx, signer: sign };
});
