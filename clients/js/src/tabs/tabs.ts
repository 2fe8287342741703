import type { Channels } from '../channels';
import type { Connector, Owner } from '../connector';
import { newId } from '../ids';
import type { TransportOptions } from '../transports/transport';
import type { State, TransportName } from '../types';
import { Holder } from './holder';
import { Member } from './member';
import type { Post } from './post';

/**
 * One connection for all tabs of a site that listen at the same url as the same user. Whoever has the Web Lock of that name holds it; the
 * browser gives the lock to another tab when that one ends, however it ends. Tabs talk by a BroadcastChannel.
 */
export class Tabs {
    state: State = 'closed';
    transport: TransportName | undefined;
    /** Of one time between start and stop: its lock tells that it is over. */
    private id = newId();
    private readonly publishing = new Map<number, (error: string | undefined) => void>();
    private tube: BroadcastChannel | undefined;
    private member: Member | undefined;
    private holder: Holder | undefined;
    private control: AbortController | undefined;
    private last = 0;

    /** @param key is the same in all tabs that share. */
    constructor(
        private readonly key: string,
        private readonly user: string | undefined,
        private readonly owner: Owner,
        private readonly channels: Channels,
        private readonly connect: (owner: Owner) => Connector,
        private readonly settings: TransportOptions,
    ) {}

    /** Locks are there on pages by https, and of this machine, alone. */
    static possible(): boolean {
        return typeof navigator === 'object' && 'locks' in navigator && typeof BroadcastChannel === 'function';
    }

    start(): void {
        if (this.member) return;
        this.id = newId();
        const member = (this.member = new Member(this.owner, this.channels, this.user, this.settings));
        const control = (this.control = new AbortController());
        this.tube = new BroadcastChannel(this.key);
        this.tube.onmessage = ({ data }: MessageEvent<Post>) => this.take(data);
        this.tell('connecting', undefined);
        // While this tab lives, so that whoever holds the connection knows.
        void this.lock(this.nameOf(this.id), control.signal, () => {});
        void this.lock(this.key, control.signal, () => {
            this.holder = new Holder(this.connect, this.user, (post) => this.tellAll(post), (tab, gone) => this.watch(tab, gone),
                (error) => this.owner.problem(error));
            this.holder.take({ kind: 'want', tab: this.id, wants: member.wants() });
        });
        this.change();
    }

    stop(): void {
        if (!this.member) return;
        this.post({ kind: 'want', tab: this.id, wants: [] });
        this.member.end();
        this.member = undefined;
        this.holder?.end();
        this.control?.abort();
        this.tube?.close();
        this.holder = this.tube = this.control = undefined;
        for (const done of this.publishing.values()) done('icomet: the client was stopped');
        this.tell('closed', undefined);
    }

    change(): void {
        if (this.member) this.post({ kind: 'want', tab: this.id, wants: this.member.wants() });
    }

    wake(renew: boolean): void {
        // That the network has come, the holder hears itself.
        if (this.holder) this.holder.wake(renew);
        else this.tube?.postMessage({ kind: 'wake' } satisfies Post);
    }

    offline(): void {
        this.holder?.offline();
    }

    publish(channel: string, content: string): Promise<void> {
        return new Promise((resolve, reject) => {
            const id = (this.last += 1);
            this.publishing.set(id, (error) => {
                this.publishing.delete(id);
                if (error === undefined) resolve();
                else reject(new Error(error));
            });
            if (this.member) this.post({ kind: 'publish', tab: this.id, id, channel, content });
            else this.publishing.get(id)?.('icomet: the client is stopped');
        });
    }

    /** To the holder, whoever that is. */
    private post(post: Post): void {
        if (this.holder) this.holder.take(post);
        else this.tube?.postMessage(post);
    }

    private tellAll(post: Post): void {
        this.tube?.postMessage(post);
        this.hear(post);
    }

    private take(post: Post): void {
        if (this.holder) this.holder.take(post);
        else this.hear(post);
    }

    /** What the holder has told. */
    private hear(post: Post): void {
        if (!this.member) return;
        switch (post.kind) {
            case 'holder':
                for (const done of this.publishing.values()) {
                    done('icomet: the tab with the connection has gone; whether it was published is not known');
                }
                return this.holder ? undefined : this.change();
            case 'standing':
                return post.to === this.id ? this.member.standing(post.wants) : undefined;
            case 'messages':
                return this.member.take(post.items);
            case 'state':
                // Another tab ends, and its connection with it: the next one has it at once.
                return this.tell(post.state === 'closed' ? 'reconnecting' : post.state, post.transport);
            case 'published':
                return post.to === this.id ? this.publishing.get(post.id)?.(post.error) : undefined;
            default:
                return undefined;
        }
    }

    private tell(state: State, transport: TransportName | undefined): void {
        if (state === this.state && transport === this.transport) return;
        this.state = state;
        this.transport = transport;
        this.owner.state(state, transport);
    }

    private nameOf(tab: string): string {
        return `${this.key} ${tab}`;
    }

    /** Takes a lock until the signal comes. Waits for it as long as it must. */
    private async lock(name: string, signal: AbortSignal, got: () => void): Promise<void> {
        const held = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        try {
            await navigator.locks.request(name, { signal }, () => {
                if (signal.aborted) return undefined;
                got();
                return held;
            });
        } catch (error) {
            if (!signal.aborted) this.owner.problem(error as Error);
        }
    }

    /** A tab's lock is free when it is gone. */
    private watch(tab: string, gone: () => void): void {
        const signal = this.control?.signal;
        if (!signal || tab === this.id) return;
        navigator.locks.request(this.nameOf(tab), { signal }, () => {
            if (!signal.aborted) gone();
        }).catch(() => {
            // This tab ended before the other.
        });
    }
}
