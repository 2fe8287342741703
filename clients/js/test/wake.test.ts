import { afterEach, expect, test, vi } from 'vitest';
import { watchPage } from '../src/wake';

afterEach(() => vi.unstubAllGlobals());

test('a page that is looked at, or has another network, is told of; when it ends nothing is', () => {
    const page = new EventTarget();
    const shown = Object.assign(new EventTarget(), { visibilityState: 'visible' });
    const connection = new EventTarget();
    vi.stubGlobal('document', shown);
    vi.stubGlobal('navigator', { connection });
    vi.stubGlobal('addEventListener', page.addEventListener.bind(page));
    vi.stubGlobal('removeEventListener', page.removeEventListener.bind(page));
    const wake = vi.fn();
    const offline = vi.fn();
    const end = watchPage({ wake, offline });
    const all: [EventTarget, string][] = [[page, 'online'], [page, 'focus'], [page, 'pageshow'], [shown, 'visibilitychange'], [connection, 'change']];
    for (const [target, name] of all) target.dispatchEvent(new Event(name));
    expect(wake.mock.calls).toEqual([[true], [false], [false], [false], [false]]);
    page.dispatchEvent(new Event('offline'));
    expect(offline).toHaveBeenCalledOnce();
    shown.visibilityState = 'hidden';
    page.dispatchEvent(new Event('focus'));
    end();
    for (const [target, name] of all) target.dispatchEvent(new Event(name));
    expect(wake).toHaveBeenCalledTimes(5);
});
