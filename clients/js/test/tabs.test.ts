import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Holder } from '../src/tabs/holder';
import { Member } from '../src/tabs/member';
import type { Post } from '../src/tabs/post';
import type { Connector, Owner } from '../src/connector';
import { Channel } from '../src/channel';
import { Channels } from '../src/channels';

const E1 = '1111111111111111';
const E2 = '2222222222222222';
const settings = { url: 'http://h/icomet', wait: 1, events: [], pollInterval: 1 };
const data = (seq: number) => ({ type: 'data', cname: 'a', seq, content: `${seq}` });

function holder() {
    const watched: { tab: string; gone: () => void }[] = [];
    const posts: Post[] = [];
    let owner: Owner | undefined;
    const connector = { state: 'closed', transport: undefined, start() {}, stop() {}, change: vi.fn() };
    const its = new Holder((its) => {
        owner = its;
        return connector as unknown as Connector;
    }, undefined, (post) => void posts.push(post), (tab, gone) => void watched.push({ tab, gone }), () => {});
    return { its, watched, posts, owner: owner!, connector };
}

test('a tab that has gone is not watched again: its lock is free at once', () => {
    const { its, watched, owner } = holder();
    its.take({ kind: 'want', tab: 'b', wants: [{ name: 'a', seq: 1 }] });
    its.take({ kind: 'want', tab: 'b', wants: [{ name: 'a', seq: 1 }, { name: 'c', seq: 0 }] });
    expect(watched).toHaveLength(1);
    expect(owner.ask().channels.map(({ name }) => name)).toEqual(['a', 'c']);
    its.take({ kind: 'want', tab: 'b', wants: [] });
    watched[0]?.gone();
    expect(watched).toHaveLength(1);
    expect(owner.ask().channels).toEqual([]);
});

test('a tab that ended without a word wants nothing any more', () => {
    const { its, watched, owner } = holder();
    its.take({ kind: 'want', tab: 'b', wants: [{ name: 'a', seq: 1 }] });
    its.take({ kind: 'want', tab: 'c', wants: [{ name: 'd', seq: 1 }] });
    watched[0]?.gone();
    expect(owner.ask().channels.map(({ name }) => name)).toEqual(['d']);
});

/** A server that answers polls, and a tab's own view of channel a. */
function member(seq: number, epoch: string, server: { epoch: string; messages: object[] }) {
    const channels = new Channels();
    channels.add(new Channel('a', { seq, epoch }));
    const told: unknown[] = [];
    const asked = vi.fn((url: string) => {
        const from = Number(new URL(url).searchParams.get('seq'));
        const messages = server.messages.filter((message) => (message as { seq: number }).seq >= from);
        return Promise.resolve(new Response(`${JSON.stringify(messages)}\n`, { headers: { ETag: `"${server.epoch}-1"` } }));
    });
    vi.stubGlobal('fetch', asked);
    const owner: Owner = {
        ask: () => channels.ask(undefined),
        messages: (messages) => {
            for (const message of messages) {
                const taken = channels.take(message)?.told;
                if (taken) told.push(taken.name === 'message' ? taken.value.seq : taken.name);
            }
        },
        state() {}, problem: vi.fn(),
    };
    return { its: new Member(owner, channels, undefined, settings), told, asked, channels };
}

const settle = async () => {
    for (let turns = 0; turns < 200; turns += 1) await Promise.resolve();
};

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
});

test('a tab that stands behind asks the server, and takes what came meanwhile once', async () => {
    const { its, told, asked } = member(2, E1, { epoch: E1, messages: [data(2), data(3), data(4)] });
    its.take([{ message: data(4), from: 4, epoch: E1 }, { message: data(5), from: 5, epoch: E1 }]);
    await settle();
    expect(told).toEqual([2, 3, 4, 5]);
    expect(asked).toHaveBeenCalledTimes(2);
});

test('what has ended at the server by the time it is asked does not make it ask for ever', async () => {
    const { its, told, asked } = member(2, E1, { epoch: E1, messages: [] });
    its.take([{ message: data(4), from: 4, epoch: E1 }]);
    await settle();
    expect(told).toEqual([4]);
    expect(asked).toHaveBeenCalledTimes(1);
});

test('a loss of the holder alone is none of a tab that stands in the new epoch', async () => {
    const { its, told, asked } = member(3, E2, { epoch: E2, messages: [] });
    its.take([{ message: { type: 'lost', cname: 'a', seq: 1, content: '' }, from: 10, epoch: E2 }, { message: data(1), from: 1, epoch: E2 }]);
    its.take([{ message: data(2), from: 2, epoch: E2 }, { message: data(3), from: 3, epoch: E2 }]);
    await settle();
    expect(told).toEqual([3]);
    expect(asked).not.toHaveBeenCalled();
});

test('what comes late from before the server\'s restart does not make it ask for ever', async () => {
    const { its, told, asked } = member(3, E2, { epoch: E2, messages: [] });
    its.take([{ message: data(10), from: 10, epoch: E1 }]);
    await settle();
    expect(told).toEqual([]);
    expect(asked).toHaveBeenCalledTimes(1);
});

test('ended while it waits after a failure, it leaves no timer and tells nothing', async () => {
    const { its, told } = member(2, E1, { epoch: E1, messages: [] });
    vi.stubGlobal('fetch', () => Promise.reject(new Error('away')));
    its.take([{ message: data(4), from: 4, epoch: E1 }]);
    await settle();
    expect(vi.getTimerCount()).toBe(1);
    its.end();
    await settle();
    expect(vi.getTimerCount()).toBe(0);
    expect(told).toEqual([]);
});

test('the epoch that the holder is told is that of a tab that stands where it does', () => {
    const epoch = { type: 'epoch', cname: 'a', seq: 3, content: E1 };
    const channels = new Channels();
    channels.add(new Channel('a', { seq: 3 }));
    const owner: Owner = { ask: () => channels.ask(undefined), messages: (all) => all.forEach((one) => channels.take(one)), state() {}, problem() {} };
    const its = new Member(owner, channels, undefined, settings);
    its.take([{ message: epoch, from: 2, epoch: E1 }]);
    expect(channels.get('a')?.position).toEqual({ seq: 3 });
    its.take([{ message: epoch, from: 3, epoch: E1 }]);
    expect(channels.get('a')?.position).toEqual({ seq: 3, epoch: E1 });
});
