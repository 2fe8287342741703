# nginx's connection settings and subscribers that wait: when a connection goes on, when it ends, and which
# timers must leave who waits alone.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @STREAMS = qw(stream sse iframe);

set_up();
run_tests();

__DATA__

=== TEST 1: poll, publish, poll ... on one connection beside others that wait
--- play
my $conn = conn();
my $other = conn();
for my $seq (1 .. 20) {
    $other->request('GET', "/icomet/sub?cname=wait1&seq=$seq");
    await_subscribers('wait1', 1);
    $conn->request('POST', '/icomet-admin/push', body => "cname=wait1&content=m$seq");
    same($conn->rest, qq({"type":"ok"}\n), "push $seq");
    same($other->rest, data('wait1', $seq, "m$seq") . "\n", "poll $seq");
    ($conn, $other) = ($other, $conn);
}



=== TEST 2: a connection goes on after a stream that the server ended, and serves every transport again
--- play
my $conn = conn();
for my $round (1 .. 3) {
    for my $transport ('sub', @STREAMS) {
        my $cname = "wait2-$transport-$round";
        $conn->request('GET', "/icomet/$transport?cname=$cname&seq=1");
        await_subscribers($cname, 1);
        push_ok($cname, 'x' x 5000);
        same(message($conn), data($cname, 1, 'x' x 5000), "$transport $round: message");
        get("/icomet-admin/close?cname=$cname");
        $conn->rest;
        same($conn->end, 'complete', "$transport $round: end");
    }
}
same($conn->request('GET', '/alive')->rest, "alive\n", 'and what is not icomet');



=== TEST 3: HTTP/1.0, with and without keep-alive
--- play
my $conn = conn();
for my $seq (1 .. 5) {
    $conn->request('GET', "/icomet/sub?cname=wait3&seq=$seq", version => '1.0', headers => ['Connection: keep-alive']);
    await_subscribers('wait3', 1);
    push_ok('wait3', 'x');
    same($conn->header('Connection'), 'keep-alive', "poll $seq: Connection");
    same($conn->rest, data('wait3', $seq, 'x') . "\n", "poll $seq");
}
$conn->request('GET', '/icomet/sub?cname=wait3&seq=6', version => '1.0');
await_subscribers('wait3', 1);
push_ok('wait3', 'x');
same($conn->header('Connection'), 'close', 'without: Connection');
same($conn->rest, data('wait3', 6, 'x') . "\n", 'without');
same($conn->closed, '', 'without: closed');
# A stream's end cannot be told otherwise.
for my $transport (@STREAMS) {
    my $stream = subscribe("/icomet/$transport?cname=wait3-$transport&seq=1", version => '1.0', headers => ['Connection: keep-alive']);
    same($stream->header('Connection'), 'close', "$transport: Connection");
    push_ok("wait3-$transport", 'x');
    same(message($stream), data("wait3-$transport", 1, 'x'), $transport);
    get("/icomet-admin/close?cname=wait3-$transport");
    matches($stream->rest, qr/"type":"close"/, "$transport: close");
    same($stream->end, 'complete', "$transport: closed");
}



=== TEST 4: keepalive_requests counts each poll
--- config
    keepalive_requests 3;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $conn = conn();
for my $seq (1 .. 3) {
    $conn->request('GET', "/icomet/sub?cname=wait4&seq=$seq");
    await_subscribers('wait4', 1);
    push_ok('wait4', 'x');
    same($conn->header('Connection'), $seq < 3 ? 'keep-alive' : 'close', "poll $seq: Connection");
    same($conn->rest, data('wait4', $seq, 'x') . "\n", "poll $seq");
}
same($conn->closed, '', 'closed after the third');
for my $transport (@STREAMS) {
    my $stream = conn();
    $stream->request('GET', '/icomet/ping')->rest for 1 .. 2;
    $stream->request('GET', "/icomet/$transport?cname=wait4-$transport&seq=1");
    await_subscribers("wait4-$transport", 1);
    same($stream->header('Connection'), 'close', "$transport: Connection");
    get("/icomet-admin/close?cname=wait4-$transport");
    matches($stream->rest, qr/"type":"close"/, "$transport: close");
    same($stream->end, 'complete', "$transport: the end");
    same($stream->closed, '', "$transport: closed");
}



=== TEST 5: keepalive_timeout 0
--- config
    keepalive_timeout 0;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $poll = subscribe('/icomet/sub?cname=wait5&seq=1');
push_ok('wait5', 'x');
same($poll->header('Connection'), 'close', 'Connection');
same($poll->rest, data('wait5', 1, 'x') . "\n", 'poll');
same($poll->closed, '', 'poll: closed');
for my $transport (@STREAMS) {
    my $stream = subscribe("/icomet/$transport?cname=wait5-$transport&seq=1");
    push_ok("wait5-$transport", 'x');
    same(message($stream), data("wait5-$transport", 1, 'x'), $transport);
    get("/icomet-admin/close?cname=wait5-$transport");
    $stream->rest;
    same($stream->end, 'complete', "$transport: the end");
    same($stream->closed, '', "$transport: closed");
}



=== TEST 6: Connection: close of the client
--- play
for my $transport ('sub', @STREAMS) {
    my $conn = subscribe("/icomet/$transport?cname=wait6-$transport&seq=1", close => 1);
    push_ok("wait6-$transport", 'x');
    same(message($conn), data("wait6-$transport", 1, 'x'), $transport);
    get("/icomet-admin/close?cname=wait6-$transport");
    $conn->rest;
    same($conn->end, 'complete', "$transport: the end");
    same($conn->closed, '', "$transport: closed");
}



=== TEST 7: a poll's idle connection is closed after keepalive_timeout
--- config
    keepalive_timeout 100ms;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $poll = subscribe('/icomet/sub?cname=wait7&seq=1');
push_ok('wait7', 'x');
same($poll->rest, data('wait7', 1, 'x') . "\n", 'poll');
same($poll->closed, '', 'closed');



=== TEST 8: no timer of nginx's ends who waits
--- http_config
    icomet_hub main { zone 16m; polling_timeout 3s; }
    client_header_timeout 1s;
    client_body_timeout 1s;
    send_timeout 1s;
    lingering_timeout 1s;
    reset_timedout_connection on;
--- config
    keepalive_timeout 1s;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
# All at once; each is sent something, then waits much longer than the timers are.
my %open = map { $_ => conn()->request('GET', "/icomet/$_?cname=wait8-$_&seq=1&noop=7") } 'sub', @STREAMS;
# A poll behind another on its connection.
my $second = conn()->request('GET', '/icomet/sub?cname=wait8-second&seq=0');
matches($second->rest, qr/"next_seq"/, 'the first poll');
$second->request('GET', '/icomet/sub?cname=wait8-second&seq=1&noop=7');
await_subscribers("wait8-$_", 1) for 'second', 'sub', @STREAMS;
push_ok("wait8-$_", 'x') for @STREAMS;
same(message($open{$_}), data("wait8-$_", 1, 'x'), "$_: message") for @STREAMS;
same(message($open{$_}), data("wait8-$_", 7, '', 'noop'), "$_: noop") for 'sub', @STREAMS;
same($second->rest, data('wait8-second', 7, '', 'noop') . "\n", 'second poll: noop');
push_ok("wait8-$_", 'y') for @STREAMS;
same(message($open{$_}), data("wait8-$_", 2, 'y'), "$_: message") for @STREAMS;



=== TEST 9: after a poll that waited, nginx's timers hold again for the next request
--- config
    client_header_timeout 1s;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $conn = subscribe('/icomet/sub?cname=wait9&seq=1');
push_ok('wait9', 'x');
same($conn->rest, data('wait9', 1, 'x') . "\n", 'poll');
$conn->write("GET /icomet/sub?cname=wait9&se");
same($conn->closed, '', 'a request that is never whole: closed');



=== TEST 10: chunked_transfer_encoding off
--- config
    chunked_transfer_encoding off;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport (@STREAMS) {
    my $stream = subscribe("/icomet/$transport?cname=wait10-$transport&seq=1");
    same($stream->header('Transfer-Encoding'), undef, "$transport: Transfer-Encoding");
    push_ok("wait10-$transport", "m$_") for 1 .. 3;
    same(message($stream), data("wait10-$transport", $_, "m$_"), "$transport: message $_") for 1 .. 3;
    get("/icomet-admin/close?cname=wait10-$transport");
    matches($stream->rest, qr/\Q${\data("wait10-$transport", 4, '', 'close')}\E\S*\s*\z/, "$transport: close, then the end");
    same($stream->end, 'complete', "$transport: end");
}



=== TEST 11: keepalive_disable, as for an old browser
--- config
    keepalive_disable safari;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my @safari = (headers => ['User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X) AppleWebKit/5 (KHTML, like Gecko) Safari/5']);
my $poll = subscribe('/icomet/sub?cname=wait11&seq=1', @safari);
push_ok('wait11', 'x');
same($poll->header('Connection'), 'close', 'Connection');
same($poll->rest, data('wait11', 1, 'x') . "\n", 'poll');
same($poll->closed, '', 'closed');



=== TEST 12: a large request: its head does not fit into client_header_buffer_size
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|length=$request_length|x=$http_x_long';
    client_header_buffer_size 512;
    large_client_header_buffers 4 8k;
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $conn = conn();
for my $size (10, 3000, 7000, 10) {
    my $cname = "wait12-" . $conn->{sent};
    my $sent = $conn->{sent};
    my $long = 'x' x $size;
    $conn->request('GET', "/icomet/sub?cname=$cname&seq=1&pad=" . 'p' x $size, headers => ["X-Long: $long"]);
    await_subscribers($cname, 1);
    push_ok($cname, 'x');
    same($conn->rest, data($cname, 1, 'x') . "\n", "$size bytes");
    my $entry = log_entry(qr/channel=$cname\|length=\d+\|x=x/, 'icomet.log');
    same($entry->{length}, $conn->{sent} - $sent, "$size bytes: request_length");
    same($entry->{x}, $long, "$size bytes: a header field");
}
