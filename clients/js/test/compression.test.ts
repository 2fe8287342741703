import http from 'node:http';
import type net from 'node:net';
import compression from 'compression';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Nginx, until } from './nginx';

/** What the development servers of webpack, Next and Express do: a proxy behind the middleware `compression`, which holds back what it compresses. */
function proxy(to: number, change: (headers: http.IncomingHttpHeaders) => http.IncomingHttpHeaders): Promise<http.Server> {
    const compress = compression();
    const server = http.createServer((request, response) => {
        compress(request, response, () => {
            const { method, url, headers } = request;
            const upstream = http.request({ port: to, method, path: url, headers, agent: false }, (answer) => {
                response.writeHead(answer.statusCode ?? 502, change(answer.headers));
                answer.pipe(response);
            });
            upstream.on('error', () => response.destroy());
            response.on('close', () => upstream.destroy());
            upstream.end();
        });
    });
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

let nginx: Nginx;
const servers: http.Server[] = [];
const requests: http.ClientRequest[] = [];

/** Asks through such a proxy, as a browser does. */
async function ask(path: string, change: (headers: http.IncomingHttpHeaders) => http.IncomingHttpHeaders): Promise<http.IncomingMessage> {
    const server = await proxy(nginx.port, change);
    servers.push(server);
    const { port } = server.address() as net.AddressInfo;
    return new Promise((resolve, reject) => {
        const request = http.get({ port, path, agent: false, headers: { 'Accept-Encoding': 'gzip, deflate, br' } }, resolve);
        requests.push(request.on('error', reject));
    });
}

beforeAll(async () => void (nginx = await Nginx.start()));
afterEach(() => {
    for (const request of requests.splice(0)) request.on('error', () => {}).destroy();
    for (const server of servers.splice(0)) server.close();
});
afterAll(() => nginx?.stop());

const withoutIt = (headers: http.IncomingHttpHeaders) => ({ ...headers, 'cache-control': headers['cache-control']?.replace(/no-transform, */, '') });

test.each(['sse', 'stream', 'iframe'])('%s: each message comes through a compressing proxy by itself', async (transport) => {
    const answer = await ask(`/icomet/${transport}?cname=${transport}&seq=1`, (headers) => headers);
    expect(answer.headers['content-encoding']).toBeUndefined();
    let text = '';
    answer.setEncoding('utf8').on('error', () => {});
    for (const content of ['first', 'second', 'third']) {
        const come = new Promise<void>((resolve) => answer.on('data', (part: string) => {
            text += part;
            if (text.includes(`"content":"${content}"`)) resolve();
        }));
        await nginx.push(transport, content);
        await come;
    }
});

// Of what is compressed not even the head comes before the end: the test above would wait in vain.
test('the proxy of these tests does compress what it may', async () => {
    const asked = ask('/icomet/sse?cname=compressed&seq=1', withoutIt);
    await until(async () => (await nginx.subscribers('compressed')) === 1, 'it is there');
    await nginx.push('compressed', 'held back');
    await nginx.close('compressed');
    const answer = await asked;
    expect(answer.headers['content-encoding']).toMatch(/^(?:gzip|br|deflate)$/);
});
