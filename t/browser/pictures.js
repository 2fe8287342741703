// Makes the README's pictures of the chat: node t/browser/pictures.js, with the environment of script/test-browser.sh.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const chromium = require('./chromium');
const demo = require('./demo');

const OUT = path.join(__dirname, '../../docs/images');

async function enter(browser, nginx, name, viewport, colorScheme) {
    const context = await browser.newContext({ viewport, colorScheme });
    await context.addInitScript(`sessionStorage.name ??= ${JSON.stringify(name)}`);
    const { page } = await chromium.open(context, nginx.url('/', 'localhost'));
    await page.waitForSelector('#state[data-state=open]');
    return page;
}

async function say(page, others, text) {
    await page.fill('#text', text);
    await page.press('#text', 'Enter');
    const shown = (wanted) => [...document.querySelectorAll('#messages li')].some((line) => line.lastChild.textContent === wanted);
    for (const other of [page, ...others]) await other.waitForFunction(shown, text);
}

async function main() {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'icomet-pictures-'));
    fs.chmodSync(folder, 0o755);
    fs.mkdirSync(OUT, { recursive: true });
    const browser = await chromium.start(chromium.find());
    const nginx = await demo.start(folder);
    try {
        const ada = await enter(browser, nginx, 'Ada', { width: 1100, height: 720 }, 'light');
        const grace = await enter(browser, nginx, 'Grace', { width: 390, height: 800 }, 'dark');
        const linus = await enter(browser, nginx, 'Linus', { width: 800, height: 600 }, 'light');
        const all = [ada, grace, linus];
        await say(linus, all, 'Has anybody tried the reload button?');
        await ada.selectOption('#transport', 'sse');
        await ada.waitForFunction(() => document.getElementById('state-text').textContent === 'open · sse');
        const reload = nginx.get('/icomet/sub?cname=demo.reload&seq=1').then(() => nginx.reload());
        await ada.click('#reload');
        await (await reload)();
        await ada.waitForSelector('#messages .note');
        await say(ada, all, 'Just now. I listen by server-sent events, and my connection moved to the new worker.');
        await say(grace, all, 'My phone did not notice either: same WebSocket as before.');
        await say(linus, all, 'And whoever was cut off gets what was said meanwhile. 👍');
        await linus.click('[data-room=rust]');
        await say(linus, [], 'By the way, the module is in Rust.');
        await ada.waitForSelector('[data-room=rust] .unread');
        for (const page of [ada, grace]) await page.evaluate('askOnline()');
        await ada.waitForFunction(() => document.querySelectorAll('#online li').length === 3);
        await ada.screenshot({ path: path.join(OUT, 'chat-desktop.png') });
        await grace.screenshot({ path: path.join(OUT, 'chat-phone.png') });
    } finally {
        await browser.close();
        await nginx.end();
        fs.rmSync(folder, { recursive: true, force: true });
    }
}

main();
