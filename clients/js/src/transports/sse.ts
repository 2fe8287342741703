import { toError } from '../events';
import { parse, type WireMessage } from '../wire';
import type { Transport, TransportOptions } from './transport';
import { endpoint, epochMessage, epochOf } from './urls';

/** Server-sent events, by an EventSource; coming again is left to the client, which knows more than its id. */
export const sse: Transport = {
    name: 'sse',
    silent: true,
    possible: (options) => typeof classOf(options) === 'function',
    open(ask, listener, options) {
        const source = new (classOf(options) as typeof EventSource)(endpoint(options.url, 'sse', ask()));
        const end = (error?: Error) => {
            source.close();
            listener.end(error);
        };
        const epochs = new Epochs();
        let opened = false;
        source.onopen = () => {
            opened = true;
            listener.alive();
        };
        const hear = ({ data, lastEventId }: MessageEvent<string>) => {
            // An event by the name of "error" is a message; the browser's own has no data.
            if (typeof data !== 'string') return;
            listener.alive();
            try {
                listener.messages(epochs.with(parse(data), lastEventId));
            } catch (error) {
                end(toError(error));
            }
        };
        source.onmessage = hear;
        for (const name of options.events) source.addEventListener(name, hear as EventListener);
        source.onerror = (event) => {
            if (!('data' in event)) end(opened ? undefined : new Error('no event stream came'));
        };
        return { close: () => source.close() };
    },
};

function classOf({ classes }: TransportOptions): unknown {
    return classes?.EventSource ?? (typeof EventSource === 'function' ? EventSource : undefined);
}

/** The epoch is told in a message; by a server that has none such, in each event's id. */
class Epochs {
    private told = false;
    private readonly known = new Map<string, string>();

    with(messages: WireMessage[], id: string): WireMessage[] {
        this.told ||= messages.some(({ type }) => type === 'epoch');
        const epoch = this.told ? undefined : epochOf(id);
        if (epoch === undefined) return messages;
        return messages.flatMap((message) => {
            const { cname, seq } = message;
            if (this.known.get(cname) === epoch) return [message];
            this.known.set(cname, epoch);
            return [epochMessage(cname, seq, epoch), message];
        });
    }
}
