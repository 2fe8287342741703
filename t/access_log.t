# access_log: one line for each subscription, when it ends, with what was true of its request.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @STREAMS = qw(stream sse iframe);

# The first message of an iframe follows its page head.
sub first_message {
    my ($conn) = @_;
    my $line;
    1 until ($line = $conn->line) =~ /\{"type"/ or $line eq '';
    return $line;
}

# What nginx counted against what the client wrote and read.
sub same_sizes {
    my ($entry, $conn, $what) = @_;
    same($entry->{length}, $conn->{sent}, "$what: request_length");
    same($entry->{bytes}, $conn->{received}, "$what: bytes_sent");
    same($entry->{body}, $conn->{received} - $conn->{head_length}, "$what: body_bytes_sent");
}

set_up();
run_tests();

__DATA__

=== TEST 1: a long poll that was answered by a message
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'status=$status|request=$request|request_uri=$request_uri|uri=$uri|args=$args|method=$request_method'
                      '|protocol=$server_protocol|length=$request_length|bytes=$bytes_sent|body=$body_bytes_sent|completion=$request_completion'
                      '|address=$remote_addr|port=$remote_port|server=$server_name|server_port=$server_port|user=$remote_user'
                      '|agent=$http_user_agent|referer=$http_referer|http_host=$http_host|host=$host|x=$http_x_some|cookie=$cookie_sid'
                      '|hub=$icomet_hub|channel=$icomet_channel|transport=$icomet_transport|seq=$icomet_seq';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my $uri = '/icomet/sub?cname=log1&seq=1&x=%20a';
my $poll = subscribe($uri, host => 'LocalHost:1234', headers => [
    'User-Agent: poller/1.0 (a "b")', 'Referer: http://example.com/page?q=1', 'X-Some: thing', 'Cookie: a=b; sid=42',
]);
same(scalar log_entries(qr/log1/, 'icomet.log'), 0, 'nothing is logged while it waits');
push_ok('log1', 'hello');
same($poll->rest, data('log1', 1, 'hello') . "\n", 'the answer');
my $entry = log_entry(qr/log1/, 'icomet.log');
my %expected = (
    status => 200, request => "GET $uri HTTP/1.1", request_uri => $uri, uri => '/icomet/sub', args => 'cname=log1&seq=1&x=%20a',
    method => 'GET', protocol => 'HTTP/1.1', completion => 'OK',
    address => '127.0.0.1', port => $poll->{socket}->sockport, server => 'localhost', server_port => Test::Nginx::Util::server_port(), user => '-',
    agent => 'poller/1.0 (a \x22b\x22)', referer => 'http://example.com/page?q=1', http_host => 'LocalHost:1234', host => 'localhost',
    x => 'thing', cookie => 42, hub => 'main', channel => 'log1', transport => 'sub', seq => 2,
);
same($entry->{$_}, $expected{$_}, $_) for sort keys %expected;
same_sizes($entry, $poll, 'poll');



=== TEST 2: streams whose client goes away
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'status=$status|request=$request|request_uri=$request_uri|uri=$uri|args=$args|method=$request_method'
                      '|protocol=$server_protocol|length=$request_length|bytes=$bytes_sent|body=$body_bytes_sent|completion=$request_completion'
                      '|address=$remote_addr|port=$remote_port|server=$server_name|server_port=$server_port|user=$remote_user'
                      '|agent=$http_user_agent|referer=$http_referer|http_host=$http_host|host=$host|x=$http_x_some|cookie=$cookie_sid'
                      '|hub=$icomet_hub|channel=$icomet_channel|transport=$icomet_transport|seq=$icomet_seq';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
for my $transport (@STREAMS) {
    for my $how (qw(leave reset)) {
        my $cname = "log2-$transport-$how";
        my $uri = "/icomet/$transport?cname=$cname&seq=1";
        my $stream = subscribe($uri, host => 'LocalHost:1234', headers => [
            'User-Agent: reader/1.0', 'Referer: http://localhost:1234/', 'X-Some: thing', 'Cookie: a=b; sid=42',
        ]);
        push_ok($cname, "m$_") for 1 .. 3;
        first_message($stream);
        $stream->{body} =~ /"m3"/ or $stream->_more until $stream->{body} =~ /"m3".*\n\z/s;
        same(scalar log_entries(qr/$cname&/, 'icomet.log'), 0, 'nothing is logged while it is open');
        my $port = $stream->{socket}->sockport;
        $stream->$how;
        await_subscribers($cname, 0);
        my $entry = log_entry(qr/$cname&/, 'icomet.log');
        my %expected = (
            status => 200, request => "GET $uri HTTP/1.1", request_uri => $uri, uri => "/icomet/$transport", args => "cname=$cname&seq=1",
            method => 'GET', protocol => 'HTTP/1.1', completion => '',
            address => '127.0.0.1', port => $port, server => 'localhost', server_port => Test::Nginx::Util::server_port(), user => '-',
            agent => 'reader/1.0', referer => 'http://localhost:1234/', http_host => 'LocalHost:1234', host => 'localhost',
            x => 'thing', cookie => 42, hub => 'main', channel => $cname, transport => $transport, seq => 4,
        );
        same($entry->{$_}, $expected{$_}, "$transport, $how: $_") for sort keys %expected;
        same_sizes($entry, $stream, "$transport, $how");
    }
}



=== TEST 3: streams that an administrator closed
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'status=$status|request=$request|length=$request_length|bytes=$bytes_sent|body=$body_bytes_sent'
                      '|completion=$request_completion|agent=$http_user_agent|channel=$icomet_channel|transport=$icomet_transport|seq=$icomet_seq';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
for my $version ('1.0', '1.1') {
    for my $transport (@STREAMS) {
        my $cname = "log3-$transport-$version";
        my $uri = "/icomet/$transport?cname=$cname&seq=1";
        my $stream = subscribe($uri, version => $version, headers => ['User-Agent: reader/2.0']);
        push_ok($cname, 'x');
        first_message($stream);
        get("/icomet-admin/close?cname=$cname");
        matches($stream->rest, qr/"type":"close"/, "$transport: close");
        my $entry = log_entry(qr/$cname&/, 'icomet.log');
        my %expected = (
            status => 200, request => "GET $uri HTTP/$version", completion => 'OK',
            agent => 'reader/2.0', channel => $cname, transport => $transport, seq => 2,
        );
        same($entry->{$_}, $expected{$_}, "$transport $version: $_") for sort keys %expected;
        same_sizes($entry, $stream, "$transport $version");
    }
}



=== TEST 4: noops: a long poll's answer, a sign of life on a stream; the time is that of the whole subscription
--- http_config
    icomet_hub main { zone 16m; polling_timeout 1s; }
    log_format icomet 'status=$status|length=$request_length|bytes=$bytes_sent|body=$body_bytes_sent|time=$request_time'
                      '|channel=$icomet_channel|transport=$icomet_transport|seq=$icomet_seq';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
# All at once: each waits for a second at least.
my %open = map { $_ => conn()->request('GET', "/icomet/$_?cname=log4-$_&seq=1&noop=5") } 'sub', 'poll', @STREAMS;
same($open{$_}->rest, data("log4-$_", 5, '', 'noop') . "\n", "$_: noop") for qw(sub poll);
for my $transport (@STREAMS) {
    matches(first_message($open{$transport}), qr/\Q${\data("log4-$transport", 5, '', 'noop')}\E/, "$transport: noop");
    $open{$transport}->leave;
}
for my $transport ('sub', 'poll', @STREAMS) {
    my $entry = log_entry(qr/log4-$transport\|/, 'icomet.log');
    same($entry->{status}, 200, "$transport: status");
    # A little less than the second that it was at least: nginx keeps more than one clock.
    same($entry->{time} >= 0.9 ? 'long' : $entry->{time}, 'long', "$transport: request_time");
    same($entry->{seq}, 1, "$transport: seq");
}
for my $transport ('sub', 'poll') {
    same_sizes((log_entries(qr/log4-$transport\|/, 'icomet.log'))[0], $open{$transport}, $transport);
}



=== TEST 5: a long poll whose client goes away
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'status=$status|request=$request|length=$request_length|bytes=$bytes_sent|body=$body_bytes_sent'
                      '|completion=$request_completion|agent=$http_user_agent|channel=$icomet_channel|transport=$icomet_transport|seq=$icomet_seq';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
for my $how (qw(leave reset half_close)) {
    my $uri = "/icomet/sub?cname=log5-$how&seq=1";
    my $poll = subscribe($uri, headers => ['User-Agent: poller/1.0']);
    $poll->$how;
    await_subscribers("log5-$how", 0);
    my $entry = log_entry(qr/log5-$how&/, 'icomet.log');
    my %expected = (
        status => 499, request => "GET $uri HTTP/1.1", length => $poll->{sent}, bytes => 0, body => 0, completion => '',
        agent => 'poller/1.0', channel => "log5-$how", transport => 'sub', seq => 1,
    );
    same($entry->{$_}, $expected{$_}, "$how: $_") for sort keys %expected;
}



=== TEST 6: a line for each of many subscriptions on one connection
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'request_uri=$request_uri|status=$status|length=$request_length|body=$body_bytes_sent|agent=$http_user_agent'
                      '|connection=$connection|requests=$connection_requests|transport=$icomet_transport|seq=$icomet_seq';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my $conn = conn();
for my $seq (1 .. 10) {
    my $sent = $conn->{sent};
    my $uri = "/icomet/sub?cname=log6&seq=$seq";
    $conn->request('GET', $uri, headers => ["User-Agent: poller/$seq" . 'x' x $seq]);
    await_subscribers('log6', 1);
    push_ok('log6', 'm' x $seq);
    my $body = $conn->rest;
    same($body, data('log6', $seq, 'm' x $seq) . "\n", "poll $seq");
    my $entry = log_entry(qr/\Q$uri\E\|/, 'icomet.log');
    same($entry->{status}, 200, "poll $seq: status");
    same($entry->{length}, $conn->{sent} - $sent, "poll $seq: request_length");
    same($entry->{body}, length $body, "poll $seq: body_bytes_sent");
    same($entry->{agent}, "poller/$seq" . 'x' x $seq, "poll $seq: agent");
    same($entry->{requests}, $seq, "poll $seq: connection_requests");
    same($entry->{seq}, $seq + 1, "poll $seq: seq");
}
# A stream at the end of the same connection.
$conn->request('GET', '/icomet/stream?cname=log6&seq=11');
await_subscribers('log6', 1);
$conn->leave;
await_subscribers('log6', 0);
my $entry = log_entry(qr/stream\?cname=log6/, 'icomet.log');
same($entry->{requests}, 11, 'stream: connection_requests');
my @all = log_entries(qr/cname=log6&/, 'icomet.log');
same(scalar @all, 11, 'lines');
my %connections = map { $_->{connection} => 1 } @all;
same(scalar keys %connections, 1, 'all with the same connection number');



=== TEST 7: many subscribers of one channel: a line for each
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 100; }
    log_format icomet 'request_uri=$request_uri|status=$status|agent=$http_user_agent|seq=$icomet_seq';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my %open;
for my $transport ('sub', @STREAMS) {
    $open{"$transport-$_"} = conn()->request('GET', "/icomet/$transport?cname=log7&seq=1&n=$transport-$_", headers => ["User-Agent: $transport-$_"]) for 1 .. 10;
}
await_subscribers('log7', 40);
push_ok('log7', 'x');
$open{"sub-$_"}->rest for 1 .. 10;
for my $transport (@STREAMS) { first_message($open{"$transport-$_"}) for 1 .. 10 }
$open{"stream-$_"}->leave for 1 .. 5;
await_subscribers('log7', 25);
get('/icomet-admin/close?cname=log7');
for my $transport (@STREAMS) {
    for (1 .. 10) { $open{"$transport-$_"}->rest unless $transport eq 'stream' && $_ <= 5 }
}
for my $name (sort keys %open) {
    my $entry = log_entry(qr/&n=$name\|/, 'icomet.log');
    same("$entry->{status} $entry->{agent} $entry->{seq}", "200 $name 2", $name);
}
same(scalar(my @all = log_entries(qr/cname=log7&/, 'icomet.log')), 40, 'lines');



=== TEST 8: variables of set, map and captures keep what they were for the subscribing request
--- http_config
    icomet_hub main { zone 16m; }
    map $arg_kind $kind { default other; ~^(?<letter>[a-z])1$ "first of $letter"; }
    map $http_x_client $client { default nobody; phone "a phone"; }
    log_format icomet 'channel=$icomet_channel|copy=$copy|kind=$kind|client=$client|room=$room|one=$one';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/(?<room>room[0-9]+)/(sub|stream|sse|iframe)$ {
        set $copy "$http_x_client-$arg_seq-$connection_requests";
        set $one $2;
        icomet_sub main;
    }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my $number = 0;
for my $transport ('sub', @STREAMS) {
    $number++;
    my $cname = "log8-$transport";
    my $conn = subscribe("/room$number/$transport?cname=$cname&seq=1&kind=b1", headers => ['X-Client: phone']);
    # Another request on the same worker in between.
    get("/room9/sub?cname=log8-between&seq=0&kind=z1");
    push_ok($cname, 'x');
    first_message($conn);
    if ($transport ne 'sub') {
        get("/icomet-admin/close?cname=$cname");
        $conn->rest;
    }
    my $entry = log_entry(qr/\Q$cname\E\|/, 'icomet.log');
    my %expected = (copy => 'phone-1-1', kind => 'first of b', client => 'a phone', room => "room$number", one => $transport);
    same($entry->{$_}, $expected{$_}, "$transport: $_") for sort keys %expected;
}



=== TEST 9: auth_request_set, with an authorization server
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|user=$user|auth=$auth_status|status=$status';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location / { add_header X-User "user $http_x_token"; return 204; }
    }
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/ {
        auth_request     /auth;
        auth_request_set $user $upstream_http_x_user;
        auth_request_set $auth_status $upstream_status;
        icomet_sub       main;
    }
    location = /auth            { internal; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    my $cname = "log9-$transport";
    my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1", headers => ["X-Token: of $transport"]);
    push_ok($cname, 'x');
    first_message($conn);
    $conn->leave;
    my $entry = log_entry(qr/\Q$cname\E\|/, 'icomet.log');
    my %expected = (user => "user of $transport", auth => 204, status => 200);
    same($entry->{$_}, $expected{$_}, "$transport: $_") for sort keys %expected;
}



=== TEST 10: auth_basic: the user
--- user_files
>>> users
ann:{PLAIN}secret
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|user=$remote_user|status=$status';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { auth_basic on; auth_basic_user_file ../html/users; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    my $cname = "log10-$transport";
    # ann:secret
    my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1", headers => ['Authorization: Basic YW5uOnNlY3JldA==']);
    push_ok($cname, 'x');
    first_message($conn);
    $conn->leave;
    my $entry = log_entry(qr/\Q$cname\E\|/, 'icomet.log');
    same("$entry->{user} $entry->{status}", 'ann 200', $transport);
}



=== TEST 11: after a rewrite: what was asked, and what was served
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'request=$request|request_uri=$request_uri|uri=$uri|args=$args|cname=$arg_cname|channel=$icomet_channel|transport=$icomet_transport';
--- config
    access_log logs/icomet.log icomet;
    rewrite ^/feed/([a-z]+)/(.*)$ /icomet/$1?cname=$2&seq=1 last;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    my $cname = "log11-$transport";
    my $conn = conn()->request('GET', "/feed/$transport/$cname?extra=1");
    await_subscribers($cname, 1);
    push_ok($cname, 'x');
    first_message($conn);
    $conn->leave;
    my $entry = log_entry(qr/channel=\Q$cname\E\|/, 'icomet.log');
    my %expected = (
        request => "GET /feed/$transport/$cname?extra=1 HTTP/1.1", request_uri => "/feed/$transport/$cname?extra=1",
        uri => "/icomet/$transport", args => "cname=$cname&seq=1&extra=1", cname => $cname, transport => $transport,
    );
    same($entry->{$_}, $expected{$_}, "$transport: $_") for sort keys %expected;
}



=== TEST 12: the virtual server that was asked, with its own log
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'server=$server_name|host=$host|http_host=$http_host|channel=$icomet_channel|status=$status';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        server_name first.example;
        access_log logs/first.log icomet;
        location ~ ^/icomet/ { icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        server_name second.example *.second.example;
        access_log logs/second.log icomet;
        location ~ ^/icomet/ { icomet_sub main; }
    }
--- play
for my $transport ('sub', @STREAMS) {
    for my $host (qw(first.example second.example sub.second.example)) {
        my $cname = "log12-$transport-$host";
        my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), host => "$host:80");
        push_ok($cname, 'x');
        first_message($conn);
        $conn->leave;
        my ($log) = $host =~ /(first|second)\.example/;
        my $entry = log_entry(qr/\Q$cname\E\|/, "$log.log");
        my %expected = (server => "$log.example", host => $host, http_host => "$host:80", status => 200);
        same($entry->{$_}, $expected{$_}, "$transport, $host: $_") for sort keys %expected;
    }
}
my @wrong = (log_entries(qr/second/, 'first.log'), log_entries(qr/first/, 'second.log'));
same(scalar @wrong, 0, "lines in the other's log");



=== TEST 13: access_log with a condition, and none
--- http_config
    icomet_hub main { zone 16m; }
    map $http_user_agent $loggable { default 1; ~bot 0; }
    log_format icomet 'channel=$icomet_channel|agent=$http_user_agent';
--- config
    location ~ ^/icomet/        { access_log logs/icomet.log icomet if=$loggable; icomet_sub main; }
    location ~ ^/quiet/         { access_log off; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    for my $where (qw(icomet-bot quiet-human icomet-human)) {
        my ($location, $agent) = split /-/, $where;
        my $cname = "log13-$transport-$where";
        my $conn = subscribe("/$location/$transport?cname=$cname&seq=1", headers => ["User-Agent: $agent"]);
        push_ok($cname, 'x');
        first_message($conn);
        $conn->leave;
        await_subscribers($cname, 0);
    }
    log_entry(qr/log13-$transport-icomet-human/, 'icomet.log');
}
same(scalar(my @bots = log_entries(qr/log13-.*(bot|quiet)/, 'icomet.log')), 0, 'lines that were not wanted');
same(IcometTest::_slurp($Test::Nginx::Util::AccLogFile) =~ /log13-\w+-(quiet|icomet-bot)/ ? 'some' : 'none', 'none', 'in the log of the http block');



=== TEST 14: the answer's header fields
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|type=$sent_http_content_type'
                      '|origin=$sent_http_access_control_allow_origin|coding=$sent_http_transfer_encoding|kind=$sent_http_x_kind';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { add_header X-Kind "kind $arg_seq"; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my %type = (sub => 'application/json', stream => 'application/json', sse => 'text/event-stream', iframe => 'text/html');
for my $transport ('sub', @STREAMS) {
    my $cname = "log14-$transport";
    my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1");
    push_ok($cname, 'x');
    first_message($conn);
    $conn->leave;
    my $entry = log_entry(qr/\Q$cname\E\|/, 'icomet.log');
    my %expected = (
        type => "$type{$transport}; charset=utf-8", origin => '*', kind => 'kind 1',
        coding => $transport eq 'sub' ? '-' : 'chunked',
    );
    same($entry->{$_}, $expected{$_}, "$transport: $_") for sort keys %expected;
}



=== TEST 15: an identifier that was made for the request is the same in the answer and in the log
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|id=$request_id';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { add_header X-Id $request_id; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my %seen;
for my $transport ('sub', @STREAMS) {
    my $cname = "log15-$transport";
    my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1");
    push_ok($cname, 'x');
    first_message($conn);
    $conn->leave;
    matches($conn->header('X-Id'), qr/\A[0-9a-f]{32}\z/, "$transport: in the answer");
    same(log_entry(qr/\Q$cname\E\|/, 'icomet.log')->{id}, $conn->header('X-Id'), "$transport: in the log");
    $seen{ $conn->header('X-Id') }++;
}
same(scalar keys %seen, 4, 'each its own');



=== TEST 16: the client's address as a proxy in front tells it, for each request on a connection anew
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|address=$remote_addr|proxy=$realip_remote_addr';
--- config
    access_log logs/icomet.log icomet;
    set_real_ip_from 127.0.0.1;
    real_ip_header X-Real-IP;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my $conn = conn();
my $n = 0;
for my $transport ('sub', 'poll', @STREAMS) {
    $n++;
    my $cname = "log16-$transport";
    $conn->request('GET', "/icomet/$transport?cname=$cname&seq=1", headers => ["X-Real-IP: 192.0.2.$n"]);
    await_subscribers($cname, 1);
    push_ok($cname, 'x');
    first_message($conn);
    get("/icomet-admin/close?cname=$cname");
    $conn->rest;
    my $entry = log_entry(qr/\Q$cname\E\|/, 'icomet.log');
    same("$entry->{address} $entry->{proxy}", "192.0.2.$n 127.0.0.1", $transport);
}



=== TEST 17: several logs, one of them written later
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|status=$status';
    log_format other  'CHANNEL=$icomet_channel|agent=$http_user_agent';
--- config
    access_log logs/icomet.log icomet;
    access_log logs/other.log other;
    access_log logs/buffered.log icomet buffer=4k flush=100ms;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
for my $transport ('sub', @STREAMS) {
    my $cname = "log17-$transport";
    my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1", headers => ['User-Agent: three logs']);
    push_ok($cname, 'x');
    first_message($conn);
    $conn->leave;
    same(log_entry(qr/\Q$cname\E\|/, $_)->{status}, 200, "$transport: $_") for qw(icomet.log buffered.log);
    same(log_entry(qr/\Q$cname\E\|/, 'other.log')->{agent}, 'three logs', "$transport: the other");
}
