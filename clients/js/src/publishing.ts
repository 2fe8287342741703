import { newId } from './ids';
import type { Connection, Publication } from './transports/transport';
import { Unanswered } from './transports/websocket';

/** How long an answer is waited for, over all connections, in milliseconds: less than the server keeps ids (`idempotency_window`). */
const PATIENCE = 30_000;

/** How many wait at most. */
const MOST = 1000;

const UNKNOWN = 'whether it was published is not known';

interface Waiting {
    readonly publication: Publication;
    /** Settles it; with what went wrong. */
    done(error?: Error): void;
    /** The connection that has it. */
    by: Connection | undefined;
}

/** What is published over the WebSocket. Without an answer it is sent again by the next one; its id keeps it from coming twice. */
export class Publishing {
    private readonly waiting = new Set<Waiting>();

    publish(connection: Connection, channel: string, content: string): Promise<void> {
        if (this.waiting.size >= MOST) return Promise.reject(new Error(`icomet: ${MOST} publishes wait for an answer`));
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => waiting.done(new Error(`icomet: no answer in ${PATIENCE} ms; ${UNKNOWN}`)), PATIENCE);
            const waiting: Waiting = {
                publication: { id: newId(), channel, content },
                by: undefined,
                done: (error) => {
                    clearTimeout(timer);
                    this.waiting.delete(waiting);
                    if (error) reject(error);
                    else resolve();
                },
            };
            this.waiting.add(waiting);
            this.send(connection, waiting);
        });
    }

    /** Another connection is open. */
    again(connection: Connection): void {
        for (const waiting of [...this.waiting]) {
            if (waiting.by) continue;
            if (connection.publish) this.send(connection, waiting);
            else waiting.done(new Error(`icomet: the connection was lost, and the next one cannot publish; ${UNKNOWN}`));
        }
    }

    stop(): void {
        for (const waiting of [...this.waiting]) waiting.done(new Error(`icomet: the client was stopped; ${UNKNOWN}`));
    }

    private send(connection: Connection, waiting: Waiting): void {
        waiting.by = connection;
        connection.publish?.(waiting.publication).then(() => waiting.done(), (error: Error) => {
            if (!(error instanceof Unanswered)) waiting.done(error);
            else if (waiting.by === connection) waiting.by = undefined;
        });
    }
}
