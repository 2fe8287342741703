import { Channel } from '../channel';
import { Channels } from '../channels';
import type { Connector, Owner } from '../connector';
import { toError } from '../events';
import type { State, TransportName } from '../types';
import type { WireMessage } from '../wire';
import type { Item, Post, Want } from './post';

/** The tab that has the connection: it asks for what any tab wants, and tells all of them what comes. */
export class Holder {
    private readonly channels = new Channels();
    private readonly wants = new Map<string, readonly Want[]>();
    private readonly watched = new Set<string>();
    private readonly connector: Connector;

    /**
     * @param post tells all tabs, this one too.
     * @param watch calls `gone` when a tab is gone, however it ended.
     */
    constructor(
        connect: (owner: Owner) => Connector,
        private readonly user: string | undefined,
        private readonly post: (post: Post) => void,
        private readonly watch: (tab: string, gone: () => void) => void,
        problem: (error: Error) => void,
    ) {
        this.connector = connect({
            ask: () => this.channels.ask(this.user),
            messages: (messages) => this.hand(messages),
            state: (state, transport) => this.tell(state, transport),
            problem,
        });
        this.post({ kind: 'holder' });
        this.connector.start();
    }

    take(post: Post): void {
        if (post.kind === 'want') this.want(post.tab, post.wants);
        else if (post.kind === 'publish') this.publish(post);
        else if (post.kind === 'wake') this.wake(false);
    }

    end(): void {
        this.connector.stop();
    }

    wake(renew: boolean): void {
        this.connector.wake(renew);
    }

    offline(): void {
        this.connector.offline();
    }

    private want(tab: string, wants: readonly Want[]): void {
        // One that has gone is not watched: its lock is free, which would be told at once, again and again.
        if (wants.length > 0 && !this.watched.has(tab)) {
            this.watched.add(tab);
            this.watch(tab, () => {
                this.watched.delete(tab);
                this.want(tab, []);
            });
        }
        if (wants.length > 0) this.wants.set(tab, wants);
        else this.wants.delete(tab);
        const all = new Set([...this.wants.values()].flat().map(({ name }) => name));
        let changed = false;
        for (const { name } of [...this.channels]) {
            if (all.has(name)) continue;
            this.channels.delete(name);
            changed = true;
        }
        for (const want of wants) changed = this.add(want) || changed;
        const standing = wants.map(({ name }) => ({ name, ...this.channels.get(name)?.position ?? { seq: 0 } }));
        this.post({ kind: 'standing', to: tab, wants: standing });
        this.tell(this.connector.state, this.connector.state === 'open' ? this.connector.transport : undefined);
        if (changed) this.connector.change();
    }

    /** Answers whether it makes another question. */
    private add({ name, token, seq, epoch }: Want): boolean {
        const known = this.channels.get(name);
        if (known && !known.resting) return false;
        const channel = new Channel(name, epoch === undefined ? { seq } : { seq, epoch });
        channel.token = token;
        this.channels.add(channel);
        return true;
    }

    private hand(messages: readonly WireMessage[]): void {
        const items: Item[] = [];
        for (const message of messages) {
            const channel = this.channels.get(message.cname);
            if (!channel) continue;
            const from = channel.position.seq;
            channel.take(message);
            items.push({ message, from, epoch: channel.position.epoch });
        }
        if (items.length > 0) this.post({ kind: 'messages', items });
    }

    private tell(state: State, transport: TransportName | undefined): void {
        this.post({ kind: 'state', state, transport });
    }

    private publish({ tab, id, channel, content }: Post & { kind: 'publish' }): void {
        const answer = (error?: string) => this.post({ kind: 'published', to: tab, id, error });
        this.connector.publish(channel, content).then(() => answer(), (error: unknown) => answer(toError(error).message));
    }
}
