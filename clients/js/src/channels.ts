import type { Channel, Told } from './channel';
import type { Question, Wanted } from './transports/transport';
import type { WireMessage } from './wire';

/** What a channel is to tell. */
export interface News {
    readonly channel: Channel;
    readonly told: Told;
}

/** Behind these a channel stands where the server does. */
const STANDS: readonly WireMessage['type'][] = ['data', 'broadcast', 'next_seq', 'lost'];

/** The channels of one connection, and the epoch of the server as far as it is known. */
export class Channels {
    private readonly channels = new Map<string, Channel>();
    private epoch: string | undefined;
    /** The server is no longer in this epoch; in which it is the transport did not tell. */
    private gone: string | undefined;

    get(name: string): Channel | undefined {
        return this.channels.get(name);
    }

    add(channel: Channel): void {
        this.channels.set(channel.name, channel);
    }

    delete(name: string): void {
        this.channels.delete(name);
        // Who listens to nothing does not hear that the server was restarted.
        if (this.channels.size === 0) this.epoch = this.gone = undefined;
    }

    [Symbol.iterator](): IterableIterator<Channel> {
        return this.channels.values();
    }

    /**
     * What a connection asks for now; and what is to be told because a channel stood in another epoch than the others.
     *
     * @param anew it is a new connection.
     */
    ask(user: string | undefined, anew = false): { question: Question; news: News[] } {
        const wanted = [...this].filter((channel) => !channel.resting);
        const news: News[] = [];
        const move = (channel: Channel, told: Told | undefined) => {
            if (told) news.push({ channel, told });
        };
        for (const channel of wanted) {
            if (anew) channel.begin();
            if (this.gone !== undefined && channel.position.epoch === this.gone) move(channel, channel.moveTo(undefined));
        }
        this.epoch ??= wanted.find((channel) => channel.position.epoch !== undefined)?.position.epoch;
        if (this.epoch !== undefined) for (const channel of wanted) move(channel, channel.moveTo(this.epoch));
        const channels = wanted.map(({ key, name, position: { seq }, token }) => ({ key, name, seq, token }));
        return { question: { channels, epoch: this.epoch, user }, news };
    }

    /**
     * Takes one message. There is no channel for a noop of several, nor for what was under way when its channel was given up.
     *
     * @param asked what the connection asked for, where it matters.
     */
    take(
        message: WireMessage, epoch: string | undefined, asked?: readonly Wanted[],
    ): { channel: Channel; told: Told | undefined } | undefined {
        if (epoch !== undefined) this.epoch = epoch;
        else if (message.type === 'lost' && message.content === '' && this.epoch !== undefined) {
            this.gone = this.epoch;
            this.epoch = undefined;
        }
        const channel = this.channels.get(message.cname);
        if (!channel || (asked && !asked.some(({ key }) => key === channel.key))) return undefined;
        const told = channel.take(message);
        // A refusal, say, does not tell where the channel stands.
        if (epoch !== undefined && STANDS.includes(message.type)) channel.settle(epoch);
        return { channel, told };
    }

    /** These channels stand in this epoch. */
    settled(wanted: readonly Wanted[], epoch: string): void {
        this.epoch = epoch;
        for (const { name, key } of wanted) {
            const channel = this.channels.get(name);
            if (channel?.key === key && !channel.resting) channel.settle(epoch);
        }
    }
}
