# Hooks over a restart with a state file: the epoch stays, so what happens afterwards must be later by order.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use IcometTest::Process;
use JSON::PP qw(decode_json);
use Test::Nginx::Socket $ENV{TEST_NGINX_USE_HUP} ? (skip_all => 'nginx is stopped and started here') : 'no_plan';

# The events about a channel so far, once there are so many of them.
sub events {
    my ($channel, $count) = @_;
    my @found;
    until_true(sub {
        open my $log, '<', Test::Nginx::Util::server_root() . '/logs/posts.log' or return;
        @found = grep { $_->{channel} eq $channel } map { @{ decode_json(decode_json($_)->{body})->{events} } } <$log>;
        return @found >= $count;
    }, "$count events of '$channel'");
    return @found;
}

state_dir();
set_up();
run_tests();

__DATA__

=== TEST 1: the same epoch, a higher order, another worker
--- http_config
    log_format posts escape=json '{"body":"$request_body"}';
    client_body_buffer_size 1m;
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location /hook { access_log logs/posts.log posts; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/taken; }
        location /taken { access_log off; return 204; }
    }
    icomet_hub main {
        zone 5m; state_file $TEST_NGINX_STATE_DIR/hooks.state;
        hook http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/hook events=online,offline;
    }
--- play
push_ok("hooks-$_", 'x') for 1 .. 20;
push_ok('kept', 'x');
my ($online) = events('kept', 1);
restart('QUIT');
get('/icomet-admin/close?cname=kept');
my @events = events('kept', 2);
same(join(' ', map { $_->{type} } @events), 'online offline', 'told before and after');
my $offline = $events[1];
same($offline->{epoch}, $online->{epoch}, 'the epoch');
matches($offline->{order} > $online->{order} ? 'later' : "$offline->{order} after $online->{order}", qr/later/, 'the order');
matches($offline->{worker} eq $online->{worker} ? 'same' : 'other', qr/other/, 'the worker');
--- no_error_log
[alert]
