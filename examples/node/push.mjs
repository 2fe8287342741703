#!/usr/bin/env node
// Publishes a text: push.mjs CHANNEL TEXT [ID]. Prints icomet's answer. A text with an ID is published once, however often it is sent.
import { randomUUID } from 'node:crypto';

const ADMIN = process.env.ICOMET_ADMIN ?? 'http://127.0.0.1:8080/icomet-admin';
const TIMEOUT = 5000; // milliseconds

async function send(message) {
    const answer = await fetch(`${ADMIN}/api/publish`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(message),
        signal: AbortSignal.timeout(TIMEOUT),
    });
    return { status: answer.status, body: await answer.text() };
}

/** icomet's answer, as JSON. */
async function publish(channel, content, id) {
    const message = { channel, content, id };
    // Without an answer nobody knows whether it was published. The same id again makes sure, and publishes nothing twice.
    const { status, body } = await send(message).catch(() => send(message));
    if (status !== 200) throw new Error(`icomet answered ${status}: ${body}`);
    return body;
}

const [channel, text, id = randomUUID()] = process.argv.slice(2);
if (text === undefined || process.argv.length > 5) {
    console.error('usage: push.mjs CHANNEL TEXT [ID]');
    process.exit(1);
}
try {
    console.log((await publish(channel, text, id)).trimEnd());
} catch (error) {
    // fetch says no more than "fetch failed"; why is in its cause.
    const why = error.cause ? `no answer from ${ADMIN}: ${error.cause.code ?? error.cause.message}` : error.message;
    console.error(`push: ${error.name === 'TimeoutError' ? `no answer from ${ADMIN} in ${TIMEOUT} ms` : why}`);
    process.exitCode = 1;
}
