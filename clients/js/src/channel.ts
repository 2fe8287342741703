import type { Lost, Message, Position, Refused } from './types';
import { toMessage, type WireMessage } from './wire';

/** What a message of the server means to whoever listens to its channel. */
export type Told =
    | { name: 'message'; value: Message }
    | { name: 'lost'; value: Lost }
    | { name: 'refused'; value: Refused }
    | { name: 'close'; value: { channel: string } };

let lastKey = 0;

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
    /** Its loss was told already, when the subscriber was moved here from another epoch. */
    private lossTold = false;
    /** A back end closed it: if it begins again at seq 1, nothing is missing. */
    private closed = false;

    constructor(readonly name: string, { seq = 0, epoch }: Partial<Position> = {}) {
        if (!(Number.isSafeInteger(seq) && seq >= 0)) throw new RangeError(`icomet: seq ${seq} of channel "${name}" is no whole number`);
        if (epoch !== undefined && !/^[0-9a-f]{16}$/.test(epoch)) {
            throw new RangeError(`icomet: epoch ${epoch} of channel "${name}" is not 16 hex digits`);
        }
        this.next = seq;
        this.of = epoch;
    }

    get position(): Position {
        return this.of === undefined ? { seq: this.next } : { seq: this.next, epoch: this.of };
    }

    /** The server said which epoch the channel's seqs belong to. */
    settle(epoch: string): void {
        this.of = epoch;
    }

    /** A new connection is made: what the server says is lost now was not told yet. */
    begin(): void {
        this.lossTold = false;
    }

    /**
     * A connection asks for one epoch; undefined: for one that is not known. A channel that stands in another begins with the oldest
     * message that is buffered, and what was in between is lost. Answers what is to be told.
     */
    moveTo(epoch: string | undefined): Told | undefined {
        if (this.of === undefined || this.of === epoch) return undefined;
        if (this.next === 0) {
            this.of = epoch;
            return undefined;
        }
        this.of = epoch;
        this.next = 1;
        this.lossTold = true;
        return { name: 'lost', value: { channel: this.name, seq: 1 } };
    }

    /** Takes a message of this channel. Answers what is to be told, if anything. */
    take(message: WireMessage): Told | undefined {
        const { type, seq, content } = message;
        switch (type) {
            case 'data':
            case 'broadcast':
                this.lossTold = this.closed = false;
                if (this.next !== 0 && seq < this.next) return undefined;
                this.next = seq + 1;
                return { name: 'message', value: toMessage(message) };
            case 'next_seq':
                return this.moved(seq);
            case 'lost':
                return this.lost(seq, content);
            case 'close':
                this.resting = this.closed = true;
                return { name: 'close', value: { channel: this.name } };
            case '401':
            case '429':
                this.resting = true;
                return { name: 'refused', value: { channel: this.name, status: Number(type), reason: content } };
            default:
                return undefined;
        }
    }

    /** Behind a broadcast, or for who asked from now on, it is no news; lower than what was asked, the channel has begun again. */
    private moved(seq: number): Told | undefined {
        const before = this.next;
        this.next = seq;
        const anew = this.closed && seq === 1;
        this.closed = false;
        if (before <= seq || anew) return undefined;
        return { name: 'lost', value: { channel: this.name, seq } };
    }

    private lost(seq: number, content: string): Told | undefined {
        const count = /^\d+$/.test(content) ? Number(content) : undefined;
        // Told before, by another tab's connection or an earlier answer.
        if (count !== undefined && seq <= this.next) return undefined;
        this.next = seq;
        const told = this.lossTold || (this.closed && seq === 1);
        this.lossTold = this.closed = false;
        // Another epoch: which, the transport says, if it can.
        if (count === undefined) this.of = undefined;
        if (told) return undefined;
        return { name: 'lost', value: count === undefined ? { channel: this.name, seq } : { channel: this.name, count, seq } };
    }
}
