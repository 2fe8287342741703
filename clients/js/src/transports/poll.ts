import { canAsk } from './get';
import { pollByGet, polling } from './polling';
import type { Transport } from './transport';

export const poll: Transport = {
    name: 'poll',
    possible: canAsk,
    open: (ask, listener, options) => polling(pollByGet, ask, listener, options),
};
