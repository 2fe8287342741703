# What the client of a WebSocket may ask for.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

our $EPOCH = qr/[0-9a-f]{16}\.[0-9a-z]+/;

sub ws { my ($uri, %o) = @_; return IcometTest::Socket->new(conn($o{port}), $uri) }

# A command, and its answer.
sub asks {
    my ($ws, $command, $expected, $what) = @_;
    $ws->send(0x81, $command);
    my $said = $ws->said;
    $what //= $command;
    return ref $expected ? matches($said, $expected, $what) : same($said, $expected, $what);
}

sub fails {
    my ($ws, $command, $code, $id) = @_;
    my $member = defined $id ? ",\"id\":$id" : '';
    return asks($ws, $command, qr/\A\{"type":"error"\Q$member\E,"code":"$code","content":"[^"]+(?:\\"[^"]*)*"\}\z/, $command);
}

set_up();
run_tests();

__DATA__

=== TEST 1: subscribe: the answer, what is buffered, then live
--- play
push_ok('cmd1-a', "a$_") for 1 .. 3;
my $ws = ws('/icomet/ws');
same($ws->status, 101, 'no channel yet');
asks($ws, '{"type":"subscribe","id":1,"channel":"cmd1-a","seq":2}', qr/\A\{"type":"reply","id":1,"command":"subscribe","channel":"cmd1-a","epoch":"$EPOCH","next_seq":4\}\z/);
same($ws->said, data('cmd1-a', $_, "a$_"), "buffered $_") for 2 .. 3;
asks($ws, '{"type":"subscribe","id":"two","channel":"cmd1-b"}', qr/\A\{"type":"reply","id":"two","command":"subscribe","channel":"cmd1-b",.*"next_seq":1\}\z/);
same($ws->said, data('cmd1-b', 1, '', 'next_seq'), 'from now on');
push_ok('cmd1-a', 'a4');
same($ws->said, data('cmd1-a', 4, 'a4'), 'live of the first');
push_ok('cmd1-b', 'b1');
same($ws->said, data('cmd1-b', 1, 'b1'), 'live of the second');
same(join(' ', subscribers('cmd1-a'), subscribers('cmd1-b')), '1 1', 'counts');
fails($ws, '{"type":"subscribe","id":3,"channel":"cmd1-a"}', 'already_subscribed', 3);
asks($ws, '{"type":"unsubscribe","id":4,"channel":"cmd1-a"}', '{"type":"reply","id":4,"command":"unsubscribe","channel":"cmd1-a"}');
same(subscribers('cmd1-a'), 0, 'it has left');
fails($ws, '{"type":"unsubscribe","id":5,"channel":"cmd1-a"}', 'not_subscribed', 5);
push_ok('cmd1-a', 'a5');
push_ok('cmd1-b', 'b2');
same($ws->said, data('cmd1-b', 2, 'b2'), 'nothing of what it left');
asks($ws, '{"type":"subscribe","channel":"cmd1-a","seq":5}', qr/"type":"reply","command":"subscribe","channel":"cmd1-a"/, 'it comes back');
same($ws->said, data('cmd1-a', 5, 'a5'), 'and gets what it missed');
$ws->conn->leave;
await_subscribers($_, 0) for qw(cmd1-a cmd1-b);



=== TEST 2: channels of the query, and more; then fewer
--- play
my $one = ws('/icomet/ws?cname=cmd2-a&seq=1');
my $two = ws('/icomet/ws?cname=cmd2-a,cmd2-b&seq=1,1');
$_->status for $one, $two;
await_subscribers('cmd2-a', 2);
push_ok('cmd2-a', 'a1');
same($_->said, data('cmd2-a', 1, 'a1'), 'as before') for $one, $two;
asks($one, '{"type":"subscribe","channel":"cmd2-b","seq":1}', qr/"next_seq":1\}\z/, 'one more');
push_ok($_, 'x') for qw(cmd2-a cmd2-b);
for my $ws ($one, $two) {
    # Channels have no order among each other.
    same(join(' ', sort map { $ws->said } 1 .. 2), join(' ', data('cmd2-a', 2, 'x'), data('cmd2-b', 1, 'x')), 'of both');
    asks($ws, '{"type":"unsubscribe","channel":"cmd2-a"}', '{"type":"reply","command":"unsubscribe","channel":"cmd2-a"}');
    asks($ws, '{"type":"unsubscribe","channel":"cmd2-b"}', '{"type":"reply","command":"unsubscribe","channel":"cmd2-b"}');
    asks($ws, '{"type":"ping","id":9}', '{"type":"reply","id":9,"command":"ping"}', 'it stays without any');
}
await_subscribers($_, 0) for qw(cmd2-a cmd2-b);



=== TEST 3: publish, where the location allows it
--- config
    location /icomet/    { icomet_sub main; icomet_ws_publish on; }
    location /reads/     { icomet_sub main; }
    location /icomet-admin/ { icomet_pub main; }
--- play
my $ws = ws('/icomet/ws?cname=cmd3&seq=1');
$ws->status;
my $other = subscribe('/icomet/stream?cname=cmd3-other&seq=1');
asks($ws, '{"type":"publish","id":1,"channel":"cmd3-other","content":"Hi \"there\""}', qr/\A\{"type":"reply","id":1,"command":"publish","channel":"cmd3-other","epoch":"$EPOCH","seq":1,"subscribers":1,"duplicate":false\}\z/);
same(message($other), data('cmd3-other', 1, 'Hi "there"'), 'a text');
asks($ws, '{"type":"publish","channel":"cmd3-other","content":{"a":[1,2]}}', qr/"seq":2/);
same(message($other), data('cmd3-other', 2, '{"a":[1,2]}'), 'any JSON');
asks($ws, '{"type":"publish","channel":"cmd3-other","content":"once","once":"k1"}', qr/"seq":3,"subscribers":1,"duplicate":false/, "once, time $_") for 1;
asks($ws, '{"type":"publish","channel":"cmd3-other","content":"once","once":"k1"}', qr/"seq":3,"subscribers":1,"duplicate":true/, 'again');
fails($ws, '{"type":"publish","channel":"cmd3-other","content":"other","once":"k1"}', 'id_reused');
same(message($other), data('cmd3-other', 3, 'once'), 'once');
asks($ws, '{"type":"publish","channel":"cmd3-other","content":"x","event":"price","ttl":60}', qr/"seq":4/);
matches(message($other), qr/"seq":4,"content":"x","event":"price"\}/, 'with an event');
fails($ws, '{"type":"publish","channel":"cmd3-other","content":"x",' . $_ . '}', 'bad_member') for '"ttl":0', '"ttl":"1"', '"event":""', '"exclude":1';
$ws->send(0x81, '{"type":"publish","id":2,"channel":"cmd3","content":"mine"}');
my @got = sort map { $ws->said } 1 .. 2;
same($got[0], data('cmd3', 1, 'mine'), 'to its own channel');
matches($got[1], qr/"type":"reply","id":2,"command":"publish"/, 'and the answer');
my $reader = ws('/reads/ws?cname=cmd3&seq=2');
fails($reader, '{"type":"publish","id":1,"channel":"cmd3","content":"x"}', 'not_allowed', 1);



=== TEST 4: with tokens: subscribe with it, publish where it was shown
--- http_config
    icomet_hub main { zone 16m; auth token; }
--- config
    location /icomet/    { icomet_sub main; icomet_ws_publish on; }
    location /icomet-admin/ { icomet_pub main; }
--- play
my ($token) = get('/icomet-admin/sign?cname=cmd4') =~ /"token":"([0-9a-f]+)"/;
get('/icomet-admin/sign?cname=cmd4-b');
my $ws = ws('/icomet/ws');
fails($ws, '{"type":"subscribe","id":1,"channel":"cmd4","token":"wrong"}', 'wrong_token', 1);
fails($ws, '{"type":"publish","id":2,"channel":"cmd4","content":"x"}', 'not_subscribed', 2);
asks($ws, qq({"type":"subscribe","id":3,"channel":"cmd4","seq":1,"token":"$token"}), qr/"type":"reply","id":3/);
asks($ws, '{"type":"publish","id":4,"channel":"cmd4","content":"x"}', qr/"type":"reply","id":4,"command":"publish"/);
same($ws->said, data('cmd4', 1, 'x'), 'its own message');
fails($ws, '{"type":"publish","id":5,"channel":"cmd4-b","content":"x"}', 'not_subscribed', 5);



=== TEST 5: a channel of the configuration stays the only one
--- config
    location /icomet/    { icomet_sub main; icomet_channel "cmd5-$arg_room"; icomet_ws_publish on; }
    location /icomet-admin/ { icomet_pub main; }
--- play
my $ws = ws('/icomet/ws?room=a&seq=1');
fails($ws, '{"type":"subscribe","channel":"cmd5-b"}', 'not_allowed');
fails($ws, '{"type":"publish","channel":"cmd5-b","content":"x"}', 'not_subscribed');
asks($ws, '{"type":"publish","channel":"cmd5-a","content":"x"}', qr/"command":"publish"/);
same($ws->said, data('cmd5-a', 1, 'x'), 'to its own');



=== TEST 6: presence and history, where the location opens them
--- config
    location /icomet/    { icomet_sub main; icomet_sub_presence on; icomet_sub_history on; }
    location /closed/    { icomet_sub main; }
    location /bound/     { icomet_sub main; icomet_channel "cmd6"; icomet_sub_presence on; icomet_sub_history on; }
    location /icomet-admin/ { icomet_pub main; }
--- play
push_ok('cmd6', "m$_") for 1 .. 3;
my $ws = ws('/icomet/ws?cname=cmd6&seq=4&user=ann');
asks($ws, '{"type":"presence","id":2,"channel":"cmd6"}', '{"type":"reply","id":2,"command":"presence","channel":"cmd6","subscribers":1,"users":1,"members":[{"user":"ann","connections":1}]}');
asks($ws, '{"type":"history","id":3,"channel":"cmd6","since":1,"limit":1}', qr/\A\{"type":"reply","id":3,"command":"history","channel":"cmd6","epoch":"$EPOCH","first_seq":1,"next_seq":4,"lost":0,"more":true,"messages":\[\{"seq":2,[^]]*"content":"m2"\}\]\}\z/);
asks($ws, '{"type":"history","id":4,"channel":"cmd6","reverse":true,"limit":1}', qr/"more":true,"messages":\[\{"seq":3,[^]]*"content":"m3"\}\]\}\z/);
my $closed = ws('/closed/ws?cname=cmd6&seq=4');
fails($closed, '{"type":"presence","id":1,"channel":"cmd6"}', 'not_allowed', 1);
fails($ws, qq({"type":"$_","id":9,"channel":"cmd6-none"}), 'no_such_channel', 9) for qw(presence history);
fails($closed, '{"type":"history","id":1,"channel":"cmd6"}', 'not_allowed', 1);
my $bound = ws('/bound/ws?seq=4');
fails($bound, '{"type":"presence","id":1,"channel":"cmd6-b"}', 'not_subscribed', 1);
fails($bound, '{"type":"history","id":1,"channel":"cmd6-b"}', 'not_subscribed', 1);
asks($bound, '{"type":"presence","id":2,"channel":"cmd6"}', qr/"subscribers":3,"users":1,/);



=== TEST 7: what is no command
--- play
my $ws = ws('/icomet/ws?cname=cmd7&seq=1');
fails($ws, $$_[0], $$_[1], $$_[2]) for
    ['', 'bad_json'], ['[]', 'wrong_type'], ['{', 'bad_json'], ['{}', 'missing_member'], ['{"id":7}', 'missing_member', 7],
    ['{"type":7}', 'wrong_type'], ['{"type":"fly","id":"a"}', 'unknown_command', '"a"'],
    ['{"type":"ping","id":{}}', 'bad_member'], ['{"type":"ping","id":"' . 'x' x 127 . '"}', 'bad_member'],
    ['{"type":"ping","id":1,"id":2}', 'duplicate_member'], ['{"type":"ping","pong":1}', 'unknown_member'],
    ['{"type":"ping","id":1,"seq":1}', 'unknown_member', 1], ['{"type":"subscribe","id":1}', 'missing_member', 1],
    ['{"type":"subscribe","channel":""}', 'bad_member'], ['{"type":"subscribe","channel":7}', 'wrong_type'],
    ['{"type":"subscribe","channel":"a","seq":-1}', 'bad_member'], ['{"type":"subscribe","channel":"a","seq":"1"}', 'bad_member'],
    ['{"type":"subscribe","channel":"a","epoch":7}', 'wrong_type'], ['{"type":"publish","channel":"a"}', 'missing_member'],
    ['{"type":"history","channel":"cmd7","limit":100000}', 'bad_member'], ['{"type":"history","channel":"cmd7","reverse":1}', 'bad_member'];
push_ok('cmd7', 'x');
same($ws->said, data('cmd7', 1, 'x'), 'it goes on');



=== TEST 7b: null is nothing, and what is no JSON is not called a body
--- play
my $ws = ws('/icomet/ws?cname=cmd7b&seq=1');
asks($ws, '{"type":"subscribe","id":1,"channel":"cmd7b-b","seq":null,"epoch":null,"token":null}', qr/"type":"reply","id":1/);
same($ws->said, qq({"type":"next_seq","cname":"cmd7b-b","seq":1,"content":""}), 'from now on');
asks($ws, '{"type":"ping","id":null}', qr/\A\{"type":"reply","command":"ping"/);
$ws->send(0x81, 'nonsense');
my $said = $ws->said;
matches($said, qr/"code":"bad_json"/, 'code');
same($said =~ /body/ ? 1 : 0, 0, 'no body');



=== TEST 8: limits
--- http_config
    icomet_hub main { zone 12m; max_channels_per_subscriber 2; max_subscribers_per_channel 1; max_channels 3; empty_channels 100%; max_message_size 10; }
--- config
    location /icomet/    { icomet_sub main; icomet_ws_publish on; }
    location /icomet-admin/ { icomet_pub main; }
--- play
my $ws = ws('/icomet/ws?cname=cmd8-a,cmd8-b&seq=1,1');
fails($ws, '{"type":"subscribe","channel":"cmd8-c"}', 'too_many_subscriptions');
asks($ws, '{"type":"unsubscribe","channel":"cmd8-b"}', qr/reply/);
# Or it would go for another.
push_ok('cmd8-b', 'x');
my $other = ws('/icomet/ws?cname=cmd8-c&seq=1');
asks($other, '{"type":"ping"}', qr/reply/);
fails($ws, '{"type":"subscribe","channel":"cmd8-c"}', 'too_many_subscribers');
fails($ws, '{"type":"subscribe","channel":"cmd8-d"}', 'too_many_channels');
fails($ws, '{"type":"publish","channel":"cmd8-e","content":"x"}', 'too_many_channels');
fails($ws, '{"type":"publish","channel":"cmd8-a","content":"0123456789a"}', 'content_too_large');



=== TEST 9: a channel is closed: the others go on, and without any the connection stays
--- play
my $ws = ws('/icomet/ws?cname=cmd9-a,cmd9-b&seq=1,1');
$ws->status;
await_subscribers($_, 1) for qw(cmd9-a cmd9-b);
for my $name (qw(cmd9-a cmd9-b)) {
    get("/icomet-admin/close?cname=$name");
    same($ws->said, data($name, 1, '', 'close'), "close of $name");
}
asks($ws, '{"type":"subscribe","channel":"cmd9-a","seq":1}', qr/"command":"subscribe"/, 'it subscribes again');
push_ok('cmd9-a', 'x');
same($ws->said, data('cmd9-a', 1, 'x'), 'to a new channel');



=== TEST 10: subscriptions move at a reload
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $ws = ws('/icomet/ws?cname=cmd10-a&seq=1');
asks($ws, '{"type":"subscribe","channel":"cmd10-b","seq":1}', qr/reply/);
my $none = ws('/icomet/ws');
asks($none, '{"type":"ping"}', qr/reply/);
my @old = worker_pids();
kill 'HUP', master_pid();
until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
push_ok($_, 'x') for qw(cmd10-a cmd10-b);
same(join(' ', sort map { $ws->said } 1 .. 2), join(' ', map { data($_, 1, 'x') } qw(cmd10-a cmd10-b)), 'both');
asks($ws, '{"type":"unsubscribe","channel":"cmd10-a"}', qr/reply/);
asks($none, '{"type":"subscribe","channel":"cmd10-a","seq":1}', qr/reply/, 'one without channels, too');
same($none->said, data('cmd10-a', 1, 'x'), 'and gets what there is');



=== TEST 11: many in one go, in pieces of bytes, and thousands of commands
--- play
my $ws = ws('/icomet/ws');
$ws->status;
my $bytes = join '', map { IcometTest::Socket::frame(0x81, qq({"type":"subscribe","id":$_,"channel":"cmd11-$_","seq":1})) } 1 .. 64;
$ws->conn->write(substr $bytes, 0, 100);
$ws->conn->write(substr $bytes, 100);
matches($ws->said, qr/"id":$_,"command":"subscribe","channel":"cmd11-$_"/, "subscribed $_") for 1 .. 64;
fails($ws, '{"type":"subscribe","channel":"cmd11-65"}', 'too_many_subscriptions');
push_ok("cmd11-$_", "m$_") for 1 .. 64;
my %got = map { $ws->said => 1 } 1 .. 64;
same(join("\n", sort keys %got), join("\n", sort map { data("cmd11-$_", 1, "m$_") } 1 .. 64), 'one of each');
$ws->conn->write(join '', map { IcometTest::Socket::frame(0x81, qq({"type":"ping","id":$_})) } 1 .. 2000);
my $wrong = grep { $ws->said ne qq({"type":"reply","id":$_,"command":"ping"}) } 1 .. 2000;
same($wrong, 0, 'each is answered, in order');
