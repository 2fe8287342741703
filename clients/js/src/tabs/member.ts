import type { Channels } from '../channels';
import type { Owner } from '../connector';
import { toError } from '../events';
import { hand, pollByGet } from '../transports/polling';
import type { TransportOptions } from '../transports/transport';
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
    private readonly behind = new Map<string, { items: Item[]; epoch: string | undefined; asked: boolean }[]>();
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
        const { channels, epoch } = this.owner.ask();
        return channels.map(({ name, seq, token }) => ({ name, seq, epoch: this.channels.get(name)?.position.epoch ?? epoch, token }));
    }

    /** Where the holder stands. */
    standing(wants: readonly Want[]): void {
        for (const { name, seq, epoch } of wants) {
            const own = this.channels.get(name)?.position;
            if (!own || seq === 0 || this.behind.has(name)) continue;
            if (own.seq === 0) this.owner.messages([{ type: 'next_seq', cname: name, seq, content: '' }], epoch);
            else if (own.seq < seq || differ(own.epoch, epoch)) void this.catchUp(name);
        }
    }

    take(items: readonly Item[], epoch: string | undefined): void {
        for (const item of items) this.one(item, epoch);
    }

    end(): void {
        this.ended = true;
        for (const done of this.waits) done();
    }

    /** @param asked the server was asked after it came: what still is missing before it is gone. */
    private one(item: Item, epoch: string | undefined, asked = false): void {
        const { message } = item;
        const { type, cname } = message;
        const own = this.channels.get(cname)?.position;
        if (!own) return;
        const waiting = this.behind.get(cname);
        if (waiting) return void waiting.push({ items: [item], epoch, asked });
        // Who stands in the server's epoch already has not lost what was before.
        if (type === 'lost' && message.content === '' && own.epoch !== undefined && own.epoch === epoch) return;
        if (asked) {
            if (!differ(own.epoch, epoch) && type !== 'next_seq') this.owner.messages([message], epoch);
        } else if (follows(item, own.seq) && !(own.seq > 0 && differ(own.epoch, epoch))) {
            // Who is at the beginning misses nothing, whatever the holder has lost.
            if (own.seq > 0 || type !== 'lost') this.owner.messages([message], epoch);
        } else if (type !== 'next_seq' || message.seq !== own.seq || differ(own.epoch, epoch)) {
            void this.catchUp(cname);
            this.behind.get(cname)?.push({ items: [item], epoch, asked: true });
        }
    }

    /** Asks the server for what this tab has not had, then takes what came meanwhile. */
    private async catchUp(name: string): Promise<void> {
        this.behind.set(name, []);
        for (let more = true; more; ) {
            const wanted = this.owner.ask().channels.find((channel) => channel.name === name);
            if (this.ended) return;
            if (!wanted) break;
            const epoch = this.channels.get(name)?.position.epoch;
            try {
                const question = { channels: [wanted], epoch, user: this.user };
                const batch = await pollByGet(question, 0, this.settings).batch;
                if (this.ended) return;
                const { messages } = batch;
                hand(this.owner, question, batch);
                more = messages.length > 0 && !messages.some(({ type }) => ENDS.includes(type));
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
        for (const { items, epoch, asked } of waiting) for (const item of items) this.one(item, epoch, asked);
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
