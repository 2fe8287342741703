# Subscribers that wait while their worker exits and cannot move to a new one, because they are held or use TLS, or because the new
# configuration has no place for them: each is ended as its transport and protocol ask for, and logged.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @STREAMS = qw(stream sse iframe);

set_up(tls => 1);
run_tests();

__DATA__

=== TEST 1: HTTP/1.1 and 1.0: held, over TLS, and without a place
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|request=$request|status=$status|length=$request_length|bytes=$bytes_sent'
                      '|completion=$request_completion|agent=$http_user_agent|transport=$icomet_transport|seq=$icomet_seq';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        access_log logs/icomet.log icomet;
        location ~ ^/icomet/        { icomet_park off; icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl;
        access_log logs/icomet.log icomet;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_3;
        access_log logs/icomet.log icomet;
        location ~ ^/(icomet|gone)/ { icomet_park on; icomet_sub main; }
    }
--- play
my %how = (
    held => [port => port(1)], tls => [port => port(2), tls => 1], gone => [port => port(3)],
    held10 => [port => port(1), version => '1.0', headers => ['Connection: keep-alive', 'User-Agent: waiter']],
    tls10 => [port => port(2), tls => 1, version => '1.0'], gone10 => [port => port(3), version => '1.0'],
);
my %open;
for my $how (sort keys %how) {
    for my $transport ('sub', @STREAMS) {
        my $cname = "waiting1-$how-$transport";
        $open{$cname} = subscribe("/icomet/$transport?cname=$cname&seq=1&noop=8", headers => ['User-Agent: waiter'], @{ $how{$how} });
        if ($transport ne 'sub') {
            push_ok($cname, 'x');
            my $line;
            1 until ($line = $open{$cname}->line) =~ /"type"/ or $line eq '';
        }
    }
}
# And one whose connection has had polls before.
my $used = conn(port(1));
$used->request('GET', '/icomet/sub?cname=waiting1-used&seq=0')->rest for 1 .. 3;
$used->request('GET', '/icomet/sub?cname=waiting1-used&seq=1&noop=3');
await_subscribers('waiting1-used', 1);
rewrite_config(sub { s/\(icomet\|gone\)/(other)/ or die });
reload();
for my $how (sort keys %how) {
    for my $transport ('sub', @STREAMS) {
        my $cname = "waiting1-$how-$transport";
        my $conn = $open{$cname};
        my $what = "$how, $transport";
        ends_politely($conn, $transport, $cname, $what, 8);
        my $entry = log_entry(qr/channel=$cname\|/, 'icomet.log');
        my %expected = (
            request => "GET /icomet/$transport?cname=$cname&seq=1&noop=8 HTTP/" . ($how =~ /10/ ? '1.0' : '1.1'),
            status => 200, length => $conn->{sent}, bytes => $conn->{received}, completion => 'OK', agent => 'waiter',
            transport => $transport, seq => $transport eq 'sub' ? 1 : 2,
        );
        same($entry->{$_}, $expected{$_}, "$what: $_ in the log") for sort keys %expected;
        same(subscribers($cname), 0, "$what: gone");
    }
}
same($used->rest, data('waiting1-used', 3, '', 'noop') . "\n", 'a connection that had polls before: noop');
same($used->header('Connection'), 'close', 'a connection that had polls before: Connection');
same($used->closed, '', 'a connection that had polls before: closed');



=== TEST 2: who is behind has what it was being sent, then the end
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|status=$status|bytes=$bytes_sent|completion=$request_completion';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        access_log logs/icomet.log icomet;
        location ~ ^/icomet/        { icomet_park off; icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2 ssl sndbuf=32k;
        access_log logs/icomet.log icomet;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_3 sndbuf=32k;
        access_log logs/icomet.log icomet;
        location ~ ^/(icomet|gone)/ { icomet_park on; icomet_sub main; }
    }
--- play
my $content = 'x' x 900_000;
my %open;
my %how = (held => [port => port(1)], tls => [port => port(2), tls => 1], gone => [port => port(3)]);
for my $how (sort keys %how) {
    for my $transport ('sub', @STREAMS) {
        my $cname = "waiting2-$how-$transport";
        $open{$cname} = subscribe("/icomet/$transport?cname=$cname&seq=1", narrow => 16384, @{ $how{$how} });
        $open{$cname}->head if $transport ne 'sub';
        push_ok($cname, $content);
    }
}
rewrite_config(sub { s/\(icomet\|gone\)/(other)/ or die });
my @old = worker_pids();
kill 'HUP', master_pid();
until_true(sub { grep { my $pid = $_; !grep { $_ == $pid } @old } worker_pids() }, 'there are new workers');
for my $cname (sort keys %open) {
    my $text = $open{$cname}->rest;
    same(length(($text =~ /"seq":1,"content":"(x+)"\}/)[0] // ''), 900_000, "$cname: what it was being sent");
    matches(substr($text, -20), qr/\nretry: \d+\n\z/, "$cname: retry") if $cname =~ /sse/;
    same($open{$cname}->end, 'complete', "$cname: end");
    same($open{$cname}->closed, '', "$cname: closed");
}
until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
for my $cname (sort keys %open) {
    my $entry = log_entry(qr/channel=$cname\|/, 'icomet.log');
    same("$entry->{status} $entry->{bytes} $entry->{completion}", "200 $open{$cname}->{received} OK", "$cname: in the log");
}



=== TEST 3: worker_shutdown_timeout ends who takes nothing
--- main_config
    worker_shutdown_timeout 3s;
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|status=$status|transport=$icomet_transport';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        access_log logs/icomet.log icomet;
        location ~ ^/icomet/        { icomet_park off; icomet_sub main; }
    }
--- play
my %open;
for my $transport (@STREAMS) {
    my $cname = "waiting3-$transport";
    $open{$transport} = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), narrow => 16384);
    $open{$transport}->head;
    push_ok($cname, 'x' x 900_000);
}
reload();
for my $transport (@STREAMS) {
    same($open{$transport}->end, 'cut', "$transport: cut");
    same(log_entry(qr/channel=waiting3-$transport\|/, 'icomet.log')->{transport}, $transport, "$transport: in the log");
    same(subscribers("waiting3-$transport"), 0, "$transport: gone");
}



=== TEST 4: many of all transports, held and without a place
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 1000; }
    log_format icomet 'uri=$request_uri|status=$status|completion=$request_completion';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        access_log logs/icomet.log icomet;
        location ~ ^/icomet/        { icomet_park off; icomet_sub main; }
        location ~ ^/gone/          { icomet_park on; icomet_sub main; }
    }
--- play
my %open;
for my $n (1 .. 75) {
    my $where = $n % 3 ? 'gone' : 'icomet';
    $open{"$_-$n"} = conn(port(1))->request('GET', "/$where/$_?cname=waiting4&seq=1&n=$_-$n") for 'sub', @STREAMS;
}
await_subscribers('waiting4', 300);
rewrite_config(sub { s/gone/other/ or die });
reload();
my $bad = 0;
for my $name (sort keys %open) {
    my $conn = $open{$name};
    my $rest = $conn->rest;
    my $right = $name =~ /sub/ ? $rest eq data('waiting4', 0, '', 'noop') . "\n" : $name =~ /sse/ ? $rest =~ /\Aretry: \d+\n\z/ : $rest !~ /"type"/;
    $bad++ unless $right && $conn->end eq 'complete' && $conn->closed eq '';
}
same($bad, 0, 'that were not ended as they should');
my @entries = log_entries(qr/cname=waiting4&/, 'icomet.log');
same(scalar @entries, 300, 'lines in the log');
my %uris = map { $_->{uri} => 1 } grep { $_->{status} == 200 && $_->{completion} eq 'OK' } @entries;
same(scalar keys %uris, 300, 'one for each, all complete');
same(subscribers('waiting4'), 0, 'nobody is left');



=== TEST 5: a log that is rotated while they wait: their lines stand in the new one
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'channel=$icomet_channel|status=$status';
--- config
    access_log logs/rotated.log icomet;
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my %open = map { $_ => subscribe("/icomet/$_?cname=waiting5-$_&seq=1") } 'sub', @STREAMS;
my $log = Test::Nginx::Util::server_root() . '/logs/rotated.log';
rename $log, "$log.old" or die "cannot rename: $!";
kill 'USR1', master_pid();
until_true(sub { -e $log && !grep { /\Q$log.old\E\z/ } map { readlink // '' } map { glob "/proc/$_/fd/*" } worker_pids() }, 'every worker has the new log open');
push_ok("waiting5-$_", 'x') for 'sub', @STREAMS;
$open{sub}->rest;
for my $transport (@STREAMS) {
    my $line;
    1 until ($line = $open{$transport}->line) =~ /"type"/ or $line eq '';
    $open{$transport}->leave;
}
same(log_entry(qr/waiting5-$_\|/, 'rotated.log')->{status}, 200, $_) for 'sub', @STREAMS;
same(scalar(my @old = log_entries(qr/waiting5/, 'rotated.log.old')), 0, 'lines in the old one');
