# Hooks: what a back end is told. The back end is nginx itself, whose access log keeps the bodies. Zones of which numbers are
# compared have a size of their own, so that over a reload they are new.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use JSON::PP qw(decode_json);
use Test::Nginx::Socket 'no_plan';
use Test::Nginx::Util qw(html_dir);
use Digest::SHA qw(hmac_sha256_hex);

our $BACK_END = <<'_EOC_';
    log_format posts escape=json '{"at":"$uri","time":"$http_icomet_timestamp","signature":"$http_icomet_signature","node":"$http_icomet_node","body":"$request_body"}';
    client_body_buffer_size 1m;
    server {
        listen 127.0.0.1:$TEST_NGINX_RAND_PORT_1;
        location /hook { access_log logs/posts.log posts; proxy_pass http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/taken; }
        location /down { access_log off; return 503; }
        location /never { access_log off; return 422; }
        location /taken { access_log off; return 204; }
    }
_EOC_
our $SECRET = 'a secret of the test, long enough';
our $FILE = "/tmp/icomet-hooks-t-secret.$$";
open my $file, '>', $FILE or die "$FILE: $!";
print $file "$SECRET\n";
close $file;
$ENV{ICOMET_TEST_SECRET} = $FILE;
END { unlink $FILE if defined $FILE }

# The posts so far.
sub posts {
    open my $log, '<', Test::Nginx::Util::server_root() . '/logs/posts.log' or return;
    return map { decode_json($_) } <$log>;
}

# The events about a channel (or none) so far, once there are so many of them.
sub events {
    my ($channel, $count) = @_;
    my @found;
    until_true(sub {
        @found = grep { ($_->{channel} // '') eq $channel } map { @{ decode_json($_->{body})->{events} } } posts();
        return @found >= $count;
    }, "$count events of '$channel'");
    return @found;
}

sub hooks { return decode_json(get('/icomet-admin/info?detail=1'))->{hooks} }

# How many threads of these processes work for hooks.
sub threads {
    my $count = 0;
    for my $name (map { glob "/proc/$_/task/*/comm" } @_) {
        open my $comm, '<', $name or next;
        $count++ if <$comm> eq "icomet-hooks\n";
    }
    return $count;
}

set_up();
add_block_preprocessor(sub {
    my ($block) = @_;
    my $config = $block->http_config // '';
    $config =~ s/BACK_END/$BACK_END/;
    $config =~ s/SECRET_FILE/$FILE/g;
    $block->set_value(http_config => $config);
});
run_tests();

__DATA__

=== TEST 1: a channel's life, in order, signed
--- http_config
    BACK_END
    icomet_hub main {
        zone 5m; channel_timeout 1s; node test-1;
        hook http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/hook?key=hidden events=online,offline,subscribe,unsubscribe,publish secret=SECRET_FILE;
    }
--- play
my $stream = subscribe('/icomet/stream?cname=hooks1&seq=0');
push_ok('hooks1', 'hello');
$stream->leave;
await_subscribers('hooks1', 0);
my @events = events('hooks1', 5);
my %types = map { $_->{type} => $_ } @events;
same(join(' ', sort keys %types), 'offline online publish subscribe unsubscribe', 'each once');
same(scalar(@events), 5, 'and no more');
same(join(' ', map { $types{online}{$_} } qw(node hub epoch)), 'test-1 main ' . zone_epoch('hooks1-other'), 'who reports');
same($types{subscribe}{transport}, 'stream', 'transport');
same(join(' ', @{ $types{publish} }{qw(message_seq size subscribers)}), '1 5 1', 'message');
matches($types{offline}{order} > $types{online}{order} ? 'later' : 'earlier', qr/later/, 'order');
my %seen;
for my $event (@events) {
    same($event->{id}, "$event->{worker}-$event->{seq}", 'id');
    $seen{ $event->{id} }++;
    matches(abs($event->{time} / 1000 - time) < 60 ? 'now' : $event->{time}, qr/now/, 'time');
}
same(scalar(keys %seen), 5, 'ids differ');
for my $post (posts()) {
    same($post->{signature}, 'v1=' . hmac_sha256_hex("$post->{time}.$post->{body}", $SECRET), 'signature');
    same($post->{node}, 'test-1', 'node');
}
until_true(sub { hooks()->{queued} == 0 }, 'all arrived');
my $hooks = hooks();
same(join(' ', map { "$_ $hooks->{$_}" } qw(failed dropped)), 'failed 0 dropped 0', 'nothing failed');
matches($hooks->{sent} >= 5 ? 'sent' : $hooks->{sent}, qr/sent/, 'sent');
same(join(' ', map { threads($_) } worker_pids()), join(' ', map { 1 } worker_pids()), 'each worker has one thread for them');
same(threads(master_pid()), 0, 'the master has none');
--- no_error_log
a secret of the test
key=hidden
[error]
[alert]



=== TEST 2: only what was asked for; a long poll, a broadcast
--- http_config
    BACK_END
    icomet_hub main {
        zone 4m;
        hook http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/hook/subscribers events=subscribe,unsubscribe;
        hook http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/hook/publish events=publish;
    }
--- play
my $poll = subscribe('/icomet/sub?cname=hooks2&seq=1');
push_ok('hooks2', 'x');
$poll->head;
get('/icomet-admin/broadcast?content=all');
get('/icomet/sub?cname=hooks2&seq=1');
my @events = events('hooks2', 3);
same(join(' ', sort map { $_->{type} } @events), 'publish subscribe unsubscribe', 'what was asked for; who is answered at once is no subscriber');
same((grep { $_->{type} eq 'subscribe' } @events)[0]{transport}, 'poll', 'transport');
my ($broadcast) = events('', 1);
same("$broadcast->{type} $broadcast->{broadcast} $broadcast->{size}", 'publish 1 3', 'a broadcast has no channel');
for my $post (posts()) {
    my $wanted = $post->{at} =~ /publish/ ? qr/\A(?:publish ?)+\z/ : qr/\A(?:(?:un)?subscribe ?)+\z/;
    matches(join(' ', map { $_->{type} } @{ decode_json($post->{body})->{events} }), $wanted, $post->{at});
    same($post->{signature}, '', 'without a secret no signature');
}



=== TEST 3: sign, close: made and freed by administrators
--- http_config
    BACK_END
    icomet_hub main { zone 4m; hook http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/hook events=online,offline; }
--- play
get('/icomet-admin/sign?cname=hooks3');
my $sse = subscribe('/icomet/sse?cname=hooks3&seq=1');
get('/icomet-admin/close?cname=hooks3');
get('/icomet-admin/sign?cname=hooks3');
my @events = sort { $a->{order} <=> $b->{order} } events('hooks3', 3);
same(join(' ', map { $_->{type} } @events), 'online offline online', 'by order');



=== TEST 4: a back end that is down: told in the log, the queue is bounded, clients are served
--- http_config
    BACK_END
    icomet_hub main { zone 6m; hook http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/down?key=hidden events=publish queue=10 batch=1; }
--- play
my $before = hooks();
push_ok('hooks4', $_) for 1 .. 60;
until_true(sub { hooks()->{failed} > $before->{failed} }, 'a failure is counted');
my $hooks = hooks();
same($hooks->{sent}, $before->{sent}, 'sent');
same($hooks->{queued} + $hooks->{dropped} - $before->{dropped}, 60, 'each waits or was left out');
matches($hooks->{dropped} > $before->{dropped} ? 'some' : 'none', qr/some/, 'left out');
--- wait: 2
--- error_log
/down cannot be told: it answered 503
its queue is full
--- no_error_log
key=hidden
[alert]



=== TEST 5: a batch that is refused for good is left out
--- http_config
    BACK_END
    icomet_hub main { zone 7m; hook http://127.0.0.1:$TEST_NGINX_RAND_PORT_1/never events=publish; }
--- play
my $before = hooks();
push_ok('hooks5', 'x');
until_true(sub { hooks()->{dropped} > $before->{dropped} && hooks()->{queued} == 0 }, 'counted');
--- error_log
refuses 1 events, which are left out: it answered 422



=== TEST 6: a hub without hooks has nothing to tell of them
--- play
same(hooks(), undef, 'no hooks');
same(threads(master_pid(), worker_pids()), 0, 'and no thread for them');
