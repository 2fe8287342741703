import type { State, TransportName } from '../types';
import type { WireMessage } from '../wire';

/** A channel that a tab wants, and where it stands. */
export interface Want {
    readonly name: string;
    readonly seq: number;
    readonly epoch?: string | undefined;
    readonly token?: string | undefined;
}

/** A message, and the seq that the holder wanted next before it: who stands before that has missed something. */
export interface Item {
    readonly message: WireMessage;
    readonly from: number;
    /** What the message's seq counts in, where the holder knows it. */
    readonly epoch?: string | undefined;
}

/** What tabs tell one another. `to` and `tab` are tabs' ids. */
export type Post =
    /** A tab holds the connection now: tell what you want. */
    | { kind: 'holder' }
    /** All channels that a tab wants; none: it has gone. */
    | { kind: 'want'; tab: string; wants: Want[] }
    /** Where the holder stands, for the tab that asked. */
    | { kind: 'standing'; to: string; wants: Want[] }
    /** A tab is looked at, or online again: the holder may be one that the browser has slowed down. */
    | { kind: 'wake' }
    | { kind: 'messages'; items: Item[] }
    | { kind: 'state'; state: State; transport: TransportName | undefined }
    | { kind: 'publish'; tab: string; id: number; channel: string; content: string }
    | { kind: 'published'; to: string; id: number; error: string | undefined };
