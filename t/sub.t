# sub, poll: long polling without a callback.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: a waiting poll is answered by a push, with the header fields of the protocol
--- play
my $poll = subscribe('/icomet/sub?cname=sub1&seq=1');
push_ok('sub1', 'hi');
same($poll->head, 200, 'status');
same($poll->header('Content-Type'), 'application/json; charset=utf-8', 'Content-Type');
same($poll->header('Expires'), '0', 'Expires');
same($poll->header('Cache-Control'), 'no-cache, no-transform, private', 'Cache-Control');
same($poll->header('Connection'), 'keep-alive', 'Connection');
same($poll->header('Access-Control-Allow-Origin'), '*', 'Access-Control-Allow-Origin');
same($poll->header('Access-Control-Expose-Headers'), 'ETag', 'Access-Control-Expose-Headers');
matches($poll->header('ETag'), qr/\A"[0-9a-f]{16}\.[0-9a-z]+-1"\z/, 'ETag');
same($poll->rest, qq({"type":"data","cname":"sub1","seq":1,"content":"hi"}\n), 'body');
same(subscribers('sub1'), 0, 'subscribers after the answer');



=== TEST 2: poll is the same under its other name
--- play
my $poll = subscribe('/icomet/poll?cname=sub2&seq=1');
push_ok('sub2', 'one');
same($poll->rest, data('sub2', 1, 'one') . "\n", 'live');
same(get('/icomet/poll?cname=sub2&seq=1'), '[' . data('sub2', 1, 'one') . "]\n", 'replay');



=== TEST 3: seq=0, or none, is told next_seq at once, on a fresh channel too
--- play
same(get('/icomet/sub?cname=sub3'), data('sub3', 1, '', 'next_seq') . "\n", 'fresh channel, no seq');
same(get('/icomet/sub?cname=sub3&seq=0'), data('sub3', 1, '', 'next_seq') . "\n", 'seq=0');
push_ok('sub3', $_) for 1 .. 3;
my $answer = http('GET', '/icomet/sub?cname=sub3&seq=0');
same($answer->{text}, data('sub3', 4, '', 'next_seq') . "\n", 'after three messages');
matches($answer->header('ETag'), qr/\A"[0-9a-f]{16}\.[0-9a-z]+-3"\z/, 'the ETag is of the last message before');



=== TEST 4: a seq beyond the channel's next is told next_seq at once
--- play
push_ok('sub4', $_) for 1 .. 2;
same(get('/icomet/sub?cname=sub4&seq=4'), data('sub4', 3, '', 'next_seq') . "\n", 'one beyond');
same(get('/icomet/sub?cname=sub4&seq=18446744073709551615'), data('sub4', 3, '', 'next_seq') . "\n", 'the largest');
same(get('/icomet/sub?cname=sub4-fresh&seq=2'), data('sub4-fresh', 1, '', 'next_seq') . "\n", 'fresh channel');



=== TEST 5: buffered messages come as one batch, from the asked seq on
--- play
push_ok('sub5', "m$_") for 1 .. 3;
my $answer = http('GET', '/icomet/sub?cname=sub5&seq=1');
same($answer->{text}, '[' . join(',', map { data('sub5', $_, "m$_") } 1 .. 3) . "]\n", 'all');
matches($answer->header('ETag'), qr/\A"[0-9a-f]{16}\.[0-9a-z]+-3"\z/, 'ETag of a batch');
same(get('/icomet/sub?cname=sub5&seq=2'), '[' . join(',', map { data('sub5', $_, "m$_") } 2 .. 3) . "]\n", 'some');
same(get('/icomet/sub?cname=sub5&seq=3'), '[' . data('sub5', 3, 'm3') . "]\n", 'one is a batch too');



=== TEST 6: the channel's next seq waits for the next message
--- play
push_ok('sub6', $_) for 1 .. 2;
my $poll = subscribe('/icomet/sub?cname=sub6&seq=3');
push_ok('sub6', 'third');
same($poll->rest, data('sub6', 3, 'third') . "\n", 'only the new one');



=== TEST 7: a live broadcast brings its next_seq in one batch
--- play
push_ok('sub7', 'x');
my $poll = subscribe('/icomet/sub?cname=sub7&seq=2');
same(get('/icomet-admin/broadcast?content=all'), "ok\n", 'broadcast');
same($poll->rest, '[' . data('sub7', 2, 'all', 'broadcast') . ',' . data('sub7', 3, '', 'next_seq') . "]\n", 'body');



=== TEST 8: each buffered broadcast is followed by its next_seq
--- play
push_ok('sub8', 'a');
get('/icomet-admin/broadcast?content=b');
push_ok('sub8', 'c');
same(get('/icomet/sub?cname=sub8&seq=1'),
    '[' . join(',', data('sub8', 1, 'a'), data('sub8', 2, 'b', 'broadcast'), data('sub8', 3, '', 'next_seq'),
        data('sub8', 3, 'c')) . "]\n", 'body');



=== TEST 9: a poll that hears nothing gets a noop with the client's own counter
--- hub: polling_timeout 1s;
--- play
my $answer = http('GET', '/icomet/sub?cname=sub9&seq=1&noop=41');
same($answer->{text}, data('sub9', 41, '', 'noop') . "\n", 'body');
matches($answer->header('ETag'), qr/\A"[0-9a-f]{16}\.[0-9a-z]+-0"\z/, 'the ETag keeps the place');
same(get('/icomet/sub?cname=sub9&seq=1'), data('sub9', 0, '', 'noop') . "\n", 'without a counter it is 0');



=== TEST 10: a closed channel ends its polls
--- play
push_ok('sub10', 'x');
my $poll = subscribe('/icomet/sub?cname=sub10&seq=2');
same(get('/icomet-admin/close?cname=sub10'), "ok 2\n", 'close');
same($poll->rest, data('sub10', 2, '', 'close') . "\n", 'body');



=== TEST 11: who asks for messages that are no longer buffered is told so first
--- hub: channel_buffer_size 3;
--- play
push_ok('sub11', "m$_") for 1 .. 5;
same(get('/icomet/sub?cname=sub11&seq=1'),
    '[' . join(',', data('sub11', 3, '2', 'lost'), map { data('sub11', $_, "m$_") } 3 .. 5) . "]\n", 'two are lost');
same(get('/icomet/sub?cname=sub11&seq=3'),
    '[' . join(',', map { data('sub11', $_, "m$_") } 3 .. 5) . "]\n", 'the oldest buffered is not');



=== TEST 12: with nothing buffered, lost comes alone and ends the poll
--- play
push_ok('sub12', "m$_") for 1 .. 3;
same(get('/icomet-admin/clear?cname=sub12'), "ok 4\n", 'clear');
my $answer = http('GET', '/icomet/sub?cname=sub12&seq=2');
matches($answer->{text}, qr/\A\[?\Q${\data('sub12', 4, '2', 'lost')}\E\]?\n\z/, 'body');
matches($answer->header('ETag'), qr/\A"[0-9a-f]{16}\.[0-9a-z]+-3"\z/, 'ETag');



=== TEST 13: every subscriber of a channel gets the message
--- play
my @polls = map { subscribe('/icomet/sub?cname=sub13&seq=1') } 1 .. 10;
same(get('/icomet-admin/info?cname=sub13'), qq({"cname": "sub13", "subscribers": 10}\n), 'info');
push_ok('sub13', 'all');
same($_->rest, data('sub13', 1, 'all') . "\n", 'body') for @polls;
same(subscribers('sub13'), 0, 'all are gone');



=== TEST 14: subscribers of other channels hear nothing of it
--- play
my $other = subscribe('/icomet/sub?cname=sub14b&seq=1');
my $poll = subscribe('/icomet/sub?cname=sub14a&seq=1');
push_ok('sub14a', 'for a');
same($poll->rest, data('sub14a', 1, 'for a') . "\n", 'the one');
push_ok('sub14b', 'for b');
same($other->rest, data('sub14b', 1, 'for b') . "\n", 'the other');



=== TEST 15: names with quotes, HTML, UTF-8, spaces and a plus
--- play
for my $cname ('q"uo\\te', '<script>alert(1)</script>', "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 'a b+c', "it's/../?&=%") {
    my $poll = subscribe('/icomet/sub?seq=1&cname=' . encode($cname));
    push_ok($cname, 'x');
    same($poll->rest, data($cname, 1, 'x') . "\n", "name $cname");
}
push_ok('a b', 'plus is a space');
same(get('/icomet/sub?cname=a+b&seq=1'), '[' . data('a b', 1, 'plus is a space') . "]\n", 'plus');



=== TEST 16: the longest name, and a name in one byte
--- play
for my $cname ('x' x 256, 'y') {
    my $poll = subscribe("/icomet/sub?seq=1&cname=$cname");
    push_ok($cname, 'x');
    same($poll->rest, data($cname, 1, 'x') . "\n", 'body');
}



=== TEST 17: If-None-Match with an ETag resumes after it, whatever the query says
--- play
push_ok('sub17', "m$_") for 1 .. 3;
my $epoch = epoch_of('sub17');
my $batch = '[' . join(',', map { data('sub17', $_, "m$_") } 2 .. 3) . "]\n";
same(http('GET', '/icomet/sub?cname=sub17&seq=0', headers => [qq(If-None-Match: "$epoch-1")])->{text}, $batch, 'strong');
same(http('GET', '/icomet/sub?cname=sub17&seq=0', headers => [qq(If-None-Match: W/"$epoch-1")])->{text}, $batch, 'weak');
my $poll = subscribe('/icomet/sub?cname=sub17', headers => [qq(If-None-Match: "$epoch-3")]);
push_ok('sub17', 'm4');
same($poll->rest, data('sub17', 4, 'm4') . "\n", 'up to date: waits');
same(http('GET', '/icomet/sub?cname=sub17&seq=4', headers => ['If-None-Match: "nonsense"'])->{text},
    '[' . join(',', data('sub17', 1, '', 'lost'), map { data('sub17', $_, "m$_") } 1 .. 4) . "]\n", 'what is no id of ours is told lost');



=== TEST 18: a client of another epoch is told lost, and moved to the oldest buffered message
--- play
push_ok('sub18', "m$_") for 1 .. 2;
my $expected = join(',', data('sub18', 1, '', 'lost'), map { data('sub18', $_, "m$_") } 1 .. 2) . "]\n";
same(http('GET', '/icomet/sub?cname=sub18', headers => ['If-None-Match: "0123456789abcdef-7"'])->{text}, "[$expected", 'by ETag');
same(get('/icomet/sub?cname=sub18&seq=8&epoch=0123456789abcdef'), '[' . told_epoch('sub18', 1) . ",$expected", 'by query');
my $epoch = epoch_of('sub18');
same(get("/icomet/sub?cname=sub18&seq=2&epoch=$epoch"), '[' . told_epoch('sub18', 2) . ',' . data('sub18', 2, 'm2') . "]\n", 'the right epoch');



=== TEST 19: a client that goes away is no longer counted
--- play
my $stays = subscribe('/icomet/sub?cname=sub19&seq=1');
my $leaves = subscribe('/icomet/sub?cname=sub19&seq=1');
my $resets = subscribe('/icomet/sub?cname=sub19&seq=1');
$leaves->leave;
await_subscribers('sub19', 2);
$resets->reset;
await_subscribers('sub19', 1);
push_ok('sub19', 'x');
same($stays->rest, data('sub19', 1, 'x') . "\n", 'the one that stayed');



=== TEST 20: messages are buffered while nobody waits, and none comes twice
--- play
my $seq = 1;
my @seen;
for my $round (1 .. 5) {
    push_ok('sub20', "r$round.$_") for 1 .. 3;
    my $batch = get("/icomet/sub?cname=sub20&seq=$seq");
    push @seen, $1 while $batch =~ /"content":"([^"]*)"/g;
    $seq = @seen + 1;
}
same("@seen", join(' ', map { my $r = $_; map { "r$r.$_" } 1 .. 3 } 1 .. 5), 'in order, each once');



=== TEST 21: a client that follows the seqs gets all of a buffer, however large it is
--- play
push_ok('sub21', $_ x 100_000) for 1 .. 8;
my $seq = 1;
my $answers = 0;
while ($seq <= 8 && $answers++ < 8) {
    my $batch = get("/icomet/sub?cname=sub21&seq=$seq");
    my @got;
    push @got, $1 while $batch =~ /"seq":(\d+),"content":"(\d)\2{50000}\2{49999}"/g;
    my $end = $seq + @got - 1;
    same($batch, '[' . join(',', map { data('sub21', $_, $_ x 100_000) } $seq .. $end) . "]\n", "$seq to $end") or last;
    $seq = $end + 1;
}
same($seq, 9, 'up to the last one');
