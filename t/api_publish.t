# The JSON API: publish and batch.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: publish to one channel
--- play
my $epoch = epoch_of('api1');
my $stream = subscribe('/icomet/stream?cname=api1&seq=1');
api('publish', '{"channel":"api1","content":"hi"}', 200,
    qq({"channel":"api1","epoch":"$epoch","seq":1,"subscribers":1,"duplicate":false}\n));
same(message($stream), data('api1', 1, 'hi'), 'it arrives');
api('publish', '{"content":"again","channel":"api1"}', 200, qr/"seq":2,/);
same(message($stream), data('api1', 2, 'again'), 'the order of members does not matter');
api('publish', '{"channel":"api1 new","content":""}', 200, qr/"seq":1,"subscribers":0,/);



=== TEST 2: any JSON value is delivered as its text in a string, a string as itself
--- play
my $stream = subscribe('/icomet/stream?cname=api2&seq=1');
my @contents = ('{"a":[1,2.50,1e400],"b":null}', '[]', 'true', 'null', '-0', '12345678901234567890123', "{ \"a\" :\n 1 }",
    '{"\ud83d":"\u00e4"}');
for my $content (@contents) {
    api('publish', qq({"channel":"api2","content":$content}), 200, qr/"seq":/);
    matches(message($stream), qr/"content":"\Q@{[quoted($content)]}\E"\}\z/, "content $content");
}
api('publish', '{"channel":"api2","content":"q\"b\\\\n\u00e4\n\ud83d\ude00\u0000"}', 200, qr/"seq":9/);
same(message($stream), data('api2', 9, "q\"b\\n\xc3\xa4\n\xf0\x9f\x98\x80\0"), 'a string');



=== TEST 3: nesting costs nothing
--- play
my $depth = 100_000;
my $stream = subscribe('/icomet/stream?cname=api3&seq=1');
my $content = ('[' x $depth) . (']' x $depth);
api('publish', qq({"channel":"api3","content":$content}), 200, qr/"seq":1/);
same(message($stream), data('api3', 1, $content), 'it arrives');
api('publish', '[' x 500_000, 400, problem('bad_json'));
api('publish', '{"content":' x 50_000, 400, problem('bad_json'));



=== TEST 4: several channels
--- play
my %epoch = map { $_ => epoch_of($_) } qw(api4a api4b);
my $zone = zone_epoch('api4a');
api('publish', '{"channels":["api4a","api4b"],"content":{"n":1}}', 200,
    qq({"epoch":"$zone","results":[{"channel":"api4a","epoch":"$epoch{api4a}","seq":1,"subscribers":0,"duplicate":false},)
    . qq({"channel":"api4b","epoch":"$epoch{api4b}","seq":1,"subscribers":0,"duplicate":false}]}\n));
api('publish', '{"channels":["api4a"],"content":"x"}', 200, qr/"results":\[\{"channel":"api4a","epoch":"\Q$epoch{api4a}\E","seq":2,/);
same(get("/icomet/sub?cname=$_&seq=1"), '[' . data($_, 1, '{"n":1}') . ($_ eq 'api4a' ? ',' . data($_, 2, 'x') : '') . "]\n", $_)
    for qw(api4a api4b);



=== TEST 5: a batch keeps its order
--- play
my %epoch = map { $_ => epoch_of($_) } qw(api5 api5b);
my $zone = zone_epoch('api5');
api('batch', '{"messages":[{"channel":"api5","content":"one"},{"channels":["api5","api5b"],"content":"two"},{"channel":"api5","content":3}]}', 200,
    qq({"epoch":"$zone","results":[)
    . join(',', map { qq({"message":$_->[0],"channel":"$_->[1]","epoch":"$epoch{$_->[1]}","seq":$_->[2],"subscribers":0,"duplicate":false}) }
        [0, 'api5', 1], [1, 'api5', 2], [1, 'api5b', 1], [2, 'api5', 3]) . "]}\n");
same(get('/icomet/sub?cname=api5&seq=1'), '[' . join(',', data('api5', 1, 'one'), data('api5', 2, 'two'), data('api5', 3, '3')) . "]\n", 'order');



=== TEST 6: an id is published once
--- play
my $body = '{"channel":"api6","content":"x","id":"order-1"}';
api('publish', $body, 200, qr/"seq":1,"subscribers":0,"duplicate":false/);
my $stream = subscribe('/icomet/stream?cname=api6&seq=0');
api('publish', $body, 200, qr/"seq":1,"subscribers":0,"duplicate":true/);
api('publish', '{"channel":"api6","content":"y","id":"order-1"}', 422, problem('id_reused'));
api('publish', '{"channel":"api6","content":"y","id":"order-2"}', 200, qr/"seq":2,"subscribers":1,"duplicate":false/);
api('publish', '{"channels":["api6","api6b"],"content":"x","id":"order-1"}', 200,
    qr/"api6","epoch":"[^"]*","seq":1,"subscribers":0,"duplicate":true\},\{"channel":"api6b","epoch":"[^"]*","seq":1,"subscribers":0,"duplicate":false/);
same(get('/icomet/sub?cname=api6&seq=1'), '[' . data('api6', 1, 'x') . ',' . data('api6', 2, 'y') . "]\n", 'what is there');
same(post_text('/icomet-admin/api/publish?channel=api6&id=order-1', 'text/plain', 'x')->{text} =~ /"duplicate":true/ ? 1 : 0, 1, 'as text');



=== TEST 7: an id is forgotten after idempotency_window
--- hub: idempotency_window 1s;
--- play
my $body = '{"channel":"api7","content":"x","id":"a"}';
api('publish', $body, 200, qr/"seq":1,/);
until_true(sub { post_json('publish', $body)->{text} =~ /"seq":2,.*"duplicate":false/ }, 'the id is forgotten');



=== TEST 8: too many ids
--- hub: zone 1m; max_idempotency_ids 3;
--- play
api('publish', qq({"channel":"api8","content":"x","id":"$_"}), 200, qr/"duplicate":false/) for 1 .. 4;
api('publish', qq({"channel":"api8","content":"x","id":"4"}), 200, qr/"duplicate":true/);
api('publish', qq({"channel":"api8","content":"x","id":"1"}), 200, qr/"duplicate":false/);
--- error_log
max_idempotency_ids
--- no_error_log
[error]



=== TEST 9: text and binary
--- play
my $stream = subscribe('/icomet/stream?cname=api9+a&seq=1');
for my $type ('text/plain', 'text/plain; charset=UTF-8', 'Text/Plain;charset="utf-8"', 'text/plain; charset=us-ascii') {
    same(post_text('/icomet-admin/api/publish?channel=api9%20a', $type, "{\"no\": json}\n\xc3\xa4")->{status}, 200, $type);
    matches(message($stream), qr/\Q@{[quoted("{\"no\": json}\n\xc3\xa4")]}\E"\}\z/, 'it arrives');
}
same(post_text('/icomet-admin/api/publish?channel=api9+a', 'application/octet-stream', "\0\xff\xfe~")->{status}, 200, 'binary');
same(message($stream), data('api9 a', 5, 'AP/+fg=='), 'as base64');
same(post_text('/icomet-admin/api/publish?channel=api9+a', 'application/octet-stream', '')->{status}, 200, 'nothing');
same(message($stream), data('api9 a', 6, ''), 'is empty');
refused(post_text('/icomet-admin/api/publish?channel=api9', 'text/plain', "a\xff"), 400, 'not_utf8');
refused(post_text('/icomet-admin/api/publish', 'text/plain', 'x'), 400, 'missing_parameter', parameter => 'channel');
refused(post_text('/icomet-admin/api/publish?channel=', 'text/plain', 'x'), 400, 'bad_parameter', parameter => 'channel');
refused(post_text('/icomet-admin/api/publish?channel=a&channel=b', 'text/plain', 'x'), 400, 'duplicate_parameter', parameter => 'channel');
refused(post_text('/icomet-admin/api/publish?channel=a&cname=b', 'text/plain', 'x'), 400, 'unknown_parameter', parameter => 'cname');
refused(post_text('/icomet-admin/api/publish?channel=a&id=', 'text/plain', 'x'), 400, 'bad_parameter', parameter => 'id');
refused(post_text('/icomet-admin/api/publish?channel=%ff', 'text/plain', 'x'), 400, 'bad_parameter', parameter => 'channel');



=== TEST 10: other content types
--- play
for my $type ('application/x-www-form-urlencoded', 'application/xml', 'text/plain; charset=latin1', 'application/json; charset=utf-16') {
    refused(post_text('/icomet-admin/api/publish?channel=a', $type, '{}'), 415, 'unsupported_media_type');
}
refused(post_text("/icomet-admin/api/$_", 'text/plain', '{}'), 415, 'unsupported_media_type') for qw(batch disconnect);
my $conn = conn();
$conn->write("POST /icomet-admin/api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
same($conn->head, 415, 'none at all');
$conn->rest;
same(post_json('publish', '{"channel":"api10","content":1}', 'application/json; charset=UTF-8')->{status}, 200, 'with a charset');



=== TEST 11: what is wrong in the body is named
--- play
my @wrong = (
    ['', 'bad_json'], ['{', 'bad_json'], ['{"channel":"a","content":1}x', 'bad_json'], ["{\"channel\":\"\xff\"}", 'not_utf8'],
    ['[]', 'wrong_type', ''], ['"a"', 'wrong_type', ''],
    ['{}', 'missing_member', '/channel'], ['{"content":1}', 'missing_member', '/channel'],
    ['{"channel":"a"}', 'missing_member', '/content'],
    ['{"channel":"a","channel":"a","content":1}', 'duplicate_member', '/channel'],
    ['{"channel":"a","ch\u0061nnel":"a","content":1}', 'duplicate_member', '/channel'],
    ['{"channel":"a","content":1,"cname":1}', 'unknown_member', '/cname'],
    ['{"channel":"a","content":1,"a/b~":1}', 'unknown_member', '/a~1b~0'],
    ['{"channel":"a","content":1,"ttl":0}', 'bad_member', '/ttl'], ['{"channel":"a","content":1,"ttl":1e9}', 'bad_member', '/ttl'],
    ['{"channel":"a","content":1,"ttl":"1"}', 'wrong_type', '/ttl'], ['{"channel":"a","content":1,"ttl":1e400}', 'bad_member', '/ttl'],
    ['{"channel":"a","content":1,"exclude":1}', 'wrong_type', '/exclude'], ['{"channel":"a","content":1,"exclude":""}', 'bad_member', '/exclude'],
    ['{"channel":"a","content":1,"exclude":"' . 'u' x 129 . '"}', 'bad_member', '/exclude'],
    ['{"channel":"a","content":1,"event":[]}', 'wrong_type', '/event'], ['{"channel":"a","content":1,"event":"a\nb"}', 'bad_member', '/event'],
    ['{"channel":"a","content":1,"event":"' . 'e' x 65 . '"}', 'bad_member', '/event'],
    ['{"channel":1,"content":1}', 'wrong_type', '/channel'], ['{"channel":null,"content":1}', 'missing_member', '/channel'],
    ['{"channel":"a","content":1,"event":null,"event":"e"}', 'duplicate_member', '/event'],
    ['{"channel":"a","content":1,"id":"i","once":"i"}', 'bad_member', '/once'], ['{"channel":"a","content":1,"once":""}', 'bad_member', '/once'],
    ['{"channel":"","content":1}', 'bad_member', '/channel'], ['{"channel":"a\u0000","content":1}', 'bad_member', '/channel'],
    ['{"channel":"' . 'a' x 257 . '","content":1}', 'bad_member', '/channel'],
    ['{"channel":"\ud83d","content":1}', 'bad_string', '/channel'],
    ['{"channel":"a","content":"\ud83d"}', 'bad_string', '/content'],
    ['{"channels":"a","content":1}', 'wrong_type', '/channels'], ['{"channels":[],"content":1}', 'bad_member', '/channels'],
    ['{"channels":["a",2],"content":1}', 'wrong_type', '/channels/1'], ['{"channels":["a",""],"content":1}', 'bad_member', '/channels/1'],
    ['{"channels":["a","b","a"],"content":1}', 'bad_member', '/channels'],
    ['{"channel":"a","channels":["b"],"content":1}', 'bad_member', '/channels'],
    ['{"channel":"a","content":1,"id":1}', 'wrong_type', '/id'], ['{"channel":"a","content":1,"id":""}', 'bad_member', '/id'],
    ['{"channel":"a","content":1,"id":"' . 'i' x 129 . '"}', 'bad_member', '/id'],
);
refused(post_json('publish', $_->[0]), 400, $_->[1], pointer => $_->[2]) for @wrong;
my @batches = (
    ['{}', 'missing_member', '/messages'], ['{"messages":{}}', 'wrong_type', '/messages'], ['{"messages":[]}', 'bad_member', '/messages'],
    ['{"messages":[{"channel":"api11","content":1},{"channel":2,"content":1}]}', 'wrong_type', '/messages/1/channel'],
    ['{"messages":[{"channel":"api11","content":1},7]}', 'wrong_type', '/messages/1'],
    ['{"messages":[{"channel":"api11","content":1,"ttl":-1}]}', 'bad_member', '/messages/0/ttl'],
    ['{"messages":[],"more":1}', 'unknown_member', '/more'],
);
refused(post_json('batch', $_->[0]), 400, $_->[1], pointer => $_->[2]) for @batches;
same(get('/icomet-admin/check?cname=api11'), "{}\n", 'nothing of a bad batch was published');
refused(post_json('publish?channel=a', '{"channel":"a","content":1}'), 400, 'unknown_parameter', parameter => 'channel');



=== TEST 12: max_batch
--- hub: max_batch 3;
--- play
my $names = sub { join ',', map { qq("api12 $_") } 1 .. $_[0] };
api('publish', '{"channels":[' . $names->(3) . '],"content":1}', 200, qr/"results"/);
api('publish', '{"channels":[' . $names->(4) . '],"content":1}', 413, problem('too_many_publishes'));
my $one = '{"channel":"api12 1","content":2}';
api('batch', qq({"messages":[$one,$one,$one]}), 200, qr/"seq":4/);
api('batch', qq({"messages":[$one,$one,$one,$one]}), 413, problem('too_many_publishes'));
api('batch', qq({"messages":[$one,{"channels":[@{[$names->(3)]}],"content":1}]}), 413, problem('too_many_publishes'));
same(get('/icomet-admin/info?cname=api12+1') ne '' && get('/icomet/sub?cname=api12+1&seq=5&wait=0'), "[]\n", 'nothing of it was published');



=== TEST 13: max_channels and max_message_size, alone and within others
--- hub: zone 2m; max_channels 2; max_message_size 10;
--- play
api('publish', '{"channels":["api13a","api13b","api13c"],"content":"x"}', 207,
    qr/\A\{"epoch":"[0-9a-f]{16}","results":\[\{"channel":"api13a","epoch":"[^"]*","seq":1,[^}]*\},\{"channel":"api13b","epoch":"[^"]*","seq":1,[^}]*\},\{"channel":"api13c","status":429,"code":"too_many_channels","detail":"[^"]*"\}\]\}\n\z/);
api('publish', '{"channel":"api13c","content":"x"}', 429, problem('too_many_channels'));
api('publish', '{"channel":"api13a","content":"12345678901"}', 413, problem('content_too_large'));
api('batch', '{"messages":[{"channel":"api13a","content":"12345678901"},{"channel":"api13b","content":"1234567890"}]}', 207,
    qr/"message":0,"channel":"api13a","status":413,"code":"content_too_large",.*"message":1,"channel":"api13b","epoch":"[^"]*","seq":2,/);



=== TEST 14: a full zone
--- hub: zone 1m; channel_buffer_size 1000;
--- play
my $content = 'x' x 100_000;
my $answer;
1 while ($answer = post_json('publish', qq({"channel":"api14","content":"$content"})))->{status} == 200;
refused($answer, 507, 'zone_full');
--- error_log
the zone of hub "main" is full



=== TEST 15: many channels with large contents go on over turns of the loop, and others are served
--- hub: zone 64m; channel_buffer_size 1;
--- play
my $names = join ',', map { qq("api15.$_") } 1 .. 1000;
my $content = 'x' x 40_000;
my $conn = conn();
$conn->request('POST', '/icomet-admin/api/publish', type => 'application/json', body => qq({"channels":[$names],"content":"$content"}));
same($conn->head, 200, 'status');
my $text = $conn->rest;
same(scalar(() = $text =~ /"seq":1,/g), 1000, 'all are done');
matches($text, qr/"channel":"api15\.1".*"channel":"api15\.1000"/, 'in order');
# A publisher that goes away in the midst: what it asked for is done.
my $gone = conn();
$gone->request('POST', '/icomet-admin/api/publish', type => 'application/json', body => qq({"channels":[$names],"content":"$content"}));
until_true(sub { get('/icomet/sub?cname=api15.1&seq=2&wait=0') ne "[]\n" }, 'it has begun');
$gone->reset;
until_true(sub { get('/icomet/sub?cname=api15.1000&seq=2&wait=0') ne "[]\n" }, 'it is done');



=== TEST 16: a large body, in pieces
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { client_body_buffer_size 1k; client_max_body_size 600k; icomet_pub main; }
--- play
my $content = join ',', map { qq({"id":$_,"text":"caf\xc3\xa9"}) } 1 .. 20_000;
length $content < 590_000 or die;
my $stream = subscribe('/icomet/stream?cname=api16&seq=1');
api('publish', qq({"channel":"api16","content":[$content]}), 200, qr/"seq":1/);
same(message($stream), data('api16', 1, "[$content]"), 'it arrives');
same(post_json('publish', 'x' x 700_000)->{status}, 413, 'client_max_body_size');
--- error_log
client intended to send too large body
