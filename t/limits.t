# Limits: too many channels, too many subscribers, a full zone.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: too many subscribers of a channel: told by a message of type 429, in the transport's framing
--- hub: max_subscribers_per_channel 2;
--- play
my @streams = map { subscribe('/icomet/stream?cname=limits1&seq=1') } 1 .. 2;
my $message = '{"type":"429","cname":"limits1","seq":0,"content":"Too many subscribers"}';
my $uri = 'cname=limits1&seq=1';
answers("GET /icomet/$_?$uri", 200, "$message\n", expect => { 'Content-Type' => 'application/json; charset=utf-8' }) for qw(sub poll stream);
answers("GET /icomet/sub?$uri&cb=f", 200, "/**/f($message);\n", expect => { 'Content-Type' => 'text/javascript; charset=utf-8' });
answers("GET /icomet/sse?$uri", 200, "data: $message\n\n", expect => { 'Content-Type' => 'text/event-stream; charset=utf-8' });
answers("GET /icomet/iframe?$uri", 200, qr/\n\Q<script>parent.icomet_cb($message);<\/script>\E\n\z/, expect => { 'Content-Type' => 'text/html; charset=utf-8' });
same(subscribers('limits1'), 2, 'the others are unharmed');
push_ok('limits1', 'x');
same($_->line, data('limits1', 1, 'x') . "\n", 'stream') for @streams;
$streams[0]->leave;
await_subscribers('limits1', 1);
my $stream = subscribe('/icomet/stream?cname=limits1&seq=1');
same($stream->line, data('limits1', 1, 'x') . "\n", 'a place that was left is free');



=== TEST 2: 16 subscribers, as of iComet's configuration; a line in the log says which limit it was
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 16; }
--- play
my @polls = map { subscribe('/icomet/sub?cname=limits2&seq=1') } 1 .. 16;
same(get('/icomet/sub?cname=limits2&seq=1'), qq({"type":"429","cname":"limits2","seq":0,"content":"Too many subscribers"}\n), 'the 17th');
my $other = subscribe('/icomet/sub?cname=limits2other&seq=1');
push_ok('limits2', 'x');
same($_->rest, data('limits2', 1, 'x') . "\n", 'poll') for @polls;
--- error_log
[warn]
channel "limits2" of hub "main" has 16 subscribers already: more are refused (max_subscribers_per_channel)



=== TEST 3: too many channels
--- http_config
    icomet_hub limits3 { zone 4m; max_channels 2; }
--- config
    location ~ ^/icomet/        { icomet_sub limits3; }
    location ~ ^/icomet-admin/  { icomet_pub limits3; }
--- play
push_ok('a', 'x');
push_ok('b', 'x');
errors("GET /icomet-admin/$_?cname=c&content=x", 429, 'Too many channels', cname => 'c') for qw(push pub sign);
errors('POST /icomet-admin/push', 429, 'Too many channels', cname => 'c', body => 'cname=c&content=x');
my $message = '{"type":"429","cname":"c","seq":0,"content":"Too many channels"}';
answers("GET /icomet/$_?cname=c&seq=1", 200, "$message\n") for qw(sub poll stream);
answers('GET /icomet/sub?cname=c&cb=f', 200, "/**/f($message);\n");
answers('GET /icomet/sse?cname=c', 200, "data: $message\n\n");
answers('GET /icomet/iframe?cname=c', 200, qr/\n\Q<script>parent.icomet_cb($message);<\/script>\E\n\z/);
push_ok('a', 'y');
same(get('/icomet/sub?cname=a&seq=1'), '[' . data('a', 1, 'x') . ',' . data('a', 2, 'y') . "]\n", 'those that are there go on');
matches(get('/icomet-admin/info'), qr/"channels": 2, /, 'info');
--- error_log
[warn]
hub "limits3" has 2 channels already: more are refused (max_channels)



=== TEST 4: a full zone refuses a publish, says so in the log, and harms no channel
--- http_config
    icomet_hub limits4 { zone 1m; channel_buffer_size 1000; }
--- config
    location ~ ^/icomet/        { icomet_sub limits4; }
    location ~ ^/icomet-admin/  { icomet_pub limits4; }
--- play
my $stream = subscribe('/icomet/stream?cname=a&seq=1');
my $content = 'x' x 10000;
my ($taken, $answer) = (0);
for (1 .. 1000) {
    $answer = http('POST', '/icomet-admin/push', body => "cname=a&content=$content");
    last if $answer->{status} != 200;
    $taken++;
}
same($answer->{status}, 507, 'status');
matches($answer->{text}, qr/\A\{"type":"507","cname":"a","seq":0,"content":"[^"\n]*full[^"\n]*"\}\n\z/, 'body');
same($answer->header('Content-Type'), 'application/json; charset=utf-8', 'Content-Type');
same($taken > 20 ? 'many' : $taken, 'many', 'messages that were taken');
same($stream->line, data('a', $_, $content) . "\n", "message $_") for 1 .. $taken;
my $next = $taken + 1;
same(get('/icomet-admin/clear?cname=a'), "ok $next\n", 'clear frees the memory, and the seq has not moved');
push_ok('a', 'again');
same($stream->line, data('a', $next, 'again') . "\n", 'and the channel goes on');
--- error_log
the zone of hub "limits4" is full
--- no_error_log
[alert]
[crit]



=== TEST 5: many refusals are one line a second
--- http_config
    icomet_hub limits5 { zone 1m; channel_buffer_size 1000; }
--- config
    location ~ ^/icomet-admin/  { icomet_pub limits5; }
--- play
my $content = 'x' x 100_000;
my $refused = 0;
my $begin = time;
for (1 .. 300) { $refused++ if http('POST', '/icomet-admin/push', body => "cname=a&content=$content")->{status} == 507 }
same($refused > 200 ? 'many' : $refused, 'many', 'refusals');
my $lines = grep { /zone of hub "limits5" is full/ } split /^/m, IcometTest::_slurp($Test::Nginx::Util::ErrLogFile);
my $workers = $ENV{ICOMET_TEST_WORKERS} || 1;
my $most = (time - $begin + 2) * $workers;
same($lines >= 1 && $lines <= $most ? 'few' : $lines, 'few', "lines in the log, at most $most");
--- error_log
is full



=== TEST 6: a zone full of channels: 507 for a new one on either side
--- http_config
    icomet_hub limits6 { zone 1m; }
    keepalive_requests 1000000;
--- config
    location ~ ^/icomet/        { icomet_sub limits6; }
    location ~ ^/icomet-admin/  { icomet_pub limits6; }
--- play
my $conn = conn();
my $status = 200;
my $made = 0;
for my $n (1 .. 20000) {
    $conn->request('GET', "/icomet-admin/sign?cname=c$n");
    $status = $conn->head;
    $conn->rest;
    last if $status != 200;
    $made++;
}
same($status, 507, 'sign');
same($made > 500 ? 'many' : $made, 'many', 'channels that were made');
for (1 .. 100) {
    $conn->request('POST', '/icomet-admin/push', body => "cname=c1&content=" . 'x' x 100);
    last if $conn->head == 507;
    $conn->rest;
}
my $new = 'n' x 256;
errors("GET /icomet/$_?cname=$new&seq=1", 507, 'full', cname => $new) for qw(sub poll stream sse iframe);
errors("GET /icomet/sub?cname=$new&seq=1&cb=f", 507, 'full', cname => $new);
errors("GET /icomet-admin/sign?cname=$new", 507, 'full', cname => $new);
same(get('/icomet-admin/check?cname=c1'), qq({"c1": 1}\n), 'those that are there stay');
same(get('/icomet-admin/close?cname=c2'), "ok 1\n", 'one is closed');
--- error_log
the zone of hub "limits6" is full
--- no_error_log
[alert]
[crit]



=== TEST 7: on_full evict makes room: the oldest buffered messages go
--- http_config
    icomet_hub limits7 { zone 1m; channel_buffer_size 1000; on_full evict; }
--- config
    location ~ ^/icomet/        { icomet_sub limits7; }
    location ~ ^/icomet-admin/  { icomet_pub limits7; }
--- play
my $content = 'x' x 10000;
push_ok('idle', $content) for 1 .. 20;
my $stream = subscribe('/icomet/stream?cname=busy&seq=1');
for my $seq (1 .. 200) {
    push_ok('busy', $content);
    $stream->line eq data('busy', $seq, $content) . "\n" or same('another line', "message $seq", 'stream');
}
same(get('/icomet-admin/check?cname=idle'), qq({"idle": 1}\n), 'the idle channel is still there');
my $idle = get('/icomet/sub?cname=idle&seq=1&wait=0');
matches($idle, qr/\A\[?\{"type":"lost","cname":"idle","seq":(\d+),"content":"(\d+)"\}/, 'who reads it is told what is lost');
my ($first, $lost) = $idle =~ /"lost","cname":"idle","seq":(\d+),"content":"(\d+)"/;
same($first, $lost + 1, 'lost says how many');
same(get('/icomet-admin/clear?cname=idle'), "ok 21\n", 'its seq is what it was');



=== TEST 8: on_full evict: a message that can never fit is refused all the same
--- http_config
    icomet_hub limits8 { zone 1m; max_message_size 512k; on_full evict; }
--- config
    location ~ ^/icomet/        { icomet_sub limits8; }
    location ~ ^/icomet-admin/  { icomet_pub limits8; }
--- play
push_ok('limits8', 'small');
my $status = http('POST', '/icomet-admin/push', body => 'cname=limits8&content=' . 'x' x 524288)->{status};
matches($status, qr/\A(?:200|507)\z/, 'status');
same(http('POST', '/icomet-admin/push', body => 'cname=limits8&content=' . 'x' x 600_000)->{status}, 413, 'over the limit');
push_ok('limits8', 'small');
my $last = $status == 200 ? 3 : 2;
same(get("/icomet/sub?cname=limits8&seq=$last"), '[' . data('limits8', $last, 'small') . "]\n", 'it goes on');
--- no_error_log
[alert]
[crit]



=== TEST 9: a line in the log says which limit refused: several channels
--- http_config
    icomet_hub main { zone 17m; max_channels 1; channels one.* { max_subscribers_per_channel 1; } }
--- config
    location /icomet/ { icomet_sub main; }
    location /icomet-admin/ { icomet_pub main; }
    location /log { icomet_publish more "x"; return 204; }
--- play
push_ok('one.a', 'x');
matches(get('/icomet/sub?cname=one.a,b&seq=1,1'), qr/"cname":"b","seq":0,"content":"Too many channels"/, 'refused');
--- error_log
hub "main" has 1 channels already: more are refused (max_channels)



=== TEST 10: a line in the log says which limit refused: the API
--- http_config
    icomet_hub main { zone 18m; max_channels 1; channels one.* { max_subscribers_per_channel 1; } }
--- config
    location /icomet/ { icomet_sub main; }
    location /icomet-admin/ { icomet_pub main; }
    location /log { icomet_publish more "x"; return 204; }
--- play
push_ok('one.a', 'x');
api('publish', '{"channel":"b","content":"x"}', 429, problem('too_many_channels'));
--- error_log
hub "main" has 1 channels already: more are refused (max_channels)



=== TEST 11: a line in the log says which limit refused: icomet_publish
--- http_config
    icomet_hub main { zone 19m; max_channels 1; channels one.* { max_subscribers_per_channel 1; } }
--- config
    location /icomet/ { icomet_sub main; }
    location /icomet-admin/ { icomet_pub main; }
    location /log { icomet_publish more "x"; return 204; }
--- play
push_ok('one.a', 'x');
same(http('GET', '/log')->{status}, 204, 'answered');
error_log_has(qr/max_channels/);
--- error_log
hub "main" has 1 channels already: more are refused (max_channels)



=== TEST 12: a line in the log says which limit refused: a WebSocket's command, and the limit of a rule
--- http_config
    icomet_hub main { zone 20m; max_channels 1; channels one.* { max_subscribers_per_channel 1; } }
--- config
    location /icomet/ { icomet_sub main; }
    location /icomet-admin/ { icomet_pub main; }
    location /log { icomet_publish more "x"; return 204; }
--- play
push_ok('one.a', 'x');
my $stream = subscribe('/icomet/stream?cname=one.a&seq=2');
$stream->head;
my $ws = IcometTest::Socket->new(conn(), '/icomet/ws');
$ws->status;
$ws->send(0x81, '{"type":"subscribe","channel":"one.a"}');
matches($ws->said, qr/"code":"too_many_subscribers"/, 'refused');
--- error_log
channel "one.a" of hub "main" has 1 subscribers already: more are refused (max_subscribers_per_channel)
