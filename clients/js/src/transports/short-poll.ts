import { canAsk } from './get';
import { pollByScript } from './jsonp';
import { pollByGet, polling } from './polling';
import { canScript } from './script';
import type { Transport } from './transport';

/** For networks that let no answer wait. */
export const shortPoll: Transport = {
    name: 'short-poll',
    possible: () => canAsk() || canScript(),
    open: (ask, listener, options) => polling(canAsk() ? pollByGet : pollByScript, ask, listener, options, options.pollInterval),
};
