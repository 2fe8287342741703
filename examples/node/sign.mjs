#!/usr/bin/env node
// Lets users listen: sign.mjs [PORT=8001] answers what a client's signUrl asks, GET /sign?cname=CHANNEL[&cb=CALLBACK].
import { createServer } from 'node:http';

const ADMIN = process.env.ICOMET_ADMIN ?? 'http://127.0.0.1:8080/icomet-admin';
const TIMEOUT = 5000; // milliseconds

/** Who asks. A real site looks into its session here: a plain cookie can be forged by anybody. */
function userOf(request) {
    return /(?:^|; *)user=([A-Za-z0-9_-]+)(?:;|$)/.exec(request.headers.cookie ?? '')?.[1];
}

function mayListen(user, channel) {
    return channel.startsWith('public.') || (user !== undefined && channel === `user.${user}`);
}

/** Status, body and content type. */
async function answerOf(request) {
    const query = new URLSearchParams(request.url.split('?')[1]);
    const channel = query.get('cname') ?? '';
    const callback = query.get('cb');
    // The answer is a script that calls it: it must be a name and nothing else.
    if (callback && !/^[A-Za-z0-9_$.]{1,128}$/.test(callback)) return [400, 'cb must be a function\'s name\n'];
    if (!mayListen(userOf(request), channel)) return [403, 'you may not listen to this channel\n'];
    const asked = new URLSearchParams({ cname: channel, expires: 60, ...(callback && { cb: callback }) });
    try {
        const signed = await fetch(`${ADMIN}/sign?${asked}`, { signal: AbortSignal.timeout(TIMEOUT) });
        const type = callback ? 'text/javascript' : 'application/json';
        return [signed.status, await signed.text(), signed.ok ? type : undefined];
    } catch (error) {
        console.error(`no answer from ${ADMIN}: ${error.cause?.code ?? error.message}`);
        return [502, 'icomet cannot be reached\n'];
    }
}

createServer(async (request, response) => {
    const [status, body, type = 'text/plain'] = await answerOf(request);
    response.writeHead(status, { 'Content-Type': `${type}; charset=utf-8`, 'Cache-Control': 'no-store' }).end(body);
}).listen(Number(process.argv[2] ?? 8001), '127.0.0.1');
