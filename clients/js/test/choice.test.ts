import { expect, test } from 'vitest';
import { Choice } from '../src/choice';
import type { TransportName } from '../src/types';

const ORDER: TransportName[] = ['websocket', 'sse', 'poll'];

function choice(known?: TransportName) {
    const memory = { saved: known, load: () => known, save: (name: TransportName) => void (memory.saved = name) };
    return { choice: new Choice(ORDER, () => true, memory), memory };
}

test('in their order, at once, until one works; that one is kept', () => {
    const { choice: its, memory } = choice();
    expect(its.next()).toBe('websocket');
    expect(its.failed('websocket')).toBe(true);
    expect(its.next()).toBe('sse');
    its.worked('sse');
    expect(memory.saved).toBe('sse');
    expect(its.next()).toBe('sse');
});

test('a server that is away says nothing about transports', () => {
    const { choice: its } = choice();
    its.worked('websocket');
    expect(its.failed('websocket')).toBe(false);
    expect(its.next()).toBe('websocket');
    expect(its.failed('websocket')).toBe(true);
    expect(its.failed(its.next()!)).toBe(true);
    expect(its.failed(its.next()!)).toBe(false);
    expect(its.next()).toBe('websocket');
});

test('a remembered one is tried first, once; another that works takes its place', () => {
    const { choice: its, memory } = choice('poll');
    expect(its.next()).toBe('poll');
    expect(its.failed('poll')).toBe(true);
    expect(its.next()).toBe('websocket');
    its.worked('websocket');
    expect(memory.saved).toBe('websocket');
});

test('a silent one is passed over when another gets through', () => {
    const { choice: its, memory } = choice();
    its.worked('websocket');
    its.silent('websocket');
    expect(its.next()).toBe('sse');
    its.worked('sse');
    expect(memory.saved).toBe('sse');
    expect(its.next()).toBe('sse');
});

test('when all others fail as well, it was the network that was silent', () => {
    const { choice: its } = choice();
    its.worked('websocket');
    its.silent('websocket');
    its.failed('sse');
    expect(its.failed('poll')).toBe(false);
    expect(its.next()).toBe('websocket');
});

test('none that this browser has', () => {
    expect(new Choice(ORDER, () => false).next()).toBeUndefined();
});

test('a better one that failed has another try, and if it fails again the one in use is next', () => {
    const { choice: its } = choice();
    its.failed('websocket');
    expect(its.worked('sse')).toBe(true);
    its.again();
    expect(its.next()).toBe('websocket');
    expect(its.failed('websocket')).toBe(true);
    expect(its.next()).toBe('sse');
    expect(its.worked('sse')).toBe(true);
    its.again();
    expect(its.next()).toBe('websocket');
    expect(its.worked('websocket')).toBe(false);
    expect(its.next()).toBe('websocket');
});

test('in the place of one that has worked, another is a stopgap', () => {
    const { choice: its } = choice();
    its.worked('websocket');
    its.failed('websocket');
    its.failed('websocket');
    its.failed('sse');
    expect(its.worked('poll')).toBe(true);
    expect(its.next()).toBe('websocket');
    its.failed('websocket');
    expect(its.next()).toBe('poll');
});
