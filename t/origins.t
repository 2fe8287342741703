# Pages of other origins: the admin side, JSONP, frames; and fields that every answer has.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up(tls => 1);
run_tests();

__DATA__

=== TEST 1: the admin side refuses what a browser says is of another site
--- play
for my $fields (['Sec-Fetch-Site: cross-site'], ['Sec-Fetch-Site: same-site'], ['Origin: http://other'], ['Origin: null'], ['Origin: https://localhost'],
    ['Sec-Fetch-Site: cross-site', 'Origin: http://localhost'], ['Origin: http://localhost', 'Origin: http://localhost'], ['Referer: http://other/page']) {
    for my $uri ('sign?cname=or1&cb=f', 'push?cname=or1&content=x', 'api/channels') {
        my $answer = http('GET', "/icomet-admin/$uri", headers => $fields);
        same($answer->{status}, 403, "@$fields: $uri");
        matches($answer->{text}, qr/allowed_origins/, 'what would be right');
        same($answer->header('Access-Control-Allow-Origin'), undef, 'unreadable');
    }
}
same(get('/icomet-admin/check?cname=or1'), "{}\n", 'nothing was done');
for my $fields ([], ['Sec-Fetch-Site: same-origin'], ['Sec-Fetch-Site: none'], ['Origin: http://localhost'], ['Sec-Fetch-Site: same-origin', 'Origin: null'],
    ['Referer: http://localhost/page']) {
    same(http('GET', '/icomet-admin/sign?cname=or1s&cb=f', headers => $fields)->{status}, 200, "@$fields");
}



=== TEST 2: but what allowed_origins names
--- hub: allowed_origins https://A.example:443 https://*.b.example;
--- play
for my $origin (qw(https://a.example https://x.b.example)) {
    my $answer = http('GET', '/icomet-admin/push?cname=or2&content=x', headers => ['Sec-Fetch-Site: cross-site', "Origin: $origin"]);
    same($answer->{status}, 200, $origin);
    same($answer->header('Access-Control-Allow-Origin'), $origin, 'readable');
    same($answer->header('Vary'), 'Origin', 'Vary');
}
same(http('GET', '/icomet-admin/push?cname=or2&content=x', headers => ["Origin: $_"])->{status}, 403, $_)
    for qw(http://a.example https://b.example https://xb.example);



=== TEST 3: JSONP and frames
--- hub: allowed_origins https://a.example;
--- play
get('/icomet-admin/push?cname=or3&content=x');
for my $uri ('sub?cname=or3&seq=1&cb=f', 'poll?cname=or3&seq=1&cb=f', 'iframe?cname=or3&seq=9') {
    for my $fields (['Sec-Fetch-Site: cross-site'], ['Sec-Fetch-Site: same-site', 'Referer: https://b.example/'], ['Referer: https://b.example/https://a.example']) {
        errors("GET /icomet/$uri", 403, qr/allowed_origins/, headers => $fields);
    }
}
for my $fields ([], ['Sec-Fetch-Site: same-origin'], ['Sec-Fetch-Site: cross-site', 'Referer: https://a.example/page'], ['Referer: http://localhost/']) {
    same(http('GET', '/icomet/sub?cname=or3&seq=1&cb=f', headers => $fields)->{status}, 200, "@$fields");
}
same(http('GET', '/icomet/sub?cname=or3&seq=1', headers => ['Sec-Fetch-Site: cross-site', 'Origin: https://b.example'])->{status}, 200, 'without cb CORS decides');



=== TEST 4: jsonp off
--- hub: jsonp off;
--- play
errors("GET $_", 403, qr/JSONP is off/) for '/icomet/sub?cname=or4&seq=1&cb=f', '/icomet/ping?cb=f', '/icomet-admin/sign?cname=or4&cb=f', '/icomet-admin/push?cname=or4&content=x&cb=f';
same(http('GET', '/icomet/ping')->{status}, 200, 'ping');
same(get('/icomet-admin/check?cname=or4'), "{}\n", 'nothing was done');



=== TEST 5: who may keep and guess
--- play
for my $uri ('/icomet-admin/push?cname=or5&content=x', '/icomet-admin/api/channels', '/icomet-admin/none', '/icomet-admin/push') {
    my $answer = http('GET', $uri);
    same($answer->header('Cache-Control'), 'no-store', "$uri: Cache-Control");
    same($answer->header('X-Content-Type-Options'), 'nosniff', "$uri: nosniff");
}
my $poll = http('GET', '/icomet/sub?cname=or5&seq=1');
same($poll->header('Cache-Control'), 'no-cache, no-transform, private', 'poll: Cache-Control');
same($poll->header('X-Content-Type-Options'), 'nosniff', 'poll: nosniff');
# What goes wrong a page of another origin may read as well.
for (['GET', '/icomet/none', 404], ['GET', '/icomet/sub?cname=or5&CNAME=or5b', 400], ['GET', '/icomet/sub', 400], ['POST', '/icomet/sub?cname=or5', 405],
    ['GET', '/icomet/ws?cname=or5', 426], ['GET', '/icomet/presence?cname=or5', 404]) {
    my ($method, $uri, $status) = @$_;
    my $answer = http($method, $uri);
    my @fields = map { $answer->header($_) // '-' } qw(Cache-Control Access-Control-Allow-Origin X-Content-Type-Options);
    same("$answer->{status} @fields", "$status no-cache, no-transform, private * nosniff", "$method $uri");
}
my $sse = subscribe('/icomet/sse?cname=or5&seq=1');
same($sse->header('X-Content-Type-Options'), 'nosniff', 'sse: nosniff');



=== TEST 6: a parameter that comes twice
--- play
errors("GET $_", 400, qr/cname comes twice/) for map { ("/icomet/sub?$_&seq=1", "/icomet/ping?$_", "/icomet-admin/push?$_&content=x") }
    'CNAME=or6&cname=or6s', 'cname=or6&cname=or6s', '%63name=or6s&cname=or6';
matches(post('/icomet-admin/push', 'cname=or6&Cname=or6s&content=x'), qr/cname comes twice/, 'form');
same(get("/icomet-admin/check?cname=$_"), "{}\n", 'nothing was done') for qw(or6 or6s);



=== TEST 7: a refusal is said in the log, once a second at most
--- hub: jsonp off;
--- play
my ($from, %refused) = (time, foreign => 0, jsonp => 0);
for (1 .. 100) {
    for my $uri ('/icomet-admin/push?cname=or7&content=x', '/icomet-admin/api/channels', '/icomet/iframe?cname=or7') {
        $refused{foreign}++ if http('GET', $uri, headers => ['Origin: https://b.example', 'Sec-Fetch-Site: cross-site'])->{status} == 403;
    }
    $refused{jsonp}++ if http('GET', '/icomet/ping?cb=f')->{status} == 403;
}
same("$refused{foreign} $refused{jsonp}", '300 100', 'all are refused');
# Each worker says it by itself.
my $most = (time - $from + 2) * worker_pids();
my $log = IcometTest::_slurp($Test::Nginx::Util::ErrLogFile);
for my $line ('a page of another origin asked hub "main" for what it may not: it is refused (allowed_origins)', 'a client asked hub "main" for JSONP, which is refused (jsonp off)') {
    my $lines = () = $log =~ /\[warn\] .*icomet: \Q$line\E/g;
    same($lines >= 1 && $lines <= $most ? 'few' : "$lines lines", 'few', $line);
}
my $all = () = $log =~ /icomet:.*(?:origin|JSONP)/g;
same($all <= 2 * $most ? 'few' : "$all lines", 'few', 'and nothing else');



=== TEST 8: the scheme counts: a page of http://host opens no wss://host, and one of https://host no ws://host
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
        location ~ ^/icomet-admin/  { icomet_pub main; }
    }
--- play
my @upgrade = ('Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==');
for my $on ([https => 'http', port => port(1), tls => 1], [http => 'https']) {
    my ($ours, $theirs, @where) = @$on;
    my $ask = sub { my ($origin, $uri, @more) = @_; conn(@where ? ($where[1], tls => 1) : ())->request('GET', $uri, headers => ["Origin: $origin", @more])->head };
    same($ask->("$ours://localhost", '/icomet/ws?cname=or8', @upgrade), 101, "$ours: a WebSocket of a page of its own");
    same($ask->("$theirs://localhost", '/icomet/ws?cname=or8', @upgrade), 403, "$ours: a WebSocket of a page of $theirs");
    same($ask->("$ours://localhost", "/icomet-admin/push?cname=or8$ours&content=x"), 200, "$ours: the admin side");
    same($ask->("$theirs://localhost", "/icomet-admin/push?cname=or8$theirs&content=x"), 403, "$ours: the admin side, of a page of $theirs");
}
