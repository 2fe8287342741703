import http from 'node:http';
import vm from 'node:vm';

/**
 * A client that behaves as icomet.js 0.2.x does, written from the description of its protocol: what is new in the server it knows nothing
 * of. In the place of a browser it has HTTP, and a sandbox for scripts.
 */
export interface OldConfig {
    channel: string;
    subUrl: string;
    signUrl?: string;
    /** Whether the browser has EventSource. */
    eventSource: boolean;
    callback(content: string): void;
}

interface OldMessage {
    type: string;
    cname: string;
    seq: number;
    content: string;
}

/** How much longer than the server's polling_timeout an answer may take. */
const GRACE = 1.3;

let instances = 0;

export class OldClient {
    /** All that came, types and seqs, for a test to look at. */
    readonly heard: string[] = [];
    /** The urls that were asked. */
    readonly asked: string[] = [];
    /** How many messages the answers had that were lists. */
    readonly batches: number[] = [];
    noop = 0;
    private seq = 0;
    private cname: string;
    private token = '';
    /** In seconds; `sign` tells it. */
    private timeout = 1;
    private stopped = false;
    private readonly callbackName = `icomet_cb_${instances++}`;
    private cancel = () => {};
    private timer: ReturnType<typeof setTimeout> | undefined;

    constructor(private readonly config: OldConfig) {
        this.cname = config.channel;
    }

    async start(): Promise<void> {
        if (this.config.signUrl) await this.sign();
        this.connect();
    }

    stop(): void {
        this.stopped = true;
        clearTimeout(this.timer);
        this.cancel();
    }

    /** After `stop`: it goes on with its counters. */
    resume(): void {
        this.stopped = false;
        this.connect();
    }

    private connect(): void {
        if (this.stopped) return;
        if (this.config.eventSource) this.events();
        else this.poll();
    }

    private query(): string {
        return `cname=${encodeURIComponent(this.cname)}&seq=${this.seq}&noop=${this.noop}&token=${this.token}&_=${Date.now()}`;
    }

    private sign(): Promise<void> {
        return new Promise((resolve) => {
            const url = `${this.config.signUrl}?cb=${this.callbackName}&cname=${encodeURIComponent(this.config.channel)}&_=${Date.now()}`;
            this.script(url, (value) => {
                const signed = value as { cname: string; token: string; sub_timeout: number };
                this.cname = signed.cname;
                this.token = signed.token;
                this.timeout = signed.sub_timeout;
                resolve();
            });
        });
    }

    /** As a `<script>`: what it answers is run. One that does not load says nothing. */
    private script(url: string, heard: (value: unknown) => void): void {
        this.asked.push(url);
        const request = http.get(url, { agent: false }, (answer) => {
            let text = '';
            answer.setEncoding('utf8').on('data', (part: string) => (text += part)).on('error', () => {});
            answer.on('end', () => {
                if (answer.statusCode === 200 && !this.stopped) vm.runInNewContext(text, { [this.callbackName]: heard });
            });
        });
        request.on('error', () => {});
        this.cancel = () => request.destroy();
    }

    private poll(): void {
        this.wait();
        this.script(`${this.config.subUrl}cb=${this.callbackName}&${this.query()}`, (value) => {
            // A list of the sandbox is no Array of ours.
            const list = typeof (value as unknown[]).length === 'number';
            const messages = list ? [...(value as OldMessage[])] : [value as OldMessage];
            if (list) this.batches.push(messages.length);
            const go = messages.map((message) => this.take(message)).some(Boolean);
            if (go) this.poll();
        });
    }

    /** As EventSource does it: an id is sent back, and it comes again by itself, to the same url. */
    private events(): void {
        this.listen(`${this.config.subUrl.replace('/sub?', '/sse?')}${this.query()}`, '', 1000);
    }

    private listen(url: string, id: string, pause: number): void {
        let last = id;
        let retry = pause;
        this.open(url, id, (field, value) => {
            if (field === 'id') last = value;
            if (field === 'retry') retry = Number(value);
            if (field === 'data') this.take(JSON.parse(value) as OldMessage);
        }, () => {
            if (!this.stopped) this.timer = setTimeout(() => this.listen(url, last, retry), retry);
        });
    }

    private open(url: string, id: string, heard: (field: string, value: string) => void, ended: () => void): void {
        this.asked.push(url);
        const headers = { Accept: 'text/event-stream', ...(id && { 'Last-Event-ID': id }) };
        let over = false;
        const end = () => {
            if (over) return;
            over = true;
            ended();
        };
        const request = http.get(url, { agent: false, headers }, (answer) => {
            let rest = '';
            answer.setEncoding('utf8').on('data', (part: string) => {
                const lines = (rest + part).split('\n');
                rest = lines.pop() ?? '';
                for (const line of lines) {
                    const found = /^(\w+): ?(.*)$/.exec(line);
                    if (found) heard(found[1]!, found[2]!);
                }
            }).on('end', end).on('error', end);
        });
        request.on('error', end);
        this.cancel = () => request.destroy();
    }

    /** Answers whether a poll goes on. */
    private take({ type, seq, content }: OldMessage): boolean {
        this.heard.push(`${type} ${seq}`);
        switch (type) {
            case 'data':
                // One that it has had already.
                if (seq < this.seq) return true;
                this.seq = seq + 1;
                this.config.callback(content);
                return true;
            case 'broadcast':
                this.config.callback(content);
                return true;
            case 'next_seq':
                this.seq = seq;
                return true;
            case 'noop':
                // Of another of its polls: that one goes on.
                if (seq !== this.noop) return false;
                this.noop += 1;
                return true;
            default:
                return false;
        }
    }

    /** A poll that is not answered in time is put anew. */
    private wait(): void {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => {
            this.cancel();
            if (!this.stopped) this.poll();
        }, this.timeout * GRACE * 1000);
    }
}
