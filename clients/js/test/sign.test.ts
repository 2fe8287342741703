import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sign } from '../src/sign';

let server: http.Server;
let url: string;
let answer: (request: http.IncomingMessage, response: http.ServerResponse) => void;

beforeEach(async () => {
    server = http.createServer((request, response) => answer(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/sign`;
});
afterEach(() => {
    server.closeAllConnections();
    server.close();
});

test('the channel is named, whatever it is called and whatever the url has already', async () => {
    const asked: (string | undefined)[] = [];
    answer = (request, response) => {
        asked.push(request.url);
        response.end('{"type":"sign","cname":"mine","seq":3,"token":"t","expires":60,"sub_timeout":30}');
    };
    expect(await sign(url, 'a,b & ü').signed).toEqual({ cname: 'mine', token: 't' });
    await sign(`${url}?user=1`, 'c').signed;
    expect(asked).toEqual(['/sign?cname=a%2Cb%20%26%20%C3%BC', '/sign?user=1&cname=c']);
});

test.each([
    ['403 of the back end', 403, 'no', /signUrl answered 403 for channel "c"/],
    ['no token', 200, '{"type":"sign"}', /signUrl gave no token for channel "c"/],
    ['null', 200, 'null', /signUrl gave no token/],
    ['no JSON', 200, '<html>', /JSON/],
])('%s is told', async (_name, status, text, expected) => {
    answer = (_request, response) => response.writeHead(status).end(text);
    await expect(sign(url, 'c').signed).rejects.toThrow(expected);
});

test('given up, the request ends', async () => {
    const came = new Promise<http.IncomingMessage>((resolve) => (answer = (request) => resolve(request)));
    const { cancel } = sign(url, 'c');
    const { socket } = await came;
    const closed = new Promise((resolve) => socket.on('close', resolve));
    cancel();
    await closed;
});
