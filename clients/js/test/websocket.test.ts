import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Question } from '../src/transports/transport';
import { Unanswered, websocket } from '../src/transports/websocket';

const E1 = '1111111111111111';

/** What a browser's WebSocket does, as far as the client uses it. */
class FakeSocket {
    static all: FakeSocket[] = [];
    readyState = 0;
    readonly sent: Record<string, unknown>[] = [];
    onopen: (() => void) | null = null;
    onmessage: ((event: { data: string }) => void) | null = null;
    onclose: ((event: { code: number; reason: string }) => void) | null = null;
    onerror: (() => void) | null = null;

    constructor(readonly url: string, readonly protocol: string) {
        FakeSocket.all.push(this);
    }

    send(text: string): void {
        this.sent.push(JSON.parse(text) as Record<string, unknown>);
    }

    close(): void {
        this.readyState = 3;
    }

    open(): void {
        this.readyState = 1;
        this.onopen?.();
    }

    say(value: object): void {
        this.onmessage?.({ data: JSON.stringify(value) });
    }

    /** Answers the newest command of that type. */
    reply(type: string, more: object = { epoch: E1 }): void {
        const command = this.sent.filter((sent) => sent.type === type).pop();
        this.say({ type: 'reply', id: command?.id, command: type, ...more });
    }
}

function open(question: Question) {
    const asked = { question };
    const listener = { alive: vi.fn(), messages: vi.fn(), end: vi.fn() };
    const connection = websocket.open(() => asked.question, listener, { url: 'http://h/icomet', wait: 1, events: [], pollInterval: 1 });
    return { asked, listener, connection, socket: FakeSocket.all[FakeSocket.all.length - 1]! };
}

const told = (listener: ReturnType<typeof open>['listener']) => listener.messages.mock.calls.flatMap(([messages]) => messages as object[]);
const data = (cname: string, seq: number) => ({ type: 'data', cname, seq, content: 'x' });

beforeEach(() => vi.stubGlobal('WebSocket', FakeSocket));
afterEach(() => vi.unstubAllGlobals());

describe('channels', () => {
    test('are asked for by commands, with epoch only where there is a seq', () => {
        const { socket, listener } = open({ channels: [{ key: 1, name: 'a', seq: 5, epoch: E1, token: 't' }, { key: 2, name: 'b', seq: 0, epoch: E1 }], user: 'ann b' });
        expect(socket.url).toBe('ws://h/icomet/ws?user=ann%20b');
        expect(socket.protocol).toBe('icomet.v1');
        socket.open();
        expect(socket.sent).toMatchObject([
            { type: 'subscribe', channel: 'a', seq: 5, epoch: E1, token: 't' }, { type: 'subscribe', channel: 'b', seq: 0 },
        ]);
        expect(socket.sent[1]).not.toHaveProperty('epoch');
        socket.reply('subscribe');
        expect(told(listener)).toEqual([{ type: 'epoch', cname: 'b', seq: 0, content: E1 }]);
    });

    test('come and go without a new connection', () => {
        const { socket, asked, connection } = open({ channels: [{ key: 1, name: 'a', seq: 0 }] });
        socket.open();
        asked.question = { channels: [{ key: 2, name: 'b', seq: 0 }] };
        connection.change?.();
        expect(socket.sent.map(({ type, channel }) => `${type} ${channel}`)).toEqual(['subscribe a', 'unsubscribe a', 'subscribe b']);
    });

    test('given up and taken anew: what was under way is not the new one\'s', () => {
        const { socket, asked, connection, listener } = open({ channels: [{ key: 1, name: 'a', seq: 4 }] });
        socket.open();
        socket.reply('subscribe');
        asked.question = { channels: [{ key: 2, name: 'a', seq: 1 }] };
        connection.change?.();
        listener.messages.mockClear();
        socket.say(data('a', 9));
        expect(told(listener)).toEqual([]);
        socket.reply('unsubscribe', {});
        socket.reply('subscribe');
        socket.say(data('a', 1));
        expect(told(listener).filter((message) => (message as { type: string }).type !== 'epoch')).toEqual([data('a', 1)]);
    });

    test('a reply tells the epoch, before what follows', () => {
        const { socket, listener } = open({ channels: [{ key: 1, name: 'a', seq: 4, epoch: E1 }] });
        socket.open();
        socket.reply('subscribe', { epoch: '2222222222222222.b' });
        socket.say({ type: 'lost', cname: 'a', seq: 1, content: '' });
        expect(told(listener)).toMatchObject([{ type: 'epoch', cname: 'a', seq: 4, content: '2222222222222222.b' }, { type: 'lost' }]);
    });

    test.each([['wrong_token', '401'], ['too_many_subscribers', '429'], ['zone_full', '429']])('refused with %s: %s, and asked for again', (code, type) => {
        const { socket, listener, connection } = open({ channels: [{ key: 1, name: 'a', seq: 0 }] });
        socket.open();
        socket.say({ type: 'error', id: socket.sent[0]?.id, code, content: 'no' });
        expect(told(listener)).toMatchObject([{ type, cname: 'a' }]);
        connection.change?.();
        expect(socket.sent.map((sent) => sent.type)).toEqual(['subscribe', 'subscribe']);
    });
});

describe('the end', () => {
    test('before the server has answered refuses nobody', () => {
        const { socket, listener } = open({ channels: [{ key: 1, name: 'a', seq: 0 }] });
        socket.open();
        socket.onclose?.({ code: 1006, reason: '' });
        expect(told(listener)).toEqual([]);
        expect(listener.end).toHaveBeenCalledWith(expect.objectContaining({ message: expect.stringContaining('1006') as string }));
    });

    test.each([1000, 1001, 1008, 1012])('by %s is as usual', (code) => {
        const { socket, listener } = open({ channels: [{ key: 1, name: 'a', seq: 0 }] });
        socket.open();
        socket.onclose?.({ code, reason: '' });
        expect(listener.end).toHaveBeenCalledWith(undefined);
    });

    test('by 4403 tells each channel to stay away', () => {
        const { socket, listener } = open({ channels: [{ key: 1, name: 'a', seq: 0 }, { key: 2, name: 'b', seq: 0 }] });
        socket.open();
        socket.onclose?.({ code: 4403, reason: '' });
        expect(told(listener)).toEqual(['a', 'b'].map((cname) => ({ type: 'close', cname, seq: 0, content: 'stay_away' })));
        expect(listener.end).toHaveBeenCalledWith(undefined);
    });

    test('after close nothing is told', () => {
        const { socket, listener, connection } = open({ channels: [{ key: 1, name: 'a', seq: 0 }] });
        socket.open();
        connection.close();
        socket.onclose?.({ code: 1000, reason: '' });
        expect(listener.end).not.toHaveBeenCalled();
        expect(listener.messages).not.toHaveBeenCalled();
        expect(socket.readyState).toBe(3);
    });

    test('what is no message ends it', () => {
        const { socket, listener } = open({ channels: [{ key: 1, name: 'a', seq: 0 }] });
        socket.open();
        socket.onmessage?.({ data: '<html>' });
        expect(listener.end).toHaveBeenCalledWith(expect.any(Error));
    });
});

test('publish settles when the server has answered; ping is a command', async () => {
    const { socket, connection } = open({ channels: [] });
    socket.open();
    const taken = connection.publish!({ id: 'i', channel: 'a', content: 'hi' });
    socket.reply('publish', {});
    await taken;
    const refused = connection.publish!({ id: 'i', channel: 'a', content: 'hi' });
    socket.say({ type: 'error', id: socket.sent[1]?.id, code: 'not_allowed', content: 'no' });
    await expect(refused).rejects.toThrow('no (not_allowed)');
    const cut = connection.publish!({ id: 'i', channel: 'a', content: 'hi' });
    connection.close();
    await expect(cut).rejects.toThrow('closed');
    await expect(cut).rejects.toBeInstanceOf(Unanswered);
    expect(socket.sent[0]).toMatchObject({ type: 'publish', channel: 'a', content: 'hi', once: 'i' });
    connection.ping!();
    expect(socket.sent.map(({ type }) => type)).toEqual(['publish', 'publish', 'publish']);
});

test('an option names the class where there is none, or another is wanted', () => {
    vi.stubGlobal('WebSocket', undefined);
    const options = { url: 'http://h/icomet', wait: 1, events: [], pollInterval: 1 };
    expect(websocket.possible(options)).toBe(false);
    const classes = { WebSocket: FakeSocket };
    expect(websocket.possible({ ...options, classes })).toBe(true);
    const before = FakeSocket.all.length;
    websocket.open(() => ({ channels: [] }), { alive() {}, messages() {}, end() {} }, { ...options, classes });
    expect(FakeSocket.all).toHaveLength(before + 1);
});
