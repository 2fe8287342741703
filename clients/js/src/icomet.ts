import { Backoff } from './backoff';
import { IcometClient } from './client';
import { sign, SignRefused } from './sign';
import { ask, canAsk } from './transports/get';
import { askByScript } from './transports/script';
import type { ClientOptions, Position, State, Subscription, TransportName } from './types';

/** What the constructor of icomet.js takes, under its names of every version, and what is new. */
export interface ICometConfig {
    channel: string;
    /** Asked for the token. Empty or missing: there is none. */
    signUrl?: string;
    sign_url?: string;
    /** The url of `sub`. Empty or missing: `/icomet/sub`. */
    subUrl?: string;
    sub_url?: string;
    /** Where `pub` sends messages. */
    pubUrl?: string;
    pub_url?: string;
    callback?(content: string, message: OldMessage): void;
    /** New: the seq that is wanted first; 0, as ever: from now on. */
    seq?: number;
    /** New: messages are gone; of a number that nobody knows it is undefined. */
    onLost?(count: number | undefined, channel: string): void;
    /** New. */
    onState?(state: State, transport?: TransportName): void;
    /** New: what else the client takes. */
    options?: Partial<Omit<ClientOptions, 'url' | 'signUrl' | 'pubUrl' | 'sign'>>;
}

/** A message as icomet.js has it. */
export interface OldMessage {
    type: string;
    cname: string;
    seq: number;
    content: string;
}

/** The constructor of icomet.js: `new iComet({channel: 'abc', callback: function(content){ ... }})`. It begins by itself. */
export class iComet {
    readonly channel: string;
    private client: IcometClient | undefined;
    private subscription: Subscription | undefined;
    private timer: ReturnType<typeof setTimeout> | undefined;
    private cancel: () => void = () => {};
    private readonly subUrl: string;
    private readonly signUrl: string;
    private readonly pubUrl: string;

    constructor(private readonly config: ICometConfig) {
        this.channel = config.channel;
        this.subUrl = config.subUrl || config.sub_url || '/icomet/sub';
        this.signUrl = config.signUrl || config.sign_url || '';
        this.pubUrl = config.pubUrl || config.pub_url || '';
        this.start();
    }

    /** After `stop` it goes on where it was, as far as the server still has it. */
    start(): void {
        if (this.client) return;
        const { config, channel, signUrl } = this;
        const client = new IcometClient({
            ...config.options,
            url: this.subUrl.replace(/\/(sub|poll|sse|stream|iframe)?(\?.*)?$/, ''),
            ...(signUrl !== '' && { sign: async () => (await sign(signUrl, channel).signed).token }),
        });
        this.client = client;
        client.on('message', ({ channel: cname, seq, content, type }) => config.callback?.(content, { type, cname, seq, content }));
        client.on('lost', (lost) => config.onLost?.(lost.count, lost.channel));
        client.on('state', ({ state, transport }) => config.onState?.(state, transport));
        const position = this.subscription?.position ?? { seq: config.seq ?? 0 };
        if (signUrl === '') this.subscription = client.subscribe(channel, position);
        else this.begin(client, position, new Backoff());
    }

    /** A back end that signs may give another channel than it was asked for: that one is listened to. */
    private begin(client: IcometClient, position: Position, backoff: Backoff): void {
        const { signed, cancel } = sign(this.signUrl, this.channel);
        this.cancel = cancel;
        signed.then(({ cname, token }) => {
            if (this.client === client) this.subscription = client.subscribe(cname, { ...position, token });
        }, (error: Error) => {
            console.warn(error.message);
            // It is the back end's last word.
            if (error instanceof SignRefused && (error.status === 401 || error.status === 403)) return;
            if (this.client === client) this.timer = setTimeout(() => this.begin(client, position, backoff), backoff.next());
        });
    }

    stop(): void {
        clearTimeout(this.timer);
        this.cancel();
        this.client?.stop();
        this.client = undefined;
    }

    /** @param done is told what the server answered; nothing when it could not be reached. */
    pub(content: string, done?: (answer?: unknown) => void): void {
        if (!this.pubUrl) throw new Error('icomet: pub needs a pubUrl');
        const parameters = { cname: this.channel, content };
        const answer = canAsk()
            ? ask(this.pubUrl, parameters).answer.then(({ text }) => JSON.parse(text) as unknown)
            : askByScript(`${this.pubUrl}?${new URLSearchParams(parameters)}&cb=`).answer;
        answer.then((value) => done?.(value), (error: unknown) => {
            console.warn(`icomet: pub: ${String(error)}`);
            done?.();
        });
    }
}
