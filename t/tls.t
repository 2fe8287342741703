# HTTP/1.1 over TLS: what subscribers do on a plain connection, they do here.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @STREAMS = qw(stream sse iframe);

set_up(tls => 1);
run_tests();

__DATA__

=== TEST 1: streams: a message at a time, close, and the connection goes on
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
for my $version ('TLSv1_2', 'TLSv1_3') {
    my $conn = conn(port(1), tls => $version);
    for my $transport (@STREAMS, @STREAMS) {
        my $cname = "tls1-$version-$transport";
        push_ok($cname, 'before');
        $conn->request('GET', "/icomet/$transport?cname=$cname&seq=1");
        same($conn->head, 200, "$version, $transport: status");
        same(message($conn), data($cname, 1, 'before'), "$version, $transport: before");
        await_subscribers($cname, 1);
        for my $seq (2 .. 6) {
            my $content = "m$seq" . 'x' x (10 ** ($seq - 2));
            push_ok($cname, $content);
            same(message($conn), data($cname, $seq, $content), "$version, $transport: message $seq");
        }
        get("/icomet-admin/close?cname=$cname");
        matches($conn->rest, qr/\Q${\data($cname, 7, '', 'close')}\E/, "$version, $transport: close");
        same($conn->end, 'complete', "$version, $transport: end");
        same(subscribers($cname), 0, "$version, $transport: gone");
    }
}



=== TEST 2: long polls on one connection
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
        location ~ ^/icomet-admin/  { icomet_pub main; }
    }
--- play
for my $version ('TLSv1_2', 'TLSv1_3') {
    my ($conn, $other) = map { conn(port(1), tls => $version) } 1 .. 2;
    my $cname = "tls2-$version";
    for my $seq (1 .. 20) {
        my $content = "m$seq" . 'x' x ($seq * 1000);
        $other->request('GET', "/icomet/sub?cname=$cname&seq=$seq");
        await_subscribers($cname, 1);
        $conn->request('POST', '/icomet-admin/push', body => "cname=$cname&content=$content");
        same($conn->rest, qq({"type":"ok"}\n), "$version: push $seq");
        same($other->rest, data($cname, $seq, $content) . "\n", "$version: poll $seq");
        ($conn, $other) = ($other, $conn);
    }
}



=== TEST 3: noops
--- http_config
    icomet_hub main { zone 16m; polling_timeout 1s; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
my %open = map { $_ => conn(port(1), tls => 1)->request('GET', "/icomet/$_?cname=tls3&seq=1&noop=7") } 'sub', @STREAMS;
same(message($open{$_}), data('tls3', 7, '', 'noop'), "$_: noop") for 'sub', @STREAMS;
same(message($open{$_}), data('tls3', 8, '', 'noop'), "$_: another") for @STREAMS;
same($open{sub}->request('GET', '/icomet/ping')->rest, qq(icomet_cb({"type":"ping","sub_timeout":1});\n), 'the poll\'s connection goes on');



=== TEST 4: clients that go away: politely, without a word, by a reset
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|status=$status|completion=$request_completion';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        access_log logs/icomet.log icomet;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
for my $version ('TLSv1_2', 'TLSv1_3') {
    for my $transport ('sub', @STREAMS) {
        my $cname = "tls4-$version-$transport";
        my $stays = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), tls => $version);
        for my $how (qw(leave_tls leave reset half_close)) {
            my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), tls => $version);
            $conn->head if $transport ne 'sub';
            $conn->$how;
            await_subscribers($cname, 1);
        }
        push_ok($cname, 'x');
        same(message($stays), data($cname, 1, 'x'), "$version, $transport: who stayed");
        $stays->leave_tls;
        await_subscribers($cname, 0);
        my $lines;
        until_true(sub { $lines = grep { 1 } log_entries(qr/channel=$cname\|/, 'icomet.log'); $lines >= 5 }, 'five lines in the log');
        my $expected = $transport eq 'sub' ? '200 OK,499 ,499 ,499 ,499 ' : join ',', ('200 ') x 5;
        same(join(',', sort map { "$_->{status} $_->{completion}" } log_entries(qr/channel=$cname\|/, 'icomet.log')), $expected, "$version, $transport: in the log");
    }
}



=== TEST 5: the line in the access log
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'request=$request|status=$status|length=$request_length|bytes=$bytes_sent|body=$body_bytes_sent|completion=$request_completion'
                      '|protocol=$ssl_protocol|scheme=$scheme|https=$https|agent=$http_user_agent|requests=$connection_requests'
                      '|channel=$icomet_channel|transport=$icomet_transport|seq=$icomet_seq';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        access_log logs/icomet.log icomet;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
for my $transport ('sub', @STREAMS) {
    for my $how (qw(close leave)) {
        my $cname = "tls5-$transport-$how";
        my $uri = "/icomet/$transport?cname=$cname&seq=1";
        my $conn = subscribe($uri, port => port(1), tls => 1, headers => ['User-Agent: over TLS']);
        push_ok($cname, 'x');
        same(message($conn), data($cname, 1, 'x'), "$transport: message");
        my $protocol = $conn->{socket}->get_sslversion =~ s/_/./r;
        if ($how eq 'close') { get("/icomet-admin/close?cname=$cname"); $conn->rest }
        else                 { $conn->leave_tls }
        my $entry = log_entry(qr/channel=$cname\|/, 'icomet.log');
        my %expected = (
            request => "GET $uri HTTP/1.1", status => 200, length => $conn->{sent}, bytes => $conn->{received},
            body => $conn->{received} - $conn->{head_length}, completion => $how eq 'close' || $transport eq 'sub' ? 'OK' : '',
            protocol => $protocol, scheme => 'https', https => 'on', agent => 'over TLS', requests => 1, transport => $transport, seq => 2,
        );
        same($entry->{$_}, $expected{$_}, "$transport, $how: $_") for sort keys %expected;
    }
}



=== TEST 6: requests behind a poll: in one record with it, and in records of their own
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
my $text = sub { join '', map { "GET /icomet/$_ HTTP/1.1\r\nHost: localhost\r\n\r\n" } @_ };
my $ping = qq(icomet_cb({"type":"ping","sub_timeout":30});\n);
for my $version ('TLSv1_2', 'TLSv1_3') {
    for my $how (qw(together apart large late)) {
        my $cname = "tls6-$version-$how";
        my $poll = "sub?cname=$cname&seq=1";
        # More than nginx reads at once into its buffer, so that some of it stays with TLS.
        my $large = 'ping?' . 'x' x 1500;
        my $conn = conn(port(1), tls => $version);
        if    ($how eq 'together') { $conn->write($text->($poll, 'ping', 'ping')) }
        elsif ($how eq 'apart')    { $conn->write($text->($_)) for $poll, 'ping', 'ping' }
        elsif ($how eq 'large')    { $conn->write($text->($poll, $large, $large)) }
        else                       { $conn->write($text->($poll)) }
        await_subscribers($cname, 1);
        $conn->write($text->('ping', 'ping')) if $how eq 'late';
        push_ok($cname, 'x');
        same($conn->rest, data($cname, 1, 'x') . "\n", "$version, $how: poll");
        same($conn->next_answer->rest, $ping, "$version, $how: ping $_") for 1 .. 2;
    }
}



=== TEST 7: nonsense that is no TLS, while others listen
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
for my $transport ('sub', @STREAMS) {
    my $cname = "tls7-$transport";
    my $stays = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), tls => 1);
    my $junk = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), tls => 1);
    # Past TLS, on the bare socket.
    open my $bare, '>&', fileno $junk->{socket} or die "cannot duplicate: $!";
    syswrite $bare, 'this is no record' x 100;
    close $bare;
    push_ok($cname, 'x');
    same(message($stays), data($cname, 1, 'x'), "$transport: another hears");
    $junk->leave;
    await_subscribers($cname, $transport eq 'sub' ? 0 : 1);
}



=== TEST 8: the server that was asked by name
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|server=$server_name|host=$host';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        server_name first.example;
        access_log logs/first.log icomet;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 ssl;
        server_name second.example;
        access_log logs/second.log icomet;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        keepalive_timeout 0;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
for my $transport ('sub', @STREAMS) {
    for my $name (qw(first second)) {
        my $cname = "tls8-$transport-$name";
        my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), tls => 1, host => "$name.example");
        push_ok($cname, 'x');
        same(message($conn), data($cname, 1, 'x'), "$transport, $name");
        get("/icomet-admin/close?cname=$cname");
        $conn->rest;
        same($conn->closed, '', "$transport: closed, as that server says") if $name eq 'second';
        my $entry = log_entry(qr/channel=$cname\|/, "$name.log");
        same("$entry->{server} $entry->{host}", "$name.example $name.example", "$transport, $name: in the log");
    }
}
