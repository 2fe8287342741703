# Bad input: each gets a clear answer, and changes nothing.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: cname: none, empty, too long, control characters, no UTF-8
--- play
my %bad = (
    ''                      => 'cname is missing',
    'cname='                => 'cname is empty',
    'cname=' . 'x' x 257    => '256',
    'cname=a%00b'           => 'control character',
    'cname=a%0Ab'           => 'control character',
    'cname=%7F'             => 'control character',
    'cname=%C2%85'          => 'control character',
    'cname=%FF%FE'          => 'UTF-8',
    'cname=%C3'             => 'UTF-8',
);
for my $query (sort keys %bad) {
    errors("GET /icomet/$_?seq=1&$query", 400, $bad{$query}) for qw(sub poll stream sse iframe);
    errors("GET /icomet-admin/$_?content=x&$query", 400, $bad{$query}) for qw(pub push sign close clear check);
}
errors("GET /icomet-admin/info?cname=a%0Ab", 400, 'control character');
errors('GET /icomet-admin/info?cname=' . 'x' x 257, 400, '256');



=== TEST 2: seq, noop, wait: not a number, or out of range
--- play
for my $value ('abc', '-1', '%2B1', '1.5', '0x10', '1e3', '%20', '12abc', '18446744073709551616', '9' x 40) {
    for my $endpoint (qw(sub poll stream sse iframe)) {
        errors("GET /icomet/$endpoint?cname=bad2&$_=$value", 400, "$_ is not a number") for qw(seq noop);
    }
}
for my $value ('abc', '-1', '3601', '1.5', '9' x 40) {
    errors("GET /icomet/$_?cname=bad2&seq=1&wait=$value", 400, 'wait is not a number from 0 to 3600') for qw(sub poll);
}
same(get('/icomet-admin/check?cname=bad2'), "{}\n", 'no channel is made');



=== TEST 3: expires: not a number, or out of range
--- play
for my $value ('abc', '1.5', '31536001', '9' x 40, '-9999999999', '10s') {
    errors("GET /icomet-admin/sign?cname=bad3&expires=$value", 400, 'expires is not a number');
}
same(get('/icomet-admin/check?cname=bad3'), "{}\n", 'no channel is made');



=== TEST 4: epoch: whatever is none of ours is another one
--- play
push_ok('bad4', 'x');
for my $value ('abc', '0123456789abcdef', '0123456789abcdef.1', '0123456789abcdeg', '-', 'x' x 200) {
    same(get("/icomet/sub?cname=bad4&seq=2&epoch=$value"), '[' . told_epoch('bad4', 1) . ',' . data('bad4', 1, '', 'lost') . ',' . data('bad4', 1, 'x') . "]\n", $value);
}
errors("GET /icomet/sub?cname=bad4,bad4b&seq=1,1&epoch=a,b,c", 400, 'epoch');



=== TEST 5: cb: no JavaScript identifier path
--- play
for my $value ('alert(1)', 'a;b', 'a b', '<script>', "a'", 'a"', '1a', '.a', 'a.', 'a..b', 'a[0]', "\xc3\xa4", 'c' x 129, "a\n", '//') {
    my $cb = encode($value);
    errors("GET /icomet/$_?cname=bad5&seq=1&cb=$cb", 400, qr/callback|cb/) for qw(sub poll);
    errors("GET /icomet/ping?cb=$cb", 400, qr/callback|cb/);
    errors("GET /icomet-admin/$_?cname=bad5&content=x&cb=$cb", 400, qr/callback|cb/) for qw(pub push sign);
}
same(get('/icomet-admin/check?cname=bad5'), "{}\n", 'nothing was published or signed');



=== TEST 6: pub content that is no JSON string body
--- play
for my $content ('a"b', '"', '\\', 'a\\', '\\x41', '\\u12', '\\u12g4', '\\ud800', '\\udc00', "a\nb", "a\tb", "\x00", "\x1f",
    "\xff", "\xc3", '","type":"close', '\\"\\') {
    errors('GET /icomet-admin/pub?cname=bad6&content=' . encode($content), 400, qr/./, cname => 'bad6');
    errors('POST /icomet-admin/pub', 400, qr/./, cname => 'bad6', body => 'cname=bad6&content=' . encode($content));
}
same(get('/icomet-admin/check?cname=bad6'), "{}\n", 'nothing was published');



=== TEST 7: an unknown last path segment
--- play
errors("GET /icomet/$_?cname=bad7", 404, 'endpoint') for '', 'nothing', 'SUB', 'subs', 'push', 'info', 'sub/', 'sub/x', 'stream.html';
errors("GET /icomet-admin/$_?cname=bad7", 404, 'endpoint') for '', 'nothing', 'PUSH', 'sub', 'sse', 'push/';
errors("POST /icomet-admin/nothing", 404, 'endpoint', body => 'cname=bad7&content=x');
same(get('/icomet-admin/check?cname=bad7'), "{}\n", 'no channel is made');



=== TEST 8: a POST body of another type
--- play
errors('POST /icomet-admin/push', 415, 'application/x-www-form-urlencoded',
    body => '{"cname":"bad8","content":"x"}', type => 'application/json');
errors('POST /icomet-admin/push?cname=bad8', 415, 'application/x-www-form-urlencoded',
    body => "--b\r\n\r\n--b--", type => 'multipart/form-data; boundary=b');
same(get('/icomet-admin/check?cname=bad8'), "{}\n", 'nothing was published');



=== TEST 9: odd but harmless queries
--- play
push_ok('bad9', 'x');
my $batch = '[' . data('bad9', 1, 'x') . "]\n";
same(get("/icomet/sub?$_"), $batch, $_) for
    'cname=bad9&seq=1&&&', '&cname=bad9&seq=1', 'x=%zz&cname=bad9&seq=1',
    'cname=bad9&seq=1&x', 'cname=b%61d9&seq=%31', 'cname=bad9&seq=00000000000000000000000001', '=&cname=bad9&seq=1';



=== TEST 10: a channel's name is escaped in the errors that tell it
--- play
errors('GET /icomet-admin/pub?cname=' . encode('q"<b>') . '&content=%22', 400, qr/./, cname => 'q"<b>');



=== TEST 11: nothing is said of bad input in the error log, and nothing of it is echoed raw
--- play
my $answer = http('GET', '/icomet/sub?cname=bad11&seq=%3Cscript%3E');
same($answer->{status}, 400, 'status');
same($answer->{text} =~ /<script>/ ? 1 : 0, 0, 'the value is not echoed');
same($answer->header('Content-Type'), 'application/json; charset=utf-8', 'Content-Type');
--- no_error_log
[error]
[warn]
