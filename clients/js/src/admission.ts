import type { Backoff } from './backoff';
import type { Channel } from './channel';
import { toError } from './events';
import type { Turn } from './turn';

/** A token that a back end is asked for. Given up, it may never come. */
export interface TokenAsked {
    readonly token: Promise<string>;
    cancel(): void;
}

/**
 * Sees to it that a channel is asked for when it can be: its token first, where a back end gives tokens; and after a refusal or a close
 * again, later and later.
 */
export class Admission {
    private timer: ReturnType<typeof setTimeout> | undefined;
    private leave: () => void = () => {};
    private asked: TokenAsked | undefined;
    private ended = false;
    /** A token was refused already, and a new one did not help. */
    private renewed = false;

    /**
     * @param sign asks the back end for a token.
     * @param ready is called when the channel rests no more.
     * @param turn when refused channels come again.
     * @param denied is called when the back end has said for good that there is no token.
     */
    constructor(
        private readonly channel: Channel,
        private readonly backoff: Backoff,
        private readonly sign: (() => TokenAsked) | undefined,
        private readonly ready: () => void,
        private readonly failed: (error: Error) => void,
        private readonly turn: Turn,
        private readonly denied: (status: number, error: Error) => void,
    ) {}

    begin(): void {
        if (!this.sign || this.channel.token !== undefined) return this.admit();
        this.channel.resting = true;
        void this.renew();
    }

    /** The server refused the channel, or closed it. */
    refused(status?: number): void {
        clearTimeout(this.timer);
        this.leave();
        const renew = status === 401 && this.sign !== undefined;
        if (renew && !this.renewed) {
            this.renewed = true;
            return void this.renew();
        }
        this.leave = this.turn.join(() => (renew ? void this.renew() : this.admit()));
    }

    /** The channel has told something: it let the client in. */
    admitted(): void {
        this.renewed = false;
        this.backoff.reset();
    }

    end(): void {
        this.ended = true;
        clearTimeout(this.timer);
        this.leave();
        this.asked?.cancel();
    }

    private async renew(): Promise<void> {
        try {
            this.asked = this.sign?.();
            this.channel.token = await this.asked?.token;
        } catch (error) {
            if (this.ended) return;
            const status = (error as { status?: unknown } | undefined)?.status;
            if (status === 401 || status === 403) return this.denied(status, toError(error));
            this.failed(toError(error));
            this.timer = setTimeout(() => void this.renew(), this.backoff.next());
            return;
        }
        this.admit();
    }

    private admit(): void {
        if (this.ended) return;
        this.channel.resting = false;
        this.ready();
    }
}
