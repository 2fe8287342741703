/** A text that nobody else has. */
export function newId(): string {
    const parts = new Uint32Array(4);
    if (typeof crypto === 'object' && typeof crypto.getRandomValues === 'function') crypto.getRandomValues(parts);
    else for (let at = 0; at < parts.length; at += 1) parts[at] = Math.random() * 2 ** 32;
    return Array.from(parts, (part) => part.toString(36)).join('-');
}
