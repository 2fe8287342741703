/** The ways a client can listen, the best first: the order in which they are tried. */
export const TRANSPORTS = ['websocket', 'sse', 'stream', 'poll', 'jsonp', 'iframe', 'short-poll'] as const;

/**
 * `websocket`: one connection both ways. `sse`: server-sent events (EventSource). `stream`: an endless answer, read by fetch or
 * XMLHttpRequest. `poll`: long polling by fetch or XMLHttpRequest. `jsonp`: long polling by `<script>`. `iframe`: an endless page in
 * a hidden frame. `short-poll`: a question every few seconds.
 */
export type TransportName = (typeof TRANSPORTS)[number];

/**
 * `connecting`: for the first time. `open`: the server has answered. `reconnecting`: the connection was lost, and the client sees
 * to another. `closed`: stopped, or not started.
 */
export type State = 'connecting' | 'open' | 'reconnecting' | 'closed';

/** What a channel has told. */
export interface Message {
    readonly channel: string;
    /** Counts the channel's messages from 1. */
    readonly seq: number;
    readonly content: string;
    /** `broadcast`: it was sent to all channels. */
    readonly type: 'data' | 'broadcast';
    /** The name that the publisher gave it. */
    readonly event?: string;
}

/** Where a subscription stands. Given to `subscribe` later, also of another page, it goes on from here. */
export interface Position {
    /** The seq of the message that is wanted next; 0: from now on. */
    readonly seq: number;
    /** Of what `seq` counts in: a text of at most 32 bytes, to be kept as it is. Undefined until the server has told it. */
    readonly epoch?: string;
}

/** Messages that the client has not had are gone. */
export interface Lost {
    readonly channel: string;
    /** How many; undefined when nobody knows, because the server lost its memory or the channel ended and began again. */
    readonly count?: number;
    /** The first that is left. */
    readonly seq: number;
}

/** A channel did not let the client in. It tries again: after 401 with a new token where there is a `signUrl`. */
export interface Refused {
    readonly channel: string;
    /** 401: the token is wrong or missing. 429: too many channels or subscribers. */
    readonly status: number;
    readonly reason: string;
    /** It does not try again, and the subscription has ended: who gives tokens has said so (401 or 403). */
    readonly final?: true;
}

/** A back end closed a channel or disconnected the client. */
export interface Closed {
    readonly channel: string;
    /** The client is to stay away: the subscription has ended. Otherwise it comes back, unless it is told to stop. */
    readonly stayAway?: true;
}

/** What a client tells, and whoever listens to it by `on`. */
export interface ClientEvents {
    message: Message;
    lost: Lost;
    refused: Refused;
    close: Closed;
    /** Also when the transport changes while the state does not. */
    state: { readonly state: State; readonly transport?: TransportName };
    /** A request failed, or a listener threw. The client goes on. Where nobody listens it is told by `console.warn`. */
    problem: Error;
}

export interface SubscribeOptions extends Partial<Position> {
    /** What `sign` gave, with `auth token`; with a `signUrl` the client asks for it itself. */
    token?: string;
}

export interface ClientOptions {
    /** The `icomet_sub` location, with or without a slash at its end: `/icomet` or `https://push.example.com/icomet`. */
    url: string;
    /**
     * Answers what icomet's `sign` answers, for `?cname=NAME`: asked before the first connection, and when a token was refused. The status
     * 401 or 403 ends the channel's subscription; after any other failure it is asked again.
     */
    signUrl?: string;
    /** Instead of a `signUrl`: answers a channel's token. Rejected with an error whose `status` is 401 or 403 it ends the subscription. */
    sign?(channel: string): Promise<string>;
    /** Takes `cname` and `content` as a form: icomet's `push`, or what a back end has in front of it. */
    pubUrl?: string;
    /** Who the client says it is (the parameter `user`). */
    user?: string;
    /** Those that may be used, in this order. Default: all. */
    transports?: readonly TransportName[];
    /** The least and the most that is waited before a new connection, in milliseconds. Default 500 and 20000. */
    retry?: { min?: number; max?: number };
    /** How long a transport has to give its first sign of life, before it is taken as blocked, in milliseconds. Default 5000. */
    openTimeout?: number;
    /**
     * How long a connection may be silent before it is taken as dead, in milliseconds. Default 75000: more than two of the server's
     * noops (`polling_timeout`).
     */
    silenceTimeout?: number;
    /**
     * How soon a better transport that failed is tried again, in milliseconds; each time twice as long, up to an hour. Default 120000.
     */
    betterAfter?: number;
    /** A class to use instead of the global WebSocket: in Node before 22, the one of the package `ws`. */
    WebSocket?: unknown;
    /** A class to use instead of the global EventSource: in Node, the one of the package `eventsource`. */
    EventSource?: unknown;
    /** Names of the events that publishers give their messages (`event`): by `sse` a browser shows only those that it was told of. */
    events?: readonly string[];
    /** The pause between two questions of `short-poll`, in milliseconds. Default 3000. */
    pollInterval?: number;
    /** Keep in localStorage which transport got through to this url, and begin with it next time. Default true. */
    remember?: boolean;
    /**
     * One tab holds the connection for all tabs of the site that listen at the same url as the same user, where the browser has Web
     * Locks and BroadcastChannel. Default false.
     */
    shareTabs?: boolean;
    onMessage?(message: Message): void;
    onLost?(lost: Lost): void;
    onRefused?(refused: Refused): void;
    onProblem?(error: Error): void;
    onState?(state: State, transport?: TransportName): void;
}

/** What one channel tells. */
export type ChannelEvents = Pick<ClientEvents, 'message' | 'lost' | 'refused' | 'close'>;

/** One channel of a client. */
export interface Subscription extends AsyncIterable<Message> {
    readonly channel: string;
    readonly position: Position;
    /** Answers what ends the listening. */
    on<Name extends keyof ChannelEvents>(name: Name, listener: (value: ChannelEvents[Name]) => void): () => void;
    unsubscribe(): void;
}
