# How fast the client of a WebSocket may send, and what its incomplete messages may cost.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Compress::Raw::Zlib;
use Test::Nginx::Socket 'no_plan';
use Time::HiRes qw(time);

our $PING = '{"type":"ping"}';
our $PONG = '{"type":"reply","command":"ping"}';

sub ws { my ($uri, %o) = @_; return IcometTest::Socket->new(conn(), $uri, %o) }

# So many pings at once; all are answered. How long that took, in seconds.
sub asks_often {
    my ($ws, $count, $what) = @_;
    my $start = time;
    # In pieces that the socket takes while nothing is read.
    $ws->send(0x81, $PING) for 1 .. $count;
    my $answered = grep { $ws->said eq $PONG } 1 .. $count;
    same($answered, $count, $what);
    return time - $start;
}

# Only ever a lower bound: a slow machine takes longer.
sub at_least { my ($time, $least, $what) = @_; return matches($time >= $least ? 'yes' : "no: $time s", qr/\Ayes\z/, $what) }

# What is bounded is of each worker.
set_up(workers => 1);
run_tests();

__DATA__

=== TEST 1: beyond the burst a client is read from as its rate says: nothing is refused, nothing is lost
--- http_config
    icomet_hub main { zone 16m; ws_rate 50/s burst=10; }
--- play
my $ws = ws('/icomet/ws');
$ws->status;
# 40 more than the burst take 0.8 s at least; a slow machine may take longer.
at_least(asks_often($ws, 50, 'all are answered, in their order'), 0.75, 'it had to wait');
my $other = ws('/icomet/ws');
$other->status;
asks_often($other, 10, 'another connection has a bucket of its own');
--- error_log
a WebSocket's client sends more than 50 commands a second and 10 at once to hub "main": it is read from more slowly (ws_rate)
--- no_error_log
[error]



=== TEST 2: within the burst nobody waits, and no line is written
--- http_config
    icomet_hub main { zone 16m; ws_rate 1/s burst=60; }
--- play
my $ws = ws('/icomet/ws');
$ws->status;
asks_often($ws, 60, 'all of the burst');
--- no_error_log
ws_rate
[error]



=== TEST 3: off
--- http_config
    icomet_hub main { zone 16m; ws_rate off; }
--- play
my $ws = ws('/icomet/ws');
$ws->status;
asks_often($ws, 500, 'as many as it likes') for 1 .. 4;
--- no_error_log
ws_rate
[error]



=== TEST 4: the default, 100/s burst=256
--- play
my $ws = ws('/icomet/ws');
$ws->status;
at_least(asks_often($ws, 296, '40 more than the burst'), 0.35, 'they took their time');
--- error_log
more than 100 commands a second and 256 at once



=== TEST 5: what a message inflates to counts, and what it is answered
--- http_config
    icomet_hub main { zone 16m; ws_rate 10/s burst=9; max_message_size 64k; }
--- config
    location /icomet/ { icomet_sub main; icomet_sub_history on; }
    location /icomet-admin/ { icomet_pub main; }
--- play
my $ws = ws('/icomet/ws', 'Sec-WebSocket-Extensions' => 'permessage-deflate');
$ws->status;
# More than 48 KB are 3 commands' worth, and one is a command itself.
my $long = '{"type":"ping","x":"' . ' ' x 64_000 . '"}';
my $start = time;
my $deflate = Compress::Raw::Zlib::Deflate->new(-WindowBits => -15, -AppendOutput => 1);
$deflate->deflate($long, my $bomb);
$deflate->flush($bomb, Z_SYNC_FLUSH);
$ws->send(0xc1, substr $bomb, 0, -4) for 1 .. 4;
matches($ws->said, qr/\Acompressed /, 'it is read, and refused') for 1 .. 4;
at_least(time - $start, 0.35, 'four of them are more than the burst');
post('/icomet-admin/push?cname=long', 'content=' . 'y' x 60_000);
my $plain = ws('/icomet/ws');
$plain->status;
$start = time;
$plain->send(0x81, '{"type":"history","channel":"long"}') for 1 .. 4;
matches($plain->said, qr/"command":"history".*y{60000}/, 'history') for 1 .. 4;
at_least(time - $start, 0.35, 'so are four long answers');
--- no_error_log
[error]



=== TEST 6: who waits is sent what comes on its channel, and is no burden: other clients are served
--- http_config
    icomet_hub main { zone 16m; ws_rate 1/s burst=1; polling_timeout 1s; }
--- play
my $ws = ws('/icomet/ws?cname=rate6&seq=1');
$ws->status;
$ws->send(0x81, $PING) for 1 .. 4;
same($ws->said, $PONG, 'the first');
push_ok('rate6', 'x');
same($ws->said, data('rate6', 1, 'x'), 'a message, while its commands wait');
# Its polling_timeout passes meanwhile; it cannot answer a ping that is not read.
my @rest;
while (@rest < 3) {
    my $said = $ws->said;
    last unless defined $said;
    push @rest, $said if $said eq $PONG;
}
same(scalar @rest, 3, 'the others');



=== TEST 7: a client that leaves while it waits is gone
--- http_config
    icomet_hub main { zone 16m; ws_rate 5/s burst=1; }
--- play
my $ws = ws('/icomet/ws?cname=rate7');
$ws->status;
$ws->send(0x81, $PING) for 1 .. 3;
$ws->said;
$ws->conn->reset;
await_subscribers('rate7', 0);
my $next = ws('/icomet/ws?cname=rate7');
$next->status;
same($next->said, data('rate7', 1, '', 'next_seq'), 'another one is served');



=== TEST 8: incomplete messages of all together have a bound: the oldest is closed, the others go on
--- http_config
    icomet_hub main { zone 64m; ws_max_message_size 16m; }
--- timeout: 60
--- play
my $size = 8 << 20;
my @all;
for my $i (1 .. 12) {
    my $ws = ws("/icomet/ws?cname=held$i");
    $ws->status;
    $ws->said;
    # All of a message but its end.
    $ws->conn->write(pack('CCQ>', 0x81, 0x80 | 127, $size) . "\0\0\0\0" . ' ' x ($size - 1));
    push @all, $ws;
}
same($all[0]->said, 'close 1013 too many messages are incomplete here', 'the oldest');
await_subscribers('held1', 0);
$all[-1]->conn->write(' ');
matches($all[-1]->said, qr/"code":"bad_json"/, 'the newest comes through');
asks_often(ws('/icomet/ws'), 10, 'and who sends short messages');
--- error_log
incomplete messages of WebSockets take more than 67108864 bytes in this worker: the oldest are closed with 1013



=== TEST 9: a reload does not fill the bucket
--- http_config
    icomet_hub main { zone 16m; ws_rate 2/s burst=4; }
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $ws = ws('/icomet/ws?cname=rate9');
$ws->status;
$ws->said;
my $start = time;
asks_often($ws, 4, 'the burst');
reload();
asks_often($ws, 4, 'after a reload');
at_least(time - $start, 1.9, 'four of them at two a second');
