import { describe, expect, test } from 'vitest';
import { Channel } from '../src/channel';
import { Channels } from '../src/channels';

const E1 = '1111111111111111';
const E2 = '2222222222222222';
const wire = (type: string, cname: string, seq: number, content = '') => ({ type, cname, seq, content });

function two() {
    const channels = new Channels();
    channels.add(new Channel('a', { seq: 5, epoch: E1 }));
    channels.add(new Channel('b', { seq: 9, epoch: E1 }));
    channels.ask(undefined, true);
    return channels;
}

describe('epochs', () => {
    test('cut before the second lost: it is told, and the first not again', () => {
        const channels = two();
        expect(channels.take(wire('lost', 'a', 1), E2)?.told?.name).toBe('lost');
        const { question, news } = channels.ask(undefined, true);
        expect(news.map(({ told }) => told)).toEqual([{ name: 'lost', value: { channel: 'b', seq: 1 } }]);
        expect(question).toMatchObject({ epoch: E2, channels: [{ seq: 1 }, { seq: 1 }] });
    });

    test('the same where the transport does not tell the epoch', () => {
        const channels = two();
        channels.take(wire('lost', 'a', 1), undefined);
        channels.take(wire('data', 'a', 1), undefined);
        const { question, news } = channels.ask(undefined, true);
        expect(news.map(({ told }) => told)).toEqual([{ name: 'lost', value: { channel: 'b', seq: 1 } }]);
        expect(question.epoch).toBeUndefined();
        expect(question.channels.map(({ seq }) => seq)).toEqual([2, 1]);
    });

    test('a refusal does not move a channel into the epoch of the server: its loss is told later', () => {
        const channels = two();
        channels.take(wire('lost', 'a', 1), E2);
        channels.take(wire('401', 'b', 0, 'Token error'), E2);
        expect(channels.get('b')?.position).toEqual({ seq: 9, epoch: E1 });
        const b = channels.get('b')!;
        b.resting = false;
        expect(channels.ask(undefined, true).news).toHaveLength(1);
    });

    test('who listens to nothing does not hear of a restart', () => {
        const channels = new Channels();
        channels.add(new Channel('a', { seq: 5, epoch: E1 }));
        channels.ask(undefined, true);
        channels.delete('a');
        channels.add(new Channel('a', { seq: 3, epoch: E2 }));
        expect(channels.ask(undefined, true)).toMatchObject({ question: { epoch: E2, channels: [{ seq: 3 }] }, news: [] });
    });
});

test('what was asked for before a channel was given up and taken anew is not the new one\'s', () => {
    const channels = two();
    const asked = channels.ask(undefined).question.channels;
    channels.delete('a');
    channels.add(new Channel('a', { seq: 1 }));
    expect(channels.take(wire('data', 'a', 6), E1, asked)).toBeUndefined();
    expect(channels.take(wire('data', 'b', 9), E1, asked)?.told?.name).toBe('message');
});
