import type { Connector, Owner } from './connector';
import type { State, TransportName } from './types';
import type { TransportOptions } from './transports/transport';
export class Tabs {
    static possible(): boolean { return false; }
    readonly inner: Connector;
    constructor(_key: string, owner: Owner, connect: (owner: Owner) => Connector, _settings: TransportOptions) { this.inner = connect(owner); }
    get state(): State { return this.inner.state; }
    get transport(): TransportName | undefined { return this.inner.transport; }
    start(): void { this.inner.start(); }
    stop(): void { this.inner.stop(); }
    change(): void { this.inner.change(); }
    wake(renew: boolean): void { this.inner.wake(renew); }
    offline(): void { this.inner.offline(); }
    publish(channel: string, content: string): Promise<void> { return this.inner.publish(channel, content); }
}
