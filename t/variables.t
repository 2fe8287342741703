# The variables $icomet_hub, $icomet_channel, $icomet_transport and $icomet_seq.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: in the access log, for every endpoint
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet '$request_uri hub=$icomet_hub channel=$icomet_channel transport=$icomet_transport seq=$icomet_seq $status';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location = /plain           { return 200 "plain\n"; }
--- play
my $logged = sub {
    my ($uri, $rest) = @_;
    my $line = access_log_line(qr/^\Q$uri \E/, 'icomet.log');
    same($line, "$uri $rest\n", $uri);
};
push_ok('variables1', 'x');
get('/icomet-admin/push?cname=variables1&content=x');
$logged->('/icomet-admin/push?cname=variables1&content=x', 'hub=main channel=variables1 transport=push seq=2 200');
get('/icomet-admin/pub?cname=variables1&content=x');
$logged->('/icomet-admin/pub?cname=variables1&content=x', 'hub=main channel=variables1 transport=pub seq=3 200');
get('/icomet/sub?cname=variables1&seq=1');
$logged->('/icomet/sub?cname=variables1&seq=1', 'hub=main channel=variables1 transport=sub seq=4 200');
get('/icomet/sub?cname=variables1&seq=0');
$logged->('/icomet/sub?cname=variables1&seq=0', 'hub=main channel=variables1 transport=sub seq=4 200');
my $poll = subscribe('/icomet/poll?cname=variables1&seq=4');
my @streams = map { subscribe("/icomet/$_?cname=variables1&seq=4") } qw(stream sse iframe);
push_ok('variables1', 'live');
$poll->rest;
$logged->('/icomet/poll?cname=variables1&seq=4', 'hub=main channel=variables1 transport=poll seq=5 200');
$streams[0]->line;
$streams[1]->event;
my $line;
1 until ($line = $streams[2]->line) =~ /^<script/ or $line eq '';
$_->leave for @streams;
$logged->("/icomet/$_?cname=variables1&seq=4", "hub=main channel=variables1 transport=$_ seq=5 200") for qw(stream sse iframe);
get('/icomet/ping?x');
$logged->('/icomet/ping?x', 'hub=main channel=- transport=ping seq=- 200');
get("/icomet-admin/$_?cname=variables1&n=1") for qw(info check clear);
$logged->("/icomet-admin/$_?cname=variables1&n=1", qq(hub=main channel=variables1 transport=$_ seq=- 200)) for qw(info check);
get('/plain?cname=x');
$logged->('/plain?cname=x', 'hub=- channel=- transport=- seq=- 200');



=== TEST 2: the channel's name is decoded, and escaped as nginx escapes
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet escape=json '{"uri":"$uri","channel":"$icomet_channel"}';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
post('/icomet-admin/push', 'content=x&cname=' . encode("a b\"\xc3\xa4"));
same(access_log_line(qr/push/, 'icomet.log'), qq({"uri":"/icomet-admin/push","channel":"a b\\"\xc3\xa4"}\n), 'from a POST body');
get('/icomet/sub?cname=c%2Bd');
same(access_log_line(qr/sub/, 'icomet.log'), qq({"uri":"/icomet/sub","channel":"c+d"}\n), 'from a query');



=== TEST 3: in header fields of the answer
--- config
    add_header X-Hub $icomet_hub always;
    add_header X-Channel $icomet_channel always;
    add_header X-Transport $icomet_transport always;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
answers('GET /icomet-admin/push?cname=variables3&content=x', 200, qq({"type":"ok"}\n),
    expect => { 'X-Hub' => 'main', 'X-Channel' => 'variables3', 'X-Transport' => 'push' });
my $stream = subscribe('/icomet/stream?cname=variables3&seq=1');
same($stream->header('X-Channel'), 'variables3', 'stream');
same($stream->header('X-Transport'), 'stream', 'stream');
my $poll = subscribe('/icomet/sub?cname=variables3&seq=2');
push_ok('variables3', 'y');
same($poll->header('X-Channel'), 'variables3', 'a poll that waited');



=== TEST 4: what is refused is logged too; an unknown endpoint has no transport
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet '$request_method $uri hub=$icomet_hub channel=$icomet_channel transport=$icomet_transport seq=$icomet_seq $status';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
--- play
http('GET', '/icomet/sub?seq=1');
same(access_log_line(qr/^GET .*sub/, 'icomet.log'), "GET /icomet/sub hub=main channel=- transport=sub seq=- 400\n", '400');
http('GET', '/icomet/nothing');
same(access_log_line(qr/nothing/, 'icomet.log'), "GET /icomet/nothing hub=main channel=- transport=- seq=- 404\n", '404');
http('PUT', '/icomet/sub?cname=x');
same(access_log_line(qr/^PUT/, 'icomet.log'), "PUT /icomet/sub hub=main channel=- transport=sub seq=- 405\n", '405');



=== TEST 5: the log's times and bytes of a long poll are those of the whole request
--- hub: polling_timeout 1s;
--- http_config
    icomet_hub main { zone 16m; polling_timeout 1s; }
    log_format icomet '$uri $request_time $body_bytes_sent $connection_requests';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
--- play
my $body = get('/icomet/sub?cname=variables5&seq=1');
my ($time, $bytes) = access_log_line(qr/sub/, 'icomet.log') =~ m{^/icomet/sub ([\d.]+) (\d+) 1\n\z};
same($bytes, length $body, 'bytes');
same($time >= 0.9 ? 'long' : $time, 'long', 'time');
