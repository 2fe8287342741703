# info and check.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: info of a channel
--- play
same(get('/icomet-admin/info?cname=info1'), qq({"cname": "info1", "subscribers": 0}\n), 'not there');
same(get('/icomet-admin/check?cname=info1'), "{}\n", 'and info does not make it');
my @streams = map { subscribe('/icomet/stream?cname=info1&seq=1') } 1 .. 2;
answers('GET /icomet-admin/info?cname=info1', 200, qq({"cname": "info1", "subscribers": 2}\n), expect => { 'Content-Type' => 'text/html; charset=utf-8' });
same(post('/icomet-admin/info', 'cname=info1'), qq({"cname": "info1", "subscribers": 2}\n), 'POST');



=== TEST 2: info of the hub
--- http_config
    icomet_hub info2 { zone 4m; }
--- config
    location ~ ^/icomet/        { icomet_sub info2; }
    location ~ ^/icomet-admin/  { icomet_pub info2; }
--- play
answers('GET /icomet-admin/info', 200, qr/\A\{"version": "\d+\.\d+\.\d+[^"]*", "channels": 0, "subscribers": 0\}\n\z/,
    expect => { 'Content-Type' => 'text/html; charset=utf-8' });
push_ok("c$_", 'x') for 1 .. 3;
my @subscribers = (subscribe('/icomet/sub?cname=c1&seq=2'), map { subscribe("/icomet/$_?cname=c4&seq=1") } qw(stream sse iframe));
matches(get('/icomet-admin/info'), qr/"channels": 4, "subscribers": 4\}\n\z/, 'all transports count');
matches(get('/icomet-admin/info?cname='), qr/"channels": 4, "subscribers": 4\}\n\z/, 'an empty cname is none');
push_ok('c1', 'y');
$subscribers[0]->rest;
$subscribers[1]->leave;
await_subscribers('c4', 2);
get('/icomet-admin/close?cname=c2');
matches(get('/icomet-admin/info'), qr/"channels": 3, "subscribers": 2\}\n\z/, 'who left, and what was closed, does not');



=== TEST 3: check
--- play
answers('GET /icomet-admin/check?cname=info3', 200, "{}\n", expect => { 'Content-Type' => 'text/html; charset=utf-8' });
push_ok('info3', 'x');
answers('GET /icomet-admin/check?cname=info3', 200, qq({"info3": 1}\n));
same(post('/icomet-admin/check', 'cname=info3'), qq({"info3": 1}\n), 'POST');
get('/icomet-admin/close?cname=info3');
same(get('/icomet-admin/check?cname=info3'), "{}\n", 'closed');



=== TEST 4: a channel is made by push, pub, sign and subscribe, not by anything else
--- play
get('/icomet-admin/push?cname=info4push&content=x');
get('/icomet-admin/pub?cname=info4pub&content=x');
get('/icomet-admin/sign?cname=info4sign');
get('/icomet/sub?cname=info4sub');
same(get("/icomet-admin/check?cname=info4$_"), qq({"info4$_": 1}\n), $_) for qw(push pub sign sub);
get("/icomet-admin/$_?cname=info4none") for qw(close clear info check broadcast);
same(get('/icomet-admin/check?cname=info4none'), "{}\n", 'nothing else');



=== TEST 5: names with quotes and HTML
--- play
my $cname = 'q"\\<b>';
push_ok($cname, 'x');
my $name = 'q\\"\\\\\\u003cb>';
same(get('/icomet-admin/info?cname=' . encode($cname)), qq({"cname": "$name", "subscribers": 0}\n), 'info');
same(get('/icomet-admin/check?cname=' . encode($cname)), qq({"$name": 1}\n), 'check');
my $utf8 = "\xc3\xa4 \xe2\x82\xac";
push_ok($utf8, 'x');
same(get('/icomet-admin/check?cname=' . encode($utf8)), qq({"$utf8": 1}\n), 'UTF-8');



=== TEST 6: a channel lives channel_timeout after a publish, and after its last subscriber left
--- hub: channel_timeout 1s;
--- play
push_ok('info6', $_) for 1 .. 3;
my $stream = subscribe('/icomet/stream?cname=info6stays&seq=1');
get('/icomet/sub?cname=info6sub');
await_check('info6', 0);
await_check('info6sub', 0);
push_ok('info6', 'fresh');
same(get('/icomet/sub?cname=info6&seq=1'), '[' . data('info6', 1, 'fresh') . "]\n", 'its messages and seq were gone with it');
same(get('/icomet-admin/check?cname=info6stays'), qq({"info6stays": 1}\n), 'one with a subscriber stays');
$stream->leave;
await_check('info6stays', 0);
