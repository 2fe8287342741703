import { excerpt } from '../wire';

/** A question by fetch, or by XMLHttpRequest where there is no fetch. */

export interface Answer {
    readonly status: number;
    readonly text: string;
    /** `ETag`, where the server lets the page read it. */
    readonly tag: string | null;
}

/** The server has answered with another status than 200. */
export class Refusal extends Error {
    constructor(readonly status: number, text: string) {
        const shown = excerpt(text);
        super(`the server answered ${status}${shown === '' ? '' : `: ${shown}`}`);
    }
}

export interface Asked {
    readonly answer: Promise<Answer>;
    /** Gives up: `answer` is rejected, or never settles. */
    cancel(): void;
}

export function canAsk(): boolean {
    return hasFetch() || hasXhr();
}

export function hasFetch(): boolean {
    return typeof fetch === 'function' && typeof AbortController === 'function';
}

export function hasXhr(): boolean {
    return typeof XMLHttpRequest === 'function';
}

/** @param form is sent by POST, as a form. Rejected when no answer came; the status is the caller's to look at. */
export function ask(url: string, form?: Record<string, string>): Asked {
    return hasFetch() ? byFetch(url, form) : byXhr(url, form);
}

const FORM = 'application/x-www-form-urlencoded';

function encode(form: Record<string, string>): string {
    return Object.entries(form).map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
}

function byFetch(url: string, form?: Record<string, string>): Asked {
    const control = new AbortController();
    const options: RequestInit = { cache: 'no-store', signal: control.signal };
    if (form) Object.assign(options, { method: 'POST', body: encode(form), headers: { 'Content-Type': FORM } });
    const read = async (): Promise<Answer> => {
        const answer = await fetch(url, options);
        return { status: answer.status, text: await answer.text(), tag: answer.headers.get('ETag') };
    };
    return { answer: read(), cancel: () => control.abort() };
}

function byXhr(url: string, form?: Record<string, string>): Asked {
    const request = new XMLHttpRequest();
    const answer = new Promise<Answer>((resolve, reject) => {
        request.onload = () => resolve({ status: request.status, text: request.responseText, tag: tagOf(request) });
        request.onerror = request.onabort = () => reject(new Error('no answer came'));
        request.open(form ? 'POST' : 'GET', url);
        if (form) request.setRequestHeader('Content-Type', FORM);
        request.send(form ? encode(form) : null);
    });
    return { answer, cancel: () => request.abort() };
}

/** Browsers print an error when a page asks for a header field that it may not read. */
function tagOf(request: XMLHttpRequest): string | null {
    return /^etag:/im.test(request.getAllResponseHeaders()) ? request.getResponseHeader('ETag') : null;
}
