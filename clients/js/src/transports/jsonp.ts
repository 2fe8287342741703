import { asMessages } from '../wire';
import { pageLoaded } from './frame';
import { type Poll, polling } from './polling';
import { askByScript, canScript } from './script';
import type { Transport } from './transport';
import { endpoint } from './urls';

/** Polls by `<script>`. */
export const pollByScript: Poll = (question, wait, { url }) => {
    // Some old browsers keep what a script's url answered.
    const { answer, cancel } = askByScript(`${endpoint(url, 'sub', question, { wait, _: Date.now() })}&cb=`);
    const batch = answer.then((value) => {
        const messages = asMessages(value);
        if (!messages) throw new Error('the script called with something else than messages');
        return messages;
    });
    return { batch, cancel };
};

export const jsonp: Transport = {
    name: 'jsonp',
    silent: true,
    possible: canScript,
    ready: pageLoaded,
    open: (ask, listener, options) => polling(pollByScript, ask, listener, options),
};
