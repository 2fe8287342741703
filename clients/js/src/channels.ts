import type { Channel, Told } from './channel';
import type { Question, Wanted } from './transports/transport';
import type { WireMessage } from './wire';

/** What a channel is to tell. */
export interface News {
    readonly channel: Channel;
    readonly told: Told;
}

/** The channels of one connection, and the epoch of the server as far as it is known. */
export class Channels {
    private readonly channels = new Map<string, Channel>();
    private epoch: string | undefined;

    get size(): number {
        return this.channels.size;
    }

    get(name: string): Channel | undefined {
        return this.channels.get(name);
    }

    add(channel: Channel): void {
        this.channels.set(channel.name, channel);
    }

    delete(name: string): void {
        this.channels.delete(name);
    }

    [Symbol.iterator](): IterableIterator<Channel> {
        return this.channels.values();
    }

    /** What a connection asks for now; and what is to be told because a channel stood in another epoch than the others. */
    ask(user: string | undefined): { question: Question; news: News[] } {
        const wanted = [...this].filter((channel) => !channel.resting);
        this.epoch ??= wanted.find((channel) => channel.position.epoch !== undefined)?.position.epoch;
        const news: News[] = [];
        for (const channel of wanted) {
            const told = channel.moveTo(this.epoch);
            if (told) news.push({ channel, told });
        }
        const channels = wanted.map(({ key, name, position: { seq }, token }) => ({ key, name, seq, token }));
        return { question: { channels, epoch: this.epoch, user }, news };
    }

    /** Takes one message. There is no channel for a noop of several, nor for what was under way when its channel was given up. */
    take(message: WireMessage, epoch: string | undefined): { channel: Channel; told: Told | undefined } | undefined {
        if (epoch !== undefined) this.epoch = epoch;
        else if (message.type === 'lost' && message.content === '') this.epoch = undefined;
        const channel = this.channels.get(message.cname);
        if (!channel) return undefined;
        const told = channel.take(message);
        if (epoch !== undefined) channel.settle(epoch);
        return { channel, told };
    }

    /** These channels stand in this epoch. */
    settled(wanted: readonly Wanted[], epoch: string): void {
        this.epoch = epoch;
        for (const { name, key } of wanted) {
            const channel = this.channels.get(name);
            if (channel?.key === key) channel.settle(epoch);
        }
    }
}
