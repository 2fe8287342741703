/** A question by `<script>` (JSONP), which every browser knows, also to another site. */

export interface ScriptAsked {
    readonly answer: Promise<unknown>;
    cancel(): void;
}

let last = 0;

export function canScript(): boolean {
    return typeof document !== 'undefined' && typeof document.createElement === 'function';
}

/** @param url ends in the name of the callback's parameter and `=`. Rejected when the script did not load or did not call. */
export function askByScript(url: string): ScriptAsked {
    const name = `icomet_cb_${(last += 1)}`;
    const place = globalThis as unknown as Record<string, unknown>;
    const script = document.createElement('script');
    let settle = (_take: () => void) => {};
    const answer = new Promise<unknown>((resolve, reject) => {
        settle = (take) => {
            settle = () => {};
            script.onload = script.onerror = null;
            script.parentNode?.removeChild(script);
            // A script that still comes finds something to call.
            place[name] = () => delete place[name];
            take();
        };
        place[name] = (value: unknown) => {
            settle(() => resolve(value));
            delete place[name];
        };
        script.onerror = () => settle(() => reject(new Error('the script did not load')));
        script.onload = () => settle(() => reject(new Error('the script called nobody')));
    });
    script.async = true;
    script.src = `${url}${name}`;
    (document.head ?? document.documentElement).appendChild(script);
    return { answer, cancel: () => settle(() => {}) };
}
