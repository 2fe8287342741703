// One channel, received by each transport alone.
'use strict';

const ROOM = 'transports';
const CHANNEL = `room.${ROOM}`;

const make = (tag, attributes, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// A browser allows a host six connections by HTTP/1.1, all its tabs together; by another name it is another host.
const other = location.hostname === 'localhost' ? location.origin.replace('localhost', '127.0.0.1') : location.origin;
const urlFor = (name) => (['stream', 'poll', 'jsonp'].includes(name) ? `${other}/icomet` : '/icomet');

for (const name of icomet.TRANSPORTS) {
  const status = make('p', { class: 'status', 'data-state': 'connecting' }, make('span', { class: 'dot' }), 'connecting…');
  const numbers = make('p', { class: 'numbers' }, 'no message yet');
  const last = make('p', { class: 'last' });
  const card = make('li', { 'data-transport': name }, make('h2', {}, name), status, numbers, last);
  document.getElementById('transports').append(card);
  let messages = 0;
  const client = new icomet.IcometClient({ url: urlFor(name), transports: [name], openTimeout: 15000 });
  client.on('state', ({ state }) => {
    status.dataset.state = state;
    status.lastChild.textContent = state === 'open' ? 'open' : `${state}…`;
  });
  client.on('message', ({ seq, content }) => {
    messages += 1;
    let said = {};
    try {
      said = JSON.parse(content);
    } catch {
      // Somebody's curl: plain text, without a time.
    }
    const delay = typeof said.time === 'number' ? `, ${Math.max(0, Date.now() - said.time)} ms after it was written` : '';
    numbers.textContent = `${messages} received; seq ${seq}${delay}`;
    last.textContent = said.text ?? content;
  });
  client.subscribe(CHANNEL);
}

document.getElementById('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const content = JSON.stringify({ name: 'transports', text: document.getElementById('text').value, time: Date.now() });
  const problem = document.getElementById('error');
  problem.textContent = '';
  try {
    const answer = await fetch(`/chat/push/${ROOM}`, { method: 'POST', body: new URLSearchParams({ content }) });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  } catch (failure) {
    problem.textContent = `Not sent: ${failure.message}.`;
  }
});
