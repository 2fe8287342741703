import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';
import { parse } from 'acorn';
import { beforeAll, expect, test } from 'vitest';
import { buildLegacy } from '../legacy/build.mjs';

const source = fs.readFileSync(fileURLToPath(new URL('../legacy/icomet-legacy.js', import.meta.url)), 'utf8');
let built: string;

beforeAll(async () => {
    const out = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'icomet-legacy-')), 'icomet-legacy.js');
    await buildLegacy(out);
    built = fs.readFileSync(out, 'utf8');
});

test('it is ES3, as it is written and as it is built', () => {
    expect(() => parse(source, { ecmaVersion: 3 })).not.toThrow();
    expect(() => parse(built, { ecmaVersion: 3 })).not.toThrow();
});

test('it has less than 8 kB', () => {
    expect(built.length).toBeLessThan(8000);
});

/** An element of a page as IE6 has it; what the script asks for is kept. */
interface Element {
    src: string;
    style: Record<string, string>;
    parentNode: { removeChild(): void } | null;
    readyState: string;
    onreadystatechange: (() => void) | null;
}

/** A page without anything that came later than IE6, on which a script that is asked for is answered by `answer`. */
function page(answer: (url: URL) => string | undefined) {
    const asked: string[] = [];
    let elements = 0;
    const timers: { run: () => void; delay: number }[] = [];
    const place = {
        appendChild(element: Element) {
            elements += 1;
            element.parentNode = { removeChild: () => void (elements -= 1) };
            const url = new URL(element.src, 'http://site.example/');
            asked.push(url.pathname + url.search);
            const text = answer(url);
            element.readyState = 'loaded';
            if (text !== undefined) vm.runInContext(text, context);
            element.onreadystatechange?.();
        },
    };
    const sandbox = {
        // No timers but these: whoever waits is asked to go on by `run`.
        setTimeout: (run: () => void, delay: number) => timers.push({ run, delay }),
        clearTimeout: (timer: number) => void (timers[timer - 1] = { run: () => {}, delay: -1 }),
        setInterval: () => 0,
        clearInterval: () => {},
        document: {
            readyState: 'complete',
            createElement: () => ({ style: {}, parentNode: null, readyState: '', onreadystatechange: null }),
            getElementsByTagName: () => [place],
            documentElement: place,
        },
        window: undefined as unknown,
        // A vm's global object has what its engine has: what IE6 lacks is taken away.
        JSON: undefined, Promise: undefined, Map: undefined, Set: undefined, Symbol: undefined,
    };
    sandbox.window = sandbox;
    const context = vm.createContext(sandbox);
    vm.runInContext('Array.prototype.forEach = Array.prototype.indexOf = Array.prototype.map = Date.now = Function.prototype.bind = undefined', context);
    vm.runInContext(built, context);
    return {
        asked,
        elements: () => elements,
        /** Runs a script, and answers its value. */
        script: (text: string): unknown => vm.runInContext(text, context),
        /** Lets the timers of at most this delay run out, once; answers how many there were. */
        run(longest: number): number {
            const due = timers.filter(({ delay }) => delay >= 0 && delay <= longest);
            for (const timer of due) {
                timer.delay = -1;
                timer.run();
            }
            return due.length;
        },
    };
}

const say = (url: URL, value: unknown) => `${url.searchParams.get('cb')}(${JSON.stringify(value)});`;

test('the line of icomet.js asks /icomet/sub, and hears', () => {
    const answers: unknown[] = [{ type: 'next_seq', cname: 'abc', seq: 3, content: '' }, [{ type: 'data', cname: 'abc', seq: 3, content: 'hi' }]];
    const old = page((url) => (answers.length ? say(url, answers.shift()) : undefined));
    old.script(`heard = []; var comet = new iComet({channel: 'abc', signUrl: '', subUrl: '', callback: function(content){ heard.push(content); }});`);
    expect(old.script('heard.join()')).toBe('hi');
    expect(old.asked.map((url) => url.replace(/&_=\d+/, ''))).toEqual([
        '/icomet/sub?cname=abc&seq=0&epoch=&wait=0&cb=icomet_cb_1', '/icomet/sub?cname=abc&seq=3&epoch=&wait=30&cb=icomet_cb_2',
        '/icomet/sub?cname=abc&seq=4&epoch=&wait=30&cb=icomet_cb_3',
    ]);
});

test('doubles are dropped, losses told, a callback that throws harms nobody', () => {
    const answers = [[
        { type: 'data', cname: 'a', seq: 5, content: 'five' }, { type: 'data', cname: 'a', seq: 5, content: 'five' },
        { type: 'lost', cname: 'a', seq: 9, content: '3' }, { type: 'data', cname: 'a', seq: 9, content: 'nine' },
    ], { type: 'next_seq', cname: 'a', seq: 2, content: '' }];
    const old = page((url) => (answers.length ? say(url, answers.shift()) : undefined));
    old.script(`heard = []; comet = new iComet({ channel: 'a', seq: 5,
        callback: function (content) { heard.push(content); throw new Error('mine'); }, onLost: function (count) { heard.push('lost ' + count); } });`);
    expect(old.script('heard.join()')).toBe('five,lost 3,nine,lost null');
});

test('a script that calls nobody is asked again later, and leaves nothing in the page', () => {
    const old = page(() => undefined);
    old.script(`states = []; comet = new iComet({ channel: 'a', onState: function (state) { states.push(state); } });`);
    for (let round = 0; round < 3; round += 1) while (old.run(25_000) > 0 && old.asked.length < round + 2) continue;
    expect(old.asked.length).toBeGreaterThanOrEqual(4);
    old.script('comet.stop()');
    while (old.run(25_000) > 0) continue;
    expect(old.elements()).toBe(0);
    const { length } = old.asked;
    while (old.run(100_000) > 0) continue;
    expect(old.asked.length).toBe(length);
    expect(old.script('states.join()')).toBe('connecting,closed');
});

test('401: the token is asked for again; a name with a comma is one channel', () => {
    let signed = 0;
    const old = page((url) => {
        if (url.pathname === '/sign') return say(url, { type: 'sign', cname: url.searchParams.get('cname'), seq: 1, token: `t${signed += 1}` });
        return url.searchParams.get('token') === 't2' ? undefined : say(url, { type: '401', cname: 'a,b', seq: 0, content: 'Token error' });
    });
    old.script(`comet = new iComet({ channel: 'a,b', sign_url: '/sign', sub_url: '/other/sub' });`);
    while (signed < 2 && old.run(25_000) > 0) continue;
    expect(old.asked.at(-1)).toMatch(/^\/other\/sub\?cname=a%2Cb&seq=0&epoch=&token=t2&wait=0&/);
});

test('the epoch is sent back; a channel that has begun again is told lost, and what it has is no double', () => {
    const answers = [
        [{ type: 'epoch', cname: 'a', seq: 3, content: 'E.1' }, { type: 'data', cname: 'a', seq: 3, content: 'three' }],
        // Cut between the two: it stands where it stood.
        [{ type: 'epoch', cname: 'a', seq: 1, content: 'E.2' }],
        [{ type: 'epoch', cname: 'a', seq: 1, content: 'E.2' }, { type: 'lost', cname: 'a', seq: 1, content: '' }, { type: 'data', cname: 'a', seq: 1, content: 'one' }],
    ];
    const old = page((url) => (answers.length ? `/**/${say(url, answers.shift())}` : undefined));
    old.script(`heard = []; comet = new iComet({ channel: 'a', seq: 3,
        callback: function (content) { heard.push(content); }, onLost: function (count) { heard.push('lost ' + count); } });`);
    while (answers.length && old.run(25_000) > 0) continue;
    expect(old.script('heard.join()')).toBe('three,lost null,one');
    const asked = old.asked.map((url) => /&seq=(\d+&epoch=[^&]*)/.exec(url)?.[1]);
    expect(asked).toEqual(['3&epoch=', '4&epoch=E.1', '4&epoch=E.1', '2&epoch=E.2']);
});

test('to stay away it stops', () => {
    const old = page((url) => say(url, { type: 'close', cname: 'a', seq: 1, content: 'stay_away' }));
    old.script(`states = []; comet = new iComet({ channel: 'a', onState: function (state) { states.push(state); } });`);
    while (old.run(100_000) > 0) continue;
    expect(old.script('states.join()')).toBe('connecting,open,closed');
    expect(old.asked).toHaveLength(1);
});
