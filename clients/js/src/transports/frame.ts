/**
 * A hidden frame without a page, in this page's origin. What is loaded in it is given up with it, and it has a global object of its own.
 * Undefined where the page may have none.
 */
export interface Frame {
    readonly document: Document;
    readonly window: Record<string, unknown>;
    remove(): void;
}

export function makeFrame(): Frame | undefined {
    const element = hidden(document);
    (document.body ?? document.documentElement).appendChild(element);
    const remove = () => void element.parentNode?.removeChild(element);
    const inside = element.contentDocument;
    if (inside?.body && element.contentWindow) {
        return { document: inside, window: element.contentWindow as unknown as Record<string, unknown>, remove };
    }
    remove();
    return undefined;
}

/** How long a page is waited for, in milliseconds: one that is still not loaded may never be. */
const LOADING = 20_000;

/** A page counts as loaded when its frames are, and a frame here is loading for long: it is made when the page is complete. */
export function pageLoaded(): Promise<void> | undefined {
    if (document.readyState === 'complete') return undefined;
    return new Promise((resolve) => {
        addEventListener('load', () => resolve(), { once: true });
        setTimeout(resolve, LOADING);
    });
}

export function hidden(owner: Document): HTMLIFrameElement {
    const frame = owner.createElement('iframe');
    frame.style.display = 'none';
    return frame;
}
