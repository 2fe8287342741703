import { expect, test } from 'vitest';
import { Backoff } from '../src/backoff';

test('the limit doubles up to max; jitter is full', () => {
    const high = new Backoff(500, 20_000, () => 1);
    expect(Array.from({ length: 8 }, () => high.next())).toEqual([1000, 2000, 4000, 8000, 16_000, 20_000, 20_000, 20_000]);
    high.reset();
    expect(high.next()).toBe(1000);
    const low = new Backoff(500, 20_000, () => 0);
    expect(Array.from({ length: 40 }, () => low.next()).every((wait) => wait === 500)).toBe(true);
});

test.each([[0, 10], [-1, 10], [20, 10], [1, Number.POSITIVE_INFINITY], [Number.NaN, 10]])('from %s to %s is refused', (min, max) => {
    expect(() => new Backoff(min, max)).toThrow(RangeError);
});
