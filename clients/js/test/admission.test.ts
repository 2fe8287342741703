import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Admission } from '../src/admission';
import { Backoff } from '../src/backoff';
import { Channel } from '../src/channel';
import { Turn } from '../src/turn';

function admission(sign?: () => Promise<string>) {
    const channel = new Channel('a');
    const ready = vi.fn();
    const failed = vi.fn();
    const cancel = vi.fn();
    const asked = sign && (() => ({ token: sign(), cancel }));
    const denied = vi.fn();
    const turn = new Turn(new Backoff(500, 20_000, () => 1));
    return { channel, ready, failed, cancel, denied, its: new Admission(channel, new Backoff(500, 20_000, () => 1), asked, ready, failed, turn, denied) };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('without a back end that signs it may come at once', () => {
    const { its, channel, ready } = admission();
    its.begin();
    expect(ready).toHaveBeenCalledOnce();
    expect(channel.resting).toBe(false);
});

test('it rests until there is a token', async () => {
    const { its, channel, ready } = admission(() => Promise.resolve('t'));
    its.begin();
    expect(channel.resting).toBe(true);
    await vi.advanceTimersByTimeAsync(0);
    expect(ready).toHaveBeenCalledOnce();
    expect(channel).toMatchObject({ token: 't', resting: false });
});

test('a refused token is asked for anew at once, one that is refused again later and later', async () => {
    const sign = vi.fn(() => Promise.resolve('t'));
    const { its, channel } = admission(sign);
    channel.token = 'old';
    its.refused(401);
    await vi.advanceTimersByTimeAsync(0);
    expect(sign).toHaveBeenCalledTimes(1);
    for (const wait of [1000, 2000, 4000]) {
        const before = sign.mock.calls.length;
        its.refused(401);
        await vi.advanceTimersByTimeAsync(wait - 1);
        expect(sign).toHaveBeenCalledTimes(before);
        await vi.advanceTimersByTimeAsync(1);
        expect(sign).toHaveBeenCalledTimes(before + 1);
    }
    its.admitted();
    its.refused(401);
    await vi.advanceTimersByTimeAsync(0);
    expect(sign).toHaveBeenCalledTimes(5);
});

test('429 and a close: again after a while, with the same token', async () => {
    const sign = vi.fn(() => Promise.resolve('t'));
    const { its, channel, ready } = admission(sign);
    channel.token = 'old';
    its.refused(429);
    await vi.advanceTimersByTimeAsync(999);
    expect(ready).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(ready).toHaveBeenCalledOnce();
    expect(sign).not.toHaveBeenCalled();
});

test('a back end that fails is told, and asked again; after the end it is not', async () => {
    const sign = vi.fn(() => Promise.reject(new Error('away')));
    const { its, failed } = admission(sign);
    its.begin();
    await vi.advanceTimersByTimeAsync(1000);
    expect(sign).toHaveBeenCalledTimes(2);
    expect(failed).toHaveBeenCalledWith(new Error('away'));
    its.end();
    expect(vi.getTimerCount()).toBe(0);
});

test('when it ends, the question for a token is given up', () => {
    const { its, cancel, ready } = admission(() => new Promise(() => {}));
    its.begin();
    expect(cancel).not.toHaveBeenCalled();
    its.end();
    expect(cancel).toHaveBeenCalledOnce();
    expect(ready).not.toHaveBeenCalled();
});

test.each([401, 403])('a back end that says %i for good is not asked again', async (status) => {
    const error = Object.assign(new Error('logged out'), { status });
    const sign = vi.fn(() => Promise.reject(error));
    const { its, denied, failed } = admission(sign);
    its.begin();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(sign).toHaveBeenCalledOnce();
    expect(denied).toHaveBeenCalledWith(status, error);
    expect(failed).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
});

test('hundreds of channels that are refused come again together, later and later', async () => {
    const turn = new Turn(new Backoff(500, 60_000, () => 1));
    const times: number[] = [];
    const all = Array.from({ length: 300 }, (_, index) => {
        const its: Admission = new Admission(new Channel(`c${index}`), new Backoff(500, 20_000), undefined, () => {
            if (times[times.length - 1] !== Date.now()) times.push(Date.now());
            its.refused(429);
        }, () => {}, turn, () => {});
        return its;
    });
    const began = Date.now();
    for (const its of all) its.refused(429);
    await vi.advanceTimersByTimeAsync(181_000);
    expect(times.map((time) => (time - began) / 1000)).toEqual([1, 3, 7, 15, 31, 63, 123]);
    for (const its of all) its.end();
    expect(vi.getTimerCount()).toBe(0);
});
