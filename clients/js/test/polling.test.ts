import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Batch, polling } from '../src/transports/polling';
import type { Question } from '../src/transports/transport';

const options = { url: 'http://h/icomet', wait: 30, events: [], pollInterval: 3000 };
const data = (seq: number) => ({ type: 'data', cname: 'a', seq, content: '' });

/** A client that counts, and a server that answers at once. */
function poll(answer: (question: Question) => Batch, pause?: number) {
    let seq = 1;
    let questions = 0;
    const listener = {
        alive: vi.fn(), settled: vi.fn(), end: vi.fn(),
        messages: vi.fn((messages: readonly { seq: number }[]): void => {
            seq = Math.max(seq, ...messages.map((message) => message.seq + 1));
        }),
    };
    const ask = () => ({ channels: [{ key: 1, name: 'a', seq }], epoch: '1111111111111111' });
    const waits: number[] = [];
    const connection = polling((question, wait) => {
        questions += 1;
        waits.push(wait);
        return { batch: Promise.resolve(answer(question)), cancel() {} };
    }, ask, listener, options, pause);
    return { listener, connection, waits, asked: () => questions };
}

beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
});
afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
});

test('empty answers at once, and those that were had already, are not asked for without a rest', async () => {
    for (const messages of [[], [data(0)], [{ type: 'noop', cname: 'a', seq: 1, content: '' }]]) {
        const { asked, connection } = poll(() => ({ messages }));
        await vi.advanceTimersByTimeAsync(5000);
        expect(asked()).toBeLessThan(15);
        expect(asked()).toBeGreaterThan(5);
        connection.close();
        expect(vi.getTimerCount()).toBe(0);
    }
});

test('what brings something is followed by the next question at once; the first is answered at once', async () => {
    const { asked, waits, connection, listener } = poll(({ channels }) => ({ messages: channels[0]!.seq < 50 ? [data(channels[0]!.seq)] : [] }));
    await vi.advanceTimersByTimeAsync(1);
    expect(asked()).toBeGreaterThanOrEqual(50);
    expect(waits.slice(0, 2)).toEqual([0, 30]);
    expect(listener.messages.mock.calls.length).toBe(asked());
    connection.close();
});

test('short polls come with a pause', async () => {
    const { asked, waits, connection } = poll(({ channels }) => ({ messages: [data(channels[0]!.seq)] }), 3000);
    await vi.advanceTimersByTimeAsync(6500);
    expect(asked()).toBe(4);
    expect(new Set(waits)).toEqual(new Set([0]));
    connection.close();
});

test('an answer of another epoch settles nothing by itself', async () => {
    const other = poll(() => ({ messages: [], epoch: '2222222222222222' }));
    const same = poll(() => ({ messages: [], epoch: '1111111111111111' }));
    await vi.advanceTimersByTimeAsync(1);
    expect(other.listener.settled).not.toHaveBeenCalled();
    expect(same.listener.settled).toHaveBeenCalled();
    other.connection.close();
    same.connection.close();
});

test('closed by who hears a message, it asks no more', async () => {
    const { asked, connection, listener } = poll(({ channels }) => ({ messages: [data(channels[0]!.seq)] }));
    listener.messages.mockImplementation(() => connection.close());
    await vi.advanceTimersByTimeAsync(5000);
    expect(asked()).toBe(1);
    expect(listener.end).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
});
