/** Throws what says so when the server would answer 400: to all channels of a connection, for the sake of one name. */
export function checkChannel(name: unknown): void {
    const text = checked('a channel\'s name', name);
    const bytes = encodeURIComponent(text).replace(/%../g, '.').length;
    if (bytes > 256) throw new RangeError(`icomet: a channel's name has at most 256 bytes of UTF-8, not ${bytes}`);
}

/** Throws what says so when the server would take no such user. */
export function checkUser(user: unknown): void {
    const characters = Array.from(checked('a user', user)).length;
    if (characters > 128) throw new RangeError(`icomet: a user has at most 128 characters, not ${characters}`);
}

function checked(what: string, text: unknown): string {
    if (typeof text !== 'string') throw new TypeError(`icomet: ${what} is a string, not ${typeof text}`);
    if (text === '' || /[\u0000-\u001f\u007f-\u009f]/.test(text)) {
        throw new TypeError(`icomet: ${what} has at least one character, and no control character`);
    }
    // Half of a surrogate pair has no UTF-8.
    if (/[\ud800-\udfff]/u.test(text)) throw new TypeError(`icomet: ${what} has half of a character`);
    return text;
}
