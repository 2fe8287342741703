# Which methods each endpoint takes: 405 with Allow, HEAD, the CORS preflight.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: the front side takes GET, HEAD and OPTIONS
--- play
for my $endpoint (qw(sub poll stream sse iframe ping)) {
    for my $method (qw(POST PUT DELETE PATCH PROPFIND)) {
        errors("$method /icomet/$endpoint?cname=methods1&seq=1", 405, 'method', expect => { Allow => 'GET, HEAD, OPTIONS' });
    }
}
same(get('/icomet-admin/check?cname=methods1'), "{}\n", 'a refused method has made no channel');



=== TEST 2: the admin side takes GET and POST
--- play
for my $endpoint (qw(pub push broadcast sign close clear info check psub)) {
    for my $method (qw(PUT DELETE PATCH OPTIONS)) {
        errors("$method /icomet-admin/$endpoint?cname=methods2&content=x", 405, 'method', expect => { Allow => 'GET, POST' });
    }
    my $head = http('HEAD', "/icomet-admin/$endpoint?cname=methods2&content=x");
    same($head->{status}, 405, "HEAD $endpoint: status");
    same($head->header('Allow'), 'GET, POST', "HEAD $endpoint: Allow");
    same($head->{text}, '', "HEAD $endpoint: body");
}
same(get('/icomet-admin/check?cname=methods2'), "{}\n", 'a refused method has made no channel');



=== TEST 3: a refused method's body does not spoil the connection
--- play
my $conn = conn();
$conn->request('PUT', '/icomet/sub?cname=methods3', body => 'x' x 20000);
same($conn->head, 405, 'status');
$conn->rest;
$conn->request('GET', '/icomet/ping');
same($conn->rest, qq(icomet_cb({"type":"ping","sub_timeout":30});\n), 'the next request on it');



=== TEST 4: HEAD gives the header fields of GET, and subscribes nobody
--- play
my %type = (
    sub => 'application/json', poll => 'application/json', stream => 'application/json',
    sse => 'text/event-stream', iframe => 'text/html', ping => 'text/javascript',
);
for my $endpoint (sort keys %type) {
    my $head = http('HEAD', "/icomet/$endpoint?cname=methods4&seq=1");
    same($head->{status}, 200, "$endpoint: status");
    same($head->header('Content-Type'), "$type{$endpoint}; charset=utf-8", "$endpoint: Content-Type");
    same($head->header('Cache-Control'), 'no-cache, no-transform, private', "$endpoint: Cache-Control");
    same($head->header('Expires'), '0', "$endpoint: Expires");
    same($head->header('Access-Control-Allow-Origin'), '*', "$endpoint: Access-Control-Allow-Origin");
    same($head->{text}, '', "$endpoint: body");
}
same(http('HEAD', '/icomet/sub?cname=methods4&cb=f')->header('Content-Type'), 'text/javascript; charset=utf-8', 'JSONP');
same(subscribers('methods4'), 0, 'subscribers');



=== TEST 5: the connection goes on after a HEAD
--- play
my $conn = conn();
for my $endpoint (qw(sub stream sse iframe)) {
    $conn->request('HEAD', "/icomet/$endpoint?cname=methods5&seq=1");
    same($conn->head, 200, "$endpoint: status");
    $conn->request('GET', '/icomet/ping');
    same($conn->rest, qq(icomet_cb({"type":"ping","sub_timeout":30});\n), "after $endpoint");
}



=== TEST 6: HEAD with bad input is refused like GET
--- play
same(http('HEAD', '/icomet/sub')->{status}, 400, 'no cname');
same(http('HEAD', '/icomet/nothing?cname=x')->{status}, 404, 'no such endpoint');



=== TEST 7: OPTIONS answers a preflight
--- play
for my $endpoint (qw(sub poll stream sse iframe ping)) {
    answers("OPTIONS /icomet/$endpoint?cname=methods7", 204, '',
        headers => ['Origin: https://example.org', 'Access-Control-Request-Method: GET', 'Access-Control-Request-Headers: last-event-id'],
        expect => {
            'Access-Control-Allow-Origin' => '*',
            'Access-Control-Allow-Methods' => 'GET, HEAD, OPTIONS',
            'Access-Control-Allow-Headers' => 'Last-Event-ID, Cache-Control, If-None-Match',
            'Access-Control-Max-Age' => '86400',
        });
}
same(get('/icomet-admin/check?cname=methods7'), "{}\n", 'no channel is made');
