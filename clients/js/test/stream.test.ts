import { afterEach, expect, test, vi } from 'vitest';
import { stream } from '../src/transports/stream';

const E1 = '1111111111111111';
const line = (seq: number, content: string) => `${JSON.stringify({ type: 'data', cname: 'a', seq, content })}\n`;
const bytes = (text: string) => new TextEncoder().encode(text);

/** A poll that brings nothing, then a stream of these parts. Waits for the end. */
async function read(parts: Uint8Array[], status = 200) {
    const told: string[] = [];
    const alive = vi.fn();
    vi.stubGlobal('fetch', (url: string) => {
        if (url.includes('/sub?')) return Promise.resolve(new Response('[]\n', { headers: { ETag: `"${E1}-0"` } }));
        const body = new ReadableStream({
            start(control) {
                for (const part of parts) control.enqueue(part);
                control.close();
            },
        });
        return Promise.resolve(new Response(body, { status }));
    });
    const error = await new Promise<Error | undefined>((resolve) => {
        stream.open(() => ({ channels: [{ key: 1, name: 'a', seq: 1, epoch: E1 }] }), {
            alive, end: resolve,
            messages: (messages) => told.push(...messages.filter(({ type }) => type !== 'epoch').map(({ content }) => content)),
        }, { url: 'http://h/icomet', wait: 1, events: [], pollInterval: 1 });
    });
    return { told, error, alive };
}

afterEach(() => vi.unstubAllGlobals());

test('lines and characters may be cut anywhere', async () => {
    const all = bytes(line(1, 'ü€😀') + line(2, 'b'));
    for (let at = 1; at < all.length; at += 1) {
        const { told, error } = await read([all.slice(0, at), all.slice(at)]);
        expect(told).toEqual(['ü€😀', 'b']);
        expect(error).toBeUndefined();
    }
});

test('half a line at the end is nothing', async () => {
    const { told } = await read([bytes(line(1, 'a') + line(2, 'b').slice(0, 20))]);
    expect(told).toEqual(['a']);
});

test('what is no message ends it with an error that shows it', async () => {
    const { error } = await read([bytes('<html>\n')]);
    expect(error?.message).toContain('<html>');
});

test('a stream that is refused has given no sign of life, whatever the poll before it said', async () => {
    const { error, alive } = await read([], 502);
    expect(error?.message).toContain('502');
    expect(alive).not.toHaveBeenCalled();
});
