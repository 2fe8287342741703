// The JavaScript client in a browser: every transport against one list.
'use strict';

const assert = require('node:assert/strict');
const { Bench } = require('./bench');
const { list } = require('./list');
const { freePort, start } = require('./nginx');
const signer = require('./signer');
const { main } = require('./suite');

/** Each transport, and what is taken from the page before its scripts run; the second way of a transport is one without fetch. */
const ROWS = {
    websocket: { transport: 'websocket' },
    sse: { transport: 'sse' },
    stream: { transport: 'stream' },
    'stream by XMLHttpRequest': { transport: 'stream', without: ['fetch'] },
    poll: { transport: 'poll' },
    'poll by XMLHttpRequest': { transport: 'poll', without: ['fetch'] },
    jsonp: { transport: 'jsonp' },
    iframe: { transport: 'iframe' },
    'short-poll': { transport: 'short-poll' },
    'short-poll by script': { transport: 'short-poll', without: ['fetch', 'XMLHttpRequest'] },
};

const benches = {};
const tests = {};

for (const [row, { transport, without = [] }] of Object.entries(ROWS)) {
    for (const [name, test] of Object.entries(list)) {
        tests[`${row}: ${name}`] = async (env) => {
            const prepare = `for (const name of ${JSON.stringify(without)}) self[name] = undefined`;
            const bench = (benches[row] ??= await Bench.start(env, transport, row, prepare));
            try {
                await test(bench);
                assert.deepEqual(bench.page.errors, []);
            } finally {
                await bench.clear();
            }
        };
    }
}

tests['no transport is missing here'] = async ({ browser, nginx }) => {
    const bench = await Bench.start({ browser, nginx }, 'websocket', 'table');
    const known = await bench.page('icomet.TRANSPORTS');
    await bench.end();
    assert.deepEqual([...new Set(Object.values(ROWS).map(({ transport }) => transport))].sort(), [...known].sort());
};

tests['nothing alarming is in the error log'] = async ({ nginx }) => {
    const alarms = nginx.log().split('\n').filter((line) => /\[(error|alert|crit|emerg)\]/.test(line));
    assert.deepEqual(alarms.filter((line) => !/exited on signal 9/.test(line)), []);
};

main(tests, async (folder) => {
    const port = await freePort();
    const sign = await signer.start(port);
    const nginx = await start(folder, `location = /sign { proxy_pass http://127.0.0.1:${port}; }`);
    sign.use(nginx);
    return { nginx, signer: sign, benches: { end: () => Promise.all(Object.values(benches).map((bench) => bench.end())) } };
});
