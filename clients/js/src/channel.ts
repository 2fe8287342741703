import type { Closed, Lost, Message, Position, Refused } from './types';
import { STAY_AWAY, toMessage, type WireMessage } from './wire';

/** What a message of the server means to whoever listens to its channel. */
export type Told =
    | { name: 'message'; value: Message }
    | { name: 'lost'; value: Lost }
    | { name: 'refused'; value: Refused }
    | { name: 'close'; value: Closed };

let lastKey = 0;

/** What a server may tell as an epoch: it is kept, compared and sent back, and never looked into. */
function isEpoch(text: unknown): text is string {
    // Visible ASCII; a comma would part two.
    return typeof text === 'string' && /^[!-+\--~]{1,32}$/.test(text);
}

/**
 * Where a channel's subscriber stands, and the rules by which nothing is told twice and nothing is missing in silence.
 *
 * A gap between two messages is none of the subscriber's business: what ended by its `ttl`, or is kept from this user, has a seq
 * too. What is missing the server tells by `lost`.
 */
export class Channel {
    /** Of this subscription alone. */
    readonly key = (lastKey += 1);
    token: string | undefined;
    /** The server refused or closed it; it is asked for again when its time has come. */
    resting = false;
    private next: number;
    private of: string | undefined;
    /**
     * The channel is another one now, and has not said yet from where on. Until then the subscriber stands where it stood: if the
     * connection is cut in between, the server tells the loss again.
     */
    private coming: string | undefined;
    /** A back end closed it: if it begins again at seq 1, nothing is missing. */
    private closed = false;

    constructor(readonly name: string, { seq = 0, epoch }: Partial<Position> = {}) {
        if (!(Number.isSafeInteger(seq) && seq >= 0)) throw new RangeError(`icomet: seq ${seq} of channel "${name}" is no whole number`);
        if (epoch !== undefined && !isEpoch(epoch)) {
            throw new RangeError(`icomet: epoch ${String(epoch)} of channel "${name}" is not what a server tells`);
        }
        this.next = seq;
        this.of = epoch;
    }

    get position(): Position {
        return this.of === undefined ? { seq: this.next } : { seq: this.next, epoch: this.of };
    }

    /** Takes a message of this channel. Answers what is to be told, if anything. */
    take(message: WireMessage): Told | undefined {
        const { type, seq, content } = message;
        switch (type) {
            case 'epoch':
                this.tellsEpoch(content, seq);
                return undefined;
            case 'data':
            case 'broadcast':
                this.closed = false;
                if (!this.begunAgain() && this.next !== 0 && seq < this.next) return undefined;
                this.next = seq + 1;
                return { name: 'message', value: toMessage(message) };
            case 'next_seq':
                return this.moved(seq);
            case 'lost':
                return this.lost(seq, content);
            case 'close':
                this.resting = this.closed = true;
                return { name: 'close', value: { channel: this.name, ...(content === STAY_AWAY && { stayAway: true }) } };
            case '401':
            case '429':
                this.resting = true;
                return { name: 'refused', value: { channel: this.name, status: Number(type), reason: content } };
            default:
                return undefined;
        }
    }

    private tellsEpoch(epoch: string, from: number): void {
        if (!isEpoch(epoch)) return;
        if (this.of !== undefined && this.of !== epoch && this.next !== 0) {
            this.coming = epoch;
            return;
        }
        this.of = epoch;
        this.coming = undefined;
        if (this.next === 0) this.next = from;
    }

    /** What the channel tells now is of the epoch that it has announced. Answers whether that is another one. */
    private begunAgain(): boolean {
        if (this.coming === undefined) return false;
        this.of = this.coming;
        this.coming = undefined;
        return true;
    }

    /** Behind a broadcast, or for who asked from now on, it is no news; lower than what was asked, the channel has begun again. */
    private moved(seq: number): Told | undefined {
        const before = this.next;
        this.next = seq;
        const another = this.begunAgain();
        const anew = this.closed && seq === 1;
        this.closed = false;
        if ((before <= seq && !another) || anew) return undefined;
        return { name: 'lost', value: { channel: this.name, seq } };
    }

    private lost(seq: number, content: string): Told | undefined {
        const count = /^\d+$/.test(content) ? Number(content) : undefined;
        const another = this.begunAgain();
        // Told before, by another tab's connection or an earlier answer.
        if (count !== undefined && !another && seq <= this.next) return undefined;
        this.next = seq;
        const anew = this.closed && seq === 1;
        this.closed = false;
        // Another epoch, of a server that does not say which.
        if (count === undefined && !another) this.of = undefined;
        if (anew) return undefined;
        return { name: 'lost', value: count === undefined ? { channel: this.name, seq } : { channel: this.name, count, seq } };
    }
}
