import { toError } from '../events';
import { canAsk, Refusal } from './get';
import { pollByGet } from './polling';
import type { Connection, Listener, Question, Room, Transport, TransportOptions, Wanted } from './transport';

/** Connections at most: a browser allows a site six by HTTP/1.1, and the page needs some for itself. */
const MOST = 4;

/** What a server, or something before it, answers when a request names too much. */
const TOO_MUCH = [400, 414, 431, 494];

/** Of a channel in an url, beside its name and token: a seq, an epoch and their commas, in characters. */
const BESIDE = 32;

/** Of a server as it is set up by default: channels a request, and characters of them in its url, of 8 KB with all else. */
export const ROOM: Room = { channels: 64, characters: 4000 };

/** A transport for which a request has room for so many channels: what is more has connections of its own. */
export function parted(transport: Transport): Transport {
    return { ...transport, open: (ask, listener, options) => new Parts(transport, ask, listener, options) };
}

/** What channels are asked for by one connection. */
interface Part {
    readonly keys: ReadonlySet<number>;
    connection?: Connection;
    alive: boolean;
    done: boolean;
}

class Parts implements Connection {
    private parts: Part[] = [];
    private closed = false;

    constructor(
        private readonly transport: Transport,
        private readonly ask: () => Question,
        private readonly listener: Listener,
        private readonly options: TransportOptions,
    ) {
        this.start();
    }

    close(): void {
        this.closed = true;
        this.leave();
    }

    private start(): void {
        const all = split(this.ask().channels, this.options.room);
        const surplus = all.splice(MOST).flat();
        const parts = (this.parts = all.map((channels): Part => ({ keys: new Set(channels.map(({ key }) => key)), alive: false, done: false })));
        for (const part of parts) {
            // One before it may have ended all of them.
            if (this.closed || this.parts !== parts) return;
            this.open(part);
        }
        if (surplus.length === 0) return;
        const content = `${MOST} connections have no room for it`;
        // Not within the opening: who is told may stop it.
        void Promise.resolve().then(() => {
            if (this.parts === parts && !this.closed) this.listener.messages(surplus.map(({ name }) => ({ type: '429', cname: name, seq: 0, content })));
        });
    }

    private open(part: Part): void {
        const current = () => !this.closed && !part.done && this.parts.includes(part);
        const own = (): Question => {
            const question = this.ask();
            return { ...question, oneEpoch: this.options.room?.oneEpoch, channels: question.channels.filter(({ key }) => part.keys.has(key)) };
        };
        try {
            const connection = this.transport.open(own, {
                alive: () => {
                    part.alive = true;
                    // It is open when all of it is.
                    if (current() && this.parts.every(({ alive }) => alive)) this.listener.alive();
                },
                messages: (messages) => {
                    if (current()) this.listener.messages(messages);
                },
                end: (error) => {
                    if (!current()) return;
                    const question = own();
                    this.why(part, question, error, (known) => {
                        if (current()) this.ended(part, own().channels.length, known);
                    });
                },
            }, this.options);
            if (current()) part.connection ??= connection;
            else connection.close();
        } catch (error) {
            if (current()) this.ended(part, part.keys.size, toError(error));
        }
    }

    /** Whether a request that got no sign of life named too much, where the transport does not say it: a poll tells. */
    private why(part: Part, question: Question, error: Error | undefined, then: (error?: Error) => void): void {
        if (!error || part.alive || !this.transport.silent || question.channels.length < 2 || !canAsk()) return then(error);
        const { batch, cancel } = pollByGet(question, 0, this.options);
        part.connection?.close();
        part.connection = { close: cancel };
        batch.then(() => then(error), (other: unknown) => then(other instanceof Refusal ? other : error));
    }

    /** @param left how many channels of the part are still wanted. */
    private ended(part: Part, left: number, error?: Error): void {
        part.done = true;
        if (error instanceof Refusal && TOO_MUCH.includes(error.status)) {
            if (this.halve(part.keys.size, error)) {
                this.leave();
                return this.start();
            }
        } else if (!error && left === 0 && this.parts.some(({ done }) => !done)) return;
        this.close();
        this.listener.end(error);
    }

    /** Learns that a request has no room for so many channels, or for an epoch of each. It was not too many when one alone is refused as well. */
    private halve(channels: number, error: Refusal): boolean {
        const { room } = this.options;
        if (!room) return false;
        if (channels > 1 && /\bepoch\b/.test(error.message) && !room.oneEpoch) return (room.oneEpoch = true);
        if (channels < 2) {
            Object.assign(room, ROOM, { oneEpoch: false });
            return false;
        }
        room.channels = Math.floor(channels / 2);
        return true;
    }

    private leave(): void {
        const { parts } = this;
        this.parts = [];
        for (const { connection } of parts) connection?.close();
    }
}

function split(wanted: readonly Wanted[], { channels, characters } = ROOM): Wanted[][] {
    const parts: Wanted[][] = [];
    let size = Number.POSITIVE_INFINITY;
    for (const one of wanted) {
        const own = encodeURIComponent(one.name).length + encodeURIComponent(one.token ?? '').length + BESIDE;
        const last = parts[parts.length - 1];
        if (last && last.length < channels && size + own <= characters) {
            last.push(one);
            size += own;
        } else {
            parts.push([one]);
            size = own;
        }
    }
    return parts;
}
