# Users on four workers, while they move to the next four.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up(workers => 4);
run_tests();

__DATA__

=== TEST 1: disconnected while they move to new workers
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 1000; }
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $round (1 .. 4) {
    my $cname = "move1-$round";
    my %of = map { my $user = $_; $user => [map { conn()->request('GET', "/icomet/stream?cname=$cname&seq=1&user=$user") } 1 .. 120] } qw(ann bob);
    await_subscribers($cname, 240);
    my @old = worker_pids();
    kill 'HUP', master_pid();
    # Some have moved by then, some are on their way, some have not left.
    if ($round > 1) {
        until_true(sub { my @now = worker_pids(); grep { my $pid = $_; !grep { $_ == $pid } @old } @now }, 'there is a new worker');
    }
    get('/alive') for 3 .. $round;
    api('disconnect', '{"user":"ann"}', 200, qr/\A\{"user":"ann","disconnected":\d+\}\n\z/);
    my $told = grep { ($_->rest // '') =~ /"type":"close"/ } @{ $of{ann} };
    same($told, 120, "round $round: all are told");
    until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
    same(present($cname), '120 1: bob=120', "round $round: who is left");
    push_ok($cname, 'm');
    my $heard = grep { (message($_) // '') eq data($cname, 1, 'm') } @{ $of{bob} };
    same($heard, 120, "round $round: the others notice nothing");
}



=== TEST 2: disconnected while one of the new workers stands still
--- http_config
    icomet_hub main { zone 16m; max_subscribers_per_channel 1000; }
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location ~ ^/icomet-admin/ { icomet_pub main; }
    }
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
for my $round (1 .. 6) {
    my $cname = "move2-$round";
    my @ann = map { conn()->request('GET', "/icomet/stream?cname=$cname&seq=1&user=ann") } 1 .. 200;
    await_subscribers($cname, 200);
    my @old = worker_pids();
    kill 'HUP', master_pid();
    my @new;
    until_true(sub { @new = grep { my $pid = $_; !grep { $_ == $pid } @old } worker_pids() }, 'there is a new worker');
    stopped([$new[0]], sub {
        # The kernel may give a connection to the worker that stands still; one that is answered is another's.
        my ($live, @tried);
        until_true(sub {
            push @tried, conn(port(1))->request('GET', '/icomet-admin/check?cname=x') if @tried < 50;
            return ($live) = grep { $_->readable } @tried;
        }, 'a worker answers');
        $live->rest;
        $live->request('POST', '/icomet-admin/api/disconnect', type => 'application/json', body => '{"user":"ann"}');
        matches($live->rest, qr/"disconnected":\d+\}/, "round $round: disconnect");
    });
    my $told = grep { ($_->rest // '') =~ /"type":"close"/ } @ann;
    same($told, 200, "round $round: all are told");
    until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
    matches(present($cname), qr/\A(?:0 0:|no such channel)\z/, "round $round: nobody is left");
}
