# Hand-over: the log line of who has moved, on whatever socket it came, is its own, true, and the only one.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';
use File::Temp qw(tempdir);
use Time::HiRes qw(time);

our @STREAMS = qw(stream sse iframe);
# Its path is short enough for a socket's address.
$ENV{TEST_NGINX_SOCKET_DIR} = tempdir(CLEANUP => 1);

set_up();
run_tests();

__DATA__

=== TEST 1: one line at the end, as if nothing had been
--- http_config
    icomet_hub main { zone 16m; }
    map $arg_kind $kind { default other; b "kind b"; }
    log_format icomet 'uri=$request_uri|request=$request|status=$status|bytes=$bytes_sent|body=$body_bytes_sent|time=$request_time'
                      '|length=$request_length|address=$remote_addr|port=$remote_port|connection=$connection|requests=$connection_requests'
                      '|agent=$http_user_agent|cookie=$cookie_user|host=$host|copy=$copy|kind=$kind|completion=$request_completion'
                      '|hub=$icomet_hub|channel=$icomet_channel|transport=$icomet_transport|seq=$icomet_seq|type=$sent_http_content_type'
                      '|server=$server_port|protocol=$server_protocol|args=$args|unset=$http_x_unset';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_park on; set $copy "$http_user_agent-$arg_seq"; icomet_sub main; }
    location = /before          { return 200 "$connection\n"; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my %type = (sub => 'application/json', stream => 'application/json', sse => 'text/event-stream', iframe => 'text/html');
my %open;
for my $transport ('sub', @STREAMS) {
    my $cname = "log1-$transport";
    my $conn = conn();
    chomp(my $number = $conn->request('GET', '/before')->rest);
    my $sent = $conn->{sent};
    my $received = $conn->{received};
    $conn->request('GET', "/icomet/$transport?cname=$cname&seq=1&kind=b", headers => ['User-Agent: mover', 'Cookie: user=ann']);
    await_subscribers($cname, 1);
    $open{$transport} = {
        conn => $conn, received => $received, began => time,
        expected => { connection => $number, length => $conn->{sent} - $sent, port => $conn->{socket}->sockport },
    };
    carries_on($conn, $cname, 1, $transport) if $transport ne 'sub';
}
reload() for 1 .. 2;
same(scalar(my @early = log_entries(qr/log1/, 'icomet.log')), 0, 'lines while they wait');
for my $transport ('sub', @STREAMS) {
    my $cname = "log1-$transport";
    my ($conn, $received, $began, $expected) = @{ $open{$transport} }{qw(conn received began expected)};
    my $seq = $transport eq 'sub' ? 1 : 2;
    my $waited = time - $began;
    carries_on($conn, $cname, $seq, $transport);
    if ($transport ne 'sub') {
        get("/icomet-admin/close?cname=$cname");
        $conn->end;
    }
    my $entry = log_entry(qr/channel=$cname\|/, 'icomet.log');
    my $uri = "/icomet/$transport?cname=$cname&seq=1&kind=b";
    my $bytes = $conn->{received} - $received;
    %$expected = (
        %$expected, uri => $uri, request => "GET $uri HTTP/1.1", status => 200, bytes => $bytes, body => $bytes - $conn->{head_length},
        address => '127.0.0.1', requests => 2, agent => 'mover', cookie => 'ann', host => 'localhost', copy => 'mover-1',
        kind => 'kind b', completion => 'OK', hub => 'main', channel => $cname, transport => $transport, seq => $seq + 1,
        type => "$type{$transport}; charset=utf-8", server => Test::Nginx::Util::server_port(), protocol => 'HTTP/1.1',
        args => "cname=$cname&seq=1&kind=b", unset => '-',
    );
    same($entry->{$_}, $expected->{$_}, "$transport: $_") for sort keys %$expected;
    # Both clocks are the machine's; nginx's counts whole milliseconds.
    same($entry->{time} + 0.002 > $waited ? 'all of it' : "$entry->{time} of $waited s", 'all of it', "$transport: request_time");
}
same(scalar(my @all = log_entries(qr/log1/, 'icomet.log')), 4, 'lines');



=== TEST 2: the log that the new configuration asks for
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|status=$status|which=old';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my %open = map { ($_ => subscribe("/icomet/$_?cname=log2-$_&seq=1", headers => ['X-Kind: mover'])) } 'sub', @STREAMS;
rewrite_config(sub {
    s/which=old/which=new|transport=\$icomet_transport|args=\$args|kind=\$http_x_kind/ or die;
    s{logs/icomet\.log}{logs/new.log} or die;
});
reload();
for my $transport ('sub', @STREAMS) {
    carries_on($open{$transport}, "log2-$transport", 1, $transport);
    $open{$transport}->leave;
    my $entry = log_entry(qr/log2-$transport\|/, 'new.log');
    # The old configuration did not name the header field, so that it was not kept.
    my %expected = (status => 200, which => 'new', transport => $transport, args => "cname=log2-$transport&seq=1", kind => '-');
    same($entry->{$_}, $expected{$_}, "$transport: $_") for sort keys %expected;
}
same(scalar(my @old = log_entries(qr/log2/, 'icomet.log')), 0, 'lines in the old log');



=== TEST 3: variables whose places in the configuration have changed keep their values
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|agent=$http_user_agent|b=$b|a=$a|kind=$http_x_kind';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_park on; set $a "a of $arg_cname"; set $b "b of $arg_cname"; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my %open = map { ($_ => subscribe("/icomet/$_?cname=log3-$_&seq=1", headers => ['User-Agent: mover', 'X-Kind: kind'])) } 'sub', @STREAMS;
rewrite_config(sub {
    s/log_format icomet/map \$http_x_first \$first { default \$cookie_first; }\n    log_format icomet/ or die;
    s/\|agent=\$http_user_agent\|b=\$b\|a=\$a/|first=\$first|a=\$a|b=\$b|agent=\$http_user_agent|more=\$http_x_more/ or die;
    s/(set \$a [^;]*;)/set \$c c; set \$d d; set \$b e; $1/ or die;
});
reload();
for my $transport ('sub', @STREAMS) {
    my $cname = "log3-$transport";
    carries_on($open{$transport}, $cname, 1, $transport);
    $open{$transport}->leave;
    my $entry = log_entry(qr/$cname\|/, 'icomet.log');
    my %expected = (agent => 'mover', a => "a of $cname", b => "b of $cname", kind => 'kind', more => '-');
    same($entry->{$_}, $expected{$_}, "$transport: $_") for sort keys %expected;
}



=== TEST 4: servers of one port, in another order afterwards: each logs its own
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'server=$server_name|host=$host|channel=$icomet_channel|status=$status';
    # first server
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        server_name first.example;
        access_log logs/first.log icomet;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
    # second server
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        server_name second.example www.second.example;
        access_log logs/second.log icomet;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
    # third server
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        server_name *.third.example;
        access_log logs/third.log icomet;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
    # fourth server
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        server_name ~^fourth\d+\.example$;
        access_log logs/fourth.log icomet;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
    # fifth server
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        server_name fifth.*;
        access_log logs/fifth.log icomet;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
    # end
--- play
my %host = (first => 'first.example', second => 'www.second.example', third => 'a.third.example', fourth => 'fourth4.example', fifth => 'fifth.org');
my %open;
for my $transport ('sub', @STREAMS) {
    for my $server (sort keys %host) {
        my $cname = "log4-$transport-$server";
        $open{$cname} = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), host => $host{$server});
    }
}
rewrite_config(sub {
    my @servers = /^ *# \w+ server\n(.*?)(?=^ *# )/msg;
    die unless @servers == 5;
    my $turned = join "    # another\n", reverse @servers;
    # A location more in front of each, that serves subscribers too.
    $turned =~ s/(location ~ \^)/location \/other\/ { icomet_sub main; }\n        $1/g;
    s/^ *# first server\n.*(?=^ *# end)/$turned/ms or die;
});
reload();
for my $transport ('sub', @STREAMS) {
    for my $server (sort keys %host) {
        my $cname = "log4-$transport-$server";
        carries_on($open{$cname}, $cname, 1, $cname);
        $open{$cname}->leave;
        my $entry = log_entry(qr/$cname\|/, "$server.log");
        same("$entry->{host} $entry->{status}", "$host{$server} 200", $cname);
    }
}
my @wrong = map { my $server = $_; grep { $_->{channel} !~ /-$server\z/ } log_entries(qr/log4/, "$server.log") } sort keys %host;
same(scalar @wrong, 0, "lines in another's log");



=== TEST 5: wherever the location stands
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|place=$place|status=$status|arg=$arg_in';
--- config
    access_log logs/icomet.log icomet;
    location /prefix/           { icomet_park on; set $place prefix; icomet_sub main; }
    location ^~ /first/         { icomet_park on; set $place first; icomet_sub main; }
    location = /exact/stream    { icomet_park on; set $place exact; icomet_sub main; }
    location ~ ^/regex/         { icomet_park on; set $place regex; icomet_sub main; }
    location ~* ^/CASELESS/     { icomet_park on; set $place caseless; icomet_sub main; }
    location ~ ^/captured/(?<place>[a-z]+) { icomet_park on; icomet_sub main; }
    location /outer/ {
        icomet_park on;
        location /outer/inner/  { set $place inner; icomet_sub main; }
        location ~ /deep/       { set $place deep; icomet_sub main; }
    }
    location /if/ {
        icomet_park on;
        set $place outside;
        icomet_sub main;
        if ($arg_in) { set $place inside; }
    }
    location /rewritten/        { rewrite ^ /named/stream; }
    location /named/            { icomet_park on; set $place rewritten; icomet_sub main; }
    location /tried/            { try_files /nothing @named; }
    location @named             { icomet_park on; set $place named; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my @where = qw(prefix/ first/ exact/ regex/ caseless/ captured/ outer/inner/ outer/deep/ if/ rewritten/ tried/);
my %open = map { ($_ => subscribe("/${_}stream?cname=log5-$_&seq=1")) } @where;
$open{'if/in'} = subscribe('/if/stream?cname=log5-if/in&seq=1&in=1');
rewrite_config(sub { s{(?=location /prefix/)}{location /new/ { icomet_sub main; }\n    location ~ ^/new/ { icomet_sub main; }\n    } or die });
reload() for 1 .. 2;
my %place = ('outer/inner/' => 'inner', 'outer/deep/' => 'deep', 'captured/' => 'stream', 'if/' => 'outside', 'if/in' => 'inside', 'tried/' => 'named');
for my $where (sort keys %open) {
    carries_on($open{$where}, "log5-$where", 1, $where);
    $open{$where}->leave;
    my $entry = log_entry(qr/channel=log5-$where\|/, 'icomet.log');
    my $place = $place{$where} // substr $where, 0, -1;
    same("$entry->{place} $entry->{status} $entry->{arg}", "$place 200 " . ($where eq 'if/in' ? 1 : '-'), $where);
}



=== TEST 6: behind a balancer that speaks the PROXY protocol
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|client=$proxy_protocol_addr|client_port=$proxy_protocol_port|server=$proxy_protocol_server_addr'
                      '|server_port=$proxy_protocol_server_port|address=$remote_addr|status=$status';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 proxy_protocol;
        access_log logs/icomet.log icomet;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
--- play
my %open = map {
    ($_ => subscribe("/icomet/$_?cname=log6-$_&seq=1", port => port(1), before => "PROXY TCP4 192.0.2.7 198.51.100.9 4711 80\r\n"))
} 'sub', @STREAMS;
reload() for 1 .. 2;
my %expected = (client => '192.0.2.7', client_port => 4711, server => '198.51.100.9', server_port => 80, address => '127.0.0.1', status => 200);
for my $transport ('sub', @STREAMS) {
    my $conn = $open{$transport};
    carries_on($conn, "log6-$transport", 1, $transport);
    if ($transport eq 'sub') {
        # Another request on the connection has no header of the protocol in front.
        $conn->request('GET', '/icomet/sub?cname=log6-again&seq=1');
        await_subscribers('log6-again', 1);
        carries_on($conn, 'log6-again', 1, 'again');
        my $entry = log_entry(qr/channel=log6-again\|/, 'icomet.log');
        same($entry->{$_}, $expected{$_}, "again: $_") for sort keys %expected;
    }
    $conn->leave;
    my $entry = log_entry(qr/channel=log6-$transport\|/, 'icomet.log');
    same($entry->{$_}, $expected{$_}, "$transport: $_") for sort keys %expected;
}



=== TEST 7: a unix socket
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|address=$remote_addr|server=$server_addr|status=$status|bytes=$bytes_sent';
    server {
        listen unix:$TEST_NGINX_SOCKET_DIR/icomet.sock;
        access_log logs/icomet.log icomet;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
--- play
my $path = "$ENV{TEST_NGINX_SOCKET_DIR}/icomet.sock";
my %open = map { ($_ => subscribe("/icomet/$_?cname=log7-$_&seq=1", unix => $path)) } 'sub', @STREAMS;
reload() for 1 .. 2;
for my $transport ('sub', @STREAMS) {
    carries_on($open{$transport}, "log7-$transport", 1, $transport);
    $open{$transport}->leave;
    my $entry = log_entry(qr/channel=log7-$transport\|/, 'icomet.log');
    my %expected = (address => 'unix:', server => "unix:$path", status => 200, bytes => $open{$transport}{received});
    same($entry->{$_}, $expected{$_}, "$transport: $_") for sort keys %expected;
}



=== TEST 8: a listener for all addresses knows which one the client came to
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|server=$server_addr|status=$status';
    server {
        listen $TEST_NGINX_RAND_PORT_1;
        access_log logs/icomet.log icomet;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
--- play
my %open = map { ($_ => subscribe("/icomet/$_?cname=log8-$_&seq=1", port => port(1))) } 'sub', @STREAMS;
reload();
for my $transport ('sub', @STREAMS) {
    carries_on($open{$transport}, "log8-$transport", 1, $transport);
    $open{$transport}->leave;
    same(log_entry(qr/channel=log8-$transport\|/, 'icomet.log')->{server}, '127.0.0.1', $transport);
}
