# sign, and auth token.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: sign makes the channel and tells its token
--- play
answers('GET /icomet-admin/sign?cname=sign1', 200,
    qr/\A\{"type":"sign","cname":"sign1","seq":1,"token":"[0-9a-f]{32}","expires":30,"sub_timeout":30\}\n\z/,
    expect => { 'Content-Type' => 'text/html; charset=utf-8' });
same(get('/icomet-admin/check?cname=sign1'), qq({"sign1": 1}\n), 'check');



=== TEST 2: expires, and the hub's times
--- hub: channel_timeout 45s; polling_timeout 90s;
--- play
my $rest = '"sub_timeout":90\}\n\z';
matches(get('/icomet-admin/sign?cname=sign2&expires=600'), qr/"expires":600,$rest/, 'as asked');
matches(get('/icomet-admin/sign?cname=sign2&expires=31536000'), qr/"expires":31536000,$rest/, 'the longest');
matches(get("/icomet-admin/sign?cname=sign2&expires=$_"), qr/"expires":45,$rest/, "\"$_\" is channel_timeout") for 0, -1, -2147483648, '';
matches(get('/icomet-admin/sign?cname=sign2'), qr/"expires":45,$rest/, 'none is channel_timeout');



=== TEST 3: seq is the smallest buffered one, else the next
--- hub: channel_buffer_size 3;
--- play
push_ok('sign3', $_) for 1 .. 2;
matches(get('/icomet-admin/sign?cname=sign3'), qr/"seq":1,/, 'all are buffered');
push_ok('sign3', $_) for 3 .. 5;
matches(get('/icomet-admin/sign?cname=sign3'), qr/"seq":3,/, 'the last three are');
get('/icomet-admin/clear?cname=sign3');
matches(get('/icomet-admin/sign?cname=sign3'), qr/"seq":6,/, 'none is');



=== TEST 4: a second sign returns the same token; another channel has another
--- play
my @tokens = map { get($_) =~ /"token":"([0-9a-f]{32})"/ ? $1 : 'none' }
    '/icomet-admin/sign?cname=sign4', '/icomet-admin/sign?cname=sign4&expires=9', '/icomet-admin/sign?cname=sign4b';
same($tokens[1], $tokens[0], 'the same');
same($tokens[2] ne $tokens[0] ? 'another' : 'the same', 'another', 'for another channel');
get('/icomet-admin/close?cname=sign4');
my ($fresh) = get('/icomet-admin/sign?cname=sign4') =~ /"token":"([0-9a-f]{32})"/;
same($fresh ne $tokens[0] ? 'another' : 'the same', 'another', 'after close, the old token is worth nothing');



=== TEST 5: cb, and POST
--- play
answers('GET /icomet-admin/sign?cname=sign5&cb=icomet_cb_3&_=1', 200,
    qr{\A/\*\*/icomet_cb_3\(\{"type":"sign","cname":"sign5","seq":1,"token":"[0-9a-f]{32}","expires":30,"sub_timeout":30\}\);\n\z},
    expect => { 'Content-Type' => 'text/javascript; charset=utf-8' });
matches(post('/icomet-admin/sign', 'cname=sign5&expires=77'), qr/"expires":77,/, 'POST');



=== TEST 6: a sign renews the expiry, and can outlast channel_timeout
--- hub: channel_timeout 1s;
--- play
get('/icomet-admin/sign?cname=sign6long&expires=3600');
get('/icomet-admin/sign?cname=sign6short&expires=1');
push_ok('sign6push', 'x');
get('/icomet-admin/sign?cname=sign6default');
await_check($_, 0) for qw(sign6short sign6push sign6default);
same(get('/icomet-admin/check?cname=sign6long'), qq({"sign6long": 1}\n), 'the long one is still there');
matches(get('/icomet-admin/sign?cname=sign6long&expires=1'), qr/"expires":1,/, 'and can be made shorter');



=== TEST 7: with auth token, the right token subscribes on every transport
--- hub: auth token;
--- play
my ($token) = get('/icomet-admin/sign?cname=sign7') =~ /"token":"([0-9a-f]{32})"/;
my $poll = subscribe("/icomet/sub?cname=sign7&seq=1&token=$token");
my $jsonp = subscribe("/icomet/poll?cname=sign7&seq=1&token=$token&cb=f");
my $stream = subscribe("/icomet/stream?cname=sign7&seq=1&token=$token");
my $sse = subscribe("/icomet/sse?cname=sign7&seq=1&token=$token");
my $iframe = subscribe("/icomet/iframe?cname=sign7&seq=1&token=$token");
push_ok('sign7', 'secret');
my $message = data('sign7', 1, 'secret');
same($poll->rest, "$message\n", 'sub');
same($jsonp->rest, "/**/f($message);\n", 'JSONP');
same($stream->line, "$message\n", 'stream');
matches($sse->event, qr/\ndata: \Q$message\E\n\n\z/, 'sse');
my $line;
1 until ($line = $iframe->line) =~ /^<script/ or $line eq '';
same($line, "<script>parent.icomet_cb($message);</script>\n", 'iframe');



=== TEST 8: a wrong token, or none, is told 401 in the transport's framing, and the response ends
--- hub: auth token;
--- play
my ($token) = get('/icomet-admin/sign?cname=sign8') =~ /"token":"([0-9a-f]{32})"/;
my ($other) = get('/icomet-admin/sign?cname=sign8other') =~ /"token":"([0-9a-f]{32})"/;
push_ok('sign8', 'secret');
my $message = '{"type":"401","cname":"sign8","seq":0,"content":"Token error"}';
(my $flipped = $token) =~ s/(.)\z/$1 eq '0' ? '1' : '0'/e;
my @wrong = ('', '&token=', "&token=$other", "&token=$flipped", '&token=' . uc($token) . 'x', "&token=${token}0",
    '&token=' . substr($token, 0, 31), '&token=%00', '&token=' . '0' x 32, '&token=' . 'x' x 5000);
for my $wrong (@wrong) {
    my $uri = "cname=sign8&seq=1$wrong";
    my $json = { 'Content-Type' => 'application/json; charset=utf-8' };
    answers("GET /icomet/$_?$uri", 200, "$message\n", expect => $json) for qw(sub poll stream);
    answers("GET /icomet/sub?$uri&cb=f", 200, "/**/f($message);\n", expect => { 'Content-Type' => 'text/javascript; charset=utf-8' });
    answers("GET /icomet/sse?$uri", 200, "data: $message\n\n", expect => { 'Content-Type' => 'text/event-stream; charset=utf-8' });
    answers("GET /icomet/iframe?$uri", 200, qr/\n\Q<script>parent.icomet_cb($message);<\/script>\E\n\z/);
}
same(subscribers('sign8'), 0, 'nobody is counted');
same(get("/icomet/sub?cname=sign8&seq=1&token=$token"), '[' . data('sign8', 1, 'secret') . "]\n", 'the right one still works');



=== TEST 9: with auth token, a subscribe makes no channel, and a channel without a token lets nobody in
--- hub: auth token;
--- play
my $denied = sub { qq({"type":"401","cname":"$_[0]","seq":0,"content":"Token error"}\n) };
same(get('/icomet/sub?cname=sign9&seq=1'), $denied->('sign9'), 'no channel');
same(get('/icomet-admin/check?cname=sign9'), "{}\n", 'none was made');
push_ok('sign9pushed', 'x');
same(get("/icomet/sub?cname=sign9pushed&seq=1$_"), $denied->('sign9pushed'), "pushed, never signed: \"$_\"") for '', '&token=', '&token=' . '0' x 32;
my ($token) = get('/icomet-admin/sign?cname=sign9pushed') =~ /"token":"([0-9a-f]{32})"/;
same(get("/icomet/sub?cname=sign9pushed&seq=1&token=$token"), '[' . data('sign9pushed', 1, 'x') . "]\n", 'signed later');



=== TEST 10: with auth none a token does not matter
--- play
push_ok('sign10', 'x');
same(get('/icomet/sub?cname=sign10&seq=1&token=whatever'), '[' . data('sign10', 1, 'x') . "]\n", 'never signed');
get('/icomet-admin/sign?cname=sign10');
same(get('/icomet/sub?cname=sign10&seq=1'), '[' . data('sign10', 1, 'x') . "]\n", 'signed');



=== TEST 11: a token is never logged by us
--- hub: auth token;
--- log_level: debug
--- play
my ($token) = get('/icomet-admin/sign?cname=sign11') =~ /"token":"([0-9a-f]{32})"/;
subscribe("/icomet/stream?cname=sign11&seq=1&token=$token")->head;
my @lines = grep { /icomet:/ && /\Q$token\E/ } split /^/m, IcometTest::_slurp($Test::Nginx::Util::ErrLogFile);
same("@lines", '', 'lines of ours with the token');
