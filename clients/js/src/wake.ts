/** Who is told of the page's fate. */
interface Sleeper {
    /** `renew`: what was connected before is dead. */
    wake(renew: boolean): void;
    offline(): void;
}

/** Tells when the browser says that the network has come or gone, and when the page is looked at again. Answers what ends it. */
export function watchPage(sleeper: Sleeper): () => void {
    if (typeof addEventListener !== 'function' || typeof document === 'undefined') return () => {};
    const online = () => sleeper.wake(true);
    const offline = () => sleeper.offline();
    const seen = () => {
        if (document.visibilityState === 'visible') sleeper.wake(false);
    };
    // Where the browser tells that it has another network; not all do.
    const network = typeof navigator === 'object' ? (navigator as { connection?: Partial<EventTarget> }).connection : undefined;
    network?.addEventListener?.('change', seen);
    addEventListener('online', online);
    addEventListener('offline', offline);
    // Taken out of the browser's cache of pages, it has no connection any more.
    addEventListener('pageshow', seen);
    addEventListener('focus', seen);
    document.addEventListener('visibilitychange', seen);
    return () => {
        removeEventListener('online', online);
        removeEventListener('offline', offline);
        removeEventListener('pageshow', seen);
        removeEventListener('focus', seen);
        network?.removeEventListener?.('change', seen);
        document.removeEventListener('visibilitychange', seen);
    };
}
