import type { Channel, Told } from './channel';
import type { Question, Wanted } from './transports/transport';
import type { WireMessage } from './wire';

/** The channels of one connection. Each stands by itself, in an epoch of its own. */
export class Channels {
    private readonly channels = new Map<string, Channel>();

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

    /** What a connection asks for now. */
    ask(user: string | undefined): Question {
        const wanted = [...this].filter((channel) => !channel.resting);
        const channels = wanted.map(({ key, name, position: { seq, epoch }, token }) => ({ key, name, seq, epoch, token }));
        return { channels, user };
    }

    /**
     * Takes one message. There is no channel for a noop of several, nor for what was under way when its channel was given up.
     *
     * @param asked what the connection asked for, where it matters.
     */
    take(message: WireMessage, asked?: readonly Wanted[]): { channel: Channel; told: Told | undefined } | undefined {
        const channel = this.channels.get(message.cname);
        if (!channel || (asked && !asked.some(({ key }) => key === channel.key))) return undefined;
        return { channel, told: channel.take(message) };
    }
}
