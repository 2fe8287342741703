import { WebSocket as NodeWebSocket } from 'ws';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { IcometClient } from '../src/index';
import type { ClientOptions, TransportName } from '../src/types';
import { Cutter } from './cutter';
import { Nginx, until } from './nginx';

let nginx: Nginx;
let cutter: Cutter | undefined;
const clients: IcometClient[] = [];

beforeAll(async () => {
    vi.stubGlobal('WebSocket', NodeWebSocket);
    nginx = await Nginx.start();
});
afterEach(() => {
    for (const client of clients.splice(0)) client.stop();
    cutter?.stop();
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
    client.on('refused', ({ channel, status, final }) => told.push(`${channel} refused ${status}${final ? ' for good' : ''}`));
    client.on('close', ({ channel, stayAway }) => told.push(`${channel} ${stayAway ? 'stay away' : 'close'}`));
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

    test('a channel that began again while the client was away is told lost, and all of it comes', async () => {
        const a = `${transport}.again`;
        const first = listen(transport);
        const one = first.client.subscribe(a, { seq: 1 });
        for (let count = 1; count <= 3; count += 1) await nginx.push(a, String(count));
        await first.has(`${a} 3`);
        await until(() => one.position.epoch !== undefined, 'the epoch');
        const { position } = one;
        first.client.stop();
        await nginx.close(a);
        for (let count = 1; count <= 5; count += 1) await nginx.push(a, `anew ${count}`);
        const { client, told, has } = listen(transport);
        const { position: now } = client.subscribe(a, position);
        expect(now).toEqual(position);
        await has(`${a} anew 5`);
        expect(told).toEqual([`${a} lost undefined`, ...[1, 2, 3, 4, 5].map((count) => `${a} anew ${count}`)]);
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

    test('more channels than a request can name, and long names', async () => {
        const { client, told, has } = listen(transport);
        const short = Array.from({ length: 65 }, (_, index) => `${transport}.${index}`);
        const long = Array.from({ length: 10 }, (_, index) => `${'é'.repeat(100)}${transport}${index}`);
        const names = transport === 'websocket' ? [...long, ...short.slice(0, 54)] : [...short, ...long];
        for (const name of names) await nginx.push(name, 'hi');
        for (const name of names) client.subscribe(name, { seq: 1 });
        for (const name of names) await has(`${name} hi`);
        expect(told).toHaveLength(names.length);
        client.stop();
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

test.each(['websocket', 'stream', 'poll'] as const)('%s: told to stay away it does, and its other channels go on', async (transport) => {
    const [left, kept] = [`${transport}.left`, `${transport}.kept`];
    const { client, told, has } = listen(transport, { user: `${transport}.ann` });
    for (const name of [left, kept]) client.subscribe(name, { seq: 1 });
    // A poll may be between two of its requests.
    await until(async () => (await nginx.disconnect({ channel: left, stay_away: true }).catch(() => 0)) === 1, 'the client is there');
    await has(`${left} stay away`);
    for (const name of [left, kept]) await nginx.push(name, 'hi');
    await has(`${kept} hi`);
    await until(async () => (await nginx.subscribers(left)) === 0, 'nobody comes back');
    await until(async () => (await nginx.disconnect({ user: `${transport}.ann`, stay_away: true })) === 1, 'the client is there');
    await has(`${kept} stay away`);
    expect(told).toEqual([`${left} stay away`, `${kept} hi`, `${kept} stay away`]);
    await until(async () => (await nginx.subscribers(kept)) === 0, 'nobody comes back');
});

test.each(['websocket', 'stream', 'poll', 'short-poll'] as const)('%s: a revoked token, and an application that signs no other, end it', async (transport) => {
    const a = `${transport}.revoked`;
    let banned = false;
    const sign = (name: string) => (banned ? Promise.reject(Object.assign(new Error('banned'), { status: 403 })) : nginx.sign(name));
    const { client, told, has } = listen(transport, { url: nginx.url('/token/icomet'), sign });
    client.on('problem', () => {});
    client.subscribe(a, { seq: 1 });
    await nginx.push(a, 'in', '/token');
    await has(`${a} in`);
    banned = true;
    await nginx.disconnect({ channel: a, revoke: true }, '/token');
    await has(`${a} refused 403 for good`);
    await nginx.push(a, 'unheard', '/token');
    expect(told.filter((text) => /in$|unheard/.test(text))).toEqual([`${a} in`]);
});

test('a WebSocket publishes', async () => {
    const { client, has } = listen('websocket');
    client.subscribe('ws.publish', { seq: 1 });
    await until(() => client.state === 'open', 'open');
    await client.publish('ws.publish', 'by me');
    await has('ws.publish by me');
});

test('a WebSocket that is cut right after its 101 is given up for another transport', async () => {
    cutter = await Cutter.start(nginx.port);
    const { client, has } = listen('websocket', { url: `http://127.0.0.1:${cutter.port}/icomet`, transports: ['websocket', 'poll'] });
    client.subscribe('ws.cut', { seq: 1 });
    await nginx.push('ws.cut', 'got through');
    await has('ws.cut got through');
    expect(client.transport).toBe('poll');
    expect(cutter.cuts).toBe(1);
});

test('what a WebSocket published is sent again when its answer was cut off, and comes once', async () => {
    /** Is deaf from its first publish on, and ends when the server has answered that. */
    class Cut extends NodeWebSocket {
        static cuts = 0;

        override send(text: string): void {
            super.send(text);
            if (!text.includes('"publish"') || Cut.cuts > 0) return;
            Cut.cuts += 1;
            this.onmessage = () => this.close();
        }
    }
    const { client, told, has } = listen('websocket', { WebSocket: Cut });
    client.subscribe('ws.once', { seq: 1 });
    await until(() => client.state === 'open', 'open');
    await client.publish('ws.once', 'mine');
    await client.publish('ws.once', 'last');
    await has('ws.once last');
    expect(told).toEqual(['ws.once mine', 'ws.once last']);
    expect(Cut.cuts).toBe(1);
});

test('channels that are refused for ever ask again together, later and later', async () => {
    const { client, told } = listen('websocket', { retry: { min: 100, max: 200 } });
    const names = Array.from({ length: 120 }, (_, index) => `ws.many.${index}`);
    for (const name of names) client.subscribe(name);
    const rounds = () => told.filter((text) => text === `${names.at(-1)} refused 429`).length;
    await until(() => rounds() >= 4, 'four rounds of refusals');
    // The surplus of each round, and what came of the last one so far.
    expect(told.length).toBeLessThanOrEqual(56 * (rounds() + 1));
    expect(told.length).toBeGreaterThanOrEqual(56 * (rounds() - 1));
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
