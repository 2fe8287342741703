import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { pollByGet, polling } from '../src/transports/polling';
import type { Question } from '../src/transports/transport';
import type { WireMessage } from '../src/wire';

const options = { url: 'http://h/icomet', wait: 30, events: [], pollInterval: 3000 };
const data = (seq: number) => ({ type: 'data', cname: 'a', seq, content: '' });

/** A client that counts, and a server that answers at once. */
function poll(answer: (question: Question) => WireMessage[], pause?: number) {
    let seq = 1;
    let questions = 0;
    const listener = {
        alive: vi.fn(), end: vi.fn(),
        messages: vi.fn((messages: readonly { seq: number }[]): void => {
            seq = Math.max(seq, ...messages.map((message) => message.seq + 1));
        }),
    };
    const ask = () => ({ channels: [{ key: 1, name: 'a', seq, epoch: '1111111111111111' }] });
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
    for (const messages of [[], [data(0)], [{ type: 'noop', cname: 'a', seq: 1, content: '' }], [{ type: 'epoch', cname: 'a', seq: 1, content: 'E' }]]) {
        const { asked, connection } = poll(() => messages);
        await vi.advanceTimersByTimeAsync(5000);
        expect(asked()).toBeLessThan(15);
        expect(asked()).toBeGreaterThan(5);
        connection.close();
        expect(vi.getTimerCount()).toBe(0);
    }
});

test('what brings something is followed by the next question at once; the first is answered at once', async () => {
    const { asked, waits, connection, listener } = poll(({ channels }) => (channels[0]!.seq < 50 ? [data(channels[0]!.seq)] : []));
    await vi.advanceTimersByTimeAsync(1);
    expect(asked()).toBeGreaterThanOrEqual(50);
    expect(waits.slice(0, 2)).toEqual([0, 30]);
    expect(listener.messages.mock.calls.length).toBe(asked());
    connection.close();
});

test('short polls come with a pause', async () => {
    const { asked, waits, connection } = poll(({ channels }) => [data(channels[0]!.seq)], 3000);
    await vi.advanceTimersByTimeAsync(6500);
    expect(asked()).toBe(4);
    expect(new Set(waits)).toEqual(new Set([0]));
    connection.close();
});

describe('the epoch of an answer', () => {
    const question = { channels: [{ key: 1, name: 'a', seq: 3 }, { key: 2, name: 'b', seq: 4 }] };
    const epoch = (cname: string, seq: number, content: string) => ({ type: 'epoch', cname, seq, content });
    const refused = { type: '429', cname: 'b', seq: 0, content: 'Too many' };
    const answer = (messages: object[], ETag: string) => {
        vi.stubGlobal('fetch', () => Promise.resolve(new Response(JSON.stringify(messages), { headers: { ETag } })));
        return pollByGet(question, 0, options).batch;
    };
    afterEach(() => vi.unstubAllGlobals());

    test.each(['"1111111111111111-2.3"', 'W/"1111111111111111-2.3"'])('of a server that tells it by its tag alone, also a weak one: %s', async (tag) => {
        expect(await answer([data(3)], tag)).toEqual([epoch('a', 3, '1111111111111111'), epoch('b', 4, '1111111111111111'), data(3)]);
        expect(await answer([refused], tag)).toEqual([epoch('a', 3, '1111111111111111'), refused]);
    });

    test('told in a message, the tag is not looked at', async () => {
        const messages = [epoch('a', 3, '2222222222222222.b'), data(3)];
        expect(await answer(messages, '"1111111111111111-3"')).toEqual(messages);
    });
});

test.each([
    ['<html>\n<head><title>404 Not Found</title></head><body>lots more</body></html>', 'the server answered 404: a page called "404 Not Found"'],
    ['{"type":"404","cname":"","seq":0,"content":"no such endpoint"}\n', 'the server answered 404: no such endpoint'],
    [`a\n\n b ${'x'.repeat(10_000)}`, `the server answered 404: a b ${'x'.repeat(76)}…`],
    ['', 'the server answered 404'],
])('of an answer that is an error only what is worth it is shown: %#', async (text, message) => {
    vi.stubGlobal('fetch', () => Promise.resolve(new Response(text, { status: 404 })));
    await expect(pollByGet({ channels: [{ key: 1, name: 'a', seq: 0 }] }, 0, options).batch).rejects.toMatchObject({ status: 404, message });
    vi.unstubAllGlobals();
});

test('closed by who hears a message, it asks no more', async () => {
    const { asked, connection, listener } = poll(({ channels }) => [data(channels[0]!.seq)]);
    listener.messages.mockImplementation(() => connection.close());
    await vi.advanceTimersByTimeAsync(5000);
    expect(asked()).toBe(1);
    expect(listener.end).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
});
