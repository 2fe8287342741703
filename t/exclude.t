# exclude: a user's subscribers do not get the message, and lose nothing by it.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

sub ws { my ($uri, %o) = @_; return IcometTest::Socket->new(conn(), $uri) }

set_up();
run_tests();

__DATA__

=== TEST 1: live, on every transport: the others get it, the user gets the next one
--- hub: zone 5m; max_subscribers_per_channel 100;
--- play
my $epoch = epoch_of('ex1');
my $all = sub { my ($user) = @_; return { map { $_ => subscribe("/icomet/$_?cname=ex1&seq=1$user") } qw(stream sse iframe) } };
my %of = (alice => $all->('&user=alice'), bob => $all->('&user=bob'), nobody => $all->(''));
await_subscribers('ex1', 9);
api('publish', '{"channel":"ex1","content":"m1","exclude":"alice"}', 200, qr/"seq":1,"subscribers":9/);
push_ok('ex1', 'm2');
for my $user (sort keys %of) {
    my @seqs = $user eq 'alice' ? (2) : (1, 2);
    same($of{$user}{stream}->line, data('ex1', $_, "m$_") . "\n", "$user: stream $_") for @seqs;
    same($of{$user}{sse}->event, "id: $epoch-1\n\n", "$user: SSE has the id") if $user eq 'alice';
    same($of{$user}{sse}->event, "id: $epoch-$_\ndata: " . data('ex1', $_, "m$_") . "\n\n", "$user: SSE $_") for @seqs;
    for my $seq (@seqs) {
        my $line = '';
        $line = $of{$user}{iframe}->line until $line =~ /parent/;
        same($line, '<script>parent.icomet_cb(' . data('ex1', $seq, "m$seq") . ");</script>\n", "$user: iframe $seq");
    }
}
matches(get('/icomet-admin/info?detail=1'), qr/"lost":\{"notices":0,"messages":0\}/, 'nothing is lost');



=== TEST 2: a long poll goes on waiting, and its ETag is that of the others
--- play
my $epoch = epoch_of('ex2');
my %poll = map { $_ => subscribe("/icomet/sub?cname=ex2&seq=1&user=$_") } qw(alice bob);
my $jsonp = subscribe('/icomet/sub?cname=ex2&seq=1&user=alice&cb=f');
await_subscribers('ex2', 3);
api('publish', '{"channel":"ex2","content":"m1","exclude":"alice"}', 200, qr/"seq":1,"subscribers":3/);
same($poll{bob}->rest, data('ex2', 1, 'm1') . "\n", 'bob');
await_subscribers('ex2', 2);
push_ok('ex2', 'm2');
same($poll{alice}->rest, data('ex2', 2, 'm2') . "\n", 'alice');
same($poll{alice}->header('ETag'), qq("$epoch-2"), 'ETag');
same($jsonp->rest, '/**/f(' . data('ex2', 2, 'm2') . ");\n", 'JSONP');



=== TEST 3: a lone subscriber
--- play
my $epoch = epoch_of('ex3');
my $poll = subscribe('/icomet/sub?cname=ex3&seq=1&user=alice');
await_subscribers('ex3', 1);
api('publish', '{"channel":"ex3","content":"m1","exclude":"alice"}', 200, qr/"seq":1,"subscribers":1/);
push_ok('ex3', 'm2');
same($poll->rest, data('ex3', 2, 'm2') . "\n", 'long poll');
my $stream = subscribe('/icomet/stream?cname=ex3&seq=3&user=alice');
$stream->head;
api('publish', '{"channel":"ex3","content":"m3","exclude":"alice"}', 200, qr/"seq":3,"subscribers":1/);
push_ok('ex3', 'm4');
same($stream->line, data('ex3', 4, 'm4') . "\n", 'stream');



=== TEST 4: what was buffered; a user that had only its own waits behind it
--- play
my $epoch = epoch_of('ex4');
api('publish', '{"channel":"ex4","content":"m1","exclude":"alice"}', 200, qr/"seq":1/);
answers('GET /icomet/sub?cname=ex4&seq=1&wait=0&user=alice', 200, "[]\n", expect => { ETag => qq("$epoch-1") });
my $poll = subscribe('/icomet/sub?cname=ex4&seq=1&user=alice');
await_subscribers('ex4', 1);
push_ok('ex4', 'm2');
same($poll->rest, data('ex4', 2, 'm2') . "\n", 'it waits for the next');
api('publish', '{"channel":"ex4","content":"m3","exclude":"alice"}', 200, qr/"seq":3/);
same(get('/icomet/sub?cname=ex4&seq=1&user=alice'), '[' . data('ex4', 2, 'm2') . "]\n", 'replayed without its own');
same(get('/icomet/sub?cname=ex4&seq=1&user=bob'), '[' . join(',', map { data('ex4', $_, "m$_") } 1 .. 3) . "]\n", 'the other user');
my $sse = subscribe('/icomet/sse?cname=ex4&seq=2&user=alice');
same($sse->event, "id: $epoch-2\ndata: " . data('ex4', 2, 'm2') . "\n\n", 'SSE');
same($sse->event, "id: $epoch-3\n\n", 'and the id of its own');
matches(get('/icomet-admin/api/history?channel=ex4'), qr/"seq":1,.*"seq":2,.*"seq":3,/, 'history has all');



=== TEST 5: only its own, more than the buffer holds, while it is there: nothing is lost
--- hub: channel_buffer_size 3; max_subscribers_per_channel 100;
--- play
my $epoch = epoch_of('ex5');
my %of = map { $_ => subscribe("/icomet/$_?cname=ex5&seq=1&user=alice") } qw(sub stream sse);
await_subscribers('ex5', 3);
for my $n (1 .. 10) {
    api('publish', qq({"channel":"ex5","content":"m$n","exclude":"alice"}), 200, qr/"seq":$n,"subscribers":3/);
    same($of{sse}->event, "id: $epoch-$n\n\n", "SSE: id $n");
}
push_ok('ex5', 'm11');
same($of{$_}->line, data('ex5', 11, 'm11') . "\n", $_) for qw(sub stream);
same($of{sse}->event, "id: $epoch-11\ndata: " . data('ex5', 11, 'm11') . "\n\n", 'SSE');



=== TEST 6: on a WebSocket, and among several channels
--- hub: max_subscribers_per_channel 100;
--- play
my $ws = ws('/icomet/ws?cname=ex6-a&seq=1&user=alice');
$ws->status;
my %many = map { $_ => subscribe("/icomet/$_?cname=ex6-a,ex6-b&seq=1,1&user=alice") } qw(stream sse sub);
await_subscribers('ex6-a', 4);
api('publish', '{"channel":"ex6-a","content":"m1","exclude":"alice"}', 200, qr/"seq":1,"subscribers":4/);
push_ok('ex6-a', 'm2');
same($ws->said, data('ex6-a', 2, 'm2'), 'WebSocket');
same(message($many{stream}), data('ex6-a', 2, 'm2'), 'stream');
matches($many{sse}->event, qr/\Aid: [0-9a-f]{16}-[0-9a-z]+_1\.[0-9a-z]+_0\n\n\z/, 'SSE has the id');
matches($many{sse}->event, qr/\Aid: [0-9a-f]{16}-[0-9a-z]+_2\.[0-9a-z]+_0\ndata: \Q@{[data('ex6-a', 2, 'm2')]}\E\n\n\z/, 'SSE');
$many{sub}->head;
same($many{sub}->rest, '[' . data('ex6-a', 2, 'm2') . "]\n", 'long poll');
matches($many{sub}->header('ETag'), qr/-[0-9a-z]+_2\.[0-9a-z]+_0"\z/, 'ETag');



=== TEST 7: the client of a WebSocket is kept from its own message, with a user or without
--- config
    location /icomet/       { icomet_sub main; icomet_ws_publish on; }
    location /icomet-admin/ { icomet_pub main; }
--- play
my %ws = map { $_ => ws("/icomet/ws?cname=ex7&seq=1$_") } '&user=alice', '&user=bob', '', '&x=1';
$_->status for values %ws;
await_subscribers('ex7', 4);
my $seq = 0;
for my $who ('&user=alice', '') {
    for my $exclude ('true', 'false') {
        $seq++;
        $ws{$who}->send(0x81, qq({"type":"publish","channel":"ex7","content":"m$seq","exclude":$exclude}));
        my @said = map { $ws{$who}->said } 1 .. ($exclude eq 'true' ? 1 : 2);
        same(scalar(grep { /"command":"publish"/ } @said), 1, "'$who' $exclude: the answer");
        same(join('', grep { !/"command"/ } @said), $exclude eq 'true' ? '' : data('ex7', $seq, "m$seq"), "'$who' $exclude: its own");
        for my $other (grep { $_ ne $who } keys %ws) {
            same($ws{$other}->said, data('ex7', $seq, "m$seq"), "'$who' $exclude: '$other'");
        }
    }
}



=== TEST 8: whose it is moves at a reload, with a user or without
--- config
    location ~ ^/icomet/       { icomet_park on; icomet_sub main; icomet_ws_publish on; }
    location ~ ^/icomet-admin/ { icomet_pub main; }
--- play
my $stream = subscribe('/icomet/stream?cname=ex8&seq=1&user=alice');
my $many = subscribe('/icomet/stream?cname=ex8,ex8-b&seq=1,1&user=alice');
my $ws = ws('/icomet/ws?cname=ex8&seq=1');
$ws->send(0x81, '{"type":"publish","channel":"ex8","content":"m1","exclude":true}');
matches($ws->said, qr/"command":"publish"/, 'published');
same(message($_), data('ex8', 1, 'm1'), 'the others have it') for $stream, $many;
my @old = worker_pids();
kill 'HUP', master_pid();
until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
api('publish', '{"channel":"ex8","content":"m2","exclude":"alice"}', 200, qr/"seq":2,"subscribers":3/);
same($ws->said, data('ex8', 2, 'm2'), 'who is nobody gets it');
$ws->send(0x81, '{"type":"publish","channel":"ex8","content":"m3","exclude":true}');
matches($ws->said, qr/"command":"publish"/, 'published');
push_ok('ex8', 'm4');
same($ws->said, data('ex8', 4, 'm4'), 'without its own');
for my $conn ($stream, $many) {
    same(message($conn), data('ex8', $_, "m$_"), "alice: $_") for 3 .. 4;
}
