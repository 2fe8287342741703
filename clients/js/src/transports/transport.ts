import type { TransportName } from '../types';
import type { WireMessage } from '../wire';

/** What a connection asks for; made anew for each question, because it moves on with what was heard. */
export interface Question {
    readonly channels: readonly Wanted[];
    /** The epoch of all seqs. */
    readonly epoch?: string | undefined;
    readonly user?: string | undefined;
}

export interface Wanted {
    /** Of this subscription: one that was given up and made again is another. */
    readonly key: number;
    readonly name: string;
    readonly seq: number;
    readonly token?: string | undefined;
}

/** Who is told what a connection hears. After `end` nothing more is told. */
export interface Listener {
    /** Something was heard, if only that the server is there. */
    alive(): void;
    /** `epoch`: of these messages' seqs, where the transport knows it. */
    messages(messages: readonly WireMessage[], epoch?: string): void;
    /** All that the server had to say at once was told: these channels stand in this epoch. */
    settled(channels: readonly Wanted[], epoch: string): void;
    /** It is over. Without an error the server ended it as usual. */
    end(error?: Error): void;
}

export interface Connection {
    /** Ends it; nothing more is told. */
    close(): void;
    /** The question has other channels than before. Without it a new connection is made. */
    change?(): void;
    /** Sends a message to a channel, and settles when the server has answered. */
    publish?(channel: string, content: string): Promise<void>;
    /** Asks for a sign of life; called when nothing was heard for a while. */
    ping?(): void;
}

export interface TransportOptions {
    /** The `icomet_sub` location, absolute, without a slash at its end. */
    readonly url: string;
    /** How long a poll may wait at the server, in seconds. */
    readonly wait: number;
    /** Names of events that are listened for: EventSource shows no others. */
    readonly events: readonly string[];
    /** The pause between two short polls, in milliseconds. */
    readonly pollInterval: number;
}

export interface Transport {
    readonly name: TransportName;
    /** Whether this browser has what it takes. Asked each time: pages take things away. */
    possible(options: TransportOptions): boolean;
    /** When it may begin; at once where it is missing or gives nothing. */
    ready?(): Promise<void> | undefined;
    open(ask: () => Question, listener: Listener, options: TransportOptions): Connection;
}
