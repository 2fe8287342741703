# Resuming: a channel that began again under its old name, and what a client may say of where it stopped.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

sub ws { my ($uri, %o) = @_; return IcometTest::Socket->new(conn(), $uri, %o) }

# Ends a channel, and publishes so many to the next of its name, which lives as long as what is returned.
sub begin_again {
    my ($cname, $how, $messages) = @_;
    get("/icomet-admin/close?cname=$cname") if $how eq 'close';
    until_true(sub { get("/icomet-admin/check?cname=$cname") eq "{}\n" }, "$how: it is over");
    my $keeper = subscribe("/icomet/stream?cname=$cname&seq=1");
    push_ok($cname, "new $_") for 1 .. $messages;
    return $keeper;
}

# A long poll's answer, or a stream's first messages.
sub all {
    my ($transport, $uri, $count, %o) = @_;
    return http('GET', $uri, %o)->{text} =~ s/\A\[|\]\n\z//gr if $transport eq 'sub';
    my $conn = subscribe($uri, %o);
    my @messages = map { $transport eq 'sse' ? $conn->event =~ s/\A(?:id: \S+\n)?data: (.*)\n\n\z/$1/sr : message($conn) } 1 .. $count;
    return join ',', @messages;
}

set_up();
run_tests();

__DATA__

=== TEST 1: a channel that expired or was closed: every way of resuming is told lost, and gets all there is
--- hub: channel_timeout 1s;
--- play
for my $how (qw(expiry close)) {
    my $name = "inc1-$how";
    push_ok($name, "old $_") for 1 .. 3;
    my $epoch = epoch_of($name);
    my $keeper = begin_again($name, $how, 5);
    my $lost = join ',', data($name, 1, '', 'lost'), map { data($name, $_, "new $_") } 1 .. 5;
    my $now = epoch_of($name);
    same($now eq $epoch ? 'the same' : 'another', 'another', "$how: epoch");
    same(($now =~ s/\..*//r), ($epoch =~ s/\..*//r), "$how: of one zone");
    same(all('sub', "/icomet/sub?cname=$name&seq=4&epoch=$epoch", 6), told_epoch($name, 1) . ",$lost", "$how: sub, seq and epoch");
    same(all('sub', "/icomet/sub?cname=$name&seq=4", 6, headers => [qq(If-None-Match: "$epoch-3")]), $lost, "$how: ETag");
    same(all('sub', "/icomet/sub?cname=$name&seq=4", 6, headers => [qq(If-None-Match: W/"$epoch-3")]), $lost, "$how: weak ETag");
    same(all('sse', "/icomet/sse?cname=$name", 6, headers => ["Last-Event-ID: $epoch-3"]), $lost, "$how: SSE");
    for my $transport (qw(stream sse iframe)) {
        same(all($transport, "/icomet/$transport?cname=$name&seq=4&epoch=$epoch", 7), told_epoch($name, 1) . ",$lost", "$how: $transport, seq and epoch");
    }
    my $ws = ws("/icomet/ws?cname=$name&seq=4&epoch=$epoch");
    same($ws->said, $_, "$how: WebSocket") for told_epoch($name, 1), data($name, 1, '', 'lost'), map { data($name, $_, "new $_") } 1 .. 5;
    $ws = ws('/icomet/ws');
    $ws->send(0x81, qq({"type":"subscribe","channel":"$name","seq":4,"epoch":"$epoch"}));
    matches($ws->said, qr/"command":"subscribe","channel":"$name","epoch":"\Q$now\E","next_seq":6/, "$how: subscribe");
    same($ws->said, $_, "$how: and its messages") for data($name, 1, '', 'lost'), map { data($name, $_, "new $_") } 1 .. 5;
    # Who has no epoch is served as ever.
    same(get("/icomet/sub?cname=$name&seq=4"), '[' . data($name, 4, 'new 4') . ',' . data($name, 5, 'new 5') . "]\n", "$how: a bare seq");
}



=== TEST 2: the seq of an empty channel belongs to its life too
--- hub: channel_timeout 1s;
--- play
my $answer = http('GET', '/icomet/sub?cname=inc2');
same($answer->{text}, data('inc2', 1, '', 'next_seq') . "\n", 'a channel that was not there');
my $etag = $answer->header('ETag');
until_true(sub { get('/icomet-admin/check?cname=inc2') eq "{}\n" }, 'it expires');
push_ok('inc2', 'missed');
until_true(sub { get('/icomet-admin/check?cname=inc2') eq "{}\n" }, 'and again, with a message');
my $keeper = subscribe('/icomet/stream?cname=inc2&seq=1');
$answer = http('GET', '/icomet/sub?cname=inc2&seq=1', headers => ["If-None-Match: $etag"]);
same($answer->{text}, data('inc2', 1, '', 'lost') . "\n", 'lost');
my $again = http('GET', '/icomet/sub?cname=inc2&seq=1&wait=0', headers => ['If-None-Match: ' . $answer->header('ETag')]);
same($again->{text}, "[]\n", 'once');



=== TEST 3: clear and disconnect keep it
--- play
push_ok('inc3', "m$_") for 1 .. 3;
my $epoch = epoch_of('inc3');
get('/icomet-admin/clear?cname=inc3');
push_ok('inc3', 'm4');
same(all('sub', "/icomet/sub?cname=inc3&seq=2&epoch=$epoch", 2), join(',', told_epoch('inc3', 4), data('inc3', 4, 2, 'lost'), data('inc3', 4, 'm4')), 'clear: a number');
my $stream = subscribe("/icomet/stream?cname=inc3&seq=5");
api('disconnect', '{"channel":"inc3"}', 200, qr/"disconnected":1/);
same(message($stream), data('inc3', 5, '', 'close'), 'disconnected');
push_ok('inc3', 'm5');
same(all('stream', "/icomet/stream?cname=inc3&seq=5&epoch=$epoch", 2), told_epoch('inc3', 5) . ',' . data('inc3', 5, 'm5'), 'disconnect: nothing is lost');
same(epoch_of('inc3'), $epoch, 'the epoch');



=== TEST 4: epoch= is told on every transport; without it nothing changes
--- play
push_ok('inc4', "m$_") for 1 .. 2;
my $epoch = epoch_of('inc4');
for my $transport (qw(stream sse iframe)) {
    same(all($transport, "/icomet/$transport?cname=inc4&epoch=", 2), told_epoch('inc4', 3, $epoch) . ',' . data('inc4', 3, '', 'next_seq'), "$transport: from now on");
    same(all($transport, "/icomet/$transport?cname=inc4&seq=2&epoch=$epoch", 2), told_epoch('inc4', 2, $epoch) . ',' . data('inc4', 2, 'm2'), "$transport: the same epoch");
    same(all($transport, "/icomet/$transport?cname=inc4&seq=2", 1), data('inc4', 2, 'm2'), "$transport: not asked");
}
same(subscribe('/icomet/sse?cname=inc4&epoch=')->event, "id: $epoch-2\ndata: " . told_epoch('inc4', 3, $epoch) . "\n\n", 'with an id');
same(get('/icomet/sub?cname=inc4&epoch='), '[' . told_epoch('inc4', 3, $epoch) . ',' . data('inc4', 3, '', 'next_seq') . "]\n", 'sub: from now on');
same(get('/icomet/sub?cname=inc4&seq=2&epoch='), '[' . told_epoch('inc4', 2, $epoch) . ',' . data('inc4', 2, 'm2') . "]\n", 'sub: what is there');
same(get('/icomet/sub?cname=inc4&seq=3&epoch=&wait=0'), '[' . told_epoch('inc4', 3, $epoch) . "]\n", 'sub: nothing there');
same(get('/icomet/sub?cname=inc4&seq=2&epoch=&cb=go'), 'go([' . told_epoch('inc4', 2, $epoch) . ',' . data('inc4', 2, 'm2') . "]);\n", 'JSONP');
same(get('/icomet/sub?cname=inc4&seq=2'), '[' . data('inc4', 2, 'm2') . "]\n", 'sub: not asked');
my $ws = ws('/icomet/ws?cname=inc4&seq=2&epoch=');
same($ws->said, $_, 'WebSocket') for told_epoch('inc4', 2, $epoch), data('inc4', 2, 'm2');



=== TEST 5: a poll that waits tells it in its answer, beside others of the channel that are not asked
--- hub: polling_timeout 2s;
--- play
my $epoch = epoch_of('inc5');
my %poll = map { $_ => subscribe("/icomet/sub?cname=inc5&seq=1$_") } '', '&epoch=', "&epoch=$epoch", '&epoch=&cb=go';
await_subscribers('inc5', 4);
push_ok('inc5', 'm1');
$_->head for values %poll;
my $message = data('inc5', 1, 'm1');
same($poll{''}->rest, "$message\n", 'not asked');
same($poll{$_}->rest, '[' . told_epoch('inc5', 1, $epoch) . ",$message]\n", "asked: $_") for '&epoch=', "&epoch=$epoch";
same($poll{'&epoch=&cb=go'}->rest, 'go([' . told_epoch('inc5', 1, $epoch) . ",$message]);\n", 'JSONP');
same($_->header('ETag'), qq("$epoch-1"), 'ETag') for values %poll;
my $noop = subscribe('/icomet/sub?cname=inc5&seq=2&noop=7&epoch=');
$noop->head;
same($noop->rest, '[' . told_epoch('inc5', 2, $epoch) . ',' . data('inc5', 7, '', 'noop') . "]\n", 'a noop');
my $closed = subscribe('/icomet/sub?cname=inc5&seq=2&epoch=');
await_subscribers('inc5', 1);
get('/icomet-admin/close?cname=inc5');
$closed->head;
same($closed->rest, '[' . told_epoch('inc5', 2, $epoch) . ',' . data('inc5', 2, '', 'close') . "]\n", 'close');



=== TEST 6: what a polyfill says in the query counts behind the header field
--- hub: max_subscribers_per_channel 100;
--- play
push_ok('inc6', "m$_") for 1 .. 4;
my $epoch = epoch_of('inc6');
for my $name (qw(lastEventId Last-Event-ID lastEventID)) {
    for my $transport (qw(sse stream iframe sub)) {
        same(all($transport, "/icomet/$transport?cname=inc6&$name=$epoch-3", 1), data('inc6', 4, 'm4'), "$transport: $name");
    }
    same(all('sse', "/icomet/sse?cname=inc6&$name=$epoch-1", 1, headers => ["Last-Event-ID: $epoch-3"]), data('inc6', 4, 'm4'), "$name: the header field wins");
    same(all('sse', "/icomet/sse?cname=inc6&seq=4&$name=", 1), data('inc6', 4, 'm4'), "$name: an empty one is none");
    same(all('sse', "/icomet/sse?cname=inc6&seq=4&$name=x", 1), data('inc6', 1, '', 'lost'), "$name: another one");
}
same(all('sub', "/icomet/sub?cname=inc6&lastEventId=$epoch-1", 1, headers => [qq(If-None-Match: "$epoch-3")]), data('inc6', 4, 'm4'), 'sub: the ETag wins');
my $ws = ws("/icomet/ws?cname=inc6&lastEventId=$epoch-3");
same($ws->said, data('inc6', 4, 'm4'), 'WebSocket');



=== TEST 7: an ETag that cannot be placed
--- play
push_ok('inc7', "m$_") for 1 .. 2;
my $epoch = epoch_of('inc7');
my $old = $epoch =~ s/\..*//r;
my $lost = '[' . join(',', data('inc7', 1, '', 'lost'), map { data('inc7', $_, "m$_") } 1 .. 2) . "]\n";
for my $tag ('*', 'x', '"x"', qq("$old-1"), qq("$epoch-1", "$epoch-2"), "$epoch-1", qq("$old-1_1.2_1"), qq("$old.zz-1")) {
    same(http('GET', '/icomet/sub?cname=inc7&seq=2', headers => ["If-None-Match: $tag"])->{text}, $lost, $tag);
}
same(http('GET', '/icomet/sub?cname=inc7&seq=2', headers => ["If-None-Match: $_"])->{text}, '[' . data('inc7', 2, 'm2') . "]\n", "\"$_\"")
    for '', qq("$epoch-1"), qq(W/"$epoch-1"), qq("other", W/"$epoch-1");



=== TEST 8: several channels: each has its own life
--- play
my @names = qw(inc8-a inc8-b);
push_ok($_, "$_ 1") for @names;
my $uri = '/icomet/sub?cname=inc8-a,inc8-b&seq=1,1&epoch=';
my $answer = http('GET', $uri);
my %epoch = map { $_ => epoch_of($_) } @names;
same($answer->{text}, '[' . join(',', map { told_epoch($_, 1, $epoch{$_}), data($_, 1, "$_ 1") } @names) . "]\n", 'told of each');
my $etag = $answer->header('ETag');
my $keeper = begin_again('inc8-b', 'close', 2);
my $lost = join ',', data('inc8-b', 1, '', 'lost'), map { data('inc8-b', $_, "new $_") } 1 .. 2;
same(http('GET', '/icomet/sub?cname=inc8-a,inc8-b', headers => ["If-None-Match: $_"])->{text}, "[$lost]\n", "ETag: $_") for $etag, "W/$etag";
my $id = $etag =~ s/"//gr;
same(all('sse', '/icomet/sse?cname=inc8-a,inc8-b', 3, headers => ["Last-Event-ID: $id"]), $lost, 'SSE');
same(all('stream', "/icomet/stream?cname=inc8-a,inc8-b&lastEventId=$id", 3), $lost, 'in the query');
my $told = sub { my ($a, $b) = @_; return join ',', told_epoch('inc8-a', $a), $b };
same(all('stream', "/icomet/stream?cname=inc8-a,inc8-b&seq=2,2&epoch=$epoch{'inc8-a'},$epoch{'inc8-b'}", 5), join(',', told_epoch('inc8-a', 2), told_epoch('inc8-b', 1), $lost), 'epoch for each');
same(all('stream', "/icomet/stream?cname=inc8-a,inc8-b&seq=2,2&epoch=$epoch{'inc8-a'},", 3), join(',', told_epoch('inc8-a', 2), told_epoch('inc8-b', 2), data('inc8-b', 2, 'new 2')), 'of the second none');
# One for both, as clients had it once, and ids of another set, or of another length.
my $both = join ',', data('inc8-a', 1, '', 'lost'), data('inc8-a', 1, 'inc8-a 1'), $lost;
my $zone = zone_epoch('inc8-a');
same(all('sse', '/icomet/sse?cname=inc8-a,inc8-b&seq=2,3', 5, headers => ["Last-Event-ID: $_"]), $both, "id $_")
    for "$id.1_1", "$epoch{'inc8-a'}-1", 'x', "$zone-1.1", "$id,$id", join('.', $zone =~ s/$/-/r . join('.', reverse split /\./, $id =~ s/.*-//r));
same(all('stream', "/icomet/stream?cname=inc8-a,inc8-b&seq=2,3&epoch=$zone", 7), join(',', told_epoch('inc8-a', 1), data('inc8-a', 1, '', 'lost'), data('inc8-a', 1, 'inc8-a 1'), told_epoch('inc8-b', 1), $lost), 'the old epoch');
same(all('sse', '/icomet/sse?cname=inc8-a', 2, headers => ["Last-Event-ID: $id"]), join(',', data('inc8-a', 1, '', 'lost'), data('inc8-a', 1, 'inc8-a 1')), 'one channel with an id of two');



=== TEST 9: a waiting poll of several channels tells all epochs
--- hub: polling_timeout 2s;
--- play
my %epoch = map { $_ => epoch_of($_) } qw(inc9-a inc9-b);
my $poll = subscribe('/icomet/sub?cname=inc9-a,inc9-b&seq=1,1&epoch=');
await_subscribers('inc9-b', 1);
push_ok('inc9-b', 'x');
$poll->head;
my $told = join ',', map { told_epoch($_, 1, $epoch{$_}) } sort keys %epoch;
same($poll->rest, "[$told," . data('inc9-b', 1, 'x') . "]\n", 'a message');
$poll = subscribe('/icomet/sub?cname=inc9-a,inc9-b&seq=1,2&noop=3&epoch=');
$poll->head;
same($poll->rest, '[' . join(',', told_epoch('inc9-a', 1, $epoch{'inc9-a'}), told_epoch('inc9-b', 2, $epoch{'inc9-b'}), data('', 3, '', 'noop')) . "]\n", 'a noop');
my $etag = $poll->header('ETag');
same(http('GET', '/icomet/sub?cname=inc9-a,inc9-b&wait=0', headers => ["If-None-Match: $etag"])->{text}, "[]\n", 'and its ETag is good');



=== TEST 10: an ended channel of several is not resumed in its next life in silence
--- play
push_ok('inc10-a', 'a1');
my $conn = subscribe('/icomet/sse?cname=inc10-a,inc10-b&seq=1,1');
$conn->event;
push_ok('inc10-b', 'b1');
$conn->event;
get('/icomet-admin/close?cname=inc10-b');
$conn->event;
push_ok('inc10-a', 'a2');
my ($id) = $conn->event =~ /\Aid: (\S+)\n/;
$conn->leave;
await_subscribers('inc10-a', 0);
push_ok('inc10-b', "new $_") for 1 .. 2;
same(all('sse', '/icomet/sse?cname=inc10-a,inc10-b&seq=1,1', 3, headers => ["Last-Event-ID: $id"]),
    join(',', data('inc10-b', 1, '', 'lost'), map { data('inc10-b', $_, "new $_") } 1 .. 2), 'lost');



=== TEST 11: what the API tells
--- play
my ($one) = get('/icomet/sub?cname=inc11&epoch=') =~ /"type":"epoch","cname":"inc11","seq":1,"content":"([^"]+)"/;
matches($one, qr/\A[0-9a-f]{16}\.[0-9a-z]+\z/, 'its form');
same(length $one <= 32 ? 'short' : $one, 'short', 'its length');
api('publish', '{"channel":"inc11","content":"x","id":"1"}', 200, qr/"channel":"inc11","epoch":"\Q$one\E","seq":1/);
matches(get('/icomet-admin/api/history?channel=inc11'), qr/"epoch":"\Q$one\E"/, 'history');
matches(get('/icomet-admin/api/channels?prefix=inc11'), qr/"channel":"inc11","epoch":"\Q$one\E"/, 'channels');
my $keeper = begin_again('inc11', 'close', 1);
my $two = epoch_of('inc11');
matches(get('/icomet-admin/api/history?channel=inc11'), qr/"epoch":"\Q$two\E"/, 'history of the next life');
api('publish', '{"channel":"inc11","content":"x","id":"1"}', 200, qr/"epoch":"[0-9a-f]{16}\.0","seq":1,"subscribers":0,"duplicate":true/);



=== TEST 12: a poll that moves to another worker tells it as well
--- hub: polling_timeout 60s;
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %epoch = map { $_ => epoch_of($_) } qw(inc12-a inc12-b);
my $one = subscribe('/icomet/sub?cname=inc12-a&seq=1&epoch=');
my $two = subscribe('/icomet/sub?cname=inc12-a,inc12-b&seq=1,1&epoch=');
my $many = subscribe('/icomet/sse?cname=inc12-a,inc12-b&seq=1,1');
await_subscribers('inc12-a', 3);
reload();
await_subscribers('inc12-a', 3);
push_ok('inc12-a', 'x');
$_->head for $one, $two;
my $message = data('inc12-a', 1, 'x');
same($one->rest, '[' . told_epoch('inc12-a', 1, $epoch{'inc12-a'}) . ",$message]\n", 'of one channel');
same($two->rest, '[' . join(',', (map { told_epoch($_, 1, $epoch{$_}) } sort keys %epoch), $message) . "]\n", 'of two');
same($one->header('ETag'), qq("$epoch{'inc12-a'}-1"), 'the ETag is of the same life');
my ($id) = $many->event =~ /\Aid: (\S+)\n/;
push_ok('inc12-b', 'y');
same(all('sse', '/icomet/sse?cname=inc12-a,inc12-b', 1, headers => ["Last-Event-ID: $id"]), data('inc12-b', 1, 'y'), 'and so is the id of two');
