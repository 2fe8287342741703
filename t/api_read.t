# The JSON API: history, presence, channels, disconnect; paths and methods.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: history
--- hub: channel_buffer_size 4;
--- play
my $epoch = epoch_of('read1');
push_ok('read1', "m\"$_") for 1 .. 6;
my $head = qq({"channel":"read1","epoch":"$epoch","first_seq":3,"next_seq":7);
my $is = sub {
    my ($query, $lost, $more, @seqs) = @_;
    my $messages = join ',', map { qr/\{"seq":$_,"type":"data","age_ms":\d+,"content":"m\\"$_"\}/ } @seqs;
    answers("GET /icomet-admin/api/history?channel=read1$query", 200, qr/\A\Q$head\E,"lost":$lost,"more":$more,"messages":\[$messages\]\}\n\z/,
        expect => { 'Content-Type' => 'application/json; charset=utf-8' });
};
$is->('', 2, 'false', 3, 4, 5, 6);
$is->('&since=0&limit=3&reverse=false', 2, 'true', 3, 4, 5);
$is->('&limit=3&reverse=true', 2, 'true', 6, 5, 4);
$is->('&since=2', 0, 'false', 3, 4, 5, 6);
$is->('&since=4', 0, 'false', 5, 6);
$is->('&since=4&limit=1&reverse=true', 0, 'true', 6);
$is->('&since=6', 0, 'false');
$is->('&since=18446744073709551615', 0, 'false');
get('/icomet-admin/broadcast?content=all');
answers('GET /icomet-admin/api/history?channel=read1&since=6', 200, qr/"messages":\[\{"seq":7,"type":"broadcast","age_ms":\d+,"content":"all"\}\]/);
same(get('/icomet-admin/info?cname=read1'), qq({"cname": "read1", "subscribers": 0}\n), 'nobody was subscribed');
same(http('HEAD', '/icomet-admin/api/history?channel=read1')->{status}, 200, 'HEAD');



=== TEST 2: history of large messages ends after some bytes
--- hub: channel_buffer_size 10; zone 16m;
--- play
push_ok('read2', $_ x 200_000) for 1 .. 3;
answers('GET /icomet-admin/api/history?channel=read2', 200, qr/"more":true,"messages":\[\{"seq":1,[^{]*\}\]/);
answers('GET /icomet-admin/api/history?channel=read2&since=1', 200, qr/"more":true,"messages":\[\{"seq":2,[^{]*\}\]/);
answers('GET /icomet-admin/api/history?channel=read2&since=2', 200, qr/"more":false,"messages":\[\{"seq":3,[^{]*\}\]/);



=== TEST 3: what is wrong with history's parameters
--- play
push_ok('read3', 'x');
my $path = '/icomet-admin/api/history';
refused(http('GET', $path), 400, 'missing_parameter', parameter => 'channel');
refused(http('GET', "$path?channel=" . 'a' x 257), 400, 'bad_parameter', parameter => 'channel');
refused(http('GET', "$path?channel=%00"), 400, 'bad_parameter', parameter => 'channel');
refused(http('GET', "$path?channel=none"), 404, 'no_such_channel');
same(get('/icomet-admin/check?cname=none'), "{}\n", 'it makes none');
refused(http('GET', "$path?channel=read3&$_"), 400, 'bad_parameter', parameter => s{=.*}{}r)
    for qw(since= since=-1 since=1x since=18446744073709551616 limit=0 limit=1001 limit=x reverse= reverse=1 reverse=yes);
refused(http('GET', "$path?channel=read3&since=1&since=1"), 400, 'duplicate_parameter', parameter => 'since');
refused(http('GET', "$path?channel=read3&seq=1"), 400, 'unknown_parameter', parameter => 'seq');



=== TEST 4: presence
--- play
my $path = '/icomet-admin/api/presence';
refused(http('GET', "$path?channel=read4"), 404, 'no_such_channel');
same(get('/icomet-admin/check?cname=read4'), "{}\n", 'it makes none');
my @held = map { subscribe("/icomet/$_?cname=read4&seq=1") } qw(stream sse sub);
answers("GET $path?channel=read4", 200, qq({"channel":"read4","subscribers":3,"users":0,"members":[]}\n));
refused(http('GET', $path), 400, 'missing_parameter', parameter => 'channel');
refused(http('GET', "$path?channel=a&user=b"), 400, 'unknown_parameter', parameter => 'user');



=== TEST 5: channels, page by page
--- hub: zone 16m;
--- play
my %expected = map { ("read5.$_" => 1) } 1 .. 250;
push_ok($_, 'x') for sort keys %expected, 'other';
my (%found, $cursor);
my $pages = 0;
do {
    my $text = get('/icomet-admin/api/channels?prefix=read5.&limit=100' . ($cursor ? "&cursor=$cursor" : ''));
    $text =~ /\A\{"epoch":"[0-9a-f]{16}","channels":\[(.*)\](?:,"cursor":"([0-9A-Za-z_-]+)")?\}\n\z/ or die "no list: $text";
    (my $list, $cursor) = ($1, $2);
    my @names = $list =~ /\{"channel":"([^"]*)","epoch":"[0-9a-f]{16}\.[0-9a-z]+","subscribers":0,"first_seq":1,"next_seq":2\}/g;
    same(@names <= 100 ? 'at most 100' : scalar @names, 'at most 100', 'page');
    $found{$_}++ for @names;
} while $cursor && ++$pages < 100;
same(join(' ', sort keys %found), join(' ', sort keys %expected), 'all');
same(scalar(grep { $_ > 1 } values %found), 0, 'each once');
answers('GET /icomet-admin/api/channels', 200, qr/\A\{"epoch":"[0-9a-f]{16}","channels":\[(?:\{[^}]*\},?){100}\],"cursor":/);
answers('GET /icomet-admin/api/channels?prefix=nothing', 200, qr/"channels":\[\]\}\n\z/);
answers('GET /icomet-admin/api/channels?prefix=', 200, qr/"channels":\[\{/);



=== TEST 6: what is wrong with the parameters of channels
--- play
my $path = '/icomet-admin/api/channels';
refused(http('GET', "$path?$_"), 400, 'bad_parameter', parameter => s{=.*}{}r)
    for qw(cursor= cursor=x cursor=0000000000000000! limit=0 limit=1001 limit= prefix=%00), 'prefix=' . 'a' x 257, 'cursor=0000000000000000' . 'A' x 400;
refused(http('GET', "$path?channel=a"), 400, 'unknown_parameter', parameter => 'channel');
answers("GET $path?cursor=ffffffffffffffff", 200, qr/"channels":\[\]\}\n\z/);



=== TEST 7: disconnect ends who is there, and loses nothing
--- play
my $signed = get('/icomet-admin/sign?cname=read7');
push_ok('read7', "m$_") for 1 .. 3;
my %held = map { $_ => subscribe("/icomet/$_?cname=read7&seq=4") } qw(stream sse sub);
api('disconnect', '{"channel":"read7"}', 200, qq({"channel":"read7","disconnected":3}\n));
for my $transport (sort keys %held) {
    matches($held{$transport}->rest, qr/\Q@{[data('read7', 4, '', 'close')]}\E/, "$transport is told");
}
await_subscribers('read7', 0);
push_ok('read7', 'm4');
same(get('/icomet/sub?cname=read7&seq=1'), '[' . join(',', map { data('read7', $_, "m$_") } 1 .. 4) . "]\n", 'seq and messages go on');
get('/icomet-admin/sign?cname=read7') =~ /"token":"(\w+)"/;
matches($signed, qr/"token":"$1"/, 'so does the token');
api('disconnect', '{"channel":"read7"}', 200, qq({"channel":"read7","disconnected":0}\n));
api('disconnect', '{"channel":"none"}', 404, problem('no_such_channel'));
refused(post_json('disconnect', '{}'), 400, 'missing_member', pointer => '/channel');
refused(post_json('disconnect', '{"channel":7}'), 400, 'wrong_type', pointer => '/channel');
refused(post_json('disconnect', '{"channel":"a","users":"b"}'), 400, 'unknown_member', pointer => '/users');



=== TEST 8: methods
--- play
for my $operation (qw(publish batch disconnect)) {
    for my $method (qw(GET HEAD PUT DELETE)) {
        my $answer = http($method, "/icomet-admin/api/$operation");
        same($answer->{status}, 405, "$method $operation");
        same($answer->header('Allow'), 'POST', 'Allow');
    }
}
for my $operation (qw(history presence channels)) {
    my $answer = http('POST', "/icomet-admin/api/$operation", body => 'x');
    refused($answer, 405, 'method_not_allowed');
    same($answer->header('Allow'), 'GET, HEAD', 'Allow');
}



=== TEST 9: paths; below api/ there are operations alone, in a zone of no other block's size, which a reload would keep
--- hub: zone 5m;
--- config
    location /icomet/       { icomet_sub main; }
    location /icomet-admin/ { icomet_pub main; }
    location /api/          { icomet_pub main; }
    location /v1/           { icomet_pub main api; }
    location = /notify      { icomet_pub main api/publish; }
--- play
api('presence', undef, 404, problem('no_such_operation'), path => '/icomet-admin/api/nothing');
refused(http('GET', '/icomet-admin/api/'), 404, 'no_such_operation');
refused(http('GET', '/icomet-admin/api'), 404, 'no_such_operation');
same(http('GET', '/icomet-admin/presence?channel=a')->{status}, 404, 'not without api/');
errors('GET /icomet-admin/presence?channel=a', 404, 'no such endpoint');
errors('GET /icomet/api/presence?channel=a', 404, 'no such endpoint');
for my $old (qw(push pub sign close clear check psub broadcast)) {
    my $answer = http('GET', "/api/$old?cname=read9&content=x");
    refused($answer, 404, 'no_such_operation');
    matches($answer->{text}, qr/no such operation: the path ends with one of publish, batch, history, presence, channels, info, disconnect"/, $old);
}
push_ok('read9', 'x');
answers("GET $_/info", 200, qr/\A\{"version":"[^"]+","hub":"main","epoch":"[0-9a-f]{16}",.*"channels":1,.*\}\n\z/, expect => { 'Content-Type' => 'application/json; charset=utf-8' })
    for qw(/api /v1 /icomet-admin/api);
refused(http('GET', '/api/info?cname=read9'), 400, 'unknown_parameter', parameter => 'cname');
same(http('POST', '/api/info')->header('Allow'), 'GET, HEAD', 'only to be read');
same(get('/icomet-admin/info?detail=1') =~ s/"pid":\d+//gr, get('/api/info') =~ s/"pid":\d+//gr, 'the same as of the old endpoint');
answers('GET /api/presence?channel=read9', 200, qq({"channel":"read9","subscribers":0,"users":0,"members":[]}\n));
answers('GET /v1/presence?channel=read9', 200, qq({"channel":"read9","subscribers":0,"users":0,"members":[]}\n));
answers('GET /v1/api/presence?channel=read9', 200, qq({"channel":"read9","subscribers":0,"users":0,"members":[]}\n));
refused(http('GET', '/v1/push?cname=a'), 404, 'no_such_operation');
matches(http('POST', '/notify', type => 'application/json', body => '{"channel":"read9","content":1}')->{text}, qr/"seq":2/, 'a fixed operation');



=== TEST 10: in the access log
--- http_config
    icomet_hub main { zone 16m; }
    log_format api '$request_method $icomet_transport $icomet_channel $icomet_seq $status';
    access_log logs/api.log api;
--- config
    location /icomet/       { icomet_sub main; }
    location /icomet-admin/ { icomet_pub main; }
--- play
api('publish', '{"channel":"read10","content":1}', 200, qr/"seq":1/);
refused(post_json('publish', '{}'), 400, 'missing_member', pointer => '/channel');
http('GET', '/icomet-admin/api/history?channel=read10');
my $log = Test::Nginx::Util::server_root() . '/logs/api.log';
my $read = sub { open my $fh, '<', $log or return ''; local $/; my $text = <$fh>; $text // '' };
until_true(sub { $read->() =~ /api\/history/ }, 'the log is written');
matches($read->(), qr{^POST api/publish read10 1 200\nPOST api/publish - - 400\nGET api/history read10 - 200$}m, 'lines');
