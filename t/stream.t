# stream: an endless response, one JSON message a line.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: the head comes at once, then each message as a line
--- play
my $stream = subscribe('/icomet/stream?cname=stream1&seq=1');
same($stream->head, 200, 'status');
same($stream->header('Content-Type'), 'application/json; charset=utf-8', 'Content-Type');
same($stream->header('Expires'), '0', 'Expires');
same($stream->header('Cache-Control'), 'no-cache, no-transform, private', 'Cache-Control');
same($stream->header('Connection'), 'keep-alive', 'Connection');
same($stream->header('Transfer-Encoding'), 'chunked', 'Transfer-Encoding');
same($stream->header('Access-Control-Allow-Origin'), '*', 'Access-Control-Allow-Origin');
for my $seq (1 .. 20) {
    push_ok('stream1', "m$seq");
    same($stream->line, qq({"type":"data","cname":"stream1","seq":$seq,"content":"m$seq"}\n), "message $seq");
}



=== TEST 2: seq=0 is told next_seq, and the stream goes on from there
--- play
push_ok('stream2', 'before');
my $stream = subscribe('/icomet/stream?cname=stream2');
same($stream->line, data('stream2', 2, '', 'next_seq') . "\n", 'next_seq');
push_ok('stream2', 'after');
same($stream->line, data('stream2', 2, 'after') . "\n", 'message');



=== TEST 3: a seq beyond is told next_seq, and the stream goes on from there
--- play
my $stream = subscribe('/icomet/stream?cname=stream3&seq=100');
same($stream->line, data('stream3', 1, '', 'next_seq') . "\n", 'next_seq');
push_ok('stream3', 'x');
same($stream->line, data('stream3', 1, 'x') . "\n", 'message');



=== TEST 4: buffered messages first, a line each, then live ones
--- play
push_ok('stream4', "m$_") for 1 .. 3;
my $stream = subscribe('/icomet/stream?cname=stream4&seq=2');
push_ok('stream4', 'm4');
same($stream->line, data('stream4', $_, "m$_") . "\n", "message $_") for 2 .. 4;



=== TEST 5: noops count up from the client's counter
--- hub: polling_timeout 1s;
--- play
my $stream = subscribe('/icomet/stream?cname=stream5&seq=1&noop=7');
same($stream->line, data('stream5', $_, '', 'noop') . "\n", "noop $_") for 7 .. 9;
push_ok('stream5', 'x');
same($stream->line, data('stream5', 1, 'x') . "\n", 'a message between');
same($stream->line, data('stream5', 10, '', 'noop') . "\n", 'noop 10');



=== TEST 6: broadcasts, live and buffered, are followed by their next_seq
--- play
my $stream = subscribe('/icomet/stream?cname=stream6&seq=1');
get('/icomet-admin/broadcast?content=all');
push_ok('stream6', 'x');
my @expected = (data('stream6', 1, 'all', 'broadcast'), data('stream6', 2, '', 'next_seq'), data('stream6', 2, 'x'));
same($stream->line, "$_\n", 'live') for @expected;
my $late = subscribe('/icomet/stream?cname=stream6&seq=1');
same($late->line, "$_\n", 'buffered') for @expected;



=== TEST 7: close is told, then the response ends as HTTP says
--- play
push_ok('stream7', 'x');
my $stream = subscribe('/icomet/stream?cname=stream7&seq=1');
get('/icomet-admin/close?cname=stream7');
same($stream->line, data('stream7', 1, 'x') . "\n", 'message');
same($stream->line, data('stream7', 2, '', 'close') . "\n", 'close');
same($stream->end, 'complete', 'end');
same($stream->rest, '', 'nothing after it');



=== TEST 8: lost comes before the replay
--- hub: channel_buffer_size 2;
--- play
push_ok('stream8', "m$_") for 1 .. 5;
my $stream = subscribe('/icomet/stream?cname=stream8&seq=2');
same($stream->line, data('stream8', 4, '2', 'lost') . "\n", 'lost');
same($stream->line, data('stream8', $_, "m$_") . "\n", "message $_") for 4 .. 5;
get('/icomet-admin/clear?cname=stream8');
my $empty = subscribe('/icomet/stream?cname=stream8&seq=5');
same($empty->line, data('stream8', 6, '1', 'lost') . "\n", 'lost with nothing buffered');
push_ok('stream8', 'm6');
same($empty->line, data('stream8', 6, 'm6') . "\n", 'and the stream goes on');



=== TEST 9: another epoch is told lost
--- play
push_ok('stream9', "m$_") for 1 .. 2;
my $stream = subscribe('/icomet/stream?cname=stream9&seq=2&epoch=0123456789abcdef');
same($stream->line, told_epoch('stream9', 1) . "\n", 'epoch');
same($stream->line, data('stream9', 1, '', 'lost') . "\n", 'lost');
same($stream->line, data('stream9', $_, "m$_") . "\n", "message $_") for 1 .. 2;



=== TEST 10: cb is ignored
--- play
my $stream = subscribe('/icomet/stream?cname=stream10&seq=1&cb=f');
push_ok('stream10', 'x');
same($stream->header('Content-Type'), 'application/json; charset=utf-8', 'Content-Type');
same($stream->line, data('stream10', 1, 'x') . "\n", 'body');



=== TEST 11: a clear does not disturb who is up to date
--- play
push_ok('stream11', 'a');
my $stream = subscribe('/icomet/stream?cname=stream11&seq=1');
same($stream->line, data('stream11', 1, 'a') . "\n", 'before');
same(get('/icomet-admin/clear?cname=stream11'), "ok 2\n", 'clear');
push_ok('stream11', 'b');
same($stream->line, data('stream11', 2, 'b') . "\n", 'after');



=== TEST 12: a client that goes away is no longer counted
--- play
my @streams = map { subscribe('/icomet/stream?cname=stream12&seq=1') } 1 .. 3;
$_->head for @streams;
$streams[0]->leave;
await_subscribers('stream12', 2);
$streams[1]->reset;
await_subscribers('stream12', 1);
push_ok('stream12', 'x');
same($streams[2]->line, data('stream12', 1, 'x') . "\n", 'the one that stayed');



=== TEST 13: a reader that was slow gets everything that is still buffered, or is told lost
--- play
# 200 messages of 64 KiB are more than the sockets' buffers hold, so the ring moves past the reader.
my $stream = subscribe('/icomet/stream?cname=stream13&seq=1');
$stream->head;
my $content = 'x' x 65536;
push_ok('stream13', $content) for 1 .. 200;
my ($next, $lost) = (1, 0);
while ($next <= 200) {
    my $line = $stream->line;
    if ($line =~ /\A\{"type":"lost","cname":"stream13","seq":(\d+),"content":"(\d+)"\}\n\z/) {
        same($1, $next + $2, 'lost says how many') or last;
        $lost += $2;
        $next = $1;
    }
    elsif ($line eq data('stream13', $next, $content) . "\n") { $next++ }
    else { same(substr($line, 0, 200), "message $next", 'the next line'); last }
}
same($next, 201, 'up to the last message, without a gap that was not told');
