import { toError } from '../events';
import { asMessages, excerpt, STAY_AWAY, type WireMessage } from '../wire';
import type { Connection, Listener, Publication, Question, Transport, TransportOptions, Wanted } from './transport';
import { epochMessage } from './urls';

/** A WebSocket's close code when the page ends it as usual: RFC 6455, section 7.4.1. */
const NORMAL = 1000;
/** Codes by which the server ends a connection as usual: docs/protocol.md, "The end". */
const USUAL = [1000, 1001, 1008, 1012, 4403];

/** A back end has ended the client, which is not to come back: with any channel that it has. */
const STAY_AWAY_CODE = 4403;
/** The connection ended before the server had answered a publish: whether it was taken nobody knows. */
export class Unanswered extends Error {}

/** The code of an answer that the server did not give. */
const CLOSED = 'closed';

/** What the server answers a command. */
interface Reply {
    readonly type: 'reply' | 'error';
    readonly id?: number;
    readonly epoch?: string;
    readonly code?: string;
    readonly content?: string;
}

type Then = (reply: Reply) => void;

/** Channels come and go by commands, so that a change makes no new connection; the reply tells the epoch. */
export const websocket: Transport = {
    name: 'websocket',
    possible: (options) => typeof classOf(options) === 'function',
    open: (ask, listener, options) => new Socket(ask, listener, options),
};

function classOf({ classes }: TransportOptions): unknown {
    return classes?.WebSocket ?? (typeof WebSocket === 'function' ? WebSocket : undefined);
}

class Socket implements Connection {
    private readonly socket: WebSocket;
    private readonly waiting = new Map<number, Then>();
    /** What the server was asked for. */
    private readonly joined = new Map<string, number>();
    /** What the server has not let in yet: messages of that name are of the channel that was given up before. */
    private readonly joining = new Set<string>();
    private last = 0;

    constructor(private readonly ask: () => Question, private readonly listener: Listener, options: TransportOptions) {
        const { user } = ask();
        const query = user === undefined ? '' : `?user=${encodeURIComponent(user)}`;
        const socket = (this.socket = new (classOf(options) as typeof WebSocket)(`${options.url.replace(/^http/, 'ws')}/ws${query}`, 'icomet.v1'));
        socket.onopen = () => {
            listener.alive();
            this.change();
        };
        socket.onmessage = ({ data }: MessageEvent<unknown>) => {
            try {
                this.take(String(data));
            } catch (error) {
                this.end(toError(error));
            }
        };
        // What went wrong is told by its end; in Node, ws throws an error that nobody hears.
        socket.onerror = () => {};
        socket.onclose = ({ code, reason }) => {
            if (code === STAY_AWAY_CODE) {
                const joined = [...this.joined.keys()];
                this.listener.messages(joined.map((cname) => ({ type: 'close', cname, seq: 0, content: STAY_AWAY })));
            }
            this.end(USUAL.includes(code) ? undefined : new Error(`the WebSocket was closed: ${code} ${reason}`));
        };
    }

    close(): void {
        const { socket } = this;
        socket.onopen = socket.onmessage = socket.onclose = null;
        this.joined.clear();
        for (const then of this.waiting.values()) then({ type: 'error', code: CLOSED, content: 'the connection was closed' });
        this.waiting.clear();
        socket.close(NORMAL);
    }

    change(): void {
        if (this.socket.readyState !== 1) return;
        const { channels } = this.ask();
        const wanted = new Map(channels.map(({ name, key }) => [name, key]));
        for (const [channel, key] of [...this.joined]) {
            if (wanted.get(channel) === key) continue;
            this.joined.delete(channel);
            this.joining.delete(channel);
            this.send({ type: 'unsubscribe', channel });
        }
        for (const channel of channels) {
            const { name, key, seq, epoch, token } = channel;
            if (this.joined.has(name)) continue;
            this.joined.set(name, key);
            this.joining.add(name);
            const more = { ...(epoch !== undefined && seq > 0 && { epoch }), ...(token !== undefined && { token }) };
            this.send({ type: 'subscribe', channel: name, seq, ...more }, (reply) => this.subscribed(channel, reply));
        }
    }

    publish({ channel, content, id: once }: Publication): Promise<void> {
        return new Promise((resolve, reject) => this.send({ type: 'publish', channel, content, once }, ({ type, code, content: why }) => {
            if (type === 'reply') resolve();
            else if (code === CLOSED) reject(new Unanswered('the connection was closed before the server had answered'));
            else reject(new Error(`not published: ${why} (${code})`));
        }));
    }

    ping(): void {
        if (this.socket.readyState === 1) this.send({ type: 'ping' });
    }

    private send(command: object, then: Then = () => {}): void {
        const id = (this.last += 1);
        this.waiting.set(id, then);
        this.socket.send(JSON.stringify({ ...command, id }));
    }

    private subscribed({ name, key, seq }: Wanted, { type, epoch, code, content = '' }: Reply): void {
        if (this.joined.get(name) !== key) return;
        if (type === 'reply') {
            this.joining.delete(name);
            if (epoch !== undefined) this.listener.messages([epochMessage(name, seq, epoch)]);
        } else {
            this.joined.delete(name);
            this.joining.delete(name);
            const message = code === 'wrong_token'
                ? { type: '401', content: 'Token error' }
                : { type: '429', content: `${content} (${code})` };
            this.listener.messages([{ ...message, cname: name, seq: 0 }]);
        }
    }

    private take(text: string): void {
        this.listener.alive();
        const value = JSON.parse(text) as { type: unknown };
        if (value.type === 'reply' || value.type === 'error') return this.settle(value as Reply);
        const messages = asMessages(value);
        if (!messages) throw new Error(`no message of icomet: ${excerpt(text)}`);
        const heard = messages.filter(({ cname }) => !this.joining.has(cname));
        for (const { type, cname } of heard) if (ENDS.includes(type)) this.joined.delete(cname);
        this.listener.messages(heard);
    }

    private settle(reply: Reply): void {
        const then = this.waiting.get(reply.id ?? 0);
        this.waiting.delete(reply.id ?? 0);
        then?.(reply);
    }

    private end(error?: Error): void {
        this.close();
        this.listener.end(error);
    }
}

/** After these the connection has the channel no more. */
const ENDS: readonly WireMessage['type'][] = ['close', '401', '429'];
