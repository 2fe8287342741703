# Hand-over to another configuration: what changed applies from then on, and who has no place in it ends politely.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @STREAMS = qw(stream sse iframe);

set_up(tls => 1);
run_tests();

__DATA__

=== TEST 1: who has no place ends politely, the others stay
--- http_config
    icomet_hub main { zone 4m; }
    icomet_hub other { zone 4m; }
    icomet_hub resized { zone 4m; }
    icomet_hub removed { zone 4m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_2;
        ssl_certificate     $TEST_NGINX_CERT_DIR/cert.pem;
        ssl_certificate_key $TEST_NGINX_CERT_DIR/key.pem;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_3;
        server_name here.example;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_3;
        server_name gone.example;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
--- config
    icomet_park on;
    location ~ ^/same/          { icomet_sub main; }
    location ~ ^/gone/          { icomet_sub main; }
    location ~ ^/rehubbed/      { icomet_sub main; }
    location ~ ^/resized/       { icomet_sub resized; }
    location ~ ^/removed/       { icomet_sub removed; }
    location ~ ^/held/          { icomet_sub main; }
    location ~ ^/fixed/         { icomet_sub main; }
    location ~ ^/no_more/       { icomet_sub main; }
    location ~ ^/turned/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
    location ~ ^/resized-admin/ { icomet_pub resized; }
    location ~ ^/removed-admin/ { icomet_pub removed; }
--- play
my %how = (
    (map { ($_ => []) } qw(same gone rehubbed held fixed no_more turned)),
    resized => [admin => '/resized-admin'], removed => [admin => '/removed-admin'],
    address => [front => 'icomet', port => port(1)], ssl => [front => 'icomet', port => port(2)],
    here => [front => 'icomet', port => port(3), host => 'here.example'], name => [front => 'icomet', port => port(3), host => 'gone.example'],
);
my %open;
for my $how (sort keys %how) {
    my %o = @{ $how{$how} };
    my $front = delete $o{front} // $how;
    $open{$how}{$_} = subscribe("/$front/$_?cname=config1-$how-$_&seq=1&noop=2", %o) for 'sub', @STREAMS;
}
rewrite_config(sub {
    s{\^/gone/}{^/renamed/} or die;
    s/(\^\/rehubbed\/ +\{ icomet_sub) main/$1 other/ or die;
    s/icomet_hub resized \{ zone 4m/icomet_hub resized { zone 5m/ or die;
    s/icomet_hub removed .*//;
    s/removed;/other;/g;
    s/(\^\/held\/ +\{)/$1 icomet_park off;/ or die;
    s/(\^\/fixed\/ +\{ icomet_sub main)/$1 sse/ or die;
    s/(\^\/no_more\/ +\{) icomet_sub main/$1 return 200/ or die;
    s/(\^\/turned\/ +\{) icomet_sub/$1 icomet_pub/ or die;
    my ($gone, $ssl) = (port(1), port(2));
    s/listen 127\.0\.0\.1:$gone;/listen unix:$ENV{TEST_NGINX_CERT_DIR}\/elsewhere.sock;/ or die;
    s/listen 127\.0\.0\.1:$ssl;/listen 127.0.0.1:$ssl ssl;/ or die;
    s/server_name gone\.example/server_name new.example/ or die;
});
reload();
my %stays = map { $_ => 1 } 'fixed sse', map { ("same $_", "here $_") } 'sub', @STREAMS;
for my $how (sort keys %how) {
    for my $transport ('sub', @STREAMS) {
        my $cname = "config1-$how-$transport";
        if ($stays{"$how $transport"}) { carries_on($open{$how}{$transport}, $cname, 1, "$how, $transport") }
        else                           { ends_politely($open{$how}{$transport}, $transport, $cname, "$how, $transport", 2) }
    }
}
# Nobody is counted who is gone: what is left are the streams that stay.
same(get('/icomet-admin/info') =~ /"subscribers": (\d+)/ ? $1 : '', 7, 'subscribers');
--- error_log eval
qr/\[warn\] .*zone of hub "resized" changed from 4194304 to 5242880 bytes/



=== TEST 2: who has ended finds the channel as it was
--- config
    icomet_park on;
    location ~ ^/gone/          { icomet_sub main; }
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %open = map { ($_ => subscribe("/gone/$_?cname=config2-$_&seq=1")) } 'sub', @STREAMS;
rewrite_config(sub { s/gone/renamed/ or die });
kill 'HUP', master_pid();
# Published while it ends.
push_ok("config2-$_", 'x') for 'sub', @STREAMS;
for my $transport ('sub', @STREAMS) {
    my $cname = "config2-$transport";
    my $rest = $open{$transport}->rest;
    my $got = $rest =~ /"seq":1,"content":"x"/;
    same($open{$transport}->end, 'complete', "$transport: complete");
    push_ok($cname, 'y');
    my $again = conn()->request('GET', "/icomet/$transport?cname=$cname&seq=" . ($got ? 2 : 1));
    my @wanted = ($got ? () : data($cname, 1, 'x'), data($cname, 2, 'y'));
    my $all = join ',', @wanted;
    $all = "[$all]" if $transport eq 'sub';
    my $seen = $transport eq 'sub' ? $again->rest : join ',', map { message($again) } @wanted;
    $seen =~ s/\n\z//;
    same($seen, $all, "$transport: what follows");
}



=== TEST 3: a shorter polling_timeout
--- hub: polling_timeout 3000s;
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %open = map { ($_ => subscribe("/icomet/$_?cname=config3&seq=1&noop=5")) } 'sub', @STREAMS;
rewrite_config(sub { s/polling_timeout 3000s/polling_timeout 1s/ or die });
reload();
my $noop = data('config3', 5, '', 'noop');
same(message($open{$_}), $noop, "$_: a noop is due sooner") for 'sub', @STREAMS;
same(message($open{$_}), data('config3', 6, '', 'noop'), "$_: and the next") for @STREAMS;


=== TEST 4: more workers, and fewer
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 100; }
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my @transports = ('sub', @STREAMS);
my @open = map { conn()->request('GET', "/icomet/$transports[$_ % 4]?cname=config4&seq=1") } 0 .. 79;
await_subscribers('config4', 80);
my ($before) = rewrite_config(sub { s/worker_processes +\d+/worker_processes 3/ or die }) =~ /worker_processes +(\d+)/;
reload();
same(subscribers('config4'), 80, 'more');
rewrite_config(sub { s/worker_processes +\d+/worker_processes 1/ or die });
reload();
same(subscribers('config4'), 80, 'one');
rewrite_config(sub { s/worker_processes +\d+/worker_processes $before/ or die });
reload();
push_ok('config4', 'x');
same(scalar(grep { message($_) ne data('config4', 1, 'x') } @open), 0, 'without the message');



=== TEST 5: a new worker has fewer connections: who finds no room ends politely
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 1000; }
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my @transports = ('sub', @STREAMS);
my $count = 600;
my @open = map { conn()->request('GET', "/icomet/$transports[$_ % 4]?cname=config5&seq=1") } 0 .. $count - 1;
await_subscribers('config5', $count);
rewrite_config(sub { s/worker_connections +\d+/worker_connections 128/ or die; s/worker_processes +\d+/worker_processes 1/ or die });
reload();
my $stayed = subscribers('config5');
same($stayed > 64 && $stayed < 128 ? 'most of the room' : $stayed, 'most of the room', 'who found a place');
push_ok('config5', 'x');
my ($heard, $ended, $wrong) = (0, 0, 0);
for my $n (0 .. $count - 1) {
    my $conn = $open[$n];
    my $message = message($conn) // '';
    if    ($message eq data('config5', 1, 'x')) { $heard++ }
    elsif (($message eq '' || $message =~ /noop/) && $conn->end eq 'complete' && $conn->closed eq '') { $ended++ }
    else  { $wrong++ }
}
same("$heard $ended $wrong", join(' ', $stayed, $count - $stayed, 0), 'heard it, had ended');



=== TEST 6: reloads on each other's heels, each with another configuration
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 100; }
    log_format icomet 'uri=$request_uri|status=$status|generation=0';
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
    location = /pid             { access_log off; return 200 "$pid\n"; }
--- play
my @transports = ('sub', @STREAMS);
my @open = map { conn()->request('GET', "/icomet/$transports[$_ % 4]?cname=config6&seq=1&n=$_") } 0 .. 79;
await_subscribers('config6', 80);
my %seen = map { $_ => 1 } worker_pids();
for my $generation (1 .. 5) {
    rewrite_config(sub { s/generation=\d/generation=$generation/ or die });
    kill 'HUP', master_pid();
    # The next one comes as soon as a new worker serves; nobody may have moved by then.
    my $pid;
    until_true(sub { ($pid) = get('/pid') =~ /(\d+)/; !$seen{$pid} }, 'a new worker');
    $seen{$_} = 1 for worker_pids(), $pid;
}
reload();
same(subscribers('config6'), 80, 'subscribers');
push_ok('config6', 'x');
same(scalar(grep { message($_) ne data('config6', 1, 'x') } @open), 0, 'without the message');
$_->leave for @open;
await_subscribers('config6', 0);
access_log_line(qr/n=$_\|/, 'icomet.log') for 0 .. 79;
my @entries = log_entries(qr/cname=config6/, 'icomet.log');
same(scalar(@entries), 80, 'a line for each');
same(scalar(grep { $_->{generation} != 5 } @entries), 0, 'of another configuration than the last');



=== TEST 7: a channel that is closed and made anew while its subscribers are under way
--- http_config
    icomet_hub main { zone 16m; }
    server {
        # Not one of those whose connections the kernel deals out.
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
        location ~ ^/icomet-admin/  { icomet_pub main; }
        location = /icomet-admin/pid { return 200 "$pid\n"; }
    }
--- play
my $ask = sub { get("/icomet-admin/$_[0]", port => port(1)) };
my @transports = ('sub', @STREAMS);
$ask->("push?cname=config7&content=m$_") for 1 .. 3;
my @open = map { subscribe("/icomet/$transports[$_ % 4]?cname=config7&seq=4", port => port(1)) } 0 .. 15;
my @old = worker_pids();
rewrite_config(sub { s/worker_processes +\d+/worker_processes 2/ or die });
my @new;
stopped(\@old, sub {
    kill 'HUP', master_pid();
    # Those that answer have said hello to the old one.
    my %new;
    until_true(sub { $new{$1} = 1 if $ask->('pid') =~ /(\d+)/; keys %new == 2 }, 'two new workers');
    @new = keys %new;
    stopped([$new[0]], sub {
        kill 'CONT', @old;
        error_log_has(qr/ $_#.*gracefully shutting down/) for @old;
        # Half of them are under way to the one that stands still.
        $ask->('pid') for 1 .. 5;
        $ask->('close?cname=config7');
        $ask->('push?cname=config7&content=another');
    });
});
my $wrong = grep { message($_) ne data('config7', 4, '', 'close') || $_->end ne 'complete' } @open;
same($wrong, 0, 'without the close');
until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
same(subscribers('config7'), 0, 'subscribers of the new channel');
