import { describe, expect, test } from 'vitest';
import { Channel } from '../src/channel';

const E1 = '1111111111111111';
const E2 = '2222222222222222';
const wire = (type: string, seq: number, content = '') => ({ type, cname: 'a', seq, content });

describe('where a channel stands', () => {
    test('from now on: next_seq says where that is, and is no news', () => {
        const channel = new Channel('a');
        expect(channel.take(wire('next_seq', 7))).toBeUndefined();
        expect(channel.position).toEqual({ seq: 7 });
    });

    test('a message that was had is not told again, a gap is no loss', () => {
        const channel = new Channel('a', { seq: 3 });
        expect(channel.take(wire('data', 2, 'old'))).toBeUndefined();
        expect(channel.take(wire('data', 3, 'x'))).toEqual({ name: 'message', value: { channel: 'a', seq: 3, content: 'x', type: 'data' } });
        expect(channel.take(wire('data', 3, 'x'))).toBeUndefined();
        expect(channel.take(wire('data', 6, 'y'))?.name).toBe('message');
        expect(channel.position.seq).toBe(7);
    });

    test('a broadcast counts once, and the next_seq behind it is no loss', () => {
        const channel = new Channel('a', { seq: 3 });
        expect(channel.take(wire('broadcast', 3, 'x'))?.name).toBe('message');
        expect(channel.take(wire('next_seq', 4))).toBeUndefined();
        expect(channel.take(wire('data', 4, 'y'))?.name).toBe('message');
    });

    test('lost with a number', () => {
        const channel = new Channel('a', { seq: 3, epoch: E1 });
        expect(channel.take(wire('lost', 8, '5'))).toEqual({ name: 'lost', value: { channel: 'a', count: 5, seq: 8 } });
        expect(channel.take(wire('lost', 8, '5'))).toBeUndefined();
        expect(channel.position).toEqual({ seq: 8, epoch: E1 });
    });

    test('lost without a number: another epoch, which is not known yet', () => {
        const channel = new Channel('a', { seq: 30, epoch: E1 });
        expect(channel.take(wire('lost', 1))).toEqual({ name: 'lost', value: { channel: 'a', seq: 1 } });
        expect(channel.position).toEqual({ seq: 1 });
    });

    test('a channel that began again is a loss, but not behind its close', () => {
        const channel = new Channel('a', { seq: 5 });
        expect(channel.take(wire('next_seq', 1))).toEqual({ name: 'lost', value: { channel: 'a', seq: 1 } });
        channel.take(wire('data', 1));
        expect(channel.take(wire('close', 2))).toEqual({ name: 'close', value: { channel: 'a' } });
        expect(channel.take(wire('next_seq', 1))).toBeUndefined();
        expect(channel.take(wire('data', 1))?.name).toBe('message');
    });

    test('moved to another epoch: the loss is told once, but another one after a new connection is', () => {
        const channel = new Channel('a', { seq: 5, epoch: E1 });
        expect(channel.moveTo(E2)).toEqual({ name: 'lost', value: { channel: 'a', seq: 1 } });
        expect(channel.moveTo(E2)).toBeUndefined();
        expect(channel.take(wire('lost', 9, '8'))).toBeUndefined();
        expect(channel.position).toEqual({ seq: 9, epoch: E2 });
        expect(channel.moveTo(E1)?.name).toBe('lost');
        channel.begin();
        expect(channel.take(wire('lost', 9, '8'))?.name).toBe('lost');
    });

    test.each([-1, 1.5, Number.NaN, 2 ** 53])('seq %s is refused', (seq) => {
        expect(() => new Channel('a', { seq })).toThrow(/seq .* of channel "a"/);
    });

    test('an epoch that is none is refused', () => {
        expect(() => new Channel('a', { seq: 1, epoch: 'yesterday' })).toThrow(/epoch yesterday of channel "a"/);
    });
});
