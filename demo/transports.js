// One channel, received by each transport alone.
'use strict';

const ROOM = 'transports';
// A browser allows a host six connections by HTTP/1.1, all its tabs together; by another name it is another host. This machine has two. What is
// moved there is what any origin may read: JSONP and frames of another origin would have to stand in allowed_origins.
const OTHER_NAMES = { 'localhost': '127.0.0.1', '127.0.0.1': 'localhost' };
const otherName = OTHER_NAMES[location.hostname];
const other = otherName ? location.origin.replace(location.hostname, otherName) : location.origin;
const urlFor = (name) => (['stream', 'poll'].includes(name) ? `${other}/icomet` : '/icomet');

const byOldHttp = performance.getEntriesByType('navigation')[0]?.nextHopProtocol === 'http/1.1';
document.getElementById('crowded').hidden = otherName !== undefined || !byOldHttp;

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
    const { text, time } = read(content);
    const delay = time === undefined ? '' : `, ${Math.max(0, Date.now() - time)} ms after it was written`;
    numbers.textContent = `${messages} received; seq ${seq}${delay}`;
    last.textContent = text;
  });
  client.subscribe(channelOf(ROOM));
}

document.getElementById('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const problem = document.getElementById('error');
  problem.textContent = '';
  try {
    await publish(ROOM, 'transports', document.getElementById('text').value);
  } catch (failure) {
    problem.textContent = `Not sent: ${failure.message}.`;
  }
});
