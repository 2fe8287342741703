// The pages of demo/, as their users have them.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { ELSEWHERE, open } = require('./chromium');
const demo = require('./demo');
const { until } = require('./nginx');
const { main } = require('./suite');

/** Does what a page says to do in a shell. Answers the type of what came. */
function curl(line) {
    assert.match(line, /^curl -d '[^'\n]*' 'http:\/\/localhost:\d+\/[^'\n]*'$/);
    const { stdout, stderr, status } = spawnSync('sh', ['-c', `${line} --silent --show-error --noproxy localhost`], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout).type;
}

/** A person with a page of the chat. */
class Person {
    static async enter({ browser, nginx }, name, { viewport = { width: 1100, height: 720 }, room = '' } = {}) {
        const person = Object.assign(new Person(), { name, context: await browser.newContext({ viewport }) });
        await person.context.addInitScript(`sessionStorage.name ??= ${JSON.stringify(name)}`);
        const { page, errors } = await open(person.context, nginx.url(`/${room && `#${room}`}`));
        Object.assign(person, { page, errors });
        await page.waitForSelector('#state[data-state=open]');
        return person;
    }

    async say(text) {
        await this.page.fill('#text', text);
        await this.page.press('#text', 'Enter');
    }

    /** What others and this person have said in the room that is shown. */
    said() {
        return this.page.$$eval('#messages li:not(.note)', (lines) => lines.map((line) => line.lastChild.textContent));
    }

    async hears(text) {
        await this.page.waitForFunction((wanted) => [...document.querySelectorAll('#messages li')].some((line) => line.lastChild.textContent === wanted), text);
    }

    async sees(selector, text) {
        const is = async () => (await this.page.textContent(selector).catch(() => ''))?.includes(text);
        await until(is, `${selector} says ${text}`);
    }

    async leave() {
        assert.deepEqual(this.errors, []);
        await this.context.close();
    }
}

const tests = {
    async 'what one says the other hears, once; what was said before is there for who comes later'(env) {
        const ada = await Person.enter(env, 'Ada');
        const grace = await Person.enter(env, 'Grace');
        await ada.say('Hello');
        await grace.hears('Hello');
        await grace.say('Hi');
        await ada.hears('Hi');
        const late = await Person.enter(env, 'Late');
        await late.hears('Hi');
        for (const person of [ada, grace, late]) assert.deepEqual(await person.said(), ['Hello', 'Hi'], person.name);
        await ada.sees('#online', 'Ada (you)');
        await ada.sees('#online', 'Grace');
        for (const person of [ada, grace, late]) await person.leave();
    },

    async 'rooms are separate, and say how much of them is unread'(env) {
        const ada = await Person.enter(env, 'Ada', { room: 'nginx' });
        const grace = await Person.enter(env, 'Grace', { room: 'rust' });
        await grace.say('in rust');
        await grace.hears('in rust');
        await ada.sees('[data-room=rust] .unread', '1');
        await ada.sees('title', '(1) icomet chat');
        assert.deepEqual(await ada.said(), []);
        await ada.page.click('[data-room=rust]');
        assert.deepEqual(await ada.said(), ['in rust']);
        assert.equal(await ada.page.$('.unread'), null);
        for (const person of [ada, grace]) await person.leave();
    },

    async 'who leaves is online no more'(env) {
        const ada = await Person.enter(env, 'Ada');
        const grace = await Person.enter(env, 'Grace');
        await grace.say('here I am');
        await ada.hears('here I am');
        await ada.sees('#online', 'Grace');
        await grace.leave();
        const left = async () => {
            await ada.page.evaluate('askOnline()');
            return !(await ada.page.textContent('#online')).includes('Grace');
        };
        await until(left, 'Grace has left');
        await ada.leave();
    },

    async 'each transport can be forced, and nothing comes twice'(env) {
        const ada = await Person.enter(env, 'Ada', { room: 'switch' });
        const names = await ada.page.$$eval('#transport option', (options) => options.map(({ value }) => value));
        assert.equal(names.length, 8);
        for (const name of names) {
            await ada.page.selectOption('#transport', name);
            await ada.sees('#state-text', `open · ${name || 'websocket'}`);
            await ada.say(`by ${name || 'any'}`);
            await ada.hears(`by ${name || 'any'}`);
        }
        assert.deepEqual(await ada.said(), names.map((name) => `by ${name || 'any'}`));
        await ada.leave();
    },

    async 'over a reload of nginx nothing is lost'(env) {
        const [ada, grace] = [await Person.enter(env, 'Ada', { room: 'reload' }), await Person.enter(env, 'Grace', { room: 'reload' })];
        await grace.page.selectOption('#transport', 'sse');
        await grace.sees('#state-text', 'open · sse');
        for (let round = 1; round <= 3; round += 1) {
            const done = env.nginx.reload();
            await ada.say(`${round} meanwhile`);
            await done();
            await ada.say(`${round} after`);
            for (const person of [ada, grace]) await person.hears(`${round} after`);
        }
        for (const person of [ada, grace]) {
            assert.deepEqual(await person.said(), [1, 2, 3].flatMap((round) => [`${round} meanwhile`, `${round} after`]));
            await person.leave();
        }
    },

    async 'the button reloads nginx, and says what came of it'(env) {
        const ada = await Person.enter(env, 'Ada', { room: 'button' });
        // What script/run.sh does with what the button publishes.
        const asked = env.nginx.get('/icomet/sub?cname=demo.reload&seq=1').then(() => env.nginx.reload());
        await ada.page.click('#reload');
        const done = await asked;
        await ada.page.waitForSelector('#messages .note');
        assert.match(await ada.page.textContent('#messages .note'), /^nginx was reloaded: workers .* → .*; this page kept its connection, and lost nothing$/);
        await done();
        await ada.leave();
    },

    async 'what others send is text, never markup'(env) {
        const ada = await Person.enter(env, '<b>Ada</b>', { room: 'markup' });
        await ada.say('<img src=x onerror="document.title = 1">');
        await ada.hears('<img src=x onerror="document.title = 1">');
        await env.nginx.push('room.markup', '{"name":"<i>x</i>","text":"<script>document.title = 2</script>"}');
        await ada.hears('<script>document.title = 2</script>');
        for (const odd of ['{"name":null,"text":"no time","time":1e99}', '{"text":7}', 'null']) await env.nginx.push('room.markup', odd);
        for (const text of ['no time', '{"text":7}', 'null']) await ada.hears(text);
        await env.nginx.push('room.markup', 'from a shell');
        await ada.hears('from a shell');
        assert.equal(await ada.page.$('#messages img, #messages script, #messages i, #online b'), null);
        assert.equal(await ada.page.title(), 'icomet chat');
        await ada.leave();
    },

    async 'what cannot be sent is told, and not thrown away'(env) {
        const ada = await Person.enter(env, 'Ada', { room: 'large' });
        await ada.page.evaluate(`document.getElementById('text').removeAttribute('maxlength')`);
        await ada.say('x'.repeat(20_000));
        await ada.sees('#error', 'Not sent: it is too long.');
        assert.equal((await ada.page.inputValue('#text')).length, 20_000);
        await ada.leave();
    },

    async 'on a phone nothing has to be scrolled sideways'(env) {
        const ada = await Person.enter(env, 'Ada', { viewport: { width: 390, height: 800 }, room: 'phone' });
        await ada.say(`a long word: ${'x'.repeat(300)}`);
        await until(async () => (await ada.said()).length === 1, 'it is said');
        assert.ok(await ada.page.evaluate('document.documentElement.scrollWidth') <= 390);
        assert.ok((await ada.page.$eval('#form button', (button) => button.getBoundingClientRect().bottom)) <= 800);
        await ada.leave();
    },

    async 'on the smallest phone there is room for what is said'(env) {
        const ada = await Person.enter(env, 'Ada', { viewport: { width: 320, height: 568 }, room: 'smallest' });
        for (let number = 1; number <= 8; number += 1) {
            await ada.say(`number ${number}`);
            await ada.hears(`number ${number}`);
        }
        const shown = await ada.page.evaluate(() => {
            const room = document.getElementById('messages').getBoundingClientRect();
            const boxes = [...document.querySelectorAll('#messages li')].map((line) => line.getBoundingClientRect());
            return boxes.filter(({ top, bottom }) => top >= room.top - 1 && bottom <= room.bottom + 1).length;
        });
        assert.ok(shown >= 4, `${shown} whole messages are shown`);
        assert.ok(await ada.page.evaluate('document.documentElement.scrollWidth') <= 320);
        assert.ok((await ada.page.$eval('#form button', (button) => button.getBoundingClientRect().bottom)) <= 568);
        await ada.leave();
    },

    async 'at every width there is room to write'(env) {
        const ada = await Person.enter(env, 'Ada', { room: 'widths' });
        for (const width of [320, 736, 768, 960, 1280]) {
            await ada.page.setViewportSize({ width, height: 800 });
            assert.ok((await ada.page.$eval('#text', (box) => box.clientWidth)) >= 180, `${width} px`);
            assert.ok(await ada.page.evaluate('document.documentElement.scrollWidth') <= width);
        }
        await ada.leave();
    },

    async 'an empty room says what to do, and a curl line that works'(env) {
        const ada = await Person.enter(env, 'Ada', { room: 'empty', viewport: { width: 320, height: 568 } });
        assert.match(await ada.page.innerText('#hint'), /^Nothing has been said here yet\. Write below, and open this page in a second tab/);
        assert.ok((await ada.page.$eval('#hint', (hint) => hint.scrollHeight - hint.clientHeight)) <= 0, 'all of it is seen');
        assert.equal(curl(await ada.page.innerText('#hint code')), 'ok');
        await ada.hears('Hello from curl');
        assert.equal(await ada.page.isVisible('#hint'), false);
        assert.equal(await ada.page.isVisible('#messages'), true);
        // It is the shown room's.
        await ada.page.click('[data-room=rust]');
        await ada.hears('in rust');
        assert.equal(await ada.page.isVisible('#hint'), false);
        await ada.page.fill('#room-name', 'emptier');
        await ada.page.press('#room-name', 'Enter');
        await ada.page.waitForSelector('#hint code:visible');
        assert.match(await ada.page.innerText('#hint code'), /cname=room\.emptier'$/);
        await ada.sees('#online', 'Ada (you)');
        await ada.leave();
    },

    async 'the keyboard is enough'(env) {
        const ada = await Person.enter(env, 'Ada');
        const { keyboard } = ada.page;
        const focused = () => ada.page.evaluate('document.activeElement.id');
        assert.equal(await focused(), 'text');
        for (let tries = 0; (await focused()) !== 'room-name'; tries += 1) {
            assert.ok(tries < 20, 'the room\'s name is reached by the key Tab');
            await keyboard.press('Shift+Tab');
        }
        await keyboard.type('keys');
        await keyboard.press('Enter');
        assert.equal(await ada.page.textContent('#room-title'), '# keys');
        await keyboard.type('typed');
        await keyboard.press('Enter');
        await ada.hears('typed');
        await ada.leave();
    },

    async 'one channel comes by all transports, by whatever name the page was asked for'({ browser, nginx }) {
        for (const host of ['localhost', '127.0.0.1', ELSEWHERE]) {
            const { page, errors } = await open(await browser.newContext(), nginx.url('/transports.html', host));
            const count = await page.evaluate('icomet.TRANSPORTS.length');
            await page.waitForFunction((wanted) => document.querySelectorAll('#transports [data-state=open]').length === wanted, count);
            await page.fill('#text', `to all at ${host}`);
            await page.click('#form button');
            const all = ({ text, wanted }) => [...document.querySelectorAll('.last')].filter((last) => last.textContent === text).length === wanted;
            await page.waitForFunction(all, { text: `to all at ${host}`, wanted: count });
            assert.equal(await page.isVisible('#crowded'), host === ELSEWHERE, host);
            assert.deepEqual(errors, []);
            await page.context().close();
        }
    },

    async 'what stands below each other on a page begins and ends where the rest does'({ browser, nginx }) {
        for (const name of ['', 'transports.html']) {
            const { page } = await open(await browser.newContext({ viewport: { width: 1280, height: 800 } }), nginx.url(`/${name}`));
            const boxes = await page.$$eval('body > :not(script)', (parts) => parts.filter((part) => part.getClientRects().length > 0).map((part) => {
                const { left, right } = part.getBoundingClientRect();
                return `${Math.round(left)}-${Math.round(right)}`;
            }));
            assert.ok(boxes.length >= 3);
            assert.equal(new Set(boxes).size, 1, `${name}: ${boxes}`);
            await page.context().close();
        }
    },

    async 'the line of icomet.js works on both pages'({ browser, nginx }) {
        for (const name of ['hello.html', 'hello-legacy.html']) {
            const { page, errors } = await open(await browser.newContext(), nginx.url(`/${name}`));
            await nginx.subscribers('abc', 1);
            await nginx.push('abc', `to ${name}`);
            await page.waitForFunction((wanted) => document.getElementById('heard').textContent.includes(wanted), `to ${name}`);
            assert.equal(curl(await page.innerText('#curl')), 'ok');
            await page.waitForFunction(() => document.getElementById('heard').textContent.includes('Hello\n'));
            await page.click('a[href="./"]');
            await page.waitForSelector('#messages', { state: 'attached' });
            assert.deepEqual(errors, []);
            await page.context().close();
            await nginx.subscribers('abc', 0);
        }
    },

    async 'who may write where is as the configuration says'({ nginx }) {
        await assert.rejects(nginx.get('/chat/push/lobby?content=x'), /403/);
        await assert.rejects(nginx.get('/chat/push/No%20room', { content: 'x' }), /404|405|403/);
        await assert.rejects(nginx.get('/demo/reload?content=x'), /403/);
    },

    async 'nothing alarming is in the error log'({ nginx }) {
        const alarms = nginx.log().split('\n').filter((line) => /\[(error|alert|crit|emerg)\]/.test(line));
        assert.deepEqual(alarms.filter((line) => !/access forbidden|client intended to send too large body|open\(\) .* failed/.test(line)), []);
    },
};

main(tests, async (folder) => ({ nginx: await demo.start(folder) }));
