# close and clear.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: close tells the next seq, ends every subscriber, and frees the channel
--- play
push_ok('close1', $_) for 1 .. 2;
my $poll = subscribe('/icomet/sub?cname=close1&seq=3');
my $jsonp = subscribe('/icomet/sub?cname=close1&seq=3&cb=f');
my $stream = subscribe('/icomet/stream?cname=close1&seq=3');
my $sse = subscribe('/icomet/sse?cname=close1&seq=3');
my $iframe = subscribe('/icomet/iframe?cname=close1&seq=3');
answers('GET /icomet-admin/close?cname=close1', 200, "ok 3\n", expect => { 'Content-Type' => 'text/html; charset=utf-8' });
my $message = data('close1', 3, '', 'close');
same($poll->rest, "$message\n", 'sub');
same($jsonp->rest, "/**/f($message);\n", 'JSONP');
same($stream->rest, "$message\n", 'stream');
same($sse->rest, "data: $message\n\n", 'sse');
matches($iframe->rest, qr/\n\Q<script>parent.icomet_cb($message);<\/script>\E\n\z/, 'iframe');
same($_->end, 'complete', 'its response ended as HTTP says') for $poll, $jsonp, $stream, $sse, $iframe;
same(get('/icomet-admin/check?cname=close1'), "{}\n", 'check');
same(subscribers('close1'), 0, 'subscribers');



=== TEST 2: messages and seq are gone with a closed channel
--- play
push_ok('close2', $_) for 1 .. 5;
same(get('/icomet-admin/close?cname=close2'), "ok 6\n", 'close');
push_ok('close2', 'fresh');
same(get('/icomet/sub?cname=close2&seq=1'), '[' . data('close2', 1, 'fresh') . "]\n", 'it begins at 1 again');



=== TEST 3: close and clear of a channel that is not there
--- play
for my $endpoint (qw(close clear)) {
    answers("GET /icomet-admin/$endpoint?cname=close3", 404, "channel[close3] not connected\n", expect => { 'Content-Type' => 'text/html; charset=utf-8' });
    answers("GET /icomet-admin/$endpoint?cname=" . encode('<b>"&'), 404, "channel[&lt;b&gt;&quot;&amp;] not connected\n");
    answers("POST /icomet-admin/$endpoint", 404, "channel[close3] not connected\n", body => 'cname=close3');
}
push_ok('close3', 'x');
get('/icomet-admin/close?cname=close3');
answers('GET /icomet-admin/close?cname=close3', 404, "channel[close3] not connected\n");



=== TEST 4: clear drops the messages and keeps the seq
--- play
push_ok('close4', $_) for 1 .. 3;
answers('GET /icomet-admin/clear?cname=close4', 200, "ok 4\n", expect => { 'Content-Type' => 'text/html; charset=utf-8' });
same(get('/icomet/sub?cname=close4&seq=4&wait=0'), "[]\n", 'nothing is buffered');
same(get('/icomet-admin/clear?cname=close4'), "ok 4\n", 'clear again');
push_ok('close4', 'next');
same(get('/icomet/sub?cname=close4&seq=4'), '[' . data('close4', 4, 'next') . "]\n", 'the seq goes on');



=== TEST 5: clear does not end who waits
--- play
push_ok('close5', $_) for 1 .. 3;
my $poll = subscribe('/icomet/sub?cname=close5&seq=4');
same(post('/icomet-admin/clear', 'cname=close5'), "ok 4\n", 'clear by POST');
same(subscribers('close5'), 1, 'still there');
push_ok('close5', 'x');
same($poll->rest, data('close5', 4, 'x') . "\n", 'and gets the next message');



=== TEST 6: close by POST, of a channel that never had a message
--- play
my $stream = subscribe('/icomet/stream?cname=close6&seq=1');
same(post('/icomet-admin/close', 'cname=close6'), "ok 1\n", 'close');
same($stream->rest, data('close6', 1, '', 'close') . "\n", 'stream');



=== TEST 7: a closed channel frees its place under max_channels
--- http_config
    icomet_hub close7 { zone 4m; max_channels 1; }
--- config
    location ~ ^/icomet-admin/  { icomet_pub close7; }
--- play
push_ok('a', 'x');
same(http('GET', '/icomet-admin/push?cname=b&content=x')->{status}, 429, 'full');
same(get('/icomet-admin/close?cname=a'), "ok 2\n", 'close');
push_ok('b', 'x');
