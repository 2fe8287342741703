// The chat of `make run`. All rooms come over one connection; a room is a channel of icomet.
'use strict';

const ROOMS = ['lobby', 'nginx', 'rust'];
/** Who is there is asked when somebody new speaks, and else this often, in milliseconds. */
const ASK_ONLINE = 15000;
/** Once more so long after a room was entered, when this page is there as well. */
const ASK_ENTERED = 1000;
/** What is shown of a room at most. */
const SHOWN = 500;
/** Since then a message is news; what is older was said before this page was there. */
const LOADED = Date.now();

const byId = (id) => document.getElementById(id);
const list = byId('messages'), nameBox = byId('name'), textBox = byId('text'), error = byId('error'), chooser = byId('transport');

const rooms = new Map();
let shown = '';
let client;
let began = 0;
let losses = 0;

// The connection.

/** A client of this name, by the chosen transport. Rooms go on where they were. */
function connect() {
  client?.stop();
  const chosen = chooser.value;
  client = new icomet.IcometClient({ url: '/icomet', user: nameBox.value, ...(chosen && { transports: [chosen] }) });
  client.on('message', hear);
  client.on('lost', ({ channel, count }) => {
    losses += 1;
    const room = rooms.get(channel.slice(channelOf('').length));
    if (room) note(room, count === undefined ? 'what was said before is gone' : `${count} older messages are no longer kept`);
  });
  client.on('refused', ({ reason }) => complain(`refused: ${reason}`));
  client.on('state', showState);
  for (const room of rooms.values()) room.subscription = client.subscribe(channelOf(room.name), room.subscription?.position ?? { seq: 1 });
}

function showState({ state, transport }) {
  if (state === 'open') began += 1;
  byId('state').dataset.state = state;
  byId('state-text').textContent = state === 'open' ? `open · ${transport}` : `${state}…`;
  if (state === 'open') askOnline();
  showHint();
}

function hear({ channel, content }) {
  const room = rooms.get(channel.slice(channelOf('').length));
  if (!room) return;
  const { name, text, time: when = Date.now() } = read(content);
  say(room, { name, text, when });
  if (room.name !== shown && when > LOADED && name !== nameBox.value) {
    room.unread += 1;
    showRooms();
  }
  if (when > LOADED && !room.online.includes(name)) askOnline();
}

// Messages.

function say(room, message) {
  const { name, text, when } = message;
  const clock = new Date(when).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  const who = make('span', { class: 'who' }, make('span', {}, name), make('time', { datetime: new Date(when).toISOString() }, clock));
  add(room, make('li', { class: name === nameBox.value ? 'mine' : '' }, who, text));
}

function note(room, text) {
  add(room, make('li', { class: 'note' }, text));
}

function add(room, line) {
  room.lines.push(line);
  if (room.lines.length > SHOWN) room.lines.shift().remove();
  if (room.name === shown) {
    showHint();
    show(line);
  }
}

function show(...lines) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  list.append(...lines);
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** In a room where nothing is to be seen, what to do. What was said before comes with the connection: until then nobody knows. */
function showHint() {
  byId('hint').hidden = began === 0 || rooms.get(shown).lines.length > 0;
}

// Rooms.

function join(name) {
  if (!rooms.has(name)) {
    const room = { name, lines: [], online: [], unread: 0, subscription: undefined };
    rooms.set(name, room);
    if (client) room.subscription = client.subscribe(channelOf(name), { seq: 1 });
  }
  location.hash = name;
  shown = name;
  rooms.get(name).unread = 0;
  byId('room-title').textContent = `# ${name}`;
  byId('hint').lastChild.textContent = curlLine(channelOf(name));
  list.replaceChildren(...rooms.get(name).lines);
  showHint();
  list.scrollTop = list.scrollHeight;
  showRooms();
  document.querySelector('#rooms [aria-current=true]').scrollIntoView({ block: 'nearest', inline: 'nearest' });
  showOnline();
  if (client) {
    askOnline();
    setTimeout(askOnline, ASK_ENTERED);
  }
}

function showRooms() {
  const focused = document.activeElement?.dataset?.room;
  byId('rooms').replaceChildren(...[...rooms.values()].map(({ name, unread }) => {
    const button = make('button', { type: 'button', 'data-room': name, 'aria-current': name === shown }, `# ${name}`);
    if (unread) button.append(make('span', { class: 'unread', 'aria-label': `${unread} unread` }, String(unread)));
    button.onclick = () => join(name);
    return make('li', {}, button);
  }));
  document.querySelector(`[data-room="${focused}"]`)?.focus();
  const unread = [...rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  document.title = unread ? `(${unread}) icomet chat` : 'icomet chat';
}

byId('room-form').addEventListener('submit', (event) => {
  event.preventDefault();
  join(byId('room-name').value);
  byId('room-name').value = '';
  textBox.focus();
});

// Who is online: the hub counts whose connection is there (icomet_sub_presence).

let asking = false;

async function askOnline() {
  if (asking || document.hidden) return;
  asking = true;
  const room = rooms.get(shown);
  try {
    const answer = await fetch(`/icomet/presence?limit=50&cname=${encodeURIComponent(channelOf(room.name))}`);
    // A room where nothing was said yet, and which nobody has reached yet, is not there.
    if (answer.ok) room.online = (await answer.json()).members.map(({ user }) => user).sort((a, b) => a.localeCompare(b));
  } catch {
    // The state says that the server is away.
  }
  asking = false;
  showOnline();
}

function showOnline() {
  const { online } = rooms.get(shown);
  byId('online').replaceChildren(...online.map((name) => make('li', {}, name === nameBox.value ? `${name} (you)` : name)));
  byId('online-count').textContent = online.length ? `· ${online.length}` : '';
}

setInterval(askOnline, ASK_ONLINE);
document.addEventListener('visibilitychange', askOnline);

// Writing.

function complain(text) {
  error.textContent = text;
}

byId('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const text = textBox.value;
  if (!text.trim()) return;
  complain('');
  textBox.value = '';
  try {
    await publish(shown, nameBox.value, text);
  } catch (failure) {
    complain(`Not sent: ${failure.message}.`);
    if (!textBox.value) textBox.value = text;
  }
});

// A tab is its own person: sessionStorage, not localStorage.
nameBox.value = sessionStorage.getItem('name') || `guest-${Math.floor(Math.random() * 900 + 100)}`;
nameBox.addEventListener('change', () => {
  nameBox.value = nameBox.value.trim() || `guest-${Math.floor(Math.random() * 900 + 100)}`;
  sessionStorage.setItem('name', nameBox.value);
  connect();
});

for (const name of icomet.TRANSPORTS) chooser.append(make('option', { value: name }, name));
chooser.addEventListener('change', connect);

// Reloading nginx: for who sits at its machine. script/run.sh waits for the message and sends the signal.

const until = async (condition) => {
  for (let tries = 0; tries < 100; tries += 1) {
    const value = await condition();
    if (value !== undefined) return value;
    await new Promise((done) => setTimeout(done, 100));
  }
  return undefined;
};

async function workers() {
  const answer = await fetch('/icomet-admin/info?detail=1');
  return answer.ok ? (await answer.json()).workers : undefined;
}

byId('reload').addEventListener('click', async ({ target }) => {
  target.disabled = true;
  const room = rooms.get(shown);
  const connections = began, lost = losses;
  try {
    const before = (await workers()).map(({ pid }) => pid);
    const answer = await fetch('/demo/reload', { method: 'POST', body: new URLSearchParams({ content: 'reload' }) });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    // A worker that ends may stay for other requests; it has no subscriber any more.
    const after = await until(async () => {
      const now = await workers().catch(() => []);
      const young = now.filter(({ pid }) => !before.includes(pid)).map(({ pid }) => pid);
      const moved = now.every(({ pid, subscribers }) => subscribers === 0 || !before.includes(pid));
      return young.length > 0 && moved ? young : undefined;
    });
    if (!after) throw new Error('no new workers came within 10 seconds');
    const what = began === connections ? 'this page kept its connection' : `this page connected again (${began - connections} time)`;
    const outcome = losses === lost ? 'lost nothing' : 'lost messages';
    note(room, `nginx was reloaded: workers ${before.join(', ')} → ${after.join(', ')}; ${what}, and ${outcome}`);
  } catch (failure) {
    complain(`Not reloaded: ${failure.message}.`);
  }
  target.disabled = false;
});

workers().then((found) => (byId('reload').hidden = !found), () => {});

const asked = location.hash.slice(1);
for (const name of ROOMS) join(name);
join(/^[a-z0-9-]{1,32}$/.test(asked) ? asked : ROOMS[0]);
connect();
textBox.focus();
