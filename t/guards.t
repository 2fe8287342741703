# nginx's own rules in front of icomet_sub: who passes is served as without them, who does not is refused, and
# nothing stays behind.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @STREAMS = qw(stream sse iframe);

# Someone is served: subscribes, hears a message, and is ended or leaves.
sub served {
    my ($uri, $what, %o) = @_;
    my ($cname) = $uri =~ /[?&]cname=([^&]*)/;
    my $conn = subscribe($uri, %o);
    push_ok($cname, 'served');
    same(message($conn), data($cname, 1, 'served'), $what);
    get("/icomet-admin/close?cname=$cname");
    $conn->rest;
    same($conn->end, 'complete', "$what: end");
    same(subscribers($cname), 0, "$what: gone");
    return $conn;
}

# Someone is refused, and no subscriber.
sub refused {
    my ($uri, $status, $what, %o) = @_;
    my ($cname) = $uri =~ /[?&]cname=([^&]*)/;
    my $answer = http('GET', $uri, %o);
    same($answer->{status}, $status, $what);
    same(get("/icomet-admin/check?cname=$cname"), "{}\n", "$what: no channel");
    return $answer;
}

# A subscriber that limit_conn lets in as soon as there is a place: a place is given back a little after the
# client has seen its answer.
sub admitted {
    my ($uri) = @_;
    my ($cname) = $uri =~ /[?&]cname=([^&]*)/;
    my $conn;
    until_true(sub {
        $conn = conn()->request('GET', $uri);
        my $in;
        until_true(sub { $in = subscribers($cname) == 1 or $conn->readable }, "$uri is let in or refused");
        return $in || subscribers($cname) == 1;
    }, "$uri is let in");
    return $conn;
}

set_up();
run_tests();

__DATA__

=== TEST 1: limit_conn: one at a time, and free again when the first has ended, however it ended
--- http_config
    icomet_hub main { zone 16m; }
    limit_conn_zone $binary_remote_addr zone=guards1:1m;
--- config
    location ~ ^/icomet/        { limit_conn guards1 1; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    for my $how (qw(close leave reset half_close)) {
        my $cname = "guards1-$transport-$how";
        my $conn = admitted("/icomet/$transport?cname=$cname&seq=1");
        same(http('GET', "/icomet/$_?cname=guards1other&seq=1")->{status}, 503, "$transport, $how: another $_ is refused") for 'sub', @STREAMS;
        same(subscribers('guards1other'), 0, "$transport, $how: and does not wait");
        same(get("/icomet-admin/close?cname=$cname"), "ok 1\n", "$transport: close") if $how eq 'close';
        if ($how eq 'close') { matches($conn->rest, qr/"type":"close"/, "$transport: closed") }
        else                 { $conn->$how }
        await_subscribers($cname, 0);
    }
}
admitted('/icomet/stream?cname=guards1-last&seq=1');
--- error_log eval
qr/\[error\] .*limiting connections by zone "guards1"/
--- no_error_log
[alert]
[crit]



=== TEST 2: limit_conn and long polls on one connection, answered by messages and noops
--- http_config
    icomet_hub main { zone 16m; polling_timeout 1s; }
    limit_conn_zone $binary_remote_addr zone=guards2:1m;
--- config
    location ~ ^/icomet/        { limit_conn guards2 1; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $conn = conn();
my $seq = 1;
for my $round (1 .. 5) {
    # A poll that was still counted would keep the next one out.
    $conn->request('GET', "/icomet/sub?cname=guards2&seq=$seq&noop=$round");
    if ($round % 2) {
        same($conn->rest, data('guards2', $round, '', 'noop') . "\n", "round $round: noop");
    }
    else {
        # It may have had its noop already, or find the message when it comes.
        push_ok('guards2', "m$seq");
        my $noop = data('guards2', $round, '', 'noop');
        my $message = data('guards2', $seq, "m$seq");
        matches($conn->rest, qr/\A(?:\Q$noop\E|\Q$message\E|\[\Q$message\E\])\n\z/, "round $round: message or noop");
        $seq++;
    }
}
# Idle, the connection counts no more.
my $other = admitted('/icomet/stream?cname=guards2&seq=1');
same($conn->request('GET', '/icomet/sub?cname=guards2&seq=1')->head, 503, 'but a poll on it does');
--- error_log eval
qr/\[error\] .*limiting connections by zone "guards2"/
--- no_error_log
[alert]
[crit]



=== TEST 3: limit_req
--- http_config
    icomet_hub main { zone 16m; }
    limit_req_zone $arg_key zone=guards3:1m rate=1r/m;
--- config
    limit_req_status 429;
    location ~ ^/icomet/        { limit_req zone=guards3; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    served("/icomet/$transport?cname=guards3-$transport&seq=1&key=$transport", "$transport: the first");
    refused("/icomet/$transport?cname=guards3-$transport-2&seq=1&key=$transport", 429, "$transport: the second");
}
--- error_log eval
qr/\[error\] .*limiting requests, excess: /
--- no_error_log
[alert]
[crit]



=== TEST 4: limit_req that lets a subscriber wait first
--- http_config
    icomet_hub main { zone 16m; }
    limit_req_zone $arg_key zone=guards4:1m rate=10r/s;
--- config
    location ~ ^/icomet/        { limit_req zone=guards4 burst=10; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
# Three at once: the second and the third are delayed.
my %open = map { $_ => conn()->request('GET', "/icomet/$_?cname=guards4&seq=1&key=a") } 'sub', 'stream', 'sse';
await_subscribers('guards4', 3);
push_ok('guards4', 'x');
same(message($open{$_}), data('guards4', 1, 'x'), $_) for sort keys %open;



=== TEST 5: auth_request: allowed, denied, not known; the answer's header fields can be used
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location / {
            if ($http_x_token = "") { return 401; }
            if ($http_x_token = "no") { return 403; }
            add_header X-User "user $http_x_token";
            return 204;
        }
    }
--- config
    location ~ ^/icomet/ {
        auth_request     /auth;
        auth_request_set $user $upstream_http_x_user;
        add_header       X-Seen $user always;
        icomet_sub       main;
    }
    location = /auth            { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; proxy_pass_request_body off; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    refused("/icomet/$transport?cname=guards5-$transport&seq=1", 401, "$transport: without a token");
    refused("/icomet/$transport?cname=guards5-$transport&seq=1", 403, "$transport: with a bad token", headers => ['X-Token: no']);
    my $conn = served("/icomet/$transport?cname=guards5-$transport&seq=1", "$transport: with a good token", headers => ['X-Token: yes']);
    same($conn->header('X-Seen'), 'user yes', "$transport: the user in a header field");
}



=== TEST 6: auth_request names the channel
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location / { add_header X-Channel "of-$http_x_token"; return 204; }
    }
--- config
    location ~ ^/icomet/ {
        auth_request     /auth;
        auth_request_set $mine $upstream_http_x_channel;
        icomet_channel   $mine;
        icomet_sub       main;
    }
    location = /auth            { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    my $conn = conn()->request('GET', "/icomet/$transport?seq=1", headers => ["X-Token: guards6-$transport"]);
    await_subscribers("of-guards6-$transport", 1);
    push_ok("of-guards6-$transport", 'x');
    same(message($conn), data("of-guards6-$transport", 1, 'x'), $transport);
}



=== TEST 7: allow and deny
--- config
    location ~ ^/icomet/        { allow 127.0.0.1; deny all; icomet_sub main; }
    location ~ ^/closed/        { deny 127.0.0.1; allow all; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    refused("/closed/$transport?cname=guards7-$transport&seq=1", 403, "$transport: denied");
    served("/icomet/$transport?cname=guards7-$transport&seq=1", "$transport: allowed");
}
--- error_log
access forbidden by rule
--- no_error_log
[alert]
[crit]



=== TEST 8: satisfy any: one of both is enough
--- user_files
>>> users
ann:{PLAIN}secret
--- config
    location ~ ^/any/           { satisfy any; deny all; auth_basic on; auth_basic_user_file ../html/users; icomet_sub main; }
    location ~ ^/all/           { satisfy all; allow 127.0.0.1; deny all; auth_basic on; auth_basic_user_file ../html/users; icomet_sub main; }
    location ~ ^/address/       { satisfy any; allow 127.0.0.1; deny all; auth_basic on; auth_basic_user_file ../html/users; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my @ann = (headers => ['Authorization: Basic YW5uOnNlY3JldA==']);
for my $transport ('sub', @STREAMS) {
    refused("/$_/$transport?cname=guards8-$transport&seq=1", 401, "$_, $transport: no password") for qw(any all);
    served("/$_/$transport?cname=guards8-$transport&seq=1", "$_, $transport: with the password", @ann) for qw(any all);
    served("/address/$transport?cname=guards8-$transport&seq=1", "address, $transport: no password");
}



=== TEST 9: map and rewrite before the location, if in it
--- http_config
    icomet_hub main { zone 16m; }
    map $http_x_room $channel { default ""; ~^(?<name>[a-z]+)$ "guards9-$name"; }
    map $http_user_agent $banned { default 0; ~bad 1; }
--- config
    rewrite ^/feed/([a-z]+)$ /icomet/$1?seq=1 last;
    location ~ ^/icomet/ {
        if ($banned) { return 403; }
        if ($http_x_room = "") { return 400; }
        set $shown "none";
        if ($http_x_shown) { set $shown "shown"; }
        add_header X-Shown $shown;
        icomet_channel $channel;
        icomet_sub main;
    }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    my $room = $transport;
    my $ask = sub { http('GET', "/feed/$transport", headers => \@_)->{status} };
    same($ask->("X-Room: $room", 'User-Agent: a bad one'), 403, "$transport: banned");
    same($ask->(), 400, "$transport: no room");
    same(get("/icomet-admin/check?cname=guards9-$room"), "{}\n", "$transport: no channel");
    my $conn = conn()->request('GET', "/feed/$transport", headers => ["X-Room: $room", 'X-Shown: 1']);
    await_subscribers("guards9-$room", 1);
    push_ok("guards9-$room", 'x');
    same(message($conn), data("guards9-$room", 1, 'x'), $transport);
    same($conn->header('X-Shown'), 'shown', "$transport: a variable that an if has set");
    $conn->leave;
    await_subscribers("guards9-$room", 0);
}



=== TEST 10: error_page leads who was refused to a location of subscribers
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|uri=$uri|status=$status';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/members/       { deny all; error_page 403 = @guests; icomet_sub main; }
    location @guests            { icomet_sub main; }
    location ~ ^/kept/          { deny all; error_page 403 @guests; icomet_sub main; }
    location ~ ^/moved/         { deny all; error_page 403 =200 /icomet/stream?cname=guards10-moved&seq=1; icomet_sub main; }
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    my $conn = served("/members/$transport?cname=guards10-$transport&seq=1", "$transport: as a guest");
    same($conn->{status}, 200, "$transport: status");
    my $entry = log_entry(qr/guards10-$transport\|/, 'icomet.log');
    same("$entry->{status} $entry->{uri}", "200 /members/$transport", "$transport: in the log");
    my $kept = served("/kept/$transport?cname=guards10-kept-$transport&seq=1", "$transport: as a guest who is told that");
    same($kept->{status}, 403, "$transport: the status is kept");
    $entry = log_entry(qr/guards10-kept-$transport\|/, 'icomet.log');
    same("$entry->{status} $entry->{uri}", "403 /kept/$transport", "$transport: in the log");
}
my $conn = conn()->request('GET', '/moved/anything');
await_subscribers('guards10-moved', 1);
push_ok('guards10-moved', 'x');
same($conn->head, 200, 'another URI: status');
same($conn->line, data('guards10-moved', 1, 'x') . "\n", 'another URI');
$conn->leave;
my $entry = log_entry(qr/guards10-moved\|/, 'icomet.log');
same("$entry->{status} $entry->{uri}", '200 /icomet/stream', 'another URI: in the log');
--- error_log
access forbidden by rule
--- no_error_log
[alert]
[crit]



=== TEST 11: error_page for a refused subscriber
--- config
    location ~ ^/icomet/ {
        deny all;
        error_page 403 /sorry;
        icomet_sub main;
    }
    location = /sorry           { return 200 "sorry\n"; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    my $answer = refused("/icomet/$transport?cname=guards11&seq=1", 403, $transport);
    same($answer->{text}, "sorry\n", "$transport: the page");
}
--- error_log
access forbidden by rule
--- no_error_log
[alert]
[crit]



=== TEST 12: add_header, expires and more on the answers
--- config
    location ~ ^/icomet/ {
        add_header X-Frame-Options deny;
        add_header X-Address "$remote_addr $http_x_some" always;
        add_header X-Time-Is-Known $request_time;
        icomet_sub main;
    }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $conn = conn();
for my $seq (1 .. 3) {
    $conn->request('GET', "/icomet/sub?cname=guards12&seq=$seq", headers => ["X-Some: thing $seq"]);
    await_subscribers('guards12', 1);
    push_ok('guards12', 'x');
    same($conn->header('X-Frame-Options'), 'deny', "poll $seq: always the same");
    same($conn->header('X-Address'), "127.0.0.1 thing $seq", "poll $seq: with variables");
    same($conn->rest, data('guards12', $seq, 'x') . "\n", "poll $seq: body");
}
for my $transport (@STREAMS) {
    my $stream = subscribe("/icomet/$transport?cname=guards12&seq=4", headers => ['X-Some: thing']);
    same($stream->header('X-Frame-Options'), 'deny', "$transport: always the same");
    same($stream->header('X-Address'), '127.0.0.1 thing', "$transport: with variables");
}



=== TEST 13: a server-side include cannot hold a subscription open
--- user_files
>>> page.html
before <!--#include virtual="/icomet/sub?cname=guards13&seq=1" --> after
--- config
    location = /page.html       { ssi on; ssi_types *; }
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $answer = http('GET', '/page.html');
same($answer->{status}, 200, 'status');
matches($answer->{text}, qr/\Abefore .* after\n\z/s, 'the page is whole');
same(subscribers('guards13'), 0, 'nobody waits');
--- error_log
an icomet endpoint was asked by a subrequest
--- no_error_log
[alert]
[crit]
