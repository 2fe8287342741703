import { WebSocket as NodeWebSocket } from 'ws';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { IcometClient } from '../src/index';
import type { Position, TransportName } from '../src/types';
import { Nginx, until } from './nginx';

const NAMES = ['a', 'b', 'c'];
const TRANSPORTS: TransportName[] = ['websocket', 'stream', 'poll', 'short-poll'];

let nginx: Nginx;
beforeAll(async () => {
    nginx = await Nginx.start();
});
afterAll(() => nginx?.stop());

/** Of a linear congruential generator. */
function randomOf(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * below);
    };
}

/** What was told of a channel: the number of a message, or a loss. */
type Told = number | { lost: number | undefined };

/** A channel's published messages are numbered over all of its lives. Answers what is wrong with what was told of them. */
function audit(told: readonly Told[], published: number): string[] {
    const wrong: string[] = [];
    let last = 0;
    let unknown = false;
    let counted = 0;
    for (const one of [...told, published + 1]) {
        if (typeof one !== 'number') {
            unknown ||= one.lost === undefined;
            counted += one.lost ?? 0;
            continue;
        }
        const missing = one - last - 1;
        if (missing < 0) wrong.push(`${one} after ${last}`);
        else if (!unknown && missing !== counted) wrong.push(`${missing} missing before ${one}, of which ${counted} were told lost`);
        last = one;
        unknown = false;
        counted = 0;
    }
    return wrong;
}

test('an audit sees what is missing, doubled and wrongly counted', () => {
    expect(audit([1, 2, { lost: 2 }, 5, { lost: undefined }, 9], 9)).toEqual([]);
    expect(audit([1, 3], 3)).toHaveLength(1);
    expect(audit([1, 1], 1)).toHaveLength(1);
    expect(audit([1, { lost: 1 }, 4], 4)).toHaveLength(1);
    expect(audit([1], 2)).toHaveLength(1);
});

test.each(Array.from({ length: 6 }, (_, index) => index + 1))('seed %i: absences, channels that are closed and cleared, any transport: what is missing was told lost', async (seed) => {
    const random = randomOf(seed);
    const name = (channel: string) => `ledger.${seed}.${channel}`;
    const positions = new Map<string, Position>(NAMES.map((channel) => [channel, { seq: 1 }]));
    const told = new Map<string, Told[]>(NAMES.map((channel) => [name(channel), []]));
    const published = new Map<string, number>(NAMES.map((channel) => [channel, 0]));
    const steps: string[] = [];
    const publish = async (channel: string) => {
        const number = published.get(channel)! + 1;
        published.set(channel, number);
        await nginx.push(name(channel), String(number));
    };
    /** A client, until all that was published last is heard. */
    const visit = async (during: () => Promise<void>) => {
        const transport = TRANSPORTS[random(TRANSPORTS.length)]!;
        steps.push(transport);
        const client = new IcometClient({
            url: nginx.url('/icomet'), transports: [transport], retry: { min: 10, max: 50 }, pollInterval: 10, silenceTimeout: 5000, WebSocket: NodeWebSocket,
            onMessage: ({ channel, content }) => void told.get(channel)?.push(Number(content)),
            onLost: ({ channel, count }) => void told.get(channel)?.push({ lost: count }),
        });
        const rooms = NAMES.map((channel) => client.subscribe(name(channel), positions.get(channel)));
        await during();
        for (const channel of NAMES) await publish(channel);
        const heard = (channel: string) => told.get(name(channel))?.at(-1) === published.get(channel);
        await until(() => NAMES.every(heard), `all heard: ${steps.join()}: ${JSON.stringify([...told, ...published])}`);
        rooms.forEach((room, index) => positions.set(NAMES[index]!, room.position));
        client.stop();
    };
    const happens = async () => {
        const channel = NAMES[random(NAMES.length)]!;
        const what = random(10);
        // A channel that is not there can be neither closed nor cleared.
        if (what >= 5) await publish(channel);
        if (what < 5) for (let count = random(6) + 1; count > 0; count -= 1) await publish(channel);
        else if (what < 7) await nginx.close(name(channel));
        else if (what < 8) await nginx.ask(`/icomet-admin/clear?cname=${name(channel)}`);
        // More than the server keeps.
        else for (let count = 110; count > 0; count -= 1) await publish(channel);
        steps.push(`${channel}${what}`);
    };
    for (let round = 0; round < 12; round += 1) {
        // Who has never been there has no epoch by which it could see that a channel was another one before.
        if (round > 0) for (let count = random(5); count > 0; count -= 1) await happens();
        await visit(async () => {
            for (let count = random(3); count > 0; count -= 1) await publish(NAMES[random(NAMES.length)]!);
        });
    }
    for (const channel of NAMES) expect(audit(told.get(name(channel))!, published.get(channel)!), `${channel} of ${steps.join()}`).toEqual([]);
    for (const channel of NAMES) expect(positions.get(channel)).toMatchObject({ epoch: expect.any(String) as string });
});
