import type { TransportName } from '../types';
import { iframe } from './iframe';
import { jsonp } from './jsonp';
import { poll } from './poll';
import { shortPoll } from './short-poll';
import { sse } from './sse';
import { stream } from './stream';
import type { Transport } from './transport';
import { websocket } from './websocket';

export const transports: { readonly [Name in TransportName]: Transport } = {
    websocket, sse, stream, poll, jsonp, iframe, 'short-poll': shortPoll,
};
