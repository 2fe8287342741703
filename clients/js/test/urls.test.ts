import { expect, test } from 'vitest';
import { absolute, endpoint, epochOf } from '../src/transports/urls';

const E1 = '1111111111111111';

test('names are encoded one by one, so that a comma within one does not part two', () => {
    const url = endpoint('http://h/icomet', 'sub', { channels: [{ key: 1, name: 'a,b', seq: 3, epoch: `${E1}.a`, token: 'x' }, { key: 2, name: 'ü', seq: 0, epoch: E1 }] });
    expect(url).toBe(`http://h/icomet/sub?cname=a%2Cb,%C3%BC&seq=3,0&token=x,&epoch=${E1}.a,`);
});

test('an epoch goes with a seq alone, else it is empty; a user is encoded', () => {
    expect(endpoint('http://h', 'ws', { channels: [{ key: 1, name: 'a', seq: 0, epoch: E1 }], user: 'a&b' }, { wait: 0 }))
        .toBe('http://h/ws?cname=a&seq=0&epoch=&user=a%26b&wait=0');
});

test('a url without a slash at its end, and without a query', () => {
    expect(absolute('https://h:1/icomet//?x#y')).toBe('https://h:1/icomet');
});

test.each(['/icomet', 'ftp://h/icomet', '', undefined])('%s is refused where there is no page', (url) => {
    expect(() => absolute(url as string)).toThrow(/icomet: /);
});

test('the epoch of a tag and of an id', () => {
    expect(epochOf(`"${E1}-5"`)).toBe(E1);
    expect(epochOf(`${E1}-5.6`)).toBe(E1);
    expect(epochOf(`W/"${E1}-5"`)).toBe(E1);
    expect(epochOf('W/"x"')).toBeUndefined();
    expect(epochOf(`${E1}.1z-5`)).toBeUndefined();
    expect(epochOf(null)).toBeUndefined();
});
