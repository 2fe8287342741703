import { ask, canAsk } from './transports/get';
import { askByScript, canScript } from './transports/script';

/** What icomet's `sign` answers, as far as clients need it. */
export interface Signed {
    readonly cname: string;
    readonly token: string;
}

/** The back end has answered with a status that is an error; 401 and 403 are its last word. */
export class SignRefused extends Error {
    constructor(readonly status: number, channel: string) {
        super(`icomet: signUrl answered ${status} for channel "${channel}"`);
    }
}

/** How long a back end has to answer, in milliseconds. */
const PATIENCE = 15_000;

/** A question that is under way. Given up, it is never answered. */
export interface Signing {
    readonly signed: Promise<Signed>;
    cancel(): void;
}

/** Asks `signUrl` for a channel's token. Where the page may not read the answer, or has no XMLHttpRequest, it is asked by a script. */
export function sign(signUrl: string, channel: string): Signing {
    const url = `${signUrl}${signUrl.includes('?') ? '&' : '?'}cname=${encodeURIComponent(channel)}`;
    let cancel = () => {};
    const byScript = async (): Promise<unknown> => {
        const asked = askByScript(`${url}&cb=`);
        cancel = asked.cancel;
        return asked.answer;
    };
    const byGet = async (): Promise<unknown> => {
        const asked = ask(url);
        cancel = asked.cancel;
        let answer;
        try {
            answer = await asked.answer;
        } catch (error) {
            if (canScript() && isElsewhere(url)) return byScript();
            throw error;
        }
        if (answer.status !== 200) throw new SignRefused(answer.status, channel);
        return JSON.parse(answer.text);
    };
    let giveUp = () => {};
    const signed = new Promise<Signed>((resolve, reject) => {
        let settle = (take: () => void) => {
            settle = () => {};
            clearTimeout(timer);
            take();
        };
        const timer = setTimeout(() => settle(() => {
            cancel();
            reject(new Error(`icomet: signUrl gave no answer in ${PATIENCE} ms`));
        }), PATIENCE);
        giveUp = () => settle(cancel);
        const answer = canAsk() ? byGet() : byScript();
        answer.then((value) => read(value, channel)).then((value) => settle(() => resolve(value)), (error: Error) => settle(() => reject(error)));
    });
    return { signed, cancel: () => giveUp() };
}

function isElsewhere(url: string): boolean {
    return new URL(url, document.baseURI).origin !== location.origin;
}

function read(value: unknown, channel: string): Signed {
    const { cname, token } = (value ?? {}) as Record<string, unknown>;
    if (typeof token !== 'string' || token === '') throw new Error(`icomet: signUrl gave no token for channel "${channel}"`);
    return { cname: typeof cname === 'string' ? cname : channel, token };
}
