# cb on sub and poll: long polling by script elements (JSONP).

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: a live message
--- play
my $poll = subscribe('/icomet/sub?cb=icomet_cb_0&cname=jsonp1&seq=1&noop=0&token=&_=1433');
push_ok('jsonp1', 'hi');
same($poll->header('Content-Type'), 'text/javascript; charset=utf-8', 'Content-Type');
same($poll->rest, qq(/**/icomet_cb_0({"type":"data","cname":"jsonp1","seq":1,"content":"hi"});\n), 'body');



=== TEST 2: a batch
--- play
push_ok('jsonp2', $_) for 1 .. 2;
for my $endpoint (qw(sub poll)) {
    same(get("/icomet/$endpoint?cb=a.b&cname=jsonp2&seq=1"),
        '/**/a.b([' . data('jsonp2', 1, 1) . ',' . data('jsonp2', 2, 2) . "]);\n", $endpoint);
}
same(get('/icomet/sub?cb=a.b&cname=jsonp2&seq=2'), '/**/a.b([' . data('jsonp2', 2, 2) . "]);\n", 'of one');



=== TEST 3: next_seq, noop and close
--- hub: polling_timeout 1s;
--- play
same(get('/icomet/sub?cb=f&cname=jsonp3'), '/**/f(' . data('jsonp3', 1, '', 'next_seq') . ");\n", 'next_seq');
same(get('/icomet/sub?cb=f&cname=jsonp3&seq=1&noop=9'), '/**/f(' . data('jsonp3', 9, '', 'noop') . ");\n", 'noop');
my $poll = subscribe('/icomet/sub?cb=f&cname=jsonp3&seq=1&wait=3600');
get('/icomet-admin/close?cname=jsonp3');
same($poll->rest, '/**/f(' . data('jsonp3', 1, '', 'close') . ");\n", 'close');



=== TEST 4: a live broadcast
--- play
my $poll = subscribe('/icomet/sub?cb=f&cname=jsonp4&seq=1');
get('/icomet-admin/broadcast?content=b');
same($poll->rest, '/**/f([' . data('jsonp4', 1, 'b', 'broadcast') . ',' . data('jsonp4', 2, '', 'next_seq') . "]);\n", 'body');



=== TEST 5: 401 and 429 are HTTP 200 and framed, so that a script can read them
--- hub: auth token; max_subscribers_per_channel 1;
--- play
answers('GET /icomet/sub?cb=f&cname=jsonp5&seq=1', 200,
    qq(/**/f({"type":"401","cname":"jsonp5","seq":0,"content":"Token error"});\n),
    expect => { 'Content-Type' => 'text/javascript; charset=utf-8' });
get('/icomet-admin/sign?cname=jsonp5') =~ /"token":"([0-9a-f]{32})"/ or die 'no token';
my $first = subscribe("/icomet/sub?cb=f&cname=jsonp5&seq=1&token=$1");
answers("GET /icomet/sub?cb=f&cname=jsonp5&seq=1&token=$1", 200,
    qq(/**/f({"type":"429","cname":"jsonp5","seq":0,"content":"Too many subscribers"});\n),
    expect => { 'Content-Type' => 'text/javascript; charset=utf-8' });



=== TEST 6: line separators that old JavaScript takes for line ends are escaped
--- play
push_ok('jsonp6', "a\xe2\x80\xa8b\xe2\x80\xa9c");
same(get('/icomet/sub?cb=f&cname=jsonp6&seq=1'),
    qq(/**/f([{"type":"data","cname":"jsonp6","seq":1,"content":"a\\u2028b\\u2029c"}]);\n), 'in a script');
same(get('/icomet/sub?cname=jsonp6&seq=1'),
    qq([{"type":"data","cname":"jsonp6","seq":1,"content":"a\xe2\x80\xa8b\xe2\x80\xa9c"}]\n), 'in JSON they stand');



=== TEST 7: the longest callback; an empty one is none
--- play
my $cb = 'c' x 128;
push_ok('jsonp7', 'x');
same(get("/icomet/sub?cb=$cb&cname=jsonp7&seq=1"), "/**/$cb([" . data('jsonp7', 1, 'x') . "]);\n", '128 bytes');
same(get('/icomet/sub?cb=&cname=jsonp7&seq=1'), '[' . data('jsonp7', 1, 'x') . "]\n", 'empty');



=== TEST 8: subscribers with and without callback, and with different ones, on one channel
--- play
my $plain = subscribe('/icomet/sub?cname=jsonp8&seq=1');
my @with = map { subscribe("/icomet/sub?cname=jsonp8&seq=1&cb=cb$_") } 1 .. 3;
push_ok('jsonp8', 'x');
my $message = data('jsonp8', 1, 'x');
same($plain->rest, "$message\n", 'plain');
same($with[$_ - 1]->rest, "/**/cb$_($message);\n", "cb$_") for 1 .. 3;
