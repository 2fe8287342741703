# Limits for some channels: `channels PATTERN { ... }` in a hub; message_ttl.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: the first rule that matches holds
--- hub: channels rule1.vip.* { channel_buffer_size 3; } channels rule1.* { channel_buffer_size 2; } channels *.log { channel_buffer_size 1; } channel_buffer_size 4;
--- play
my %keeps = ('rule1.vip.a' => 3, 'rule1.a' => 2, 'rule1.a.log' => 2, 'rule2.log' => 1, 'rule1' => 4, 'xrule1.a' => 4);
for my $name (sort keys %keeps) {
    push_ok($name, "m$_") for 1 .. 5;
    my $first = 6 - $keeps{$name};
    matches(get("/icomet-admin/api/history?channel=$name"), qr/"first_seq":$first,"next_seq":6/, "$name keeps $keeps{$name}");
}
get('/icomet-admin/broadcast?content=all');
for my $name (sort keys %keeps) {
    my $first = 7 - $keeps{$name};
    matches(get("/icomet-admin/api/history?channel=$name"), qr/"first_seq":$first,"next_seq":7/, "$name and a broadcast");
}



=== TEST 2: what a rule does not say is the hub's, also when that is said later
--- hub: channels rule2.* { max_subscribers_per_channel 1; } channel_buffer_size 2; max_subscribers_per_channel 3;
--- play
push_ok('rule2.a', "m$_") for 1 .. 3;
matches(get('/icomet-admin/api/history?channel=rule2.a'), qr/"first_seq":2,/, 'channel_buffer_size of the hub');
my $one = subscribe('/icomet/stream?cname=rule2.a&seq=4');
$one->head;
matches(get('/icomet/stream?cname=rule2.a&seq=4'), qr/"type":"429"/, 'max_subscribers_per_channel of the rule');
my @three = map { subscribe('/icomet/stream?cname=rule2&seq=1') } 1 .. 3;
$_->head for @three;
matches(get('/icomet/stream?cname=rule2&seq=1'), qr/"type":"429"/, 'that of the hub');



=== TEST 3: max_message_size by rule
--- hub: max_message_size 10; channels large.* { max_message_size 20; }
--- play
push_ok('large.1', 'x' x 20);
errors('GET /icomet-admin/push?cname=large.1&content=' . 'x' x 21, 413, 'larger than max_message_size (20 bytes)', cname => 'large.1');
errors('GET /icomet-admin/push?cname=rule3&content=' . 'x' x 11, 413, 'larger than max_message_size (10 bytes)', cname => 'rule3');
api('publish', '{"channel":"large.1","content":"' . 'x' x 21 . '"}', 413, problem('content_too_large'));
api('publish', '{"channels":["large.1","rule3"],"content":"' . 'x' x 15 . '"}', 207, qr/"channel":"large.1","epoch":"[^"]*","seq":2,.*"channel":"rule3","status":413,"code":"content_too_large","detail":"[^"]*\(10 bytes\)"/);



=== TEST 4: channel_timeout by rule, and that of sign
--- hub: channel_timeout 1h; channels short.* { channel_timeout 1s; }
--- play
push_ok($_, 'x') for qw(short.1 rule4);
my $stream = subscribe('/icomet/stream?cname=short.2&seq=1');
await_subscribers('short.2', 1);
$stream->leave;
matches(get('/icomet-admin/sign?cname=short.3'), qr/"expires":1,/, 'sign tells that of the rule');
matches(get('/icomet-admin/sign?cname=rule4b'), qr/"expires":3600,/, 'sign tells that of the hub');
for my $name (qw(short.1 short.2 short.3)) {
    until_true(sub { get("/icomet-admin/check?cname=$name") eq "{}\n" }, "$name expires");
}
same(get('/icomet-admin/check?cname=rule4'), qq({"rule4": 1}\n), 'the others live');



=== TEST 5: message_ttl of the hub: who wanted what is gone is told
--- hub: zone 5m; message_ttl 1s;
--- play
my $epoch = epoch_of('ttl5');
my $stream = subscribe('/icomet/stream?cname=ttl5&seq=1');
$stream->head;
push_ok('ttl5', 'm1');
same($stream->line, data('ttl5', 1, 'm1') . "\n", 'live');
until_true(sub { get('/icomet-admin/api/history?channel=ttl5') =~ /"first_seq":2,"next_seq":2,"lost":1,"more":false,"messages":\[\]/ }, 'it is gone');
until_true(sub { get('/icomet-admin/info?detail=1') =~ /"messages":0,/ }, 'its memory is free');
same(get('/icomet/sub?cname=ttl5&seq=1'), data('ttl5', 2, '1', 'lost') . "\n", 'lost');
my $sse = subscribe('/icomet/sse?cname=ttl5', headers => ["Last-Event-ID: $epoch-0"]);
same($sse->event, "id: $epoch-1\ndata: " . data('ttl5', 2, '1', 'lost') . "\n\n", 'lost, by SSE');
push_ok('ttl5', 'm2');
same($stream->line, data('ttl5', 2, 'm2') . "\n", 'who had it is told nothing');



=== TEST 6: message_ttl by rule; off
--- hub: zone 6m; message_ttl 1s; channels kept.* { message_ttl off; } channels zero.* { message_ttl off; }
--- play
push_ok($_, 'x') for qw(ttl6 kept.1 zero.1);
get('/icomet-admin/broadcast?content=all');
until_true(sub { get('/icomet-admin/api/history?channel=ttl6') =~ /"messages":\[\]/ }, 'they are gone');
matches(get("/icomet-admin/api/history?channel=$_"), qr/"seq":1,.*"seq":2,"type":"broadcast"/, "those of $_ are there") for qw(kept.1 zero.1);
until_true(sub { get('/icomet-admin/info?detail=1') =~ /"messages":4,/ }, 'no more than these take memory');



=== TEST 7: other rules after a reload hold for channels that exist
--- hub: channels rule7.* { channel_buffer_size 5; }
--- play
push_ok('rule7.a', "m$_") for 1 .. 5;
rewrite_config(sub { s/channels rule7\.\* \{ channel_buffer_size 5; \}/channels rule7.* { channel_buffer_size 2; max_message_size 3; }/ });
reload();
matches(get('/icomet-admin/api/history?channel=rule7.a'), qr/"first_seq":1,"next_seq":6/, 'a reload alone lets nothing go');
my $stream = subscribe('/icomet/stream?cname=rule7.a&seq=6');
push_ok('rule7.a', 'm6');
same($stream->line, data('rule7.a', 6, 'm6') . "\n", 'one that waited');
matches(get('/icomet-admin/api/history?channel=rule7.a'), qr/"first_seq":5,"next_seq":7/, 'the next message applies the buffer');
errors('GET /icomet-admin/push?cname=rule7.a&content=long', 413, 'max_message_size (3 bytes)', cname => 'rule7.a');
rewrite_config(sub { s/channels rule7\.\* \{[^}]*\}/channels rule7.* { message_ttl 1s; }/ });
reload();
until_true(sub { get('/icomet-admin/api/history?channel=rule7.a') =~ /"messages":\[\]/ }, 'a ttl holds for messages that are there');
rewrite_config(sub { s/channels rule7\.\* \{[^}]*\}// });
reload();
push_ok('rule7.a', "m$_") for 7 .. 9;
same(get('/icomet/sub?cname=rule7.a&seq=7'), '[' . join(',', map { data('rule7.a', $_, "m$_") } 7 .. 9) . "]\n", 'without the rule');



=== TEST 8: rules are of one hub; a directive of one name elsewhere is nginx's own
--- http_config
    icomet_hub a { zone 4m; channels * { channel_buffer_size 1; } }
    icomet_hub b { zone 4m; channel_buffer_size 2; }
    upstream u { zone u 64k; server 127.0.0.1:1; }
--- config
    location /a/ { icomet_pub a; }
    location /b/ { icomet_pub b; }
--- play
for my $hub (qw(a b)) {
    get("/$hub/push?cname=x&content=m$_") for 1 .. 3;
}
matches(get('/a/api/history?channel=x'), qr/"first_seq":3,/, 'hub a');
matches(get('/b/api/history?channel=x'), qr/"first_seq":2,/, 'hub b');
