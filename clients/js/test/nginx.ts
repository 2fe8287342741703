import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const target = fileURLToPath(new URL('../../../target/release/', import.meta.url));
const program = process.env.TEST_NGINX_BINARY ?? path.join(target, 'nginx-objs/nginx');
const module = process.env.TEST_NGINX_LOAD_MODULES ?? path.join(target, 'libngx_http_icomet_module.so');

/** Waits for a condition of which nothing tells. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
    for (let tries = 0; !(await condition()); tries += 1) {
        if (tries > 1500) throw new Error(`did not come about: ${what}`);
        await new Promise((done) => setTimeout(done, 10));
    }
}

function freePort(): Promise<number> {
    return new Promise((resolve) => {
        const server = net.createServer().listen(0, '127.0.0.1', () => {
            const { port } = server.address() as net.AddressInfo;
            server.close(() => resolve(port));
        });
    });
}

/** An nginx with two workers and two hubs: below /icomet one without tokens, below /token/icomet one with. */
export class Nginx {
    private constructor(private readonly folder: string, private readonly child: ChildProcess, readonly port: number) {}

    static async start(): Promise<Nginx> {
        for (const file of [program, module]) if (!fs.existsSync(file)) throw new Error(`${file} is not there: run make build`);
        const port = await freePort();
        const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'icomet-js-'));
        fs.mkdirSync(path.join(folder, 'logs'));
        fs.writeFileSync(path.join(folder, 'nginx.conf'), `
load_module ${module};
daemon off;
worker_processes 2;
error_log logs/error.log info;
pid nginx.pid;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    icomet_hub main { zone 16m; channel_buffer_size 100; polling_timeout 1s; }
    icomet_hub token { zone 16m; auth token; polling_timeout 1s; }
    server {
        listen 127.0.0.1:${port};
        location /icomet/ { icomet_sub main; icomet_ws_publish on; }
        location /icomet-admin/ { icomet_pub main; }
        location /token/icomet/ { icomet_sub token; }
        location /token/icomet-admin/ { icomet_pub token; }
    }
}
`);
        const child = spawn(program, ['-p', folder, '-c', 'nginx.conf', '-e', 'logs/error.log'], { stdio: ['ignore', 'ignore', 'inherit'] });
        const nginx = new Nginx(folder, child, port);
        await until(async () => {
            if (child.exitCode !== null) throw new Error(`nginx does not start: ${nginx.log()}`);
            return nginx.ask('/icomet-admin/info').then(() => true, () => false);
        }, 'nginx serves');
        return nginx;
    }

    url(rest: string): string {
        return `http://127.0.0.1:${this.port}${rest}`;
    }

    log(): string {
        return fs.readFileSync(path.join(this.folder, 'logs/error.log'), 'utf8');
    }

    /** A request on a connection of its own: one that is kept may belong to a worker that is killed. */
    ask(rest: string, form?: Record<string, string>): Promise<string> {
        const body = form && String(new URLSearchParams(form));
        const headers = body ? { 'Content-Type': 'application/x-www-form-urlencoded', 'Content-Length': Buffer.byteLength(body) } : {};
        return new Promise((resolve, reject) => {
            const request = http.request(this.url(rest), { agent: false, method: body ? 'POST' : 'GET', headers }, (answer) => {
                let text = '';
                answer.setEncoding('utf8').on('data', (part: string) => (text += part));
                answer.on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${rest}: ${answer.statusCode}: ${text}`))));
            });
            request.on('error', reject).end(body);
        });
    }

    async push(cname: string, content: string, hub = ''): Promise<void> {
        await this.ask(`${hub}/icomet-admin/push`, { cname, content });
    }

    async broadcast(content: string): Promise<void> {
        await this.ask(`/icomet-admin/broadcast?content=${encodeURIComponent(content)}`);
    }

    /** Answers the channel's token. */
    async sign(cname: string): Promise<string> {
        return (JSON.parse(await this.ask(`/token/icomet-admin/sign?cname=${encodeURIComponent(cname)}`)) as { token: string }).token;
    }

    /** Ends subscribers; how many there were. */
    async disconnect(asked: object, hub = ''): Promise<number> {
        const headers = { 'Content-Type': 'application/json', Connection: 'close' };
        const answer = await fetch(this.url(`${hub}/icomet-admin/api/disconnect`), { method: 'POST', headers, body: JSON.stringify(asked) });
        if (!answer.ok) throw new Error(await answer.text());
        return ((await answer.json()) as { disconnected: number }).disconnected;
    }

    async close(cname: string): Promise<void> {
        await this.ask(`/icomet-admin/close?cname=${encodeURIComponent(cname)}`);
    }

    /** Of a channel, or of all of the hub without tokens, on all workers. */
    async subscribers(cname?: string): Promise<number> {
        return (JSON.parse(await this.ask(`/icomet-admin/info${cname === undefined ? '' : `?cname=${encodeURIComponent(cname)}`}`)) as { subscribers: number }).subscribers;
    }

    private workers(): number[] {
        const lines = spawnSync('ps', ['-o', 'pid=,args=', '--ppid', String(this.child.pid)], { encoding: 'utf8' }).stdout.split('\n');
        return lines.filter((line) => /worker process/.test(line) && !/shutting down|defunct/.test(line)).map((line) => Number.parseInt(line, 10));
    }

    /** Until no worker of before is left. */
    async reload(): Promise<void> {
        const old = this.workers();
        this.child.kill('SIGHUP');
        await until(() => !old.some((pid) => fs.existsSync(`/proc/${pid}`)), 'the old workers are gone');
    }

    /** Kills all workers, and waits for others. */
    async kill(): Promise<void> {
        const old = this.workers();
        for (const pid of old) process.kill(pid, 'SIGKILL');
        await until(() => {
            const now = this.workers();
            return now.length === old.length && !now.some((pid) => old.includes(pid));
        }, 'new workers');
    }

    async stop(): Promise<void> {
        const ended = new Promise((resolve) => this.child.on('exit', resolve));
        this.child.kill('SIGTERM');
        await ended;
        fs.rmSync(this.folder, { recursive: true, force: true });
    }
}
