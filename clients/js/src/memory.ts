import { type Memory } from './choice';
import type { TransportName } from './types';

/** How long it is known what got through, in milliseconds: a day. Then the best one has another try. */
const KEEP = 24 * 3600 * 1000;

/** localStorage, as far as the page may use it. The choice is one of a url and of the transports that were allowed. */
export function remembering(url: string, allowed: readonly TransportName[]): Memory {
    const key = `icomet ${url} ${allowed.join()}`;
    return {
        load() {
            try {
                const [name, until] = (localStorage.getItem(key) ?? '').split(' ');
                return Number(until) > Date.now() ? (name as TransportName) : undefined;
            } catch {
                return undefined;
            }
        },
        save(name) {
            try {
                localStorage.setItem(key, `${name} ${Date.now() + KEEP}`);
            } catch {
                // Forbidden or full: the next page tries them anew.
            }
        },
    };
}
