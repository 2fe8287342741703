/** What a queue holds at most. */
const LIMIT = 100_000;

/** Values for one `for await`: what comes while nobody waits is kept, in order, up to a limit; over it the reading ends with an error. */
export class Queue<Value> implements AsyncIterableIterator<Value> {
    private readonly values: Value[] = [];
    private waiting: ((result: IteratorResult<Value>) => void)[] = [];
    private ended = false;
    private failure: Error | undefined;

    /** @param left is called once, when the reader is done. */
    constructor(private readonly left: () => void) {}

    push(value: Value): void {
        const reader = this.waiting.shift();
        if (reader) reader({ value, done: false });
        else if (this.ended) return;
        else if (this.values.length < LIMIT) this.values.push(value);
        else {
            this.failure = new Error(`icomet: ${LIMIT} messages were kept for a reader who does not read`);
            this.end();
            this.left();
        }
    }

    /** Nothing more comes: the reader gets what is kept, then the end. */
    end(): void {
        this.ended = true;
        for (const reader of this.waiting) reader({ value: undefined, done: true });
        this.waiting = [];
    }

    next(): Promise<IteratorResult<Value>> {
        const value = this.values.shift();
        if (value !== undefined) return Promise.resolve({ value, done: false });
        if (this.failure) return Promise.reject(this.failure);
        if (this.ended) return Promise.resolve({ value: undefined, done: true });
        return new Promise((resolve) => this.waiting.push(resolve));
    }

    return(): Promise<IteratorResult<Value>> {
        this.values.length = 0;
        this.end();
        this.left();
        return Promise.resolve({ value: undefined, done: true });
    }

    [Symbol.asyncIterator](): this {
        return this;
    }
}
