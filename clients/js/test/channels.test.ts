import { expect, test } from 'vitest';
import { Channel } from '../src/channel';
import { Channels } from '../src/channels';

const E1 = '1111111111111111.a';
const E2 = '2222222222222222.b';
const wire = (type: string, cname: string, seq: number, content = '') => ({ type, cname, seq, content });

function two() {
    const channels = new Channels();
    channels.add(new Channel('a', { seq: 5, epoch: E1 }));
    channels.add(new Channel('b', { seq: 9, epoch: E2 }));
    return channels;
}

test('each channel asks by its own epoch', () => {
    expect(two().ask('ann')).toMatchObject({ user: 'ann', channels: [{ name: 'a', seq: 5, epoch: E1 }, { name: 'b', seq: 9, epoch: E2 }] });
});

test('cut before the second lost: the second channel asks by what it had, and is told', () => {
    const channels = two();
    for (const cname of ['a', 'b']) channels.take(wire('epoch', cname, 1, 'anew'));
    expect(channels.take(wire('lost', 'a', 1))?.told?.name).toBe('lost');
    expect(channels.ask(undefined)).toMatchObject({ channels: [{ seq: 1, epoch: 'anew' }, { seq: 9, epoch: E2 }] });
    channels.take(wire('epoch', 'b', 1, 'anew'));
    expect(channels.take(wire('lost', 'b', 1))?.told).toEqual({ name: 'lost', value: { channel: 'b', seq: 1 } });
});

test('a refusal does not move a channel', () => {
    const channels = two();
    channels.take(wire('401', 'b', 0, 'Token error'));
    expect(channels.get('b')?.position).toEqual({ seq: 9, epoch: E2 });
    expect(channels.ask(undefined).channels.map(({ name }) => name)).toEqual(['a']);
});

test('what was asked for before a channel was given up and taken anew is not the new one\'s', () => {
    const channels = two();
    const asked = channels.ask(undefined).channels;
    channels.delete('a');
    channels.add(new Channel('a', { seq: 1 }));
    expect(channels.take(wire('data', 'a', 6), asked)).toBeUndefined();
    expect(channels.take(wire('data', 'b', 9), asked)?.told?.name).toBe('message');
});
