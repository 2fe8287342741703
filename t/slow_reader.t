# Readers that fall behind: over TLS, over HTTP/1.0, and those that take nothing for send_timeout.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @STREAMS = qw(stream sse iframe);

# Reads on after messages 1 .. $last were published: each is either there or told to be lost, in order.
sub catches_up {
    my ($conn, $cname, $last, $content, $what) = @_;
    my ($next, $lost) = (1, 0);
    while ($next <= $last) {
        my $line = $conn->line;
        last if $line eq '';
        my ($json) = $line =~ /(\{"type".*\})/ or next;
        if ($json =~ /\A\{"type":"lost","cname":"\Q$cname\E","seq":(\d+),"content":"(\d+)"\}\z/) {
            same($1, $next + $2, "$what: lost says how many") or return;
            $lost += $2;
            $next = $1;
        }
        elsif ($json eq data($cname, $next, $content)) { $next++ }
        else { return same(substr($json, 0, 200), "message $next", "$what: the next message") }
    }
    same($next, $last + 1, "$what: up to the last message");
    same($lost > 0 ? 'lost' : 'nothing lost', 'lost', "$what: it was behind");
    return;
}

set_up(tls => 1);
run_tests();

__DATA__

=== TEST 1: who reads on gets everything that is still buffered, or is told lost
--- http_config
    icomet_hub main { zone 16m; channel_buffer_size 5; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl sndbuf=32k;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
# Many times what the sockets hold.
my $content = 'x' x 60_000;
for my $where ([plain => port(1), 0, '1.1'], [tls => port(2), 1, '1.1'], ['http10' => port(1), 0, '1.0'], ['tls-http10' => port(2), 1, '1.0']) {
    my ($name, $port, $tls, $version) = @$where;
    my $cname = "slow1-$name";
    my %open = map { $_ => subscribe("/icomet/$_?cname=$cname&seq=1", port => $port, tls => $tls, version => $version, narrow => 16384) } @STREAMS;
    $_->head for values %open;
    push_ok($cname, $content) for 1 .. 40;
    catches_up($open{$_}, $cname, 40, $content, "$name, $_") for @STREAMS;
    # And then live again.
    push_ok($cname, 'live');
    for my $transport (@STREAMS) {
        my $line;
        1 until ($line = $open{$transport}->line) =~ /"type"/ or $line eq '';
        matches($line, qr/\Q${\data($cname, 41, 'live')}\E/, "$name, $transport: live");
    }
    get("/icomet-admin/close?cname=$cname");
    matches($open{$_}->rest, qr/\Q${\data($cname, 42, '', 'close')}\E/, "$name, $_: close") for @STREAMS;
    same($open{$_}->end, 'complete', "$name, $_: end") for @STREAMS;
}



=== TEST 2: a slow reader of a long poll that waited
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl sndbuf=32k;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
my $content = 'x' x 1_000_000;
for my $tls (0, 1) {
    my $cname = "slow2-$tls";
    my $conn = conn(port(1 + $tls), tls => $tls, narrow => 16384);
    for my $seq (1 .. 3) {
        $conn->request('GET', "/icomet/sub?cname=$cname&seq=$seq");
        await_subscribers($cname, 1);
        push_ok($cname, $content);
        # It has its answer, and is no subscriber any more, though it has not read it yet.
        await_subscribers($cname, 0);
        same($conn->rest, data($cname, $seq, $content) . "\n", "tls $tls: answer $seq");
    }
}



=== TEST 3: a close, while a reader is behind: it gets what it was being sent, then the end
--- http_config
    icomet_hub main { zone 16m; channel_buffer_size 5; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
my $content = 'x' x 60_000;
for my $transport (@STREAMS) {
    my $cname = "slow3-$transport";
    my $conn = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), narrow => 16384);
    $conn->head;
    push_ok($cname, $content) for 1 .. 20;
    get("/icomet-admin/close?cname=$cname");
    my $text = $conn->rest;
    same($conn->end, 'complete', "$transport: end");
    same(length(($text =~ /"seq":1,"content":"(x+)"/)[0] // ''), 60_000, "$transport: the first message is whole");
    matches($text, qr/\Q${\data($cname, 21, '', 'close')}\E\S*\s*\z/, "$transport: close comes last");
}



=== TEST 4: who takes nothing for send_timeout is closed, counted off, and logged once
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|status=$status|transport=$icomet_transport|agent=$http_user_agent';
    send_timeout 1s;
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl sndbuf=32k;
        access_log logs/icomet.log icomet;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
my $content = 'x' x 60_000;
my %open;
for my $tls (0, 1) {
    for my $transport (@STREAMS) {
        my $cname = "slow4-$tls-$transport";
        $open{$cname} = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1 + $tls), tls => $tls, narrow => 16384, headers => ['User-Agent: stuck']);
        # Beside it, one that reads.
        $open{"$cname-reads"} = subscribe("/icomet/stream?cname=$cname&seq=1");
    }
}
for my $tls (0, 1) {
    for my $transport (@STREAMS) {
        my $cname = "slow4-$tls-$transport";
        for my $seq (1 .. 20) {
            push_ok($cname, $content);
            same($open{"$cname-reads"}->line, data($cname, $seq, $content) . "\n", "$cname: the one that reads: $seq");
        }
    }
}
for my $tls (0, 1) {
    for my $transport (@STREAMS) {
        my $cname = "slow4-$tls-$transport";
        await_subscribers($cname, 1);
        my $entry = log_entry(qr/channel=$cname\|/, 'icomet.log');
        same("$entry->{transport} $entry->{agent}", "$transport stuck", "$cname: in the log");
            # Closed, after what the sockets held.
        same($open{$cname}->end, 'cut', "$cname: closed");
        push_ok($cname, 'on');
        same($open{"$cname-reads"}->line, data($cname, 21, 'on') . "\n", "$cname: the one that reads stays");
        same(scalar(my @lines = log_entries(qr/channel=$cname\|/, 'icomet.log')), 1, "$cname: one line");
    }
}



=== TEST 5: a long poll's answer that is not taken
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|status=$status|completion=$request_completion';
    send_timeout 1s;
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl sndbuf=32k;
        access_log logs/icomet.log icomet;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
my %open = map { $_ => subscribe("/icomet/sub?cname=slow5-$_&seq=1", port => port(1 + $_), tls => $_, narrow => 16384) } 0, 1;
push_ok("slow5-$_", 'x' x 1_000_000) for 0, 1;
for my $tls (0, 1) {
    await_subscribers("slow5-$tls", 0);
    log_entry(qr/channel=slow5-$tls\|/, 'icomet.log');
    same($open{$tls}->head, 200, "tls $tls: status");
    same($open{$tls}->end, 'cut', "tls $tls: closed");
    same(get("/icomet/sub?cname=slow5-$tls&seq=1"), '[' . data("slow5-$tls", 1, 'x' x 1_000_000) . "]\n", "tls $tls: the message can be had again");
}
