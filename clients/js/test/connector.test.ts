import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Backoff } from '../src/backoff';
import { Choice } from '../src/choice';
import { Connector } from '../src/connector';
import type { Listener, Publication } from '../src/transports/transport';
import { Unanswered } from '../src/transports/websocket';
import type { State, TransportName } from '../src/types';

const fake = vi.hoisted(() => ({ opened: [] as { name: string; listener: Listener; close: () => void; ping: () => void; publish?: (publication: Publication) => Promise<void> }[] }));
vi.mock('../src/transports/index', () => {
    const transport = (name: string) => ({
        name,
        possible: () => true,
        open(ask: () => unknown, listener: Listener) {
            ask();
            const connection = { name, listener, close: vi.fn(), ping: vi.fn() };
            fake.opened.push(connection);
            return connection;
        },
    });
    return { transports: { sse: transport('sse'), poll: transport('poll') } };
});

const newest = () => fake.opened[fake.opened.length - 1]!;

/** Lets time go by until there is another connection. */
function another(): void {
    const { length } = fake.opened;
    for (let steps = 0; fake.opened.length === length; steps += 1) {
        if (steps > 2000) throw new Error('no other connection came');
        vi.advanceTimersByTime(10);
    }
}

function connector(onState: (state: State) => void = () => {}) {
    const owner = {
        ask: () => ({ channels: [{ key: 1, name: 'a', seq: 0 }] }), messages: vi.fn(), problem: vi.fn(),
        state: vi.fn((state: State, _transport?: TransportName) => onState(state)),
    };
    const options = { url: 'http://h/icomet', wait: 1, events: [], pollInterval: 1 };
    const choice = new Choice(['sse', 'poll'], () => true);
    return { owner, its: new Connector(owner, choice, new Backoff(500, 20_000, () => 1), { open: 5000, silence: 75_000, better: 120_000 }, options) };
}

beforeEach(() => {
    fake.opened = [];
    vi.useFakeTimers();
});
afterEach(() => vi.useRealTimers());

test('start and the first change make one connection', () => {
    const { its } = connector();
    its.start();
    expect(its.state).toBe('connecting');
    its.change();
    expect(fake.opened).toHaveLength(1);
    its.stop();
});

test('no sign of life: the next transport at once; what the first one says then is not heard', () => {
    const { its, owner } = connector();
    its.start();
    its.change();
    vi.advanceTimersByTime(5000);
    vi.advanceTimersByTime(1);
    expect(fake.opened.map(({ name }) => name)).toEqual(['sse', 'poll']);
    expect(fake.opened[0]?.close).toHaveBeenCalledOnce();
    fake.opened[0]?.listener.alive();
    fake.opened[0]?.listener.messages([]);
    expect(its.state).toBe('connecting');
    expect(owner.messages).not.toHaveBeenCalled();
    newest().listener.alive();
    expect(owner.state.mock.calls.map(([state, transport]) => [state, transport])).toEqual([['connecting', undefined], ['open', 'poll']]);
});

test('silence: asked for a sign of life, then dead, and another is tried', () => {
    const { its, owner } = connector();
    its.start();
    its.change();
    newest().listener.alive();
    vi.advanceTimersByTime(50_000);
    expect(newest().ping).toHaveBeenCalled();
    vi.advanceTimersByTime(25_000);
    expect(owner.problem).toHaveBeenCalledWith(expect.objectContaining({ message: 'icomet: sse: nothing was heard for 75000 ms' }));
    vi.advanceTimersByTime(1000);
    expect(newest().name).toBe('poll');
});

test('a connection that brought something, if only replies, and then was silent is not taken as blocked', () => {
    const { its } = connector();
    its.start();
    its.change();
    newest().listener.alive();
    newest().listener.alive();
    vi.advanceTimersByTime(76_000);
    expect(fake.opened.map(({ name }) => name)).toEqual(['sse', 'sse']);
});

test('a sleep of the machine blocks nothing', () => {
    const { its } = connector();
    its.start();
    its.change();
    newest().listener.alive();
    vi.setSystemTime(Date.now() + 3_600_000);
    vi.advanceTimersByTime(26_000);
    expect(fake.opened.map(({ name }) => name)).toEqual(['sse', 'sse']);
});

test('a server that ends at once is asked later and later', () => {
    const { its } = connector();
    its.start();
    its.change();
    for (let times = 0; times < 5; times += 1) {
        newest().listener.alive();
        newest().listener.end();
        vi.advanceTimersByTime(500 * 2 ** (times + 1) - 1);
        expect(fake.opened).toHaveLength(times + 1);
        vi.advanceTimersByTime(1);
        expect(fake.opened).toHaveLength(times + 2);
    }
});

test('online: at once. A page that is shown while it connects is left alone', () => {
    const { its } = connector();
    its.start();
    its.change();
    its.wake(false);
    expect(fake.opened).toHaveLength(1);
    newest().listener.alive();
    newest().listener.end();
    its.wake(true);
    expect(fake.opened).toHaveLength(2);
});

test('stop leaves no timer and no connection, and nothing is told behind it', () => {
    const { its, owner } = connector();
    its.start();
    its.change();
    newest().listener.alive();
    its.stop();
    expect(vi.getTimerCount()).toBe(0);
    expect(newest().close).toHaveBeenCalledOnce();
    newest().listener.messages([{ type: 'data', cname: 'a', seq: 1, content: '' }]);
    newest().listener.end(new Error('late'));
    expect(owner.messages).not.toHaveBeenCalled();
    expect(owner.problem).not.toHaveBeenCalled();
    expect(its.state).toBe('closed');
});

test.each(['connecting', 'open', 'reconnecting'] as const)('who stops and starts it when it is told "%s" gets one connection', (when) => {
    let done = false;
    const { its } = connector((state) => {
        if (state !== when || done) return;
        done = true;
        its.stop();
        its.start();
        its.change();
    });
    its.start();
    its.change();
    newest().listener.alive();
    newest().listener.end();
    vi.advanceTimersByTime(1000);
    expect(fake.opened.filter(({ close }) => vi.mocked(close).mock.calls.length === 0)).toHaveLength(1);
    its.stop();
    expect(vi.getTimerCount()).toBe(0);
});

test('cut right after it was opened, again and again, it is not a good one: another is tried, and kept', () => {
    const { its } = connector();
    its.start();
    its.change();
    for (let times = 0; times < 3; times += 1) {
        newest().listener.alive();
        if (newest().name === 'poll') break;
        newest().listener.end(new Error('the WebSocket was closed: 1006'));
        vi.advanceTimersByTime(1);
    }
    expect(fake.opened.map(({ name }) => name)).toEqual(['sse', 'poll']);
    newest().listener.alive();
    newest().listener.end(new Error('cut'));
    another();
    expect(newest().name).toBe('poll');
});

test('one that got through before, and is cut right after its opening now, is left after its second try', () => {
    const { its } = connector();
    its.start();
    its.change();
    newest().listener.alive();
    newest().listener.alive();
    for (let times = 0; times < 3; times += 1) {
        newest().listener.end(new Error('cut'));
        another();
        newest().listener.alive();
    }
    expect(fake.opened.map(({ name }) => name)).toEqual(['sse', 'sse', 'sse', 'poll']);
});

test('ended without a word as if by the server, three times: another is tried, though not at once', () => {
    const { its } = connector();
    its.start();
    its.change();
    for (let times = 0; times < 3; times += 1) {
        newest().listener.alive();
        newest().listener.end();
        expect(newest().name).toBe('sse');
        another();
    }
    expect(newest().name).toBe('poll');
});

test('one that lived for some seconds is a good one, though it brought nothing', () => {
    const { its } = connector();
    its.start();
    its.change();
    for (let times = 0; times < 5; times += 1) {
        newest().listener.alive();
        vi.advanceTimersByTime(5000);
        newest().listener.end(new Error('cut'));
        another();
    }
    expect(new Set(fake.opened.map(({ name }) => name))).toEqual(new Set(['sse']));
});

test('a page that is looked at asks for a sign of life: without one the connection is made again, with one it is kept', () => {
    const { its, owner } = connector();
    its.start();
    its.change();
    newest().listener.alive();
    newest().listener.alive();
    its.wake(false);
    its.wake(false);
    expect(newest().ping).toHaveBeenCalledOnce();
    newest().listener.alive();
    vi.advanceTimersByTime(6000);
    expect(fake.opened).toHaveLength(1);
    its.wake(false);
    vi.advanceTimersByTime(4999);
    expect(owner.problem).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(owner.problem).toHaveBeenCalledWith(expect.objectContaining({ message: expect.stringContaining('no answer to a ping') as string }));
    vi.advanceTimersByTime(1000);
    expect(fake.opened.map(({ name }) => name)).toEqual(['sse', 'sse']);
});

describe('publish', () => {
    const sends = () => {
        const sent: { publication: Publication; resolve: () => void; reject: (error: Error) => void }[] = [];
        newest().publish = (publication) => new Promise((resolve, reject) => void sent.push({ publication, resolve, reject }));
        return sent;
    };

    test('without an answer it is sent again by the next connection, with the same id', async () => {
        const { its } = connector();
        its.start();
        its.change();
        newest().listener.alive();
        newest().listener.alive();
        const first = sends();
        const done = its.publish('a', 'hi');
        const [{ publication, reject }] = first as [typeof first[number]];
        newest().listener.end(new Error('cut'));
        reject(new Unanswered('closed'));
        await vi.advanceTimersByTimeAsync(1000);
        const second = sends();
        newest().listener.alive();
        await vi.advanceTimersByTimeAsync(0);
        expect(second.map(({ publication: again }) => again)).toEqual([publication]);
        second[0]?.resolve();
        await done;
        its.stop();
        expect(vi.getTimerCount()).toBe(0);
    });

    test.each([
        ['the next transport cannot publish', /next one cannot publish; whether/, () => newest().listener.alive()],
        ['nothing comes of it for long', /no answer in 30000 ms; whether/, () => vi.advanceTimersByTime(30_000)],
    ])('%s: rejected', async (_name, message, then) => {
        const { its } = connector();
        its.start();
        its.change();
        newest().listener.alive();
        newest().listener.alive();
        const sent = sends();
        const rejected = expect(its.publish('a', 'hi')).rejects.toThrow(message);
        newest().listener.end(new Error('cut'));
        sent[0]?.reject(new Unanswered('closed'));
        await vi.advanceTimersByTimeAsync(1000);
        then();
        await rejected;
        its.stop();
    });

    test('stopped, or refused by the server: rejected', async () => {
        const { its } = connector();
        its.start();
        its.change();
        newest().listener.alive();
        const sent = sends();
        const refused = its.publish('a', 'hi');
        sent[0]?.reject(new Error('not published: no (not_allowed)'));
        await expect(refused).rejects.toThrow('not_allowed');
        const stopped = its.publish('a', 'hi');
        its.stop();
        await expect(stopped).rejects.toThrow('stopped');
        expect(vi.getTimerCount()).toBe(0);
    });
});
