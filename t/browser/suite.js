// Runs tests one after the other, with a browser and an nginx, and speaks TAP.
'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const chromium = require('./chromium');

/** How long all tests of a file may take, in milliseconds. */
const PATIENCE = 300_000;

/**
 * @param tests by name: functions that get what `prepare` answered, and `browser`.
 * @param prepare gets a folder that is empty and `browser`, answers an object; what of it has an `end` is ended.
 */
async function run(tests, prepare) {
    const program = chromium.find();
    if (!program) {
        console.log('1..0 # SKIP there is no Chromium: apt-get install chromium-headless-shell');
        return;
    }
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'icomet-browser-'));
    // Started by root, nginx writes large bodies as another user.
    fs.chmodSync(folder, 0o755);
    const deadline = setTimeout(() => {
        console.log('Bail out! it takes too long');
        process.exit(1);
    }, PATIENCE);
    const names = Object.keys(tests).filter((name) => name.includes(process.env.ICOMET_TEST ?? ''));
    console.log(`1..${names.length}`);
    let env = {};
    const browser = await chromium.start(program);
    try {
        env = { browser, ...await prepare(folder, browser) };
        for (const [index, name] of names.entries()) {
            try {
                await tests[name](env);
                console.log(`ok ${index + 1} - ${name}`);
            } catch (error) {
                console.log(`not ok ${index + 1} - ${name}\n${String(error.stack).replace(/^/gm, '# ')}`);
            }
        }
    } finally {
        await browser.close();
        for (const value of Object.values(env)) if (value !== browser) await value?.end?.();
        clearTimeout(deadline);
        fs.rmSync(folder, { recursive: true, force: true });
    }
}

/** Runs it; what goes wrong beside the tests ends the file. */
function main(tests, prepare) {
    run(tests, prepare).catch((error) => {
        console.log(`Bail out! ${error.stack}`);
        process.exitCode = 1;
    });
}

module.exports = { main };
