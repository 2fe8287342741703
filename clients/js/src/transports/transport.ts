import type { TransportName } from '../types';
import type { WireMessage } from '../wire';

/** What a connection asks for; made anew for each question, because it moves on with what was heard. */
export interface Question {
    readonly channels: readonly Wanted[];
    readonly user?: string | undefined;
    /** The server takes one epoch alone. */
    readonly oneEpoch?: boolean | undefined;
}

export interface Wanted {
    /** Of this subscription: one that was given up and made again is another. */
    readonly key: number;
    readonly name: string;
    readonly seq: number;
    /** What `seq` counts in, where it is known. */
    readonly epoch?: string | undefined;
    readonly token?: string | undefined;
}

/** Who is told what a connection hears. After `end` nothing more is told. */
export interface Listener {
    /** Something was heard, if only that the server is there. */
    alive(): void;
    /** Also those of type `epoch`, which a transport makes itself where the server tells the epoch in another way. */
    messages(messages: readonly WireMessage[]): void;
    /** It is over. Without an error the server ended it as usual. */
    end(error?: Error): void;
}

/** What is published. Sent twice with one id it is published once. */
export interface Publication {
    readonly id: string;
    readonly channel: string;
    readonly content: string;
}

export interface Connection {
    /** Ends it; nothing more is told. */
    close(): void;
    /** The question has other channels than before. Without it a new connection is made. */
    change?(): void;
    /** Sends a message to a channel, and settles when the server has answered; rejected with `Unanswered` when it ended before. */
    publish?(publication: Publication): Promise<void>;
    /** Asks for a sign of life; called when nothing was heard for a while. */
    ping?(): void;
}

/** For how many channels one request has room. It is learnt from refusals. */
export interface Room {
    channels: number;
    characters: number;
    /** The server takes one epoch, that of all channels: it is of a time before each had its own. */
    oneEpoch?: boolean;
}

export interface TransportOptions {
    /** The `icomet_sub` location, absolute, without a slash at its end. */
    readonly url: string;
    /** How long a poll may wait at the server, in seconds. */
    readonly wait: number;
    /** Default: that of a server as it is set up by default. */
    readonly room?: Room;
    /** Used instead of the browser's. */
    readonly classes?: { readonly WebSocket?: unknown; readonly EventSource?: unknown };
    /** Names of events that are listened for: EventSource shows no others. */
    readonly events: readonly string[];
    /** The pause between two short polls, in milliseconds. */
    readonly pollInterval: number;
}

export interface Transport {
    readonly name: TransportName;
    /** What the server answered when it refused is not known here. */
    readonly silent?: true;
    /** Whether this browser has what it takes. Asked each time: pages take things away. */
    possible(options: TransportOptions): boolean;
    /** When it may begin; at once where it is missing or gives nothing. */
    ready?(): Promise<void> | undefined;
    open(ask: () => Question, listener: Listener, options: TransportOptions): Connection;
}
