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

    test('another incarnation: it stands where it stood until the loss is told, also one with a number and a lower seq', () => {
        const channel = new Channel('a', { seq: 5, epoch: E1 });
        channel.take(wire('epoch', 1, E2));
        expect(channel.position).toEqual({ seq: 5, epoch: E1 });
        expect(channel.take(wire('lost', 2, '1'))).toEqual({ name: 'lost', value: { channel: 'a', count: 1, seq: 2 } });
        expect(channel.position).toEqual({ seq: 2, epoch: E2 });
        expect(channel.take(wire('lost', 2, '1'))).toBeUndefined();
        expect(channel.take(wire('data', 2))?.name).toBe('message');
    });

    test('the first epoch that is told is the one in which it stands; who asks from now on learns where that is', () => {
        const resumed = new Channel('a', { seq: 5 });
        resumed.take(wire('epoch', 5, E1));
        expect(resumed.position).toEqual({ seq: 5, epoch: E1 });
        const fresh = new Channel('a');
        fresh.take(wire('epoch', 9, `${E1}.1z`));
        expect(fresh.position).toEqual({ seq: 9, epoch: `${E1}.1z` });
    });

    test('in another incarnation a lower seq is no double', () => {
        const channel = new Channel('a', { seq: 5, epoch: E1 });
        channel.take(wire('epoch', 1, E2));
        expect(channel.take(wire('lost', 1))?.name).toBe('lost');
        expect(channel.take(wire('data', 1, 'x'))).toMatchObject({ name: 'message', value: { seq: 1 } });
    });

    test('a close behind which it is to stay away says so', () => {
        const channel = new Channel('a', { seq: 5 });
        expect(channel.take(wire('close', 5, 'stay_away'))).toEqual({ name: 'close', value: { channel: 'a', stayAway: true } });
        expect(channel.resting).toBe(true);
    });

    test.each([-1, 1.5, Number.NaN, 2 ** 53])('seq %s is refused', (seq) => {
        expect(() => new Channel('a', { seq })).toThrow(/seq .* of channel "a"/);
    });

    test.each(['', 'x'.repeat(33), 'a,b', 'a b', 'ü'])('an epoch that no server tells is refused: %j', (epoch) => {
        expect(() => new Channel('a', { seq: 1, epoch })).toThrow(/epoch .* of channel "a"/);
    });
});
