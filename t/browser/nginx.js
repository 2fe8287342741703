// An nginx with icomet, that serves pages too.
'use strict';

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

/** Waits for a condition on processes, of which nothing tells. */
async function until(condition, what) {
    for (let tries = 0; !(await condition()); tries += 1) {
        if (tries > 3000) throw new Error(`did not come about: ${what}`);
        await new Promise((done) => setTimeout(done, 10));
    }
}

function freePort() {
    return new Promise((resolve) => {
        const server = net.createServer().listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/**
 * Starts it in a folder. ICOMET_NGINX, ICOMET_MODULE and NODE_PATH say where the program, the module and npm's packages are.
 *
 * @param more is more of the server's configuration.
 */
async function start(folder, more = '') {
    const { ICOMET_NGINX: program, ICOMET_MODULE: module, NODE_PATH: npm } = process.env;
    return launch(folder, program, (port) => `
load_module ${module};
daemon off;
worker_processes 2;
error_log logs/error.log info;
pid nginx.pid;
events { worker_connections 256; }
http {
    types { text/html html; text/javascript js; text/css css; }
    access_log off;
    # A browser opens connections that it may need; without a request they would keep a worker that is to end.
    client_header_timeout 1s;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    icomet_hub main { zone 16m; channel_buffer_size 100; polling_timeout 1s; channels small.* { channel_buffer_size 5; } }
    icomet_hub tokens { zone 16m; auth token; polling_timeout 1s; }
    server {
        listen 127.0.0.1:${port};
        location / { root ${__dirname}; }
        location /npm/ { alias ${npm}/; }
        location /js/ { alias ${path.join(__dirname, '../../clients/js/dist')}/; }
        location /icomet/ { icomet_sub main; }
        location /held/ { icomet_park off; icomet_sub main; }
        location /icomet-admin/ { icomet_pub main; }
        location /tokens/ { icomet_sub tokens; }
        location /tokens-admin/ { icomet_pub tokens; }
        ${more}
    }
}
`);
}

/** Starts a program with a configuration, which a port is put into. */
async function launch(folder, program, configuration) {
    const port = await freePort();
    fs.mkdirSync(path.join(folder, 'logs'));
    fs.writeFileSync(path.join(folder, 'nginx.conf'), configuration(port));
    // As root it would serve the pages as another user, who may not read them.
    const user = process.getuid() === 0 ? ['-g', 'user root;'] : [];
    const child = spawn(program, ['-p', folder, '-c', 'nginx.conf', '-e', 'logs/error.log', ...user], { stdio: ['ignore', 'ignore', 'inherit'] });
    process.on('exit', () => child.kill('SIGTERM'));
    const nginx = new Nginx(folder, child, port);
    await until(() => {
        if (child.exitCode !== null) throw new Error(`nginx does not start: ${nginx.log()}`);
        return nginx.get('/icomet-admin/info').then(() => true, () => false);
    }, 'nginx serves');
    return nginx;
}

class Nginx {
    constructor(folder, child, port) {
        this.folder = folder;
        this.child = child;
        this.port = port;
    }

    url(rest, host = '127.0.0.1') {
        return `http://${host}:${this.port}${rest}`;
    }

    log() {
        return fs.readFileSync(path.join(this.folder, 'logs/error.log'), 'utf8');
    }

    /** A request on a connection of its own: one that is kept may belong to a worker that is killed. Answers the text. */
    get(rest, form = undefined) {
        const body = form && String(new URLSearchParams(form));
        const headers = body ? { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) } : {};
        return new Promise((resolve, reject) => {
            const request = http.request(this.url(rest), { agent: false, method: body ? 'POST' : 'GET', headers }, (answer) => {
                let text = '';
                answer.setEncoding('utf8').on('data', (data) => (text += data)).on('error', reject);
                answer.on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${rest}: ${answer.statusCode}`))));
            });
            request.on('error', reject).end(body);
        });
    }

    push(cname, content, admin = 'icomet-admin') {
        return this.get(`/${admin}/push`, { cname, content });
    }

    /** Ends subscribers; how many there were. */
    async disconnect(asked) {
        const answer = await fetch(this.url('/icomet-admin/api/disconnect'), {
            method: 'POST', body: JSON.stringify(asked), headers: { 'Content-Type': 'application/json', Connection: 'close' },
        });
        return (await answer.json()).disconnected;
    }

    close(cname) {
        return this.get(`/icomet-admin/close?cname=${encodeURIComponent(cname)}`);
    }

    /** Waits until a channel has this many subscribers. */
    subscribers(cname, count, admin = 'icomet-admin') {
        const is = async () => JSON.parse(await this.get(`/${admin}/info?cname=${encodeURIComponent(cname)}`)).subscribers === count;
        return until(is, `${count} subscribers of ${cname}`);
    }

    workers() {
        // It fails when there is none.
        const lines = spawnSync('ps', ['-o', 'pid=,args=', '--ppid', this.child.pid], { encoding: 'utf8' }).stdout.split('\n');
        return lines.filter((line) => /worker process/.test(line) && !/shutting down|defunct/.test(line)).map((line) => Number.parseInt(line, 10));
    }

    /** Begins a reload. Answers what waits until no worker of before is left. */
    reload() {
        const old = this.workers();
        this.child.kill('SIGHUP');
        return () => until(() => !old.some((pid) => fs.existsSync(`/proc/${pid}`)), 'the old workers are gone');
    }

    /** Kills all workers, and waits for others. */
    async kill() {
        const old = this.workers();
        for (const pid of old) process.kill(pid, 'SIGKILL');
        await until(() => {
            const now = this.workers();
            return now.length === old.length && !now.some((pid) => old.includes(pid));
        }, 'new workers');
    }

    async end() {
        const ended = new Promise((resolve) => this.child.on('exit', resolve));
        this.child.kill('SIGTERM');
        await ended;
    }
}

module.exports = { freePort, launch, start, until };
