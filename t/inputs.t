# What comes in by HTTP: bodies, equal header fields, subrequests, and what others leave in an answer.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: mirror, SSI and auth_request may publish
--- user_files
>>> page.html
before <!--#include virtual="/icomet-admin/push?cname=in1&content=ssi" --> after
>>> plain.html
plain
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location = /page.html       { ssi on; ssi_types *; }
    location = /tapped          { mirror /icomet-admin/push; proxy_pass http://127.0.0.1:$server_port/icomet/ping; }
    location = /json            { mirror /tap/publish; proxy_pass http://127.0.0.1:$server_port/icomet/ping; }
    location = /tap/publish     { rewrite ^ /icomet-admin/api/publish break; icomet_pub main; }
    location = /asked           { auth_request /auth; proxy_pass http://127.0.0.1:$server_port/plain.html; }
    location = /elsewhere       { mirror /icomet-admin/push; proxy_pass http://127.0.0.1:$server_port/icomet/ping; }
    location = /auth            { rewrite ^ /icomet-admin/push?cname=in1&content=auth break; icomet_pub main; }
--- play
my $page = http('GET', '/page.html');
same($page->{text}, qq(before {"type":"ok"}\n after\n), 'the page is whole');
same(get('/icomet/sub?cname=in1&seq=1'), '[' . data('in1', 1, 'ssi') . "]\n", 'SSI has published');
http('POST', '/tapped', body => 'cname=in1&content=mirror');
get('/asked');
matches(get('/icomet/sub?cname=in1&seq=3'), qr/"auth"/, 'auth_request has published');
matches(get('/icomet/sub?cname=in1&seq=2'), qr/mirror/, 'mirror has published, with the form');
http('POST', '/elsewhere', body => 'cname=in1-page&content=x', headers => ['Origin: http://elsewhere.example']);
matches(get('/icomet/sub?cname=in1-page&seq=1'), qr/"x"/, 'mirror has published what a page of another origin has sent');
post_text('/json', 'application/json', '{"channel":"in1","content":"api"}');
matches(get('/icomet/sub?cname=in1&seq=4'), qr/"api"/, 'mirror has published by the API');



=== TEST 2: a form handed over by X-Accel-Redirect is published; without content it is 400
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location = /app             { proxy_pass http://127.0.0.1:$server_port/backend; }
    location = /backend         { add_header X-Accel-Redirect /icomet-admin/push?cname=in2; return 200; }
--- play
same(post('/app', 'content=handed'), qq({"type":"ok"}\n), 'taken');
same(get('/icomet/sub?cname=in2&seq=1'), '[' . data('in2', 1, 'handed') . "]\n", 'its content');
errors('GET /app', 400, 'content is missing or empty', cname => 'in2');



=== TEST 3: a body of no type or with a coding is 415, and the answer says what is wanted
--- play
my $form = 'application/x-www-form-urlencoded';
my $codings = 'gzip, deflate, identity';
my @bodies = (
    ['push', undef, undef, 'Accept', $form],
    ['push', 'text/plain', undef, 'Accept', $form],
    ['push', $form, 'br', 'Accept-Encoding', $codings],
    ['push', $form, 'gzip, gzip', 'Accept-Encoding', $codings],
    ['api/publish?channel=in3', undef, undef, 'Accept', 'application/json, text/plain, application/octet-stream'],
    ['api/publish?channel=in3', 'text/plain', 'zstd', 'Accept-Encoding', $codings],
    ['api/batch', 'text/plain', undef, 'Accept', 'application/json'],
    ['api/batch', 'application/json', 'br', 'Accept-Encoding', $codings],
);
for (@bodies) {
    my ($to, $type, $coding, $field, $value) = @$_;
    my $body = 'cname=in3&content=x';
    my $conn = conn();
    $conn->write("POST /icomet-admin/$to HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        . (defined $type ? "Content-Type: $type\r\n" : '')
        . (defined $coding ? "Content-Encoding: $coding\r\n" : '')
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
    $conn->head;
    same($conn->{status}, 415, "$to: status");
    same($conn->header($field), $value, "$to: $field");
}
same(get('/icomet-admin/check?cname=in3'), "{}\n", 'nothing is published');



=== TEST 4: a subscription whose body is late is refused, and its connection closed
--- play
for my $endpoint (qw(sub poll stream sse iframe ws)) {
    my $conn = conn();
    $conn->write("GET /icomet/$endpoint?cname=in4&seq=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12");
    $conn->head;
    same($conn->{status}, 400, "$endpoint: status");
    same($conn->header('Connection'), 'close', "$endpoint: Connection");
}
my $psub = conn();
$psub->write("GET /icomet-admin/psub HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12");
$psub->head;
same($psub->{status}, 400, 'psub: status');
same(get('/icomet-admin/check?cname=in4'), "{}\n", 'nobody is subscribed');
my $whole = conn();
$whole->write("GET /icomet/stream?cname=in4&seq=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345");
$whole->head;
same($whole->{status}, 200, 'a body that is there is thrown away');



=== TEST 5: more than 16 header fields of one name
--- play
for my $name (qw(Upgrade Origin Sec-WebSocket-Protocol)) {
    for my $number (15, 16) {
        my $conn = conn();
        $conn->write("GET /icomet/ws?cname=in5 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nOrigin: http://x\r\n"
            . "Sec-WebSocket-Protocol: a\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
            . "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" . "$name: b\r\n" x $number . "\r\n");
        $conn->head;
        my $refused = $number == 16 ? 1 : 0;
        my $text = $refused ? $conn->rest : '';
        same($text =~ /more than 16 header fields/ ? 1 : 0, $refused, "$name: $number more");
    }
}



=== TEST 6: what a back end and "expires" say of caching does not come beside what icomet says
--- config
    expires 1d;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location /plain/            { expires off; icomet_sub main; }
    location /app/              { proxy_pass http://127.0.0.1:$server_port/backend/?to=$arg_to; }
    location /backend/          { expires off; add_header Cache-Control max-age=60; add_header Cache-Control public;
                                  add_header Expires "Thu, 31 Dec 2037 23:55:55 GMT"; add_header Accept-Ranges bytes;
                                  add_header X-Accel-Redirect "/icomet/$arg_to?cname=in6&seq=1"; return 200; }
--- play
push_ok('in6', 'x');
for my $way ('/icomet/%s?cname=in6&seq=1', '/app/?to=%s') {
    for my $endpoint (qw(sub stream sse iframe)) {
        my $conn = conn();
        $conn->write('GET ' . sprintf($way, $endpoint) . " HTTP/1.1\r\nHost: 127.0.0.1:$ENV{TEST_NGINX_SERVER_PORT}\r\n\r\n");
        $conn->head;
        same($conn->{status}, 200, "$way $endpoint: status");
        # Fields that come twice are joined by commas here.
        same($conn->header('Cache-Control'), http('GET', '/plain/ping')->header('Cache-Control'), "$way $endpoint: Cache-Control");
        same($conn->header('Expires'), '0', "$way $endpoint: Expires");
        same($conn->header('Accept-Ranges'), undef, "$way $endpoint: Accept-Ranges");
    }
}
for my $path (qw(push?cname=in6&content=x check api/channels none)) {
    my $answer = http('GET', "/icomet-admin/$path");
    same($answer->header('Cache-Control'), 'no-store', "$path: Cache-Control");
    same($answer->header('Expires'), undef, "$path: Expires");
}



=== TEST 7: compressed bodies are inflated, within bounds
--- http_config
    icomet_hub main { zone 64m; max_message_size 100k; }
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
use Compress::Zlib;
use JSON::PP;
my $form = 'application/x-www-form-urlencoded';
my %compress = (
    gzip => sub { Compress::Zlib::memGzip($_[0]) }, 'X-GZIP' => sub { Compress::Zlib::memGzip($_[0]) },
    deflate => sub { Compress::Zlib::compress($_[0]) }, identity => sub { $_[0] },
);
my $send = sub {
    my ($to, $type, $coding, $body) = @_;
    my $conn = conn();
    $conn->write("POST /icomet-admin/$to HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: $type\r\nContent-Encoding: $coding\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
    $conn->head;
    $conn->{text} = $conn->rest;
    return $conn;
};
my $seq = 0;
for my $coding (qw(gzip X-GZIP deflate identity)) {
    my $pack = $compress{$coding};
    for my $content ('x', 'y' x 50_000) {
        my @bodies = (
            ['push', $form, "cname=in7&content=$content"], ['api/publish', 'application/json', qq({"channel":"in7","content":"$content"})],
            ['api/publish?channel=in7', 'text/plain', $content],
        );
        for (@bodies) {
            my ($to, $type, $body) = @$_;
            same($send->($to, $type, $coding, $pack->($body))->{status}, 200, "$coding, $to, " . length($content));
            $seq++;
            same(get("/icomet/sub?cname=in7&seq=$seq"), '[' . data('in7', $seq, $content) . "]\n", 'its content');
        }
    }
    next if $coding eq 'identity';
    my $bomb = $pack->('content=' . 'x' x 10_000_000);
    my $answer = $send->('push?cname=in7', $form, $coding, $bomb);
    same($answer->{status}, 413, "$coding: a bomb");
    matches($answer->{text}, qr/longer than 1355776 bytes/, 'what is too much');
    refused($send->('api/publish', 'application/json', $coding, $bomb), 413, 'body_too_large');
    for my $bad ('nonsense', substr($bomb, 0, -1), "$bomb-") {
        my $short = $pack->('content=x');
        $bad = substr $short, 0, -1 if length $bad > 100;
        same($send->('push?cname=in7', $form, $coding, $bad)->{status}, 400, "$coding: not whole");
        refused($send->('api/publish', 'application/json', $coding, $bad), 400, 'bad_content_coding');
    }
}
same(decode_json(get('/icomet-admin/api/history?channel=in7&since=' . ($seq - 1)))->{next_seq}, $seq + 1, 'nothing else is published');



=== TEST 8: a body is not parsed that is longer than any message needs
--- http_config
    icomet_hub main { zone 64m; max_message_size 10k; channels big.* { max_message_size 100k; } }
--- config
    client_body_buffer_size 16k;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $longest = 3 * 102_400 + 1_048_576;
# What a message of the largest size can need is taken, however it is written.
post_ok($_) for map { [api => qq({"channel":"big.8","content":"$_"})] } '\\u00e4' x 51_200, '\\ud83d\\ude00' x 25_600, 'x' x 102_400;
same(post('/icomet-admin/push?cname=big.8', 'content=' . '%78' x 102_400), qq({"type":"ok"}\n), 'percent-encoded');
sub post_ok { same(post_json('publish', $_[0][1])->{status}, 200, length $_[0][1]) }
# It is not even looked at: the first byte is wrong already.
for my $length ($longest, $longest + 1, 15_000_000) {
    my $body = '!' . 'x' x ($length - 1);
    my ($status, $code) = $length > $longest ? (413, 'body_too_large') : (400, 'bad_json');
    refused(post_json($_, $body), $status, $code) for qw(publish batch disconnect);
    errors('POST /icomet-admin/push?cname=in8', $status, $status == 413 ? "longer than $longest bytes" : 'content is missing', body => $body,
        cname => $status == 413 ? '' : 'in8');
}
# Nor is it waited for, where its length is announced.
for (['api/publish', 'application/json'], ['push', 'application/x-www-form-urlencoded']) {
    my $conn = conn();
    $conn->write("POST /icomet-admin/$_->[0] HTTP/1.1\r\nHost: localhost\r\nContent-Type: $_->[1]\r\nContent-Length: 15000000\r\n\r\n");
    same($conn->head, 413, "$_->[0]: before it is sent");
    $conn->leave;
}



=== TEST 9: by HTTP/2 a client is seen to leave before and after its late body
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        http2 on;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
# Frames of RFC 9113; header fields as literals (RFC 7541, section 6.2.2).
my $frame = sub { my ($type, $flags, $stream, $load) = @_; substr(pack('N', length $load), 1) . pack('CCN', $type, $flags, $stream) . $load };
my $fields = sub { join '', map { my ($name, $value) = @$_; "\0" . chr(length $name) . $name . chr(length $value) . $value } @_ };
for my $endpoint (qw(sub stream sse iframe)) {
    for my $late (0, 1) {
        for my $leave ('reset', 'connection') {
            my $cname = "in9-$endpoint-$late-$leave";
            my $conn = conn(port(1));
            $conn->write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . $frame->(4, 0, 0, '')
                . $frame->(1, 4, 1, $fields->([':method', 'GET'], [':scheme', 'http'], [':authority', 'x'], [':path', "/icomet/$endpoint?cname=$cname&seq=1"],
                    ['content-length', 5])) . $frame->(0, 0, 1, '12'));
            await_subscribers($cname, 1);
            $conn->write($frame->(0, 1, 1, '345')) if $late;
            $leave eq 'reset' ? $conn->write($frame->(3, 0, 1, pack 'N', 8)) : $conn->leave;
            await_subscribers($cname, 0);
            $conn->leave if $leave eq 'reset';
        }
    }
}
