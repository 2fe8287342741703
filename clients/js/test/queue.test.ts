import { expect, test, vi } from 'vitest';
import { Queue } from '../src/queue';

test('what came before and after somebody waits, in order, then the end', async () => {
    const queue = new Queue<number>(() => {});
    queue.push(1);
    queue.push(2);
    expect(await queue.next()).toEqual({ value: 1, done: false });
    expect(await queue.next()).toEqual({ value: 2, done: false });
    const waiting = queue.next();
    queue.push(3);
    expect(await waiting).toEqual({ value: 3, done: false });
    queue.push(4);
    queue.end();
    queue.push(5);
    expect(await queue.next()).toEqual({ value: 4, done: false });
    expect(await queue.next()).toEqual({ value: undefined, done: true });
});

test('a reader who leaves is told of once', async () => {
    const left = vi.fn();
    const queue = new Queue<number>(left);
    queue.push(1);
    for await (const value of queue) if (value === 1) break;
    expect(left).toHaveBeenCalledOnce();
    expect((await queue.next()).done).toBe(true);
});

test('a reader who does not read gets what was kept, then an error', async () => {
    const left = vi.fn();
    const queue = new Queue<number>(left);
    for (let count = 1; count <= 100_001; count += 1) queue.push(count);
    expect(left).toHaveBeenCalledOnce();
    let last = 0;
    await expect(async () => {
        for await (const value of queue) last = value;
    }).rejects.toThrow('100000 messages');
    expect(last).toBe(100_000);
});
