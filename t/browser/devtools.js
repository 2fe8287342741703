// A headless Chromium, steered by the DevTools protocol.
'use strict';

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const WebSocket = require('ws');

const NAMES = ['chromium-headless-shell', 'chromium'];

/** The Chromium of this machine; undefined when there is none. */
function find() {
    return [process.env.CHROMIUM, ...NAMES].find((name) => name && spawnSync(name, ['--version']).status === 0);
}

/** Starts it, with a profile in a folder that is empty, and answers when it can be steered. */
async function start(program, folder) {
    // The sandbox needs rights that root and containers lack, and the pages are our own.
    const child = spawn(program, [
        '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking',
        '--disable-component-update', '--no-first-run', '--no-proxy-server', '--remote-debugging-port=0',
        `--user-data-dir=${path.join(folder, 'profile')}`, 'about:blank',
    ], { env: { ...process.env, HOME: folder }, stdio: ['ignore', 'ignore', 'pipe'], detached: true });
    // Debian's is a script that starts another process: all of them end together.
    process.on('exit', () => end(child));
    const log = fs.createWriteStream(path.join(folder, 'chromium.log'));
    const address = await new Promise((resolve, reject) => {
        let said = '';
        child.stderr.on('data', (data) => {
            log.write(data);
            said += data;
            const found = /DevTools listening on (ws:\S+)/.exec(said);
            if (found) resolve(found[1]);
        });
        child.on('error', reject);
        child.on('exit', () => reject(new Error(`${program} has ended: ${said}`)));
    });
    const browser = new Browser(child, new WebSocket(address));
    await new Promise((resolve, reject) => browser.socket.on('open', resolve).on('error', reject));
    return browser;
}

function end(child) {
    try {
        process.kill(-child.pid, 'SIGKILL');
    } catch {
        // It has ended already.
    }
}

class Browser {
    constructor(child, socket) {
        this.child = child;
        this.socket = socket;
        this.last = 0;
        this.answers = new Map();
        socket.on('message', (data) => {
            const { id, result, error } = JSON.parse(data);
            const answer = this.answers.get(id);
            this.answers.delete(id);
            if (answer && error) answer.reject(new Error(error.message));
            else if (answer) answer.resolve(result);
        });
    }

    send(method, params = {}, sessionId = undefined) {
        const id = ++this.last;
        return new Promise((resolve, reject) => {
            this.answers.set(id, { resolve, reject });
            this.socket.send(JSON.stringify({ id, method, params, sessionId }));
        });
    }

    /** Opens a page, and answers what evaluates expressions in it, promises awaited. */
    async open(url) {
        const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
        const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
        const evaluate = async (expression) => {
            const { result, exceptionDetails } = await this.send('Runtime.evaluate',
                { expression, awaitPromise: true, returnByValue: true }, sessionId);
            if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
            return result.value;
        };
        const { errorText } = await this.send('Page.navigate', { url }, sessionId);
        if (errorText) throw new Error(`${url}: ${errorText}`);
        // The answer comes when the page begins; its scripts are there when it is complete.
        await evaluate('new Promise((done) => document.readyState === "complete" ? done() : addEventListener("load", () => done()))');
        return evaluate;
    }

    async end() {
        const ended = new Promise((resolve) => this.child.on('exit', resolve));
        end(this.child);
        this.socket.terminate();
        await ended;
    }
}

module.exports = { find, start };
