import type { Backoff } from './backoff';
import type { Choice } from './choice';
import { toError } from './events';
import { Publishing } from './publishing';
import type { State, TransportName } from './types';
import { transports } from './transports/index';
import type { Connection, Question, TransportOptions, Wanted } from './transports/transport';
import type { WireMessage } from './wire';

/** Whoever wants the connection. */
export interface Owner {
    ask(): Question;
    /** @param asked what the connection asked for; who came later is none of these messages' business. */
    messages(messages: readonly WireMessage[], asked?: readonly Wanted[]): void;
    state(state: State, transport: TransportName | undefined): void;
    problem(error: Error): void;
}

export interface Timeouts {
    /** Until the first sign of life, in milliseconds. */
    readonly open: number;
    /** Between two signs of life, in milliseconds. */
    readonly silence: number;
    /** Until a better transport that failed is tried again, in milliseconds; each time twice as long. */
    readonly better: number;
}

/** A connection that lasted this long was a good one: the next is not waited for longer and longer. In milliseconds. */
const LASTING = 10_000;

/** A transport that lived so long is a good one, though it brought nothing, in milliseconds. */
const GOOD = 5000;

/** So many connections in a row that ended, as it seems by the server, before they had brought anything: something in between cuts them. */
const CUTS = 3;

/** How long an answer to a ping is waited for where it is wanted at once, in milliseconds. */
const PONG = 5000;

/** The longest time until a better transport is tried again, in milliseconds: an hour. */
const LONGEST = 3600 * 1000;

/** Keeps one connection while somebody wants a channel: takes a transport, watches it, and takes the next one when it is over. */
export class Connector {
    state: State = 'closed';
    transport: TransportName | undefined;
    private connection: Connection | undefined;
    private timer: ReturnType<typeof setTimeout> | undefined;
    private watch: ReturnType<typeof setInterval> | undefined;
    private improve: ReturnType<typeof setTimeout> | undefined;
    private improvements = 0;
    /** Counts connections: what another than the newest one tells is not listened to. */
    private serial = 0;
    private opened = 0;
    private heard = 0;
    private looked = 0;
    private signs = 0;
    /** Something came behind the first sign of life. */
    private brought = false;
    /** The transport is a good one: it has brought something, or lived for a while. */
    private proven = false;
    private proof: ReturnType<typeof setTimeout> | undefined;
    private probe: ReturnType<typeof setTimeout> | undefined;
    private cuts = 0;
    private everOpen = false;
    /** The transport that was told of last, with the state. */
    private told: TransportName | undefined;
    private readonly publishing = new Publishing();

    constructor(
        private readonly owner: Owner,
        private readonly choice: Choice,
        private readonly backoff: Backoff,
        private readonly timeouts: Timeouts,
        private readonly options: TransportOptions,
    ) {}

    /** Connects with the `change` that follows: all channels of one moment are one question. */
    start(): void {
        if (this.state === 'closed') this.tell('connecting', undefined);
    }

    stop(): void {
        if (this.state === 'closed') return;
        this.drop();
        this.everOpen = false;
        this.cuts = 0;
        this.publishing.stop();
        this.tell('closed', undefined);
    }

    /** Other channels are wanted than before. */
    change(): void {
        if (this.state === 'closed') return;
        const { connection } = this;
        if (connection?.change) return connection.change();
        // While it waits after a failure, the next question is the new one anyway.
        if (connection || this.timer === undefined) {
            this.drop();
            this.connect();
        }
    }

    /** The network is there again, or the page is looked at: what waits does so no longer, and what has been silent too long is dead. */
    wake(renew: boolean): void {
        if (this.state === 'closed') return;
        const silent = this.connection !== undefined && Date.now() - this.heard > this.timeouts.silence;
        if (this.connection && !renew && !silent) return this.ask();
        this.backoff.reset();
        this.drop();
        this.connect();
    }

    /** The network is away. What comes of it is tried anyway: browsers are not always right. */
    offline(): void {
        if (this.connection) this.over(undefined, { counts: false });
    }

    /** Asks for a sign of life. What gives none soon is dead: of a network that was changed for another nobody is told. */
    private ask(): void {
        const { connection, heard } = this;
        if (!connection?.ping || this.opened === 0 || this.probe !== undefined) return;
        const { signs } = this;
        connection.ping();
        this.probe = setTimeout(() => {
            this.probe = undefined;
            if (this.signs !== signs) return;
            this.backoff.reset();
            this.over(new Error(`no answer to a ping in ${PONG} ms, nothing was heard for ${Date.now() - heard} ms`));
        }, PONG);
    }

    publish(channel: string, content: string): Promise<void> {
        if (this.state === 'open' && this.connection?.publish) return this.publishing.publish(this.connection, channel, content);
        return Promise.reject(new Error('icomet: without a pubUrl only an open WebSocket can publish'));
    }

    private connect(): void {
        this.timer = undefined;
        if (this.owner.ask().channels.length === 0) return;
        const name = this.choice.next();
        if (name === undefined) {
            this.later();
            return this.owner.problem(new Error('icomet: none of the transports that are allowed is possible here'));
        }
        const serial = (this.serial += 1);
        const ready = transports[name].ready?.();
        if (!ready) return this.open(name, serial);
        void ready.then(() => {
            if (serial === this.serial) this.open(name, serial);
        });
    }

    private open(name: TransportName, serial: number): void {
        const current = () => serial === this.serial;
        const end = (error?: Error) => {
            if (current()) this.over(error);
        };
        this.opened = 0;
        this.heard = Date.now();
        this.brought = this.proven = false;
        this.transport = name;
        this.timer = setTimeout(() => end(new Error(`no sign of life in ${this.timeouts.open} ms`)), this.timeouts.open);
        let asked: readonly Wanted[] = [];
        const ask = () => {
            const question = this.owner.ask();
            asked = question.channels;
            return question;
        };
        try {
            const connection = transports[name].open(ask, {
                alive: () => {
                    if (current()) this.alive(name);
                },
                messages: (messages) => {
                    if (current()) this.owner.messages(messages, asked);
                },
                end,
            }, this.options);
            if (current()) this.connection = connection;
            else connection.close();
        } catch (error) {
            end(toError(error));
        }
    }

    private alive(name: TransportName): void {
        this.heard = Date.now();
        this.signs += 1;
        if (this.opened !== 0) {
            this.brought = true;
            return this.prove(name);
        }
        this.opened = this.looked = this.heard;
        clearTimeout(this.timer);
        this.timer = undefined;
        this.everOpen = true;
        this.proof = setTimeout(() => this.prove(name), GOOD);
        this.watch = setInterval(() => this.look(), this.timeouts.silence / 3);
        const { connection } = this;
        // Behind what the connection itself says first: its channels.
        if (connection) void Promise.resolve().then(() => {
            if (this.connection === connection) this.publishing.again(connection);
        });
        this.tell('open', name);
    }

    private prove(name: TransportName): void {
        if (this.proven) return;
        this.proven = true;
        clearTimeout(this.proof);
        this.cuts = 0;
        if (this.choice.worked(name)) this.improveLater();
        else this.improvements = 0;
    }

    private improveLater(): void {
        const limit = Math.min(LONGEST, this.timeouts.better * 2 ** Math.min(this.improvements, 20));
        this.improvements += 1;
        // Not all clients of a server in one moment.
        this.improve = setTimeout(() => {
            this.choice.again();
            this.drop();
            this.tell('reconnecting', undefined);
            this.connect();
        }, limit * (0.5 + Math.random() / 2));
    }

    private look(): void {
        const now = Date.now();
        const silence = now - this.heard;
        // After a sleep of the machine nobody knows whether something would have come.
        const slept = now - this.looked >= this.timeouts.silence;
        this.looked = now;
        if (silence >= this.timeouts.silence) this.over(new Error(`nothing was heard for ${silence} ms`), { silent: !slept });
        else if (silence >= this.timeouts.silence / 3) this.connection?.ping?.();
    }

    /** The connection is over: by the server, by an error, or because it is dead. */
    private over(error?: Error, { silent = false, counts = true } = {}): void {
        const { transport, opened, proven } = this;
        this.drop();
        // An end without an error may be the server's own, once or twice.
        if (opened !== 0 && !proven && counts && !error) this.cuts += 1;
        // Before anybody is told, who may stop it.
        if (transport !== undefined && (opened === 0 || (!proven && (error || this.cuts >= CUTS)))) {
            const another = this.choice.failed(transport);
            if (opened !== 0 && !error) this.cuts = 0;
            if (another && error) this.later(0);
            else this.later();
        } else {
            if (transport !== undefined && silent && !this.brought) this.choice.silent(transport);
            if (Date.now() - opened > LASTING) this.backoff.reset();
            this.later();
        }
        const { serial } = this;
        this.tell(this.everOpen ? 'reconnecting' : 'connecting', undefined);
        if (error && serial === this.serial) this.owner.problem(new Error(`icomet: ${transport}: ${error.message}`));
    }

    private later(delay = this.backoff.next()): void {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.connect(), delay);
    }

    private drop(): void {
        clearTimeout(this.timer);
        clearTimeout(this.improve);
        clearTimeout(this.proof);
        clearTimeout(this.probe);
        clearInterval(this.watch);
        this.timer = this.watch = this.improve = this.proof = this.probe = undefined;
        this.serial += 1;
        const { connection } = this;
        this.connection = this.transport = undefined;
        connection?.close();
    }

    private tell(state: State, transport: TransportName | undefined): void {
        if (state === this.state && transport === this.told) return;
        this.state = state;
        this.told = transport;
        this.owner.state(state, transport);
    }
}
