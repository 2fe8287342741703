# sse: server-sent events.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: the head comes at once, then an event a message, with its id
--- play
my $sse = subscribe('/icomet/sse?cname=sse1&seq=1');
same($sse->head, 200, 'status');
same($sse->header('Content-Type'), 'text/event-stream; charset=utf-8', 'Content-Type');
same($sse->header('Access-Control-Allow-Origin'), '*', 'Access-Control-Allow-Origin');
same($sse->header('Cache-Control'), 'no-cache, no-transform, private', 'Cache-Control');
same($sse->header('Expires'), '0', 'Expires');
same($sse->header('Connection'), 'keep-alive', 'Connection');
my $epoch = epoch_of('sse1');
for my $seq (1 .. 12) {
    push_ok('sse1', "m$seq");
    same($sse->event, qq(id: $epoch-$seq\ndata: {"type":"data","cname":"sse1","seq":$seq,"content":"m$seq"}\n\n), "event $seq");
}



=== TEST 2: next_seq has the id of what the client then has
--- play
push_ok('sse2', 'x');
my $epoch = epoch_of('sse2');
my $sse = subscribe('/icomet/sse?cname=sse2');
same($sse->event, "id: $epoch-1\ndata: " . data('sse2', 2, '', 'next_seq') . "\n\n", 'next_seq');
push_ok('sse2', 'y');
same($sse->event, "id: $epoch-2\ndata: " . data('sse2', 2, 'y') . "\n\n", 'message');



=== TEST 3: noop and close have no id
--- hub: polling_timeout 1s;
--- play
my $sse = subscribe('/icomet/sse?cname=sse3&seq=1&noop=3');
same($sse->event, 'data: ' . data('sse3', $_, '', 'noop') . "\n\n", "noop $_") for 3 .. 4;
get('/icomet-admin/close?cname=sse3');
my $event = $sse->event;
$event = $sse->event while $event =~ /"noop"/;
same($event, 'data: ' . data('sse3', 1, '', 'close') . "\n\n", 'close');
same($sse->end, 'complete', 'end');



=== TEST 4: a broadcast is two events
--- play
my $sse = subscribe('/icomet/sse?cname=sse4&seq=1');
my $epoch = epoch_of('sse4');
get('/icomet-admin/broadcast?content=all');
same($sse->event, "id: $epoch-1\ndata: " . data('sse4', 1, 'all', 'broadcast') . "\n\n", 'broadcast');
same($sse->event, "id: $epoch-1\ndata: " . data('sse4', 2, '', 'next_seq') . "\n\n", 'next_seq');



=== TEST 5: Last-Event-ID resumes after it, and wins over seq
--- play
push_ok('sse5', "m$_") for 1 .. 4;
my $epoch = epoch_of('sse5');
my $sse = subscribe('/icomet/sse?cname=sse5&seq=1', headers => ["Last-Event-ID: $epoch-2"]);
same($sse->event, "id: $epoch-$_\ndata: " . data('sse5', $_, "m$_") . "\n\n", "event $_") for 3 .. 4;
my $fresh = subscribe('/icomet/sse?cname=sse5&seq=0', headers => ["Last-Event-ID: $epoch-4"]);
push_ok('sse5', 'm5');
same($fresh->event, "id: $epoch-5\ndata: " . data('sse5', 5, 'm5') . "\n\n", 'up to date: no next_seq, only what is new');



=== TEST 6: a Last-Event-ID that cannot be placed is told lost, an empty one is none
--- play
push_ok('sse6', "m$_") for 1 .. 2;
my $epoch = epoch_of('sse6');
my $old = $epoch =~ s/\..*//r;
for my $id ('2', 'abc', "$old-2", "$epoch", "$epoch-", "$epoch-x", "-1", "$epoch-99999999999999999999", qq("$epoch-2"), "$epoch-2, $epoch-2", "$old-1_2.2_2") {
    my $sse = subscribe('/icomet/sse?cname=sse6&seq=2', headers => ["Last-Event-ID: $id"]);
    same($sse->event, "id: $epoch-0\ndata: " . data('sse6', 1, '', 'lost') . "\n\n", "id \"$id\"");
    same($sse->event, "id: $epoch-$_\ndata: " . data('sse6', $_, "m$_") . "\n\n", "id \"$id\", event $_") for 1 .. 2;
}
my $sse = subscribe('/icomet/sse?cname=sse6&seq=2', headers => ['Last-Event-ID: ']);
same($sse->event, "id: $epoch-2\ndata: " . data('sse6', 2, 'm2') . "\n\n", 'an empty one');



=== TEST 7: a Last-Event-ID of another epoch is told lost, and moved to the oldest buffered message
--- play
push_ok('sse7', "m$_") for 1 .. 2;
my $epoch = epoch_of('sse7');
my $sse = subscribe('/icomet/sse?cname=sse7', headers => ['Last-Event-ID: 0123456789abcdef-9']);
same($sse->event, "id: $epoch-0\ndata: " . data('sse7', 1, '', 'lost') . "\n\n", 'lost');
same($sse->event, "id: $epoch-$_\ndata: " . data('sse7', $_, "m$_") . "\n\n", "event $_") for 1 .. 2;



=== TEST 8: messages that are no longer buffered are told lost, by Last-Event-ID and by seq
--- hub: channel_buffer_size 2;
--- play
push_ok('sse8', "m$_") for 1 .. 5;
my $epoch = epoch_of('sse8');
for my $sse (subscribe('/icomet/sse?cname=sse8', headers => ["Last-Event-ID: $epoch-1"]), subscribe('/icomet/sse?cname=sse8&seq=2')) {
    same($sse->event, "id: $epoch-3\ndata: " . data('sse8', 4, '2', 'lost') . "\n\n", 'lost');
    same($sse->event, "id: $epoch-$_\ndata: " . data('sse8', $_, "m$_") . "\n\n", "event $_") for 4 .. 5;
}



=== TEST 9: line ends in the content cannot end an event
--- play
my $sse = subscribe('/icomet/sse?cname=sse9&seq=1');
my $epoch = epoch_of('sse9');
push_ok('sse9', "a\nb\rc\r\nd\n\ndata: e\n\n");
same($sse->event, qq(id: $epoch-1\ndata: {"type":"data","cname":"sse9","seq":1,"content":"a\\nb\\rc\\r\\nd\\n\\ndata: e\\n\\n"}\n\n), 'event');
push_ok('sse9', 'next');
same($sse->event, "id: $epoch-2\ndata: " . data('sse9', 2, 'next') . "\n\n", 'the next one');



=== TEST 10: cb is ignored
--- play
push_ok('sse10', 'x');
my $epoch = epoch_of('sse10');
my $sse = subscribe('/icomet/sse?cname=sse10&seq=1&cb=f');
same($sse->event, "id: $epoch-1\ndata: " . data('sse10', 1, 'x') . "\n\n", 'event');



=== TEST 11: clients that go away are no longer counted
--- play
my @sse = map { subscribe('/icomet/sse?cname=sse11&seq=1') } 1 .. 3;
$_->head for @sse;
$sse[0]->leave;
$sse[1]->reset;
await_subscribers('sse11', 1);
push_ok('sse11', 'x');
matches($sse[2]->event, qr/\ndata: \Q${\data('sse11', 1, 'x')}\E\n\n\z/, 'the one that stayed');
