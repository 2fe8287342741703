// A browser as a client: what a page gets by WebSocket and EventSource, also over reloads and killed workers.
//
// Run by script/test-browser.sh. ICOMET_NGINX, ICOMET_MODULE and NODE_PATH say where what it needs is. Speaks TAP.
'use strict';

const assert = require('node:assert/strict');
const { open } = require('./chromium');
const { start } = require('./nginx');
const { main } = require('./suite');

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

const tests = {
    async 'a WebSocket opens with the sub-protocol and with compression'({ page }) {
        await page(`listen('ws', 'ws', '/icomet/ws?cname=a'); listen('sse', 'sse', '/icomet/sse?cname=a')`);
        await page(`until(() => heard.ws.opened && heard.sse.opened)`);
        assert.equal(await page('heard.ws.protocol'), 'icomet.v1');
        assert.match(await page('heard.ws.extensions'), /^permessage-deflate/);
    },

    async 'messages come whole: short, long, of any script'({ nginx, page }) {
        const contents = ['short', 'long '.repeat(20_000), 'Grüße, 世界, \u{1f30d}', '"quoted"\n</script>'];
        for (const content of contents) await nginx.push('a', content);
        for (const name of ['ws', 'sse']) {
            await page(`until(() => heard.${name}.seqs.length === 4)`);
            assert.deepEqual(await page(`heard.${name}.contents`), contents, name);
        }
    },

    async 'pings are answered: it stays open while the server asks'({ page }) {
        await page(`until(() => heard.sse.noops >= 4)`);
        assert.equal(await page('heard.ws.state()'), 1);
    },

    async 'a reload is not noticed'({ nginx, page }) {
        for (let round = 0; round < 3; round += 1) {
            const done = nginx.reload();
            for (const content of range(1, 5)) await nginx.push('a', content);
            await done();
        }
        for (const name of ['ws', 'sse']) {
            await page(`until(() => heard.${name}.seqs.length >= 19)`);
            assert.deepEqual(await page(`heard.${name}.seqs`), range(1, 19), name);
            assert.equal(await page(`heard.${name}.opened`), 1, name);
        }
        assert.deepEqual(await page('heard.ws.closed'), []);
    },

    async 'who cannot move comes again after a reload: nothing is lost, nothing comes twice'({ nginx, page }) {
        await page(`listen('heldWs', 'again', '/held/ws?cname=b'); listen('heldSse', 'sse', '/held/sse?cname=b')`);
        await page(`until(() => heard.heldWs.opened && heard.heldSse.opened)`);
        const done = nginx.reload();
        for (const content of range(1, 20)) await nginx.push('b', content);
        await done();
        await nginx.push('b', 'last');
        for (const name of ['heldWs', 'heldSse']) {
            await page(`until(() => heard.${name}.seqs.includes(21) && heard.${name}.opened >= 2)`);
            assert.deepEqual(await page(`heard.${name}.seqs`), range(1, 21), name);
        }
        assert.deepEqual(await page('heard.heldWs.closed'), [1012]);
    },

    async 'after a killed worker they come again: nothing is lost, nothing comes twice'({ nginx, page }) {
        await page(`listen('cutWs', 'again', '/icomet/ws?cname=c'); listen('cutSse', 'sse', '/icomet/sse?cname=c')`);
        await page(`until(() => heard.cutWs.opened && heard.cutSse.opened)`);
        await nginx.push('c', 'before');
        await page(`until(() => heard.cutWs.seqs.length && heard.cutSse.seqs.length)`);
        await nginx.kill();
        await nginx.push('c', 'meanwhile');
        for (const name of ['cutWs', 'cutSse']) {
            await page(`until(() => heard.${name}.seqs.includes(2))`);
            assert.deepEqual(await page(`heard.${name}.contents`), ['before', 'meanwhile'], name);
        }
        assert.equal(await page('heard.cutWs.closed[0]'), 1006);
    },

    async 'a closed channel is told by 1000'({ nginx, page }) {
        await page(`listen('closed', 'ws', '/icomet/ws?cname=d')`);
        await page(`until(() => heard.closed.opened)`);
        await nginx.close('d');
        await page(`until(() => heard.closed.closed.length)`);
        assert.deepEqual(await page('heard.closed.closed'), [1000]);
    },

    async 'a page of another origin may not open one'({ nginx, browser }) {
        const page = await open(await browser.newContext(), nginx.url('/page.html', 'localhost'));
        await page(`listen('own', 'ws', '/icomet/ws?cname=e'); listen('other', 'ws', '/icomet/ws?cname=e', '127.0.0.1:${nginx.port}')`);
        await page(`until(() => heard.own.opened && heard.other.closed.length)`);
        assert.equal(await page('heard.other.opened'), 0);
        assert.deepEqual(await page('heard.other.closed'), [1006]);
    },

    async 'nothing alarming is in the error log'({ nginx }) {
        const alarms = nginx.log().split('\n').filter((line) => /\[(error|alert|crit|emerg)\]/.test(line));
        assert.deepEqual(alarms.filter((line) => !/exited on signal 9/.test(line)), []);
    },
};

main(tests, async (folder, browser) => {
    const nginx = await start(folder);
    return { nginx, page: await open(await browser.newContext(), nginx.url('/page.html')) };
});
