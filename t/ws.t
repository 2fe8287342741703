# ws: WebSocket.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

sub ws { my ($uri, %o) = @_; return IcometTest::Socket->new(conn(), $uri, %o) }

set_up();
run_tests();

__DATA__

=== TEST 1: the handshake, then a message a frame
--- play
my $ws = ws('/icomet/ws?cname=ws1&seq=1');
same($ws->status, 101, 'status');
same($ws->header('Upgrade'), 'websocket', 'Upgrade');
same(lc $ws->header('Connection'), 'upgrade', 'Connection');
same($ws->header('Sec-WebSocket-Accept'), IcometTest::Socket::ACCEPT, 'Sec-WebSocket-Accept');
same($ws->header($_), undef, $_)
    for qw(Sec-WebSocket-Protocol Sec-WebSocket-Extensions Transfer-Encoding Content-Length Content-Type);
for my $seq (1 .. 12) {
    push_ok('ws1', "m$seq");
    same($ws->said, data('ws1', $seq, "m$seq"), "message $seq");
}
push_ok('ws1', 'x' x 70000);
same($ws->said, data('ws1', 13, 'x' x 70000), 'a long one');



=== TEST 2: next_seq, what is buffered, lost, another epoch
--- play
push_ok('ws2', "m$_") for 1 .. 3;
same(ws('/icomet/ws?cname=ws2')->said, data('ws2', 4, '', 'next_seq'), 'next_seq');
my $ws = ws('/icomet/ws?cname=ws2&seq=2');
same($ws->said, data('ws2', $_, "m$_"), "buffered $_") for 2 .. 3;
push_ok('ws2', "m$_") for 4 .. 20;
same($ws->said, data('ws2', 4, 'm4'), 'live');
$ws = ws('/icomet/ws?cname=ws2&seq=2');
same($ws->said, data('ws2', 11, 9, 'lost'), 'lost');
same($ws->said, data('ws2', 11, 'm11'), 'what is left');
$ws = ws('/icomet/ws?cname=ws2&seq=20&epoch=0123456789abcdef');
same($ws->said, told_epoch('ws2', 11), 'epoch');
same($ws->said, data('ws2', 11, '', 'lost'), 'of another epoch');



=== TEST 3: what is no handshake is answered as HTTP
--- play
for ([{ Upgrade => undef }, 426], [{ Upgrade => 'h2c' }, 426], [{ Connection => 'close' }, 426],
     [{ 'Sec-WebSocket-Version' => undef }, 426], [{ 'Sec-WebSocket-Version' => 8 }, 426],
     [{ 'Sec-WebSocket-Key' => undef }, 400], [{ 'Sec-WebSocket-Key' => 'short' }, 400]) {
    my ($fields, $status) = @$_;
    my $ws = ws('/icomet/ws?cname=ws3', %$fields);
    same($ws->status, $status, join ' ', map { "$_ " . ($fields->{$_} // 'absent') } keys %$fields);
    same($ws->header('Sec-WebSocket-Version'), $status == 426 ? 13 : undef, 'Sec-WebSocket-Version');
    same($ws->header('Upgrade'), $status == 426 ? 'websocket' : undef, 'Upgrade');
}
same(http('GET', '/icomet/ws?cname=ws3', version => '1.0', headers => IcometTest::Socket::fields())->{status}, 426, 'HTTP/1.0');
my $post = http('POST', '/icomet/ws?cname=ws3', body => 'x', headers => IcometTest::Socket::fields());
same($post->{status}, 405, 'POST');
same($post->header('Allow'), 'GET', 'Allow');
same(get('/icomet-admin/check?cname=ws3'), "{}\n", 'nobody subscribed');



=== TEST 4: pages of the same host may connect, others not
--- play
same(ws('/icomet/ws?cname=ws4', Origin => 'http://localhost')->status, 101, 'same host');
same(ws('/icomet/ws?cname=ws4', Origin => $_)->status, 403, $_) for qw(http://other http://localhost:81 null);



=== TEST 5: allowed_origins
--- hub: allowed_origins https://a.example https://b.example:8443;
--- play
same(ws('/icomet/ws?cname=ws5', Origin => $_)->status, 101, $_) for qw(https://a.example https://b.example:8443);
same(ws('/icomet/ws?cname=ws5', Origin => $_)->status, 403, $_) for qw(https://b.example http://localhost);
same(ws('/icomet/ws?cname=ws5')->status, 101, 'no page');



=== TEST 6: all origins
--- hub: allowed_origins *;
--- play
same(ws('/icomet/ws?cname=ws6', Origin => $_)->status, 101, $_) for qw(https://a.example null);



=== TEST 7: the sub-protocol
--- play
same(ws('/icomet/ws?cname=ws7', 'Sec-WebSocket-Protocol' => 'chat, icomet.v1')->header('Sec-WebSocket-Protocol'), 'icomet.v1', 'known');
same(ws('/icomet/ws?cname=ws7', 'Sec-WebSocket-Protocol' => 'chat')->header('Sec-WebSocket-Protocol'), undef, 'unknown');



=== TEST 8: pings are answered, pongs are not, a close is repeated
--- play
my $ws = ws('/icomet/ws?cname=ws8&seq=1');
$ws->send(0x89, 'hi')->send(0x8a, 'unasked')->send(0x89, '');
same($ws->said, 'pong hi', 'pong');
same($ws->said, 'pong ', 'another');
push_ok('ws8', 'm');
same($ws->said, data('ws8', 1, 'm'), 'a message');
$ws->send(0x88, pack 'n a*', 4001, 'bye');
same($ws->said, 'close 4001', 'close');
same($ws->said, 'end', 'end');
await_subscribers('ws8', 0);
my $silent = ws('/icomet/ws?cname=ws8&seq=1');
$silent->status;
$silent->send(0x88);
$silent->said;
same($silent->said, 'close ', 'a close without a code');



=== TEST 9: frames are read however they are cut, also together with the request
--- play
my $ping = IcometTest::Socket::frame(0x89, 'early');
my $ws = ws('/icomet/ws?cname=ws9&seq=1', early => $ping . IcometTest::Socket::frame(0x01, '{"id"'));
same($ws->said, 'pong early', 'what came with the request');
for (split //, IcometTest::Socket::frame(0x89, 'between') . IcometTest::Socket::frame(0x80, ':7}')) {
    $ws->conn->write($_);
    # It must be alone on its way.
    get('/icomet-admin/check?cname=ws9');
}
same($ws->said, 'pong between', 'between two fragments');
matches($ws->said, qr/\A\{"type":"error","id":7,"code":"missing_member","content":"/, 'a command in pieces');



=== TEST 10: what the protocol forbids closes
--- play
for (['no mask' => IcometTest::Socket::frame(0x81, 'x', bare => 1), 1002],
     ['reserved bit' => IcometTest::Socket::frame(0xc1, 'x'), 1002],
     ['opcode' => IcometTest::Socket::frame(0x83, 'x'), 1002],
     ['long ping' => IcometTest::Socket::frame(0x89, 'x' x 126), 1002],
     ['continuation' => IcometTest::Socket::frame(0x80, 'x'), 1002],
     ['close code' => IcometTest::Socket::frame(0x88, pack 'n', 1005), 1002],
     ['UTF-8' => IcometTest::Socket::frame(0x81, "\xff"), 1007],
     ['too long' => IcometTest::Socket::frame(0x81, 'x' x 65537), 1009],
     ['binary' => IcometTest::Socket::frame(0x82, 'x'), 1003]) {
    my ($what, $bytes, $code) = @$_;
    my $ws = ws('/icomet/ws?cname=ws10&seq=1');
    $ws->status;
    $ws->conn->write($bytes);
    matches($ws->said, qr/^close $code /, $what);
    same($ws->said, 'end', "$what: end");
}
await_subscribers('ws10', 0);



=== TEST 11: what is no command is answered, and it goes on
--- play
my $ws = ws('/icomet/ws?cname=ws11&seq=1');
$ws->send(0x81, '{"id":"a","type":"fly"}')->send(0x81, '[]')->send(0x81, '');
matches($ws->said, qr/"id":"a","code":"unknown_command"/, 'unknown');
matches($ws->said, qr/"code":"$_"/, $_) for 'wrong_type', 'bad_json';
push_ok('ws11', 'm');
same($ws->said, data('ws11', 1, 'm'), 'it goes on');



=== TEST 12: a closed channel
--- play
my $ws = ws('/icomet/ws?cname=ws12&seq=1');
$ws->status;
await_subscribers('ws12', 1);
get('/icomet-admin/close?cname=ws12');
same($ws->said, data('ws12', 1, '', 'close'), 'close message');
same($ws->said, 'close 1000 channel closed', 'close frame');
same($ws->said, 'end', 'end');



=== TEST 13: refusals are told, then it closes
--- hub: max_subscribers_per_channel 1;
--- play
my $ws = ws('/icomet/ws?cname=ws13&seq=1');
$ws->status;
await_subscribers('ws13', 1);
my $second = ws('/icomet/ws?cname=ws13&seq=1');
same($second->status, 101, 'status');
matches($second->said, qr/"type":"429"/, 'message');
same($second->said, 'close 1013 Too many subscribers', 'close');
same($second->said, 'end', 'end');



=== TEST 14: a token
--- hub: auth token;
--- play
my $ws = ws('/icomet/ws?cname=ws14&seq=1&token=wrong');
matches($ws->said, qr/"type":"401"/, 'message');
same($ws->said, 'close 1008 Token error', 'close');



=== TEST 15: pings by polling_timeout, and who answers none is closed
--- hub: polling_timeout 1s;
--- play
my $ws = ws('/icomet/ws?cname=ws15&seq=1&noop=7');
for (1 .. 3) {
    same($ws->said, 'ping ', "ping $_");
    $ws->send(0x8a);
}
same($ws->said, 'ping ', 'ping');
same($ws->said, 'close 1011 no answer to a ping', 'close');
same($ws->said, 'end', 'end');
await_subscribers('ws15', 0);



=== TEST 16: a broadcast is two messages; several subscribers of several transports
--- play
my @ws = map { ws('/icomet/ws?cname=ws16&seq=1') } 1 .. 3;
await_subscribers('ws16', 3);
my $stream = subscribe('/icomet/stream?cname=ws16&seq=1');
await_subscribers('ws16', 4);
get('/icomet-admin/broadcast?content=all');
push_ok('ws16', 'm');
for my $ws (@ws) {
    same($ws->said, data('ws16', 1, 'all', 'broadcast'), 'broadcast');
    same($ws->said, data('ws16', 2, '', 'next_seq'), 'next_seq');
    same($ws->said, data('ws16', 2, 'm'), 'message');
}
same($stream->line, data('ws16', 1, 'all', 'broadcast') . "\n", 'stream');



=== TEST 17: compression
--- play
use Compress::Raw::Zlib;
sub inflated {
    my ($text) = @_;
    $text =~ s/^compressed // or return "not compressed: $text";
    my $inflate = Compress::Raw::Zlib::Inflate->new(-WindowBits => -12, -AppendOutput => 1);
    $text .= "\x00\x00\xff\xff";
    my $status = $inflate->inflate($text, my $out);
    return $status == Z_OK || $status == Z_BUF_ERROR ? $out : "cannot inflate: $status";
}
my @ws = map { ws('/icomet/ws?cname=ws17&seq=1', 'Sec-WebSocket-Extensions' => $_) }
    'permessage-deflate; client_max_window_bits', 'permessage-deflate; server_max_window_bits=12', 'unknown';
my $agreed = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
same($ws[0]->header('Sec-WebSocket-Extensions'), $agreed, 'agreed');
same($ws[1]->header('Sec-WebSocket-Extensions'), "$agreed; server_max_window_bits=12", 'with a window');
same($ws[2]->header('Sec-WebSocket-Extensions'), undef, 'nothing');
my $long = join ' ', map { "word$_" } 1 .. 900;
push_ok('ws17', 'short');
push_ok('ws17', $long);
push_ok('ws17', $long);
for my $ws (@ws) {
    my $plain = $ws == $ws[2];
    same($ws->said, data('ws17', 1, 'short'), 'a short one');
    same($plain ? $ws->said : inflated($ws->said), data('ws17', $_, $long), "a long one, seq $_") for 2 .. 3;
}
my $deflate = Compress::Raw::Zlib::Deflate->new(-WindowBits => -15, -AppendOutput => 1);
$deflate->deflate('{"id":1}', my $command);
$deflate->flush($command, Z_SYNC_FLUSH);
$ws[0]->send(0xc1, substr $command, 0, -4);
matches($ws[0]->said, qr/"id":1/, 'a compressed command');
$deflate = Compress::Raw::Zlib::Deflate->new(-WindowBits => -15, -AppendOutput => 1);
$deflate->deflate(' ' x 10_000_000, my $bomb);
$deflate->flush($bomb, Z_SYNC_FLUSH);
$ws[0]->send(0xc1, substr $bomb, 0, -4);
matches($ws[0]->said, qr/^close 1009/, 'a bomb');



=== TEST 18: echo
--- config
    location = /echo { icomet_sub main ws_echo; }
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- hub: ws_max_message_size 1m; max_subscribers_per_channel 100;
--- play
my $ws = ws('/echo');
$ws->status;
for my $n (0, 125, 126, 65535, 65536, 300_000) {
    $ws->send(0x82, 'y' x $n);
    same($ws->said, 'binary ' . 'y' x $n, "binary $n");
}
$ws->send(0x01, 'a')->send(0x89, 'p')->send(0x80, 'b');
same($ws->said, 'pong p', 'pong');
same($ws->said, 'ab', 'text');
same(ws('/icomet/ws_echo?cname=x')->status, 404, 'not by the path');



=== TEST 19: a client that takes nothing is not read from; it catches up later
--- hub: channel_buffer_size 100; max_message_size 1m;
--- config
    location = /echo { icomet_sub main ws_echo; }
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $ws = IcometTest::Socket->new(conn(undef, narrow => 4096), '/icomet/ws?cname=ws19&seq=1');
$ws->status;
await_subscribers('ws19', 1);
post('/icomet-admin/push', "cname=ws19&content=$_" . 'x' x 500_000) for 10 .. 29;
$ws->send(0x89, 'late');
my %seen;
for (1 .. 21) {
    my $said = $ws->said;
    $seen{ $said =~ /"seq":(\d+)/ ? $1 : $said }++;
}
same(join(' ', sort keys %seen), join(' ', sort 1 .. 20, 'pong late'), 'all of it');



=== TEST 20: the access log
--- http_config
    log_format icomet '$status $icomet_transport $icomet_channel $icomet_seq $bytes_sent $request_time';
    access_log logs/access.log icomet;
    icomet_hub main { zone 16m; }
--- play
my $ws = ws('/icomet/ws?cname=ws20&seq=1');
$ws->status;
await_subscribers('ws20', 1);
push_ok('ws20', 'm');
$ws->said;
my $sent = $ws->conn->{received} + 4;
$ws->send(0x88, pack 'n', 1000);
$ws->said;
matches(access_log_line(qr/ ws ws20 /), qr/^101 ws ws20 2 $sent \d/, 'line');



=== TEST 21: a client that goes without a word
--- play
my $ws = ws('/icomet/ws?cname=ws21&seq=1');
$ws->status;
await_subscribers('ws21', 1);
$ws->conn->leave;
await_subscribers('ws21', 0);



=== TEST 22: not by HTTP/2
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        http2 on;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
my $where = 'http://127.0.0.1:' . port(1) . '/icomet/ws?cname=ws22';
my $text = `curl -sS --max-time 20 --http2-prior-knowledge -w '%{http_code} %{http_version}' '$where'`;
matches($text, qr/a WebSocket is opened by HTTP\/1.1 here.*\n400 2\z/, 'answer');



=== TEST 23: much that little inflates to is answered in turns, in order
--- config
    location = /echo { icomet_sub main ws_echo; }
--- play
use Compress::Raw::Zlib;
my $ws = ws('/echo', 'Sec-WebSocket-Extensions' => 'permessage-deflate');
$ws->status;
my $deflate = Compress::Raw::Zlib::Deflate->new(-WindowBits => -15, -AppendOutput => 1);
$deflate->deflate(' ' x 60_000, my $bytes);
$deflate->flush($bytes, Z_SYNC_FLUSH);
$ws->conn->write(join '', map { IcometTest::Socket::frame(0xc2, substr $bytes, 0, -4) . IcometTest::Socket::frame(0x89, $_) } 1 .. 60);
my @said = map { $ws->said } 1 .. 120;
same(join(' ', grep { /^pong/ } @said), join(' ', map { "pong $_" } 1 .. 60), 'pongs');
same(scalar(grep { $_ eq 'binary ' . ' ' x 60_000 } @said), 60, 'messages');
