import { makeFrame } from './frame';

/** A question by `<script>` (JSONP), which every browser knows, also to another site. */
export interface ScriptAsked {
    readonly answer: Promise<unknown>;
    cancel(): void;
}

/** Of the callback; each question has a frame, and so a global object, to itself. */
const NAME = 'icomet_cb';

export function canScript(): boolean {
    return typeof document !== 'undefined' && typeof document.createElement === 'function';
}

/**
 * The script stands in a frame of its own: a browser gives up a script that was asked for only together with its page, and would leave
 * the server waiting.
 *
 * @param url ends in the name of the callback's parameter and `=`. Rejected when the script did not load or did not call.
 */
export function askByScript(url: string): ScriptAsked {
    const frame = makeFrame();
    if (!frame) return { answer: Promise.reject(new Error('this page may have no frames')), cancel: () => {} };
    let settle = (_take: () => void) => {};
    const answer = new Promise<unknown>((resolve, reject) => {
        settle = (take) => {
            settle = () => {};
            take();
            // Not within the script that is run in it.
            setTimeout(frame.remove, 0);
        };
        frame.window[NAME] = (value: unknown) => settle(() => resolve(value));
        const script = frame.document.createElement('script');
        script.onerror = () => settle(() => reject(new Error('the script did not load')));
        script.onload = () => settle(() => reject(new Error('the script called nobody')));
        script.src = new URL(`${url}${NAME}`, document.baseURI).href;
        frame.document.body.appendChild(script);
    });
    return { answer, cancel: () => settle(() => {}) };
}
