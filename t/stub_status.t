# stub_status with subscribers: who waits is a request that is being answered.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

our ($status, $asked);

# Asks on one connection, so that each question is one request and no connection more.
sub ask {
    $status ||= conn(port(1));
    $asked++;
    my $text = $status->request('GET', '/status')->rest;
    my %now;
    @now{qw(active accepts handled requests reading writing waiting)} =
        $text =~ /\AActive connections: (\d+) \nserver accepts handled requests\n (\d+) (\d+) (\d+) \nReading: (\d+) Writing: (\d+) Waiting: (\d+) \n\z/
        or die "no status: $text";
    $now{requests} -= $asked;
    return \%now;
}

# What it is when nobody but ourselves is connected.
sub start {
    ($status, $asked) = (undef, 0);
    my $now;
    until_true(sub { $now = ask(); "$now->{active} $now->{reading} $now->{writing} $now->{waiting}" eq '1 0 1 0' }, 'nobody else is connected');
    return $now;
}

sub shown { my ($now) = @_; return join ' ', map { "$_=$now->{$_}" } sort keys %$now }

# Waits until the figures have changed from "before" by just so much. What a client did, nginx notices a little later.
sub changed {
    my ($before, $what, %by) = @_;
    my %expected = map { $_ => $before->{$_} + ($by{$_} // 0) } keys %$before;
    my $now;
    my $came = eval { until_true(sub { $now = ask(); shown($now) eq shown(\%expected) }, $what) };
    same($came ? shown(\%expected) : shown($now), shown(\%expected), $what);
}

set_up();
run_tests();

__DATA__

=== TEST 1: who waits counts as writing, one request each, and leaves no trace
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 100; }
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location = /status { stub_status; } }
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport (qw(sub stream sse iframe)) {
    my $before = start();
    my @open = map { conn()->request('GET', "/icomet/$transport?cname=status1-$transport&seq=1") } 1 .. 10;
    changed($before, "$transport: 10 wait", active => 10, accepts => 10, handled => 10, requests => 10, writing => 10);
    $_->leave for @open[0 .. 3];
    changed($before, "$transport: 4 have left", active => 6, accepts => 10, handled => 10, requests => 10, writing => 6);
    $_->reset for @open[4 .. 9];
    changed($before, "$transport: all have left", accepts => 10, handled => 10, requests => 10);
}



=== TEST 2: long polls on one connection: a request each, idle in between
--- http_config
    icomet_hub main { zone 16m; }
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location = /status { stub_status; } }
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $before = start();
my ($poll, $publisher) = (conn(), conn());
$publisher->request('GET', '/alive')->rest;
for my $n (1 .. 5) {
    $poll->request('GET', "/icomet/sub?cname=status2&seq=$n");
    # Two requests a round, and the one that opened the publisher's connection.
    my %open = (active => 2, accepts => 2, handled => 2);
    changed($before, "poll $n waits", %open, requests => 2 * $n, writing => 1, waiting => 1);
    $publisher->request('POST', '/icomet-admin/push', body => 'cname=status2&content=x');
    same($publisher->rest, qq({"type":"ok"}\n), "push $n");
    same($poll->rest, data('status2', $n, 'x') . "\n", "poll $n");
    changed($before, "poll $n is answered", %open, requests => 2 * $n + 1, waiting => 2);
}
$_->leave for $poll, $publisher;
changed($before, 'both have left', accepts => 2, handled => 2, requests => 11);



=== TEST 3: streams that the server ends: the connection goes on, idle
--- http_config
    icomet_hub main { zone 16m; }
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location = /status { stub_status; } }
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $transport (qw(stream sse iframe)) {
    my $before = start();
    my @open = map { conn()->request('GET', "/icomet/$transport?cname=status3-$transport&seq=1") } 1 .. 3;
    my $publisher = conn();
    changed($before, "$transport: waits", active => 4, accepts => 4, handled => 4, requests => 3, writing => 3, reading => 0, waiting => 1);
    $publisher->request('GET', "/icomet-admin/close?cname=status3-$transport");
    same($publisher->rest, "ok 1\n", "$transport: close");
    matches($_->rest, qr/"type":"close"/, "$transport: the end") for @open;
    changed($before, "$transport: ended", active => 4, accepts => 4, handled => 4, requests => 4, waiting => 4);
    $_->leave for @open, $publisher;
    changed($before, "$transport: all have left", accepts => 4, handled => 4, requests => 4);
}



=== TEST 4: subscribers that are refused or answered at once
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 1; }
    server { listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1; location = /status { stub_status; } }
--- config
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $before = start();
my $stream = conn()->request('GET', '/icomet/stream?cname=status4&seq=1');
$stream->head;
for my $transport (qw(sub stream sse iframe)) {
    matches(get("/icomet/$transport?cname=status4&seq=1"), qr/Too many subscribers/, "$transport: refused");
    same(http('GET', "/icomet/$transport?seq=1")->{status}, 400, "$transport: a mistake");
}
matches(get('/icomet/sub?cname=status4x&seq=0'), qr/next_seq/, 'answered at once');
changed($before, 'only one waits', active => 1, accepts => 10, handled => 10, requests => 10, writing => 1);
$stream->leave;
changed($before, 'and leaves', accepts => 10, handled => 10, requests => 10);
