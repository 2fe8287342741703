import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { OldClient } from './icomet-0.2';
import { Nginx, until } from './nginx';

let nginx: Nginx;
const clients: OldClient[] = [];

beforeAll(async () => {
    nginx = await Nginx.start();
});
afterEach(() => {
    for (const client of clients.splice(0)) client.stop();
});
afterAll(() => nginx?.stop());

/** An old client that listens, and what its callback got. */
async function listen(channel: string, eventSource: boolean, hub = '') {
    const contents: string[] = [];
    const client = new OldClient({
        channel, eventSource, subUrl: nginx.url(`${hub}/icomet/sub?`), callback: (content) => contents.push(content),
        ...(hub && { signUrl: nginx.url(`${hub}/icomet-admin/sign`) }),
    });
    clients.push(client);
    await client.start();
    await until(() => client.heard.length > 0, 'the first message');
    const gets = (count: number) => until(() => contents.length >= count, `${count} contents, of ${contents.join('; ')}; heard: ${client.heard.join('; ')}`);
    return { client, contents, gets };
}

describe.each([['EventSource', true], ['JSONP', false]] as const)('icomet.js 0.2 by %s', (name, eventSource) => {
    const channel = (what: string) => `${name}.${what}`;

    test('begins from now on, and gets what comes, in order and once', async () => {
        await nginx.push(channel('new'), 'before');
        const { client, contents, gets } = await listen(channel('new'), eventSource);
        expect(client.heard).toEqual(['next_seq 2']);
        for (const content of ['1', '"2"\n</script>', 'ü']) await nginx.push(channel('new'), content);
        await gets(3);
        expect(contents).toEqual(['1', '"2"\n</script>', 'ü']);
    });

    test('a broadcast, and the next_seq behind it', async () => {
        const { client, contents, gets } = await listen(channel('all'), eventSource);
        await nginx.broadcast('to all');
        await nginx.push(channel('all'), 'then');
        await gets(2);
        expect(contents).toEqual(['to all', 'then']);
        expect(client.heard).toEqual(['next_seq 1', 'broadcast 1', 'next_seq 2', 'data 2']);
    });

    test('noops keep it going, each with the seq that it counts', async () => {
        const { client, contents, gets } = await listen(channel('noop'), eventSource);
        await until(() => client.heard.filter((heard) => /^noop/.test(heard)).length >= 2, 'two noops');
        await nginx.push(channel('noop'), 'after');
        await gets(1);
        expect(contents).toEqual(['after']);
        expect(client.heard.filter((heard) => /^noop/.test(heard)).slice(0, 2)).toEqual(['noop 0', 'noop 1']);
    });

    test('a token by sign', async () => {
        const { client, contents, gets } = await listen(channel('token'), eventSource, '/token');
        expect(client.heard).not.toContain('401 0');
        await nginx.push(channel('token'), 'secret', '/token');
        await gets(1);
        expect(contents).toEqual(['secret']);
    });

    test('a reload and killed workers: nothing is lost, nothing comes twice', async () => {
        const { contents, gets } = await listen(channel('kill'), eventSource);
        await nginx.push(channel('kill'), '1');
        await gets(1);
        const reloaded = nginx.reload();
        await nginx.push(channel('kill'), '2');
        await reloaded;
        await nginx.push(channel('kill'), '3');
        await gets(3);
        await nginx.kill();
        await nginx.push(channel('kill'), '4');
        await gets(4);
        expect(contents).toEqual(['1', '2', '3', '4']);
    });

    test('a closed channel is told', async () => {
        const { client } = await listen(channel('close'), eventSource);
        await until(async () => (await nginx.subscribers(channel('close'))) === 1, 'it waits');
        await nginx.close(channel('close'));
        await until(() => client.heard.includes('close 1'), `close, of ${client.heard.join('; ')}`);
    });
});

test('with EventSource it asks sse, else sub with its callback and its counters', async () => {
    const events = await listen('urls.sse', true);
    expect(events.client.asked[0]).toMatch(/\/icomet\/sse\?cname=urls\.sse&seq=0&noop=0&token=&_=\d+$/);
    const scripts = await listen('urls.sub', false);
    expect(scripts.client.asked[0]).toMatch(/\/icomet\/sub\?cb=icomet_cb_\d+&cname=urls\.sub&seq=0&noop=0&token=&_=\d+$/);
});

test('by JSONP it gets what came while it was away as one batch', async () => {
    const { client, contents, gets } = await listen('batch', false);
    await nginx.push('batch', '0');
    await gets(1);
    client.stop();
    for (const content of ['1', '2', '3']) await nginx.push('batch', content);
    client.resume();
    await gets(4);
    expect(contents).toEqual(['0', '1', '2', '3']);
    expect(client.batches).toEqual([3]);
});
