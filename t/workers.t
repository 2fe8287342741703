# Four workers: subscribers and publishers on different ones.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up(workers => 4);
run_tests();

__DATA__

=== TEST 1: a message reaches the subscribers of every worker, whichever worker takes it
--- http_config
    icomet_hub workers1 { zone 16m; max_subscribers_per_channel 1000; }
    add_header X-Worker $pid always;
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 reuseport;
        location ~ ^/icomet/        { icomet_sub workers1; }
        location ~ ^/icomet-admin/  { icomet_pub workers1; }
    }
--- config
    location ~ ^/icomet/        { icomet_sub workers1; }
    location ~ ^/icomet-admin/  { icomet_pub workers1; }
--- play
my $port = $Test::Nginx::Util::RandPorts->{TEST_NGINX_RAND_PORT_1};
# The kernel spreads connections over the workers by a hash; open some until each worker has one.
my $on_each = sub {
    my ($open) = @_;
    my %on;
    my $tries = 0;
    until (keys %on == 4) {
        die "only workers @{[keys %on]} took connections" if $tries++ > 400;
        my $conn = $open->();
        $on{ $conn->header('X-Worker') } ||= $conn;
    }
    return \%on;
};
my (%stream, %sse, %publisher);
%stream = %{ $on_each->(sub { conn($port)->request('GET', '/icomet/stream?cname=c&seq=1') }) };
%sse = %{ $on_each->(sub { conn($port)->request('GET', '/icomet/sse?cname=c&seq=1') }) };
%publisher = %{ $on_each->(sub { my $c = conn($port)->request('GET', '/icomet/ping'); $c->rest; $c }) };
same(join(' ', sort keys %stream), join(' ', sort keys %publisher), 'the same four workers');
my $seq = 0;
for my $round (1 .. 5) {
    for my $worker (sort keys %publisher) {
        $seq++;
        $publisher{$worker}->request('POST', '/icomet-admin/push', body => "cname=c&content=m$seq");
        same($publisher{$worker}->rest, qq({"type":"ok"}\n), "push $seq");
        my $message = data('c', $seq, "m$seq");
        same($stream{$_}->line, "$message\n", "stream on worker $_") for sort keys %stream;
        matches($sse{$_}->event, qr/\ndata: \Q$message\E\n\n\z/, "sse on worker $_") for sort keys %sse;
    }
}
# Every worker counts every other's subscribers, and can close their channel.
my @counts = map { $_->request('GET', '/icomet-admin/info?cname=c'); $_->rest } values %publisher;
same($counts[$_], $counts[0], 'info is the same everywhere') for 1 .. 3;
my ($closer) = values %publisher;
$closer->request('GET', '/icomet-admin/close?cname=c');
same($closer->rest, 'ok ' . ($seq + 1) . "\n", 'close');
for (sort keys %stream) {
    same($stream{$_}->line, data('c', $seq + 1, '', 'close') . "\n", "close on worker $_");
    same($stream{$_}->end, 'complete', "end on worker $_");
}



=== TEST 2: long polls on every worker, answered by one push
--- http_config
    icomet_hub workers2 { zone 16m; max_subscribers_per_channel 1000; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 reuseport;
        add_header X-Worker $pid always;
        location ~ ^/icomet/        { icomet_sub workers2; }
        location ~ ^/icomet-admin/  { icomet_pub workers2; }
    }
--- config
    location ~ ^/icomet-admin/  { icomet_pub workers2; }
--- play
my $port = $Test::Nginx::Util::RandPorts->{TEST_NGINX_RAND_PORT_1};
my %workers;
my $seq = 1;
until (keys %workers == 4 or $seq > 20) {
    my @polls = map { conn($port)->request('GET', "/icomet/sub?cname=c&seq=$seq") } 1 .. 30;
    await_subscribers('c', 30);
    push_ok('c', "m$seq");
    my $wrong = grep { $_->rest ne data('c', $seq, "m$seq") . "\n" } @polls;
    same($wrong, 0, 'polls that got something else');
    $workers{ $_->header('X-Worker') }++ for @polls;
    $seq++;
}
same(scalar keys %workers, 4, 'workers that answered');



=== TEST 3: many publishers on all workers at once: one order for everybody
--- http_config
    icomet_hub workers3 { zone 16m; max_subscribers_per_channel 1000; channel_buffer_size 1000; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 reuseport;
        location ~ ^/icomet/        { icomet_sub workers3; }
        location ~ ^/icomet-admin/  { icomet_pub workers3; }
    }
--- config
    location ~ ^/icomet-admin/  { icomet_pub workers3; }
--- play
my $port = $Test::Nginx::Util::RandPorts->{TEST_NGINX_RAND_PORT_1};
my @streams = map { conn($port)->request('GET', '/icomet/stream?cname=c&seq=1') } 1 .. 20;
await_subscribers('c', 20);
my @publishers = map { conn($port) } 1 .. 16;
for my $round (1 .. 25) {
    $publishers[$_]->request('POST', '/icomet-admin/push', body => "cname=c&content=p$_.$round") for 0 .. 15;
    $_->rest eq qq({"type":"ok"}\n) or same('refused', 'ok', 'push') for @publishers;
}
my @first = map { $streams[0]->line } 1 .. 400;
my ($wrong, %next) = (0);
for my $i (0 .. 399) {
    my ($publisher, $round) = $first[$i] =~ /\A\{"type":"data","cname":"c","seq":@{[$i + 1]},"content":"p(\d+)\.(\d+)"\}\n\z/ or $wrong++;
    $wrong++ unless $round == ++$next{$publisher};
}
same($wrong, 0, 'seqs without a gap, each publisher in its order');
for my $stream (@streams[1 .. 19]) {
    same(join('', map { $stream->line } 1 .. 400) eq join('', @first) ? 'the same' : 'another', 'the same', 'order');
}



=== TEST 4: psub on every worker hears what happens on any
--- http_config
    icomet_hub workers4 { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 reuseport;
        add_header X-Worker $pid always;
        location ~ ^/icomet-admin/  { icomet_pub workers4; }
    }
--- config
    location ~ ^/icomet-admin/  { icomet_pub workers4; }
--- play
my $port = $Test::Nginx::Util::RandPorts->{TEST_NGINX_RAND_PORT_1};
my (%psub, %publisher);
for (1 .. 400) {
    last if keys %psub == 4 && keys %publisher == 4;
    my $psub = conn($port)->request('GET', '/icomet-admin/psub');
    $psub{ $psub->header('X-Worker') } ||= $psub;
    my $publisher = conn($port)->request('GET', '/icomet-admin/info');
    $publisher->rest;
    $publisher{ $publisher->header('X-Worker') } ||= $publisher;
}
same(join(' ', sort keys %psub), join(' ', sort keys %publisher), 'on all workers');
same(scalar keys %psub, 4, 'on all workers');
for my $worker (sort keys %publisher) {
    $publisher{$worker}->request('POST', '/icomet-admin/push', body => "cname=c$worker&content=x");
    $publisher{$worker}->rest;
    same($psub{$_}->line, "1 c$worker\n", "online, heard on worker $_") for sort keys %psub;
}
for my $worker (sort keys %publisher) {
    my ($other) = grep { $_ ne $worker } sort keys %publisher;
    $publisher{$other}->request('GET', "/icomet-admin/close?cname=c$worker");
    $publisher{$other}->rest;
    same($psub{$_}->line, "0 c$worker\n", "offline, heard on worker $_") for sort keys %psub;
}



=== TEST 5: a broadcast reaches the channels of all workers
--- http_config
    icomet_hub workers5 { zone 16m; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 reuseport;
        location ~ ^/icomet/        { icomet_sub workers5; }
        location ~ ^/icomet-admin/  { icomet_pub workers5; }
    }
--- config
    location ~ ^/icomet-admin/  { icomet_pub workers5; }
--- play
my $port = $Test::Nginx::Util::RandPorts->{TEST_NGINX_RAND_PORT_1};
my @streams = map { conn($port)->request('GET', "/icomet/stream?cname=c$_&seq=1") } 0 .. 39;
await_subscribers("c$_", 1) for 0 .. 39;
same(get('/icomet-admin/broadcast?content=all'), "ok\n", 'broadcast');
same($streams[$_]->line . $streams[$_]->line, data("c$_", 1, 'all', 'broadcast') . "\n" . data("c$_", 2, '', 'next_seq') . "\n", "c$_") for 0 .. 39;



=== TEST 6: limits count the subscribers of all workers; leavers are taken off, wherever they were
--- http_config
    icomet_hub workers6 { zone 16m; max_subscribers_per_channel 20; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1 reuseport;
        location ~ ^/icomet/        { icomet_sub workers6; }
        location ~ ^/icomet-admin/  { icomet_pub workers6; }
    }
--- config
    location ~ ^/icomet-admin/  { icomet_pub workers6; }
--- play
my $port = $Test::Nginx::Util::RandPorts->{TEST_NGINX_RAND_PORT_1};
my @streams = map { conn($port)->request('GET', '/icomet/stream?cname=c&seq=1') } 1 .. 20;
await_subscribers('c', 20);
my $refused = qq({"type":"429","cname":"c","seq":0,"content":"Too many subscribers"}\n);
same(http('GET', '/icomet/stream?cname=c&seq=1', port => $port)->{text}, $refused, 'one too many') for 1 .. 10;
$_->leave for @streams[0 .. 9];
await_subscribers('c', 10);
$_->reset for @streams[10 .. 19];
await_subscribers('c', 0);
