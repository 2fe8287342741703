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
    location = /auth            { rewrite ^ /icomet-admin/push?cname=in1&content=auth break; icomet_pub main; }
--- play
my $page = http('GET', '/page.html');
same($page->{text}, qq(before {"type":"ok"}\n after\n), 'the page is whole');
same(get('/icomet/sub?cname=in1&seq=1'), '[' . data('in1', 1, 'ssi') . "]\n", 'SSI has published');
http('POST', '/tapped', body => 'cname=in1&content=mirror');
get('/asked');
matches(get('/icomet/sub?cname=in1&seq=3'), qr/"auth"/, 'auth_request has published');
matches(get('/icomet/sub?cname=in1&seq=2'), qr/mirror/, 'mirror has published, with the form');
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
my @bodies = (
    ['push', undef, undef, 'Accept', $form],
    ['push', 'text/plain', undef, 'Accept', $form],
    ['push', $form, 'gzip', 'Accept-Encoding', 'identity'],
    ['push', $form, 'identity, gzip', 'Accept-Encoding', 'identity'],
    ['api/publish?channel=in3', undef, undef, 'Accept', 'application/json, text/plain, application/octet-stream'],
    ['api/publish?channel=in3', 'text/plain', 'gzip', 'Accept-Encoding', 'identity'],
    ['api/batch', 'text/plain', undef, 'Accept', 'application/json'],
    ['api/batch', 'application/json', 'br', 'Accept-Encoding', 'identity'],
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
