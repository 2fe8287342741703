import type { Backoff } from './backoff';

/** After so long without a refusal the next one is the first, in milliseconds. */
const FORGET = 60_000;

/**
 * When channels that were refused come again: all of a client in one moment, later and later. Each by itself, hundreds of them would
 * make a new connection many times a second.
 */
export class Turn {
    private readonly waiting = new Set<() => void>();
    private timer: ReturnType<typeof setTimeout> | undefined;
    private last = 0;

    constructor(private readonly backoff: Backoff) {}

    /** Answers what gives it up. */
    join(run: () => void): () => void {
        const own = () => run();
        this.waiting.add(own);
        if (this.timer === undefined) {
            if (Date.now() - this.last > FORGET) this.backoff.reset();
            this.timer = setTimeout(() => this.come(), this.backoff.next());
        }
        return () => {
            this.waiting.delete(own);
            if (this.waiting.size > 0) return;
            clearTimeout(this.timer);
            this.timer = undefined;
        };
    }

    private come(): void {
        this.timer = undefined;
        this.last = Date.now();
        const all = [...this.waiting];
        this.waiting.clear();
        for (const run of all) run();
    }
}
