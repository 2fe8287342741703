# Several channels on one connection: cname=a,b,c&seq=3,0,9.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

sub ws { my ($uri, %o) = @_; return IcometTest::Socket->new(conn(), $uri, %o) }

# What a subscriber is told next: its JSON, and for SSE the id before it.
sub told {
    my ($conn, $transport) = @_;
    return message($conn) if $transport ne 'sse';
    my $event = $conn->event;
    return $event if !defined $event;
    $event =~ /\A(?:id: (\S+)\n)?data: (.*)\n\n\z/s or return $event;
    $conn->{id} = $1 // $conn->{id};
    return $2;
}

set_up();
run_tests();

__DATA__

=== TEST 1: live messages of all channels, on every endless transport
--- play
for my $transport (qw(stream sse iframe)) {
    my @names = map { "many1-$transport-$_" } 'a' .. 'c';
    my $conn = subscribe("/icomet/$transport?cname=" . join(',', @names) . '&seq=1,1,1');
    for my $seq (1 .. 3) {
        for my $name (@names) {
            push_ok($name, "$name $seq");
            same(told($conn, $transport), data($name, $seq, "$name $seq"), "$transport: $name $seq");
        }
    }
    same(join(' ', map { subscribers($_) } @names), '1 1 1', "$transport: each counts it");
    $conn->leave;
    await_subscribers($_, 0) for @names;
}



=== TEST 2: what is buffered, next_seq, lost and another epoch, each by itself
--- hub: channel_buffer_size 3;
--- play
push_ok('many2-a', "a$_") for 1 .. 5;
push_ok('many2-b', "b$_") for 1 .. 2;
my $conn = subscribe('/icomet/stream?cname=many2-a,many2-b,many2-c,many2-d&seq=2,2,0,1');
same(message($conn), data('many2-a', 3, 1, 'lost'), 'lost of the first');
same(message($conn), data('many2-a', $_, "a$_"), "buffered $_") for 3 .. 5;
same(message($conn), data('many2-b', 2, 'b2'), 'of the second');
same(message($conn), data('many2-c', 1, '', 'next_seq'), 'of the third');
push_ok('many2-d', 'd1');
same(message($conn), data('many2-d', 1, 'd1'), 'of the fourth');
$conn = subscribe('/icomet/stream?cname=many2-a,many2-b&seq=5,2&epoch=0123456789abcdef');
same(message($conn), told_epoch('many2-a', 3), 'epoch of the first');
same(message($conn), data('many2-a', 3, '', 'lost'), 'another epoch: lost of the first');
same(message($conn), data('many2-a', $_, "a$_"), "and what is there, $_") for 3 .. 5;
same(message($conn), told_epoch('many2-b', 1), 'epoch of the second');
same(message($conn), data('many2-b', 1, '', 'lost'), 'lost of the second');
same(message($conn), data('many2-b', $_, "b$_"), "and what is there, $_") for 1 .. 2;



=== TEST 3: without seq: from now on
--- play
push_ok('many3-a', 'old');
my $conn = subscribe('/icomet/stream?cname=many3-a,many3-b');
same(message($conn), data('many3-a', 2, '', 'next_seq'), 'the first');
same(message($conn), data('many3-b', 1, '', 'next_seq'), 'the second');



=== TEST 4: an SSE id brings all of them back
--- play
my $conn = subscribe('/icomet/sse?cname=many4-a,many4-b,many4-c&seq=1,1,0');
same(told($conn, 'sse'), data('many4-c', 1, '', 'next_seq'), 'next_seq');
push_ok('many4-a', "a$_") for 1 .. 40;
told($conn, 'sse') for 1 .. 40;
push_ok('many4-b', 'b1');
same(told($conn, 'sse'), data('many4-b', 1, 'b1'), 'the last message');
matches($conn->{id}, qr/\A[0-9a-f]{16}-[0-9a-z]+_14\.[0-9a-z]+_1\.[0-9a-z]+_0\z/, 'base 36, in the order of cname');
$conn->leave;
await_subscribers('many4-a', 0);
push_ok('many4-a', 'a41');
push_ok('many4-c', 'c1');
$conn = subscribe('/icomet/sse?cname=many4-a,many4-b,many4-c&seq=1,1,0', headers => ["Last-Event-ID: $conn->{id}"]);
same(told($conn, 'sse'), data('many4-a', 41, 'a41'), 'what came meanwhile');
same(told($conn, 'sse'), data('many4-c', 1, 'c1'), 'and of the third');
push_ok('many4-b', 'b2');
same(told($conn, 'sse'), data('many4-b', 2, 'b2'), 'and goes on');



=== TEST 5: long poll: what there is in one batch, with an entity tag; then waiting
--- play
push_ok('many5-a', "a$_") for 1 .. 2;
push_ok('many5-b', 'b1');
my $uri = '/icomet/sub?cname=many5-a,many5-b,many5-c&seq=1,1,1';
my $answer = http('GET', $uri);
same($answer->{text}, '[' . join(',', data('many5-a', 1, 'a1'), data('many5-a', 2, 'a2'), data('many5-b', 1, 'b1')) . "]\n", 'one batch');
matches($answer->header('ETag'), qr/\A"[0-9a-f]{16}-[0-9a-z]+_2\.[0-9a-z]+_1\.[0-9a-z]+_0"\z/, 'where it stands');
same(subscribers('many5-c'), 0, 'nobody waits');
my $conn = subscribe($uri, headers => ['If-None-Match: ' . $answer->header('ETag')]);
push_ok('many5-c', 'c1');
$conn->head;
same($conn->rest, '[' . data('many5-c', 1, 'c1') . "]\n", 'a waiting one is answered');
matches($conn->header('ETag'), qr/\A"[0-9a-f]{16}-[0-9a-z]+_2\.[0-9a-z]+_1\.[0-9a-z]+_1"\z/, 'and where it stands');
await_subscribers($_, 0) for qw(many5-a many5-b many5-c);
same(http('GET', '/icomet/sub?cname=many5-a,many5-b&seq=2,2&cb=go&wait=0')->{text}, '/**/go([' . data('many5-a', 2, 'a2') . "]);\n", 'JSONP');
same(http('GET', '/icomet/sub?cname=many5-a,many5-b&seq=3,2&wait=0')->{text}, "[]\n", 'nothing, and no wait');



=== TEST 6: a noop is of no channel, and keeps where the client stands
--- hub: polling_timeout 1s;
--- play
my $conn = subscribe('/icomet/sub?cname=many6-a,many6-b&seq=1,1&noop=5');
$conn->head;
same($conn->rest, data('', 5, '', 'noop') . "\n", 'noop');
matches($conn->header('ETag'), qr/\A"[0-9a-f]{16}-[0-9a-z]+_0\.[0-9a-z]+_0"\z/, 'ETag');
$conn = subscribe('/icomet/stream?cname=many6-a,many6-b&seq=1,1');
same(message($conn), data('', 0, '', 'noop'), 'on a stream');



=== TEST 7: each channel has its own token and limit; who is refused there has the others
--- hub: auth token; max_subscribers_per_channel 1;
--- play
my %token = map { $_ => (get("/icomet-admin/sign?cname=$_") =~ /"token":"([0-9a-f]+)"/)[0] } qw(many7-a many7-b many7-c);
my $names = 'many7-a,many7-b';
my $conn = subscribe("/icomet/stream?cname=$names&seq=1,1&token=$token{'many7-a'},wrong");
same(message($conn), data('many7-b', 0, 'Token error', 401), 'the second is refused');
push_ok('many7-a', 'x');
same(message($conn), data('many7-a', 1, 'x'), 'the first goes on');
my $other = http('GET', "/icomet/sub?cname=many7-a,many7-b&seq=2,1&token=$token{'many7-a'},$token{'many7-b'}");
same($other->{text}, '[' . data('many7-a', 0, 'Too many subscribers', 429) . "]\n", 'a long poll is answered at once');
matches($other->header('ETag'), qr/\A"[0-9a-f]{16}-\.[0-9a-z]+_0"\z/, 'with what it had');
for my $transport (qw(stream sse iframe sub)) {
    my $refused = http('GET', "/icomet/$transport?cname=$names&seq=1,1&token=no,no");
    matches($refused->{text}, qr/"type":"401","cname":"many7-a".*"type":"401","cname":"many7-b"/s, "$transport: none lets it in");
}
my $ws = ws("/icomet/ws?cname=$names&seq=1,1&token=no,no");
same($ws->said, data($_, 0, 'Token error', 401), "WebSocket: $_") for qw(many7-a many7-b);
same($ws->said, 'close 1008 no channel lets it in', 'WebSocket: closed');
$ws = ws("/icomet/ws?cname=many7-a,many7-b&seq=2,1&token=no,$token{'many7-b'}");
same($ws->said, data('many7-a', 0, 'Token error', 401), 'WebSocket: one of two');
push_ok('many7-b', 'y');
same($ws->said, data('many7-b', 1, 'y'), 'and the other');
$ws->conn->leave;
await_subscribers('many7-b', 0);
$ws = ws("/icomet/ws?cname=many7-a,many7-a2&seq=2,1&token=$token{'many7-a'},no");
$ws->said for 1 .. 2;
matches($ws->said, qr/\Aclose 1008 /, 'WebSocket: a limit and a token');



=== TEST 8: mistakes
--- hub: max_channels_per_subscriber 3;
--- play
errors('GET /icomet/stream?cname=a,b,a', 400, 'names a channel twice');
errors('GET /icomet/stream?cname=a,b,c,d', 400, 'more than 3 channels');
errors('GET /icomet/stream?cname=a,', 400, 'cname is empty');
errors('GET /icomet/sse?cname=a,b&seq=1', 400, 'seq has not one value for each channel');
errors('GET /icomet/sse?cname=a,b&seq=1,2,3', 400, 'seq has not one value for each channel');
errors('GET /icomet/sse?cname=a,b&seq=1,x', 400, 'seq is not a number');
errors('GET /icomet/sse?cname=a,b&token=x', 400, 'token has not one value for each channel');
my $one = conn();
$one->request('GET', '/icomet/stream?cname=many8%2Cb&seq=1');
await_subscribers('many8%2Cb', 1);
push_ok('many8,b', 'x');
same(message($one), data('many8,b', 1, 'x'), 'an encoded comma is part of a name');



=== TEST 9: a channel that is closed leaves the others; the last one ends it
--- play
my $stream = subscribe('/icomet/stream?cname=many9-a,many9-b&seq=1,1');
my $poll = subscribe('/icomet/sub?cname=many9-a,many9-b&seq=1,1');
get('/icomet-admin/close?cname=many9-a');
same(message($stream), data('many9-a', 1, '', 'close'), 'close of the first');
$poll->head;
same($poll->rest, '[' . data('many9-a', 1, '', 'close') . "]\n", 'a long poll is answered');
push_ok('many9-b', 'x');
same(message($stream), data('many9-b', 1, 'x'), 'the second goes on');
get('/icomet-admin/close?cname=many9-b');
same(message($stream), data('many9-b', 2, '', 'close'), 'close of the second');
same($stream->end, 'complete', 'then the end');



=== TEST 10: a broadcast comes once for each channel
--- play
my @names = qw(many10-a many10-b);
my $stream = subscribe('/icomet/stream?cname=many10-a,many10-b&seq=1,1');
my $sse = subscribe('/icomet/sse?cname=many10-a,many10-b&seq=1,1');
get('/icomet-admin/broadcast?content=all');
for my $told ([$stream, 'stream'], [$sse, 'sse']) {
    my %got;
    $got{ told(@$told) }++ for 1 .. 4;
    same(join("\n", sort keys %got), join("\n", sort map { (data($_, 1, 'all', 'broadcast'), data($_, 2, '', 'next_seq')) } @names), $told->[1]);
}



=== TEST 11: a subscriber of one channel beside one of several: nothing is doubled or lost
--- play
my @names = map { "many11-$_" } 1 .. 10;
my $all = join ',', @names;
my @open = map { [$_, subscribe("/icomet/$_?cname=$all&seq=" . join(',', (1) x 10))] } qw(stream sse iframe);
my @lone = map { subscribe("/icomet/stream?cname=$_&seq=1") } @names;
for my $seq (1 .. 20) {
    push_ok($_, "$_ $seq") for @names;
}
for my $n (0 .. 9) {
    same(message($lone[$n]), data($names[$n], $_, "$names[$n] $_"), "alone $n $_") for 1 .. 20;
}
for my $open (@open) {
    my ($transport, $conn) = @$open;
    my (%next, $wrong);
    for (1 .. 200) {
        my $text = told($conn, $transport);
        my ($name, $seq) = $text =~ /"cname":"(many11-\d+)","seq":(\d+),/ or next;
        $wrong = "$text, not " . ($next{$name} // 1) if $seq != ($next{$name} //= 1);
        $next{$name}++;
    }
    same($wrong, undef, "$transport: in order");
    same(join(' ', map { $next{$_} // 0 } @names), join(' ', (21) x 10), "$transport: all");
}



=== TEST 12: in the log their names stand together
--- http_config
    icomet_hub main { zone 16m; }
    log_format many '$icomet_channel|$icomet_seq|$status';
--- config
    location /icomet/ { icomet_sub main; access_log logs/many.log many; }
    location /icomet-admin/ { icomet_pub main; }
--- play
my $file = Test::Nginx::Util::server_root() . '/logs/many.log';
my $stream = subscribe('/icomet/stream?cname=many12-a,many12-b&seq=1,1');
$stream->leave;
await_subscribers('many12-a', 0);
until_true(sub { -s $file }, 'a line in the log');
open my $log, '<', $file or die $!;
same(join('', <$log>), "many12-a,many12-b|-|200\n", 'the line');



=== TEST 13: they move at a reload, and at the next
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my @names = qw(many13-a many13-b);
my %open = map { $_ => subscribe("/icomet/$_?cname=many13-a,many13-b&seq=1,1") } qw(stream sse iframe sub);
my $seq = 0;
for my $turn (1 .. 2) {
    my @old = worker_pids();
    kill 'HUP', master_pid();
    until_true(sub { my %now = map { $_ => 1 } worker_pids(); keys %now && !grep { $now{$_} } @old }, 'the old workers are gone');
    $seq++;
    push_ok($_, "turn $turn") for @names;
    for my $transport (qw(stream sse iframe)) {
        my @got = sort map { told($open{$transport}, $transport) } @names;
        same("@got", join(' ', map { data($_, $seq, "turn $turn") } @names), "$transport: turn $turn");
    }
    if (my $poll = delete $open{sub}) {
        $poll->head;
        matches($poll->rest, qr/\A\[\{"type":"data","cname":"many13-[ab]","seq":1,"content":"turn 1"\}/, 'sub');
    }
    until_true(sub { subscribers($_) == 3 }, 'counts') for @names;
}
get("/icomet-admin/close?cname=$_") for @names;
for my $transport (keys %open) {
    my @got = sort map { told($open{$transport}, $transport) } @names;
    same("@got", join(' ', map { data($_, 3, '', 'close') } @names), "$transport: close");
    same($open{$transport}->end, 'complete', "$transport: end");
}



=== TEST 14: who asks for many in requests that are sent ahead takes turns with others; each is answered
--- http_config
    icomet_hub main { zone 64m; }
--- play
my ($rounds, $each) = (40, 60);
my $names = sub { my ($what) = @_; return join ',', map { "many14-$what-$_" } 1 .. $each };
my $ahead = sub { return join '', map { 'GET /icomet/sub?cname=' . $names->("$_[0]-$_") . "&wait=0 HTTP/1.1\r\nHost: localhost\r\n\r\n" } 1 .. $rounds };
# All at once, so that they do not all come in one turn's time.
my @polls = map { conn() } 1 .. 3;
my @leave = map { conn() } 1 .. 3;
my @open = map { conn()->request('GET', "/icomet/$_?cname=" . $names->($_) . '&seq=' . join(',', (1) x $each)) } qw(stream sse iframe sub);
$leave[$_]->write($ahead->("l$_")) for 0 .. $#leave;
$_->leave for @leave;
$polls[$_]->write($ahead->("p$_")) for 0 .. $#polls;
same(get('/alive'), "alive\n", 'another client');
for my $poll (0 .. $#polls) {
    my $right = grep {
        $polls[$poll]->next_answer if $_ > 1;
        $polls[$poll]->rest =~ /\A\[\{"type":"next_seq","cname":"many14-p$poll-$_-1",.*"cname":"many14-p$poll-$_-$each","seq":1,"content":""\}\]\n\z/;
    } 1 .. $rounds;
    same($right, $rounds, "connection $poll");
    same($polls[$poll]->next_answer->request('GET', '/alive')->rest, "alive\n", 'it goes on') if $poll == 0;
}
await_subscribers("many14-sub-$each", 1);
push_ok("many14-$_-$each", 'x') for qw(stream sse iframe sub);
my %conn;
@conn{qw(stream sse iframe sub)} = @open;
same(told($conn{$_}, $_), data("many14-$_-$each", 1, 'x'), $_) for qw(stream sse iframe);
same($conn{sub}->rest, '[' . data("many14-sub-$each", 1, 'x') . "]\n", 'sub');
$_->leave for values %conn;
await_subscribers("many14-$_-$each", 0) for qw(stream sse iframe sub);
