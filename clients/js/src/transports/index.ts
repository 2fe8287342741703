import type { TransportName } from '../types';
import { iframe } from './iframe';
import { jsonp } from './jsonp';
import { parted } from './parted';
import { poll } from './poll';
import { shortPoll } from './short-poll';
import { sse } from './sse';
import { stream } from './stream';
import type { Transport } from './transport';
import { websocket } from './websocket';

export const transports: { readonly [Name in TransportName]: Transport } = {
    // A WebSocket's channels are named by commands.
    websocket,
    sse: parted(sse), stream: parted(stream), poll: parted(poll), jsonp: parted(jsonp), iframe: parted(iframe), 'short-poll': parted(shortPoll),
};
