import { toError } from '../events';
import { parse, type WireMessage } from '../wire';
import { ask as get, type Answer, Refusal } from './get';
import type { Connection, Listener, Question, TransportOptions, Wanted } from './transport';
import { endpoint, epochMessage, epochOf } from './urls';

export interface BatchAsked {
    readonly batch: Promise<WireMessage[]>;
    cancel(): void;
}

/** An answer that brought nothing and came sooner than this was not waited for, in milliseconds. */
const QUICK = 1000;

function at({ key, seq }: Wanted): string {
    return `${key} ${seq}`;
}

/** Puts one question to `sub`. `wait` is in seconds; 0 is answered at once. */
export type Poll = (question: Question, wait: number, options: TransportOptions) => BatchAsked;

/** Polls by fetch or XMLHttpRequest. */
export const pollByGet: Poll = (question, wait, { url }) => {
    const { answer, cancel } = get(endpoint(url, 'sub', question, { wait }));
    return { batch: answer.then((got) => read(question, got)), cancel };
};

/** The messages of an answer. Where none of them tells the epoch its tag may, which is that of all channels. */
function read({ channels }: Question, { status, text, tag }: Answer): WireMessage[] {
    if (status !== 200) throw new Refusal(status, text);
    const messages = parse(text);
    const epoch = epochOf(tag);
    if (epoch === undefined || messages.some(({ type }) => type === 'epoch')) return messages;
    const refused = messages.filter(({ type }) => type === '401' || type === '429').map(({ cname }) => cname);
    const served = channels.filter(({ name }) => !refused.includes(name));
    return [...served.map(({ name, seq }) => epochMessage(name, seq, epoch)), ...messages];
}

/**
 * Asks again and again. The first question is answered at once, so that the server is known to be there.
 *
 * @param pause how long to wait between two questions, in milliseconds; then each is answered at once. Without it they wait at the server.
 */
export function polling(poll: Poll, ask: () => Question, listener: Listener, options: TransportOptions, pause?: number): Connection {
    let closed = false;
    let cancel = () => {};
    const close = () => {
        closed = true;
        cancel();
    };
    /** Answers whether it brought something: another question follows. */
    const once = async (wait: number): Promise<boolean> => {
        const question = ask();
        const asked = poll(question, wait, options);
        cancel = asked.cancel;
        const batch = await asked.batch;
        if (closed) return false;
        listener.alive();
        listener.messages(batch);
        if (closed) return false;
        // What was had already, from a cache in between say, is nothing.
        return String(ask().channels.map(at)) !== String(question.channels.map(at));
    };
    const rest = (milliseconds: number) => new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        cancel = () => clearTimeout(timer);
    });
    const loop = async (): Promise<void> => {
        try {
            await once(0);
            while (!closed && ask().channels.length > 0) {
                const began = Date.now();
                const brought = await once(pause === undefined ? options.wait : 0);
                // Also long polls are answered with nothing at once by a worker that ends, or by something in between that lets none wait.
                const least = pause ?? (brought || Date.now() - began > QUICK ? 0 : Math.random() * QUICK);
                if (least > 0 && !closed) await rest(least);
            }
            if (!closed) listener.end();
        } catch (error) {
            if (!closed) listener.end(toError(error));
        }
    };
    void loop();
    return { close };
}
