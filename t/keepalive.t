# Connections that go on after an answer.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: many long polls, live and replayed, on one connection
--- play
my $conn = conn();
my $seq = 1;
for my $round (1 .. 25) {
    $conn->request('GET', "/icomet/sub?cname=keepalive1&seq=$seq");
    await_subscribers('keepalive1', 1);
    push_ok('keepalive1', "m$seq");
    same($conn->rest, data('keepalive1', $seq, "m$seq") . "\n", "live $round");
    $seq++;
    push_ok('keepalive1', "m$seq");
    $conn->request('GET', "/icomet/sub?cname=keepalive1&seq=$seq");
    same($conn->rest, '[' . data('keepalive1', $seq, "m$seq") . "]\n", "replay $round");
    $seq++;
}



=== TEST 2: other requests after a long poll, and long polls after them
--- play
my $conn = conn();
for my $seq (1 .. 3) {
    $conn->request('GET', "/icomet/sub?cname=keepalive2&seq=$seq");
    await_subscribers('keepalive2', 1);
    push_ok('keepalive2', 'x');
    same($conn->rest, data('keepalive2', $seq, 'x') . "\n", 'poll');
    $conn->request('GET', '/icomet/ping');
    same($conn->rest, qq(icomet_cb({"type":"ping","sub_timeout":30});\n), 'ping');
    $conn->request('GET', '/alive');
    same($conn->rest, "alive\n", 'what is not icomet');
    $conn->request('GET', '/icomet/sub?cname=');
    same($conn->head, 400, 'an error');
    $conn->rest;
    $conn->request('GET', '/icomet/sub?cname=keepalive2&seq=0');
    same($conn->rest, data('keepalive2', $seq + 1, '', 'next_seq') . "\n", 'next_seq');
    $conn->request('POST', '/icomet-admin/sign', body => 'cname=keepalive2');
    matches($conn->rest, qr/"seq":1,/, 'sign');
}



=== TEST 3: noops on one connection
--- hub: polling_timeout 1s;
--- play
my $conn = conn();
for my $noop (1 .. 3) {
    $conn->request('GET', "/icomet/sub?cname=keepalive3&seq=1&noop=$noop");
    same($conn->rest, data('keepalive3', $noop, '', 'noop') . "\n", "noop $noop");
}



=== TEST 4: a request that was sent before the poll was answered is answered after it
--- play
my $conn = conn();
$conn->write("GET /icomet/sub?cname=keepalive4&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /icomet/ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
await_subscribers('keepalive4', 1);
push_ok('keepalive4', 'x');
same($conn->head, 200, 'poll');
same($conn->rest, data('keepalive4', 1, 'x') . "\n", 'poll');
delete @$conn{qw(status complete)};
same($conn->head, 200, 'ping');
same($conn->rest, qq(icomet_cb({"type":"ping","sub_timeout":30});\n), 'ping');



=== TEST 5: a request that comes while the poll waits is answered after it
--- play
my $conn = conn()->request('GET', '/icomet/sub?cname=keepalive5&seq=1');
await_subscribers('keepalive5', 1);
$conn->write("GET /icomet/sub?cname=keepalive5&seq=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
push_ok('keepalive5', 'x');
same($conn->rest, data('keepalive5', 1, 'x') . "\n", 'first');
delete @$conn{qw(status complete)};
same($conn->rest, '[' . data('keepalive5', 1, 'x') . "]\n", 'second');



=== TEST 6: Connection: close is honoured by a poll that waited
--- play
my $conn = subscribe('/icomet/sub?cname=keepalive6&seq=1', close => 1);
push_ok('keepalive6', 'x');
same($conn->header('Connection'), 'close', 'Connection');
same($conn->rest, data('keepalive6', 1, 'x') . "\n", 'body');
same($conn->closed, '', 'closed');



=== TEST 7: GET with a body that nobody asked for
--- play
my $conn = conn();
$conn->request('GET', '/icomet/sub?cname=keepalive7&seq=1', body => 'y' x 30000);
await_subscribers('keepalive7', 1);
push_ok('keepalive7', 'x');
same($conn->rest, data('keepalive7', 1, 'x') . "\n", 'poll');
$conn->request('GET', '/icomet/ping');
same($conn->rest, qq(icomet_cb({"type":"ping","sub_timeout":30});\n), 'the next request');



=== TEST 8: publishes on one connection, small and large
--- play
my $conn = conn();
for my $size (1, 100_000, 10, 500_000, 2) {
    $conn->request('POST', '/icomet-admin/push', body => 'cname=keepalive8&content=' . 'x' x $size);
    same($conn->rest, qq({"type":"ok"}\n), "$size bytes");
}
$conn->request('GET', '/icomet-admin/info?cname=keepalive8');
same($conn->rest, qq({"cname": "keepalive8", "subscribers": 0}\n), 'info');
