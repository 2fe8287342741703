// What clients have told, for the test to look at.
'use strict';

const clients = {};
const told = {};

/** Makes a client, which listens to channels from positions. What it tells is kept under a name. */
function listen(name, options, channels) {
    const record = (told[name] = { messages: [], contents: [], seqs: [], events: [], states: [], problems: [] });
    const client = (clients[name] = new icomet.IcometClient(Object.assign({ retry: { min: 10, max: 300 } }, options)));
    client.on('message', (message) => {
        record.messages.push(message);
        record.contents.push(message.content);
        record.seqs.push(message.seq);
        record.events.push(`message ${message.seq}`);
    });
    client.on('lost', ({ count, seq }) => record.events.push(`lost ${count} ${seq}`));
    client.on('refused', ({ status }) => record.events.push(`refused ${status}`));
    client.on('close', ({ stayAway }) => record.events.push(stayAway ? 'stay away' : 'close'));
    client.on('state', ({ state, transport }) => record.states.push(transport ? `${state} ${transport}` : state));
    client.on('problem', (error) => record.problems.push(error.message));
    for (const channel of Object.keys(channels)) client.subscribe(channel, channels[channel]);
    return client;
}
