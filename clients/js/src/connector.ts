import type { Backoff } from './backoff';
import type { Choice } from './choice';
import { toError } from './events';
import type { State, TransportName } from './types';
import { transports } from './transports/index';
import type { Connection, Question, TransportOptions, Wanted } from './transports/transport';
import type { WireMessage } from './wire';

/** Whoever wants the connection. */
export interface Owner {
    ask(): Question;
    messages(messages: readonly WireMessage[], epoch?: string): void;
    settled(channels: readonly Wanted[], epoch: string): void;
    state(state: State, transport: TransportName | undefined): void;
    problem(error: Error): void;
}

export interface Timeouts {
    /** Until the first sign of life, in milliseconds. */
    readonly open: number;
    /** Between two signs of life, in milliseconds. */
    readonly silence: number;
}

/** A connection that lasted this long was a good one: the next is not waited for longer and longer. In milliseconds. */
const LASTING = 10_000;

/** Keeps one connection while somebody wants a channel: takes a transport, watches it, and takes the next one when it is over. */
export class Connector {
    state: State = 'closed';
    transport: TransportName | undefined;
    private connection: Connection | undefined;
    private timer: ReturnType<typeof setTimeout> | undefined;
    private watch: ReturnType<typeof setInterval> | undefined;
    private opened = 0;
    private heard = 0;
    private brought = false;
    private everOpen = false;
    /** A transport that may not begin yet. */
    private attempt: object | undefined;
    /** The transport that was told of last, with the state. */
    private told: TransportName | undefined;

    constructor(
        private readonly owner: Owner,
        private readonly choice: Choice,
        private readonly backoff: Backoff,
        private readonly timeouts: Timeouts,
        private readonly options: TransportOptions,
    ) {}

    start(): void {
        if (this.state !== 'closed') return;
        this.tell('connecting', undefined);
        this.connect();
    }

    stop(): void {
        if (this.state === 'closed') return;
        this.drop();
        this.everOpen = false;
        this.tell('closed', undefined);
    }

    /** Other channels are wanted than before. */
    change(): void {
        if (this.state === 'closed') return;
        const { connection } = this;
        if (connection?.change) return connection.change();
        // While it waits after a failure, the next question is the new one anyway.
        if (connection || (this.timer === undefined && !this.attempt)) {
            this.drop();
            this.connect();
        }
    }

    /** The network is there again, or the page is looked at: what waits does so no longer, and what has been silent too long is dead. */
    wake(renew: boolean): void {
        if (this.state === 'closed') return;
        const silent = this.connection !== undefined && Date.now() - this.heard > this.timeouts.silence;
        if (this.connection && !renew && !silent) return;
        this.backoff.reset();
        this.drop();
        this.connect();
    }

    /** The network is away. What comes of it is tried anyway: browsers are not always right. */
    offline(): void {
        if (this.connection) this.over();
    }

    publish(channel: string, content: string): Promise<void> {
        if (this.state === 'open' && this.connection?.publish) return this.connection.publish(channel, content);
        return Promise.reject(new Error('icomet: without a pubUrl only an open WebSocket can publish'));
    }

    private connect(): void {
        this.timer = undefined;
        if (this.owner.ask().channels.length === 0) return;
        const name = this.choice.next();
        if (name === undefined) {
            this.owner.problem(new Error('icomet: this browser has none of the transports that are allowed'));
            return this.later();
        }
        const ready = transports[name].ready?.();
        if (!ready) return this.open(name);
        const attempt = (this.attempt = {});
        void ready.then(() => {
            if (this.attempt === attempt) this.open(name);
        });
    }

    private open(name: TransportName): void {
        this.attempt = undefined;
        this.opened = 0;
        this.brought = false;
        let connection: Connection | undefined;
        let early: { error: Error | undefined } | undefined;
        const end = (error?: Error) => {
            if (connection === undefined) early = { error };
            else if (this.connection === connection) this.over(error);
        };
        this.timer = setTimeout(() => end(new Error(`no sign of life in ${this.timeouts.open} ms`)), this.timeouts.open);
        try {
            connection = transports[name].open(() => this.owner.ask(), {
                alive: () => this.alive(name),
                messages: (messages, epoch) => {
                    if (messages.length > 0) this.brought = true;
                    this.owner.messages(messages, epoch);
                },
                settled: (channels, epoch) => this.owner.settled(channels, epoch),
                end,
            }, this.options);
        } catch (error) {
            early = { error: toError(error) };
        }
        this.transport = name;
        this.connection = connection ?? { close() {} };
        if (early) this.over(early.error);
    }

    private alive(name: TransportName): void {
        this.heard = Date.now();
        if (this.opened !== 0) return;
        this.opened = this.heard;
        clearTimeout(this.timer);
        this.timer = undefined;
        this.everOpen = true;
        this.choice.worked(name);
        this.watch = setInterval(() => this.look(), this.timeouts.silence / 3);
        this.tell('open', name);
    }

    private look(): void {
        const silence = Date.now() - this.heard;
        if (silence >= this.timeouts.silence) this.over(new Error(`nothing was heard for ${silence} ms`), true);
        else if (silence >= this.timeouts.silence / 3) this.connection?.ping?.();
    }

    /** The connection is over: by the server, by an error, or because it is dead. */
    private over(error?: Error, silent = false): void {
        const { transport, opened } = this;
        this.drop();
        if (error) this.owner.problem(new Error(`icomet: ${transport}: ${error.message}`));
        if (this.state === 'closed') return;
        if (transport !== undefined && opened === 0) {
            const again = this.choice.failed(transport);
            this.tell(this.everOpen ? 'reconnecting' : 'connecting', undefined);
            return again ? this.later(0) : this.later();
        }
        if (transport !== undefined && silent && !this.brought) this.choice.silent(transport);
        if (Date.now() - opened > LASTING) this.backoff.reset();
        this.tell('reconnecting', undefined);
        this.later();
    }

    private later(delay = this.backoff.next()): void {
        if (this.state === 'closed') return;
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.connect(), delay);
    }

    private drop(): void {
        clearTimeout(this.timer);
        clearInterval(this.watch);
        this.timer = this.watch = undefined;
        const { connection } = this;
        this.connection = this.transport = this.attempt = undefined;
        connection?.close();
    }

    private tell(state: State, transport: TransportName | undefined): void {
        if (state === this.state && transport === this.told) return;
        this.state = state;
        this.told = transport;
        this.owner.state(state, transport);
    }
}
