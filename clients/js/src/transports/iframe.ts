import { toError } from '../events';
import { asMessages } from '../wire';
import { hidden, makeFrame, pageLoaded } from './frame';
import type { Transport } from './transport';
import { endpoint } from './urls';

/** How often a frame is looked at until its page has begun, in milliseconds. Nothing tells that. */
const LOOK_EACH = 50;

/**
 * A forever iframe: a page that goes on, with a script a message, which calls `parent.icomet_cb`. The frame stands in a frame of its own,
 * so that each connection has a parent to itself. It needs the page's own origin.
 */
export const iframe: Transport = {
    name: 'iframe',
    silent: true,
    possible: ({ url }) => typeof document !== 'undefined' && typeof location !== 'undefined' && url.startsWith(`${location.origin}/`),
    ready: pageLoaded,
    open(ask, listener, { url }) {
        const outer = makeFrame();
        let closed = false;
        let timer: ReturnType<typeof setTimeout> | undefined;
        const close = () => {
            closed = true;
            clearTimeout(timer);
            outer?.remove();
        };
        const end = (error?: Error) => {
            if (closed) return;
            close();
            listener.end(error);
        };
        if (!outer) {
            timer = setTimeout(() => end(new Error('this page may have no frames')), 0);
            return { close };
        }
        outer.window.icomet_cb = (value: unknown) => {
            if (closed) return;
            const messages = asMessages(value);
            if (!messages) return end(new Error('the frame called with something else than messages'));
            listener.alive();
            try {
                listener.messages(messages);
            } catch (error) {
                end(toError(error));
            }
        };
        const inner = hidden(outer.document);
        const look = () => {
            if (began(inner)) listener.alive();
            else timer = setTimeout(look, LOOK_EACH);
        };
        inner.onload = () => end(began(inner) ? undefined : new Error('the frame has another page than icomet\'s'));
        inner.src = endpoint(url, 'iframe', ask());
        outer.document.body.appendChild(inner);
        look();
        return { close };
    },
};

/** A page of an error has another title; one of another site may not be looked at. */
function began(frame: HTMLIFrameElement): boolean {
    try {
        return frame.contentDocument?.title === 'icomet';
    } catch {
        return false;
    }
}
