# Many connections that serve one subscription after another, of any transport, and end in any way: everybody hears
# everything, each subscription is logged once, and afterwards nothing is left.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @TRANSPORTS = qw(sub stream sse iframe);

# Rounds in which all subscribe, hear two messages (long polls: one), and end; who left comes back on a new connection.
sub churn {
    my ($count, $rounds, @where) = @_;
    # What fails names its seed.
    my $seed = $ENV{ICOMET_TEST_SEED} || int rand 2**31;
    srand $seed;
    my $pick = sub { $_[rand @_] };
    my (@conns, @wrong);
    for my $round (1 .. $rounds) {
        my $cname = "churn-$seed-$round";
        my @ended;
        my @transports = map { $pick->(@TRANSPORTS) } 1 .. $count;
        for my $n (0 .. $count - 1) {
            $conns[$n] ||= conn(@{ $pick->(@where) });
            $conns[$n]->request('GET', "/icomet/$transports[$n]?cname=$cname&seq=1&n=$n");
        }
        await_subscribers($cname, $count);
        push_ok($cname, 'a' x (1 + int rand 3000));
        push_ok($cname, 'b');
        for my $n (0 .. $count - 1) {
            my $what = "seed $seed, round $round, $n, $transports[$n]";
            for my $seq ($transports[$n] eq 'sub' ? 1 : (1, 2)) {
                my $got = message($conns[$n]) // 'nothing';
                push @wrong, "$what: $got" if $got !~ /"seq":$seq,/;
            }
            $conns[$n]->rest if $transports[$n] eq 'sub';
            # Some stay until the channel is closed.
            my $end = $pick->(qw(stay stay stay leave reset half_close));
            next if $end eq 'stay';
            $conns[$n]->$end;
            # One that is half closed still reads, until the round is over.
            push @ended, $conns[$n];
            $conns[$n] = undef;
        }
        my $stay = grep { $conns[$_] && $transports[$_] ne 'sub' } 0 .. $count - 1;
        await_subscribers($cname, $stay);
        get("/icomet-admin/close?cname=$cname");
        for my $n (grep { $conns[$_] && $transports[$_] ne 'sub' } 0 .. $count - 1) {
            my $rest = $conns[$n]->rest;
            push @wrong, "seed $seed, round $round, $n, $transports[$n]: the end is $rest" if $rest !~ /"type":"close","cname":"\Q$cname\E","seq":3,/ || $conns[$n]->end ne 'complete';
        }
        same(subscribers($cname), 0, "seed $seed, round $round: nobody is left");
    }
    same(join("\n", @wrong[0 .. ($#wrong > 4 ? 4 : $#wrong)]), '', 'what went wrong');
    $_->leave for grep { $_ } @conns;
    # Not one connection is left, and none is counted twice. Then all of them are logged.
    my $status = conn(port(2));
    until_true(sub {
        $status->request('GET', '/status')->rest =~ /\AActive connections: 1 .*Reading: 0 Writing: 1 Waiting: 0 /s;
    }, 'nobody but stub_status is connected');
    my @entries = log_entries(qr/cname=churn-$seed-/, 'icomet.log');
    same(scalar @entries, $count * $rounds, 'lines in the log');
    my %uris = map { $_->{uri} => 1 } @entries;
    same(scalar keys %uris, $count * $rounds, 'one for each subscription');
    my @odd = grep { $_->{status} != 200 || $_->{bytes} == 0 || $_->{length} == 0 } @entries;
    same(scalar @odd, 0, 'with another status, or no bytes');
    return;
}

set_up(tls => 1);
run_tests();

__DATA__

=== TEST 1: plain connections
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 1000; }
    log_format icomet 'uri=$request_uri|status=$status|bytes=$bytes_sent|length=$request_length';
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2; location = /status { stub_status; } }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        access_log logs/icomet.log icomet;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
churn(60, 8, [port(1)]);



=== TEST 2: plain and TLS
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 1000; }
    log_format icomet 'uri=$request_uri|status=$status|bytes=$bytes_sent|length=$request_length';
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2; location = /status { stub_status; } }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_3 ssl;
        access_log logs/icomet.log icomet;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
churn(40, 6, [port(1)], [port(3), tls => 1], [port(3), tls => 'TLSv1_2']);



=== TEST 3: connections that end after some requests
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 1000; }
    log_format icomet 'uri=$request_uri|status=$status|requests=$connection_requests';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        keepalive_requests 4;
        access_log logs/icomet.log icomet;
        location ~ ^/icomet/        { icomet_sub main; }
    }
--- play
my @conns;
for my $round (1 .. 12) {
    my $cname = "churn3-$round";
    my @transports = map { $TRANSPORTS[($_ + $round) % 4] } 0 .. 19;
    for my $n (0 .. 19) {
        $conns[$n] ||= conn(port(1));
        $conns[$n]->request('GET', "/icomet/$transports[$n]?cname=$cname&seq=1&n=$n");
    }
    await_subscribers($cname, 20);
    push_ok($cname, 'x');
    my $right = grep { message($conns[$_]) eq data($cname, 1, 'x') } 0 .. 19;
    same($right, 20, "round $round: who heard the message");
    get("/icomet-admin/close?cname=$cname");
    for my $n (0 .. 19) {
        $conns[$n]->rest;
        if ($round % 4 == 0) {
            same($conns[$n]->closed, '', "round $round, $n: closed after the fourth");
            $conns[$n] = undef;
        }
    }
}
my @entries;
until_true(sub { (@entries = log_entries(qr/cname=churn3-/, 'icomet.log')) >= 240 }, 'all are logged');
same(scalar @entries, 240, 'lines in the log');
for my $requests (1 .. 4) {
    same(scalar(grep { $_->{requests} == $requests } @entries), 60, "lines of a connection's request $requests");
}
