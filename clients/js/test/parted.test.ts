import { expect, test, vi } from 'vitest';
import { Refusal } from '../src/transports/get';
import { parted, ROOM } from '../src/transports/parted';
import { endpoint } from '../src/transports/urls';
import type { Connection, Listener, Question, Transport, Wanted } from '../src/transports/transport';

const channels = (count: number, name = (index: number) => `c${index}`): Wanted[] =>
    Array.from({ length: count }, (_, index) => ({ key: index + 1, name: name(index), seq: 1 }));

function open(wanted: Wanted[], silent = false) {
    const asked = { wanted };
    const opened: { ask: () => Question; listener: Listener; close: () => void }[] = [];
    const inner: Transport = {
        name: 'sse', possible: () => true, ...(silent && { silent: true as const }),
        open(ask, listener): Connection {
            const close = vi.fn();
            opened.push({ ask, listener, close });
            return { close };
        },
    };
    const listener = { alive: vi.fn(), messages: vi.fn(), end: vi.fn() };
    const room = { ...ROOM };
    const connection = parted(inner).open(() => ({ channels: asked.wanted }), listener,
        { url: 'http://h/icomet', wait: 1, events: [], pollInterval: 1, room });
    return { asked, opened, listener, connection, room, sizes: () => opened.map(({ ask }) => ask().channels.length) };
}

const live = (opened: ReturnType<typeof open>['opened']) => opened.filter(({ close }) => vi.mocked(close).mock.calls.length === 0);

test('64 channels are one connection, one more has another, and long names have more', () => {
    expect(open(channels(64)).sizes()).toEqual([64]);
    expect(open(channels(65)).sizes()).toEqual([64, 1]);
    const long = open(channels(40, (index) => `${'é'.repeat(60)}${index}`));
    expect(long.sizes().reduce((sum, size) => sum + size)).toBe(40);
    expect(Math.max(...long.sizes())).toBeLessThan(11);
});

test('it is open when all of it is, and hears by each', () => {
    const { opened, listener } = open(channels(65));
    opened[0]?.listener.alive();
    expect(listener.alive).not.toHaveBeenCalled();
    opened[1]?.listener.alive();
    expect(listener.alive).toHaveBeenCalledOnce();
    for (const part of opened) part.listener.messages([]);
    expect(listener.messages).toHaveBeenCalledTimes(2);
});

test('the end of one is that of all, but not when the server let none of its channels in', () => {
    const refused = open(channels(65));
    refused.asked.wanted = refused.asked.wanted.slice(0, 64);
    refused.opened[1]?.listener.end();
    expect(refused.listener.end).not.toHaveBeenCalled();
    refused.opened[0]?.listener.end(new Error('cut'));
    expect(refused.listener.end).toHaveBeenCalledWith(new Error('cut'));
    const cut = open(channels(65));
    cut.opened[0]?.listener.end();
    expect(cut.listener.end).toHaveBeenCalledOnce();
    expect(cut.opened[1]?.close).toHaveBeenCalledOnce();
    cut.opened[1]?.listener.alive();
    cut.opened[1]?.listener.end();
    expect(cut.listener.end).toHaveBeenCalledOnce();
});

test.each([400, 414, 431])('refused with %i, it asks for half as many, until it is taken', (status) => {
    const { opened, listener, room, sizes } = open(channels(40));
    opened[0]?.listener.end(new Refusal(status, ''));
    expect(sizes().slice(1)).toEqual([20, 20]);
    live(opened).at(-2)?.listener.end(new Refusal(status, ''));
    expect(sizes().slice(-4)).toEqual([10, 10, 10, 10]);
    expect(room.channels).toBe(10);
    expect(listener.end).not.toHaveBeenCalled();
});

test('a server that takes one epoch alone is asked by one', () => {
    const { opened, room, sizes } = open(channels(40));
    opened[0]?.listener.end(new Refusal(400, '{"type":"400","cname":"","seq":0,"content":"epoch is not what it must be"}'));
    expect(sizes().slice(1)).toEqual([40]);
    expect(room).toMatchObject({ channels: 64, oneEpoch: true });
    const both = channels(2).map((one) => ({ ...one, epoch: '1111111111111111' }));
    expect(endpoint('http://h', 'sub', { channels: both, oneEpoch: true })).toBe('http://h/sub?cname=c0,c1&seq=1,1&epoch=1111111111111111');
});

test('where the transport does not say why it got no sign of life, a poll does', async () => {
    vi.stubGlobal('fetch', () => Promise.resolve(new Response('too many', { status: 414 })));
    const { opened, sizes, listener } = open(channels(40), true);
    opened[0]?.listener.end(new Error('no event stream came'));
    await vi.waitFor(() => expect(sizes().slice(1)).toEqual([20, 20]));
    expect(listener.end).not.toHaveBeenCalled();
    vi.stubGlobal('fetch', () => Promise.reject(new Error('away')));
    const away = open(channels(40), true);
    away.opened[0]?.listener.end(new Error('no event stream came'));
    await vi.waitFor(() => expect(away.listener.end).toHaveBeenCalledWith(new Error('no event stream came')));
    const closed = open(channels(40), true);
    closed.opened[0]?.listener.end(new Error('no event stream came'));
    closed.connection.close();
    const alive = open(channels(40), true);
    alive.opened[0]?.listener.alive();
    alive.opened[0]?.listener.end(new Error('cut'));
    expect(alive.listener.end).toHaveBeenCalledWith(new Error('cut'));
    expect(closed.listener.end).not.toHaveBeenCalled();
    vi.unstubAllGlobals();
});

test('one that is refused alone was not too many, and what is refused otherwise is over', () => {
    const one = open(channels(1));
    one.room.channels = 1;
    one.opened[0]?.listener.end(new Refusal(400, ''));
    expect(one.listener.end).toHaveBeenCalledWith(expect.any(Refusal));
    expect(one.room).toMatchObject(ROOM);
    const other = open(channels(40));
    other.opened[0]?.listener.end(new Refusal(502, ''));
    expect(other.listener.end).toHaveBeenCalledWith(expect.any(Refusal));
    expect(other.opened).toHaveLength(1);
});

test('what four connections have no room for is refused, and the others are served', async () => {
    const { opened, listener } = open(channels(258));
    expect(opened).toHaveLength(4);
    expect(listener.messages).not.toHaveBeenCalled();
    await Promise.resolve();
    expect(listener.messages.mock.calls.flatMap(([messages]) => (messages as { type: string; cname: string }[]).map(({ type, cname }) => `${type} ${cname}`)))
        .toEqual(['429 c256', '429 c257']);
});

test('closed, all of it is', () => {
    const { opened, connection, listener } = open(channels(65));
    connection.close();
    expect(live(opened)).toEqual([]);
    opened[0]?.listener.end();
    expect(listener.end).not.toHaveBeenCalled();
});
