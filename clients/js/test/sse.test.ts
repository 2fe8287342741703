import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { sse } from '../src/transports/sse';
import type { Wanted } from '../src/transports/transport';

const E1 = '1111111111111111';

/** What a browser's EventSource does, as far as the client uses it. */
class FakeSource {
    static last: FakeSource;
    closed = false;
    onopen: (() => void) | null = null;
    onmessage: ((event: { data: string; lastEventId: string }) => void) | null = null;
    onerror: ((event: object) => void) | null = null;

    constructor(readonly url: string) {
        FakeSource.last = this;
    }

    addEventListener(): void {}

    close(): void {
        this.closed = true;
    }

    say(value: object, lastEventId: string): void {
        this.onmessage?.({ data: JSON.stringify(value), lastEventId });
    }
}

const wanted = (...names: string[]): Wanted[] => names.map((name, index) => ({ key: index, name, seq: 1 }));
const data = (cname: string, seq: number) => ({ type: 'data', cname, seq, content: 'x' });
const epoch = (cname: string, seq: number, content: string) => ({ type: 'epoch', cname, seq, content });

function open(channels: Wanted[]) {
    const listener = { alive: vi.fn(), messages: vi.fn(), end: vi.fn() };
    const connection = sse.open(() => ({ channels }), listener,
        { url: 'http://h/icomet', wait: 1, events: [], pollInterval: 1, classes: { EventSource: FakeSource } });
    return { listener, connection, source: FakeSource.last, told: () => listener.messages.mock.calls.flatMap(([messages]) => messages as object[]) };
}

beforeEach(() => void vi.stubGlobal('EventSource', undefined));
afterEach(() => vi.unstubAllGlobals());

test('a message tells the epoch, and ids are not looked at', () => {
    const { source, told } = open(wanted('a'));
    expect(source.url).toContain('epoch=');
    const messages = [epoch('a', 1, `${E1}.a`), data('a', 1)];
    for (const message of messages) source.say(message, `${E1}-1`);
    expect(told()).toEqual(messages);
});

test('of a server without such messages an id tells it, once for each channel', () => {
    const { source, told } = open(wanted('a', 'b'));
    for (const message of [data('a', 1), data('b', 4), data('a', 2)]) source.say(message, `${E1}-1.4`);
    expect(told()).toEqual([epoch('a', 1, E1), data('a', 1), epoch('b', 4, E1), data('b', 4), data('a', 2)]);
});

test('a stream that does not open is an error, one that ends is none', () => {
    const { source, listener } = open(wanted('a'));
    source.onerror?.({});
    expect(listener.end).toHaveBeenCalledWith(new Error('no event stream came'));
    expect(source.closed).toBe(true);
    const ended = open(wanted('a'));
    ended.source.onopen?.();
    ended.source.onerror?.({});
    expect(ended.listener.end).toHaveBeenCalledWith(undefined);
});
