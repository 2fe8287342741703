import type { Channels } from '../channels';
import type { Owner } from '../connector';
import { toError } from '../events';
import { pollByGet } from '../transports/polling';
import type { TransportOptions } from '../transports/transport';
import { epochMessage } from '../transports/urls';
import type { WireMessage } from '../wire';
import type { Item, Want } from './post';

/** How long to wait after a question that failed, in milliseconds. */
const AGAIN = 2000;

/** Of messages the server has no more to say than this at once. */
const ENDS = ['next_seq', '401', '429', 'close'];

/**
 * A tab's own view of its channels, with the connection of another tab. What comes is taken as far as it follows what the tab has; where
 * something is missing in between, the tab asks the server itself.
 */
export class Member {
    /** What came while the server is asked, by channel. */
    private readonly behind = new Map<string, { item: Item; asked: boolean }[]>();
    /** What ends each wait after a failure. */
    private readonly waits = new Set<() => void>();
    private ended = false;

    constructor(
        private readonly owner: Owner,
        private readonly channels: Channels,
        private readonly user: string | undefined,
        private readonly settings: TransportOptions,
    ) {}

    wants(): Want[] {
        return this.owner.ask().channels.map(({ name, seq, epoch, token }) => ({ name, seq, epoch, token }));
    }

    /** Where the holder stands. */
    standing(wants: readonly Want[]): void {
        for (const { name, seq, epoch } of wants) {
            const own = this.channels.get(name)?.position;
            if (!own || seq === 0 || this.behind.has(name)) continue;
            if (own.seq === 0) this.hand({ type: 'next_seq', cname: name, seq, content: '' }, seq, epoch);
            else if (own.seq < seq || differ(own.epoch, epoch)) void this.catchUp(name);
        }
    }

    take(items: readonly Item[]): void {
        for (const item of items) this.one(item);
    }

    end(): void {
        this.ended = true;
        for (const done of this.waits) done();
    }

    /** @param asked the server was asked after it came: what still is missing before it is gone. */
    private one(item: Item, asked = false): void {
        const { message, from, epoch } = item;
        const { type, cname } = message;
        const own = this.channels.get(cname)?.position;
        if (!own) return;
        const waiting = this.behind.get(cname);
        if (waiting) return void waiting.push({ item, asked });
        // Where the holder stands in an epoch, a tab that stands there does so as well.
        if (type === 'epoch') {
            if (own.seq === from && own.epoch === undefined && message.content === epoch) this.owner.messages([message]);
            return;
        }
        // Who stands in the server's epoch already has not lost what was before.
        if (type === 'lost' && message.content === '' && own.epoch !== undefined && own.epoch === epoch) return;
        if (asked) {
            if (!differ(own.epoch, epoch) && type !== 'next_seq') this.hand(message, from, epoch);
        } else if (follows(item, own.seq) && !(own.seq > 0 && differ(own.epoch, epoch))) {
            // Who is at the beginning misses nothing, whatever the holder has lost.
            if (own.seq > 0 || type !== 'lost') this.hand(message, from, epoch);
        } else if (type !== 'next_seq' || message.seq !== own.seq || differ(own.epoch, epoch)) {
            void this.catchUp(cname);
            this.behind.get(cname)?.push({ item, asked: true });
        }
    }

    private hand(message: WireMessage, from: number, epoch: string | undefined): void {
        this.owner.messages(epoch === undefined ? [message] : [epochMessage(message.cname, from, epoch), message]);
    }

    /** Asks the server for what this tab has not had, then takes what came meanwhile. */
    private async catchUp(name: string): Promise<void> {
        this.behind.set(name, []);
        for (let more = true; more; ) {
            const wanted = this.owner.ask().channels.find((channel) => channel.name === name);
            if (this.ended) return;
            if (!wanted) break;
            try {
                const messages = await pollByGet({ channels: [wanted], user: this.user }, 0, this.settings).batch;
                if (this.ended) return;
                this.owner.messages(messages);
                more = messages.some(({ type }) => type !== 'epoch') && !messages.some(({ type }) => ENDS.includes(type));
            } catch (error) {
                if (this.ended) return;
                this.owner.problem(toError(error));
                await new Promise<void>((resolve) => {
                    const done = () => {
                        clearTimeout(timer);
                        this.waits.delete(done);
                        resolve();
                    };
                    const timer = setTimeout(done, AGAIN);
                    this.waits.add(done);
                });
            }
        }
        const waiting = this.behind.get(name) ?? [];
        this.behind.delete(name);
        for (const { item, asked } of waiting) this.one(item, asked);
    }
}

/** Whether nothing is missing between what a tab has had, with `next` to come, and a message. */
function follows({ message: { type }, from }: Item, next: number): boolean {
    if (next === 0 || type === '401' || type === '429' || type === 'close') return true;
    // It moves the holder from where it was; from there alone it moves others.
    return type === 'next_seq' ? next === from : next >= from;
}

function differ(one: string | undefined, other: string | undefined): boolean {
    return one !== undefined && other !== undefined && one !== other;
}
