# Channels that never had a message: whoever asks for names without end takes no room from publishers.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: a subscriber's names fill their share of the zone, and no more
--- http_config
    icomet_hub main { zone 2m; on_full evict; channel_buffer_size 50; }
--- play
push_ok('news', 'x' x 500) for 1 .. 50;
for my $n (1 .. 400) {
    my $names = join ',', map { sprintf('%06d', $n * 30 + $_) . 'a' x 200 } 1 .. 30;
    http('GET', "/icomet/sub?cname=$names&wait=0");
}
push_ok('news', 'y');
push_ok('fresh', 'z');
my $stats = get('/icomet-admin/info?detail=1');
matches($stats, qr/"evictions":0\b/, 'no message went');
same(get('/icomet/sub?cname=news&seq=2&wait=0') =~ tr/{//, 50, 'its messages are whole');



=== TEST 2: with max_channels the oldest names go, and a publish is taken
--- http_config
    icomet_hub main { zone 17m; max_channels 8; }
--- play
get("/icomet/sub?cname=e$_&wait=0") for 1 .. 20;
matches(get('/icomet-admin/info'), qr/"channels": 4\b/, 'half of them');
push_ok("p$_", 'x') for 1 .. 8;
same(http('GET', '/icomet-admin/push?cname=p9&content=x')->{status}, 429, 'these have messages');



=== TEST 3: by WebSocket the same
--- http_config
    icomet_hub main { zone 18m; max_channels 8; }
--- play
my $ws = IcometTest::Socket->new(conn(), '/icomet/ws');
same($ws->status, 101, 'it opens');
for my $n (1 .. 20) {
    $ws->send(0x81, qq({"type":"subscribe","channel":"e$n","seq":1}));
    matches($ws->said, qr/"command":"subscribe"/, "subscribed to e$n");
    $ws->send(0x81, qq({"type":"unsubscribe","channel":"e$n"}));
    matches($ws->said, qr/"command":"unsubscribe"/, "and left e$n");
}
matches(get('/icomet-admin/info'), qr/"channels": 4\b/, 'half of max_channels');
push_ok("p$_", 'x') for 1 .. 7;



=== TEST 4: those who stay are refused beyond the share
--- http_config
    icomet_hub main { zone 19m; max_channels 4; empty_channels 50%; }
--- play
my @stay = map { subscribe("/icomet/sub?cname=s$_&seq=1") } 1 .. 2;
matches(get('/icomet/sub?cname=s3&seq=1'), qr/"type":"429"/, 'the third');
push_ok("p$_", 'x') for 1 .. 2;
--- error_log
channels without a message take 50% of hub "main" already, and have subscribers: more are refused (empty_channels)
--- no_error_log
[error]



=== TEST 5: a line in the log names the limit: several channels, and a command
--- http_config
    icomet_hub main { zone 20m; max_channels 4; empty_channels 25%; }
--- play
my $stay = subscribe('/icomet/stream?cname=s1&seq=1');
$stay->head;
my $ws = IcometTest::Socket->new(conn(), '/icomet/ws');
same($ws->status, 101, 'it opens');
$ws->send(0x81, '{"type":"subscribe","channel":"s2","seq":1}');
matches($ws->said, qr/"code":"too_many_channels"/, 'refused');
matches(get('/icomet/sub?cname=s1,s3&seq=1,1&wait=0'), qr/"cname":"s3","seq":0,"content":"Too many channels"/, 'refused');
--- error_log
channels without a message take 25% of hub "main" already, and have subscribers: more are refused (empty_channels)
--- no_error_log
(max_channels)
