import { afterEach, expect, test, vi } from 'vitest';
import { IcometClient } from '../src/index';
import type { ClientOptions, SubscribeOptions } from '../src/types';

const url = 'http://127.0.0.1:1/icomet';

afterEach(() => vi.unstubAllGlobals());

test.each<[Partial<ClientOptions>, RegExp]>([
    [{ url: 'icomet' }, /"icomet" is no url/],
    [{ transports: [] }, /transports is empty/],
    [{ transports: ['telepathy' as 'sse'] }, /no transport is called "telepathy"/],
    [{ openTimeout: 0 }, /openTimeout/],
    [{ silenceTimeout: Number.NaN }, /silenceTimeout/],
    [{ retry: { min: 0 } }, /retry from 0/],
    [{ retry: { max: Number.POSITIVE_INFINITY } }, /retry/],
    [{ user: '' }, /a user/],
    [{ user: 'x'.repeat(129) }, /128 characters/],
])('options that make no sense: %j', (options, message) => {
    expect(() => new IcometClient({ url, ...options })).toThrow(message);
});

test.each<[string, SubscribeOptions, RegExp]>([
    ['', {}, /a channel's name/],
    ['a\nb', {}, /control character/],
    ['ü'.repeat(129), {}, /256 bytes/],
    ['\ud800', {}, /half of a character/],
    ['a', { seq: -1 }, /seq -1/],
    ['a', { seq: 1, epoch: 'x y' }, /epoch x y/],
])('channels that the server would refuse, and all others with them: %j', (name, options, message) => {
    const client = new IcometClient({ url });
    expect(() => client.subscribe(name, options)).toThrow(message);
    expect(client.state).toBe('closed');
});

test('several channels of one moment are one question', async () => {
    const urls: string[] = [];
    const asked = new Promise<void>((resolve) => {
        vi.stubGlobal('fetch', (asks: string, { signal }: RequestInit) => {
            urls.push(asks);
            resolve();
            return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(new Error('given up'))));
        });
    });
    const client = new IcometClient({ url, transports: ['poll'] });
    client.subscribe('a');
    client.subscribe('b');
    await asked;
    await new Promise((resolve) => setImmediate(resolve));
    client.stop();
    expect(urls.map((text) => new URL(text).searchParams.get('cname'))).toEqual(['a,b']);
});

test('twice the same channel is a mistake', () => {
    const client = new IcometClient({ url, transports: ['poll'] });
    client.subscribe('a');
    expect(() => client.subscribe('a')).toThrow(/subscribed already/);
    client.stop();
});

test('who reads a subscription that is over gets the end', async () => {
    const client = new IcometClient({ url, transports: ['poll'] });
    const room = client.subscribe('a');
    room.unsubscribe();
    for await (const message of room) throw new Error(`none comes: ${message.content}`);
    expect(client.state).toBe('closed');
});

test('a channel that is taken anew in the midst of an answer gets nothing of the old one\'s', async () => {
    const E1 = '1111111111111111';
    const answers = [[1, 2, 3, 4], [1, 2, 3, 4]];
    vi.stubGlobal('fetch', (_url: string, { signal }: RequestInit) => {
        const seqs = answers.shift();
        if (!seqs) return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(new Error('given up'))));
        const messages = seqs.map((seq) => ({ type: 'data', cname: 'a', seq, content: '' }));
        return Promise.resolve(new Response(JSON.stringify(messages), { headers: { ETag: `"${E1}-4"` } }));
    });
    const client = new IcometClient({ url, transports: ['poll'] });
    const had: number[] = [];
    const anew = new Promise<void>((resolve) => {
        client.subscribe('a', { seq: 1 }).on('message', ({ seq }) => {
            if (seq !== 2) return;
            client.stop();
            client.subscribe('a', { seq: 1 }).on('message', (message) => {
                had.push(message.seq);
                if (message.seq === 4) resolve();
            });
        });
    });
    await anew;
    client.stop();
    expect(had).toEqual([1, 2, 3, 4]);
});

/** A client that polls a server whose answers are given one after the other; then it waits for ever. */
function answered(answers: object[][], options: Partial<ClientOptions> = {}) {
    vi.stubGlobal('fetch', (_url: string, { signal }: RequestInit) => {
        const next = answers.shift();
        if (next) return Promise.resolve(new Response(JSON.stringify(next)));
        return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(new Error('given up'))));
    });
    return new IcometClient({ url, transports: ['poll'], ...options });
}

test('to stay away ends that channel, and says so; the others go on', async () => {
    const client = answered([[
        { type: 'close', cname: 'a', seq: 3, content: 'stay_away' }, { type: 'data', cname: 'b', seq: 1, content: 'hi' },
    ]]);
    const closed = vi.fn();
    client.on('close', closed);
    const a = client.subscribe('a', { seq: 3 });
    const b = client.subscribe('b', { seq: 1 });
    for await (const message of a) throw new Error(`none comes: ${message.content}`);
    expect(closed).toHaveBeenCalledWith({ channel: 'a', stayAway: true });
    expect(b.position.seq).toBe(2);
    expect(client.state).not.toBe('closed');
    client.stop();
});

test('the last channel that is to stay away ends the connection', async () => {
    const client = answered([[{ type: 'close', cname: 'a', seq: 3, content: 'stay_away' }]]);
    const closed = new Promise<void>((resolve) => void client.on('state', ({ state }) => {
        if (state === 'closed') resolve();
    }));
    client.subscribe('a', { seq: 3 });
    await closed;
});

test('a back end that says for good that there is no token ends the subscription, with a word', async () => {
    const sign = vi.fn(() => Promise.reject(Object.assign(new Error('logged out'), { status: 403 })));
    const onProblem = vi.fn();
    const onRefused = vi.fn();
    const client = new IcometClient({ url, transports: ['poll'], sign, onProblem, onRefused });
    for await (const message of client.subscribe('a')) throw new Error(`none comes: ${message.content}`);
    expect(onRefused).toHaveBeenCalledWith({ channel: 'a', status: 403, reason: 'logged out', final: true });
    expect(onProblem).toHaveBeenCalledWith(expect.objectContaining({ message: 'logged out' }));
    expect(sign).toHaveBeenCalledOnce();
    expect(client.state).toBe('closed');
    expect(() => client.subscribe('a', { token: 't' })).not.toThrow();
    client.stop();
});

test('where nobody listens for problems the console is told, and else not', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const problem = () => new Promise<void>((resolve) => {
        warn.mockImplementation(() => resolve());
        vi.stubGlobal('fetch', () => Promise.resolve(new Response('<title>404 Not Found</title>', { status: 404 })));
        const client = new IcometClient({ url, transports: ['poll'] });
        client.subscribe('a');
        clients.push(client);
    });
    const clients: IcometClient[] = [];
    await problem();
    expect(warn).toHaveBeenCalledWith('icomet: poll: the server answered 404: a page called "404 Not Found"');
    for (const client of clients) client.stop();
    warn.mockClear();
    const heard = new Promise<Error>((onProblem) => clients.push(new IcometClient({ url, transports: ['poll'], onProblem })));
    clients.at(-1)?.subscribe('a');
    await heard;
    clients.at(-1)?.stop();
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
});

test('when nothing is possible it says so at once; a class makes it possible', () => {
    vi.stubGlobal('WebSocket', undefined);
    vi.stubGlobal('EventSource', undefined);
    const transports = ['websocket', 'sse'] as const;
    expect(() => new IcometClient({ url, transports })).toThrow(/nothing here can do websocket or sse; in Node/);
    expect(() => new IcometClient({ url, transports, EventSource: class {} })).not.toThrow();
});
