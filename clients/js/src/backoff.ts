/**
 * How long to wait before the next connection: between `min` and a limit that doubles with each failure up to `max` (full jitter), so
 * that the clients of a server that was away do not all come in one moment. In milliseconds.
 */
export class Backoff {
    private failures = 0;

    constructor(private readonly min = 500, private readonly max = 20_000, private readonly random: () => number = Math.random) {
        // What is longer than a timer can be would be no wait at all, and from 0 nothing can double.
        const good = min >= 1 && max >= min && max < 2 ** 31;
        if (!good) throw new RangeError(`icomet: retry from ${min} to ${max} milliseconds makes no sense`);
    }

    next(): number {
        this.failures += 1;
        const limit = Math.min(this.max, this.min * 2 ** Math.min(this.failures, 30));
        return this.min + this.random() * (limit - this.min);
    }

    reset(): void {
        this.failures = 0;
    }
}
