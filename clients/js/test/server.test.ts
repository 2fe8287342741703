import { WebSocket as NodeWebSocket } from 'ws';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { IcometClient } from '../src/index';
import type { ClientOptions, TransportName } from '../src/types';
import { Nginx, until } from './nginx';

let nginx: Nginx;
const clients: IcometClient[] = [];

beforeAll(async () => {
    vi.stubGlobal('WebSocket', NodeWebSocket);
    nginx = await Nginx.start();
});
afterEach(() => {
    for (const client of clients.splice(0)) client.stop();
});
afterAll(() => nginx?.stop());

/** A client, and all that it was told: a message's channel and content, or the event's name. */
function listen(transport: TransportName, more: Partial<ClientOptions> = {}) {
    const client = new IcometClient({
        url: nginx.url('/icomet'), transports: [transport], retry: { min: 10, max: 100 }, pollInterval: 20, silenceTimeout: 5000, ...more,
    });
    clients.push(client);
    const told: string[] = [];
    client.on('message', ({ channel, content }) => told.push(`${channel} ${content}`));
    client.on('lost', ({ channel, count }) => told.push(`${channel} lost ${count}`));
    client.on('refused', ({ channel, status }) => told.push(`${channel} refused ${status}`));
    client.on('close', ({ channel }) => told.push(`${channel} close`));
    return { client, told, has: (text: string) => until(() => told.includes(text), `${text}, of ${told.join('; ')}`) };
}

describe.each(['websocket', 'stream', 'poll', 'short-poll'] as const)('%s', (transport) => {
    test('several channels, what was buffered and what comes, in order and once', async () => {
        const a = `${transport}.a`;
        const b = `${transport}, ü`;
        await nginx.push(a, '1');
        const { client, told, has } = listen(transport);
        client.subscribe(a, { seq: 1 });
        client.subscribe(b, { seq: 1 });
        await has(`${a} 1`);
        await nginx.push(b, 'ü "x"\n');
        for (let count = 2; count <= 20; count += 1) await nginx.push(a, String(count));
        await has(`${a} 20`);
        await has(`${b} ü "x"\n`);
        expect(told.filter((text) => text.startsWith(`${a} `))).toEqual(Array.from({ length: 20 }, (_, index) => `${a} ${index + 1}`));
        expect(told).toHaveLength(21);
        expect(client.transport).toBe(transport);
    });

    test('killed workers and a reload lose and double nothing', async () => {
        const a = `${transport}.killed`;
        const { client, told, has } = listen(transport);
        client.subscribe(a, { seq: 1 });
        await nginx.push(a, '1');
        await has(`${a} 1`);
        await nginx.kill();
        await nginx.push(a, '2');
        await has(`${a} 2`);
        await nginx.reload();
        await nginx.push(a, '3');
        await has(`${a} 3`);
        expect(told).toEqual([`${a} 1`, `${a} 2`, `${a} 3`]);
    });

    test('what the buffer has no more is told lost, with its number', async () => {
        const a = `${transport}.lost`;
        for (let count = 1; count <= 105; count += 1) await nginx.push(a, String(count));
        const { client, told, has } = listen(transport);
        client.subscribe(a, { seq: 3 });
        await has(`${a} 105`);
        expect(told.slice(0, 2)).toEqual([`${a} lost 3`, `${a} 6`]);
        expect(told).toHaveLength(101);
    });

    test('another epoch is told lost once for each channel, then all that is there', async () => {
        const a = `${transport}.epoch.a`;
        const b = `${transport}.epoch.b`;
        for (const name of [a, b]) for (let count = 1; count <= 90; count += 1) await nginx.push(name, String(count));
        const { client, told, has } = listen(transport);
        for (const name of [a, b]) client.subscribe(name, { seq: 50, epoch: '0123456789abcdef' });
        await has(`${a} 90`);
        await has(`${b} 90`);
        expect(told).toHaveLength(182);
        expect(told.filter((text) => text.includes('lost'))).toEqual([`${a} lost undefined`, `${b} lost undefined`]);
        expect(client.subscribe('other').position.epoch).toBeUndefined();
    });

    test('a token that is refused is asked for anew', async () => {
        const a = `${transport}.token`;
        const sign = vi.fn((name: string) => nginx.sign(name));
        await nginx.sign(a);
        const { client, told, has } = listen(transport, { url: nginx.url('/token/icomet'), sign });
        client.subscribe(a, { seq: 1, token: '0'.repeat(32) });
        await has(`${a} refused 401`);
        await nginx.push(a, 'in', '/token');
        await has(`${a} in`);
        expect(sign).toHaveBeenCalledTimes(1);
        expect(told).toHaveLength(2);
    });

    test('stop leaves no subscriber', async () => {
        const { client, has } = listen(transport);
        client.subscribe(`${transport}.stop`, { seq: 1 });
        await nginx.push(`${transport}.stop`, '1');
        await has(`${transport}.stop 1`);
        client.stop();
        expect(client.state).toBe('closed');
        await until(async () => (await nginx.subscribers()) === 0, 'nobody is there');
    });
});

// A poll need not be there at the moment of the close.
test.each(['websocket', 'stream'] as const)('%s: a closed channel begins anew, and nothing is lost', async (transport) => {
    const a = `${transport}.closed`;
    const { client, told, has } = listen(transport);
    client.subscribe(a, { seq: 1 });
    await nginx.push(a, '1');
    await has(`${a} 1`);
    await until(async () => (await nginx.subscribers(a)) === 1, 'the client is there');
    await nginx.close(a);
    await has(`${a} close`);
    await until(async () => (await nginx.subscribers(a)) === 1, 'the client is there again');
    await nginx.push(a, 'anew');
    await has(`${a} anew`);
    expect(told).toEqual([`${a} 1`, `${a} close`, `${a} anew`]);
});

test('a WebSocket publishes', async () => {
    const { client, has } = listen('websocket');
    client.subscribe('ws.publish', { seq: 1 });
    await until(() => client.state === 'open', 'open');
    await client.publish('ws.publish', 'by me');
    await has('ws.publish by me');
});

test('a client that is stopped while it connects, and one whose server is away, harm nobody', async () => {
    const { client } = listen('websocket');
    client.subscribe('early');
    client.stop();
    const away = listen('websocket', { url: 'http://127.0.0.1:1/icomet' });
    const problem = new Promise<Error>((resolve) => void away.client.on('problem', resolve));
    away.client.subscribe('a');
    expect((await problem).message).toContain('websocket');
});
