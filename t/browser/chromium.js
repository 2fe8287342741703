// A headless Chromium, Debian's, steered by playwright-core.
'use strict';

const { spawnSync } = require('node:child_process');
const { chromium } = require('playwright-core');

const NAMES = ['chromium-headless-shell', 'chromium'];
/** A name of this machine that the browser takes for another machine's: no loopback, so not a secure context by plain HTTP. */
const ELSEWHERE = 'chat.example';

/** The Chromium of this machine; undefined when there is none. */
function find() {
    const known = (name) => spawnSync('sh', ['-c', 'command -v -- "$0"', name], { encoding: 'utf8' }).stdout.trim();
    return [process.env.CHROMIUM, ...NAMES].map((name) => name && known(name)).find(Boolean);
}

/** Starts it. The sandbox needs rights that root and containers lack, and the pages are our own. */
function start(program) {
    return chromium.launch({
        executablePath: program,
        args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--no-proxy-server',
            `--host-resolver-rules=MAP ${ELSEWHERE} 127.0.0.1`],
    });
}

/**
 * Opens a page in a context, and answers what evaluates expressions in it, promises awaited; `page` is playwright's. What the page
 * throws is kept in `errors`.
 */
async function open(context, url) {
    const page = await context.newPage();
    const errors = [];
    page.on('pageerror', (error) => errors.push(error));
    await page.goto(url);
    return Object.assign((expression) => page.evaluate(expression), { page, errors });
}

module.exports = { ELSEWHERE, find, start, open };
