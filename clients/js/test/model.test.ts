import { expect, test } from 'vitest';
import { Channel, type Told } from '../src/channel';
import { Channels } from '../src/channels';
import type { Question } from '../src/transports/transport';

/** How many messages the server keeps of a channel, and how many channels there are. */
const BUFFER = 5;
const NAMES = ['a', 'b', 'c'];

function randomOf(seed: number): (below: number) => number {
    let state = seed;
    return (below) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * below);
    };
}

interface Kept {
    epoch: string;
    next: number;
    kept: number[];
}

/** A server that answers as docs/protocol.md says, with memory that it may lose, and channels that end and begin again. */
class Server {
    private count = 0;
    channels = new Map(NAMES.map((name) => [name, this.anew()]));

    private anew(): Kept {
        this.count += 1;
        return { epoch: `${(this.count >> 2).toString(16).padStart(16, '0')}.${this.count.toString(36)}`, next: 1, kept: [] };
    }

    /** The channel expired, or was closed while nobody was there. */
    end(name: string): void {
        this.channels.set(name, this.anew());
    }

    forget(): void {
        for (const name of NAMES) this.end(name);
    }

    publish(name: string): string {
        const channel = this.channels.get(name)!;
        channel.kept.push(channel.next);
        if (channel.kept.length > BUFFER) channel.kept.shift();
        channel.next += 1;
        return `${channel.epoch} ${channel.next - 1}`;
    }

    answer({ channels }: Question) {
        const out: { type: string; cname: string; seq: number; content: string }[] = [];
        for (const { name, seq, epoch: asked } of channels) {
            const { epoch, next, kept } = this.channels.get(name)!;
            const first = kept[0] ?? next;
            const other = asked !== undefined && asked !== epoch;
            let from = seq;
            if (other || seq < first) from = first;
            else if (seq > next) from = next;
            out.push({ type: 'epoch', cname: name, seq: from, content: epoch });
            if (other) out.push({ type: 'lost', cname: name, seq: first, content: '' });
            else if (seq > next) out.push({ type: 'next_seq', cname: name, seq: next, content: '' });
            else if (seq < first) out.push({ type: 'lost', cname: name, seq: first, content: String(first - seq) });
            for (const one of kept) if (one >= from) out.push({ type: 'data', cname: name, seq: one, content: `${epoch} ${one}` });
        }
        return out;
    }
}

test.each(Array.from({ length: 300 }, (_, seed) => seed))('seed %i: what is published is had once, in order, or covered by a lost', (seed) => {
    const random = randomOf(seed + 1);
    const server = new Server();
    const channels = new Channels();
    for (const name of NAMES) channels.add(new Channel(name, { seq: 1, epoch: server.channels.get(name)!.epoch }));
    const published = new Map<string, string[]>(NAMES.map((name) => [name, []]));
    /** A message's content, or `lost`, in the order in which they were told. */
    const told = new Map<string, string[]>(NAMES.map((name) => [name, []]));
    const tell = (name: string, value: Told | undefined) => {
        if (value?.name === 'message') told.get(name)!.push(value.value.content);
        else if (value?.name === 'lost') told.get(name)!.push('lost');
    };
    const connect = (all: boolean) => {
        const question = channels.ask(undefined);
        const answer = server.answer(question);
        const cut = all ? answer.length : random(answer.length + 1);
        for (const message of answer.slice(0, cut)) {
            const taken = channels.take(message, question.channels);
            if (taken) tell(message.cname, taken.told);
        }
    };
    for (let step = 0; step < 60; step += 1) {
        const what = random(10);
        if (what < 6) {
            const name = NAMES[random(NAMES.length)]!;
            published.get(name)!.push(server.publish(name));
        } else if (what < 9) connect(random(2) === 0);
        else if (random(2) === 0) server.forget();
        else server.end(NAMES[random(NAMES.length)]!);
    }
    connect(true);
    connect(true);
    for (const name of NAMES) {
        const messages = published.get(name)!;
        let place = -1;
        let lost = false;
        for (const content of [...told.get(name)!, 'end']) {
            if (content === 'lost') {
                lost = true;
                continue;
            }
            const found = content === 'end' ? messages.length : messages.indexOf(content);
            expect(found, `${name}: ${content} after ${messages[place]}`).toBeGreaterThan(place);
            if (found !== place + 1) expect(lost, `${name}: ${messages[place + 1]} is missing in silence`).toBe(true);
            place = found;
            lost = false;
        }
    }
});
