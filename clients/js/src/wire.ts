import type { Message } from './types';

/** A message as the server writes it: docs/protocol.md, "Subscribers". */
export interface WireMessage {
    readonly type: string;
    readonly cname: string;
    readonly seq: number;
    readonly content: string;
    readonly event?: string;
}

/** The content of a `close` behind which the client is not to come back. */
export const STAY_AWAY = 'stay_away';

/** Takes a value for messages: one, or a list of them. Answers undefined when it is something else. */
export function asMessages(value: unknown): WireMessage[] | undefined {
    const list: unknown[] = Array.isArray(value) ? value : [value];
    return list.every(isMessage) ? list : undefined;
}

/** Parses what a transport got. Throws what says so when it is no message: a proxy's page of HTML, say. */
export function parse(text: string): WireMessage[] {
    let messages: WireMessage[] | undefined;
    try {
        messages = asMessages(JSON.parse(text));
    } catch {
        // Told below, as any other answer that is none.
    }
    if (!messages) throw new Error(`no message of icomet: ${excerpt(text)}`);
    return messages;
}

/** How much of an answer is shown, in characters. */
const SHOWN = 80;

/** What is worth showing of an answer: what icomet says, a page's title, or else its beginning. */
export function excerpt(text: string): string {
    const title = /^\s*</.test(text) ? /<title>([^<]*)/i.exec(text.slice(0, 4096))?.[1] : undefined;
    const line = (title === undefined ? contentOf(text) ?? text : `a page called "${title.trim()}"`).slice(0, 2 * SHOWN).replace(/\s+/g, ' ').trim();
    return line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line;
}

function contentOf(text: string): string | undefined {
    if (text.length > 4096) return undefined;
    try {
        return asMessages(JSON.parse(text))?.[0]?.content;
    } catch {
        return undefined;
    }
}

function isMessage(value: unknown): value is WireMessage {
    if (typeof value !== 'object' || value === null) return false;
    const { type, cname, seq, content } = value as Record<string, unknown>;
    return typeof type === 'string' && typeof cname === 'string' && typeof seq === 'number' && typeof content === 'string';
}

export function toMessage({ type, cname, seq, content, event }: WireMessage): Message {
    const message = { channel: cname, seq, content, type: type as Message['type'] };
    return event === undefined ? message : { ...message, event };
}
