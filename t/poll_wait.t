# wait=N on sub and poll: short polling (the protocol's additions).

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: wait=0 answers at once, with an empty array when there is nothing
--- play
push_ok('wait1', 'a');
for my $endpoint (qw(sub poll)) {
    my $answer = http('GET', "/icomet/$endpoint?cname=wait1&seq=2&wait=0");
    same($answer->{text}, "[]\n", "$endpoint: body");
    same($answer->header('Content-Type'), 'application/json; charset=utf-8', "$endpoint: Content-Type");
    matches($answer->header('ETag'), qr/\A"[0-9a-f]{16}\.[0-9a-z]+-1"\z/, "$endpoint: ETag");
}



=== TEST 2: wait=0 brings what is buffered
--- play
push_ok('wait2', "m$_") for 1 .. 3;
same(get('/icomet/sub?cname=wait2&seq=2&wait=0'), '[' . join(',', map { data('wait2', $_, "m$_") } 2 .. 3) . "]\n", 'body');



=== TEST 3: wait=0 with seq=0 or beyond is told next_seq as usual
--- play
same(get('/icomet/sub?cname=wait3&wait=0'), data('wait3', 1, '', 'next_seq') . "\n", 'fresh');
same(get('/icomet/sub?cname=wait3&wait=0&seq=9'), data('wait3', 1, '', 'next_seq') . "\n", 'beyond');



=== TEST 4: wait=0 leaves no subscriber behind
--- play
push_ok('wait4', 'a');
get('/icomet/sub?cname=wait4&seq=2&wait=0') for 1 .. 5;
same(subscribers('wait4'), 0, 'subscribers');



=== TEST 5: wait=N ends in a noop long before polling_timeout
--- hub: polling_timeout 1h;
--- play
push_ok('wait5', 'a');
same(get('/icomet/sub?cname=wait5&seq=2&wait=1&noop=6'), data('wait5', 6, '', 'noop') . "\n", 'body');



=== TEST 6: wait=N does not hold a message back
--- play
my $poll = subscribe('/icomet/sub?cname=wait6&seq=1&wait=3600');
push_ok('wait6', 'x');
same($poll->rest, data('wait6', 1, 'x') . "\n", 'body');



=== TEST 7: a wait longer than polling_timeout ends in one noop all the same
--- hub: polling_timeout 1s;
--- play
same(get('/icomet/sub?cname=wait7&seq=1&wait=2&noop=1'), data('wait7', 1, '', 'noop') . "\n", 'body');



=== TEST 8: wait=0 with a callback
--- play
push_ok('wait8', 'a');
my $answer = http('GET', '/icomet/sub?cname=wait8&seq=2&wait=0&cb=f');
same($answer->{text}, "/**/f([]);\n", 'empty');
same($answer->header('Content-Type'), 'text/javascript; charset=utf-8', 'Content-Type');
same(get('/icomet/sub?cname=wait8&seq=1&wait=0&cb=f'), '/**/f([' . data('wait8', 1, 'a') . "]);\n", 'one message');



=== TEST 9: an empty wait counts as none
--- play
my $poll = subscribe('/icomet/sub?cname=wait9&seq=1&wait=');
push_ok('wait9', 'x');
same($poll->rest, data('wait9', 1, 'x') . "\n", 'body');
