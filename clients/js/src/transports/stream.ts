import { toError } from '../events';
import { parse } from '../wire';
import { canAsk, hasFetch, hasXhr, Refusal } from './get';
import { type BatchAsked, pollByGet } from './polling';
import type { Listener, Transport } from './transport';
import { endpoint } from './urls';

/**
 * An endless answer with a message a line. A poll that is answered at once comes first: a page of an error has a text there, and a
 * server that tells the epoch by its tag alone tells it.
 */
export const stream: Transport = {
    name: 'stream',
    possible: () => canAsk() && (streamsByFetch() || hasXhr()),
    open(ask, listener, options) {
        let closed = false;
        const first = ask();
        const asked: BatchAsked = pollByGet(first, 0, options);
        let cancel = asked.cancel;
        const run = async () => {
            const batch = await asked.batch;
            if (closed) return;
            listener.messages(batch);
            const question = ask();
            // The poll's answer may have closed this, or told that no channel lets the client in.
            if (closed) return;
            if (question.channels.length === 0) {
                listener.alive();
                return listener.end();
            }
            const url = endpoint(options.url, 'stream', question);
            const lines = new Lines(listener);
            const reading = streamsByFetch() ? byFetch(url, lines) : byXhr(url, lines);
            cancel = reading.cancel;
            await reading.ended;
            if (!closed) listener.end();
        };
        run().catch((error: unknown) => {
            if (!closed) listener.end(toError(error));
        });
        return {
            close() {
                closed = true;
                cancel();
            },
        };
    },
};

/** A line at most, in characters: what has none within that is no stream of icomet. */
const MAX_LINE = 64 << 20;

/** Parts text at its ends of lines, and tells what stands on them. */
class Lines {
    private rest = '';

    constructor(private readonly listener: Listener) {}

    /** The poll before it says nothing of whether a stream gets through. */
    began(): void {
        this.listener.alive();
    }

    take(text: string): void {
        this.listener.alive();
        const lines = (this.rest + text).split('\n');
        this.rest = lines.pop() ?? '';
        if (this.rest.length > MAX_LINE) throw new Error('a line of the stream is too long');
        const messages = lines.filter((line) => line !== '').flatMap(parse);
        if (messages.length > 0) this.listener.messages(messages);
    }
}

interface Reading {
    readonly ended: Promise<void>;
    cancel(): void;
}

function streamsByFetch(): boolean {
    return hasFetch() && typeof ReadableStream === 'function' && typeof TextDecoder === 'function';
}

function byFetch(url: string, lines: Lines): Reading {
    const control = new AbortController();
    const read = async () => {
        const answer = await fetch(url, { cache: 'no-store', signal: control.signal });
        if (answer.status !== 200 || !answer.body) throw new Refusal(answer.status, '');
        lines.began();
        const reader = answer.body.getReader();
        const decoder = new TextDecoder();
        for (;;) {
            const { done, value } = await reader.read();
            if (done) return;
            lines.take(decoder.decode(value, { stream: true }));
        }
    };
    return { ended: read(), cancel: () => control.abort() };
}

/** An XMLHttpRequest keeps all that it got: after this many characters another one is begun. */
const MAX_TEXT = 4 << 20;

function byXhr(url: string, lines: Lines): Reading {
    const request = new XMLHttpRequest();
    const ended = new Promise<void>((resolve, reject) => {
        let taken = 0;
        const more = () => {
            if (request.status !== 200) return;
            const text = request.responseText.slice(taken);
            taken += text.length;
            try {
                if (text !== '') lines.take(text);
            } catch (error) {
                request.abort();
                reject(toError(error));
            }
            if (taken > MAX_TEXT) {
                request.abort();
                resolve();
            }
        };
        request.onreadystatechange = () => {
            if (request.readyState === 2 && request.status === 200) lines.began();
        };
        request.onprogress = more;
        request.onload = () => {
            more();
            if (request.status === 200) resolve();
            else reject(new Refusal(request.status, ''));
        };
        request.onerror = () => reject(new Error('the stream was cut'));
        request.open('GET', url);
        request.send();
    });
    return { ended, cancel: () => request.abort() };
}
