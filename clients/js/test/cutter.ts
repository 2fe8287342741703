import net from 'node:net';

/** In front of a server: lets a WebSocket's 101 through, and cuts the connection behind it. All else gets through. */
export class Cutter {
    cuts = 0;
    private readonly sockets = new Set<net.Socket>();

    private constructor(private readonly server: net.Server, readonly port: number) {}

    static start(to: number): Promise<Cutter> {
        return new Promise((resolve) => {
            const server = net.createServer((client) => cutter.serve(client, to)).listen(0, '127.0.0.1', () => {
                cutter = new Cutter(server, (server.address() as net.AddressInfo).port);
                resolve(cutter);
            });
            let cutter: Cutter;
        });
    }

    private serve(client: net.Socket, to: number): void {
        const upstream = net.connect(to, '127.0.0.1');
        let websocket = false;
        const end = () => {
            client.destroy();
            upstream.destroy();
        };
        for (const socket of [client, upstream]) {
            this.sockets.add(socket);
            socket.on('error', end).on('close', () => {
                this.sockets.delete(socket);
                end();
            });
        }
        client.on('data', (part) => {
            websocket ||= part.toString('latin1').startsWith('GET /icomet/ws');
            upstream.write(part);
        });
        upstream.on('data', (part) => {
            if (!websocket) return void client.write(part);
            const head = part.subarray(0, part.indexOf('\r\n\r\n') + 4);
            this.cuts += 1;
            client.write(head, end);
        });
    }

    stop(): void {
        this.server.close();
        for (const socket of this.sockets) socket.destroy();
    }
}
