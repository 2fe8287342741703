import type { WireMessage } from '../wire';
import type { Question } from './transport';

/** The url of a page's `icomet_sub` location: absolute, without a slash at its end. */
export function absolute(url: string): string {
    const base = typeof document === 'undefined' ? undefined : document.baseURI;
    if (typeof url !== 'string' || url === '') throw new TypeError('icomet: url is the address of an icomet_sub location');
    let found: URL;
    try {
        found = new URL(url, base);
    } catch {
        throw new TypeError(`icomet: "${url}" is no url${base === undefined ? ' that begins with http:// or https://' : ''}`);
    }
    if (!/^https?:$/.test(found.protocol)) throw new TypeError(`icomet: "${url}" does not begin with http:// or https://`);
    return (found.origin + found.pathname).replace(/\/+$/, '');
}

/**
 * The url of an endpoint with a question. A comma within a name is encoded, so that it does not part two. `epoch` is always there: who
 * sends it, if empty, is told it.
 */
export function endpoint(url: string, name: string, question: Question, more: Record<string, string | number> = {}): string {
    const { channels, user, oneEpoch } = question;
    const list = (values: readonly (string | number)[]) => values.map(encodeURIComponent).join(',');
    const query = [`cname=${list(channels.map((channel) => channel.name))}`, `seq=${list(channels.map((channel) => channel.seq))}`];
    if (channels.some((channel) => channel.token)) query.push(`token=${list(channels.map((channel) => channel.token ?? ''))}`);
    const epochs = channels.map(({ seq, epoch }) => (seq > 0 && epoch) || '');
    query.push(`epoch=${oneEpoch ? oneOf(epochs) : list(epochs)}`);
    if (user !== undefined) query.push(`user=${encodeURIComponent(user)}`);
    for (const [key, value] of Object.entries(more)) query.push(`${key}=${encodeURIComponent(value)}`);
    return `${url}/${name}?${query.join('&')}`;
}

/** The epoch of all; where they stand in several, one that is none, so that each is told what it may have lost. */
function oneOf(epochs: readonly string[]): string {
    const [first = '', ...others] = new Set(epochs.filter((epoch) => epoch !== ''));
    return others.length > 0 ? '0000000000000000' : first;
}

/**
 * The epoch in an entity tag or an SSE id of a server that does not tell it in a message: `EPOCH-SEQ`. A proxy that compresses makes a tag
 * a weak one.
 */
export function epochOf(id: string | null | undefined): string | undefined {
    return /^(?:W\/)?"?([0-9a-f]{16})-/.exec(id ?? '')?.[1];
}

/** As a message, that a channel counts in an epoch. `seq` is where it was asked for. */
export function epochMessage(cname: string, seq: number, content: string): WireMessage {
    return { type: 'epoch', cname, seq, content };
}
