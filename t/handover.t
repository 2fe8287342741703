# Hand-over: at a reload who waits, parked, moves to the new workers, and notices nothing.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our @STREAMS = qw(stream sse iframe);

# What stands in stub_status; it asks on a connection of its own, which it closes.
sub status {
    my %now;
    @now{qw(active reading writing waiting)} = get('/status', port => port(1)) =~ /\AActive connections: (\d+) .*Reading: (\d+) Writing: (\d+) Waiting: (\d+) /s
        or die 'no status';
    return join ' ', map { "$_=$now{$_}" } sort keys %now;
}

# The status once it is as expected; what it is else.
sub status_is {
    my ($expected, $what) = @_;
    my $now;
    eval { until_true(sub { ($now = status()) eq $expected }, $what) };
    same($now, $expected, $what);
}

# A stream ends when its channel is closed, and has had nothing but that.
sub ends_with_close {
    my ($conn, $cname, $seq, $what) = @_;
    get("/icomet-admin/close?cname=$cname");
    same(message($conn), data($cname, $seq, '', 'close'), "$what: close");
    same(message($conn), undef, "$what: nothing more");
    same($conn->end, 'complete', "$what: end");
}

# Begins a reload; the new workers, once there are some. The old ones may be there still.
sub begin_reload {
    my @old = worker_pids();
    kill 'HUP', master_pid();
    my @new;
    until_true(sub { @new = grep { my $pid = $_; !grep { $_ == $pid } @old } worker_pids(); @new >= @old }, 'there are new workers');
    return @new;
}

set_up();
run_tests();

__DATA__

=== TEST 1: all transports, HTTP/1.1 and 1.0, over several reloads: each message once, in order
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %open;
for my $version ('1.1', '1.0') {
    for my $transport ('sub', @STREAMS) {
        my $cname = "handover1-$transport-$version";
        $open{$cname} = subscribe("/icomet/$transport?cname=$cname&seq=1", version => $version);
        carries_on($open{$cname}, $cname, 1, $cname) if $transport ne 'sub';
    }
}
for my $round (1 .. 3) {
    my @old = worker_pids();
    kill 'HUP', master_pid();
    for my $cname (sort keys %open) {
        carries_on($open{$cname}, $cname, $round + 1, "$cname, during reload $round") if $cname !~ /sub/;
    }
    until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
    same(subscribers($_), 1, "$_ is counted once") for sort keys %open;
}
for my $cname (sort keys %open) {
    if ($cname =~ /sub/) {
        carries_on($open{$cname}, $cname, 1, $cname);
        same($open{$cname}->end, 'complete', "$cname: complete");
    }
    else {
        carries_on($open{$cname}, $cname, 5, $cname);
        ends_with_close($open{$cname}, $cname, 6, $cname);
    }
}



=== TEST 2: a long poll is answered by its new worker, and its connection goes on
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %open = (
    http11 => conn()->request('GET', '/icomet/sub?cname=handover2&seq=1'),
    http10 => conn()->request('GET', '/icomet/sub?cname=handover2&seq=1', version => '1.0', headers => ['Connection: keep-alive']),
    jsonp  => conn()->request('GET', '/icomet/poll?cname=handover2&seq=1&cb=icomet_cb_0'),
    closing => conn()->request('GET', '/icomet/sub?cname=handover2&seq=1', close => 1),
);
await_subscribers('handover2', 4);
my $epoch = epoch_of('handover2');
reload();
reload();
push_ok('handover2', 'x');
for my $how (sort keys %open) {
    my $conn = $open{$how};
    my $message = data('handover2', 1, 'x');
    same($conn->rest, $how eq 'jsonp' ? "/**/icomet_cb_0($message);\n" : "$message\n", "$how: message");
    same($conn->header('Content-Type'), $how eq 'jsonp' ? 'text/javascript; charset=utf-8' : 'application/json; charset=utf-8', "$how: Content-Type");
    same($conn->header('ETag'), qq("$epoch-1"), "$how: ETag");
    same($conn->header('Connection'), $how eq 'closing' ? 'close' : 'keep-alive', "$how: Connection");
}
same($open{closing}->closed, '', 'closing: closed');
delete $open{closing};
for my $seq (2 .. 3) {
    $_->request('GET', "/icomet/sub?cname=handover2&seq=$seq", headers => ['Connection: keep-alive']) for values %open;
    await_subscribers('handover2', 3);
    reload() if $seq == 3;
    push_ok('handover2', "x$seq");
    same($_->rest, data('handover2', $seq, "x$seq") . "\n", "the same connection: message $seq") for values %open;
}
same($_->request('GET', '/alive')->rest, "alive\n", 'something else on the same connection') for values %open;



=== TEST 3: many, with counts before and after, and stub_status
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 300; }
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location = /status { stub_status; } }
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my @transports = ('sub', @STREAMS);
my @open = map { conn()->request('GET', "/icomet/$transports[$_ % 4]?cname=handover3&seq=1&n=$_") } 0 .. 299;
await_subscribers('handover3', 300);
status_is('active=301 reading=0 waiting=0 writing=301', 'before');
for my $round (1 .. 3) {
    reload();
    same(subscribers('handover3'), 300, "reload $round: subscribers");
    same(get('/icomet-admin/info') =~ /"subscribers": (\d+)/ ? $1 : '', 300, "reload $round: of the hub");
    status_is('active=301 reading=0 waiting=0 writing=301', "reload $round: stub_status");
}
push_ok('handover3', 'x');
my $bad = grep { message($_) ne data('handover3', 1, 'x') } @open;
same($bad, 0, 'without the message');
await_subscribers('handover3', 225);
status_is('active=301 reading=0 waiting=75 writing=226', 'the long polls were answered');
$_->leave for @open;
await_subscribers('handover3', 0);
status_is('active=1 reading=0 waiting=0 writing=1', 'all have left');



=== TEST 4: a slow reader in the middle of a message gets every byte once
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    }
--- play
my $content = join '', map { sprintf '%07d,', $_ } 1 .. 112_000;
my %open;
for my $version ('1.1', '1.0') {
    for my $transport (@STREAMS) {
        my $cname = "handover4-$transport-$version";
        $open{$cname} = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), version => $version, narrow => 16384);
        $open{$cname}->head;
        push_ok($cname, $content);
    }
}
# Two who are behind on the same message.
my @two = map { subscribe('/icomet/stream?cname=handover4-two&seq=1', port => port(1), narrow => 16384) } 1 .. 2;
push_ok('handover4-two', $content);
reload() for 1 .. 2;
push_ok($_, 'next') for sort(keys %open), 'handover4-two';
for my $cname (sort keys %open) {
    same(message($open{$cname}), data($cname, 1, $content), "$cname: what it was being sent");
    same(message($open{$cname}), data($cname, 2, 'next'), "$cname: the next");
    carries_on($open{$cname}, $cname, 3, $cname);
    ends_with_close($open{$cname}, $cname, 4, $cname);
}
for (@two) {
    same(message($_), data('handover4-two', 1, $content), 'one of two: what it was being sent');
    same(message($_), data('handover4-two', 2, 'next'), 'one of two: the next');
}



=== TEST 5: who leaves during a reload or after it is noticed
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 200; }
    log_format icomet 'uri=$request_uri|status=$status';
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location = /status { stub_status; } }
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my @transports = ('sub', @STREAMS);
my %open = map { my $n = $_; map { ("$_-$n" => conn()->request('GET', "/icomet/$_?cname=handover5&seq=1&n=$_-$n")) } @transports } 1 .. 30;
await_subscribers('handover5', 120);
my @names = sort keys %open;
my @old = worker_pids();
kill 'HUP', master_pid();
# While they move, one after the other; half of them with a reset.
for my $n (0 .. 79) {
    my $conn = delete $open{ $names[$n] };
    $n % 2 ? $conn->reset : $conn->leave;
    get('/alive') unless $n % 10;
}
until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
await_subscribers('handover5', 40);
delete($open{ $names[$_] })->leave for 80 .. 99;
await_subscribers('handover5', 20);
status_is('active=21 reading=0 waiting=0 writing=21', 'stub_status');
push_ok('handover5', 'x');
same(message($open{$_}), data('handover5', 1, 'x'), "$_ has stayed") for sort keys %open;
$_->leave for values %open;
await_subscribers('handover5', 0);
for my $name (@names) { access_log_line(qr/n=$name\|/, 'icomet.log') }
same(scalar(my @lines = log_entries(qr/cname=handover5/, 'icomet.log')), 120, 'a line for each');



=== TEST 6: who leaves while its descriptor is under way
--- http_config
    icomet_hub main { zone 16m; }
    log_format icomet 'uri=$request_uri|status=$status';
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location = /status { stub_status; } }
--- config
    access_log logs/icomet.log icomet;
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { access_log off; icomet_pub main; }
--- play
my %gone = map { ($_ => subscribe("/icomet/$_?cname=handover6&seq=1&n=$_-gone")) } 'sub', @STREAMS;
my %here = map { ($_ => subscribe("/icomet/$_?cname=handover6&seq=1&n=$_-here")) } 'sub', @STREAMS;
my @old = worker_pids();
stopped(\@old, sub {
    my @new = begin_reload();
    # They serve, so they have said hello.
    get('/alive') for 1 .. 4 * @new;
    stopped(\@new, sub {
        kill 'CONT', @old;
        error_log_has(qr/ $_#.*gracefully shutting down/) for @old;
        $_->leave for values %gone;
    });
});
until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
await_subscribers('handover6', 4);
carries_on($here{stream}, 'handover6', 1, 'stream');
same(message($here{$_}), data('handover6', 1, 'm1'), $_) for qw(sub sse iframe);
log_entry(qr/n=$_-gone/, 'icomet.log') for 'sub', @STREAMS;
status_is('active=5 reading=0 waiting=1 writing=4', 'stub_status');



=== TEST 7: psub hears nothing of a channel whose subscriber moves
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my %open = map { ("handover7-$_" => subscribe("/icomet/$_?cname=handover7-$_&seq=1")) } 'sub', @STREAMS;
my ($psub, @old);
@old = worker_pids();
# The old workers' psub ends with them; this one is of a new worker, before anybody moves.
stopped(\@old, sub {
    begin_reload();
    $psub = conn()->request('GET', '/icomet-admin/psub');
    $psub->head;
});
until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
same(subscribers($_), 1, "$_ has moved") for sort keys %open;
push_ok('handover7-marker', 'x');
same($psub->line, "1 handover7-marker\n", 'the first that psub says');
carries_on($open{"handover7-$_"}, "handover7-$_", 1, $_) for 'sub', @STREAMS;



=== TEST 8: limits and tokens are asked about when somebody comes, not when it moves
--- hub: auth token; max_subscribers_per_channel 4;
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my ($token) = get('/icomet-admin/sign?cname=handover8') =~ /"token":"([0-9a-f]{32})"/;
my %open = map { ($_ => subscribe("/icomet/$_?cname=handover8&seq=1&token=$token")) } 'sub', @STREAMS;
reload();
same(subscribers('handover8'), 4, 'all have moved');
same(get("/icomet/stream?cname=handover8&seq=1&token=$token"), data('handover8', 0, 'Too many subscribers', '429') . "\n", 'one more is refused');
rewrite_config(sub { s/max_subscribers_per_channel 4/max_subscribers_per_channel 2/ or die });
reload();
same(subscribers('handover8'), 4, 'all have moved again, though no more than two may come now');
push_ok('handover8', 'x');
same(message($open{$_}), data('handover8', 1, 'x'), $_) for 'sub', @STREAMS;



=== TEST 9: noops go on, with the same counter
--- hub: polling_timeout 1s;
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $poll = subscribe('/icomet/sub?cname=handover9&seq=1&noop=7');
my $stream = subscribe('/icomet/stream?cname=handover9&seq=1&noop=3');
same($stream->line, data('handover9', 3, '', 'noop') . "\n", 'stream: before');
same($poll->rest, data('handover9', 7, '', 'noop') . "\n", 'long poll: before');
$poll->request('GET', '/icomet/sub?cname=handover9&seq=1&noop=8');
await_subscribers('handover9', 2);
my @old = worker_pids();
kill 'HUP', master_pid();
same($stream->line, data('handover9', $_, '', 'noop') . "\n", "stream: $_") for 4 .. 6;
same($poll->rest, data('handover9', 8, '', 'noop') . "\n", 'long poll: after');
same($poll->header('Connection'), 'keep-alive', 'long poll: Connection');
until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
carries_on($stream, 'handover9', 1, 'stream');



=== TEST 10: a request that was sent behind a waiting long poll is answered after it
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $before = subscribe('/icomet/sub?cname=handover10&seq=1');
my $after = subscribe('/icomet/sub?cname=handover10&seq=1');
my $behind = "GET /alive HTTP/1.1\r\nHost: localhost\r\n\r\n";
$before->write($behind);
# A worker has looked at what came before it answers another.
get('/alive') for 1 .. 5;
reload();
$after->write($behind);
same(subscribers('handover10'), 2, 'both have moved');
push_ok('handover10', 'x');
for ([before => $before], [after => $after]) {
    my ($when, $conn) = @$_;
    same($conn->rest, data('handover10', 1, 'x') . "\n", "sent $when: the message");
    same($conn->next_answer('GET')->rest, "alive\n", "sent $when: the other answer");
}
# On a stream nothing is to be sent.
my $stream = subscribe('/icomet/stream?cname=handover10&seq=2');
reload();
$stream->write('x');
same($stream->end, 'cut', 'a stream ends');
await_subscribers('handover10', 0);



=== TEST 11: who takes nothing for send_timeout is closed by its new worker, with all that are behind
--- http_config
    icomet_hub main { zone 64m; }
    log_format icomet 'channel=$icomet_channel|status=$status|bytes=$bytes_sent|transport=$icomet_transport';
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 sndbuf=32k;
        access_log logs/icomet.log icomet;
        send_timeout 60s;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
--- play
my %open;
for my $n (1 .. 12) {
    my $transport = $STREAMS[$n % 3];
    my $cname = "handover11-$n";
    $open{$n} = subscribe("/icomet/$transport?cname=$cname&seq=1", port => port(1), narrow => 16384);
    $open{$n}->head;
    push_ok($cname, chr(96 + $n) x 700_000);
}
# All are behind on a message of their own. Those that read have it whole.
rewrite_config(sub { s/send_timeout 60s/send_timeout 2s/ or die });
reload();
for my $n (1 .. 6) {
    same(message($open{$n}), data("handover11-$n", 1, chr(96 + $n) x 700_000), "$n: the message");
    carries_on($open{$n}, "handover11-$n", 2, $n);
}
for my $n (7 .. 12) {
    await_subscribers("handover11-$n", 0);
    same(log_entry(qr/channel=handover11-$n\|/, 'icomet.log')->{status}, 200, "$n: status");
    same($open{$n}->end, 'cut', "$n: cut");
}



=== TEST 12: over IPv6; header fields of the new configuration
--- http_config
    icomet_hub main { zone 16m; }
    server {
        listen [::1]:$TEST_NGINX_RAND_PORT_1;
        add_header X-Kind old;
        location ~ ^/icomet/ { icomet_park on; icomet_sub main; }
    }
--- play
my %open = map { ($_ => subscribe("/icomet/$_?cname=handover12&seq=1", port => port(1), ipv6 => 1)) } 'sub', @STREAMS;
rewrite_config(sub { s/X-Kind old/X-Kind new/ or die });
reload();
push_ok('handover12', 'x');
same(message($open{$_}), data('handover12', 1, 'x'), $_) for 'sub', @STREAMS;
same($open{sub}->header('X-Kind'), 'new', 'the answer of a long poll');
same($open{stream}->header('X-Kind'), 'old', 'that of a stream began before');
