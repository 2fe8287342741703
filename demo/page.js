// What the demo's pages share: elements, and what is published to a room, {"name", "text", "time"} as JSON.
'use strict';

const channelOf = (room) => `room.${room}`;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** What publishes to a channel from a shell; the admin side is open to the server's own machine alone. */
const curlLine = (channel) => `curl -d 'content=Hello from curl' '${location.protocol}//localhost${location.port && `:${location.port}`}/icomet-admin/push?cname=${channel}'`;

/** What somebody has said. A curl says plain text, without a name or a time. */
function read(content) {
  try {
    const { name, text, time } = JSON.parse(content);
    // Anybody can send any number: a date has only so many milliseconds.
    const isTime = typeof time === 'number' && !Number.isNaN(new Date(time).getTime());
    if (typeof text === 'string') return { name: String(name), text, time: isTime ? time : undefined };
  } catch {
    // Plain text, as below.
  }
  return { name: 'somebody', text: content, time: undefined };
}

/** Says something in a room. Throws what says why it was not taken. */
async function publish(room, name, text) {
  const content = JSON.stringify({ name, text, time: Date.now() });
  const answer = await fetch(`/chat/push/${room}`, { method: 'POST', body: new URLSearchParams({ content }) });
  if (!answer.ok) throw new Error(answer.status === 413 ? 'it is too long' : `the server answered ${answer.status}`);
}
