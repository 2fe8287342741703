# A little of everything, on whatever nginx the module was built for (from 1.22 on).

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: every endpoint answers
--- play
my %open = map { $_ => subscribe("/icomet/$_?cname=smoke1&seq=1") } qw(sub poll stream sse iframe);
same(post('/icomet-admin/push', 'cname=smoke1&content=' . encode("\"hi\"\n")), qq({"type":"ok"}\n), 'push');
my $message = '{"type":"data","cname":"smoke1","seq":1,"content":"\\"hi\\"\\n"}';
same($open{$_}->rest, "$message\n", $_) for qw(sub poll);
same($open{stream}->line, "$message\n", 'stream');
matches($open{sse}->event, qr/\Aid: [0-9a-f]{16}\.[0-9a-z]+-1\ndata: \Q$message\E\n\n\z/, 'sse');
my $line;
1 until ($line = $open{iframe}->line) =~ /^<script/ or $line eq '';
same($line, "<script>parent.icomet_cb($message);</script>\n", 'iframe');
same(get('/icomet/ping'), qq(icomet_cb({"type":"ping","sub_timeout":30});\n), 'ping');
same(get('/icomet-admin/pub?cname=smoke1&content=x&cb=f'), qq(/**/f({"type":"ok"});\n), 'pub');
same(get('/icomet-admin/broadcast?content=b'), "ok\n", 'broadcast');
matches(get('/icomet-admin/sign?cname=smoke1'), qr/\A\{"type":"sign","cname":"smoke1","seq":1,"token":"[0-9a-f]{32}","expires":30,"sub_timeout":30\}\n\z/, 'sign');
same(get('/icomet-admin/info?cname=smoke1'), qq({"cname": "smoke1", "subscribers": 3}\n), 'info');
same(get('/icomet-admin/check?cname=smoke1'), qq({"smoke1": 1}\n), 'check');
same(get('/icomet-admin/clear?cname=smoke1'), "ok 4\n", 'clear');
same(get('/icomet-admin/close?cname=smoke1'), "ok 4\n", 'close');
matches($open{stream}->rest, qr/\n\Q{"type":"close","cname":"smoke1","seq":4,"content":""}\E\n\z/, 'stream ends');
my $psub = conn()->request('GET', '/icomet-admin/psub');
same($psub->head, 200, 'psub');



=== TEST 2: keepalive, HEAD, OPTIONS, errors
--- play
my $conn = conn();
for my $seq (1 .. 3) {
    $conn->request('GET', "/icomet/sub?cname=smoke2&seq=$seq");
    await_subscribers('smoke2', 1);
    push_ok('smoke2', $seq);
    same($conn->rest, data('smoke2', $seq, $seq) . "\n", "poll $seq");
}
same(http('HEAD', '/icomet/sse?cname=smoke2')->header('Content-Type'), 'text/event-stream; charset=utf-8', 'HEAD');
same(http('OPTIONS', '/icomet/sub')->{status}, 204, 'OPTIONS');
errors('GET /icomet/sub', 400, 'cname');
errors('PUT /icomet/sub', 405, 'method', expect => { Allow => 'GET, HEAD, OPTIONS' });
errors('GET /icomet/other', 404, 'endpoint');



=== TEST 3: tokens, limits, noop
--- hub: auth token; max_subscribers_per_channel 1; polling_timeout 1s; channel_timeout 1s;
--- play
my ($token) = get('/icomet-admin/sign?cname=smoke3') =~ /"token":"([0-9a-f]{32})"/;
matches(get('/icomet/sub?cname=smoke3'), qr/"type":"401"/, '401');
my $stream = subscribe("/icomet/stream?cname=smoke3&seq=1&noop=5&token=$token");
matches(get("/icomet/sub?cname=smoke3&token=$token"), qr/"type":"429"/, '429');
same($stream->line, data('smoke3', $_, '', 'noop') . "\n", "noop $_") for 5, 6;
$stream->leave;
await_check('smoke3', 0);



=== TEST 4: a large POST, from a file
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { client_body_in_file_only clean; icomet_pub main; }
--- play
my $stream = subscribe('/icomet/stream?cname=smoke4&seq=1');
push_ok('smoke4', 'x' x 900_000);
same($stream->line, data('smoke4', 1, 'x' x 900_000) . "\n", 'line');



=== TEST 5: a mistake is told
--- hub: zone 1k;
--- must_die
--- error_log
[emerg]
zone "1k" is too small: use 1m to 32g
