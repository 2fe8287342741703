import { Admission, type TokenAsked } from './admission';
import { Backoff } from './backoff';
import { Channel, type Told } from './channel';
import { Channels } from './channels';
import { checkChannel, checkUser } from './check';
import { Choice } from './choice';
import { Connector, type Owner } from './connector';
import { Events } from './events';
import { remembering } from './memory';
import { Queue } from './queue';
import { sign } from './sign';
import { Tabs } from './tabs/tabs';
import { Turn } from './turn';
import { ask } from './transports/get';
import { transports } from './transports/index';
import { ROOM } from './transports/parted';
import type { TransportOptions, Wanted } from './transports/transport';
import { absolute } from './transports/urls';
import {
    TRANSPORTS, type ChannelEvents, type ClientEvents, type ClientOptions, type Message, type State, type SubscribeOptions,
    type Subscription, type TransportName,
} from './types';
import { watchPage } from './wake';
import { excerpt, type WireMessage } from './wire';

/** What a client has for one channel. */
interface Entry {
    readonly admission: Admission;
    readonly events: Events<ChannelEvents>;
    readonly queues: Set<Queue<Message>>;
}

/**
 * Listens to any number of channels over one connection, which it makes again when it is lost. Nothing comes twice, and nothing is
 * missing without `lost`.
 *
 * It connects when it has a channel, and until `stop`.
 */
export class IcometClient implements AsyncIterable<Message> {
    private readonly events = new Events<ClientEvents>((error) => this.failed(error));
    private readonly channels = new Channels();
    private readonly entries = new Map<string, Entry>();
    private readonly queues = new Set<Queue<Message>>();
    private readonly link: Connector | Tabs;
    private readonly retry: () => Backoff;
    private readonly turn: Turn;
    private unwatch: (() => void) | undefined;
    private changing = false;
    private failing = false;

    /** Throws a TypeError or RangeError that says which option makes no sense. */
    constructor(private readonly options: ClientOptions) {
        const url = absolute(options.url);
        const allowed = allowedOf(options.transports);
        const { min, max } = options.retry ?? {};
        this.retry = () => new Backoff(min, max);
        this.turn = new Turn(new Backoff(min, Math.min(3 * (max ?? 20_000), 2 ** 31 - 1)));
        const silence = milliseconds('silenceTimeout', options.silenceTimeout, 75_000);
        const settings: TransportOptions = {
            url,
            wait: Math.min(3600, Math.max(1, Math.floor(silence / 2500))),
            pollInterval: milliseconds('pollInterval', options.pollInterval, 3000),
            events: options.events ?? [],
            room: { ...ROOM },
            classes: { WebSocket: options.WebSocket, EventSource: options.EventSource },
        };
        if (!allowed.some((name) => transports[name].possible(settings))) throw new TypeError(impossible(allowed));
        const memory = options.remember === false ? undefined : remembering(url, allowed);
        const choice = new Choice(allowed, (name) => transports[name].possible(settings), memory);
        const timeouts = {
            open: milliseconds('openTimeout', options.openTimeout, 5000),
            silence,
            better: milliseconds('betterAfter', options.betterAfter, 120_000),
        };
        const owner: Owner = {
            ask: () => this.channels.ask(options.user),
            messages: (messages, asked) => this.take(messages, asked),
            state: (state, transport) => this.told(state, transport),
            problem: (error) => this.failed(error),
        };
        const connect = (its: Owner) => new Connector(its, choice, this.retry(), timeouts, settings);
        const { user } = options;
        if (user !== undefined) checkUser(user);
        const share = options.shareTabs === true && Tabs.possible();
        this.link = share ? new Tabs(`icomet ${url} ${user ?? ''}`, user, owner, this.channels, connect, settings) : connect(owner);
        if (options.onMessage) this.on('message', options.onMessage);
        if (options.onLost) this.on('lost', options.onLost);
        if (options.onRefused) this.on('refused', options.onRefused);
        if (options.onProblem) this.on('problem', options.onProblem);
        const { onState } = options;
        if (onState) this.on('state', ({ state, transport }) => onState(state, transport));
    }

    get state(): State {
        return this.link.state;
    }

    /** The one in use; undefined while there is none. */
    get transport(): TransportName | undefined {
        return this.link.state === 'open' ? this.link.transport : undefined;
    }

    /** Answers what ends the listening. */
    on<Name extends keyof ClientEvents>(name: Name, listener: (value: ClientEvents[Name]) => void): () => void {
        return this.events.on(name, listener);
    }

    /** Begins to listen to a channel: from now on, or from a position. Throws when the client listens to it already. */
    subscribe(name: string, { token, ...position }: SubscribeOptions = {}): Subscription {
        checkChannel(name);
        if (this.entries.has(name)) throw new Error(`icomet: channel "${name}" is subscribed already`);
        const channel = new Channel(name, position);
        channel.token = token;
        const admission = new Admission(channel, this.retry(), this.signer(name), () => this.change(), (error) => this.failed(error), this.turn,
            (status, error) => this.denied(name, entry, status, error));
        const entry: Entry = { admission, events: new Events((error) => this.failed(error)), queues: new Set() };
        this.channels.add(channel);
        this.entries.set(name, entry);
        if (this.link.state === 'closed') this.start();
        admission.begin();
        return {
            channel: name,
            get position() {
                return channel.position;
            },
            on: (event, listener) => entry.events.on(event, listener),
            unsubscribe: () => this.unsubscribe(name, entry),
            [Symbol.asyncIterator]: () => iterate(entry.queues, this.entries.get(name) === entry),
        };
    }

    /**
     * Sends a message to a channel: by `pubUrl`, else over the WebSocket where the server lets clients publish. Rejected when it was
     * not taken.
     */
    async publish(channel: string, content: string): Promise<void> {
        const { pubUrl } = this.options;
        if (!pubUrl) return this.link.publish(channel, content);
        const { status, text } = await ask(pubUrl, { cname: channel, content }).answer;
        if (status < 200 || status > 299) throw new Error(`icomet: pubUrl answered ${status}: ${excerpt(text)}`);
    }

    /** Ends the connection and all subscriptions. The client can be used again. */
    stop(): void {
        for (const [name, entry] of this.entries) this.unsubscribe(name, entry);
        for (const queue of this.queues) queue.end();
        this.queues.clear();
        this.halt();
    }

    /** The messages of all channels. */
    [Symbol.asyncIterator](): AsyncIterator<Message> {
        return iterate(this.queues);
    }

    /** What asks for a channel's token; undefined where nobody gives tokens. */
    private signer(name: string): (() => TokenAsked) | undefined {
        const { options } = this;
        const { signUrl } = options;
        if (options.sign) return () => ({ token: Promise.resolve(options.sign?.(name) ?? ''), cancel: () => {} });
        if (!signUrl) return undefined;
        return () => {
            const { signed, cancel } = sign(signUrl, name);
            return { token: signed.then(({ token }) => token), cancel };
        };
    }

    private start(): void {
        this.link.start();
        this.unwatch ??= watchPage({ wake: (renew) => this.link.wake(renew), offline: () => this.link.offline() });
    }

    private halt(): void {
        this.unwatch?.();
        this.unwatch = undefined;
        this.link.stop();
    }

    private unsubscribe(name: string, entry: Entry): void {
        if (this.entries.get(name) !== entry) return;
        this.entries.delete(name);
        this.channels.delete(name);
        entry.admission.end();
        for (const queue of entry.queues) queue.end();
        if (this.entries.size === 0) this.halt();
        else this.change();
    }

    /** Several changes of one moment are one. */
    private change(): void {
        if (this.changing) return;
        this.changing = true;
        void Promise.resolve().then(() => {
            this.changing = false;
            this.link.change();
        });
    }

    /** The back end has said for good that the channel is not for this client. */
    private denied(name: string, entry: Entry, status: number, error: Error): void {
        const channel = this.channels.get(name);
        if (!channel || this.entries.get(name) !== entry) return;
        this.tell(channel, { name: 'refused', value: { channel: name, status, reason: error.message, final: true } });
        this.failed(error);
        this.unsubscribe(name, entry);
    }

    /** A listener may give up a channel, and take it anew elsewhere, in the midst of them. */
    private take(messages: readonly WireMessage[], asked?: readonly Wanted[]): void {
        const refused = new Set(messages.filter(({ type }) => type === '401' || type === '429').map(({ cname }) => cname));
        for (const message of messages) {
            const taken = this.channels.take(message, asked);
            if (!taken) continue;
            const { channel, told } = taken;
            const entry = this.entries.get(channel.name);
            const away = told?.name === 'close' && told.value.stayAway === true;
            if (told?.name === 'refused') entry?.admission.refused(told.value.status);
            else if (told?.name === 'close') {
                if (!away) entry?.admission.refused();
            } else if (message.type !== 'noop' && !refused.has(channel.name)) entry?.admission.admitted();
            if (told) this.tell(channel, told);
            if (away && entry) this.unsubscribe(channel.name, entry);
        }
    }

    private tell(channel: Channel, told: Told): void {
        const { name } = channel;
        if (this.channels.get(name) !== channel) return;
        const entry = this.entries.get(name);
        if (told.name === 'message') {
            for (const queue of entry?.queues ?? []) queue.push(told.value);
            for (const queue of this.queues) queue.push(told.value);
        }
        // Names and values are pairs, which TypeScript cannot see through a generic.
        entry?.events.emit(told.name, told.value as never);
        this.events.emit(told.name, told.value as never);
    }

    private told(state: State, transport: TransportName | undefined): void {
        this.events.emit('state', transport === undefined ? { state } : { state, transport });
    }

    private failed(error: Error): void {
        // A listener of problems that throws has had its turn.
        if (this.failing) return;
        this.failing = true;
        if (this.events.has('problem')) this.events.emit('problem', error);
        else if (typeof console === 'object') console.warn(error.message);
        this.failing = false;
    }
}

/** @param open something may still come. */
function iterate(queues: Set<Queue<Message>>, open = true): Queue<Message> {
    const queue: Queue<Message> = new Queue(() => queues.delete(queue));
    if (open) queues.add(queue);
    else queue.end();
    return queue;
}

function impossible(allowed: readonly TransportName[]): string {
    return `icomet: nothing here can do ${allowed.join(' or ')}; in Node the options WebSocket and EventSource take a class`;
}

function allowedOf(names: readonly TransportName[] = TRANSPORTS): readonly TransportName[] {
    const unknown = names.find((name) => !TRANSPORTS.includes(name));
    if (unknown !== undefined) throw new TypeError(`icomet: no transport is called "${unknown}"; there are ${TRANSPORTS.join(', ')}`);
    if (names.length === 0) throw new TypeError('icomet: transports is empty');
    return names;
}

function milliseconds(name: string, value: number | undefined, otherwise: number): number {
    const time = value ?? otherwise;
    if (!(time >= 1 && time < 2 ** 31)) throw new RangeError(`icomet: ${name} is a number of milliseconds from 1, not ${time}`);
    return time;
}
