// What every transport must do. Each test gets a `bench`: a page whose client uses one transport, behind a proxy that can be cut.
'use strict';

const assert = require('node:assert/strict');
const { until } = require('./nginx');

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

async function reloaded(bench, url) {
    const { channel } = await bench.listen({ url });
    const done = bench.nginx.reload();
    for (const content of range(1, 10)) await bench.nginx.push(channel, content);
    await done();
    await bench.nginx.push(channel, 'last');
    await bench.until('seqs.includes(11)');
    assert.deepEqual(await bench.told('events'), range(1, 11).map((seq) => `message ${seq}`));
}

const list = {
    async 'messages come whole: short, long, of any script, quoted'(bench) {
        const contents = ['short', 'long '.repeat(20_000), 'Grüße, 世界, \u{1f30d}', '"quoted"\n</script><!--', '{"a":1}'];
        const { channel } = await bench.listen();
        for (const content of contents) await bench.nginx.push(channel, content);
        await bench.until(`contents.length === ${contents.length}`);
        assert.deepEqual(await bench.told('contents'), contents);
    },

    async 'several channels come over one client, also one with a comma in its name'(bench) {
        const [one, other] = [bench.channel('one'), bench.channel('a,b')];
        await bench.listen({ channels: { [one]: { seq: 1 }, [other]: { seq: 1 } } });
        for (const content of ['1', '2']) for (const channel of [one, other]) await bench.nginx.push(channel, content);
        await bench.until('contents.length === 4');
        const messages = await bench.told('messages');
        for (const name of [one, other]) {
            assert.deepEqual(messages.filter(({ channel }) => channel === name).map(({ content }) => content), ['1', '2'], name);
        }
    },

    async 'a channel comes later, another goes'(bench) {
        const { channel } = await bench.listen();
        const later = bench.channel('later');
        await bench.nginx.push(later, 'before');
        await bench.page(`later = clients['${bench.name}'].subscribe('${later}', { seq: 1 }), 0`);
        await bench.until('contents.length === 1');
        await bench.page('later.unsubscribe()');
        await bench.nginx.subscribers(later, 0);
        await bench.nginx.push(later, 'too late');
        await bench.nginx.push(channel, 'here');
        await bench.until(`contents.includes('here')`);
        assert.deepEqual(await bench.told('contents'), ['before', 'here']);
    },

    async 'a broadcast comes once'(bench) {
        const { channel } = await bench.listen();
        await bench.nginx.get('/icomet-admin/broadcast?content=all');
        await bench.nginx.push(channel, 'then');
        await bench.until('contents.length === 2');
        assert.deepEqual((await bench.told('messages')).map(({ type, content }) => [type, content]), [['broadcast', 'all'], ['data', 'then']]);
    },

    async 'after a cut it goes on: nothing is lost, nothing comes twice'(bench) {
        const { channel } = await bench.listen();
        for (let round = 0; round < 3; round += 1) {
            await bench.nginx.push(channel, 'before');
            await bench.until(`seqs.length === ${4 * round + 1}`);
            bench.proxy.cut();
            for (let count = 0; count < 2; count += 1) await bench.nginx.push(channel, 'meanwhile');
            bench.proxy.allow();
            await bench.nginx.push(channel, 'after');
            await bench.until(`seqs.length >= ${4 * round + 4}`);
        }
        assert.deepEqual(await bench.told('events'), range(1, 12).map((seq) => `message ${seq}`));
    },

    async 'what the server no longer has is told, with its count'(bench) {
        const channel = `small.${bench.channel('lost')}`;
        await bench.listen({ channels: { [channel]: { seq: 1 } } });
        await bench.nginx.push(channel, 'had');
        await bench.until('seqs.length === 1');
        bench.proxy.cut();
        for (let count = 0; count < 10; count += 1) await bench.nginx.push(channel, 'meanwhile');
        bench.proxy.allow();
        await bench.until('seqs.length >= 6');
        assert.deepEqual(await bench.told('events'), ['message 1', 'lost 5 7', ...range(7, 11).map((seq) => `message ${seq}`)]);
    },

    async 'a channel that began again meanwhile is told lost, and all of it comes'(bench) {
        const { channel } = await bench.listen();
        for (const content of ['1', '2', '3']) await bench.nginx.push(channel, content);
        await bench.until('seqs.length === 3');
        bench.proxy.cut();
        await bench.nginx.subscribers(channel, 0);
        await bench.nginx.close(channel);
        for (const content of ['one', 'two', 'three', 'four']) await bench.nginx.push(channel, content);
        bench.proxy.allow();
        await bench.until(`contents.includes('four')`);
        assert.deepEqual((await bench.told('events')).slice(3), ['lost undefined 1', ...range(1, 4).map((seq) => `message ${seq}`)]);
    },

    async 'more channels than one request can name'(bench) {
        const names = range(1, 66).map((number) => bench.channel(`many.${number}`));
        // A WebSocket has the server's limit, which is 64.
        const channels = Object.fromEntries(names.slice(bench.transport === 'websocket' ? 2 : 0).map((name) => [name, { seq: 1 }]));
        await bench.listen({ channels });
        for (const channel of Object.keys(channels)) await bench.nginx.push(channel, 'hi');
        await bench.until(`contents.length === ${Object.keys(channels).length}`);
        assert.deepEqual(await bench.told('problems'), []);
    },

    async 'a refused token is renewed by signUrl'(bench) {
        const channel = `stale.${bench.channel('token')}`;
        await bench.listen({ url: '/tokens', signUrl: '/sign', channels: { [channel]: { seq: 1 } } });
        await bench.until(`events.includes('refused 401')`);
        await bench.subscribed(channel, 'tokens-admin');
        await bench.nginx.push(channel, 'secret', 'tokens-admin');
        await bench.until('contents.length === 1');
        assert.deepEqual(await bench.told('events'), ['refused 401', 'message 1']);
        assert.equal(bench.signer.asked(channel), 2);
    },

    async 'without a token it is refused, and other channels go on'(bench) {
        const [good, bad] = [bench.channel('good'), bench.channel('bad')];
        const { token } = JSON.parse(await bench.nginx.get(`/tokens-admin/sign?cname=${good}`));
        await bench.listen({ url: '/tokens', retry: { min: 500, max: 5000 }, channels: { [good]: { seq: 1, token }, [bad]: { seq: 1 } } });
        await bench.until(`events.includes('refused 401')`);
        await bench.nginx.push(bad, 'hidden', 'tokens-admin');
        await bench.nginx.push(good, 'seen', 'tokens-admin');
        await bench.until('contents.length === 1');
        assert.deepEqual(await bench.told('contents'), ['seen']);
    },

    'a reload: nothing is lost, nothing comes twice': (bench) => reloaded(bench, '/icomet'),

    'a reload that does not move it: it comes again, and loses nothing': (bench) => reloaded(bench, '/held'),

    async 'killed workers: it comes again, and loses nothing'(bench) {
        const { channel } = await bench.listen();
        await bench.nginx.push(channel, 'before');
        await bench.until('seqs.length === 1');
        await bench.nginx.kill();
        await bench.nginx.push(channel, 'meanwhile');
        await bench.until('seqs.includes(2)');
        assert.deepEqual(await bench.told('events'), ['message 1', 'message 2']);
    },

    async 'a channel that was closed is told, and comes again'(bench) {
        const { channel } = await bench.listen();
        await bench.nginx.push(channel, 'one');
        await bench.until('seqs.length === 1');
        await bench.subscribed(channel);
        await bench.nginx.close(channel);
        // Who does not wait at the server is not there to be told; it sees that the channel has begun again.
        const told = bench.transport === 'short-poll' ? 'lost undefined 1' : 'close';
        await bench.until(`events.includes('${told}')`);
        await bench.subscribed(channel);
        await bench.nginx.push(channel, 'two');
        await bench.until('contents.length === 2');
        assert.deepEqual(await bench.told('events'), ['message 1', told, 'message 1']);
    },

    async 'told to stay away, it does; its other channels go on'(bench) {
        const [kept, left] = [bench.channel('kept'), bench.channel('left')];
        await bench.listen({ channels: { [kept]: { seq: 1 }, [left]: { seq: 1 } } });
        const asked = { channel: left, stay_away: true };
        // Who does not wait at the server is not there to be told: docs/protocol.md.
        if (bench.transport === 'short-poll') return assert.equal(await bench.nginx.disconnect(asked).catch(() => 0), 0);
        // A poll may be between two of its requests.
        await until(async () => (await bench.nginx.disconnect(asked)) === 1, 'it is there');
        await bench.until(`events.includes('stay away')`);
        await bench.subscribed(kept);
        for (const channel of [left, kept]) await bench.nginx.push(channel, channel);
        await bench.until('contents.length > 0');
        await bench.nginx.subscribers(left, 0);
        assert.deepEqual(await bench.told('events'), ['stay away', 'message 1']);
        assert.deepEqual(await bench.told('contents'), [kept]);
    },

    async 'stop leaves nothing behind'(bench) {
        const { channel } = await bench.listen();
        await bench.page(`clients['${bench.name}'].stop()`);
        await bench.nginx.subscribers(channel, 0);
        await bench.nginx.push(channel, 'unheard');
        assert.equal(await bench.page('document.querySelectorAll("iframe").length'), 0);
        assert.deepEqual(await bench.told('contents'), []);
        assert.deepEqual((await bench.told('states')).at(-1), 'closed');
    },
};

module.exports = { list };
