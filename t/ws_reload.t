# ws over reloads, stops and TLS.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Socket;
use Test::Nginx::Socket 'no_plan';

sub ws {
    my ($uri, %o) = @_;
    my $conn = conn(delete $o{port}, tls => delete $o{tls}, narrow => delete $o{narrow});
    return IcometTest::Socket->new($conn, $uri, %o);
}

set_up(tls => 1);
run_tests();

__DATA__

=== TEST 1: parked ones move, and notice nothing
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my @ws = map { ws('/icomet/ws?cname=move1&seq=1', 'Sec-WebSocket-Extensions' => $_) } undef, 'permessage-deflate';
$_->status for @ws;
await_subscribers('move1', 2);
for my $round (1 .. 3) {
    reload();
    same(subscribers('move1'), 2, "round $round: counted once");
    push_ok('move1', "m$round");
    for my $ws (@ws) {
        same($ws->said, data('move1', $round, "m$round"), "round $round: message");
        $ws->send(0x89, $round);
        same($ws->said, "pong $round", "round $round: pong");
    }
}
push_ok('move1', 'x' x 500);
same($ws[0]->said, data('move1', 4, 'x' x 500), 'not compressed');
matches($ws[1]->said, qr/^compressed /, 'compressed still');
$_->send(0x88, pack 'n', 1000) for @ws;
same($_->said, 'close 1000', 'close') for @ws;
same($_->said, 'end', 'end') for @ws;
await_subscribers('move1', 0);



=== TEST 2: the log line of one that moved
--- http_config
    log_format icomet '$status $icomet_transport $icomet_channel $icomet_seq $http_user_agent';
    access_log logs/access.log icomet;
    icomet_hub main { zone 16m; }
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $ws = ws('/icomet/ws?cname=move2&seq=1', 'User-Agent' => 'tester');
$ws->status;
await_subscribers('move2', 1);
reload();
push_ok('move2', 'm');
$ws->said;
$ws->send(0x88, '');
same($ws->said, 'close ', 'close');
same(access_log_line(qr/ ws move2 /), "101 ws move2 2 tester\n", 'line');



=== TEST 3: one in the middle of a message ends by 1012, and resumes
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %partial = (
    header => substr(IcometTest::Socket::frame(0x81, 'x'), 0, 1),
    payload => substr(IcometTest::Socket::frame(0x81, 'xyz'), 0, -1),
    fragment => IcometTest::Socket::frame(0x01, 'x'),
);
for my $what (sort keys %partial) {
    my $ws = ws("/icomet/ws?cname=move3-$what&seq=1");
    $ws->status;
    # The pong says that what follows it in one write was read as well.
    $ws->conn->write(IcometTest::Socket::frame(0x89, 'read') . $partial{$what});
    same($ws->said, 'pong read', "$what: read");
    reload();
    same($ws->said, 'close 1012 reload: come again', "$what: close");
    same($ws->said, 'end', "$what: end");
}



=== TEST 4: what cannot move ends by 1012
--- config
    location /held/ { icomet_park off; icomet_sub main; }
    location = /echo { icomet_sub main ws_echo; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my @ws = (ws('/held/ws?cname=move4&seq=1'), ws('/echo'));
$_->status for @ws;
await_subscribers('move4', 1);
reload();
for my $ws (@ws) {
    same($ws->said, 'close 1012 reload: come again', 'close');
    same($ws->said, 'end', 'end');
}



=== TEST 5: a stop is told by 1001
--- play
my $ws = ws('/icomet/ws?cname=move5&seq=1');
$ws->status;
await_subscribers('move5', 1);
my ($old) = get('/icomet-admin/info?detail=1') =~ /"pid":(\d+),"subscribers":1\}/;
# The master starts another worker, of the same configuration.
kill 'QUIT', $old;
same($ws->said, 'close 1001 server stops', 'close');
same($ws->said, 'end', 'end');
until_true(sub { my @now = worker_pids(); @now && !kill 0, $old }, 'a new worker');
--- no_error_log
[alert]
[crit]



=== TEST 6: over TLS
--- http_config
    icomet_hub main { zone 16m; channel_buffer_size 100; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
        location = /echo            { icomet_sub main ws_echo; }
    }
--- play
for my $version ('TLSv1_2', 'TLSv1_3') {
    my $early = IcometTest::Socket::frame(0x89, 'early');
    my $cname = "move6-$version";
    my $ws = ws("/icomet/ws?cname=$cname&seq=1", port => port(1), tls => $version, early => $early);
    same($ws->said, 'pong early', "$version: what came with the request");
    for my $seq (1 .. 5) {
        my $content = 'x' x (10 ** $seq);
        push_ok($cname, $content);
        same($ws->said, data($cname, $seq, $content), "$version: message $seq");
        $ws->send(0x89, "p$seq");
        same($ws->said, "pong p$seq", "$version: pong $seq");
    }
    my $echo = ws('/echo', port => port(1), tls => $version);
    $echo->status;
    $echo->send(0x82, 'y' x $_) for 1, 60_000;
    same($echo->said, 'binary ' . 'y' x $_, "$version: echo of $_") for 1, 60_000;
    reload();
    same($_->said, 'close 1012 reload: come again', "$version: close") for $ws, $echo;
    same($_->said, 'end', "$version: end") for $ws, $echo;
}



=== TEST 7: a slow reader moves, and has all of it
--- hub: channel_buffer_size 100;
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $ws = ws('/icomet/ws?cname=move7&seq=1', narrow => 4096);
$ws->status;
await_subscribers('move7', 1);
post('/icomet-admin/push', "cname=move7&content=$_" . 'x' x 400_000) for 10 .. 29;
# Left where it is until all is taken, so that another worker answers it.
$ws->send(0x89, 'late');
reload();
my %seen;
for (1 .. 21) {
    my $said = $ws->said;
    $seen{ $said =~ /"seq":(\d+)/ ? $1 : $said }++;
}
same(join(' ', sort keys %seen), join(' ', sort 1 .. 20, 'pong late'), 'all of it');
push_ok('move7', 'm');
same($ws->said, data('move7', 21, 'm'), 'and what follows');
