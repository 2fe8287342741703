# ws: npm's reconnecting-websocket over reloads and killed workers; it asks for what comes after the last message that it has.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

# Where script/setup.sh test has installed them.
$ENV{NODE_PATH} = ($ENV{CARGO_TARGET_DIR} || "$FindBin::Bin/../target") . '/npm/node_modules';

# A client, and what it has told: how often it was open, with which codes it was closed, what messages it has.
sub client {
    my ($uri) = @_;
    my $url = 'ws://127.0.0.1:' . Test::Nginx::Util::server_port() . $uri;
    # It goes through several reloads, each with a deadline of its own.
    open my $out, '-|', 'timeout', 5 * $IcometTest::Conn::DEADLINE, 'node', "$FindBin::Bin/lib/ws_reconnect.js", $url or die "cannot start node: $!";
    return { out => $out, opened => 0, closed => [], messages => [] };
}

# Reads on until a condition holds.
sub told {
    my ($client, $condition) = @_;
    until ($condition->()) {
        my $line = readline $client->{out};
        defined $line or die "the client has ended, after: @{ $client->{closed} }, @{ $client->{messages} }\n";
        chomp $line;
        if    ($line eq 'open')             { $client->{opened}++ }
        elsif ($line =~ /\Aclosed (.+)\z/)  { push @{ $client->{closed} }, $1 }
        else                                { push @{ $client->{messages} }, $line }
    }
    return;
}

# Publishes a message, seq first.
sub publish {
    my ($client, $cname) = @_;
    my $seq = ++$client->{published};
    push_ok($cname, "m$seq");
    return "data $seq m$seq";
}

# All messages came, once each and in order; then it leaves.
sub has_all {
    my ($client, $cname) = @_;
    push_ok($cname, 'end');
    my $count = $client->{published} + 1;
    told($client, sub { @{ $client->{closed} } && $client->{closed}[-1] eq '1000' });
    same(join("\n", @{ $client->{messages} }), join("\n", (map { "data $_ m$_" } 1 .. $count - 1), "data $count end"), 'each message once, in order');
    close $client->{out};
    same($?, 0, 'exit status');
    await_subscribers($cname, 0);
    return;
}

set_up();
run_tests();

__DATA__

=== TEST 1: those who cannot move are told 1012 at a reload, come again, and lose nothing
--- hub: channel_buffer_size 100;
--- config
    location ~ ^/icomet/        { icomet_park off; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $client = client('/icomet/ws?cname=again1');
told($client, sub { $client->{opened} == 1 });
for my $round (1 .. 5) {
    my @old = worker_pids();
    my $live = publish($client, 'again1');
    told($client, sub { grep { $_ eq $live } @{ $client->{messages} } });
    kill 'HUP', master_pid();
    # Some of these come before the end, others by resuming.
    my $last;
    $last = publish($client, 'again1') for 1 .. 10;
    until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
    told($client, sub { $client->{opened} == $round + 1 && grep { $_ eq $last } @{ $client->{messages} } });
    same("@{ $client->{closed} }", join(' ', ('1012') x $round), "round $round: how it was closed");
}
has_all($client, 'again1');



=== TEST 2: a parked one moves, and is never closed
--- hub: channel_buffer_size 100;
--- config
    location ~ ^/icomet/        { icomet_park on; icomet_sub main; }
    location ~ ^/icomet-admin/  { icomet_pub main; }
--- play
my $client = client('/icomet/ws?cname=again2');
told($client, sub { $client->{opened} == 1 });
for my $round (1 .. 3) {
    my @old = worker_pids();
    kill 'HUP', master_pid();
    my $last;
    $last = publish($client, 'again2') for 1 .. 10;
    until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
    told($client, sub { grep { $_ eq $last } @{ $client->{messages} } });
}
has_all($client, 'again2');
same("$client->{opened} @{ $client->{closed} }", '1 1000', 'opened once, closed by itself');



=== TEST 3: after its worker was killed it comes again, and loses nothing
--- hub: channel_buffer_size 100;
--- play
my $client = client('/icomet/ws?cname=again3');
told($client, sub { $client->{opened} == 1 });
for my $round (1 .. 3) {
    my $live = publish($client, 'again3');
    told($client, sub { grep { $_ eq $live } @{ $client->{messages} } });
    my @workers = worker_pids();
    kill 'KILL', @workers;
    until_true(sub { my %now = map { $_ => 1 } worker_pids(); keys %now == @workers && !grep { $now{$_} } @workers }, 'new workers');
    my $last = publish($client, 'again3');
    told($client, sub { grep { $_ eq $last } @{ $client->{messages} } });
    same(scalar(grep { $_ eq '1000' || $_ eq '1012' } @{ $client->{closed} }), 0, "round $round: nobody said good-bye");
    same($client->{closed}[0], '1006', "round $round: it was cut off");
}
has_all($client, 'again3');
--- no_error_log
[error]
[crit]
--- grep_error_log: exited on signal 9
--- grep_error_log_out eval
qr/exited on signal 9/
