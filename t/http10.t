# HTTP/1.0 clients: no chunks; the end of the connection ends a stream.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: long polls
--- play
my $poll = subscribe('/icomet/sub?cname=http10-1&seq=1', version => '1.0');
push_ok('http10-1', 'x');
same($poll->head, 200, 'status');
same($poll->header('Connection'), 'close', 'Connection');
same($poll->header('Content-Length'), length(data('http10-1', 1, 'x')) + 1, 'Content-Length');
same($poll->rest, data('http10-1', 1, 'x') . "\n", 'live');
same($poll->closed, '', 'then the connection is closed');
same(http('GET', '/icomet/sub?cname=http10-1&seq=1', version => '1.0')->{text}, '[' . data('http10-1', 1, 'x') . "]\n", 'replay');



=== TEST 2: long polls with keepalive
--- play
my $conn = conn();
for my $seq (1 .. 3) {
    $conn->request('GET', "/icomet/sub?cname=http10-2&seq=$seq", version => '1.0', headers => ['Connection: keep-alive']);
    await_subscribers('http10-2', 1);
    push_ok('http10-2', "m$seq");
    same($conn->header('Connection'), 'keep-alive', 'Connection');
    same($conn->rest, data('http10-2', $seq, "m$seq") . "\n", "poll $seq");
}



=== TEST 3: streams
--- play
my %open = map { $_ => subscribe("/icomet/$_?cname=http10-3&seq=1", version => '1.0') } qw(stream sse iframe);
for (values %open) {
    same($_->head, 200, 'status');
    same($_->header('Transfer-Encoding'), undef, 'no Transfer-Encoding');
    same($_->header('Content-Length'), undef, 'no Content-Length');
}
my $epoch = epoch_of('http10-3');
for my $seq (1 .. 3) {
    push_ok('http10-3', "m$seq");
    my $message = data('http10-3', $seq, "m$seq");
    same($open{stream}->line, "$message\n", 'stream');
    same($open{sse}->event, "id: $epoch-$seq\ndata: $message\n\n", 'sse');
    my $line;
    1 until ($line = $open{iframe}->line) =~ /^<script/ or $line eq '';
    same($line, "<script>parent.icomet_cb($message);</script>\n", 'iframe');
}
get('/icomet-admin/close?cname=http10-3');
my $message = data('http10-3', 4, '', 'close');
same($open{stream}->rest, "$message\n", 'stream: close, then the end');
same($open{sse}->rest, "data: $message\n\n", 'sse: close, then the end');
same($open{iframe}->rest, "<script>parent.icomet_cb($message);</script>\n", 'iframe: close, then the end');



=== TEST 4: the admin side
--- play
same(http('GET', '/icomet-admin/push?cname=http10-4&content=x', version => '1.0')->{text}, qq({"type":"ok"}\n), 'push');
same(http('POST', '/icomet-admin/push', version => '1.0', body => 'cname=http10-4&content=y')->{text}, qq({"type":"ok"}\n), 'push by POST');
same(http('GET', '/icomet-admin/info?cname=http10-4', version => '1.0')->{text}, qq({"cname": "http10-4", "subscribers": 0}\n), 'info');
same(http('GET', '/icomet-admin/broadcast?content=z', version => '1.0')->{text}, "ok\n", 'broadcast');



=== TEST 5: psub
--- http_config
    icomet_hub http10 { zone 4m; }
--- config
    location ~ ^/icomet-admin/  { icomet_pub http10; }
--- play
my $psub = conn()->request('GET', '/icomet-admin/psub', version => '1.0');
same($psub->head, 200, 'status');
push_ok('x', 'x');
same($psub->line, "1 x\n", 'line');



=== TEST 6: no Host, no header fields at all
--- play
push_ok('http10-6', 'x');
my $conn = conn();
$conn->write("GET /icomet/sub?cname=http10-6&seq=1 HTTP/1.0\r\n\r\n");
same($conn->head, 200, 'status');
same($conn->rest, '[' . data('http10-6', 1, 'x') . "]\n", 'body');
