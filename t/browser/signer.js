// A back end that gives tokens: it asks icomet's `sign`. For the first question about a channel `stale.*` it gives a wrong one.
'use strict';

const http = require('node:http');

async function start(port) {
    const asked = new Map();
    let nginx;
    const server = http.createServer(async (request, response) => {
        const { searchParams } = new URL(request.url, 'http://localhost');
        const cname = searchParams.get('cname');
        const callback = searchParams.get('cb');
        asked.set(cname, (asked.get(cname) ?? 0) + 1);
        const answer = JSON.parse(await nginx.get(`/tokens-admin/sign?cname=${encodeURIComponent(cname)}`));
        if (/^stale\./.test(cname) && asked.get(cname) === 1) answer.token = '0'.repeat(32);
        const text = JSON.stringify(answer);
        response.end(callback ? `${callback}(${text});` : text);
    });
    await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
    return {
        /** Which nginx it asks. */
        use: (other) => (nginx = other),
        /** How often it was asked for a channel's token. */
        asked: (cname) => asked.get(cname) ?? 0,
        end: () => new Promise((resolve) => {
            server.close(resolve);
            server.closeAllConnections();
        }),
    };
}

module.exports = { start };
