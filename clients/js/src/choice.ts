import type { TransportName } from './types';

/** Where it is kept which transport got through: localStorage, or what stands for it. */
export interface Memory {
    load(): TransportName | undefined;
    save(name: TransportName): void;
}

/**
 * Which transport is tried next. They are tried in their order until one gives a sign of life; that one is kept. One that has got
 * through before, here or on an earlier page, is tried first.
 *
 * A server that is away fails them all, which says nothing about any of them; so the one that has worked has two tries before others are
 * asked, and stays the first even when another got through in its place. A better one that failed is to be tried again after a while: a
 * server that came back while they were tried one after the other would leave its clients with the last of them.
 */
export class Choice {
    private proven: TransportName | undefined;
    /** `proven` is from an earlier page, and not seen to work on this one. */
    private remembered = false;
    private failures = 0;
    /** The one that gave the last sign of life. */
    private latest: TransportName | undefined;
    /** A better one than that, which failed before it. */
    private better: TransportName | undefined;
    /** It is to have another try now. */
    private wanted: TransportName | undefined;
    private readonly tried = new Set<TransportName>();
    private readonly blocked = new Set<TransportName>();

    constructor(
        private readonly order: readonly TransportName[],
        private readonly possible: (name: TransportName) => boolean,
        private readonly memory?: Memory,
    ) {
        const known = memory?.load();
        if (known === undefined || !order.includes(known)) return;
        this.proven = known;
        this.remembered = true;
        // Another network may be here since: one try is enough.
        this.failures = 1;
    }

    /** Undefined when this browser can do none of them. */
    next(): TransportName | undefined {
        const known = [this.wanted, this.proven, this.latest];
        const next = known.find((name) => name !== undefined && !this.tried.has(name) && this.usable(name)) ?? this.untried();
        if (next !== undefined) return next;
        this.tried.clear();
        this.blocked.clear();
        return this.untried();
    }

    /** It gave a sign of life. Answers whether a better one should have another try later: `again`. */
    worked(name: TransportName): boolean {
        const { order, proven, tried } = this;
        const before = order.slice(0, order.indexOf(name));
        const worked = proven !== undefined && !this.remembered && before.includes(proven) ? proven : undefined;
        this.better = worked ?? before.find((other) => tried.has(other));
        tried.clear();
        this.latest = name;
        this.wanted = undefined;
        if (proven === undefined || this.remembered || this.blocked.has(proven) || this.order.indexOf(name) <= this.order.indexOf(proven)) {
            this.proven = name;
            this.remembered = false;
            this.memory?.save(name);
        }
        this.failures = name === this.proven ? 0 : 1;
        return this.better !== undefined;
    }

    /** The better one is next. */
    again(): void {
        this.wanted = this.better;
    }

    /** It gave none. Answers whether another may be tried at once; else all had their turn, or this one gets another. */
    failed(name: TransportName): boolean {
        if (name === this.wanted) this.wanted = undefined;
        else if (name === this.proven) {
            this.failures += 1;
            if (this.failures < 2) return false;
        }
        this.tried.add(name);
        if (this.untried() !== undefined) return true;
        // It was the network that was silent, perhaps.
        this.tried.clear();
        this.blocked.clear();
        return false;
    }

    /** It opened, and then nothing ever came: something holds back what the server says, unless all others fail as well. */
    silent(name: TransportName): void {
        this.blocked.add(name);
    }

    private untried(): TransportName | undefined {
        return this.order.find((name) => !this.tried.has(name) && this.usable(name));
    }

    private usable(name: TransportName): boolean {
        return !this.blocked.has(name) && this.possible(name);
    }
}
