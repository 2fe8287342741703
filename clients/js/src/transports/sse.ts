import { toError } from '../events';
import { parse } from '../wire';
import type { Transport } from './transport';
import { endpoint, epochOf } from './urls';

/** Server-sent events, by the browser's EventSource; coming again is left to the client, which knows more than its id. */
export const sse: Transport = {
    name: 'sse',
    possible: () => typeof EventSource === 'function',
    open(ask, listener, { url, events }) {
        const source = new EventSource(endpoint(url, 'sse', ask()));
        const end = (error?: Error) => {
            source.close();
            listener.end(error);
        };
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
                listener.messages(parse(data), epochOf(lastEventId));
            } catch (error) {
                end(toError(error));
            }
        };
        source.onmessage = hear;
        for (const name of events) source.addEventListener(name, hear as EventListener);
        source.onerror = (event) => {
            if (!('data' in event)) end(opened ? undefined : new Error('no event stream came'));
        };
        return { close: () => source.close() };
    },
};
