# broadcast: one message to every channel of the hub.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: every channel gets it with its own seq, each transport in its framing
--- http_config
    icomet_hub bc1 { zone 16m; }
--- config
    location ~ ^/icomet/        { icomet_sub bc1; }
    location ~ ^/icomet-admin/  { icomet_pub bc1; }
--- play
push_ok('bc1b', $_) for 1 .. 3;
my $epoch = epoch_of('bc1b');
my $poll = subscribe('/icomet/sub?cname=bc1a&seq=1');
my $jsonp = subscribe('/icomet/sub?cname=bc1a&seq=1&cb=f');
my $stream = subscribe('/icomet/stream?cname=bc1b&seq=4');
my $sse = subscribe('/icomet/sse?cname=bc1b&seq=4');
my $iframe = subscribe('/icomet/iframe?cname=bc1b&seq=4');
answers('GET /icomet-admin/broadcast?content=' . encode("say \"hi\"\n"), 200, "ok\n",
    expect => { 'Content-Type' => 'text/html; charset=utf-8' });
my ($a, $b) = map { my ($cname, $seq) = @$_; [data($cname, $seq, "say \"hi\"\n", 'broadcast'), data($cname, $seq + 1, '', 'next_seq')] }
    ['bc1a', 1], ['bc1b', 4];
same($poll->rest, "[$a->[0],$a->[1]]\n", 'long poll');
same($jsonp->rest, "/**/f([$a->[0],$a->[1]]);\n", 'JSONP');
same($stream->line, "$_\n", 'stream') for @$b;
same($sse->event, "id: $epoch-4\ndata: $_\n\n", 'sse') for @$b;
my $line;
1 until ($line = $iframe->line) =~ /^<script/ or $line eq '';
same($line, "<script>parent.icomet_cb($b->[0]);</script>\n", 'iframe');
same($iframe->line, "<script>parent.icomet_cb($b->[1]);</script>\n", 'iframe');



=== TEST 2: channels without subscribers buffer it
--- play
push_ok('bc2', 'x');
same(get('/icomet-admin/broadcast?content=b'), "ok\n", 'broadcast');
same(get('/icomet/sub?cname=bc2&seq=2'), '[' . data('bc2', 2, 'b', 'broadcast') . ',' . data('bc2', 3, '', 'next_seq') . "]\n", 'body');



=== TEST 3: by POST, with an empty content, and with none
--- play
push_ok('bc3', 'x');
same(post('/icomet-admin/broadcast', 'content=' . encode("a\x01<b>")), "ok\n", 'POST');
same(post('/icomet-admin/broadcast', 'content='), "ok\n", 'empty');
same(get('/icomet-admin/broadcast'), "ok\n", 'none');
my $got = get('/icomet/sub?cname=bc3&seq=2');
my @seen = map { "\"broadcast\",\"cname\":\"bc3\",\"seq\":$_->[0],\"content\":\"$_->[1]\"" } [2, 'a\\u0001<b>'], [3, ''], [4, ''];
matches($got, qr/\Q$_\E/, $_) for @seen;



=== TEST 4: a hub without channels
--- http_config
    icomet_hub bc4 { zone 4m; }
--- config
    location ~ ^/icomet-admin/  { icomet_pub bc4; }
--- play
same(get('/icomet-admin/broadcast?content=x'), "ok\n", 'body');
same(get('/icomet-admin/info') =~ /"channels": 0, "subscribers": 0\}\n\z/ ? 1 : 0, 1, 'makes none');



=== TEST 5: other hubs hear nothing of it
--- http_config
    icomet_hub bc5a { zone 4m; }
    icomet_hub bc5b { zone 4m; }
--- config
    location ~ ^/a/       { icomet_sub bc5a; }
    location ~ ^/b/       { icomet_sub bc5b; }
    location ~ ^/a-admin/ { icomet_pub bc5a; }
    location ~ ^/b-admin/ { icomet_pub bc5b; }
--- play
push_ok('bc5', 'x', $_) for '/a-admin', '/b-admin';
same(get('/a-admin/broadcast?content=b'), "ok\n", 'broadcast');
same(get('/a/sub?cname=bc5&seq=1'), '[' . join(',', data('bc5', 1, 'x'), data('bc5', 2, 'b', 'broadcast'), data('bc5', 3, '', 'next_seq')) . "]\n", 'its own');
same(get('/b/sub?cname=bc5&seq=1'), '[' . data('bc5', 1, 'x') . "]\n", 'the other');



=== TEST 6: to many channels; the answer comes when all have it
--- http_config
    icomet_hub bc6 { zone 32m; }
    keepalive_requests 10000;
--- config
    location ~ ^/icomet/        { icomet_sub bc6; }
    location ~ ^/icomet-admin/  { icomet_pub bc6; }
--- play
my $conn = conn();
for my $n (1 .. 3000) {
    $conn->request('POST', '/icomet-admin/push', body => "cname=bc6-$n&content=x");
    $conn->rest;
}
same(get('/icomet-admin/broadcast?content=b'), "ok\n", 'broadcast');
my $missing = 0;
for my $n (1 .. 3000) {
    $conn->request('GET', "/icomet/sub?cname=bc6-$n&seq=2&wait=0");
    $missing++ if $conn->rest ne '[' . data("bc6-$n", 2, 'b', 'broadcast') . ',' . data("bc6-$n", 3, '', 'next_seq') . "]\n";
}
same($missing, 0, 'channels that do not have it once');



=== TEST 7: content over max_message_size
--- hub: max_message_size 1k;
--- play
push_ok('bc7', 'x');
errors('POST /icomet-admin/broadcast', 413, 'max_message_size', body => 'content=' . 'x' x 1025);
same(get('/icomet/sub?cname=bc7&seq=2&wait=0'), "[]\n", 'nobody got it');



=== TEST 8: a broadcaster that leaves does not stop its broadcast
--- play
push_ok('bc8', 'x');
my $stream = subscribe('/icomet/stream?cname=bc8&seq=2');
conn()->request('GET', '/icomet-admin/broadcast?content=gone')->leave;
same($stream->line, data('bc8', 2, 'gone', 'broadcast') . "\n", 'stream');
